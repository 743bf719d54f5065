"""Contact sheet: one picture that gives an overview of a folder.

Shape suffixes: H height, W width, C channels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from translate.data.check import Seen, Split
from translate.data.reading import PixelFormat, Pixels, read_pixels
from translate.data.thumbnails import as_rgb
from translate.pictures.operations import Picture, fit_size, resize, write_picture

PICTURES = 48
"""Number of pictures or pairs on a sheet; for unpaired data, half of it for each side."""

_TILE = 128
_GAP = 12
_INNER_GAP = 2
"""Gap between the two pictures of a pair."""
_GREY = 200
"""Grey level of the gaps, 0 to 255."""
_ACROSS = 8
"""Tiles per row."""


def write_sheet(path: Path, split: Split, formats: tuple[PixelFormat, PixelFormat]) -> None:
    """Write a sheet of `PICTURES` readable pictures, evenly spread over the sorted files.

    Pairs are side by side with the source on the left. Unpaired sides follow one another, sources first.

    Raises:
        ImageError: the file cannot be written.
    """
    samples = [entries for entries in split.samples().values() if entries]
    tiles = [
        # Sources first; the last picture of a sample is a target unless the side is that of unpaired sources.
        _tile(sample, split, formats if entries is samples[-1] else formats[:1])
        for entries in samples
        for sample in _spread(entries, PICTURES // len(samples))
    ]
    if tiles:
        across = _ACROSS if tiles[0].shape[1] == _TILE else _ACROSS * 3 // 4
        write_picture(path, Picture(arrange(tiles, across)))


def _spread(entries: list[tuple[Seen, ...]], count: int) -> list[tuple[Seen, ...]]:
    count = min(count, len(entries))
    return [entries[(2 * number + 1) * len(entries) // (2 * count)] for number in range(count)]


def _tile(sample: tuple[Seen, ...], split: Split, formats: Sequence[PixelFormat]) -> Pixels:
    """(H, W, 3) uint8: a square, or two squares with a narrow gap."""
    if split.listing.layout == "side-by-side":
        whole_HWC = read_pixels(sample[0].path, formats[-1])
        middle = whole_HWC.shape[1] // 2
        pictures = [whole_HWC[:, :middle], whole_HWC[:, middle:]]
        if split.listing.source_side == "right":
            pictures.reverse()
    else:
        pictures = [
            read_pixels(*one) for one in zip((seen.path for seen in sample), formats[-len(sample) :], strict=True)
        ]
    return joined([_square(picture_HWC) for picture_HWC in pictures], axis=1)


def _square(image_HWC: Pixels) -> Pixels:
    """The whole picture, centred on a grey square: (H, W, 3) uint8."""
    height, width = fit_size(image_HWC.shape[0], image_HWC.shape[1], _TILE)
    return in_the_middle(resize(as_rgb(image_HWC), height, width), _TILE)


def in_the_middle(image_HW3: Pixels, side: int) -> Pixels:
    """Centre a uint8 picture on a grey square that is at least as large."""
    height, width = image_HW3.shape[:2]
    square_HW3 = np.full((side, side, 3), _GREY, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square_HW3[top : top + height, left : left + width] = image_HW3
    return square_HW3


def joined(squares: Sequence[Pixels], axis: int) -> Pixels:
    """Concatenate uint8 squares of one size vertically (axis 0) or horizontally (axis 1), with a narrow gap."""
    side = len(squares[0])
    gap_HW3 = np.full((_INNER_GAP, side, 3) if axis == 0 else (side, _INNER_GAP, 3), _GREY, np.uint8)
    return np.concatenate([squares[0], *(part for square in squares[1:] for part in (gap_HW3, square))], axis=axis)


def arrange(tiles: Sequence[Pixels], across: int) -> Pixels:
    """Arrange uint8 tiles of one size in rows of at most `across`, with gaps between and around them."""
    height, width = tiles[0].shape[:2]
    across = min(len(tiles), across)
    down = -(-len(tiles) // across)
    sheet_HWC = np.full((down * (height + _GAP) + _GAP, across * (width + _GAP) + _GAP, 3), _GREY, np.uint8)
    for number, tile_HWC in enumerate(tiles):
        row, column = divmod(number, across)
        top, left = _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
        sheet_HWC[top : top + height, left : left + width] = tile_HWC
    return sheet_HWC
