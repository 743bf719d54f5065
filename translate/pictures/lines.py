"""Photograph -> line drawing, for models that take drawings; without torch.

The drawings that such models learn from are made in `translate.data.sketches`, in many random ways. This is one of
those ways, `draw_soft_edges`, with settings in the middle of its ranges.

Array names carry their shape: H height, W width, C channels.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from translate.pictures.picture import Pixels, white_of

Plane = NDArray[np.float32]

FLAT = 0.03
"""Gradient magnitude up to which it counts as noise of flat areas; a step from white to black has up to 8."""
DRAWN_AT = 256
"""Side of the picture in pixels that the two blurs refer to; they scale with it."""
LIMIT, SOFTNESS = 0.3, 0.06
"""Share of the strongest gradient at which a line is half dark, and how gradually it gets dark."""

_INK, _COLOURED = 0.15, 0.06
"""How much darker than the paper ink is, and how colourful it may be, of 1."""
_PAPER_SHARE, _THICK_SHARE = 0.5, 0.2
"""Paper covers more of a drawing than this, and less of its ink than this lies deep inside dark areas."""


def draw_lines(photo: Pixels) -> Pixels:
    """Draw the edges of a photograph as soft, closed, dark lines on white paper.

    Dark where the gradient magnitude, summed over two scales, is large.

    Args:
        photo: (H, W, 3) uint8 or uint16.

    Returns:
        (H, W, 3) uint8, three equal channels.
    """
    grey_HW = photo.mean(axis=2, dtype=np.float32) * np.float32(2.0 / white_of(photo)) - np.float32(1.0)
    unit = grey_HW.shape[1] / DRAWN_AT
    length_HW = np.zeros_like(grey_HW)
    for sigma in (1.2 * unit, 2.5 * unit):
        # Each scale is divided by its own maximum, otherwise the coarse one would hardly count.
        one_HW = (_gradient_length(_blur(grey_HW, max(sigma, 0.5))) - FLAT).clip(0.0)
        length_HW += one_HW / max(float(np.quantile(one_HW, 0.995)), 5.0 * FLAT) / 2.0
    paper = 1.0 / (1.0 + math.exp(LIMIT / SOFTNESS))
    dark_HW = 1.0 / (1.0 + np.exp((LIMIT - length_HW) / SOFTNESS))
    lines_HW = (dark_HW - paper) / (1.0 - paper)  # white where there is no gradient
    drawn_HW = np.rint(255.0 * (1.0 - lines_HW.clip(0.0))).astype(np.uint8)
    return np.repeat(drawn_HW[..., None], 3, axis=2)


def is_drawing(picture: Pixels) -> bool:
    """Guess whether a picture is lines on paper already: mostly one light tone, thin ink and hardly any colour.

    Right for all of 214 hand drawings and 130 edge maps, and for 392 of 395 product photographs on white.

    Args:
        picture: (H, W, 3) uint8 or uint16.
    """
    unit_HWC = picture.astype(np.float32) / np.float32(white_of(picture))
    light_HW, colour_HW = unit_HWC.mean(axis=2), np.ptp(unit_HWC, axis=2)
    paper = float(np.median(light_HW))
    ink_HW = light_HW < paper - _INK
    if paper < 0.5 or float((np.abs(light_HW - paper) < _INK).mean()) < _PAPER_SHARE:
        return False
    if not ink_HW.any():
        return True
    # What is dark this far in all four directions is an area, not a line.
    reach = max(1, round(max(ink_HW.shape) / 40))
    padded = np.pad(ink_HW, reach)
    height, width = ink_HW.shape
    deep_HW = ink_HW.copy()
    for top, left in ((0, reach), (2 * reach, reach), (reach, 0), (reach, 2 * reach)):
        deep_HW &= padded[top : top + height, left : left + width]
    thick = float(deep_HW.sum()) / float(ink_HW.sum())
    return float(colour_HW[ink_HW].mean()) < _COLOURED and thick < _THICK_SHARE


def _blur(grey_HW: Plane, sigma: float) -> Plane:
    """Gaussian blur; the border is repeated outside."""
    reach = max(1, round(2.5 * sigma))
    places = range(-reach, reach + 1)
    weights = np.array([math.exp(-(place**2) / (2.0 * sigma**2)) for place in places], np.float32)
    weights /= weights.sum()
    for axis in (0, 1):
        grey_HW = _shifted(grey_HW, axis, reach, lambda part, number: weights[number] * part)
    return grey_HW


def _gradient_length(grey_HW: Plane) -> Plane:
    """Length of the Sobel gradient."""
    slope, smooth = (-1.0, 0.0, 1.0), (1.0, 2.0, 1.0)
    across_HW = _three(_three(grey_HW, 1, slope), 0, smooth)
    down_HW = _three(_three(grey_HW, 0, slope), 1, smooth)
    return np.sqrt(across_HW * across_HW + down_HW * down_HW + np.float32(1e-6))


def _three(grey_HW: Plane, axis: int, weights: tuple[float, float, float]) -> Plane:
    return _shifted(grey_HW, axis, 1, lambda part, number: np.float32(weights[number]) * part)


def _shifted(grey_HW: Plane, axis: int, reach: int, weighted: Callable[[Plane, int], Plane]) -> Plane:
    """Sum of the weighted copies shifted by -reach to reach along an axis."""
    margin = [(0, 0), (0, 0)]
    margin[axis] = (reach, reach)
    padded = np.pad(grey_HW, margin, mode="edge")
    length = grey_HW.shape[axis]
    total_HW = np.zeros_like(grey_HW)
    for number in range(2 * reach + 1):
        rows = slice(number, number + length)
        total_HW += weighted(padded[rows] if axis == 0 else padded[:, rows], number)
    return total_HW
