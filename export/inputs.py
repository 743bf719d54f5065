"""Pictures as a model is given them: read, and of the size that the Engine would reduce them to.

Shape suffixes: H height, W width, C channels.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data.layouts import list_pictures
from translate.inference.models import shipped
from translate.inference.placement import content_share_of, framed
from translate.pictures.operations import Pixels, fit_size, flatten, grey, read_picture, resize, to_bits
from translate.spec import ModelSpec

SIDE = 384
"""Largest side of a result in pixels: of larger pictures the middle is taken."""


def model_inputs(folder: Path | None, spec: ModelSpec, most: int) -> list[Pixels]:
    """At most so many pictures of a folder, evenly spread, as inputs (H, W, C) of the graph.

    Args:
        folder: with pictures as `translate convert` takes them; None: the samples of the shipped models, those of the
            same task first.
        spec: decides channels, bits and size.
        most: how many.

    Raises:
        DataError: the folder is missing or holds no picture.
        ImageError: one of them cannot be read.
    """
    if spec.input_channels not in (1, 3):  # label maps and the like
        shape = (most, 256, 256, spec.input_channels)
        return list(np.random.default_rng(0).integers(0, 2**spec.input_bits, shape, f"uint{spec.input_bits}"))
    paths = list_pictures(folder) if folder else _samples(spec)
    return [_prepared(read_picture(path), spec) for path in evenly(paths, most)]


def evenly(things: Sequence[Any], most: int) -> list[Any]:
    """At most so many of these, evenly spread."""
    return list(things[:: max(1, -(-len(things) // most))])


def _samples(spec: ModelSpec) -> list[Path]:
    """Of the models of the same task, or of all."""
    models = shipped()
    alike = [model for model in models if model.task == spec.task] or models
    return [path for model in alike for path in list_pictures(model.samples)]


def _prepared(picture: Any, spec: ModelSpec) -> NDArray[Any]:
    rgb_HWC = flatten(picture)
    if spec.working_size is not None:
        rgb_HWC = framed(content_share_of(spec), rgb_HWC)
        height, width, _ = rgb_HWC.shape
        rgb_HWC = resize(rgb_HWC, *fit_size(height, width, spec.working_size))
    elif spec.scene_size is not None:
        factor = min(1.0, spec.scene_size / min(rgb_HWC.shape[:2]))
        height, width = (max(1, round(side * factor)) for side in rgb_HWC.shape[:2])
        rgb_HWC = resize(rgb_HWC, height, width)
    else:
        most = math.ceil(SIDE / spec.scale)
        top, left = (max(0, (side - most) // 2) for side in rgb_HWC.shape[:2])
        rgb_HWC = rgb_HWC[top : top + most, left : left + most]
    image_HWC = to_bits(rgb_HWC, 16 if spec.input_bits == 16 else 8)
    return grey(image_HWC) if spec.input_channels == 1 else image_HWC
