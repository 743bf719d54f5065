"""Files and bytes -> Picture: decode, turn upright, convert to sRGB.

Array names carry their shape: H height, W width, C colours, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

import os
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from translate.errors import ImageError, TooLarge
from translate.machine import available_memory_bytes
from translate.pictures import libvips, tiff
from translate.pictures.formats import FORMATS, HEAD_BYTES, listed, recognise
from translate.pictures.icc import cmyk_to_rgb, to_srgb
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.png import is_16_bit, read_facts
from translate.pictures.pages import at_page, check_page, mapped, mpo_frame, mpo_frames
from translate.pictures.picture import Picture, Pixels, to_bits
from translate.pictures.plugins import cut_bits, deep_grey, deep_pnm, jp2_profile, opener
from translate.pictures.repair import repaired, without_damaged_chunks

BYTES_PER_DECODED_PIXEL = 12
"""Memory a picture of 8 bits needs while it is read: Pillow's 4 bytes, our arrays, and the turned or blended copy."""
_BYTES_PER_WEBP_PIXEL = 2 * BYTES_PER_DECODED_PIXEL
"""WebP's decoder holds two frames."""
_BYTES_PER_16_BIT_PIXEL = 3 * BYTES_PER_DECODED_PIXEL
"""With the file itself, which is hardly smaller."""

_COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}
"""libvips' name for what the channels are -> how many colours there are."""
_BITS, _PHOTOMETRIC = 258, 262
_EXTRA_SAMPLES, _UNSPECIFIED = 338, 0
"""TIFF's tag that says what channels beyond the colours are; of this kind they are not alpha."""
_STEPS: dict[Any, int] = {"L;2": 85, "L;4": 17}
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
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    upright: bool = False
    """The pixels have been turned already."""
    notes: tuple[str, ...] = ()
    pages: int = 1


def read_picture(path: Path, *, max_pixels: int | None = None, bits: Literal[8, 16] = 8) -> Picture:
    """Read a picture file; see `decode`."""
    return decode(path, max_pixels=max_pixels, bits=bits)


def decode(
    data: bytes | Path,
    name: str | None = None,
    *,
    max_pixels: int | None = None,
    bits: Literal[8, 16] = 8,
    page: int = 1,
) -> Picture:
    """Decode a file of one of the formats in `translate.pictures.formats`, turned upright, as sRGB.

    What the bytes are decides, not the suffix. Grey, palette and CMYK become RGB; colours of another profile are
    converted (see `translate.pictures.icc`), and a damaged profile is ignored with a note. Damage that leaves the
    pixels sound is repaired with a note, see `translate.pictures.repair`. Of an animation the first frame is taken.

    Args:
        data: the file's bytes, or its path.
        name: what errors call it; None takes the path.
        max_pixels: most height * width, checked before the pixels are decoded; None takes what the free memory holds.
            WebP and files of 16 bits a channel take more of it, and must fit in any case.
        bits: 16 gives uint16 where the file has more than 8 bits a channel (PNG, TIFF, PNM, and grey JPEG 2000), else
            uint8; 8 gives uint8, 16 bits rounded to nearest.
        page: of a file with several, from 1; see `translate.pictures.pages`.

    Raises:
        ImageError: not such a picture, damaged, not readable, or in need of an extra; one line that begins with the
            name.
        TooLarge: more pixels than `max_pixels`, or than fit in memory.
    """
    name = name or (str(data) if isinstance(data, Path) else "picture")
    with _opened(data, name) as handle:
        return _decode(handle, name, max_pixels, bits, page)


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


def _decode(handle: BinaryIO, name: str, max_pixels: int | None, bits: Literal[8, 16], page: int) -> Picture:
    head = handle.read(HEAD_BYTES)
    kind = recognise(head)
    if kind is None:
        found = "an empty file" if not head else f"not a {listed(FORMATS)} picture"
        raise ImageError(f"{name}: {found}; convert it to one of these or leave it out")
    with _damage_named(name):
        try:
            return _finish(_find(handle, kind.name, name, max_pixels, page), bits)
        except (ImageError, MemoryError):
            raise
        except Exception:
            better = _repaired(handle, kind.name)
            if better is None:
                raise
        found = _find(BytesIO(better[0]), kind.name, name, max_pixels, page)
        found.notes = (*found.notes, better[1])
        return _finish(found, bits)


def _find(handle: BinaryIO, kind: str, name: str, max_pixels: int | None, page: int) -> _Found:
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    handle.seek(0)
    if kind == "TIFF" or is_16_bit(head):
        return _by_libvips(handle, kind, name, max_pixels, page)
    return _by_pillow(handle, kind, name, max_pixels, page)


def _repaired(handle: BinaryIO, kind: str) -> tuple[bytes, str] | None:
    """The file with sound pixels whose other damage is mended, and a note; None if that cannot be."""
    if handle.seek(0, os.SEEK_END) > available_memory_bytes() // 4:
        return None
    handle.seek(0)
    with suppress(ValueError, IndexError):  # of headers beyond repair
        return repaired(handle.read(), kind)
    return None


