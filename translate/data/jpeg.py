"""JPEG compression of tensors: what a file loses, without writing one.

Shape suffixes: B batch, C channels, H height, W width; N blocks of 8 x 8.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# fmt: off
_TABLES_288 = torch.tensor([
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    [
        [17, 18, 24, 47, 99, 99, 99, 99],
        [18, 21, 26, 66, 99, 99, 99, 99],
        [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
    ],
])
# fmt: on
"""Quantisation at quality 50, of brightness and of colour: ITU-T T.81, annex K."""

_TO_YCC_33 = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_TO_RGB_33 = torch.tensor([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])

_COSINES_88 = torch.cos((2 * torch.arange(8) + 1) * torch.arange(8)[:, None] * (math.pi / 16)) / 2
_COSINES_88[0] *= 0.5**0.5
"""The orthonormal cosine transform (DCT-II) of eight values."""


def compress(picture_B3HW: Tensor, quality_B: Tensor) -> Tensor:
    """Compress as libjpeg does by default, with colours at half the resolution, and decode again.

    ITU-T T.81, without its lossless part, and without rounding to whole levels in between. Does not synchronise with
    the device. Not differentiable.

    Args:
        picture_B3HW: RGB, range [0, 1]; sides that are not multiples of 16 are extended as in files.
        quality_B: 1 to 100, on the CPU.

    Returns:
        The same shape, in [0, 1].
    """
    height, width = picture_B3HW.shape[-2:]
    padded_B3HW = F.pad(picture_B3HW, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc_B3HW = _mixed(padded_B3HW * 255.0 - 128.0, _TO_YCC_33)
    luma_B88, chroma_B88 = _tables(quality_B).to(picture_B3HW, non_blocking=True)
    luma_B1HW = _quantised(ycc_B3HW[:, :1], luma_B88)
    half_B2HW = _quantised(F.avg_pool2d(ycc_B3HW[:, 1:], 2), chroma_B88)
    chroma_B2HW = F.interpolate(half_B2HW, scale_factor=2.0, mode="bilinear", align_corners=False)
    rgb_B3HW = _mixed(torch.cat([luma_B1HW, chroma_B2HW], dim=1), _TO_RGB_33)
    return ((rgb_B3HW[..., :height, :width] + 128.0) / 255.0).clamp(0.0, 1.0)


def _mixed(x_B3HW: Tensor, matrix_33: Tensor) -> Tensor:
    """A matrix applied to the channels."""
    return (matrix_33.to(x_B3HW, non_blocking=True) @ x_B3HW.flatten(2)).view_as(x_B3HW)


def _tables(quality_B: Tensor) -> Tensor:
    """Quantisation of brightness and colour for each image, (2, B, 8, 8), scaled as by the Independent JPEG Group."""
    scale_B11 = torch.where(quality_B < 50.0, 5000.0 / quality_B, 200.0 - 2.0 * quality_B).view(-1, 1, 1)
    return ((_TABLES_288[:, None] * scale_B11 + 50.0) / 100.0).floor().clamp(1.0, 255.0)


def _quantised(x_BCHW: Tensor, table_B88: Tensor) -> Tensor:
    """Cosine transform of each block, rounded in steps of the table, and back; sides are multiples of 8."""
    batch, channels, height, width = x_BCHW.shape
    cosines_88 = _COSINES_88.to(x_BCHW, non_blocking=True)
    steps_B1188 = table_B88[:, None, None]
    blocks = x_BCHW.view(batch, channels * height // 8, 8, width // 8, 8).transpose(2, 3)
    values = cosines_88 @ blocks @ cosines_88.T
    values = (values / steps_B1188).round() * steps_B1188
    blocks = cosines_88.T @ values @ cosines_88
    return blocks.transpose(2, 3).reshape(batch, channels, height, width)
