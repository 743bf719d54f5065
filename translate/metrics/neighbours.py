"""How near is a picture to the nearest one of a collection: is it learnt by heart?

Shape suffixes: N pictures, D numbers a picture.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 1024
"""Pictures compared at once; bounds the memory."""


def nearest_neighbours(known_ND: NDArray[Any], asked_ND: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of every asked picture the row of the nearest known one, and the root mean square difference.

    sqrt(sum over D of (asked - known)^2 / D), the Euclidean distance that "nearest training picture" figures use
    (Karras et al., "Progressive Growing of GANs ...", 2018, appendix), here of thumbnails.

    Args:
        known_ND: at least one row; uint8, as `translate.data.thumbnails.thumbnail` makes them.
        asked_ND: uint8, as many numbers a row.

    Returns:
        (N,) rows of `known_ND`, the first of equally near ones, and (N,) distances, 0 to 255, of equal length.

    Raises:
        ValueError: nothing is known, or the rows differ in length.
    """
    if not len(known_ND) or known_ND.shape[1] != asked_ND.shape[1]:
        raise ValueError(f"found {known_ND.shape} and {asked_ND.shape}, expected rows of equal length")
    best_N, row_N = np.full(len(asked_ND), np.inf), np.zeros(len(asked_ND), np.int64)
    # Sums of squares of 8-bit differences are exact in float64.
    asked = asked_ND.astype(np.float64)
    for first in range(0, len(known_ND), _ROWS):
        known = known_ND[first : first + _ROWS].astype(np.float64)
        squares = (asked**2).sum(1)[:, None] + (known**2).sum(1) - 2.0 * asked @ known.T
        place_N = squares.argmin(1)
        least_N = squares[np.arange(len(asked)), place_N]
        closer_N = least_N < best_N
        row_N[closer_N], best_N[closer_N] = first + place_N[closer_N], least_N[closer_N]
    return row_N, np.sqrt(np.maximum(best_N, 0.0) / known_ND.shape[1])
