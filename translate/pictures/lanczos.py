"""Lanczos resizing by products of matrices: Pillow's results in a third of its time.

Every pixel of a line is a weighted sum of some neighbours, so resizing is a product with a matrix that is zero away
from its diagonal. It is multiplied block by block, which leaves most zeros out and keeps every product so small that
the library of linear algebra does not start threads for it. The weights, the order (first sideways) and the rounding
after each half are Pillow's; floats instead of its whole numbers make a few of 100,000 values differ, by 1.

Array names carry their shape: C channels, H height, W width; h and w of the picture that is resized.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from translate.pictures.picture import Pixels, white_of

Floats = NDArray[np.float32]

_LOBES = 3
_BLOCK = 16
"""Pixels of the result per product: more have more zeros in their matrix, fewer take more calls."""
_MOST_PRODUCTS = 250_000
"""Multiplications per product; OpenBLAS starts threads above 262,144."""
_STRIP_PIXELS = 1 << 17
"""Pixels that are turned into floats at a time."""


class _Block(NamedTuple):
    """Some neighbouring pixels of the result."""

    start: int
    stop: int
    first: int
    last: int
    """What they are sums of."""
    weights: Floats
    """(stop - start, last - first)."""
    turned: Floats
    """The transposed weights, which are faster like this from the right."""

    def overlaps(self, top: int, bottom: int) -> bool:
        return self.start < bottom and top < self.stop


class Resized:
    """Planes at another size, of which only the requested rows are computed.

    Args:
        planes_Chw: (C, h, w) float32, of any range.
        height, width: the other size.
    """

    def __init__(self, planes_Chw: Floats, height: int, width: int) -> None:
        self._planes_Chw, self._height, self._width = planes_Chw, height, width

    def rows(self, top: int, bottom: int) -> Floats:
        """The rows `top` to `bottom`: (C, bottom - top, width), neither rounded nor clipped."""
        blocks = [block for block in _blocks(self._planes_Chw.shape[1], self._height) if block.overlaps(top, bottom)]
        first, last = blocks[0].first, blocks[-1].last
        return _down(_sideways(self._planes_Chw[:, first:last], self._width), first, blocks, top, bottom)


def shrink(image: Pixels, height: int, width: int) -> Pixels:
    """Resize (h, w, C) uint8 or uint16 to `height` x `width`, as `translate.pictures.operations.resize` does."""
    old_height, old_width, channels = image.shape
    if (old_height, old_width) == (height, width):
        return image
    white = white_of(image)
    lines_ChW = np.empty((channels, old_height, width), np.float32)
    count = max(1, _STRIP_PIXELS // old_width)
    for first in range(0, old_height, count):
        strip_HwC = image[first : first + count]
        lines_ChW[:, first : first + count] = _sideways(
            np.ascontiguousarray(np.moveaxis(strip_HwC, 2, 0), np.float32), width
        )
    if white == 255:  # 16 bits are floats in Pillow, which are not rounded in between
        _round(lines_ChW, white)
    rows_CHW = _round(_down(lines_ChW, 0, _blocks(old_height, height), 0, height), white)
    small_HWC = np.empty((height, width, channels), image.dtype)
    small_HWC[...] = np.moveaxis(rows_CHW, 0, 2)
    return small_HWC


def _sideways(seen_Chw: Floats, width: int) -> Floats:
    """The first half: (C, h, w) -> (C, h, width)."""
    channels, height, old = seen_Chw.shape
    lines_ChW = np.empty((channels, height, width), np.float32)
    for block in _blocks(old, width):
        step = max(1, _MOST_PRODUCTS // block.weights.size)
        for line in range(0, height, step):
            lines = slice(line, line + step)
            seen, made = seen_Chw[:, lines, block.first : block.last], lines_ChW[:, lines]
            np.matmul(seen, block.turned, out=made[..., block.start : block.stop])
    return lines_ChW


def _down(lines_ChW: Floats, offset: int, blocks: Sequence[_Block], top: int, bottom: int) -> Floats:
    """The second half, of the rows `top` to `bottom`: (C, h, W) -> (C, bottom - top, W).

    `offset` is how many lines are missing at the start of `lines_ChW`.
    """
    channels, _, width = lines_ChW.shape
    rows_CHW = np.empty((channels, bottom - top, width), np.float32)
    for block in blocks:
        start, stop = max(top, block.start), min(bottom, block.stop)
        weights = block.weights[start - block.start : stop - block.start]
        seen = lines_ChW[:, block.first - offset : block.last - offset]
        made = rows_CHW[:, start - top : stop - top]
        step = max(1, _MOST_PRODUCTS // weights.size)
        for left in range(0, width, step):
            columns = slice(left, left + step)
            np.matmul(weights, seen[..., columns], out=made[..., columns])
    return rows_CHW


def _round(values: Floats, white: int) -> Floats:
    """Round half up and clip, in place."""
    values += np.float32(0.5)
    np.clip(values, 0, white, out=values)
    return np.floor(values, out=values)


@lru_cache(maxsize=64)
def _blocks(old: int, new: int) -> tuple[_Block, ...]:
    """The matrix that resizes a line of `old` pixels to `new`, in blocks, as Pillow computes it."""
    ratio = old / new
    wider = max(1.0, ratio)
    centre_N = (np.arange(new) + 0.5) * ratio
    first_N = np.maximum(0, (centre_N - _LOBES * wider + 0.5).astype(int))
    last_N = np.minimum(old, (centre_N + _LOBES * wider + 0.5).astype(int))
    found: list[_Block] = []
    for start in range(0, new, _BLOCK):
        stop = min(start + _BLOCK, new)
        first, last = int(first_N[start]), int(last_N[stop - 1])
        place_K = np.arange(first, last)
        away_NK = (place_K + 0.5 - centre_N[start:stop, None]) / wider
        used_NK = (place_K >= first_N[start:stop, None]) & (place_K < last_N[start:stop, None])
        weight_NK = np.where(used_NK & (np.abs(away_NK) < _LOBES), np.sinc(away_NK) * np.sinc(away_NK / _LOBES), 0.0)
        weight_NK /= weight_NK.sum(axis=1, keepdims=True)
        weights = weight_NK.astype(np.float32)
        found.append(_Block(start, stop, first, last, weights, np.ascontiguousarray(weights.T)))
    return tuple(found)
