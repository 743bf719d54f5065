"""Files and bytes -> Picture: decode, turn upright, convert to sRGB.

Array names carry their shape: H height, W width, C colours, N channels as found (1 grey, 3 RGB, 4 CMYK ink).
"""

import os
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL.ImageFile import ImageFile

from translate.errors import ImageError
from translate.machine import available_memory_bytes
from translate.pictures.by_libvips import read_by_libvips
from translate.pictures.by_pillow import fit_transparency, found_by_pillow, read_by_pillow, split
from translate.pictures.colours import SourceColours, coded_in
from translate.pictures.formats import FORMATS, HEAD_BYTES, listed, recognise
from translate.pictures.found import Found
from translate.pictures.metadata import exif as exif_tags
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.png import is_16_bit
from translate.pictures.metadata.stored import orientation_of, size_of
from translate.pictures.picture import Picture, Pixels, to_bits
from translate.pictures.plugins import opener
from translate.pictures.repair import repaired

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
    converted (see `translate.pictures.icc`), and a damaged profile is ignored with a note. So are colours that PNG,
    AVIF and HEIC say in numbers; HDR is tone-mapped with a note (see `translate.pictures.coded_colours`). Damage that
    leaves the pixels sound is repaired with a note, see `translate.pictures.repair`. Of an animation the first frame is
    taken.

    Args:
        data: the file's bytes, or its path.
        name: what errors call it; None takes the path.
        max_pixels: most height * width, checked before the pixels are decoded; None takes what the free memory holds.
            WebP and files of 16 bits a channel take more of it, and must fit in any case.
        bits: 16 gives uint16 where the file has more than 8 bits a channel (PNG, TIFF, PNM, and grey JPEG 2000; AVIF
            and HEIC if they are HDR), else uint8; 8 gives uint8, 16 bits rounded to nearest.
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
def _opened(data: bytes | Path | BinaryIO, name: str) -> Generator[BinaryIO]:
    silence_metadata_warnings()
    try:
        with _handle(data) as handle:
            yield handle
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{name}: not enough memory to decode it; close other programs or make it smaller") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error}); check the name and the rights") from None


def _handle(data: bytes | Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    if isinstance(data, Path):
        return data.open("rb")
    return BytesIO(data) if isinstance(data, bytes) else nullcontext(data)


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
        if not head:
            raise ImageError(f"{name}: an empty file; replace it with a good copy or leave it out")
        raise ImageError(f"{name}: not a {listed(FORMATS)} picture; convert it to one of these or leave it out")
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


def _find(handle: BinaryIO, kind: str, name: str, max_pixels: int | None, page: int) -> Found:
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    handle.seek(0)
    if kind == "TIFF" or is_16_bit(head):
        return read_by_libvips(handle, kind, name, max_pixels, page)
    return read_by_pillow(handle, kind, name, max_pixels, page)


def _repaired(handle: BinaryIO, kind: str) -> tuple[bytes, str] | None:
    """The file with sound pixels whose other damage is mended, and a note; None if that cannot be."""
    if handle.seek(0, os.SEEK_END) > available_memory_bytes() // 4:
        return None
    handle.seek(0)
    with suppress(ValueError, IndexError):  # of headers beyond repair
        return repaired(handle.read(), kind)
    return None


@contextmanager
def opened_frames(data: bytes | Path | BinaryIO, name: str) -> Generator[ImageFile | None]:
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
            coded = coded_in(handle, kind.name)
            with opener(kind.name, name)(handle, name) as image:
                setattr(image, _CODED, coded)
                if kind.name == "PNG":
                    fit_transparency(image)
                yield image


def frame_of(image: ImageFile, number: int) -> Picture:
    """Decode a frame of an animation, all of it, as `decode` does; numbers must not go down.

    Raises:
        ImageError: it is larger than those before it, as it may say in GIF.
    """
    size = image.size
    image.seek(number)
    if image.size != size:
        sides, larger = (" x ".join(map(str, one)) for one in (size, image.size))
        raise ImageError(f"{image.filename}: frame {number + 1} has {larger} pixels, the others {sides}; save it again")
    image.load()
    pixels_HWN, alpha_HW = split(image, transparency=image.has_transparency_data)
    return _finish(found_by_pillow(image, pixels_HWN, alpha_HW, getattr(image, _CODED)), 8)


def _reason(error: Exception) -> str:
    """The first line that says something: libvips begins with its own function's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[1] if len(lines) > 1 and lines[0].startswith("unable to") else lines[0]


def _finish(found: Found, bits: Literal[8, 16]) -> Picture:
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
        icc=colours.icc,
        exif=None if facts.exif is None else exif_tags.upright(facts.exif),
        xmp=None if facts.xmp is None else xmp_packet.upright(facts.xmp, turned=number > 1),
        notes=(*found.notes, *colours.notes),
        size=size,
        iptc=facts.iptc,
        texts=facts.texts,
        pages=found.pages,
    )


_filter_lock = threading.Lock()


def silence_metadata_warnings() -> None:
    """Keep Pillow's warnings about damaged EXIF or animation headers off the user's screen.

    Neither matters for the pixels. `warnings.catch_warnings` is not safe in threads (two of them may restore
    each other's state), so this adds one narrow, lasting filter; adding it again only moves it to the front.
    """
    with _filter_lock:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin")
