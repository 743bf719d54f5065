"""Small drawings are brought to the size that the model knows, and back."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import INVERT, save_model
from PIL import Image, ImageDraw

from translate.cli.main import main
from translate.conversion.huge import convert_huge
from translate.conversion.worker import Conversion
from translate.inference.engine import Engine
from translate.inference.models import ShippedModel, shipped
from translate.inference.placement import (
    Box,
    Placement,
    content_box,
    content_share_of,
    frame_of,
    through_frame,
    typical_share,
)
from translate.pictures.operations import Picture, read_picture, resize
from translate.spec import ModelSpec

WORKING = 64
SHARE = 0.9
SHEET = 400
SKETCHER = dataclasses.replace(INVERT, working_size=WORKING, content_share=SHARE)


def drawing(side: int, pen: int = 1) -> np.ndarray:
    """A house on white, uint8 (side, side, 3), that fills the share that training pictures do."""
    image = Image.new("RGB", (side, side), "white")
    near, far = round(side * (1 - SHARE) / 2), round(side * (1 + SHARE) / 2) - 1
    pencil = ImageDraw.Draw(image)
    middle, roof = side // 2, near + (far - near) // 3
    pencil.polygon([(middle, near), (far, roof), (near, roof)], outline="black", width=pen)
    pencil.rectangle([near, roof, far, far], outline="black", width=pen)
    pencil.rectangle([middle, side * 2 // 3, middle + side // 8, far], fill="black")
    return np.asarray(image)


def laid(small: np.ndarray, top: int, left: int, paper: int = 255) -> np.ndarray:
    """A small picture on a large sheet."""
    sheet_HWC = np.full((SHEET, SHEET, 3), paper, np.uint8)
    sheet_HWC[top : top + len(small), left : left + len(small)] = np.minimum(small, paper)
    return sheet_HWC


def corners(side: int) -> list[tuple[int, int]]:
    """Places of a square on the sheet: its corners, and somewhere."""
    end = SHEET - side
    return [(0, 0), (0, end), (end, 0), (end, end), (end // 3, end // 2)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A model that sees the whole at 64 pixels and makes its negative."""
    return Engine(save_model(tmp_path_factory.mktemp("model") / "sketcher.onnx", SKETCHER), device="cpu")


