"""Drawings from photographs and looks read off photographs, without torch: the same as training computes with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import INVERT
from test_engine import save_sum

from translate.data import sketches
from translate.errors import ConfigError
from translate.inference.controls import style_as_text, style_from_text
from translate.inference.engine import Engine
from translate.inference.looks import colour_statistics, matching_style
from translate.inference.models import shipped
from translate.networks.colour_style import ColourStyle
from translate.pictures.lines import LIMIT, SOFTNESS, draw_lines, is_drawing
from translate.pictures.operations import Picture
from translate.spec import ModelSpec

STYLED = ModelSpec(name="styled", task="sketch-to-photo", architecture="", style_size=5)


def signal(rgb_HWC: np.ndarray) -> torch.Tensor:
    white = np.iinfo(rgb_HWC.dtype).max
    return torch.from_numpy(rgb_HWC.astype(np.float32) / white * 2 - 1).permute(2, 0, 1)[None]


@pytest.fixture
def thing_HWC() -> np.ndarray:  # noqa: N802 - a fixture's name is its value's name
    """Something dark red with a texture on white paper."""
    rng = np.random.default_rng(3)
    image_HWC = np.full((96, 80, 3), 255, np.uint8)
    image_HWC[20:70, 15:60] = rng.integers((90, 10, 20), (180, 60, 90), (50, 45, 3))
    return image_HWC


@pytest.mark.parametrize("bits", [8, 16])
def test_statistics_are_those_of_training(bits: int, thing_HWC: np.ndarray) -> None:
    image_HWC = thing_HWC if bits == 8 else thing_HWC.astype(np.uint16) * 257
    expected = ColourStyle(3)(signal(image_HWC))[0].numpy()  # not yet standardised by any picture
    np.testing.assert_allclose(colour_statistics(image_HWC), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", [0, 255])
def test_statistics_of_plain_paper_are_finite(level: int) -> None:
    plain_HWC = np.full((32, 32, 3), level, np.uint8)
    found = colour_statistics(plain_HWC)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, ColourStyle(3)(signal(plain_HWC))[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("side", [96, 256])
def test_lines_are_those_of_training(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    coarse_HWC = rng.integers(0, 256, (side // 16, side // 16, 3), np.uint8)
    photo_HWC = coarse_HWC.repeat(16, axis=0).repeat(16, axis=1)
    settings = iter((LIMIT, SOFTNESS, 0.0, 0.0))  # and black ink
    monkeypatch.setattr(sketches, "_grey", lambda photo, _: photo.mean(dim=1, keepdim=True))
    monkeypatch.setattr(sketches, "_uniform", lambda *_: torch.tensor(next(settings)))
    expected = sketches.draw_soft_edges(signal(photo_HWC), torch.Generator().manual_seed(0))
    expected_HWC = ((expected[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    drawn_HWC = draw_lines(photo_HWC)
    assert drawn_HWC.dtype == np.uint8
    assert 0.02 < (drawn_HWC < 128).mean() < 0.6
    np.testing.assert_allclose(drawn_HWC, expected_HWC, atol=1.01)
    np.testing.assert_allclose(draw_lines(photo_HWC.astype(np.uint16) * 257).astype(int), drawn_HWC, atol=1)


def test_drawings_are_told_from_photographs(thing_HWC: np.ndarray) -> None:
    black_HWC = np.full((96, 80, 3), 255, np.uint8)
    black_HWC[30:60, 20:50] = 20
    assert not is_drawing(thing_HWC)
    assert not is_drawing(black_HWC)  # as much white paper as a drawing has, but an area of ink
    assert not is_drawing(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    assert is_drawing(draw_lines(black_HWC))
    assert is_drawing(draw_lines(thing_HWC))
    assert is_drawing(np.full((9, 9, 3), 255, np.uint8))


@pytest.mark.skipif(not shipped(), reason="no model is shipped")
def test_a_look_is_found_again(thing_HWC: np.ndarray) -> None:
    engine = Engine("sketch-to-photo")
    drawing = Picture(draw_lines(thing_HWC))
    blue = engine.apply(drawing, label="handbag", style=[-0.5, -1.2, 0.3, 0.5, 0.0])
    found = matching_style(engine, drawing, blue, label="handbag")
    again = engine.apply(drawing, label="handbag", style=found)
    plain = engine.apply(drawing, label="handbag")
    wanted = colour_statistics(blue.rgb_HWC)[:4]
    off, before = (np.abs(colour_statistics(one.rgb_HWC)[:4] - wanted).max() for one in (again, plain))
    assert off < 0.5 < 1.0 < before
    assert np.abs(found).max() <= 2.5


def test_a_look_needs_a_style_made_of_colours(tmp_path: Path, thing_HWC: np.ndarray) -> None:
    picture = Picture(thing_HWC)
    learned = ModelSpec(name="l", task="sketch-to-photo", architecture="", style_size=5, style_kind="learned")
    for spec in (INVERT, learned):
        engine = Engine(save_sum(tmp_path / "m.onnx", spec))
        with pytest.raises(ConfigError, match=r"has no style made of colours"):
            matching_style(engine, picture, picture)
    # A model without any effect on what is looked at: the mean style, and no error.
    engine = Engine(save_sum(tmp_path / "m.onnx", STYLED))
    white = Picture(np.full((16, 16, 3), 255, np.uint8))
    assert np.abs(matching_style(engine, white, white)).max() < 0.5


@pytest.mark.parametrize(("text", "style"), [("42", 42), ("-1", -1), ("0.5,-1,0", (0.5, -1.0, 0.0)), ("1,2", (1, 2))])
def test_style_as_text(text: str, style: int | tuple[float, ...]) -> None:
    assert style_from_text(text) == style
    assert style_as_text(style) == text


@pytest.mark.parametrize("text", ["", "0.5", "a", "1,nan", "1,,2", "1;2"])
def test_bad_style_texts(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^style is '.*'; give a whole number, or the numbers of a style vector"):
        style_from_text(text)
