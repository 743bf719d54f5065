"""How near is a picture to the nearest one of a collection: is it learnt by heart?

Shape suffixes: N pictures, D numbers a picture.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 2048
"""Pictures compared at once, which limits the table to 16 MB in float32."""


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
    row_N, squares_N = nearest_rows(known_ND, asked_ND, np.float64)  # in which sums of squares are exact
    return row_N, np.sqrt(np.maximum(squares_N, 0.0) / known_ND.shape[1])


def nearest_rows(
    known_ND: NDArray[Any], asked_ND: NDArray[Any], dtype: type[np.float32] | type[np.float64]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Rows of `known_ND` as `nearest_neighbours` finds them, and (N,) sums of squared differences.

    In `dtype`, so a sum may be off by rounding, and then below 0.
    """
    best_N, row_N = np.full(len(asked_ND), np.inf, dtype), np.zeros(len(asked_ND), np.int64)
    for first in range(0, len(known_ND), _ROWS):
        # Centred, so that sums of products of thumbnails are small enough to be exact in float32.
        known = known_ND[first : first + _ROWS].astype(dtype) - 128.0
        for start in range(0, len(asked_ND), _ROWS):
            part = slice(start, start + _ROWS)
            asked = asked_ND[part].astype(dtype) - 128.0
            squares = (asked**2).sum(1)[:, None] + (known**2).sum(1) - 2.0 * asked @ known.T
            place = squares.argmin(1)
            least = squares[np.arange(len(asked)), place]
            row_N[part] = np.where(least < best_N[part], first + place, row_N[part])
            best_N[part] = np.minimum(best_N[part], least)
    return row_N, best_N