@pytest.mark.parametrize("side", [64, 100, 160, 220])
def test_a_small_drawing_gives_what_it_gives_well_framed(engine: Engine, side: int) -> None:
    """Its result, moved and scaled; around it the background, which this model paints black."""
    house_SSC = drawing(side, pen=max(1, side // 40))
    alone_SSC = engine.apply(Picture(house_SSC)).rgb_HWC
    for top, left in corners(side):
        result_HWC = engine.apply(Picture(laid(house_SSC, top, left))).rgb_HWC
        assert result_HWC.shape == (SHEET, SHEET, 3)
        placed_SSC = result_HWC[top : top + side, left : left + side]
        # The box is found to about a pixel of a smaller copy, so edges may lie a pixel or two aside.
        difference_SSC = np.abs(placed_SSC.astype(int) - alone_SSC)
        assert difference_SSC.mean() < 16, (side, top, left)
        correlation = np.corrcoef(_soft(placed_SSC), _soft(alone_SSC))[0, 1]
        assert correlation > 0.9, (side, top, left, correlation)
        outside_HW = np.ones((SHEET, SHEET), bool)
        outside_HW[top : top + side, left : left + side] = False
        assert result_HWC[outside_HW].max() <= 8


def _soft(image_SSC: np.ndarray) -> np.ndarray:
    return resize(np.ascontiguousarray(image_SSC), 32, 32).ravel().astype(float)


def test_the_whole_sheet_would_have_blurred_it(engine: Engine) -> None:
    """What the framing is for: of 64 pixels the drawing gets nearly all, not a sixth."""
    sheet_HWC = laid(drawing(64), 100, 200)
    inside = np.s_[100:164, 200:264]
    truth = (255 - sheet_HWC[inside]).astype(int)
    framed, whole = (
        np.abs(engine.apply(Picture(sheet_HWC), framing=framing).rgb_HWC[inside] - truth).mean()
        for framing in ("auto", "off")
    )
    assert framed < 0.5 * whole


def test_the_places_are_exact_where_nothing_is_resized() -> None:
    sheet_HWC = laid(drawing(64), 17, 230)
    frame = Box(17, 81, 230, 294)
    result_HWC = through_frame(sheet_HWC, frame, 64, 1, lambda crop_SSC: 255 - crop_SSC)
    assert np.array_equal(result_HWC, 255 - sheet_HWC)


def test_a_frame_beyond_the_sheet_sees_more_paper_and_scales() -> None:
    sheet_HWC = np.full((100, 80, 3), 200, np.uint8)
    sheet_HWC[0:20, 60:80] = 10
    seen: list[np.ndarray] = []

    def twice(crop_SSC: np.ndarray) -> np.ndarray:
        seen.append(crop_SSC)
        return crop_SSC.repeat(2, axis=0).repeat(2, axis=1)

    result_HWC = through_frame(sheet_HWC, Box(-10, 30, 50, 90), 40, 2, twice)
    assert seen[0].shape == (40, 40, 3)
    assert np.all(seen[0][:10] == 200)
    assert np.all(seen[0][:, 30:] == 200)
    assert np.array_equal(result_HWC, sheet_HWC.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("side", [280, 400])
def test_drawings_that_fill_the_frame_give_the_same_bytes(engine: Engine, side: int) -> None:
    for top, left in corners(side):
        sheet = Picture(laid(drawing(side), top, left))
        off = engine.apply(sheet, framing="off").rgb_HWC
        assert np.array_equal(engine.apply(sheet).rgb_HWC, off)
        assert np.array_equal(off, resize(255 - resize(sheet.rgb_HWC, WORKING, WORKING), SHEET, SHEET))


def test_an_empty_sheet_stays_as_it_was(engine: Engine) -> None:
    random = np.random.default_rng(0)
    for sheet_HWC in (
        np.full((SHEET, SHEET, 3), 255, np.uint8),
        np.clip(230 + random.normal(0, 8, (SHEET, SHEET, 3)), 0, 255).astype(np.uint8),
        np.broadcast_to(np.linspace(180, 250, SHEET).astype(np.uint8)[:, None, None], (SHEET, SHEET, 3)),
    ):
        assert content_box(sheet_HWC) is None
        sheet = Picture(np.ascontiguousarray(sheet_HWC))
        assert np.array_equal(engine.apply(sheet).rgb_HWC, engine.apply(sheet, framing="off").rgb_HWC)


def assert_near(found: Box | None, expected: Box, within: int = 4) -> None:
    assert found is not None
    assert np.abs(np.array(found) - np.array(expected)).max() <= within, found


HOUSE = Box(53, 143, 205, 295)
"""What is black of `laid(drawing(100), 48, 200)`."""


def test_the_box_of_the_drawing() -> None:
    assert_near(content_box(laid(drawing(100), 48, 200)), HOUSE)


@pytest.mark.parametrize("paper", [255, 225, 128])
def test_paper_may_have_a_tone_a_grain_and_a_shade(paper: int) -> None:
    sheet_HWC = laid(drawing(100), 48, 200, paper).astype(float)
    assert_near(content_box(sheet_HWC.astype(np.uint8)), HOUSE)
    grain_HWC = np.random.default_rng(1).normal(0, 6, sheet_HWC.shape)
    assert_near(content_box(np.clip(sheet_HWC + grain_HWC, 0, 255).astype(np.uint8)), HOUSE)
    shade_H11 = np.linspace(1.0, 0.75, SHEET)[:, None, None]
    assert_near(content_box((sheet_HWC * shade_H11).astype(np.uint8)), HOUSE)


def test_specks_are_no_drawing_and_two_things_have_one_box() -> None:
    sheet_HWC = laid(drawing(100), 48, 200)
    for y, x in ((5, 5), (390, 12), (380, 395), (250, 60)):
        sheet_HWC[y : y + 2, x : x + 2] = 60
    assert_near(content_box(sheet_HWC), HOUSE)
    sheet_HWC[240:280, 20:60] = drawing(100)[:40, :40]
    sheet_HWC[240:280, 20:60] = 0
    assert_near(content_box(sheet_HWC), Box(53, 280, 20, 295))


def test_white_on_black_and_16_bits() -> None:
    assert_near(content_box(255 - laid(drawing(100), 48, 200)), HOUSE)
    assert_near(content_box(laid(drawing(100), 48, 200).astype(np.uint16) * 257), HOUSE)


def test_what_is_not_known_is_left_alone() -> None:
    sheet_HWC = laid(drawing(100), 48, 200)
    assert frame_of(sheet_HWC, 0.0) is None
    frame = frame_of(sheet_HWC, SHARE)
    assert frame is not None
    assert_near(frame, Box(48, 148, 200, 300))
    assert frame.bottom - frame.top == frame.right - frame.left


def test_the_share_of_training_pictures() -> None:
    pictures = [drawing(128), drawing(200), laid(drawing(100), 0, 0), np.full((64, 64, 3), 255, np.uint8)]
    assert typical_share(pictures) == pytest.approx(SHARE, abs=0.02)
    assert typical_share([pictures[0][..., :1]]) == pytest.approx(SHARE, abs=0.02)
    assert typical_share(pictures[3:]) == 0.0
    assert typical_share([np.zeros((32, 32, 4), np.uint8)]) == 0.0


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({"content_share": 0.5}, 0.5),
        ({"content_share": None}, 0.9),
        ({"content_share": 0.0}, 0.0),
        ({"content_share": None, "task": "pix2pix"}, 0.0),
        ({"content_share": None, "task": "of another program"}, 0.0),
        ({"working_size": None}, 0.0),
    ],
)
def test_the_file_says_the_share_or_the_task_does(changes: dict[str, Any], share: float) -> None:
    spec = dataclasses.replace(SKETCHER, **changes)
    assert content_share_of(spec) == share


def test_older_contracts_do_not_say_it() -> None:
    text = SKETCHER.to_json().replace('"content_share": 0.9, ', "")
    assert "content_share" not in text
    assert ModelSpec.from_json(text, "old.onnx").content_share is None


# --- the command and huge pictures


def test_the_option_of_convert(engine: Engine, tmp_path: Path) -> None:
    sheet_HWC = laid(drawing(64), 100, 200)
    (tmp_path / "in").mkdir()
    Image.fromarray(sheet_HWC).save(tmp_path / "in" / "house.png")

    def convert(*options: str) -> np.ndarray:
        assert (
            main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(engine.path), *options]) == 0
        )
        return read_picture(tmp_path / "out" / "house.png").rgb_HWC

    cases: tuple[tuple[tuple[str, ...], Placement], ...]
    cases = (((), "auto"), (("--framing", "off"), "off"), (("--framing", "auto"), "auto"))
    for options, framing in cases:
        # Without --overwrite: the manifest knows that it was made otherwise.
        assert np.array_equal(convert(*options), engine.apply(Picture(sheet_HWC), framing=framing).rgb_HWC)


