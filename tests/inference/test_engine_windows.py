"""Pictures of any size: windows through real graphs equal the whole, and the Engine falls back on smaller ones.

Array names: N pictures, H height, W width, C channels.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DOUBLE, INVERT, save_model
from test_export import SPEC

from export.to_onnx import build_graph, write_model
from translate.errors import ConfigError, ImageError
from translate.inference import engine as engine_module
from translate.inference.engine import GPU_BATCH, TILE_SHARE, WHOLE_SHARE, Engine
from translate.inference.models import ShippedModel, shipped
from translate.inference.tiling import seam_ratio, smallest_tile
from translate.networks.classic_unet import ClassicUNet
from translate.networks.compact_sr import CompactSR
from translate.networks.large_kernel_sr import LargeKernelSR
from translate.networks.reparameterised import fold
from translate.networks.residual_sr import ResidualSR
from translate.networks.span import SPAN
from translate.networks.unet import UNet
from translate.pictures.operations import Picture, covered, relight, resize, shrink

NETWORKS: dict[str, Any] = {
    "U-Net of 2": UNet(3, 3, (8,), 1, padding="replicate"),
    "U-Net of 4": UNet(3, 3, (8, 8), 1, condition_size=3),
    "U-Net of 8": UNet(3, 3, (4, 8, 8), 1, residual=True),
    "x2": ResidualSR(3, scale=2, blocks=2, width=8, detail_blocks=1),
    "x4": ResidualSR(3, scale=4, blocks=1, width=8),
    "x4 by attention": SPAN(3, scale=4, blocks=2, width=8, detail_blocks=1),
    "x2 at half the size": CompactSR(3, scale=2, blocks=3, width=8, unshuffle=2),
    "x3 by large kernels": LargeKernelSR(3, scale=3, blocks=1, width=8),
}
WITH_STATISTICS: dict[str, Any] = {"classic": ClassicUNet(levels=3, width=4)}
LARGEST_DIFFERENCE = 1
"""Of 255: sums in another order are rounded differently."""
LARGEST_SHARE = 1e-4
"""Of the pixels that differ at all."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a network -> its model file, exported when first wanted."""
    folder = tmp_path_factory.mktemp("models")

    @functools.cache
    def model(name: str) -> Path:
        network = {**NETWORKS, **WITH_STATISTICS}[name]
        spec = dataclasses.replace(
            SPEC,
            name=name,
            size_multiple=network.size_multiple,
            receptive_field=network.receptive_field,
            scale=network.scale,
            labels=("bag", "hat", "shoe") if name == "U-Net of 4" else (),
            detail=getattr(network, "detail", None) is not None,
        )
        write_model(build_graph(far_looking(fold(network)), spec, "float32"), spec, folder / f"{name}.onnx")
        return folder / f"{name}.onnx"

    return model


def far_looking(network: Any) -> Any:
    """Random weights with which all that may reach a pixel does so, and results in the range of pixels."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.ndim == 4 else 1
            parameter.copy_(torch.randn_like(parameter) * (1.5 / fan_in**0.5 if parameter.ndim > 1 else 0.2))
        last = getattr(network, "out", None) or getattr(network, "tail", None)
        if last is not None:
            x_BCHW = torch.randn(1, 3, 128, 128)
            detail = getattr(network, "detail", None) and torch.ones(1, 1)
            spread = network(x_BCHW, detail).std()
            for parameter in last.parameters():
                parameter.mul_(0.5 / spread)
    return network.eval()


def photo(height: int, width: int) -> np.ndarray:
    """Smooth colours, edges and noise."""
    random = np.random.default_rng(height * width)
    coarse_HWC = random.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    fine_HWC = resize(coarse_HWC, height, width).astype(int) + random.integers(-20, 20, (height, width, 3))
    return np.clip(fine_HWC, 0, 255).astype(np.uint8)


def assert_same(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Every pair is a result and what it should be."""
    differing = pixels = 0
    for found, whole in pairs:
        assert (found.shape, found.dtype) == (whole.shape, whole.dtype)
        assert whole.std() > 10  # a blank result proves nothing
        difference = np.abs(found.astype(int) - whole).max(axis=-1)
        assert difference.max() <= LARGEST_DIFFERENCE
        differing, pixels = differing + np.count_nonzero(difference), pixels + difference.size
    assert differing <= LARGEST_SHARE * pixels


