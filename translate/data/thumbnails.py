"""Thumbnails for finding near-duplicates.

Shape suffixes: H height, W width, C channels, N pictures, D values per thumbnail.
"""

import numpy as np
from numpy.typing import NDArray

from translate.data.reading import Pixels
from translate.metrics.neighbours import nearest_rows
from translate.pictures.operations import BT_601, resize, to_bits

NEAR = 9.0
"""Root mean square difference of two thumbnails, of 255, below which pictures count as near-duplicates."""

NEAR_BESIDE_INK = 0.45
"""The same as a fraction of the paler one's difference from white, if that is less: any two drawings of thin lines
differ little. For 294 test drawings of shoes and bags, the nearest of 2,317 others is at 0.6 or more; the same drawing
moved by one part in 128 is at 0.2 to 0.4, and resized at 0.1."""

_GREY_SIDE, _COLOUR_SIDE = 24, 8


def thumbnail(image_HWC: Pixels) -> Pixels:
    """uint8 (768,): 24 x 24 grey values, then 8 x 8 colours."""
    small_HW3 = resize(as_rgb(image_HWC), _GREY_SIDE, _GREY_SIDE).astype(np.float32)
    step = _GREY_SIDE // _COLOUR_SIDE
    colour_HW3 = small_HW3.reshape(_COLOUR_SIDE, step, _COLOUR_SIDE, step, 3).mean((1, 3))
    return np.concatenate([(small_HW3 @ BT_601).ravel(), colour_HW3.ravel()]).round().astype(np.uint8)


def looks_drawn(thumbnail_D: Pixels) -> bool:
    """Whether it looks like thin lines on white: without colour and without dark areas.

    True for 957 of 959 drawings of shoes and bags by people and by edge detectors, and for 36 of 2,233 photographs of
    the same objects on white.
    """
    colour_N3 = thumbnail_D[_GREY_SIDE**2 :].reshape(-1, 3).astype(int)
    return bool(np.ptp(colour_N3, axis=1).max() <= 8 and colour_N3.mean(axis=1).min() >= 96)


def near_duplicates(known_ND: Pixels, asked_ND: Pixels) -> list[tuple[int, int, float]]:
    """Rows of `asked_ND` with a near-duplicate in `known_ND`: (row, nearest known row, root mean square difference).

    Args:
        known_ND: uint8 thumbnails.
        asked_ND: uint8 thumbnails to look up.
    """
    nearest_N, squares_N = nearest_rows(known_ND, asked_ND, np.float32)
    distance_N = np.sqrt(np.maximum(squares_N, 0.0) / known_ND.shape[1])
    ink_N = np.minimum(_ink(asked_ND), _ink(known_ND)[nearest_N])
    near_N = distance_N < np.minimum(NEAR, NEAR_BESIDE_INK * ink_N)
    return [(int(row), int(nearest_N[row]), float(distance_N[row])) for row in np.flatnonzero(near_N)]


def _ink(thumbnail_ND: Pixels) -> NDArray[np.float32]:
    """Root mean square difference of each thumbnail from white, (N,)."""
    return np.sqrt(np.square(255.0 - thumbnail_ND, dtype=np.float32).mean(axis=1))


def as_rgb(image_HWC: Pixels) -> Pixels:
    """Any pixels as uint8 (H, W, 3): the first three channels, or the first one repeated if there are fewer."""
    image_HWC = to_bits(image_HWC, 8)
    shown_HW3 = image_HWC[..., :3] if image_HWC.shape[2] >= 3 else np.repeat(image_HWC[..., :1], 3, axis=2)
    return np.ascontiguousarray(shown_HW3)
