"""16 bits, any number of channels, alpha and scenes through the engine."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import INVERT, save_model
from test_engine import ALL, DEEP, GREY, save_cast, save_sum

from translate.cli.main import main
from translate.errors import ImageError
from translate.inference.engine import RESULT_BYTES, Engine
from translate.pictures.operations import Picture, read_picture, relight, resize, write_picture


def test_16_bits_and_any_channels(tmp_path: Path) -> None:
    engine = Engine(save_sum(tmp_path / "m.onnx", DEEP), device="cpu")
    image_NHWC = np.random.default_rng(0).integers(0, 65536, (2, 8, 9, 4), dtype=np.uint16)
    result = engine(image_NHWC)
    assert result.dtype == np.uint16
    assert np.array_equal(result, image_NHWC)
    with pytest.raises(ImageError, match=r"type uint8, expected uint16 in 0\.\.65535"):
        engine(image_NHWC.astype(np.uint8))
    with pytest.raises(ImageError, match=r"expected \(height, width, 4\)"):
        engine(image_NHWC[..., :3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "deep takes 4 channels, but picture files have 1 or 3; call its Engine from Python with arrays"),
        ({"input_channels": 3}, "deep returns 4 channels, but picture files"),
    ],
)
def test_apply_refuses_what_pictures_do_not_have(
    tmp_path: Path, changes: dict[str, object], message: str, image_HWC: np.ndarray
) -> None:
    engine = Engine(save_sum(tmp_path / "m.onnx", dataclasses.replace(DEEP, **changes)), device="cpu")
    with pytest.raises(ImageError, match=message):
        engine.apply(Picture(image_HWC))


@pytest.mark.parametrize(
    ("given", "taken", "returned"), [(8, 16, 8), (16, 8, 16), (16, 16, 16), (16, 8, 8), (8, 8, 16)]
)
def test_apply_with_any_bits(tmp_path: Path, given: int, taken: int, returned: int) -> None:
    spec = dataclasses.replace(DEEP, input_channels=3, output_channels=3, input_bits=taken, output_bits=returned)
    engine = Engine(save_cast(tmp_path / "m.onnx", spec), device="cpu")
    level = 100 * 257 if given == 16 else 100
    alpha_HW = np.full((9, 8), level, f"uint{given}")
    picture = Picture(np.full((9, 8, 3), level, f"uint{given}"), alpha_HW, icc=b"i", exif=b"e", xmp=b"x", notes=("n",))
    result = engine.apply(picture)
    expected = 100 * 257 if returned == 16 else 100
    assert result.bits == returned
    assert (result.rgb_HWC == expected).all()
    assert result.alpha_HW is not None
    assert result.alpha_HW.dtype == result.rgb_HWC.dtype
    assert (result.alpha_HW == expected).all()
    assert (result.icc, result.exif, result.xmp, result.notes) == (b"i", b"e", b"x", ("n",))


@pytest.mark.parametrize("working_size", [None, 64])
def test_apply_with_a_grey_model(tmp_path: Path, image_HWC: np.ndarray, working_size: int | None) -> None:
    spec = dataclasses.replace(GREY, working_size=working_size)
    engine = Engine(save_sum(tmp_path / "m.onnx", spec), device="cpu")
    result = engine.apply(Picture(np.full_like(image_HWC, 1) * np.array([200, 100, 50], np.uint8)))
    assert result.rgb_HWC.shape == image_HWC.shape
    assert (result.rgb_HWC == 124).all()  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    # The same grey as in training, up to one level of rounding.
    grey_HW = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY).astype(int)
    if working_size is None:
        found_HWC = engine.apply(Picture(image_HWC)).rgb_HWC
        assert np.abs(found_HWC - grey_HW[..., None]).max() <= 1


def test_convert_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(tmp_path / "in.png", Picture(np.full((8, 9, 3), 100, np.uint8)))
    common = ["convert", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--model"]
    both = [*common, str(save_sum(tmp_path / "both.onnx", dataclasses.replace(ALL, name="both", style_size=64)))]

    def level(*arguments: str) -> int:
        assert main([*both, *arguments]) == 0
        return int(read_picture(tmp_path / "out.png").rgb_HWC.max())

    assert (level(), level("--style", "0"), level("--label", "night")) == (100, 100, 102)
    for seed in (1, 7):
        style_S = np.random.default_rng(seed).standard_normal(64, np.float32)
        assert level("--style", str(seed), "--label", "dusk") == int(101 + style_S.sum())
    assert (level("--detail", "0"), level("--detail", "1"), level("--detail", ".5", "--label", "dusk")) == (
        100,
        200,
        151,
    )

    (tmp_path / "out.png").unlink()
    plain = [*common, str(save_model(tmp_path / "plain.onnx", INVERT))]
    for arguments, error in [
        ([*plain, "--label", "day"], "invert was trained without labels; omit the label"),
        ([*plain, "--style", "0"], "invert was trained without styles; omit the style"),
        ([*both, "--label", "nigth"], "both has no label 'nigth'; did you mean night?"),
        ([*plain, "--detail", "0"], "invert has no detail control; omit the detail"),
        (
            [*both, "--detail", "1.5"],
            "--detail 1.5 is out of range; give 0 (most faithful) to 1 (sharpest)",
        ),
        (
            [*both, "--detail", "nan"],
            "--detail nan is out of range; give 0 (most faithful) to 1 (sharpest)",
        ),
        (
            [*both, "--style", "-1"],
            "--style -1 is out of range; give 0 (the model's default), or 1 or more for a random style",
        ),
    ]:
        capsys.readouterr()
        assert main(arguments) == 2
        assert capsys.readouterr() == ("", f"translate: {error}\n")
    assert not (tmp_path / "out.png").exists()


def test_a_scene_is_changed_at_its_size_and_keeps_its_detail(tmp_path: Path, image_HWC: np.ndarray) -> None:
    scenes = dataclasses.replace(INVERT, scene_size=8)
    engine = Engine(save_model(tmp_path / "scenes.onnx", scenes), device="cpu")
    small_HWC = image_HWC[:8, :20]
    np.testing.assert_array_equal(engine.apply(Picture(small_HWC)).rgb_HWC, 255 - small_HWC)
    height, width = image_HWC.shape[:2]
    reduced_HWC = resize(image_HWC, round(height * 8 / min(height, width)), round(width * 8 / min(height, width)))
    expected_HWC = relight(image_HWC, reduced_HWC, 255 - reduced_HWC)
    np.testing.assert_array_equal(engine.apply(Picture(image_HWC)).rgb_HWC, expected_HWC)
    whole = Engine(save_model(tmp_path / "plain.onnx", INVERT), device="cpu", tile=0)
    assert engine.max_pixels > whole.max_pixels
    assert engine.work_bytes(80, 160) == 8 * 16 * scenes.bytes_per_pixel + 80 * 160 * RESULT_BYTES


def test_what_alpha_hides_does_not_show(tmp_path: Path) -> None:
    engine = Engine("super-resolution", device="cpu")  # it looks at neighbours
    rgb_HWC = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    alpha_HW = np.zeros((24, 30), np.uint8)
    alpha_HW[6:18, 8:20] = 255
    results: list[Picture] = []
    for hidden in (0, 255):
        picture_HWC = np.where(alpha_HW[..., None] > 0, rgb_HWC, np.uint8(hidden))
        results.append(engine.apply(Picture(picture_HWC, alpha_HW)))
    assert np.array_equal(results[0].rgb_HWC, results[1].rgb_HWC)
    assert np.array_equal(results[0].alpha_HW, resize(alpha_HW, 96, 120))
