"""The page's own arithmetic on pixels is that of the Engine."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import INVERT, save_model
from nodes import node

import export.targets.web
from translate.inference.engine import Engine
from translate.inference.placement import content_box, content_share_of, cut_out, frame_of, through_frame
from translate.inference.tiling import spans
from translate.pictures.operations import Picture, flatten, grey, relight, resize

PAGE = Path(export.targets.web.__file__).parent / "page"

SCRIPT = """
import { readFileSync } from "node:fs";
import * as pixels from "./pixels.js";
import { apply, spans } from "./engine.js";
const image = ({ shape: [height, width, channels], data }) => {
  return { height, width, channels, data: Uint8Array.from(data) };
};
let runs = 0;
const run = async (given) => (runs++, { ...given, data: given.data.map((value) => 255 - value) });
const convert = (picture, model, memory) => apply(picture, model, run, { memory });
const made = [];
for (const [name, ...given] of JSON.parse(readFileSync(0))) {
  const values = given.map((value) => (value?.data ? image(value) : value));
  const found = await { ...pixels, spans, convert, counted: () => runs }[name](...values);
  const shape = [found?.height, found?.width, found?.channels];
  made.push(found?.data ? { shape, data: [...found.data] } : found);
}
console.log(JSON.stringify(made));
"""


def js(tmp_path: Path, *calls: tuple[Any, ...]) -> list[Any]:
    """The results of functions of the page; arrays (H, W, C) are images."""
    for name in ("pixels.js", "engine.js"):
        (tmp_path / name).write_bytes((PAGE / name).read_bytes())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "script.mjs").write_text(SCRIPT)

    def packed(value: Any) -> Any:
        return {"shape": value.shape, "data": value.ravel().tolist()} if isinstance(value, np.ndarray) else value

    given = json.dumps([[packed(value) for value in call] for call in calls])
    found = json.loads(node("script.mjs", cwd=tmp_path, given=given))
    return [
        np.array(value["data"], np.uint8).reshape(value["shape"])
        if isinstance(value, dict) and "data" in value
        else value
        for value in found
    ]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def drawing(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    """A square of black lines on grey paper that is lighter at the right, with grain and one speck."""
    sheet_HWC = np.full((height, width, 3), 200, np.uint8)
    sheet_HWC += np.linspace(0, 40, width, dtype=np.uint8)[:, None]
    sheet_HWC += np.random.default_rng(1).integers(0, 4, sheet_HWC.shape, np.uint8)
    sheet_HWC[[top, top + side - 1], left : left + side] = 10
    sheet_HWC[top : top + side, [left, left + side - 1]] = 10
    sheet_HWC[height - 3, width - 3] -= 60
    return sheet_HWC


def test_resizing_is_the_same_to_the_bit(tmp_path: Path) -> None:
    image_HWC = noise(37, 53, 3)
    sizes = [(37, 53), (16, 16), (100, 20), (7, 200), (1, 1), (74, 106)]
    found = js(tmp_path, *(("resize", image_HWC, *size) for size in sizes), ("resize", image_HWC[..., :1], 50, 9))
    for size, made_HWC in zip(sizes, found, strict=False):
        np.testing.assert_array_equal(made_HWC, resize(image_HWC, *size))
    np.testing.assert_array_equal(found[-1][..., 0], resize(image_HWC[..., 0], 50, 9))


def test_colours_and_light(tmp_path: Path) -> None:
    picture_HWC, before_HWC, after_HWC, rgba_HWC = (
        noise(30, 40, 3),
        noise(10, 14, 3),
        noise(10, 14, 3)[::-1],
        noise(9, 7, 4),
    )
    found = js(
        tmp_path,
        ("grey", picture_HWC),
        ("relight", picture_HWC, before_HWC, after_HWC),
        ("withoutAlpha", rgba_HWC),
    )
    np.testing.assert_array_equal(found[0], grey(picture_HWC))
    assert np.abs(found[1].astype(int) - relight(picture_HWC, before_HWC, after_HWC)).max() <= 1
    np.testing.assert_array_equal(found[2], flatten(Picture(rgba_HWC[..., :3], rgba_HWC[..., 3])))


@pytest.mark.parametrize(
    ("facts", "size", "drawn"),
    [
        ({"scene_size": 20}, (60, 90), 9),
        ({"scene_size": 80}, (60, 90), 9),
        ({"working_size": 32}, (60, 90), 48),
        ({"working_size": 32, "content_share": 0.9}, (120, 150), 40),
        ({"min_size": 70}, (60, 90), 9),
        ({"receptive_field": 9, "size_multiple": 4, "bytes_per_pixel": 100}, (130, 210), 9),
        ({"input_channels": 1}, (20, 30), 9),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_pictures_are_converted_as_by_the_engine(
    tmp_path: Path, facts: dict[str, Any], size: tuple[int, int], drawn: int
) -> None:
    """With a model that inverts colours; with a limit on memory, in several runs."""
    spec = dataclasses.replace(INVERT, **facts)
    picture_HWC = drawing(*size, 10, 12, drawn)
    model = {"spec": json.loads(spec.to_json()), "content_share": content_share_of(spec)}
    opaque_HWC = np.full((*size, 1), 255, np.uint8)
    rgba_HWC = np.concatenate([picture_HWC, opaque_HWC], axis=2)
    limit = 100 * 100 * spec.bytes_per_pixel
    found_HWC, runs = js(tmp_path, ("convert", rgba_HWC, model, limit), ("counted",))
    if spec.input_channels == 1:
        wanted_HWC = np.repeat(255 - grey(picture_HWC), 3, axis=2)
    else:
        engine = Engine(save_model(tmp_path / "model.onnx", spec), device="cpu")
        wanted_HWC = engine.apply(Picture(picture_HWC)).rgb_HWC
    assert np.abs(found_HWC[..., :3].astype(int) - wanted_HWC).max() <= 1
    assert (found_HWC[..., 3] == 255).all()
    assert (runs == 1) == (spec.receptive_field is None)


SHEETS = {
    "small": drawing(200, 300, 60, 100, 50),
    "at the edge": drawing(300, 120, 0, 0, 40),
    "large": drawing(64, 64, 5, 5, 55),
    "reduced": drawing(280, 200, 150, 90, 60),
    "empty": np.full((40, 50, 3), 255, np.uint8),
    "narrow": drawing(3, 90, 0, 20, 2),
}


def test_framing_is_the_same(tmp_path: Path) -> None:
    output_SSC = noise(32, 32, 3)
    squares = {name: frame_of(sheet_HWC, 0.9) for name, sheet_HWC in SHEETS.items()}
    assert [name for name, square in squares.items() if square] == ["small", "at the edge", "reduced"]
    calls, wanted = [], []
    for name, sheet_HWC in SHEETS.items():
        box, square = content_box(sheet_HWC), squares[name]
        frame = square and {"top": square.top, "left": square.left, "side": square.bottom - square.top}
        calls += [("contentBox", sheet_HWC), ("frameOf", sheet_HWC, 0.9)]
        wanted += [box._asdict() if box else None, frame]
        if square:
            calls += [("cutOut", sheet_HWC, frame), ("pasteIn", sheet_HWC, frame, output_SSC, 1)]
            wanted += [cut_out(sheet_HWC, square), through_frame(sheet_HWC, square, 32, 1, lambda _: output_SSC)]
    for call, found, right in zip(calls, js(tmp_path, *calls), wanted, strict=True):
        np.testing.assert_equal(found, right, err_msg=call[0])


@pytest.mark.parametrize(
    ("length", "tile", "multiple", "field"), [(50, 100, 1, 9), (500, 100, 4, 35), (101, 100, 8, 20)]
)
def test_windows_are_the_same(tmp_path: Path, length: int, tile: int, multiple: int, field: int) -> None:
    (found,) = js(tmp_path, ("spans", length, tile, {"size_multiple": multiple, "receptive_field": field}))
    wanted = spans(length, tile, multiple, field)
    assert [(span["start"], span["stop"], span["keepStart"], span["keepStop"]) for span in found] == [
        (span.start, span.stop, span.keep_start, span.keep_stop) for span in wanted
    ]
