"""Perceptual distance: two pictures should look alike to a network that knows what is in pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-8
"""Keeps places where a layer says nothing from dividing by zero."""


def perceptual_distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean over the layers of the squared distance between feature vectors of length 1, averaged over the places.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, eq. 1 with all
    channels weighted alike (LPIPS without its learnt weights). No gradient flows into `wanted`.

    Args:
        features, wanted: one (B, C, H, W) a layer, equal shapes pairwise.

    Returns:
        One number for each picture, (B,), float32: 0 for equal pictures, at most 4.
    """
    layers = [
        (_unit(found_BCHW) - _unit(wanted_BCHW.detach())).square().sum(dim=1).mean(dim=(1, 2))
        for found_BCHW, wanted_BCHW in zip(features, wanted, strict=True)
    ]
    return torch.stack(layers).mean(dim=0)


def _unit(x_BCHW: Tensor) -> Tensor:
    x_BCHW = x_BCHW.float()
    return x_BCHW * torch.rsqrt(x_BCHW.square().sum(dim=1, keepdim=True) + EPSILON)
