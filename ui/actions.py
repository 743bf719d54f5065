"""The work behind the buttons: from the browser's raw input to a finished file, independent of any widget.

Gradio would decode uploads itself, in every format Pillow knows and with hardly any limit on pixels. The events
therefore pass raw values (`preprocess=False`), and files are converted by `ui.files`.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import gradio as gr

from translate.conversion.worker import Conversion
from translate.credentials.identity import OFF
from translate.errors import ConfigError, ImageError, TooLarge
from translate.inference.engine import Engine
from translate.pictures.jpeg_traces import jpeg_traces
from translate.pictures.operations import (
    Picture,
    Pixels,
    bicubic,
    fit_size,
    flatten,
    resize,
    with_bits,
    write_picture,
)
from translate.spec import ModelSpec
from ui import files
from ui.words import text

STYLE_COUNT = 1 << 32
"""Styles are numbered from 0 to one less than this."""
PREVIEW_SIDE = 1600
"""Longer side in pixels of what is shown of a result; what is downloaded is never reduced."""
ENLARGED_SIDE = 3000
"""The same for models that enlarge, whose results are looked at pixel by pixel."""


@dataclass(frozen=True)
class Made:
    """A finished conversion."""

    result: Path
    """The file to download."""
    shown: "Shown | None"
    """What is shown of it; None if it is too large, or was not asked for."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """Pictures to compare, which may be smaller than the files they show."""

    before: Path
    after: Path
    bicubic: Path | None
    """The picture enlarged without a model, of the same size as `after`; None if the model does not enlarge."""
    height: int
    width: int
    """The size of the result in pixels."""
    seconds: float
    """How long the conversion took, from reading the file to writing the result."""
    traces: bool
    """Whether the picture was compressed strongly, see `translate.pictures.jpeg_traces`."""


def uploaded_file(value: Mapping[str, Any], cache: Path) -> Path:
    """Return an uploaded file under the name that it had, in a folder of its own.

    Args:
        value: the raw value of a component with one file: its `path`, and `orig_name` if known.
        cache: where uploads are stored.

    Raises:
        ImageError: not in `cache`, or not named like a picture.
    """
    path, named = Path(value["path"]), value.get("orig_name")
    name = files.safe_name(named if isinstance(named, str) and named else path.name)
    # The path comes from the browser; it must not give access to other files on this computer.
    try:
        found = path.resolve().is_relative_to(cache.resolve()) and path.is_file()
    except (OSError, ValueError):  # no path at all
        found = False
    if not found:
        raise ImageError(f"{name}: not an uploaded file; upload it again")
    return linked(path, cache, name)


def linked(path: Path, cache: Path, name: str) -> Path:
    """Give a file a second name, in a new folder of the cache."""
    target = files.new_folder(cache) / name
    try:
        os.link(path, target)
    except OSError:  # another disk
        shutil.copyfile(path, target)
    return target


def conversion(
    spec: ModelSpec,
    label: Any,
    style: Any,
    detail: Any,
    output_format: Any,
    strength: Any = 1.0,
    credentials: str = OFF,
) -> Conversion:
    """Return the controls on the page that the model supports, as `translate convert` would be given them.

    Args:
        spec: the model.
        label: class label, or None for the first.
        style: style number, as in `translate convert --style`; None is 0, the default style.
        detail: from 0 (faithful) to 1 (sharp), or None for 0.
        output_format: one of `ui.files.OUTPUT_FORMATS`.
        strength: share of the result in a mixture with the picture, for models that do not enlarge.
        credentials: as in `translate convert --credentials`.

    Raises:
        ConfigError: the style number or the format is invalid, or a value is of another type.
    """
    for name, value in (("style", style), ("detail", detail), ("strength", strength)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"the {name} is {value!r}; give a number")
    if not isinstance(label, str | None):
        raise ConfigError(f"the label is {label!r}; give its name")
    found: dict[str, Any] = {}
    if spec.labels:
        found["label"] = label
    if spec.style_size:
        number = style or 0
        if not 0 <= number < STYLE_COUNT or number != int(number):
            raise ConfigError(f"the style is {number:g}; give a whole number from 0 (the default) to {STYLE_COUNT - 1}")
        found["style"] = int(number)
    if spec.detail:
        found["detail"] = detail
    if spec.scale == 1:
        found["strength"] = 1.0 if strength is None else strength
    found |= {"output_format": files.output_format(output_format), "credentials": credentials}
    return Conversion(**found, name=files.NAME)


def random_style() -> int:
    """Return a random style number other than the default; short, so that it can be noted down."""
    return 1 + secrets.randbelow(9999)


def make(
    engine: Engine,
    source: Path,
    cache: Path,
    how: Conversion,
    *,
    shown: bool = True,
    most_pixels: int | None = None,
    request: gr.Request | None = None,
) -> Made:
    """Convert a file of at most so many pixels, and if it is to be shown, reduce it and the result for the page.

    `request`: decides the language of the notes, see `ui.words.text`.

    Raises:
        TranslateError: it cannot be converted.
    """
    begun = perf_counter()
    result, notes = files.convert_file(engine, source, files.new_folder(cache), how, most_pixels=most_pixels)
    seconds = perf_counter() - begun
    if (frames := files.READER.count_frames(result)) > 1:
        notes = (*notes, text("tab.frames", request, frames=frames))
    if not shown:
        return Made(result, None, notes)
    try:
        before = with_bits(files.READER.decode(source, source.name, max_pixels=engine.max_pixels), 8)
        after = with_bits(
            files.READER.decode(result, result.name, max_pixels=engine.max_pixels * engine.spec.scale**2), 8
        )
    except TooLarge:
        return Made(result, None, (*notes, text("tab.not_shown", request)))
    traces = jpeg_traces(files.READER.jpeg_quality(source), before.rgb_HWC)
    height, width, most = after.height, after.width, ENLARGED_SIDE if engine.spec.scale > 1 else PREVIEW_SIDE
    if max(height, width) > most:
        notes = (*notes, text("tab.smaller", request, width=width, height=height))
    pictures = _previews(flatten(before), flatten(after), most)
    folder = files.new_folder(cache)
    paths = [folder / name for name in ("before.png", "after.png", "bicubic.png")[: len(pictures)]]
    for path, picture_HWC in zip(paths, pictures, strict=True):
        write_picture(path, Picture(picture_HWC))
    return Made(
        result, Shown(paths[0], paths[1], paths[2] if len(paths) > 2 else None, height, width, seconds, traces), notes
    )


def _previews(before_HWC: Pixels, after_HWC: Pixels, most: int) -> list[Pixels]:
    """Before and after with at most `most` pixels on the longer side, and if it is larger, before enlarged to after."""
    height, width = after_HWC.shape[:2]
    if max(height, width) > most:
        height, width = fit_size(height, width, most)
    after_HWC = resize(after_HWC, height, width)
    if max(before_HWC.shape[:2]) < max(height, width):  # the browser shows its pixels as they are
        return [before_HWC, after_HWC, bicubic(before_HWC, height, width)]
    return [resize(before_HWC, height, width), after_HWC]
