"""Does a picture follow the drawing it was made from, and is it in colour?

Shape suffixes: B batch, H height, W width.
"""

import torch
from kornia.filters import sobel
from torch import Tensor
from torch.nn import functional as F

INK = 0.5
"""A pixel of the drawing darker than this is a line."""

PAPER = 0.95
"""A pixel of the picture with every channel above this is background."""

NEAR = 2
"""An edge this many pixels from a line still belongs to it."""


def line_contrast(sketch_B3HW: Tensor, result_B3HW: Tensor) -> Tensor:
    """How much stronger the edges of the picture are along the drawn lines than elsewhere.

    Mean over the lines of the largest Sobel magnitude within `NEAR` pixels, divided by its mean over the
    rest of the picture. 1 means the picture knows nothing of the drawing.

    Args:
        sketch_B3HW: dark lines on white, range [0, 1].
        result_B3HW: range [0, 1].

    Returns:
        (B,), at least 0; 1 for a drawing without lines or one that is all line.
    """
    ink_B1HW = sketch_B3HW.amin(dim=1, keepdim=True) < INK
    edges_B1HW = sobel(result_B3HW.mean(dim=1, keepdim=True))
    edges_B1HW = F.max_pool2d(edges_B1HW, 2 * NEAR + 1, stride=1, padding=NEAR)
    on = (edges_B1HW * ink_B1HW).sum(dim=(1, 2, 3)) / ink_B1HW.sum(dim=(1, 2, 3))
    off = (edges_B1HW * ~ink_B1HW).sum(dim=(1, 2, 3)) / (~ink_B1HW).sum(dim=(1, 2, 3))
    return torch.nan_to_num(on / off, nan=1.0)


def chroma(result_B3HW: Tensor) -> Tensor:
    """Mean difference between the strongest and the weakest colour channel, over all that is not background.

    Args:
        result_B3HW: range [0, 1].

    Returns:
        (B,), 0 (grey, or nothing but background) to 1 (pure colours).
    """
    lightest, darkest = result_B3HW.amax(dim=1), result_B3HW.amin(dim=1)
    object_BHW = darkest < PAPER
    return ((lightest - darkest) * object_BHW).sum(dim=(1, 2)) / object_BHW.sum(dim=(1, 2)).clamp_min(1)
