"""Files that Pillow's readers decode -> `Found`.

Array names carry their shape: H height, W width, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from translate.pictures.bombs import check_bomb
from translate.pictures.coded_colours import CodedColours
from translate.pictures.colours import coded_by_pillow, coded_in
from translate.pictures.found import (
    BYTES_PER_16_BIT_PIXEL,
    BYTES_PER_DECODED_PIXEL,
    BYTES_PER_WEBP_PIXEL,
    Found,
    check_size,
)
from translate.pictures.heif_pixels import read_deep
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata.from_pillow import facts_of
from translate.pictures.pages import check_page, mpo_frame, mpo_frames
from translate.pictures.picture import Pixels
from translate.pictures.plugins import cut_bits, deep_grey, deep_pnm, jp2_profile, opener

_STEPS: dict[Any, int] = {"L;2": 85, "L;4": 17}
_BITS = 258
"""TIFF's tag."""


def read_by_pillow(handle: BinaryIO, kind: str, name: str, max_pixels: int | None, page: int) -> Found:
    """Decode a file of this format; see `translate.pictures.decode.decode`."""
    coded = coded_in(handle, kind)
    check_bomb(handle, kind, name, max_pixels)
    with _opened(handle, kind, name, page) as (image, pages):
        coded = coded_by_pillow(image) or coded
        hdr = coded is not None and coded.is_hdr and not image.info.get("icc_profile")
        needed = BYTES_PER_WEBP_PIXEL if kind == "WebP" else BYTES_PER_DECODED_PIXEL
        check_size(name, image.height, image.width, BYTES_PER_16_BIT_PIXEL if hdr else needed, max_pixels)
        if hdr and kind in ("AVIF", "HEIC"):
            deep_HWN = read_deep(handle, kind)
            if deep_HWN is not None:
                alpha_HW = np.ascontiguousarray(deep_HWN[..., -1]) if deep_HWN.shape[2] in (2, 4) else None
                colours_HWN = deep_HWN if alpha_HW is None else np.ascontiguousarray(deep_HWN[..., :-1])
                return Found(colours_HWN, alpha_HW, facts_of(image), coded, orientation=1)
        if kind == "PNG":
            fit_transparency(image)
        deep_HWN = deep_pnm(image, handle) if kind == "PNM" else None
        if deep_HWN is not None:
            return Found(deep_HWN, None, facts_of(image))
        image.load()
        pixels_HWN, alpha_HW = split(image, transparency="transparency" in image.info)
        found = found_by_pillow(image, pixels_HWN, alpha_HW, coded)
    found.pages = pages
    if kind == "JPEG 2000":
        found.facts, stored = replace(found.facts, icc=jp2_profile(handle)), cut_bits(handle)
        if stored > 8 and pixels_HWN.dtype == np.uint8:
            found.notes = (f"its {stored} bits a channel were read as 8; convert it to PNG or TIFF first to keep them",)
    return found


@contextmanager
def _opened(handle: BinaryIO, kind: str, name: str, page: int) -> Generator[tuple[ImageFile, int]]:
    """Open a file at this page; also yields how many pages it has."""
    with opener(kind, name)(handle, name) as image:
        frames = mpo_frames(handle, name) if kind == "JPEG" and "mp" in image.info else (0,)
        check_page(name, page, len(frames))
        if page == 1:
            yield image, len(frames)
            return
    with opener(kind, name)(BytesIO(mpo_frame(handle, name, frames[page - 1])), name) as image:
        yield image, len(frames)


def fit_transparency(image: ImageFile) -> None:
    """Make the transparent level or colour of a PNG file just opened what Pillow makes of 2, 4 and 16 bits: 8."""
    if "transparency" not in image.info:
        return
    given, stored = image.info["transparency"], image.tile[0].args
    if stored in _STEPS:
        image.info["transparency"] = given * _STEPS[stored]
    elif stored == "RGB;16B":
        image.info["transparency"] = tuple(level >> 8 for level in given)


def found_by_pillow(image: ImageFile, pixels_HWN: Pixels, alpha_HW: Pixels | None, coded: CodedColours | None) -> Found:
    """Return the pixels, and what Pillow read beside them."""
    facts = facts_of(image)
    orientation = 0
    if image.format in ("HEIF", "AVIF"):
        # Boxes of the format (irot, imir) say how the pixels lie, and EXIF and XMP do not count (ISO/IEC 23008-12,
        # 6.5.10 and A.2). libheif turns the pixels itself; for AVIF, Pillow puts what the boxes say into EXIF.
        orientation = (exif_tags.orientation(facts.exif) if facts.exif and image.format == "AVIF" else 0) or 1
    return Found(pixels_HWN, alpha_HW, facts, coded, orientation)


def split(image: Image.Image, *, transparency: bool) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, N) and alpha of a picture. `transparency`: one of its colours or levels is transparent."""
    deep_HW1 = deep_grey(image)
    if deep_HW1 is not None:
        opaque_HW = deep_HW1[..., 0] != image.info["transparency"] if transparency else None
        return deep_HW1, None if opaque_HW is None else opaque_HW * np.uint16(65535)
    grey = image.mode in ("1", "L", "LA", "La")
    has_alpha = transparency or image.mode in ("RGBA", "RGBa", "LA", "La", "PA")
    if image.mode == "CMYK":
        return np.asarray(image), None
    colours = ("LA" if has_alpha else "L") if grey else ("RGBA" if has_alpha else "RGB")
    pixels_HWN = np.asarray(image if image.mode == colours else image.convert(colours))
    if not has_alpha:
        return pixels_HWN if pixels_HWN.ndim == 3 else pixels_HWN[..., None], None
    return np.ascontiguousarray(pixels_HWN[..., :-1]), np.ascontiguousarray(pixels_HWN[..., -1])


def read_tiff_by_pillow(data: bytes, name: str, max_pixels: int | None) -> Found:
    """Decode a TIFF file's first page, for compressions that only Pillow's libtiff has."""
    # Pillow would turn the pixels itself, by what it takes for the orientation.
    with opener("TIFF", name)(BytesIO(exif_tags.marked_upright(data)), name) as image:
        icc, xmp = image.info.get("icc_profile") or None, image.info.pop("xmp", None)
        check_size(name, image.height, image.width, BYTES_PER_DECODED_PIXEL, max_pixels)
        image.load()
        pixels_HWN, alpha_HW = split(image, transparency=False)
    facts = exif_tags.facts_of_tiff(data, icc, xmp if isinstance(xmp, bytes) else None)
    found = Found(pixels_HWN, alpha_HW, facts, orientation=exif_tags.orientation(data))
    if pixels_HWN.dtype == np.uint8 and max(exif_tags.tiff_numbers(data, _BITS), default=8) > 8:
        found.notes = ("its 16 bits a channel were read as 8, as its compression allows no more here",)
    return found
