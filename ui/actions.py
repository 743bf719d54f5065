"""The work behind the buttons: from the browser's raw input to a finished file, independent of any widget.

Gradio would decode uploads itself, in every format Pillow knows and with hardly any limit on pixels. The events
therefore pass raw values (`preprocess=False`), and pictures are read here with `translate.pictures.operations`.
"""

import re
import secrets
import shutil
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from translate.errors import ConfigError, ImageError
from translate.inference.controls import numbered_style
from translate.inference.engine import Engine
from translate.pictures.operations import READABLE, Picture, flatten, read_picture, resize, write_picture
from translate.spec import ModelSpec

STYLE_COUNT = 1 << 32
"""Styles are numbered from 0 to one less than this."""


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures in a samples folder, sorted by name; none if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)


def drawn_picture(
    value: Mapping[str, Any] | None, blobs: MutableMapping[str, Any], engine: Engine, cache: Path
) -> Picture | None:
    """Read the contents of the canvas, all layers combined; None if it is empty.

    Args:
        value: raw value of a `gr.ImageEditor`: `composite` (a file) or `id` (a key of `blobs`), or None.
        blobs: the editor's `blob_storage` with the bytes sent by the browser; the entry is removed.
        engine: limits the size by its memory.
        cache: folder for a temporary file.

    Raises:
        ImageError: not a readable picture, or too large for the memory.
    """
    if not value:
        return None
    stored = blobs.pop(value["id"], None) if value["id"] else None
    if stored is None or not stored.composite:
        return uploaded_picture(value["composite"], engine, cache) if value["composite"] else None
    path = _new_path(cache, "drawing.png")
    try:
        path.write_bytes(stored.composite)
        return uploaded_picture({"path": str(path)}, engine, cache)
    finally:
        shutil.rmtree(path.parent)


def uploaded_picture(value: Mapping[str, Any], engine: Engine, cache: Path) -> Picture:
    """Read an uploaded file; `value` is the raw value of a component with one file and contains its `path`.

    Raises:
        ImageError: not in `cache`, where uploads are stored, not a readable picture, or too large for the memory; the
            message contains only the file name, not its folder.
    """
    path = Path(value["path"])
    # The path comes from the browser; it must not give access to other files on this computer.
    if not path.resolve().is_relative_to(cache.resolve()):
        raise ImageError(f"{path.name}: not an uploaded file; upload it again")
    try:
        return read_picture(path, max_pixels=engine.max_pixels)
    except ImageError as error:
        # Do not reveal the server's folder, which also means nothing to the user.
        raise ImageError(str(error).replace(str(path), path.name)) from None


def is_blank(picture: Picture) -> bool:
    """Whether the picture, composited on white, is a single colour."""
    rgb_HWC = flatten(picture)
    return bool((rgb_HWC == rgb_HWC[0, 0]).all())


def controls(spec: ModelSpec, label: Any, style: Any, detail: Any) -> dict[str, Any]:
    """Return the controls on the page that the model supports, as keyword arguments of `Engine.apply`.

    Args:
        spec: the model.
        label: class label, or None for the first.
        style: style number, as in `translate convert --style`; None is 0, the default style.
        detail: from 0 (faithful) to 1 (sharp), or None for 0.

    Raises:
        ConfigError: the style number is invalid.
    """
    found: dict[str, Any] = {}
    if spec.labels:
        found["label"] = label
    if spec.style_size:
        number = style or 0
        if not 0 <= number < STYLE_COUNT or number != int(number):
            raise ConfigError(f"the style is {number:g}; give a whole number from 0 (the default) to {STYLE_COUNT - 1}")
        found["style"] = numbered_style(int(number), spec)
    if spec.detail:
        found["detail"] = detail
    return found


def random_style() -> int:
    """Return a random style number other than the default; short, so that it can be noted down."""
    return 1 + secrets.randbelow(9999)


def translate(
    engine: Engine, picture: Picture, cache: Path, input_name: str, chosen: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Run the model and return two PNG files of the same size: the input on white, enlarged, and the result.

    Args:
        engine: the model.
        picture: the input.
        cache: folder for the files.
        input_name: file name for the input; the result is named after the model.
        chosen: label, style and detail, see `controls`.

    Raises:
        ImageError: too large for the memory, or the file cannot be written.
        ConfigError: the model lacks a label or detail.
    """
    result = engine.apply(picture, **chosen)
    before = Picture(resize(flatten(picture), result.height, result.width))
    return save(before, cache, input_name), save(result, cache, engine.spec.name)


def save(picture: Picture, cache: Path, name: str) -> Path:
    """Write the picture as `name`.png into a new folder with an unguessable name, and return the path."""
    path = _new_path(cache, re.sub(r"[^\w.-]+", "-", name) + ".png")
    write_picture(path, picture)
    return path


def _new_path(cache: Path, name: str) -> Path:
    folder = cache / secrets.token_hex(16)
    folder.mkdir(parents=True)
    return folder / name
