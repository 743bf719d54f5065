"""What a decoded picture is.

Array names carry their shape: H height, W width, C colours, N channels as found. White is 255 in uint8 and 65535 in
uint16.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from translate.errors import ImageError
from translate.pictures.metadata.facts import PhysicalSize, Text

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the variable's suffix says its shape."""

BAND = 256
"""Rows that are worked on at once where the numbers in between take several times the memory of the pixels."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture: sRGB colours and, where the file has it, opacity; and what else the file says.

    rgb_HWC: (H, W, 3) uint8 or uint16. alpha_HW: (H, W) of the same type, white is opaque, or None for an opaque
    picture; colours are not multiplied by it. The colours are sRGB, turned upright, whatever the file had.
    """

    rgb_HWC: Pixels
    alpha_HW: Pixels | None = None
    icc: bytes | None = None
    """Colour profile that the pixels have been converted from: the file's, or one made of what it says in numbers;
    after tone mapping that of sRGB. None: the file says nothing, or sRGB without a profile."""
    exif: bytes | None = None
    """EXIF, beginning with its TIFF header; its orientation is 1 and it has no thumbnail."""
    xmp: bytes | None = None
    """XMP packet, UTF-8."""
    notes: tuple[str, ...] = ()
    """What was left out while reading, a few words each."""
    size: PhysicalSize | None = None
    """How large it is meant to be, upright; None: unknown."""
    iptc: bytes | None = None
    """IPTC records, without wrapper."""
    texts: tuple[Text, ...] = ()
    """Text chunks of PNG; the comment of JPEG and GIF."""
    pages: int = 1
    """How many pages the file has, of which this is one."""

    @classmethod
    def from_array(cls, array: Pixels) -> "Picture":
        """Make a picture of a grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) uint8 or uint16 array.

        Raises:
            ImageError: another shape or type.
        """
        if array.dtype.name not in ("uint8", "uint16"):
            raise ImageError(
                f"picture array has type {array.dtype}, expected uint8 in 0..255 or uint16 in 0..65535; "
                "convert it first"
            )
        if array.ndim == 2:
            return cls(np.stack([array] * 3, axis=-1))
        if array.ndim == 3 and array.shape[2] == 3:
            return cls(array)
        if array.ndim == 3 and array.shape[2] == 4:
            return cls(np.ascontiguousarray(array[..., :3]), np.ascontiguousarray(array[..., 3]))
        raise ImageError(f"picture array has shape {array.shape}, expected (H, W), (H, W, 3) or (H, W, 4)")

    def to_array(self) -> Pixels:
        """Return (H, W, 3), or (H, W, 4) when there is alpha."""
        if self.alpha_HW is None:
            return self.rgb_HWC
        return np.dstack([self.rgb_HWC, self.alpha_HW])

    @property
    def height(self) -> int:
        """Rows in pixels."""
        return self.rgb_HWC.shape[0]

    @property
    def width(self) -> int:
        """Columns in pixels."""
        return self.rgb_HWC.shape[1]

    @property
    def bits(self) -> Literal[8, 16]:
        """Bits a channel."""
        return 16 if self.rgb_HWC.dtype == np.uint16 else 8


def white_of(pixels: Pixels) -> int:
    """The largest value: 255 of uint8, 65535 of uint16."""
    return int(np.iinfo(pixels.dtype).max)


def to_bits(pixels: Pixels, bits: Literal[8, 16]) -> Pixels:
    """Return (H, ...) pixels as uint8 or uint16: 16 bits are rounded to the nearest of 8, 8 are repeated."""
    if pixels.dtype == (np.uint8 if bits == 8 else np.uint16):
        return pixels
    if bits == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    rounded = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), BAND):
        rows = slice(top, top + BAND)
        rounded[rows] = (pixels[rows].astype(np.uint32) + 128) // 257
    return rounded


def with_bits(picture: Picture, bits: Literal[8, 16]) -> Picture:
    """Return the picture with 8 or 16 bits a channel, see `to_bits`."""
    alpha_HW = None if picture.alpha_HW is None else to_bits(picture.alpha_HW, bits)
    return replace(picture, rgb_HWC=to_bits(picture.rgb_HWC, bits), alpha_HW=alpha_HW)


def flatten(picture: Picture, background: int = 255) -> Pixels:
    """Lay the picture on a plain grey `background` (0 black, 255 white): (H, W, 3) of the picture's type."""
    if picture.alpha_HW is None:
        return picture.rgb_HWC
    white = white_of(picture.rgb_HWC)
    grey = background * (white // 255)
    flat_HWC = np.empty_like(picture.rgb_HWC)
    for top in range(0, picture.height, BAND):
        rows = slice(top, top + BAND)
        alpha_HW1 = picture.alpha_HW[rows, :, None].astype(np.uint32)  # the largest product of 16 bits just fits
        blended_HWC = picture.rgb_HWC[rows] * alpha_HW1 + np.uint32(grey) * (white - alpha_HW1)
        flat_HWC[rows] = (blended_HWC + white // 2) // white
    return flat_HWC
