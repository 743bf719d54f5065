import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model

from translate import engine as engine_module
from translate.engine import Engine
from translate.errors import ImageError, ModelError
from translate.images import Picture


def test_image_in_image_out(invert_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(invert_model, device="cpu")
    assert engine.spec == INVERT
    assert engine.path == invert_model
    assert engine.device == "cpu"
    assert np.array_equal(engine(image_HWC), 255 - image_HWC)


def test_batch(double_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(str(double_model))
    result = engine(np.stack([image_HWC, 255 - image_HWC]))
    assert result.shape == (2, 48, 80, 3)
    assert np.array_equal(result[1, ::2, 1::2], 255 - image_HWC)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((16, 16, 3), np.float32), "type float32, expected uint8"),
        (np.zeros((16, 16), np.uint8), r"shape \(16, 16\), expected \(height, width, 3\)"),
        (np.zeros((16, 16, 4), np.uint8), r"shape \(16, 16, 4\)"),
        (np.zeros((16, 7, 3), np.uint8), "7 x 16 pixels is too small, this model needs at least 8 x 8"),
        (np.zeros((2, 7, 16, 3), np.uint8), "16 x 7 pixels is too small"),
    ],
)
def test_bad_images(invert_model: Path, image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Engine(invert_model)(image)


def test_apply_keeps_alpha(double_model: Path, image_HWC: np.ndarray) -> None:
    alpha_HW = np.full((24, 40), 77, np.uint8)
    result = Engine(double_model).apply(Picture(image_HWC, alpha_HW))
    assert np.array_equal(result.rgb_HWC[::2, ::2], image_HWC)
    assert result.alpha_HW is not None
    assert np.array_equal(result.alpha_HW, np.full((48, 80), 77))


@pytest.mark.parametrize("spec", [INVERT, DOUBLE], ids=["x1", "x2"])
def test_apply_at_working_size(tmp_path: Path, spec: object, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(spec, working_size=32)
    engine = Engine(save_model(tmp_path / "m.onnx", spec))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(engine, "_run", lambda batch, run=engine._run: seen.append(batch) or run(batch))
    transparent = Picture(np.zeros((50, 100, 3), np.uint8), np.zeros((50, 100), np.uint8))
    result = engine.apply(transparent)
    assert seen[0].shape == (1, 16, 32, 3)
    assert seen[0].min() == 255  # laid on white
    assert result.rgb_HWC.shape == (50 * spec.scale, 100 * spec.scale, 3)
    assert result.alpha_HW is None
    with pytest.raises(ImageError, match="1000 x 20 pixels is too narrow"):
        engine.apply(Picture(np.zeros((20, 1000, 3), np.uint8)))


def test_apply_refuses_small_pictures(invert_model: Path) -> None:
    with pytest.raises(ImageError, match="1 x 1 pixels is too small"):
        Engine(invert_model).apply(Picture(np.zeros((1, 1, 3), np.uint8)))


def test_max_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_HWC: np.ndarray) -> None:
    monkeypatch.setattr(engine_module, "available_memory_bytes", lambda: 900 * 1024)
    engine = Engine(save_model(tmp_path / "a.onnx", INVERT))
    assert engine.max_pixels == 900
    assert engine.work_bytes(3, 5) == 15 * 1024
    with pytest.raises(ImageError, match="40 x 24 pixels does not fit in the free memory"):
        engine.apply(Picture(image_HWC))
    sized = Engine(save_model(tmp_path / "b.onnx", dataclasses.replace(INVERT, working_size=16)))
    assert sized.max_pixels == 900 * 1024 // 12
    assert sized.work_bytes(24, 40) == 10 * 16 * 1024
    assert sized.apply(Picture(image_HWC)).height == 24


@pytest.mark.parametrize("text", ["Failed to allocate memory for requested buffer of size 9", "std::bad_alloc"])
def test_want_of_memory_is_explained(invert_model: Path, image_HWC: np.ndarray, text: str) -> None:
    class Poor:
        def run(self, *_: object) -> None:
            raise RuntimeError(text)

    engine = Engine(invert_model)
    engine._session = Poor()
    with pytest.raises(ImageError, match="does not fit"):
        engine(image_HWC)
    text = "something else"
    with pytest.raises(RuntimeError, match="something else"):
        engine(image_HWC)


def test_threads(invert_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(invert_model, threads=1)
    images = [np.roll(image_HWC, shift, axis=0)[: 8 + shift] for shift in range(16)] * 8
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(engine, images))
    assert all(np.array_equal(result, 255 - image) for result, image in zip(results, images, strict=True))


def test_bad_models(tmp_path: Path) -> None:
    (tmp_path / "garbage.onnx").write_bytes(b"garbage")
    (tmp_path / "empty.onnx").write_bytes(b"")
    save_model(tmp_path / "external.onnx", INVERT, external=True)
    save_model(tmp_path / "bare.onnx", None)
    for name, message in [
        ("garbage", "not a usable ONNX model"),
        ("empty", "not a usable ONNX model"),
        ("external", "not a usable ONNX model .*xternal"),
        ("bare", r"has no translate\.spec.*`translate export`"),
        ("missing", "no such file"),
    ]:
        with pytest.raises(ModelError, match=message) as caught:
            Engine(tmp_path / f"{name}.onnx")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("present", [False, True])
def test_no_gpu(
    invert_model: Path, present: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where the device is there and CUDA's libraries do not load."""
    if engine_module._gpu_present():
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(engine_module, "_gpu_present", lambda: present)
    assert Engine(invert_model).device == "cpu"
    with pytest.raises(ModelError, match="no usable NVIDIA GPU"):
        Engine(invert_model, device="cuda")
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
def test_gpu(double_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(double_model, device="cuda")
    assert engine.device == "cuda"
    assert np.array_equal(engine(image_HWC)[::2, ::2], image_HWC)


def test_apply_at_working_size_keeps_alpha_of_cut_outs_but_not_of_lines(tmp_path: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, working_size=32)))
    alpha_HW = np.zeros(image_HWC.shape[:2], np.uint8)
    alpha_HW[:, :20] = 255
    cut_out = engine.apply(Picture(image_HWC, alpha_HW))
    assert cut_out.alpha_HW is not None
    assert np.array_equal(cut_out.alpha_HW, alpha_HW)
    alpha_HW[:, 2:] = 0
    assert engine.apply(Picture(image_HWC, alpha_HW)).alpha_HW is None
