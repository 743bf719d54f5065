"""An uploaded file -> the file that `translate convert` makes of it, to the byte."""

import contextlib
import re
import secrets
import shutil
import time
import unicodedata
from pathlib import Path, PurePosixPath
from typing import cast

from translate.conversion.plan import OutputFormat, make_plan
from translate.conversion.worker import Conversion, Worker
from translate.errors import ConfigError, ImageError, TooLarge, TranslateError
from translate.inference.engine import Engine
from translate.pictures.formats import FORMATS, READABLE, listed
from translate.pictures.isolated import IsolatedDecoder
from ui.serving import metrics

OUTPUT_FORMATS = (
    ("choice.same", "same"),
    ("PNG", "png"),
    ("JPEG", "jpg"),
    ("WebP", "webp"),
    ("AVIF", "avif"),
    ("TIFF", "tiff"),
    ("BMP", "bmp"),
)
"""Formats to choose from: name, or key of one in `ui.words`, and value of `translate convert --format`."""

NAME = "{stem}-{model}"
"""How results are named, as in `translate convert --name`."""

KEEP_SECONDS = 24 * 3600
"""Uploads and results older than this are deleted, so that a page left open for weeks does not fill the disk."""

MOST_PAGES = 1000
MOST_FRAMES = 10_000

READER = IsolatedDecoder()
"""Reads every upload, in processes with limits; no picture is decoded in the page's own process."""

_LONGEST_STEM = 80
_NAME_LENGTH = 32


def convert_file(
    engine: Engine, source: Path, folder: Path, how: Conversion, *, most_pixels: int | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Convert one file and return the result and notes for the user; named by `how.name`, in `folder`.

    Args:
        engine: the model.
        source: the file.
        folder: where the result goes.
        how: the options.
        most_pixels: see `check_pixels`; None: no other limit than the memory.

    Raises:
        TranslateError: it cannot be converted; the message contains the name of the file, but no folder.
    """
    with metrics.counted(engine.spec.name):
        return _converted(engine, source, folder, how, most_pixels)


def _converted(
    engine: Engine, source: Path, folder: Path, how: Conversion, most_pixels: int | None
) -> tuple[Path, tuple[str, ...]]:
    try:
        how.check(engine)
        most = engine.max_pixels if most_pixels is None else min(most_pixels, engine.max_pixels)
        check_pixels(source, source.name, most)
        plan = make_plan(source, folder, how.output_format)
        with plan.opened() as destination:
            # Whatever size the file states, and however little memory is left: nothing is read in this process.
            worker = Worker(plan.source, destination, engine, how, decoder=READER, huge=False)
            (job,) = plan.jobs(how.name, worker.template_fields)
            result = worker.convert(job).result
        if not isinstance(result.target, Path):
            raise ImageError(result.reason or f"{source}: cannot be converted")
    except TranslateError as error:
        raise ImageError(_without_folders(str(error), source, folder)) from None
    return result.target, tuple(_without_folders(note, source, folder) for note in result.notes)


def check_pixels(data: Path | bytes, name: str, most: int) -> None:
    """Look at the sizes that a picture file states, before anything of it is decoded.

    Args:
        data: the file, or its bytes.
        name: what errors call it.
        most: maximum height * width, all frames and pages together.

    Raises:
        TooLarge: it has more.
        ImageError: more than `MOST_PAGES` pages or `MOST_FRAMES` frames, damaged, or not a picture.
    """
    stated, total = READER.stated(data, name, MOST_PAGES), 0
    if stated.pages > MOST_PAGES:
        raise ImageError(f"{name}: has {stated.pages} pages, at most {MOST_PAGES} are taken here; split it")
    frames = stated.frames
    for page, (height, width) in enumerate(stated.sides, 1):
        total += height * width * frames
        if total > most:
            raise TooLarge(
                f"{name}: {width} x {height} pixels"
                f"{f' and {frames} frames' if frames > 1 else ' and several pages' if page > 1 else ''}"
                f" is too large, at most {most / 1e6:g} megapixels are taken here; make it smaller",
                height,
                width,
            )
    if frames > MOST_FRAMES:
        raise ImageError(f"{name}: has {frames} frames, at most {MOST_FRAMES} are taken here; split it")


def output_format(value: object) -> OutputFormat:
    """Check a format that the browser asks for.

    Raises:
        ConfigError: it is none of `OUTPUT_FORMATS`.
    """
    if value not in [known for _, known in OUTPUT_FORMATS]:
        raise ConfigError(f"the format {value} is unknown; choose one of the list")
    return cast("OutputFormat", value)


def safe_name(name: str) -> str:
    """The name of an uploaded file, without folders and without characters that some systems do not allow.

    Raises:
        ImageError: its suffix is not that of a picture.
    """
    # Browsers on a Mac send umlauts as a letter and a mark.
    plain = unicodedata.normalize("NFC", PurePosixPath(name.replace("\\", "/")).name)
    suffix = PurePosixPath(plain).suffix
    if suffix.lower() not in READABLE:
        raise ImageError(f"{plain or 'this file'}: not a picture that can be read; use {listed(FORMATS)}")
    stem = re.sub(r"[^\w .()+-]+", _marks_or_dash, plain.removesuffix(suffix)).strip(" .-")[:_LONGEST_STEM]
    return (stem or "picture") + suffix


def _marks_or_dash(found: re.Match[str]) -> str:
    """What stands for characters that are no letters: marks, such as vowels of Thai or Hindi, stay."""
    return found[0] if all(unicodedata.category(one).startswith("M") for one in found[0]) else "-"


def new_folder(cache: Path) -> Path:
    """Create a folder with an unguessable name; those of yesterday are deleted, so that the disk does not fill."""
    for old in cache.glob("[0-9a-f]" * _NAME_LENGTH):
        with contextlib.suppress(OSError):  # another thread was faster
            if time.time() - old.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    folder = cache / secrets.token_hex(_NAME_LENGTH // 2)
    folder.mkdir(parents=True)
    return folder


def _without_folders(text: str, source: Path, folder: Path) -> str:
    # Do not reveal the server's folders, which also mean nothing to the user.
    return text.replace(f"{source.parent}/", "").replace(f"{folder}/", "").replace(str(folder), "the folder")
