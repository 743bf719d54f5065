"""What only the training pictures can tell: is a result learnt by heart, and would it pass for the other domain?

Shape suffixes: H height, W width, C channels, N pictures, D numbers a picture, S side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from translate.data.layouts import Side, list_pictures, present_folders
from translate.data.reading import Pixels
from translate.data.thumbnails import thumbnail
from translate.errors import DataError, ImageError
from translate.evaluation.cases import TestData, framed_photograph, read_image, shown, spread, target_half
from translate.evaluation.run import TILE, TILE_BYTES, Shot, Survey
from translate.files import as_text
from translate.html import picture_address
from translate.metrics.domain import SIDE, domain_share, train_domain_classifier
from translate.metrics.neighbours import nearest_neighbours
from translate.pictures.operations import resize

EVERY = 5
"""Every so many results are compared with the training pictures."""

NEIGHBOURS_SHOWN = 8

SAMPLES = 1000
"""Real pictures of either kind that the classifier learns from at most."""

TRUSTED = 0.9
"""Accuracy below which its answers are not to be believed."""


@dataclass(frozen=True)
class Training:
    """Training pictures by what they are."""

    folder: Path
    sources: list[Path]
    """Of the other domain; empty unless nothing is paired."""
    targets: list[Path]
    side_by_side: Side | None


@dataclass(frozen=True)
class Neighbour:
    """A result and the training picture nearest to it."""

    name: str
    training_name: str
    distance: float
    result: Shot
    training: Shot


def find_training(folder: Path, data: TestData) -> Training:
    """List the training pictures that belong to the test data.

    Raises:
        DataError: the folder is missing or has none.
    """
    present = present_folders(folder, data.folders) if folder.is_dir() else None
    if data.kind == "unpaired":
        if present is None:
            list_pictures(folder)  # says what is wrong with the folder itself
            raise DataError(f"{folder} does not have the folders {' and '.join(data.folders)}; --train expects both")
        return Training(folder, list_pictures(folder / present[0]), list_pictures(folder / present[1]), None)
    if present is None and (folder / data.folders[1]).is_dir():
        present = data.folders
    if present:
        return Training(folder, [], list_pictures(folder / present[1]), None)
    return Training(folder, [], list_pictures(folder), data.side_by_side)


def neighbours(survey: Survey, training: Training, tick: Callable[[], object]) -> list[Neighbour]:
    """Find the training pictures nearest to every fifth result and truth, into the totals of the columns.

    Returns:
        Those nearest to a result, the nearest first.
    """
    known: list[Pixels] = []
    paths: list[Path] = []
    for path in training.targets:
        try:
            known.append(thumbnail(_target(path, survey, training)))
            paths.append(path)
        except ImageError as error:
            survey.skipped.append(as_text(str(error)))
        tick()
    found: list[Neighbour] = []
    if not known:
        return found
    known_ND = np.stack(known)
    for column in survey.columns:
        asked = range(0, len(column.thumbnails), EVERY)
        if not asked:
            continue
        row_N, distance_N = nearest_neighbours(known_ND, np.stack([column.thumbnails[number] for number in asked]))
        column.totals["nearest_training_rms_of_255"] = float(distance_N.mean())
        if column.role == "model":
            order = np.argsort(distance_N, kind="stable")[:NEIGHBOURS_SHOWN]
            for place in order:
                number, path = asked[int(place)], paths[int(row_N[place])]
                shots = {shot.title: shot for shot in survey.shots_of(number)}
                image_HWC = _target(path, survey, training)
                shot = Shot("nearest", *picture_address(image_HWC, min(TILE, max(image_HWC.shape[:2])), TILE_BYTES))
                name = shown(path, training.folder)
                found.append(
                    Neighbour(survey.cases[number].name, name, float(distance_N[place]), shots["result"], shot)
                )
    return found


def classify_domains(survey: Survey, training: Training, tick: Callable[[], object]) -> dict[str, float]:
    """Train the classifier and ask it about every column, into their totals.

    Returns:
        Its accuracy on the real test pictures, either kind weighing half, and how many pictures it learnt from.
    """
    sides = [_small(survey, spread(files, SAMPLES), tick) for files in (training.sources, training.targets)]
    if not all(sides):
        return {}
    classifier = train_domain_classifier(*(_stack(side) for side in sides))
    for column in survey.columns:
        if column.small:
            column.totals["target_share"] = domain_share(classifier, _stack(column.small))
    real, source = (survey.column(name).totals.get("target_share", 0.0) for name in ("truth", "source"))
    return {"accuracy": (real + 1.0 - source) / 2.0, "pictures": len(sides[0]) + len(sides[1])}


def _target(path: Path, survey: Survey, training: Training) -> Pixels:
    """A training picture, framed like the results."""
    image_HWC = target_half(read_image(path), training.side_by_side)
    return framed_photograph(image_HWC) if survey.data.kind == "photographs" else image_HWC


def _small(survey: Survey, files: Sequence[Path], tick: Callable[[], object]) -> list[Pixels]:
    found: list[Pixels] = []
    for path in files:
        try:
            found.append(resize(read_image(path), SIDE, SIDE))
        except ImageError as error:
            survey.skipped.append(as_text(str(error)))
        tick()
    return found


def _stack(pictures: Sequence[Pixels]) -> Tensor:
    """uint8 (S, S, 3) each -> uint8 (N, 3, S, S)."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
