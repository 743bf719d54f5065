"""Pictures of 16 bits through models of 8: nothing is lost, and 8 bits stay what they were.

Array names: N pictures, H height, W width, C channels.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from test_export import SPEC, shaken

from export.sixteen_bits import carry_sixteen_bits
from export.to_onnx import finish, trace, write_model
from translate.conversion.folder import convert_folder
from translate.conversion.huge import convert_huge
from translate.errors import ImageError
from translate.inference.engine import Engine
from translate.inference.models import ShippedModel, shipped
from translate.networks.pixels import PixelTranslator
from translate.networks.residual_sr import ResidualSR
from translate.pictures.operations import Picture, read_picture, to_bits, write_picture
from translate.spec import IMAGE_REST, RESULT_REST
from translate.trainers.base import pixel_translator

LARGEST_DIFFERENCE = 3
"""Of 65535: float32 has about 24 bits, a network adds up a few hundred of them."""

SR = dataclasses.replace(SPEC, name="x2", task="super-resolution", size_multiple=1, scale=2, receptive_field=None)


@pytest.fixture(scope="module")
def network() -> ResidualSR:
    return shaken(ResidualSR(3, scale=2, blocks=1, width=8))


@pytest.fixture(scope="module")
def traced(network: ResidualSR) -> onnx.ModelProto:
    return trace(pixel_translator(network, SR).eval(), SR)


@pytest.fixture(scope="module")
def path(network: ResidualSR, traced: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = dataclasses.replace(SR, receptive_field=network.receptive_field)
    path = tmp_path_factory.mktemp("models") / "x2.onnx"
    write_model(finish(traced, spec, "float32"), spec, path)
    return path


@pytest.fixture
def deep_HWC() -> np.ndarray:  # noqa: N802
    """Colours that 8 bits cannot tell apart, dark and bright, and every end of the range."""
    image_HWC = np.random.default_rng(0).integers(0, 65536, (24, 40, 3), dtype=np.uint16)
    image_HWC[:8] = 1000 + np.arange(40, dtype=np.uint16)[:, None]
    image_HWC[8, :4] = np.array([0, 65535, 128, 65407], np.uint16)[:, None]
    return image_HWC


def test_a_deep_picture_gets_what_the_network_makes_of_it(
    path: Path, network: ResidualSR, deep_HWC: np.ndarray
) -> None:
    with torch.inference_mode():
        translator = PixelTranslator(network, 1, 2, bits=(16, 16)).eval()
        expected_HWC = translator(torch.from_numpy(deep_HWC)[None])[0].numpy()
    engine = Engine(path, device="cpu")
    assert (engine.max_bits, engine.result_bits(16), engine.result_bits(8)) == (16, 16, 8)
    found_HWC = engine(deep_HWC)
    assert found_HWC.dtype == np.uint16
    assert np.abs(found_HWC.astype(int) - expected_HWC).max() <= LARGEST_DIFFERENCE
    # What is lost by 8 bits alone is far more.
    rough_HWC = to_bits(engine(to_bits(deep_HWC, 8)), 16)
    assert np.abs(rough_HWC.astype(int) - expected_HWC).max() > 100


def test_eight_bits_stay_what_they_were(path: Path, traced: onnx.ModelProto, tmp_path: Path) -> None:
    spec = dataclasses.replace(SR, working_size=64)  # such models see pictures resized, and carry nothing
    write_model(finish(traced, spec, "float32"), spec, tmp_path / "plain.onnx")
    plain, engine = Engine(tmp_path / "plain.onnx", device="cpu"), Engine(path, device="cpu")
    image_HWC = np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    assert np.array_equal(plain(image_HWC), engine(image_HWC))
    assert engine(image_HWC).dtype == np.uint8
    with pytest.raises(ImageError, match="type uint16, expected uint8"):
        plain(to_bits(image_HWC, 16))
    # With the low byte repeated it is the same picture, so the result is the same to half a level.
    deep_HWC = engine(to_bits(image_HWC, 16))
    assert np.abs(deep_HWC.astype(int) - to_bits(engine(image_HWC), 16)).max() <= 129


def test_windows_and_batches_carry_them_too(path: Path, deep_HWC: np.ndarray) -> None:
    image_HWC = np.tile(deep_HWC, (12, 8, 1))
    whole, tiled = Engine(path, device="cpu"), Engine(path, device="cpu", tile=160, batch=3)
    assert tiled.plan(*image_HWC.shape[:2]).count > 1
    assert np.abs(tiled(image_HWC).astype(int) - whole(image_HWC)).max() <= LARGEST_DIFFERENCE


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_files(path: Path, deep_HWC: np.ndarray, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / f"a{suffix}"
    write_picture(source, Picture(deep_HWC, deep_HWC[..., 0]))
    engine = Engine(path, device="cpu")
    assert convert_folder(tmp_path / "in", tmp_path / "out", engine).converted == 1
    found = read_picture(tmp_path / "out" / source.name, bits=16)
    assert np.array_equal(found.rgb_HWC, engine.apply(read_picture(source, bits=16)).rgb_HWC)
    assert found.alpha_HW is not None
    assert found.alpha_HW.dtype == np.uint16
    # In bands, as what does not fit in memory.
    convert_huge(source, tmp_path / f"huge{suffix}", engine)
    streamed_HWC = read_picture(tmp_path / f"huge{suffix}", bits=16).rgb_HWC
    assert np.abs(streamed_HWC.astype(int) - found.rgb_HWC).max() <= LARGEST_DIFFERENCE
    # And 8 bits are still 8 bits.
    write_picture(source, Picture(to_bits(deep_HWC, 8), None))
    convert_folder(tmp_path / "in", tmp_path / "out", engine)
    assert read_picture(tmp_path / "out" / source.name, bits=16).rgb_HWC.dtype == np.uint8


@pytest.mark.parametrize(
    "model", [model for model in shipped() if model.task == "super-resolution"], ids=lambda model: model.name
)
def test_shipped_super_resolution_keeps_soft_skies_soft(model: ShippedModel) -> None:
    # A slope of a hundred levels of 16 bits is none of 8.
    slope_HWC = np.broadcast_to(np.linspace(30_000, 30_100, 48).astype(np.uint16)[:, None], (32, 48, 3))
    engine = Engine(model.file, device="cpu")
    result_HWC = engine(np.ascontiguousarray(slope_HWC))
    middle = result_HWC[len(result_HWC) // 2, 20:-20, 1]
    assert result_HWC.dtype == np.uint16
    assert len(np.unique(middle)) > 30
    assert len(np.unique(engine(to_bits(slope_HWC, 8))[len(result_HWC) // 2, 20:-20, 1])) <= 2


def test_only_graphs_of_ours(path: Path) -> None:
    model = onnx.load(path)
    assert [value.name for value in model.graph.input] == ["image", IMAGE_REST]
    assert [value.name for value in model.graph.output] == ["translated", RESULT_REST]
    names = list(itertools.chain.from_iterable(node.output for node in model.graph.node))
    assert len(names) == len(set(names))
    with pytest.raises(ValueError, match="unpack"):
        carry_sixteen_bits(onnx.ModelProto(graph=onnx.GraphProto(input=model.graph.input, output=model.graph.output)))
