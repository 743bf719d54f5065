"""Do two sets of pictures look alike, scale by scale? Needs no pairs and no trained network.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018, section 5: small
patches of every level of a Laplacian pyramid are compared as two clouds of points.

Shape suffixes: B batch, C channels, H height, W width, N patches, K values of one patch, D directions.
"""

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

PATCH = 7
"""Side of a patch."""

UNIT = 1e3
"""Distances are given in thousandths, as in the paper."""

CHUNK = 128
"""Directions projected at once; bounds the memory at this many numbers a patch."""


@torch.no_grad()
def sliced_wasserstein(
    result_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    seed: int = 0,
    patches_per_picture: int = 128,
    directions: int = 512,
    smallest: int = 16,
) -> dict[int, float]:
    """Distance between the patches of two sets of pictures, for each level of the Laplacian pyramid.

    Patches of both sets are normalised per channel by mean and spread of the truth's, so that every level and
    channel counts alike. (The authors' code normalises either set by itself, which makes day and night look alike:
    a result that is too dark or too grey would cost nothing.) Of the larger set only as many patches are drawn as
    the smaller one has. Equal seeds give equal results on every device up to rounding; the same places are taken
    from both sets.

    Args:
        result_BCHW, truth_BCHW: any range; equal channels and sides, batches may differ.
        seed: decides the places of the patches and the directions.
        patches_per_picture: at least 1.
        directions: onto which the patches are projected.
        smallest: the shorter side is halved, upwards, while it stays at least this; at least `PATCH`.

    Returns:
        Shorter side of the level -> distance in thousandths, at least 0, largest level first. The finest level holds
        the sharpest detail, the last one the coarse layout.

    Raises:
        ValueError: channels or sides differ, or the pictures are smaller than `smallest`.
    """
    if result_BCHW.shape[1:] != truth_BCHW.shape[1:]:
        raise ValueError(f"found {tuple(result_BCHW.shape)} and {tuple(truth_BCHW.shape)}, expected equal pictures")
    if not PATCH <= smallest <= min(truth_BCHW.shape[-2:]):
        raise ValueError(f"smallest is {smallest}, expected {PATCH} to {min(truth_BCHW.shape[-2:])}, the shorter side")
    count = patches_per_picture * min(len(result_BCHW), len(truth_BCHW))
    distances: dict[int, float] = {}
    levels = zip(_pyramid(result_BCHW.float(), smallest), _pyramid(truth_BCHW.float(), smallest), strict=True)
    for result_level, truth_level in levels:
        result_NCHW, truth_NCHW = (
            _patches(level_BCHW, count, patches_per_picture, Generator().manual_seed(seed))
            for level_BCHW in (result_level, truth_level)
        )
        spread, mean = torch.std_mean(truth_NCHW, dim=(0, 2, 3), correction=0, keepdim=True)
        # The floor, a hundredth of a grey level on the [0, 1] range, leaves a channel without any detail finite.
        spread = spread.clamp_min(4e-5)
        clouds = [((patch_NCHW - mean) / spread).flatten(1) for patch_NCHW in (result_NCHW, truth_NCHW)]
        distance = sliced_distance(*clouds, directions=directions, generator=Generator().manual_seed(seed))
        distances[min(truth_level.shape[-2:])] = UNIT * distance
    return distances


def mean_distance(distances: dict[int, float]) -> float:
    """Plain mean over the levels: the paper's "average"."""
    return sum(distances.values()) / len(distances)


def sliced_distance(first_NK: Tensor, second_NK: Tensor, *, directions: int, generator: Generator) -> float:
    """Mean over random directions of the 1-D Wasserstein-1 distance between two clouds of equally many points.

    Rabin et al., "Wasserstein Barycenter and Its Application to Texture Mixing", 2011: projected onto a line, the
    cheapest way to move one cloud onto the other pairs the points in order.

    Args:
        first_NK, second_NK: equal shapes.
        directions: unit vectors drawn.
        generator: source of randomness, on the CPU.

    Returns:
        At least 0, in units of the points.
    """
    direction_DK = torch.randn(directions, first_NK.shape[1], generator=generator)
    direction_DK = F.normalize(direction_DK, dim=1).to(first_NK)
    moved_D = [
        (_sorted(chunk_DK @ first_NK.T) - _sorted(chunk_DK @ second_NK.T)).abs().mean(dim=1)
        for chunk_DK in direction_DK.split(CHUNK)
    ]
    return torch.cat(moved_D).mean().item()


def _sorted(value_DN: Tensor) -> Tensor:
    # NumPy sorts five times as fast as torch on the CPU.
    if value_DN.device.type == "cpu":
        return torch.from_numpy(np.sort(value_DN.numpy(), axis=1))
    return value_DN.sort(dim=1).values


def _patches(level_BCHW: Tensor, count: int, per_picture: int, generator: Generator) -> Tensor:
    """Cut `count` patches, (N, C, 7, 7), at most `per_picture` from each picture."""
    batch, channels, height, width = level_BCHW.shape
    # Shuffled, so that fewer patches than there could be are spread over all pictures.
    picture_N = torch.randperm(batch * per_picture, generator=generator)[:count] // per_picture
    row_N = torch.randint(height - PATCH + 1, (count,), generator=generator)
    column_N = torch.randint(width - PATCH + 1, (count,), generator=generator)
    step = torch.arange(PATCH)
    index_NCHW = (
        picture_N.view(-1, 1, 1, 1) * channels * height * width
        + torch.arange(channels).view(-1, 1, 1) * height * width
        + (row_N.view(-1, 1, 1, 1) + step.view(-1, 1)) * width
        + (column_N.view(-1, 1, 1, 1) + step)
    )
    return level_BCHW.reshape(-1)[index_NCHW.to(level_BCHW.device)]


def _pyramid(picture_BCHW: Tensor, smallest: int) -> list[Tensor]:
    """Laplacian pyramid: what each halving loses, and last what is left. Sides are halved upwards.

    Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983.
    """
    levels = [picture_BCHW]
    while (min(levels[-1].shape[-2:]) + 1) // 2 >= smallest:
        down_H, up_H = _halving(levels[-1].shape[-2], picture_BCHW)
        down_W, up_W = _halving(levels[-1].shape[-1], picture_BCHW)
        half_BCHW = down_H @ levels[-1] @ down_W.T
        levels[-1] = levels[-1] - up_H @ half_BCHW @ up_W.T
        levels.append(half_BCHW)
    return levels


def _halving(side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices that smooth and halve one axis, (half, side), and that double it back and smooth, (side, half).

    Both smooth with (1, 4, 6, 4, 1) / 16, mirrored at the rim. As matrices because two products are several times
    as fast as a convolution of two or three channels.
    """
    kernel = like.new_tensor([[[1.0, 4.0, 6.0, 4.0, 1.0]]]) / 16.0
    unit = torch.eye(side).to(like)[:, None]
    smooth = F.conv1d(F.pad(unit, (2, 2), mode="reflect"), kernel)[:, 0].T
    # Doubling puts zeros between the values; twice the kernel makes up for them.
    return smooth[::2], 2.0 * smooth[:, ::2]
