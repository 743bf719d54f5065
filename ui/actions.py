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

from translate.engine import Engine
from translate.errors import ImageError
from translate.images import READABLE, Picture, flatten, read_picture, write_picture


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


def translate(engine: Engine, picture: Picture, cache: Path) -> Path:
    """Run the model and return the result's PNG file, named after the model.

    Raises:
        ImageError: too small, too large or too narrow for the model, or the disk refuses.
    """
    return save(engine.apply(picture), cache, engine.spec.name)


def save(picture: Picture, cache: Path, name: str) -> Path:
    """Write the picture as `name`.png into a folder of its own, under a path nobody can guess, and return the path."""
    path = _new_path(cache, re.sub(r"[^\w.-]+", "-", name) + ".png")
    write_picture(path, picture)
    return path


def _new_path(cache: Path, name: str) -> Path:
    folder = cache / secrets.token_hex(16)
    folder.mkdir(parents=True)
    return folder / name
