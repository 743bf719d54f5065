"""Differentiable augmentation of the discriminator inputs.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020. Real and generated images are
augmented alike, so the discriminator cannot memorise a few real images, and the generator does not learn to produce
augmented ones.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor

Kind = Literal["colour", "translation", "cutout"]

REACH = 1 / 8
"""Maximum translation in each direction, as a fraction of the side."""

HOLE = 1 / 2
"""Side of the cutout as a fraction of the side of the image."""


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation parameters for each image of a batch, applicable to several batches. Made by `draw`.

    Attributes:
        colour_3B111: brightness offset, saturation factor, contrast factor; None leaves colours unchanged.
        row_B1H1, column_B11W: source row and column of each pixel, int64, within the image.
        keep_B1HW: False where the result is 0 (mid-grey): shifted in from outside, or in the cutout. None without
            translation and cutout.
    """

    colour_3B111: Tensor | None
    row_B1H1: Tensor
    column_B11W: Tensor
    keep_B1HW: Tensor | None

    @overload
    def __call__(self, target_BCHW: Tensor) -> Tensor: ...
    @overload
    def __call__(self, target_BCHW: Tensor, source_BCHW: Tensor) -> tuple[Tensor, Tensor]: ...
    def __call__(self, target_BCHW: Tensor, source_BCHW: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Augment a batch; twice differentiable, for gradient penalties, and without synchronising with the device.

        Args:
            target_BCHW: float, range [-1, 1], with the batch size and image size given to `draw`; any channel count.
            source_BCHW: the same, possibly with another channel count: translation and cutout are the same, but colours
                stay, because they are the condition.

        Returns:
            The target, or (source, target) if a source was given. Colours may leave [-1, 1].

        Raises:
            ValueError: batch size or image size differ from those given to `draw`.
        """
        target_BCHW = self._move_and_cut(self._colour(target_BCHW))
        return target_BCHW if source_BCHW is None else (self._move_and_cut(source_BCHW), target_BCHW)

    def _colour(self, picture_BCHW: Tensor) -> Tensor:
        if self.colour_3B111 is None:
            return picture_BCHW
        brightness_B111, saturation_B111, contrast_B111 = self.colour_3B111.to(picture_BCHW.dtype)
        picture_BCHW = picture_BCHW + brightness_B111
        grey_B1HW = picture_BCHW.mean(dim=1, keepdim=True)
        picture_BCHW = grey_B1HW + saturation_B111 * (picture_BCHW - grey_B1HW)
        mean_B111 = picture_BCHW.mean(dim=(1, 2, 3), keepdim=True)
        return mean_B111 + contrast_B111 * (picture_BCHW - mean_B111)

    def _move_and_cut(self, picture_BCHW: Tensor) -> Tensor:
        if self.keep_B1HW is None:
            return picture_BCHW
        batch, _, height, width = self.keep_B1HW.shape
        # `gather` would silently crop a larger image.
        if (picture_BCHW.shape[0], *picture_BCHW.shape[2:]) != (batch, height, width):
            raise ValueError(f"drawn for {batch} of {height} x {width}, found {tuple(picture_BCHW.shape)}")
        # Whole pixels by index: exact, and unlike `grid_sample` differentiable twice.
        moved_BCHW = picture_BCHW.gather(2, self.row_B1H1.expand_as(picture_BCHW))
        moved_BCHW = moved_BCHW.gather(3, self.column_B11W.expand_as(picture_BCHW))
        return moved_BCHW * self.keep_B1HW.to(picture_BCHW.dtype)


def draw(
    kinds: Sequence[Kind],
    batch: int,
    height: int,
    width: int,
    device: torch.device | str = "cpu",
    probability: Tensor | None = None,
) -> Augmentation:
    """Draw augmentation parameters for `batch` images, from torch's global CPU generator.

    Equal seeds give equal parameters on every device, and those of one kind do not depend on the other kinds.

    Args:
        kinds: any of "colour" (brightness, saturation, contrast), "translation" (up to `REACH` of the side, zero
            padding) and "cutout" (a square of 0, `HOLE` of the side, that may extend beyond the border); empty changes
            nothing.
        batch, height, width: of the images.
        device: of the images.
        probability: scalar on the device, 0 to 1, of each kind for each image; None applies all to all.
    """
    # One small copy, which does not synchronise with the device.
    chance_7B111 = torch.rand(batch, 7).T.reshape(7, batch, 1, 1, 1).to(device, non_blocking=True)
    used_3B111 = _used(probability, batch, device)
    colour_3B111 = torch.stack([chance_7B111[0] - 0.5, chance_7B111[1] * 2.0, chance_7B111[2] + 0.5])
    same_3B111 = torch.zeros_like(colour_3B111)
    same_3B111[1:] = 1.0
    colour_3B111 = torch.where(used_3B111[0], colour_3B111, same_3B111)
    row_B1H1 = torch.arange(height, device=device).view(1, 1, height, 1).expand(batch, -1, -1, -1)
    column_B11W = torch.arange(width, device=device).view(1, 1, 1, width).expand(batch, -1, -1, -1)
    # Cutouts are positioned in the translated image, so they are computed before the translation.
    keep_B1HW = torch.ones(batch, 1, height, width, dtype=torch.bool, device=device)
    if "cutout" in kinds:
        hole_B1HW = _hole(chance_7B111[5], row_B1H1, height) & _hole(chance_7B111[6], column_B11W, width)
        keep_B1HW = ~(used_3B111[2] & hole_B1HW)
    if "translation" in kinds:
        row_B1H1 = row_B1H1 - used_3B111[1] * _shift(chance_7B111[3], height)
        column_B11W = column_B11W - used_3B111[1] * _shift(chance_7B111[4], width)
        inside_B1HW = (row_B1H1 >= 0) & (row_B1H1 < height) & (column_B11W >= 0) & (column_B11W < width)
        keep_B1HW = keep_B1HW & inside_B1HW
    return Augmentation(
        colour_3B111=colour_3B111 if "colour" in kinds else None,
        row_B1H1=row_B1H1.clamp(0, height - 1),
        column_B11W=column_B11W.clamp(0, width - 1),
        keep_B1HW=keep_B1HW if "translation" in kinds or "cutout" in kinds else None,
    )


def _used(probability: Tensor | None, batch: int, device: torch.device | str) -> Tensor:
    """Whether colour, translation and cutout are applied to each image, (3, B, 1, 1, 1)."""
    if probability is None:
        return torch.ones(3, batch, 1, 1, 1, dtype=torch.bool, device=device)
    return torch.rand(batch, 3).T.reshape(3, batch, 1, 1, 1).to(device, non_blocking=True) < probability


def _shift(chance_B111: Tensor, side: int) -> Tensor:
    """Whole pixels, (B, 1, 1, 1) int64, uniform from -reach to reach."""
    reach = int(side * REACH + 0.5)
    return (chance_B111 * (2 * reach + 1)).long() - reach


def _hole(chance_B111: Tensor, place: Tensor, side: int) -> Tensor:
    """Which of the positions 0 to side - 1 along one axis are in the cutout, with the shape of `place`."""
    hole = int(side * HOLE + 0.5)
    # The centre may be any pixel, so cutouts at the border are smaller; an even one is centred between two pixels.
    first_B111 = (chance_B111 * (side + 1 - hole % 2)).long() - hole // 2
    return (place >= first_B111) & (place < first_B111 + hole)


GRID = 4
"""Tiles per side of `jigsaw`. Most patches of a discriminator should contain a seam, otherwise real patches would be
labelled fake."""


def jigsaw(pictures_BCHW: Tensor) -> Tensor:
    """Cut every image into `GRID` x `GRID` tiles and shuffle them, in the same way for the whole batch.

    Sinha et al., "Negative Data Augmentation", 2021. Uses torch's global CPU generator.

    Args:
        pictures_BCHW: square or not, each side at least `GRID`; a remainder beyond the tiles stays.

    Returns:
        The same shape.
    """
    height, width = (side // GRID for side in pictures_BCHW.shape[2:])
    order = torch.randperm(GRID * GRID - 1) + 1
    # A random cyclic permutation, so that no tile keeps its place.
    circle = torch.cat([order.new_zeros(1), order])
    outcome_BCHW = pictures_BCHW.clone()
    for place, origin in zip(circle.tolist(), circle.roll(1).tolist(), strict=True):
        outcome_BCHW[..., _tile(place // GRID, height), _tile(place % GRID, width)] = pictures_BCHW[
            ..., _tile(origin // GRID, height), _tile(origin % GRID, width)
        ]
    return outcome_BCHW


def _tile(number: int, size: int) -> slice:
    return slice(number * size, (number + 1) * size)
