"""Files and bytes -> Picture: decode, turn upright, convert to sRGB.

Array names carry their shape: H height, W width, C colours, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

import os
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from translate.errors import ImageError, MissingExtra, TooLarge, require
from translate.machine import available_memory_bytes
from translate.pictures import coded_colours, libvips
from translate.pictures.coded_colours import CodedColours
from translate.pictures.colours import SourceColours, coded_by_pillow, coded_in
from translate.pictures.formats import FORMATS, listed
from translate.pictures.heif_pixels import read_deep
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.facts import Facts
from translate.pictures.metadata.from_pillow import facts_of
from translate.pictures.metadata.png import SIGNATURE, is_16_bit, read_facts
from translate.pictures.metadata.stored import orientation_of, size_of
from translate.pictures.picture import Picture, Pixels, to_bits

BYTES_PER_DECODED_PIXEL = 12
"""Memory a picture of 8 bits needs while it is read: Pillow's 4 bytes, our arrays, and the turned or blended copy."""
_BYTES_PER_WEBP_PIXEL = 2 * BYTES_PER_DECODED_PIXEL
"""WebP's decoder holds two frames."""
_BYTES_PER_16_BIT_PIXEL = 3 * BYTES_PER_DECODED_PIXEL
"""With the file itself, which is hardly smaller."""

Kind = Literal["PNG", "JPEG", "WebP", "AVIF", "TIFF", "BMP", "GIF", "HEIC"]

_HEAD_BYTES = 64
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}
"""libvips' name for what the channels are -> how many colours there are."""
_PHOTOMETRIC = 262
_EXTRA_SAMPLES, _UNSPECIFIED = 338, 0
"""TIFF's tag that says what channels beyond the colours are; of this kind they are not alpha."""
_STEPS: dict[Any, int] = {"L;2": 85, "L;4": 17}
_CODED = "translate_coded_colours"
"""Attribute of an open animation."""
TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""EXIF's orientation -> what turns the stored pixels upright."""


@dataclass
class _Found:
    """What a file holds: pixels as stored and what it says about them."""

    pixels_HWN: Pixels
    alpha_HW: Pixels | None
    facts: Facts
    coded: CodedColours | None = None
    """Its colours in numbers."""
    orientation: int = 0
    """What the format itself says of it, as EXIF numbers it; 0 leaves it to EXIF, and to XMP if that is silent too."""


def read_picture(path: Path, *, max_pixels: int | None = None, bits: Literal[8, 16] = 8) -> Picture:
    """Read a picture file; see `decode`."""
    return decode(path, max_pixels=max_pixels, bits=bits)


def decode(
    data: bytes | Path, name: str | None = None, *, max_pixels: int | None = None, bits: Literal[8, 16] = 8
) -> Picture:
    """Decode PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF and, with the extra `heif`, HEIC, turned upright, as sRGB.

    What the bytes are decides, not the suffix. Grey, palette and CMYK become RGB; colours of another profile are
    converted (see `translate.pictures.icc`), and a damaged profile is ignored with a note. So are colours that PNG,
    AVIF and HEIC say in numbers; HDR is tone-mapped with a note (see `translate.pictures.coded_colours`). Of an
    animation or of several pages the first is taken.

    Args:
        data: the file's bytes, or its path.
        name: what errors call it; None takes the path.
        max_pixels: most height * width, checked before the pixels are decoded; None takes what the free memory holds.
            WebP and files of 16 bits a channel take more of it, and must fit in any case.
        bits: 16 gives uint16 where the file has more than 8 bits a channel (PNG and TIFF, and AVIF and HEIC if they
            are HDR), else uint8; 8 gives uint8, 16 bits rounded to nearest.

    Raises:
        ImageError: not such a picture, damaged, not readable, or in need of an extra; one line that begins with the
            name.
        TooLarge: more pixels than `max_pixels`, or than fit in memory.
    """
    name = name or (str(data) if isinstance(data, Path) else "picture")
    with _opened(data, name) as handle:
        return _decode(handle, name, max_pixels, bits)