def knobs_of(name: str) -> dict[str, Any]:
    return {"U-Net of 4": {"label": "shoe"}, "x2": {"detail": 0.7}}.get(name, {})


# --- the same as the whole


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_equal_the_whole(models: Callable[[str], Path], name: str) -> None:
    least = smallest_tile(NETWORKS[name].receptive_field, NETWORKS[name].size_multiple)
    whole, chosen = Engine(models(name), device="cpu", threads=1, tile=0), knobs_of(name)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    tiles = ((least, 1), (least + 5, 3), (3 * least // 2, 2))
    engines = [Engine(models(name), device="cpu", threads=1, tile=tile, batch=batch) for tile, batch in tiles]
    for height, width in ((31, 3 * least), (least + 1, 2 * least + 7), (2 * least - 3, least // 2 + 1)):
        image_HWC = photo(height, width)
        whole_HWC = whole(image_HWC, **chosen)
        for engine in engines:
            assert engine.plan(height, width).count > 1
            assert engine.exact(height, width)
            assert engine.caution(height, width) is None
            pairs.append((engine(image_HWC, **chosen), whole_HWC))
            if len(pairs) == 1:  # the same windows by the other door
                assert np.array_equal(engine.apply(Picture(image_HWC), **chosen).rgb_HWC, pairs[-1][0])
    assert_same(pairs)


def test_windows_of_several_pictures(models: Callable[[str], Path]) -> None:
    image_NHWC = np.stack([photo(150, 170), photo(170, 150).swapaxes(0, 1), 255 - photo(150, 170)])
    whole_NHWC = Engine(models("x4"), device="cpu", tile=0)(image_NHWC)
    engines = [Engine(models("x4"), device="cpu", tile=90, batch=batch) for batch in (1, 2, 7)]
    assert engines[0].plan(150, 170).count > 1
    assert_same([(engine(image_NHWC), whole_NHWC) for engine in engines])


def test_windows_of_no_pictures(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", DOUBLE), threads=1, device="cpu", tile=256)
    assert engine.plan(300, 400).count == 4
    assert engine(np.zeros((0, 300, 400, 3), np.uint8)).shape == (0, 600, 800, 3)


@pytest.mark.parametrize("model", shipped(), ids=lambda model: model.name)
def test_shipped_models_in_windows_equal_the_whole(model: ShippedModel) -> None:
    """At full size, whatever size `apply` would show them."""
    whole = Engine(model.file, device="cpu", threads=1, tile=0)
    tiled = Engine(model.file, device="cpu", threads=1, tile=whole.smallest_tile, batch=2)
    assert tiled.spec.receptive_field is not None
    height, width = 75, whole.smallest_tile + 30
    images = photo(height, width), photo(width, height)
    assert_same([(tiled(image_HWC), whole(image_HWC)) for image_HWC in images])


def test_less_context_shows(models: Callable[[str], Path]) -> None:
    """The networks above do look as far as the windows reach."""
    engine = Engine(models("U-Net of 8"), device="cpu", tile=208)
    image_HWC = photo(100, 500)
    whole_HWC = Engine(models("U-Net of 8"), device="cpu", tile=0)(image_HWC)
    engine.spec = dataclasses.replace(engine.spec, receptive_field=33)
    engine.smallest_tile = 64
    assert np.abs(engine(image_HWC).astype(int) - whole_HWC).max() > LARGEST_DIFFERENCE


@pytest.mark.parametrize("kind", ["working_size", "scene_size"])
def test_small_copies_are_cut_into_windows_too(tmp_path: Path, kind: str) -> None:
    sized = dataclasses.replace(INVERT, receptive_field=1, **{kind: 100})
    image_HWC = photo(300, 500)
    alpha_HW = photo(300, 500)[..., 0]
    picture = Picture(image_HWC, alpha_HW if kind == "scene_size" else None)
    path = save_model(tmp_path / "m.onnx", sized)
    whole, tiled = Engine(path, tile=0), Engine(path, tile=64)
    assert whole.plan(300, 500).count == 1
    assert tiled.plan(300, 500).count == (2 if kind == "working_size" else 6)
    assert tiled.plan(300, 500).largest <= (64, 64)
    assert np.array_equal(tiled.apply(picture).rgb_HWC, whole.apply(picture).rgb_HWC)
    if kind == "scene_size":
        shown_HWC = covered(picture)
        small_HWC = shrink(shown_HWC, 100, 167)
        expected_HWC = relight(shown_HWC, small_HWC, 255 - small_HWC)
        assert np.array_equal(tiled.apply(picture).rgb_HWC, expected_HWC)
        assert np.array_equal(tiled.apply(picture).alpha_HW, alpha_HW)


# --- when windows are used


def test_a_picture_goes_whole_where_that_takes_its_share_of_the_memory(tmp_path: Path) -> None:
    spec = dataclasses.replace(INVERT, receptive_field=1, bytes_per_pixel=1000)
    path = save_model(tmp_path / "m.onnx", spec)
    engine = Engine(path)
    assert (engine.tile, engine.batch) == (None, GPU_BATCH if engine.device == "cuda" else 1)
    engine.memory_bytes = int(200 * 300 * 1000 / WHOLE_SHARE)
    assert engine.plan(200, 300).count == 1
    plan = engine.plan(200, 301)
    assert plan.count > 1
    assert plan.largest[0] * plan.largest[1] * 1000 <= TILE_SHARE * engine.memory_bytes
    assert engine.work_bytes(200, 300) == 200 * 300 * 1012
    assert engine.work_bytes(200, 301) < 200 * 300 * 500
    assert Engine(path, tile=0).plan(10**5, 10**5).count == 1
    assert Engine(path, tile=100).plan(100, 100).count == 1
    assert Engine(path, tile=100).plan(100, 101).count == 2


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"tile": 63}, r"^tile is 63; invert needs 64 pixels or more, or 0 to disable tiling$"),
        ({"tile": -1}, "tile is -1; invert needs 64"),
        ({"batch": 0}, "^batch is 0; give 1 or more$"),
    ],
)
def test_bad_tiles(tmp_path: Path, chosen: dict[str, int], message: str) -> None:
    path = save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, receptive_field=1))
    with pytest.raises(ConfigError, match=message):
        Engine(path, **chosen)