@contextmanager
def opened_frames(data: bytes | Path, name: str) -> Generator[ImageFile | None]:
    """Open a GIF, WebP, PNG or AVIF file for `frame_of`; None if it is another or cannot be opened.

    Raises:
        ImageError: what is read inside the block is damaged; one line that begins with the name.
    """
    with _opened(data, name) as handle:
        kind = recognise(handle.read(HEAD_BYTES))
        handle.seek(0)
        with _damage_named(name):
            if kind is None or kind.name not in ("GIF", "WebP", "PNG", "AVIF"):
                yield None
                return
            with opener(kind.name, name)(handle, name) as image:
                yield image


def frame_of(image: ImageFile, number: int) -> Picture:
    """Decode a frame of an animation, all of it, as `decode` does; numbers must not go down."""
    image.seek(number)
    image.load()
    pixels_HWN, alpha_HW = _split(image, image.has_transparency_data)
    info: dict[Any, Any] = image.info
    exif, xmp = info.get("exif"), info.get("xmp")
    exif = exif.removeprefix(b"Exif\0\0") if exif else None
    return _finish(_Found(pixels_HWN, alpha_HW, info.get("icc_profile") or None, exif, xmp), 8)


def _reason(error: Exception) -> str:
    """The first line that says something: libvips begins with its own function's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[1] if len(lines) > 1 and lines[0].startswith("unable to") else lines[0]


@contextmanager
def _by_plugin(handle: BinaryIO, kind: str, name: str, page: int) -> Generator[tuple[ImageFile, int]]:
    """Open a file with Pillow, at this page; also yields how many pages it has."""
    with opener(kind, name)(handle, name) as image:
        frames = mpo_frames(handle, name) if kind == "JPEG" and "mp" in image.info else (0,)
        check_page(name, page, len(frames))
        if page == 1:
            yield image, len(frames)
            return
    with mpo_frame(handle, name, frames[page - 1]) as image:
        yield image, len(frames)


def _by_pillow(handle: BinaryIO, kind: str, name: str, max_pixels: int | None, page: int) -> _Found:
    with _by_plugin(handle, kind, name, page) as (image, pages):
        needed = _BYTES_PER_WEBP_PIXEL if kind == "WebP" else BYTES_PER_DECODED_PIXEL
        _check_size(name, image.height, image.width, needed, max_pixels)
        if kind == "PNG" and "transparency" in image.info:
            # Pillow stretches 2 and 4 bits to 8, but not the transparent level.
            image.info["transparency"] *= _STEPS.get(image.tile[0].args, 1)
        deep_HWN = deep_pnm(image, handle) if kind == "PNM" else None
        if deep_HWN is not None:
            return _Found(deep_HWN, None)
        image.load()
        info: dict[Any, Any] = dict(image.info)
        exif = info.get("exif")
        if exif is None and "Raw profile type exif" in info:  # as ImageMagick wrote it before PNG had EXIF
            exif = bytes.fromhex("".join(info["Raw profile type exif"].split("\n")[3:]))
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
        if isinstance(xmp, str):
            xmp = xmp.encode()
        pixels_HWN, alpha_HW = _split(image, "transparency" in info)
    exif = exif.removeprefix(b"Exif\0\0") if exif else None
    icc = info.get("icc_profile") or None
    notes: tuple[str, ...] = ()
    if kind == "JPEG 2000":
        icc, stored = jp2_profile(handle), cut_bits(handle)
        if stored > 8 and pixels_HWN.dtype == np.uint8:
            notes = (f"its {stored} bits a channel were read as 8; convert it to PNG or TIFF first to keep them",)
    # libheif turns pictures itself.
    return _Found(pixels_HWN, alpha_HW, icc, exif, xmp, upright=kind == "HEIC", notes=notes, pages=pages)


def _split(image: Image.Image, transparency: bool) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, N) and alpha of a picture. `transparency`: one of its colours or levels is transparent."""
    deep_HW1 = deep_grey(image)
    if deep_HW1 is not None:
        return deep_HW1, None
    grey = image.mode in ("1", "L", "LA", "La")
    has_alpha = transparency or image.mode in ("RGBA", "RGBa", "LA", "La", "PA")
    if image.mode == "CMYK":
        return np.asarray(image), None
    colours = ("LA" if has_alpha else "L") if grey else ("RGBA" if has_alpha else "RGB")
    pixels_HWN = np.asarray(image if image.mode == colours else image.convert(colours))
    if not has_alpha:
        return pixels_HWN if pixels_HWN.ndim == 3 else pixels_HWN[..., None], None
    return np.ascontiguousarray(pixels_HWN[..., :-1]), np.ascontiguousarray(pixels_HWN[..., -1])