@contextmanager
def _opened(data: bytes | Path, name: str) -> Generator[BinaryIO]:
    _silence_metadata_warnings()
    try:
        with data.open("rb") if isinstance(data, Path) else BytesIO(data) as handle:
            yield handle
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{name}: not enough memory to decode it; close other programs or make it smaller") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error}); check the name and the rights") from None


@contextmanager
def _damage_named(name: str) -> Generator[None]:
    """On damaged bytes Pillow raises whatever its parser trips over (SyntaxError, struct.error, ...)."""
    try:
        yield
    except (ImageError, MemoryError, GeneratorExit):
        raise
    except Exception as error:
        raise ImageError(f"{name}: damaged picture ({_reason(error)}); replace it with a good copy") from None


def _decode(handle: BinaryIO, name: str, max_pixels: int | None, bits: Literal[8, 16]) -> Picture:
    head = handle.read(_HEAD_BYTES)
    kind = _kind(head)
    if kind is None:
        found = "an empty file" if not head else f"not a {listed(FORMATS)} picture"
        raise ImageError(f"{name}: {found}; convert it to one of these or leave it out")
    if kind == "HEIC":
        _require_heif(name)
    handle.seek(0)
    with _damage_named(name):
        if kind == "TIFF" or is_16_bit(head):
            found = _by_libvips(handle, kind, name, max_pixels)
        else:
            found = _by_pillow(handle, kind, name, max_pixels)
        return _finish(found, bits)


@contextmanager
def opened_frames(data: bytes | Path, name: str) -> Generator[ImageFile | None]:
    """Open a GIF, WebP, PNG or AVIF file for `frame_of`; None if it is another or cannot be opened.

    Raises:
        ImageError: what is read inside the block is damaged; one line that begins with the name.
    """
    with _opened(data, name) as handle:
        kind = _kind(handle.read(_HEAD_BYTES))
        handle.seek(0)
        with _damage_named(name):
            if kind not in ("GIF", "WebP", "PNG", "AVIF"):
                yield None
                return
            coded = coded_in(handle, kind)
            with _opener(kind)(handle, name) as image:
                setattr(image, _CODED, coded)
                yield image


def frame_of(image: ImageFile, number: int) -> Picture:
    """Decode a frame of an animation, all of it, as `decode` does; numbers must not go down."""
    image.seek(number)
    image.load()
    pixels_HWN, alpha_HW = _split(image, image.has_transparency_data)
    return _finish(_found(image, pixels_HWN, alpha_HW, getattr(image, _CODED)), 8)


def _reason(error: Exception) -> str:
    """The first line that says something: libvips begins with its own function's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[1] if len(lines) > 1 and lines[0].startswith("unable to") else lines[0]


def _kind(head: bytes) -> Kind | None:
    """Tell the format by the file's first bytes: the allow-list."""
    if head.startswith(SIGNATURE):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(_TIFF_HEADS):
        return "TIFF"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if head[4:8] == b"ftyp":
        length = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[place : place + 4] for place in range(16, length - 3, 4))}
        # The general brand mif1 may come first in both; that of AVIF is never missing in AVIF.
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIC_BRANDS:
            return "HEIC"
    return None


def _require_heif(name: str) -> None:
    try:
        require("heif", "pillow_heif")
    except MissingExtra as error:
        raise ImageError(f"{name}: a HEIC picture; {error}") from None


def _opener(kind: Kind) -> Callable[[BinaryIO, str], ImageFile]:
    # The plugin itself, not Image.open: that one applies Pillow's process-wide MAX_IMAGE_PIXELS, which we could only
    # lift for every thread of the user's program. Our own limit decides instead.
    if kind == "HEIC":
        from pillow_heif import HeifImageFile

        return HeifImageFile
    plugins: dict[str, Callable[[BinaryIO, str], ImageFile]] = {
        "PNG": PngImageFile,
        "JPEG": JpegImageFile,
        "WebP": WebPImageFile,
        "AVIF": AvifImageFile,
        "BMP": BmpImageFile,
        "GIF": GifImageFile,
    }
    return plugins[kind]