class Scarce:
    """A session that fails like ONNX Runtime where more than `most` pixels come at once."""

    def __init__(self, session: Any, most: int) -> None:
        self.session, self.most = session, most
        self.areas: list[int] = []
        self.failures = 0

    def run(self, names: Any, given: dict[str, np.ndarray]) -> Any:
        area = int(np.prod(given["image"].shape[:3]))
        if area > self.most:
            self.failures += 1
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1234")
        self.areas.append(area)
        return self.session.run(names, given)


def test_smaller_windows_where_memory_fails(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.onnx", dataclasses.replace(DOUBLE, receptive_field=11))
    image_HWC = photo(600, 900)
    expected_HWC = image_HWC.repeat(2, axis=0).repeat(2, axis=1)
    engine = Engine(path, device="cpu")
    engine._session.ort_session = scarce = Scarce(engine._session.ort_session, 300 * 300)
    assert np.array_equal(engine(image_HWC), expected_HWC)
    assert scarce.failures == 2  # the whole, and windows of half its longer side
    assert max(scarce.areas) <= 225 * 225
    # What has failed is not tried again, by smaller pictures neither.
    assert engine.plan(300, 400).largest <= (225, 225)
    assert np.array_equal(engine.apply(Picture(image_HWC[:300])).rgb_HWC, expected_HWC[:600])
    assert scarce.failures == 2
    assert engine.plan(100, 100).count == 1


def test_smaller_batches_before_smaller_windows(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.onnx", dataclasses.replace(DOUBLE, receptive_field=11))
    engine = Engine(path, device="cpu", tile=100, batch=4)
    engine._session.ort_session = scarce = Scarce(engine._session.ort_session, 100 * 100)
    image_HWC = photo(150, 300)
    assert np.array_equal(engine(image_HWC)[::2, ::2], image_HWC)
    assert scarce.failures == 1
    assert engine.plan(150, 300).largest[1] > 75
    image_NHWC = np.stack([photo(100, 90)] * 3)
    assert np.array_equal(engine(image_NHWC)[:, ::2, ::2], image_NHWC)
    assert scarce.failures == 2


@pytest.mark.parametrize(("tile", "failures"), [(None, 4), (0, 1), (200, 3)])
def test_the_least_window_that_fails_is_explained(tmp_path: Path, tile: int | None, failures: int) -> None:
    path = save_model(tmp_path / "m.onnx", dataclasses.replace(DOUBLE, receptive_field=1))
    engine = Engine(path, device="cpu", tile=tile)
    engine._session.ort_session = scarce = Scarce(engine._session.ort_session, 1000)
    with pytest.raises(ImageError, match="picture of 300 x 400 pixels does not fit in the free memory") as caught:
        engine.apply(Picture(photo(400, 300)))
    assert "\n" not in str(caught.value)
    assert scarce.failures == failures


def test_want_of_memory_for_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    engine = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(DOUBLE, receptive_field=1)), tile=64)
    monkeypatch.setattr(engine_module, "run_tiled", full)
    with pytest.raises(ImageError, match="200 x 100 pixels does not fit"):
        engine(photo(100, 200))


