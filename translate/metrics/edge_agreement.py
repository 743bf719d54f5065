"""Does a picture have its edges where the drawing has lines, and nowhere else?

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from kornia.filters import canny
from torch import Tensor
from torch.nn import functional as F

from translate.metrics.drawing import INK
from translate.metrics.fidelity import check_pairs

TOLERANCE = 2
"""An edge this many pixels from a line, along rows and columns, still belongs to it."""

STEP = (0.1, 0.2)
"""Height of a step, of the range [0, 1], from which it is an edge where it continues a strong one, and a strong one."""

_GAIN = 2.59
"""What Canny's Sobel filter answers to a step of 1 after its blur of one pixel."""


def edge_agreement(sketch_B3HW: Tensor, result_B3HW: Tensor) -> Tensor:
    """F-measure of the edges of the picture against the drawn lines: 2 P R / (P + R).

    P is the share of edge pixels with a line within `TOLERANCE`, R the share of line pixels with an edge within it.
    Edges are Canny's (blur of one pixel, thinned, hysteresis) on the mean of the channels, of steps as high as `STEP`.
    Martin, Fowlkes and Malik, "Learning to Detect Natural Image Boundaries ...", PAMI 2004, section 3, who in addition
    let every line pixel answer for one edge pixel only; drawn lines are several pixels wide, so here they need not.

    Args:
        sketch_B3HW: dark lines on white, range [0, 1]; darker than `INK` is a line.
        result_B3HW: equal shape, range [0, 1].

    Returns:
        (B,), 0 to 1; more is closer. 1 where there are neither lines nor edges, 0 where only one of them is there.

    Raises:
        ValueError: the shapes differ.
    """
    check_pairs(sketch_B3HW, result_B3HW)
    lines_B1HW = (sketch_B3HW.amin(dim=1, keepdim=True) < INK).float()
    edges_B1HW = strong_edges(result_B3HW)
    precision_B, recall_B = _share_near(edges_B1HW, lines_B1HW), _share_near(lines_B1HW, edges_B1HW)
    measure_B = 2.0 * precision_B * recall_B / (precision_B + recall_B).clamp_min(1e-12)
    neither_B = (lines_B1HW.sum(dim=(1, 2, 3)) == 0) & (edges_B1HW.sum(dim=(1, 2, 3)) == 0)
    return torch.where(neither_B, torch.ones_like(measure_B), measure_B)


def strong_edges(picture_BCHW: Tensor) -> Tensor:
    """Thin edges of the mean of the channels, (B, 1, H, W), 0 or 1."""
    low, high = (_GAIN * step for step in STEP)
    return canny(picture_BCHW.mean(dim=1, keepdim=True), low, high)[1]


def _share_near(asked_B1HW: Tensor, known_B1HW: Tensor) -> Tensor:
    """Share of the asked pixels with a known one within the tolerance, (B,); 0 where none are asked."""
    near_B1HW = F.max_pool2d(known_B1HW, 2 * TOLERANCE + 1, stride=1, padding=TOLERANCE)
    return (asked_B1HW * near_B1HW).sum(dim=(1, 2, 3)) / asked_B1HW.sum(dim=(1, 2, 3)).clamp_min(1.0)
