"""Real pictures made false: everything in them is real, but in the wrong place.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor

GRID = 4
"""Tiles a side. Most patches of a discriminator should reach over a seam, or what it calls false would be true."""


def jigsaw(pictures_BCHW: Tensor) -> Tensor:
    """Cut every picture into `GRID` x `GRID` tiles and lay them in another order, the same for the whole batch.

    Sinha et al., "Negative Data Augmentation", 2021. Randomness from torch's global generator of the CPU.

    Args:
        pictures_BCHW: square or not, each side at least `GRID`; what is left over by the tiles stays.

    Returns:
        The same shape.
    """
    height, width = (side // GRID for side in pictures_BCHW.shape[2:])
    order = torch.randperm(GRID * GRID - 1) + 1
    # One after another along a random circle: no tile stays where it was.
    circle = torch.cat([order.new_zeros(1), order])
    outcome_BCHW = pictures_BCHW.clone()
    for place, origin in zip(circle.tolist(), circle.roll(1).tolist(), strict=True):
        outcome_BCHW[..., _tile(place // GRID, height), _tile(place % GRID, width)] = pictures_BCHW[
            ..., _tile(origin // GRID, height), _tile(origin % GRID, width)
        ]
    return outcome_BCHW


def _tile(number: int, size: int) -> slice:
    return slice(number * size, (number + 1) * size)
