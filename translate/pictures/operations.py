"""Sizes, light and opacity of pictures; and the names of this folder that others need most, to import from one place:

    picture     Picture, bits, laying on a background
    decode      files and bytes -> Picture, in sRGB
    encode      Picture -> bytes and files
    formats     which suffixes are read and written
    lanczos     the quick resizing behind `relight`

Array names carry their shape: H height, W width, C channels. Pixels are uint8 in [0, 255] or uint16 in [0, 65535].
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.pictures.decode import decode, read_picture
from translate.pictures.encode import Metadata, encode, encode_for, lost, write_bytes, write_picture
from translate.pictures.formats import READABLE, WRITABLE
from translate.pictures.found import BYTES_PER_DECODED_PIXEL
from translate.pictures.lanczos import Resized, shrink
from translate.pictures.picture import BAND, Picture, Pixels, flatten, to_bits, white_of, with_bits

__all__ = [
    "BT_601",
    "BYTES_PER_DECODED_PIXEL",
    "READABLE",
    "WRITABLE",
    "Metadata",
    "Picture",
    "Pixels",
    "Relighting",
    "bicubic",
    "covered",
    "decode",
    "encode",
    "encode_for",
    "fit_size",
    "flatten",
    "grey",
    "is_ink",
    "lost",
    "mixed",
    "read_picture",
    "relight",
    "resize",
    "resize_picture",
    "shrink",
    "to_bits",
    "white_of",
    "with_bits",
    "write_bytes",
    "write_picture",
]

BT_601 = np.array([0.299, 0.587, 0.114], np.float32)
"""What red, green and blue weigh in grey."""

INK_SHARE = 0.25
"""Lines cover less of a sheet than this; a cut-out picture covers more."""

_LIGHT_PIXELS = 1 << 15
"""Light is changed in bands of so many pixels,"""
_LEAST_ROWS = 16
"""but of at least so many rows: each band needs a few lines of the small copy beyond its own."""
_DIM = 8.0
"""Brightness added to both sides of a ratio, of 255: what was black has no detail to multiply."""
_MOST_GAIN = 2.0
"""Detail of a place that becomes much brighter is mostly noise."""


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resize (H, W) or (H, W, 3) to `height` x `width` with Lanczos (widened when shrinking, so no aliasing).

    The type stays: uint8 as Pillow does it, uint16 in 32-bit floats, rounded to nearest.
    """
    if image.shape[:2] == (height, width):
        return image
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
    resized = np.empty((height, width, *image.shape[2:]), image.dtype)
    for channel in np.ndindex(image.shape[2:]):  # Pillow has no colours of 16 bits
        plane_HW = _resize_floats(image[(..., *channel)].astype(np.float32), height, width)
        resized[(..., *channel)] = np.clip(np.rint(plane_HW), 0, white_of(image))
    return resized


def bicubic(rgb_HWC: Pixels, height: int, width: int) -> Pixels:
    """Resize (H, W, 3) uint8 to `height` x `width` by cubic convolution, as picture viewers enlarge.

    The usual yardstick of super-resolution (Keys, "Cubic Convolution Interpolation for Digital Image Processing",
    1981), with Pillow's a = -0.5.
    """
    return np.asarray(Image.fromarray(rgb_HWC).resize((width, height), Image.Resampling.BICUBIC))


def resize_picture(picture: Picture, height: int, width: int) -> Picture:
    """Resize colours and alpha together, so that the colours of transparent pixels do not bleed into the edges.

    Colours are weighted by their opacity, in 32-bit floats; where nothing is opaque they become black. Without alpha it
    is `resize`.
    """
    if picture.alpha_HW is None:
        return replace(picture, rgb_HWC=resize(picture.rgb_HWC, height, width))
    if (picture.height, picture.width) == (height, width):
        return picture
    white = white_of(picture.rgb_HWC)
    alpha_HW = picture.alpha_HW.astype(np.float32)
    new_alpha_HW = np.clip(_resize_floats(alpha_HW, height, width), 0, white)
    some_HW = new_alpha_HW >= 0.5  # what is rounded to nothing has no colour
    rgb_HWC = np.zeros((height, width, 3), picture.rgb_HWC.dtype)
    for channel in range(3):
        weighted_HW = _resize_floats(picture.rgb_HWC[..., channel] * alpha_HW, height, width)
        colour_HW = np.divide(weighted_HW, new_alpha_HW, out=weighted_HW, where=some_HW)
        rgb_HWC[..., channel] = np.where(some_HW, np.clip(np.rint(colour_HW), 0, white), 0)
    return replace(picture, rgb_HWC=rgb_HWC, alpha_HW=np.rint(new_alpha_HW).astype(rgb_HWC.dtype))


