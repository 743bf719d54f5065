"""Framing and augmentation: how images become square training samples, with source and target aligned.

Shape suffixes: H height, W width, C channels.
"""

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from translate.data.layouts import MIN_SIDE
from translate.data.reading import Pixels
from translate.errors import ImageError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would check for updates over the network
import albumentations
import cv2

cv2.setNumThreads(0)  # loader processes are the parallelism; OpenCV's own threads would compete for the cores

JITTER = 286 / 256
"""Shorter side of the resized image over the side of the crop (pix2pix, 2017)."""
ZOOM = (0.9, 1.25)
"""Random factor on it with full augmentation; the smallest image still contains the crop."""


@dataclass(frozen=True)
class Framing:
    """Settings of the framing."""

    kind: Literal["fit", "crop", "patch"]
    """fit: the whole image, padded with white. crop: resized, then cropped. patch: cropped at original resolution."""
    size: int
    """Side of the samples in pixels."""
    augment: Literal["none", "flip", "full"]
    """Patches are cropped at random even with none; full adds geometric and colour changes that suit the kind."""
    colours: bool = True
    """Whether full augmentation may change colours."""


def frame(framing: Framing, pictures: list[Pixels], seed: int) -> list[Pixels]:
    """Apply the same random framing to images that show the same scene.

    Args:
        framing: the settings.
        pictures: (H, W, C) of one size that passes `check_size`, each uint8 or uint16 with its own channels.
        seed: determines everything.

    Returns:
        (size, size, C) of the same dtypes. White padding is the maximum value.
    """
    squares: list[Pixels] = []
    for picture_HWC in pictures:
        pipeline = _pipeline(framing, *_kind_of(picture_HWC))
        # One seed per step: Compose.set_random_seed gives all steps the same one, so only flipped images would change
        # their colour.
        numbers = np.random.SeedSequence(seed).generate_state(len(pipeline.transforms))
        for step, number in zip(pipeline.transforms, numbers, strict=True):
            step.set_random_seed(int(number))
        squares.append(np.ascontiguousarray(pipeline(image=picture_HWC)["image"]))
    return squares


def frame_plain(framing: Framing, pictures: list[Pixels]) -> list[Pixels]:
    """`frame` without randomness: fitted, or a centre crop."""
    plain = [
        _plain_pipeline(framing.kind, framing.size, _kind_of(picture_HWC)[0])(image=picture_HWC)["image"]
        for picture_HWC in pictures
    ]
    return [np.ascontiguousarray(square_HWC) for square_HWC in plain]


def check_size(framing: Framing, path: Path, height: int, width: int) -> None:
    """Raise ImageError if the image at `path` is too small."""
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{path} is {width}x{height} pixels; training needs at least {MIN_SIDE} on both sides")
    if framing.kind == "patch" and min(height, width) < framing.size:
        raise ImageError(
            f"{path} is {width}x{height} pixels, smaller than the crop of {framing.size}; "
            "lower --image-size or remove it"
        )


def cached_size(framing: Framing, height: int, width: int) -> tuple[int, int]:
    """(height, width) that is sufficient for samples of full quality; never larger than the image."""
    if framing.kind == "patch":
        return height, width
    if framing.kind == "fit":
        factor = framing.size * 1.25 / max(height, width)
    else:
        factor = framing.size * JITTER * ZOOM[1] / min(height, width)
    if factor >= 1:
        return height, width
    return max(1, math.ceil(height * factor)), max(1, math.ceil(width * factor))


def _kind_of(picture_HWC: Pixels) -> tuple[int, bool]:
    """The maximum value, and whether the image is 8-bit RGB, the only format with colour augmentation."""
    return int(np.iinfo(picture_HWC.dtype).max), picture_HWC.dtype == np.uint8 and picture_HWC.shape[2] == 3


@lru_cache(maxsize=16)
def _plain_pipeline(kind: str, size: int, white: int) -> albumentations.Compose:
    if kind == "fit":
        return _fitting(size, white)
    middle = albumentations.CenterCrop(size, size)
    return albumentations.Compose([_shorter_side([size]), middle] if kind == "crop" else [middle])


@lru_cache(maxsize=16)
def _pipeline(framing: Framing, white: int, coloured: bool) -> albumentations.Compose:
    size, full = framing.size, framing.augment == "full"
    if framing.augment == "none" and framing.kind != "patch":
        return _plain_pipeline(framing.kind, size, white)
    steps: list[Any]
    if framing.kind == "fit":
        steps = [_fitting(size, white), albumentations.HorizontalFlip(p=0.5), *([_moving(white)] if full else [])]
    elif framing.kind == "crop":
        zooms = ZOOM if full else (1.0, 1.0)
        shortest, longest = (max(size, round(size * JITTER * zoom)) for zoom in zooms)
        steps = [
            _shorter_side(list(range(shortest, longest + 1))),
            albumentations.RandomCrop(size, size),
            albumentations.HorizontalFlip(p=0.5),
        ]
    else:
        steps = [albumentations.RandomCrop(size, size)]
        if framing.augment != "none":
            steps.append(albumentations.D4(p=1.0) if full else albumentations.HorizontalFlip(p=0.5))
    if full and coloured and framing.colours and framing.kind != "patch":
        # Last, so that the seeds of the other steps do not depend on it. Small, because strong colour changes would
        # become part of what the discriminator considers real.
        steps.append(albumentations.HueSaturationValue(hue_shift_limit=6, sat_shift_limit=12, val_shift_limit=0, p=0.3))
    return albumentations.Compose(steps)


def _fitting(size: int, white: int) -> albumentations.Compose:
    """Fit into a square without distortion, padded with white."""
    return albumentations.Compose(
        [
            albumentations.LongestMaxSize(size, interpolation=cv2.INTER_AREA),
            albumentations.PadIfNeeded(size, size, border_mode=cv2.BORDER_CONSTANT, fill=white),
        ]
    )


def _moving(white: int) -> albumentations.Affine:
    """Small translation, rotation, scaling and shear."""
    return albumentations.Affine(
        scale=(0.8, 1.1),
        translate_percent=(-0.06, 0.06),
        rotate=(-8, 8),
        shear=(-4, 4),
        interpolation=cv2.INTER_LINEAR,
        border_mode=cv2.BORDER_CONSTANT,
        fill=white,
        p=0.8,
    )


def _shorter_side(sizes: list[int]) -> albumentations.SmallestMaxSize:
    """Resize the shorter side to one of `sizes`; area interpolation when downscaling, against aliasing."""
    return albumentations.SmallestMaxSize(sizes, interpolation=cv2.INTER_LINEAR, area_for_downscale="image")
