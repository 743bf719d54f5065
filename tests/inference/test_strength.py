"""Results mixed with the pictures they were made of."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from PIL import Image

from translate.cli.main import main
from translate.conversion.worker import Conversion
from translate.errors import ConfigError
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, mixed, read_picture


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(save_model(tmp_path / "model.onnx", INVERT))


@pytest.mark.parametrize("strength", [0.0, 0.25, 0.5, 1.0])
def test_mixtures(strength: float, engine: Engine, image_HWC: np.ndarray) -> None:
    made = engine.apply(Picture(image_HWC), strength=strength)
    exact_HWC = image_HWC + strength * ((255.0 - image_HWC) - image_HWC)
    np.testing.assert_array_equal(made.rgb_HWC, np.rint(exact_HWC))
    assert made.rgb_HWC.dtype == np.uint8


def test_the_depth_is_that_of_the_result() -> None:
    eight_HWC, sixteen_HWC = np.full((300, 2, 3), 100, np.uint8), np.full((300, 2, 3), 1000, np.uint16)
    assert (mixed(eight_HWC, sixteen_HWC, 0.5) == (25700 + 1000) // 2).all()
    assert (mixed(sixteen_HWC, eight_HWC, 0.5) == 52).all()  # 1000 of 16 bits is 4 of 8


def test_alpha_and_facts_stay(engine: Engine, image_HWC: np.ndarray) -> None:
    given = Picture(image_HWC, image_HWC[..., 0], exif=b"facts")
    made = engine.apply(given, strength=0.5)
    np.testing.assert_array_equal(made.alpha_HW, given.alpha_HW)
    assert made.exif == b"facts"


def test_drawings_are_mixed_as_lines_on_paper(tmp_path: Path) -> None:
    paper = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, working_size=32)))
    clear = Picture(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8))
    made = paper.apply(clear, strength=0.2)
    assert made.alpha_HW is None
    assert (made.rgb_HWC == 204).all()  # white paper, and a black result


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_out_of_range(strength: float, engine: Engine, image_HWC: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"^strength is .*; give 0 \(the picture as it was\) to 1 \(the result\)$"):
        engine.apply(Picture(image_HWC), strength=strength)
    with pytest.raises(ConfigError, match=r"^strength is "):
        Conversion(strength=strength).check(engine)


def test_models_that_enlarge_do_not_mix(tmp_path: Path) -> None:
    large = Engine(save_model(tmp_path / "large.onnx", DOUBLE))
    with pytest.raises(ConfigError, match=r"^double makes pictures larger, .*; omit the strength$"):
        Conversion(strength=0.5).check(large)


def test_the_command(engine: Engine, tmp_path: Path, image_HWC: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(image_HWC).save(tmp_path / "in.png")
    frames = [Image.fromarray(np.roll(image_HWC, shift, axis=1)) for shift in (0, 4)]
    frames[0].save(tmp_path / "in.webp", save_all=True, append_images=frames[1:], duration=80, lossless=True)
    options = ["--model", str(engine.path), "--strength", "0.25"]
    assert main(["convert", str(tmp_path / "in.png"), str(tmp_path / "out.png"), *options]) == 0
    expected = engine.apply(Picture(image_HWC), strength=0.25)
    np.testing.assert_array_equal(read_picture(tmp_path / "out.png").rgb_HWC, expected.rgb_HWC)
    assert main(["convert", str(tmp_path / "in.webp"), str(tmp_path / "out.webp"), *options]) == 0
    found_HWC = read_picture(tmp_path / "out.webp").rgb_HWC.astype(int)
    assert abs(found_HWC - expected.rgb_HWC).mean() < abs(found_HWC - image_HWC).mean() / 2
    assert main(["convert", str(tmp_path / "in.png"), str(tmp_path / "out"), *options[:2], "--strength", "2"]) == 2
    assert "--strength 2 is out of range" in capsys.readouterr().err


def test_results_of_earlier_versions_stay_valid(engine: Engine) -> None:
    plain = Conversion()
    assert plain.digest(engine) == dataclasses.replace(plain, strength=1.0).digest(engine)
    assert plain.digest(engine) != dataclasses.replace(plain, strength=0.9).digest(engine)
