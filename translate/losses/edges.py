"""Edges of one image that the other lacks: a differentiable loss for results without a ground truth."""

import torch
from torch import Tensor
from torch.nn import functional as F

STRONG = 0.4
"""Height of a step, on the range [-1, 1], from which it counts as a whole edge; lower ones count by their square, so
texture and shading hardly do."""

REACH = 1 / 64
"""Distance along rows and columns, as a fraction of the side, within which two edges match."""


def unmatched_edges(source_BCHW: Tensor, result_BCHW: Tensor) -> Tensor:
    """Share of the edges that have no partner: 1 - (P + R) / 2, averaged over the batch; a scalar from 0 to 1.

    P is the share of the result's edges near one of the source, R the share of the source's near one of the result, as
    in `translate.metrics.edge_agreement`. Soft, so that it is differentiable: the edge of a pixel is
    min(g / STRONG, 1) ** 2 with g the length of the Sobel gradient of the channel mean, where a step of height h has
    g = h; nearness is the maximum within `REACH`. A line has two edges, both near its middle.

    Args:
        source_BCHW: range [-1, 1]; gets no gradient.
        result_BCHW: the same size, any number of channels.

    Raises:
        ValueError: the sizes differ.
    """
    if source_BCHW.shape[-2:] != result_BCHW.shape[-2:]:
        raise ValueError(
            f"images of one size expected, found {tuple(source_BCHW.shape)} and {tuple(result_BCHW.shape)}"
        )
    source_B1HW, result_B1HW = _edges(source_BCHW.detach()), _edges(result_BCHW)
    precision_B, recall_B = _share_near(result_B1HW, source_B1HW), _share_near(source_B1HW, result_B1HW)
    return (1.0 - (precision_B + recall_B) / 2.0).mean()


def _edges(x_BCHW: Tensor) -> Tensor:
    """(B, 1, H, W), 0 to 1."""
    sobel_33 = x_BCHW.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / (4.0 * STRONG)
    sobel_2133 = torch.stack([sobel_33, sobel_33.T])[:, None]
    grey_B1HW = F.pad(x_BCHW.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(grey_B1HW, sobel_2133).square().sum(dim=1, keepdim=True).clamp(max=1.0)


def _share_near(asked_B1HW: Tensor, known_B1HW: Tensor) -> Tensor:
    """Share of the asked edges near a known one, (B,); 0 without any."""
    reach = max(1, round(REACH * max(asked_B1HW.shape[-2:])))
    near_B1HW = F.max_pool2d(known_B1HW, 2 * reach + 1, stride=1, padding=reach)
    return (asked_B1HW * near_B1HW).sum(dim=(1, 2, 3)) / asked_B1HW.sum(dim=(1, 2, 3)).clamp_min(1.0)
