"""16-bit PNG and all TIFF files -> `Found`, by libvips.

Array names carry their shape: H height, W width, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from translate.errors import ImageError
from translate.machine import available_memory_bytes
from translate.pictures import coded_colours, libvips, tiff
from translate.pictures.bombs import pixels_alone
from translate.pictures.by_pillow import read_tiff_by_pillow
from translate.pictures.found import BYTES_PER_16_BIT_PIXEL, BYTES_PER_DECODED_PIXEL, Found, check_size
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata.png import read_facts
from translate.pictures.pages import at_page, check_page, mapped
from translate.pictures.repair import without_damaged_chunks

_COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}
"""libvips' name for what the channels are -> how many colours there are."""
EXTRA_SAMPLES, UNSPECIFIED = 338, 0
"""TIFF's tag that says what channels beyond the colours are; of this kind they are not alpha."""


def read_by_libvips(handle: BinaryIO, kind: str, name: str, max_pixels: int | None, page: int) -> Found:
    """Decode a file of this format (PNG or TIFF); see `translate.pictures.decode.decode`."""
    size = handle.seek(0, os.SEEK_END)
    if size > available_memory_bytes() // 2:
        raise ImageError(f"{name}: file of {size / 1e9:.1f} GB does not fit in memory here; make it smaller")
    handle.seek(0)
    data, notes, pages = handle.read() if page == 1 else mapped(handle), (), 1
    if kind == "TIFF":
        data, pages = at_page(data, name, page)
        foreign = tiff.foreign_colours(data)
        if tiff.by_pillow(data) and foreign != "Lab":
            found = read_tiff_by_pillow(data, name, max_pixels)
            found.pages = pages
            return found
        if foreign is not None:
            raise ImageError(f"{name}: holds {foreign} colours, expected grey, RGB or CMYK; convert it")
    else:
        check_page(name, page, 1)
        data, *notes = without_damaged_chunks(data) or (data,)
    with _unsupported_named(data, name):
        image = libvips.open_png(pixels_alone(data)) if kind == "PNG" else libvips.open_tiff(data)
    needed = BYTES_PER_16_BIT_PIXEL if image.format == "ushort" else BYTES_PER_DECODED_PIXEL
    check_size(name, image.height, image.width, needed, max_pixels)
    if image.format not in ("uchar", "ushort"):
        raise ImageError(f"{name}: holds {image.format} values, expected 8 or 16 bits a channel; convert it")
    colours = _COLOURS.get(image.interpretation, 0)
    if colours == 0 or (colours == 1 and image.bands > 2):  # planes of something, not a picture
        raise ImageError(f"{name}: has {image.bands} channels, expected grey, RGB or CMYK; convert it")
    with _unsupported_named(data, name):
        pixels_HWN = libvips.to_array(image)
    if kind == "PNG":
        facts = read_facts(data)
        coded, extra, orientation = coded_colours.from_png(facts.colours), (), 0
    else:
        icc, xmp = libvips.blob(image, "icc-profile-data"), libvips.blob(image, "xmp-data")
        facts = exif_tags.facts_of_tiff(data, icc, xmp)
        extra = exif_tags.tiff_numbers(data, EXTRA_SAMPLES)
        coded, orientation = None, exif_tags.orientation(data)
    alpha_HW = None
    if image.bands > colours and extra[:1] != (UNSPECIFIED,):
        alpha_HW = np.ascontiguousarray(pixels_HWN[..., colours])
    colours_HWN = np.ascontiguousarray(pixels_HWN[..., :colours])
    return Found(colours_HWN, alpha_HW, facts, coded, orientation, tuple(notes), pages)


@contextmanager
def _unsupported_named(data: bytes, name: str) -> Generator[None]:
    """Do not call a sound TIFF file damaged."""
    try:
        yield
    except Exception:
        reason = tiff.unsupported(data)
        if reason is None:
            raise
        raise ImageError(f"{name}: {reason}") from None