def _by_pillow(handle: BinaryIO, kind: Kind, name: str, max_pixels: int | None) -> _Found:
    coded = coded_in(handle, kind)
    with _opener(kind)(handle, name) as image:
        coded = coded_by_pillow(image) or coded
        hdr = coded is not None and coded.is_hdr and not image.info.get("icc_profile")
        needed = _BYTES_PER_WEBP_PIXEL if kind == "WebP" else BYTES_PER_DECODED_PIXEL
        _check_size(name, image.height, image.width, _BYTES_PER_16_BIT_PIXEL if hdr else needed, max_pixels)
        if hdr and (kind == "AVIF" or kind == "HEIC"):
            deep_HWN = read_deep(handle, kind)
            if deep_HWN is not None:
                alpha_HW = np.ascontiguousarray(deep_HWN[..., -1]) if deep_HWN.shape[2] in (2, 4) else None
                colours_HWN = deep_HWN if alpha_HW is None else np.ascontiguousarray(deep_HWN[..., :-1])
                return _Found(colours_HWN, alpha_HW, facts_of(image), coded, orientation=1)
        if kind == "PNG" and "transparency" in image.info:
            # Pillow stretches 2 and 4 bits to 8, but not the transparent level.
            image.info["transparency"] *= _STEPS.get(image.tile[0].args, 1)
        image.load()
        pixels_HWN, alpha_HW = _split(image, "transparency" in image.info)
        return _found(image, pixels_HWN, alpha_HW, coded)


def _found(image: ImageFile, pixels_HWN: Pixels, alpha_HW: Pixels | None, coded: CodedColours | None) -> _Found:
    """The pixels, and what Pillow read beside them."""
    facts = facts_of(image)
    orientation = 0
    if image.format in ("HEIF", "AVIF"):
        # Boxes of the format (irot, imir) say how the pixels lie, and EXIF and XMP do not count (ISO/IEC 23008-12,
        # 6.5.10 and A.2). libheif turns the pixels itself; for AVIF, Pillow puts what the boxes say into EXIF.
        orientation = (exif_tags.orientation(facts.exif) if facts.exif and image.format == "AVIF" else 0) or 1
    return _Found(pixels_HWN, alpha_HW, facts, coded, orientation)