def _by_libvips(handle: BinaryIO, kind: str, name: str, max_pixels: int | None, page: int) -> _Found:
    """16-bit PNG, and TIFF."""
    size = handle.seek(0, os.SEEK_END)
    if size > available_memory_bytes() // 2:
        raise ImageError(f"{name}: file of {size / 1e9:.1f} GB does not fit in memory here; make it smaller")
    handle.seek(0)
    data, notes, pages = handle.read() if page == 1 else mapped(handle), (), 1
    if kind == "TIFF":
        data, pages = at_page(data, name, page)
        if exif_tags.tiff_numbers(data, _PHOTOMETRIC)[:1] in ((8,), (9,), (10,)):
            raise ImageError(f"{name}: holds Lab colours, expected grey, RGB or CMYK; convert it")
        if tiff.compression(data) in tiff.BY_PILLOW:
            return _tiff_by_pillow(data, name, max_pixels, pages)
    else:
        check_page(name, page, 1)
        data, *notes = without_damaged_chunks(data) or (data,)
    with _compression_named(data, name):
        image = libvips.open_png(data) if kind == "PNG" else libvips.open_tiff(data)
    needed = _BYTES_PER_16_BIT_PIXEL if image.format == "ushort" else BYTES_PER_DECODED_PIXEL
    _check_size(name, image.height, image.width, needed, max_pixels)
    if image.format not in ("uchar", "ushort"):
        raise ImageError(f"{name}: holds {image.format} values, expected 8 or 16 bits a channel; convert it")
    colours = _COLOURS.get(image.interpretation, 0)
    if colours == 0 or (colours == 1 and image.bands > 2):  # planes of something, not a picture
        raise ImageError(f"{name}: has {image.bands} channels, expected grey, RGB or CMYK; convert it")
    with _compression_named(data, name):
        pixels_HWN = libvips.to_array(image)
    if kind == "PNG":
        facts = read_facts(data)
        icc, exif, xmp = facts.icc, facts.exif, facts.xmp
        extra = ()
    else:
        icc, xmp = libvips.blob(image, "icc-profile-data"), libvips.blob(image, "xmp-data")
        exif, extra = exif_tags.from_tiff(data), exif_tags.tiff_numbers(data, _EXTRA_SAMPLES)
    alpha_HW = None
    if image.bands > colours and extra[:1] != (_UNSPECIFIED,):
        alpha_HW = np.ascontiguousarray(pixels_HWN[..., colours])
    colours_HWN = np.ascontiguousarray(pixels_HWN[..., :colours])
    return _Found(colours_HWN, alpha_HW, icc, exif, xmp, notes=tuple(notes), pages=pages)


@contextmanager
def _compression_named(data: bytes, name: str) -> Generator[None]:
    """Do not call a sound TIFF file damaged."""
    try:
        yield
    except Exception:
        reason = tiff.unsupported(tiff.compression(data))
        if reason is None:
            raise
        raise ImageError(f"{name}: {reason}") from None


def _tiff_by_pillow(data: bytes, name: str, max_pixels: int | None, pages: int) -> _Found:
    found = _by_pillow(BytesIO(data), "TIFF", name, max_pixels, 1)
    found.exif, found.pages = exif_tags.from_tiff(data), pages
    if found.pixels_HWN.dtype == np.uint8 and max(exif_tags.tiff_numbers(data, _BITS), default=8) > 8:
        found.notes = ("its 16 bits a channel were read as 8, as its compression allows no more here",)
    return found


def _finish(found: _Found, bits: Literal[8, 16]) -> Picture:
    """Upright, in sRGB, with the wanted bits."""
    pixels_HWN, alpha_HW, icc = found.pixels_HWN, found.alpha_HW, found.icc
    del found.pixels_HWN  # the last holder frees what is copied below
    exif = None if found.exif is None else exif_tags.upright(found.exif)
    xmp = None if found.xmp is None else xmp_packet.upright(found.xmp)
    number = 0 if found.exif is None else exif_tags.orientation(found.exif)
    if not number and found.xmp is not None:
        number = xmp_packet.orientation(found.xmp)
    turn = None if found.upright else TURNS.get(number)
    if turn is not None:
        pixels_HWN = np.ascontiguousarray(turn(pixels_HWN))
        alpha_HW = None if alpha_HW is None else np.ascontiguousarray(turn(alpha_HW))
    notes = found.notes
    rgb_HWC = None if icc is None else to_srgb(pixels_HWN, icc)
    if icc is not None and rgb_HWC is None:
        icc, notes = None, (*notes, "its colour profile is unusable and was left out")
    if rgb_HWC is None:
        rgb_HWC = _plain_rgb(pixels_HWN)
    return Picture(
        to_bits(rgb_HWC, bits) if bits == 8 else rgb_HWC,
        to_bits(alpha_HW, bits) if bits == 8 and alpha_HW is not None else alpha_HW,
        icc,
        exif,
        xmp,
        notes,
        found.pages,
    )


def _plain_rgb(pixels_HWN: Pixels) -> Pixels:
    """RGB of channels without a profile."""
    if pixels_HWN.shape[2] == 1:
        return np.repeat(pixels_HWN, 3, axis=2)
    return cmyk_to_rgb(pixels_HWN) if pixels_HWN.shape[2] == 4 else pixels_HWN


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