# --- models that should see a picture whole


@pytest.mark.parametrize("name", WITH_STATISTICS)
def test_models_with_spatial_statistics_say_so_and_do_what_they_can(models: Callable[[str], Path], name: str) -> None:
    image_HWC = photo(300, 520)
    whole, tiled = Engine(models(name), device="cpu"), Engine(models(name), device="cpu", tile=256)
    assert whole.exact(300, 520)
    assert whole.caution(300, 520) is None
    assert not tiled.exact(300, 520)
    assert tiled.exact(256, 256)
    caution = tiled.caution(300, 520)
    assert caution == (
        f"520 x 300 pixels is too large to process at once, but {name} needs to see the whole picture; "
        "6 windows were blended, check for colour shifts"
    )
    found_HWC = tiled(image_HWC)
    whole_HWC = whole(image_HWC)
    assert found_HWC.shape == whole_HWC.shape
    assert not np.array_equal(found_HWC, whole_HWC)
    # Best effort: nearer to the whole than another picture is, and no borders.
    away = np.abs(found_HWC.astype(int) - whole_HWC).mean()
    assert away < np.abs(whole(np.roll(image_HWC, 9, axis=1)).astype(int) - whole_HWC).mean()
    assert seam_ratio(found_HWC, tiled.plan(300, 520)) < 1.1


def test_caution_after_memory_has_failed(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")
    engine._session.ort_session = Scarce(engine._session.ort_session, 300 * 300)
    image_HWC = photo(300, 600)
    assert engine.exact(300, 600)
    assert np.array_equal(engine(image_HWC), 255 - image_HWC)  # it has no statistics, and all windows agree
    assert not engine.exact(300, 600)
    assert "3 windows were blended" in str(engine.caution(300, 600))
