"""What the buttons do: from what the browser sent to a finished file, without any widget.

Gradio would decode uploads itself, with every format Pillow knows and hardly a limit on pixels. So the events
hand over their raw values (`preprocess=False`) and the pictures are read here, by `translate.images`.
"""

import re
import secrets
import shutil
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from translate.engine import Engine, numbered_style
from translate.errors import ConfigError, ImageError
from translate.images import READABLE, Picture, flatten, read_picture, resize, write_picture
from translate.spec import ModelSpec

MOST_LOOKS = 1 << 32
"""Looks are numbered from 0 to one less than this."""


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder of samples, by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)


def drawn_picture(
    value: Mapping[str, Any] | None, blobs: MutableMapping[str, Any], engine: Engine, cache: Path
) -> Picture | None:
    """Read what is on the canvas, all layers together; None if nothing is.

    Args:
        value: raw value of a `gr.ImageEditor`: `composite` (a file) or `id` (a key of `blobs`), or None.
        blobs: the editor's `blob_storage`, where the browser has put the bytes; the entry is taken out.
        engine: its memory limits the size.
        cache: folder for the bytes while they are read.

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
    """Read an uploaded file; `value` is the raw value of a component with one file, which has its `path`.

    Raises:
        ImageError: not in `cache`, where uploads are put, not a readable picture, or too large for the memory; the
            message has the file's name alone.
    """
    path = Path(value["path"])
    # The path comes from the browser; it must not name other files of this computer.
    if not path.resolve().is_relative_to(cache.resolve()):
        raise ImageError(f"{path.name}: not an uploaded file; upload it again")
    try:
        return read_picture(path, max_pixels=engine.max_pixels)
    except ImageError as error:
        # The folder is the server's business, and means nothing to the person at the page.
        raise ImageError(str(error).replace(str(path), path.name)) from None


def is_blank(picture: Picture) -> bool:
    """Tell whether the picture, laid on white, is one plain colour."""
    rgb_HWC = flatten(picture)
    return bool((rgb_HWC == rgb_HWC[0, 0]).all())


def knobs(spec: ModelSpec, label: Any, look: Any, detail: Any) -> dict[str, Any]:
    """Return those of the choices on the page that the model has, as `Engine.apply` takes them.

    Args:
        spec: the model.
        label: name of a kind, or None for the first.
        look: number of a style, as `translate convert --style` takes it; None is 0, the plain one.
        detail: 0 faithful to 1 sharp, or None for 0.

    Raises:
        ConfigError: the look is not a number of a style.
    """
    found: dict[str, Any] = {}
    if spec.labels:
        found["label"] = label
    if spec.style_size:
        number = look or 0
        if not 0 <= number < MOST_LOOKS or number != int(number):
            raise ConfigError(f"the look is {number:g}; give a whole number from 0, the plain one, to {MOST_LOOKS - 1}")
        found["style"] = numbered_style(int(number), spec)
    if spec.detail:
        found["detail"] = detail
    return found


def random_look() -> int:
    """Return the number of any look but the plain one; short, so that it can be written down."""
    return 1 + secrets.randbelow(9999)


def translate(
    engine: Engine, picture: Picture, cache: Path, input_name: str, chosen: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Run the model and return PNG files of one size: the input on white, enlarged, and the result.

    Args:
        engine: the model.
        picture: what goes in.
        cache: folder for the files.
        input_name: what the input is called; the result is named after the model.
        chosen: label, style and detail, see `knobs`.

    Raises:
        ImageError: too small, too large or too narrow for the model, or the disk refuses.
        ConfigError: a label or detail that the model does not have.
    """
    result = engine.apply(picture, **chosen)
    before = Picture(resize(flatten(picture), result.height, result.width))
    return save(before, cache, input_name), save(result, cache, engine.spec.name)


def save(picture: Picture, cache: Path, name: str) -> Path:
    """Write the picture as `name`.png into a folder of its own, under a path nobody can guess, and return the path."""
    path = _new_path(cache, re.sub(r"[^\w.-]+", "-", name) + ".png")
    write_picture(path, picture)
    return path


def _new_path(cache: Path, name: str) -> Path:
    folder = cache / secrets.token_hex(16)
    folder.mkdir(parents=True)
    return folder / name
