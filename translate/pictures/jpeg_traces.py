"""Whether a picture shows traces of strong JPEG compression, which a model may take for detail and sharpen.

Array names carry their shape: H height, W width, C channels.
"""

from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from translate.pictures.operations import grey
from translate.pictures.picture import Pixels, to_bits

LOW_QUALITY = 80
"""JPEG files of this quality or less count as strongly compressed."""
BLOCKY = 0.75
"""Pictures of this `blockiness` or more were a JPEG file of quality 50 or less, mostly; clean ones stay below."""

_BLOCK = 8
_FAINT = 8.0
"""Steps stronger than this, of 255, are things rather than blocks."""
# Sum of the luminance table of quality 50: ISO/IEC 10918-1 (1994), table K.1.
_USUAL_SUM = 3688


def jpeg_traces(quality: int | None, rgb_HWC: Pixels) -> bool:
    """Whether a picture was compressed strongly, judged by its quantisation tables or by the blocks in it.

    An estimate: pictures that were reduced after their compression show nothing.

    Args:
        quality: what `jpeg_quality` says of its file.
        rgb_HWC: (H, W, 3) uint8 or uint16, its pixels as stored or turned upright.
    """
    return (quality is not None and quality <= LOW_QUALITY) or blockiness(rgb_HWC) >= BLOCKY


def jpeg_quality(file: Path | bytes) -> int | None:
    """The quality of a JPEG file as the Independent JPEG Group counts it, 1 to 100, from its luminance table.

    Exact from about 25 on for files with tables of that library, near for others. None if it is no JPEG file or
    cannot be opened.
    """
    try:
        with JpegImageFile(BytesIO(file) if isinstance(file, bytes) else file) as picture:
            tables = cast("dict[int, list[int]]", getattr(picture, "quantization", {}))
    except Exception:  # of another format, or damaged: whatever the parser trips over
        return None
    if not tables:
        return None
    percent = 100 * sum(tables[min(tables)]) / _USUAL_SUM
    return int(np.clip(round(5000 / percent if percent > 100 else 100 - percent / 2), 1, 100))


def blockiness(rgb_HWC: Pixels) -> float:
    """How much stronger faint steps are at the borders of 8 x 8 blocks than elsewhere, of 255; 0 for none.

    A step counts as far as it exceeds those beside it, so edges and texture do not. Steps are averaged along each
    border; of the borders of each of the eight places where a grid may lie, the median counts, so a few straight lines
    in a picture are no grid. The mean of the horizontal and the vertical value.

    Args:
        rgb_HWC: (H, W, 3) uint8 or uint16. Below 32 pixels a side there is nothing to tell, and it is 0.
    """
    if min(rgb_HWC.shape[:2]) < 4 * _BLOCK:
        return 0.0
    grey_HW = grey(to_bits(rgb_HWC, 8))[..., 0].astype(np.float32)
    return (_grid(grey_HW) + _grid(grey_HW.T)) / 2


def _grid(grey_HW: NDArray[np.float32]) -> float:
    """How much the strongest of the eight places stands out from the others, across columns."""
    step_HW = np.abs(np.diff(grey_HW, axis=1))
    beyond_HW = step_HW[:, 1:-1] - (step_HW[:, :-2] + step_HW[:, 2:]) / 2
    column_W = np.clip(beyond_HW, -_FAINT, _FAINT).mean(axis=0)
    whole = len(column_W) // _BLOCK * _BLOCK
    places = np.median(column_W[:whole].reshape(-1, _BLOCK), axis=0)
    return float(places.max() - np.median(places))
