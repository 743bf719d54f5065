"""Perceptual distance: difference of two images in the features of a pretrained network."""

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-8
"""Avoids division by zero where all features of a layer are zero."""


def perceptual_distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean over the layers of the squared distance between normalised feature vectors, averaged over positions.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, eq. 1 with equal
    channel weights (LPIPS without its learnt weights). No gradient flows into `wanted`.

    Args:
        features, wanted: one (B, C, H, W) per layer, equal shapes pairwise.

    Returns:
        One value per image, (B,), float32: 0 for equal images, at most 4.
    """
    layers = [
        (_unit(found_BCHW) - _unit(wanted_BCHW.detach())).square().sum(dim=1).mean(dim=(1, 2))
        for found_BCHW, wanted_BCHW in zip(features, wanted, strict=True)
    ]
    return torch.stack(layers).mean(dim=0)


def _unit(x_BCHW: Tensor) -> Tensor:
    x_BCHW = x_BCHW.float()
    return x_BCHW * torch.rsqrt(x_BCHW.square().sum(dim=1, keepdim=True) + EPSILON)