def test_the_digest_of_models_that_it_means_nothing_to_is_what_it_was(engine: Engine, tmp_path: Path) -> None:
    plain = Engine(save_model(tmp_path / "plain.onnx", INVERT), device="cpu")
    how, off = Conversion(), Conversion(framing="off")
    assert how.digest(plain) == off.digest(plain)
    assert how.digest(engine) != off.digest(engine)


@pytest.mark.parametrize("framing", ["auto", "off"])
def test_pictures_beyond_memory(engine: Engine, framing: Any, tmp_path: Path) -> None:
    for name, sheet_HWC in (("small", laid(drawing(90, pen=3), 40, 260)), ("large", laid(drawing(380), 10, 10))):
        Image.fromarray(sheet_HWC).save(tmp_path / f"{name}.png")
        convert_huge(tmp_path / f"{name}.png", tmp_path / f"{name}-out.png", engine, framing=framing)
        found_HWC = read_picture(tmp_path / f"{name}-out.png").rgb_HWC
        expected_HWC = engine.apply(Picture(sheet_HWC), framing=framing).rgb_HWC
        difference_HWC = np.abs(found_HWC.astype(int) - expected_HWC)
        assert difference_HWC.mean() < 1.5


@pytest.mark.parametrize("model", shipped(), ids=lambda model: model.name)
def test_samples_of_shipped_models_are_framed_as_they_are(model: ShippedModel) -> None:
    share = content_share_of(Engine(model.file, device="cpu").spec)
    assert (share > 0) == (model.task == "sketch-to-photo")
    for path in sorted(model.samples.iterdir()):
        assert frame_of(read_picture(path).rgb_HWC, share) is None, path.name