def _split(image: Image.Image, transparency: bool) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, N) and alpha of an 8-bit picture. `transparency`: one of its colours or levels is transparent."""
    grey = image.mode in ("1", "L", "LA", "La")
    has_alpha = transparency or image.mode in ("RGBA", "RGBa", "LA", "La", "PA")
    if image.mode == "CMYK":
        return np.asarray(image), None
    colours = ("LA" if has_alpha else "L") if grey else ("RGBA" if has_alpha else "RGB")
    pixels_HWN = np.asarray(image if image.mode == colours else image.convert(colours))
    if not has_alpha:
        return pixels_HWN if pixels_HWN.ndim == 3 else pixels_HWN[..., None], None
    return np.ascontiguousarray(pixels_HWN[..., :-1]), np.ascontiguousarray(pixels_HWN[..., -1])


def _by_libvips(handle: BinaryIO, kind: Kind, name: str, max_pixels: int | None) -> _Found:
    """16-bit PNG, and TIFF."""
    size = handle.seek(0, os.SEEK_END)
    if size > available_memory_bytes() // 2:
        raise ImageError(f"{name}: file of {size / 1e9:.1f} GB does not fit in memory here; make it smaller")
    handle.seek(0)
    data = handle.read()
    if kind == "TIFF" and exif_tags.tiff_numbers(data, _PHOTOMETRIC)[:1] in ((8,), (9,), (10,)):
        raise ImageError(f"{name}: holds Lab colours, expected grey, RGB or CMYK; convert it")
    image = libvips.open_png(data) if kind == "PNG" else libvips.open_tiff(data)
    needed = _BYTES_PER_16_BIT_PIXEL if image.format == "ushort" else BYTES_PER_DECODED_PIXEL
    _check_size(name, image.height, image.width, needed, max_pixels)
    if image.format not in ("uchar", "ushort"):
        raise ImageError(f"{name}: holds {image.format} values, expected 8 or 16 bits a channel; convert it")
    colours = _COLOURS.get(image.interpretation, 0)
    if colours == 0 or (colours == 1 and image.bands > 2):  # planes of something, not a picture
        raise ImageError(f"{name}: has {image.bands} channels, expected grey, RGB or CMYK; convert it")
    pixels_HWN = libvips.to_array(image)
    if kind == "PNG":
        facts = read_facts(data)
        coded, extra, orientation = coded_colours.from_png(facts.colours), (), 0
    else:
        icc, xmp = libvips.blob(image, "icc-profile-data"), libvips.blob(image, "xmp-data")
        facts = exif_tags.facts_of_tiff(data, icc, xmp)
        extra = exif_tags.tiff_numbers(data, _EXTRA_SAMPLES)
        coded, orientation = None, exif_tags.orientation(data)
    alpha_HW = None
    if image.bands > colours and extra[:1] != (_UNSPECIFIED,):
        alpha_HW = np.ascontiguousarray(pixels_HWN[..., colours])
    return _Found(np.ascontiguousarray(pixels_HWN[..., :colours]), alpha_HW, facts, coded, orientation)


def _finish(found: _Found, bits: Literal[8, 16]) -> Picture:
    """Upright, in sRGB, with the wanted bits."""
    pixels_HWN, alpha_HW = found.pixels_HWN, found.alpha_HW
    del found.pixels_HWN  # the last holder frees what is copied below
    facts = found.facts
    number = orientation_of(facts, found.orientation)
    size = size_of(facts, pixels_HWN.shape[0], pixels_HWN.shape[1], number)
    turn = TURNS.get(number)
    if turn is not None:
        pixels_HWN = np.ascontiguousarray(turn(pixels_HWN))
        alpha_HW = None if alpha_HW is None else np.ascontiguousarray(turn(alpha_HW))
    colours = SourceColours(facts.icc, found.coded)
    rgb_HWC = colours.to_srgb(pixels_HWN)
    return Picture(
        to_bits(rgb_HWC, bits) if bits == 8 else rgb_HWC,
        to_bits(alpha_HW, bits) if bits == 8 and alpha_HW is not None else alpha_HW,
        colours.icc,
        None if facts.exif is None else exif_tags.upright(facts.exif),
        None if facts.xmp is None else xmp_packet.upright(facts.xmp),
        colours.notes,
        size,
        facts.iptc,
        facts.texts,
    )


def _check_size(name: str, height: int, width: int, needed: int, max_pixels: int | None) -> None:
    """`needed`: bytes a pixel takes while it is read."""
    limit = available_memory_bytes() // needed if max_pixels is None else max_pixels
    if max_pixels is not None and needed > BYTES_PER_DECODED_PIXEL:  # more than the caller can have reckoned with
        limit = min(limit, available_memory_bytes() // needed)
    if width * height > limit:
        raise TooLarge(
            f"{name}: {width} x {height} pixels is too large, at most {limit / 1e6:.1f} megapixels "
            "fit in memory here; make it smaller or use a machine with more memory",
            height,
            width,
        )


_filter_lock = threading.Lock()


def _silence_metadata_warnings() -> None:
    """Keep Pillow's warnings about damaged EXIF or animation headers off the user's screen.

    Neither matters for the pixels. `warnings.catch_warnings` is not safe in threads (two of them may restore
    each other's state), so this adds one narrow, lasting filter; adding it again only moves it to the front.
    """
    with _filter_lock:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin")
