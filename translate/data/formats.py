"""Files -> arrays of the channels and bits a model works with.

Shape suffixes: H height, W width, C channels, N channels as found in the file.
"""

import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.codecs import TURNS
from translate.errors import ConfigError, ImageError
from translate.images import BYTES_PER_DECODED_PIXEL, available_memory_bytes, read_picture

# OpenCV prints what it dislikes about a file; the user gets our one line instead.
cv2.utils.logging.setLogLevel(0)  # pyright: ignore[reportAttributeAccessIssue] - missing from the stubs

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the variable's suffix says its shape."""

MOST_CHANNELS = 64

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""By PNG's colour type, of those that can have 16 bits."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY = b"\x93NUMPY"
_BYTES_PER_16_BIT_PIXEL = 2 * BYTES_PER_DECODED_PIXEL
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class PixelFormat:
    """What the pixels of one side are made of."""

    channels: int = 3
    """1 is grey, 3 is RGB, 4 is RGB and opacity; any other number is up to the user."""
    bits: Literal[8, 16] = 8

    @property
    def white(self) -> int:
        """The largest value."""
        return 2**self.bits - 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Type of the arrays."""
        return np.uint8 if self.bits == 8 else np.uint16


def parse_channels(text: str) -> tuple[PixelFormat, PixelFormat]:
    """`3`, `1:3`, `1x16:3`, `8x16` -> formats of source and target; one alone serves both, 8 bits unless x16.

    Raises:
        ConfigError: anything else.
    """
    match = re.fullmatch(r"(\d{1,3})(x8|x16)?(?::(\d{1,3})(x8|x16)?)?", text)
    if not match:
        raise ConfigError(f"--channels is {text!r}; write for example 3, 1:3 (grey to colour) or 1x16 (16 bits)")
    numbers = [int(found) for found in (match[1], match[3]) if found]
    if not all(1 <= number <= MOST_CHANNELS for number in numbers):
        raise ConfigError(f"--channels is {text!r}; channels must be between 1 and {MOST_CHANNELS}")
    formats = [
        PixelFormat(number, 16 if bits == "x16" else 8)
        for number, bits in zip(numbers, (match[2], match[4]), strict=False)
    ]
    return formats[0], formats[-1]


def read_pixels(path: Path, format: PixelFormat) -> Pixels:
    """Read PNG, JPEG, WebP, TIFF or .npy in the wanted format; what the bytes are decides, not the suffix.

    Colours become grey by BT.601, grey becomes three equal channels, alpha is laid on white unless four channels are
    wanted. 8 bits become 16 by repeating them, 16 become 8 by rounding. Arrays are (H, W) or (H, W, N), uint8 or
    uint16, and nothing is laid on white in them. PNG, JPEG and WebP are turned upright by their EXIF tag.

    Args:
        path: the file.
        format: what is wanted.

    Returns:
        (H, W, format.channels), uint8 or uint16 by format.bits, contiguous.

    Raises:
        ImageError: damaged, of another kind, too large, or with channels that cannot be converted.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(26)
        if head.startswith(_NPY):
            found_HWN, has_alpha = _read_array(path), False
        elif head.startswith(_TIFF):
            found_HWN, has_alpha = _decode(path, path.read_bytes()), True
        elif head.startswith(_PNG) and head[24:25] == b"\x10" and format.bits == 16:
            found_HWN, has_alpha = _read_16_bit_png(path), True
        else:
            found_HWN, has_alpha = read_picture(path).to_array(), True
        if has_alpha and found_HWN.shape[2] == 4 and format.channels in (1, 3):
            found_HWN = _on_white(found_HWN)
        found_HWN = _with_channels(path, found_HWN, format.channels)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); check the name and the rights") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory to decode it; close other programs or make it smaller") from None
    if found_HWN.dtype == np.uint16 and format.bits == 8:
        found_HWN = ((found_HWN.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif found_HWN.dtype == np.uint8 and format.bits == 16:
        found_HWN = found_HWN.astype(np.uint16) * np.uint16(257)
    return np.ascontiguousarray(found_HWN)


def _read_array(path: Path) -> Pixels:
    """A .npy file of pixels: (H, W, N)."""
    try:
        # Mapped, so that a wrong header cannot ask for memory; the channels wanted are copied below.
        found: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # on damaged headers the parser raises many types
        reason = " ".join(str(error).split())
        raise ImageError(f"{path}: damaged .npy file ({reason}); replace it with a good copy") from None
    if found.dtype.name not in ("uint8", "uint16") or found.ndim not in (2, 3) or 0 in found.shape:
        raise ImageError(
            f"{path}: array of {found.dtype} {found.shape}, expected uint8 or uint16 (H, W) or (H, W, channels); "
            "convert it"
        )
    if found.nbytes > available_memory_bytes() // 2:
        raise ImageError(f"{path}: array of {found.nbytes / 1e9:.1f} GB does not fit in memory here; make it smaller")
    native_HWN = np.array(found, dtype=found.dtype.newbyteorder("="), order="C")
    return native_HWN.reshape(*found.shape[:2], -1)


def _read_16_bit_png(path: Path) -> Pixels:
    """PNG of 16 bits a channel, turned upright, checked before OpenCV sees it: libpng prints its complaints."""
    chunks = _png_chunks(path.read_bytes())
    kinds = [kind for kind, _ in chunks]
    if kinds[:1] != [b"IHDR"] or kinds[-1] != b"IEND" or len(chunks[0][1]) != 13:
        raise _broken_png(path)
    width, height, _, colour, *_, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    limit = available_memory_bytes() // _BYTES_PER_16_BIT_PIXEL
    if width * height > limit:
        raise ImageError(
            f"{path}: {width} x {height} pixels is too large, at most {limit / 1e6:.1f} megapixels "
            "fit in memory here; make it smaller or use a machine with more memory"
        )
    # Two bytes a channel, and one more a row unless the rows are interlaced.
    least = 2 * _PNG_CHANNELS.get(colour, 0) * width * height + (0 if interlaced else height)
    if _unpacked_bytes(body for kind, body in chunks if kind == b"IDAT") < least:
        raise _broken_png(path)
    # Colour profiles and the like stay out: pixels are taken as they are, and libpng would print warnings.
    needed = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
        if kind in (b"IHDR", b"tRNS", b"IDAT", b"IEND")
    )
    image_HWN = _decode(path, _PNG + needed)
    for kind, body in chunks:
        if kind == b"eXIf":
            image_HWN = _upright(image_HWN, body)
    return image_HWN


def _broken_png(path: Path) -> ImageError:
    return ImageError(f"{path}: damaged picture (broken PNG data); replace it with a good copy")


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(kind, body) of the chunks up to the end, or to the first that is cut or has a wrong checksum."""
    place, chunks = len(_PNG), list[tuple[bytes, bytes]]()
    while place + 12 <= len(data) and (not chunks or chunks[-1][0] != b"IEND"):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if data[place + 8 + length : place + 12 + length] != struct.pack(">I", zlib.crc32(kind + body)):
            break
        chunks.append((kind, body))
        place += 12 + length
    return chunks


def _unpacked_bytes(parts: Iterable[bytes]) -> int:
    """How much a zlib stream in parts unpacks to; 0 when it is damaged or has no end."""
    packed, total = zlib.decompressobj(), 0
    try:
        for part in parts:
            while part:
                total += len(packed.decompress(part, 1 << 20))  # in portions: only the length is asked
                part = packed.unconsumed_tail
    except zlib.error:
        return 0
    return total if packed.eof else 0


def _upright(image_HWN: Pixels, exif: bytes) -> Pixels:
    try:
        found = Image.Exif()
        found.load(b"Exif\0\0" + exif)
        orientation = found.get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged metadata must not lose good pixels
        return image_HWN
    turn = TURNS.get(orientation)
    return image_HWN if turn is None else turn(image_HWN)


def _decode(path: Path, data: bytes) -> Pixels:
    """PNG or TIFF by OpenCV, as it is: (H, W, N), N 1, 3 (RGB) or 4 (RGBA)."""
    try:
        found: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        found = None
    if found is None:
        raise ImageError(
            f"{path}: damaged, too large, or not a picture of 1, 3 or 4 channels; replace it or save it as .npy"
        )
    if found.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: holds {found.dtype} values, expected 8 or 16 bits a channel; convert it")
    if found.ndim == 2:
        return found[..., None]
    return found[..., [2, 1, 0, 3][: found.shape[2]]]  # OpenCV's order is BGRA


def _on_white(rgba_HW4: Pixels) -> Pixels:
    """Lay (H, W, 4) on white: (H, W, 3) of the same type."""
    white = int(np.iinfo(rgba_HW4.dtype).max)
    alpha_HW1 = rgba_HW4[..., 3:].astype(np.uint32)  # the largest product of 16 bits just fits
    blended_HW3 = rgba_HW4[..., :3] * alpha_HW1 + white * (white - alpha_HW1)
    return ((blended_HW3 + white // 2) // white).astype(rgba_HW4.dtype)


def _with_channels(path: Path, found_HWN: Pixels, channels: int) -> Pixels:
    found = found_HWN.shape[2]
    if found == channels:
        return found_HWN
    if found == 1 and channels == 3:
        return np.repeat(found_HWN, 3, axis=2)
    if found == 3 and channels == 1:
        grey_HW: Any = cv2.cvtColor(np.ascontiguousarray(found_HWN), cv2.COLOR_RGB2GRAY)
        return grey_HW[..., None]
    raise ImageError(
        f"{path}: found {found} channels, expected {channels}; give --channels {found} or convert the file"
    )
