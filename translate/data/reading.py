"""Files -> arrays of the channels and bits a model works with.

Shape suffixes: H height, W width, C channels, N channels as found in the file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from translate.errors import ConfigError, ImageError, message_of
from translate.machine import available_memory_bytes
from translate.pictures.operations import flatten, grey, read_picture, to_bits

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the variable's suffix says its shape."""

MOST_CHANNELS = 64

_NPY = b"\x93NUMPY"


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
    """Read a picture file as `translate.pictures.decode` does, or a .npy array, in the wanted format.

    What the bytes are decides, not the suffix. Colours become grey by BT.601, grey becomes three equal channels, alpha
    is laid on white unless four channels are wanted. 8 bits become 16 by repeating them, 16 become 8 by rounding.
    Arrays are (H, W) or (H, W, N), uint8 or uint16, and are taken as they are. Of several pages the first is taken.

    Args:
        path: the file.
        format: what is wanted.

    Returns:
        (H, W, format.channels), uint8 or uint16 by format.bits, contiguous.

    Raises:
        ImageError: damaged, of another kind, too large, or with channels that cannot be converted.
    """
    return read_with_notes(path, format)[0]


def read_with_notes(path: Path, format: PixelFormat) -> tuple[Pixels, tuple[str, ...]]:
    """As `read_pixels`; also returns what was left out while reading, a few words each.

    Raises:
        ImageError: as for `read_pixels`.
    """
    notes: tuple[str, ...] = ()
    try:
        with path.open("rb") as handle:
            is_array = handle.read(len(_NPY)) == _NPY
        if is_array:
            found_HWN = _read_array(path)
        else:
            picture = read_picture(path, bits=format.bits)
            notes = picture.notes
            if picture.pages > 1:
                notes = (*notes, f"has {picture.pages} pages, of which the first is used")
            found_HWN = picture.to_array() if format.channels == 4 else flatten(picture)
        found_HWN = _with_channels(path, found_HWN, format.channels)
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be read ({error.strerror or error}); check the name and the permissions"
        ) from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory to decode it; close other programs or make it smaller") from None
    return np.ascontiguousarray(to_bits(found_HWN, format.bits)), notes


def _read_array(path: Path) -> Pixels:
    """A .npy file of pixels: (H, W, N)."""
    try:
        # Mapped, so that a wrong header cannot ask for memory; the channels wanted are copied below.
        found: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # on damaged headers the parser raises many types
        raise ImageError(f"{path}: damaged .npy file ({message_of(error)}); replace it with a good copy") from None
    if found.dtype.name not in ("uint8", "uint16") or found.ndim not in (2, 3) or 0 in found.shape:
        raise ImageError(
            f"{path}: array of {found.dtype} {found.shape}, expected uint8 or uint16 (H, W) or (H, W, channels); "
            "convert it"
        )
    if found.nbytes > available_memory_bytes() // 2:
        raise ImageError(f"{path}: array of {found.nbytes / 1e9:.1f} GB does not fit in memory here; make it smaller")
    native_HWN = np.array(found, dtype=found.dtype.newbyteorder("="), order="C")
    return native_HWN.reshape(*found.shape[:2], -1)


def _with_channels(path: Path, found_HWN: Pixels, channels: int) -> Pixels:
    found = found_HWN.shape[2]
    if found == channels:
        return found_HWN
    if found == 1 and channels == 3:
        return np.repeat(found_HWN, 3, axis=2)
    if found == 3 and channels == 1:
        return grey(found_HWN)
    raise ImageError(
        f"{path}: found {found} channels, expected {channels}; give --channels {found} or convert the file"
    )