def covered(picture: Picture) -> Pixels:
    """Return the colours, those of fully transparent pixels replaced by what is opaque around them.

    For models, which look at neighbours: what a file hides under transparency, black mostly, would show at the edges.
    Smaller and smaller copies, weighted by opacity, are filled into one another's holes (Burt, "Moment Images,
    Polynomial Fit Filters, and the Problem of Surface Interpolation", 1988).

    Returns:
        (H, W, 3) of the picture's type.
    """
    if picture.alpha_HW is None or picture.alpha_HW.all():
        return picture.rgb_HWC
    if max(picture.height, picture.width) == 1:
        return picture.rgb_HWC
    half = resize_picture(picture, -(-picture.height // 2), -(-picture.width // 2))
    around_HWC = resize(covered(half), picture.height, picture.width)
    return np.where(picture.alpha_HW[..., None] == 0, around_HWC, picture.rgb_HWC)


def fit_size(height: int, width: int, longer: int) -> tuple[int, int]:
    """Return (height, width) of the same aspect ratio whose longer side is `longer`; neither is below 1."""
    factor = longer / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def grey(rgb_HWC: Pixels) -> Pixels:
    """(H, W, 3) -> (H, W, 1) by BT.601, as training pictures become grey."""
    if rgb_HWC.dtype == np.uint8:
        return np.asarray(Image.fromarray(rgb_HWC).convert("L"))[..., None]
    grey_HW = rgb_HWC @ BT_601
    return np.rint(grey_HW).astype(np.uint16)[..., None]


def is_ink(opaque: float) -> bool:
    """Tell by the opaque share of a picture, 0 to 1, whether it is lines on a transparent sheet."""
    return opaque < INK_SHARE


class Relighting:
    """The change that a small copy of a picture went through, for the picture itself.

    The picture, times how much brighter or darker the copy became there, plus what the changed copy has beyond that.
    So the picture keeps its fine detail, as strong as the place is bright: the texture of a wall goes dark with the
    wall. Factor and rest are computed at the copy's size and enlarged, as the fast guided filter does with its
    coefficients (He and Sun, "Fast Guided Filter", 2015).

    Args:
        before, after: (h, w, 3) uint8 or uint16, the small copy and what became of it.
        height, width: the picture's.
        bits: the picture's, 8 or 16.
    """

    def __init__(self, before: Pixels, after: Pixels, height: int, width: int, bits: Literal[8, 16]) -> None:
        was_Chw, became_Chw = (
            np.ascontiguousarray(np.moveaxis(to_bits(small, bits), 2, 0), np.float32) for small in (before, after)
        )
        self._white = 255 if bits == 8 else 65535
        dim = np.float32(3 * _DIM * (self._white / 255))
        gain_hw = np.minimum((_sum(became_Chw) + dim) / (_sum(was_Chw) + dim), _MOST_GAIN)
        rest_Chw = became_Chw - gain_hw * was_Chw + np.float32(0.5)  # to round by cutting off
        self._planes = Resized(np.concatenate([rest_Chw, gain_hw[None]]), height, width)

    def rows(self, rgb_HWC: Pixels, top: int) -> Pixels:
        """Change some rows of the picture, from `top` on: (H, width, 3) of its type -> the same."""
        height, width = rgb_HWC.shape[:2]
        changed_HWC = np.empty_like(rgb_HWC)
        count = max(_LEAST_ROWS, _LIGHT_PIXELS // width)
        for first in range(0, height, count):  # in bands, which stay in the processor's cache
            rows = slice(first, min(first + count, height))
            *rest_CHW, gain_HW = self._planes.rows(top + rows.start, top + rows.stop)
            for channel, rest_HW in enumerate(rest_CHW):
                rest_HW += gain_HW * rgb_HWC[rows, :, channel]
                changed_HWC[rows, :, channel] = np.clip(rest_HW, 0, self._white, out=rest_HW)
        return changed_HWC


def relight(picture: Pixels, before: Pixels, after: Pixels) -> Pixels:
    """Give a picture, (H, W, 3) uint8 or uint16, the change that a small copy of it went through: see `Relighting`."""
    height, width = picture.shape[:2]
    bits: Literal[8, 16] = 16 if picture.dtype == np.uint16 else 8
    return Relighting(before, after, height, width, bits).rows(picture, 0)


def mixed(before: Pixels, after: Pixels, strength: float) -> Pixels:
    """Mix two pictures: 0 is `before`, 1 is `after`, both (H, W, 3); the result has the type of `after`."""
    before = to_bits(before, 16 if after.dtype == np.uint16 else 8)
    mixture = np.empty_like(after)
    for top in range(0, len(after), BAND):
        rows = slice(top, top + BAND)
        part = before[rows].astype(np.float32)
        mixture[rows] = np.rint(part + np.float32(strength) * (after[rows] - part))
    return mixture


def _sum(planes_CHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of the three colours; `sum(axis=0)` would take longer."""
    return planes_CHW[0] + planes_CHW[1] + planes_CHW[2]


def _resize_floats(plane_HW: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.array(Image.fromarray(plane_HW).resize((width, height), Image.Resampling.LANCZOS))
