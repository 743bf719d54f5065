"""Goes through the cases once: results, numbers of each, and small pictures for the page.

Shape suffixes: H height, W width, C channels, K pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from translate.data.formats import Pixels
from translate.data.thumbnails import thumbnail
from translate.engine import Engine, numbered_style
from translate.errors import ImageError
from translate.evaluation.cases import Case, Kind, Sample, TestData, read_case, read_image, spread
from translate.evaluation.columns import STYLES, Column, run_engine, variants
from translate.evaluation.measure import SETS_MOST, framed, measure_picture, unit
from translate.images import resize
from translate.metrics.diversity import mean_pairwise_difference
from translate.metrics.domain import SIDE
from translate.pages import picture_address
from translate.spec import ModelSpec

SHOWN = 12
"""Cases shown by rule."""
VARIED = 4
"""Cases shown with every label, style and detail."""
STYLED = 50
"""Cases whose styles are compared."""
SHEET = 24
"""Cases on the contact sheet, pictures of `SHEET_SIDE` pixels."""
SHEET_SIDE = 160
TILE, TILE_BYTES = 232, 22_000
"""Longer side and largest size of a picture on the page."""


@dataclass
class Shot:
    """A picture on the page, with its title."""

    title: str
    address: str
    height: int
    width: int


@dataclass
class Survey:
    """What was found."""

    data: TestData
    columns: list[Column]
    cases: list[Case] = field(default_factory=list[Case])
    """Those that could be measured, in order."""
    shots: list[list[Shot]] = field(default_factory=list[list[Shot]])
    """Of every case: source, results, truth."""
    by_rule: list[int] = field(default_factory=list[int])
    """Cases that are shown whatever came out."""
    varied: list[tuple[Case, list[Shot]]] = field(default_factory=list[tuple[Case, list[Shot]]])
    sheet: list[tuple[Pixels, Pixels]] = field(default_factory=list[tuple[Pixels, Pixels]])
    skipped: list[str] = field(default_factory=list[str])
    """Why each could not be used; the file is named in it."""

    def column(self, name: str) -> Column:
        """By its name."""
        return next(column for column in self.columns if column.name == name)


@dataclass
class Surveyor:
    """How to look at each case."""

    spec: ModelSpec
    drawing: bool
    spoil: bool = False

    def run(self, data: TestData, columns: list[Column], tick: Callable[[], object]) -> Survey:
        """Go through all cases, and through the true pictures where these are others; `tick` is called after each."""
        survey = Survey(data, columns)
        # The first of the columns is the model itself.
        total = len(data.cases)
        chosen = {count: set(spread(range(total), count)) for count in (SHOWN, VARIED, STYLED, SHEET, SETS_MOST)}
        for number, case in enumerate(data.cases):
            try:
                sample = read_case(case, data, self.spec, spoil=self.spoil)
                results = [self._result(column, sample) for column in columns]
            except ImageError as error:
                survey.skipped.append(_text(error))
            else:
                self._record(survey, sample, results, {count for count in chosen if number in chosen[count]})
            tick()
        if data.kind == "unpaired":
            self._real(survey, tick)
        return survey

    def _result(self, column: Column, sample: Sample) -> Pixels | None:
        return sample.truth_HWC if column.make is None else column.make(sample)

    def _record(self, survey: Survey, sample: Sample, results: list[Pixels | None], chosen: set[int]) -> None:
        kind = survey.data.kind
        for column, result_HWC in zip(survey.columns, results, strict=True):
            if result_HWC is None:
                column.rows.append({})
                continue
            scale, is_truth = self.spec.scale, column.make is None
            row = measure_picture(sample, result_HWC, kind=kind, drawing=self.drawing, scale=scale, is_truth=is_truth)
            if column.engine is not None and STYLED in chosen:
                row |= style_diversity(column.engine, sample)
            column.rows.append(row)
            self._keep(column, result_HWC, kind, SETS_MOST in chosen)
        if SHOWN in chosen:
            survey.by_rule.append(len(survey.cases))
        survey.cases.append(sample.case)
        shots = self._shots(survey, sample, results)
        survey.shots.append(shots)
        engine = survey.columns[0].engine
        if VARIED in chosen and engine is not None and (made := variants(engine, sample)):
            row = [shots[0], *(self._shot(title, picture_HWC) for title, picture_HWC in made)]
            survey.varied.append((sample.case, row))
        if SHEET in chosen and results[0] is not None:
            first_HWC, second_HWC = sample.source_HWC, results[0]
            survey.sheet.append((resize(first_HWC, SHEET_SIDE, SHEET_SIDE), resize(second_HWC, SHEET_SIDE, SHEET_SIDE)))

    def _keep(self, column: Column, image_HWC: Pixels, kind: Kind, in_sets: bool) -> None:
        if in_sets:
            column.frames.append(framed(image_HWC, kind, self.drawing))
        if kind == "unpaired":
            column.small.append(resize(image_HWC, SIDE, SIDE))
        if kind != "enlarge" and column.role in ("model", "against", "truth"):
            column.thumbnails.append(thumbnail(image_HWC))

    def _real(self, survey: Survey, tick: Callable[[], object]) -> None:
        """The pictures that results of unpaired data are compared with."""
        truth = survey.column("truth")
        in_sets = set(spread(range(len(survey.data.targets)), SETS_MOST))
        for number, path in enumerate(survey.data.targets):
            try:
                self._keep(truth, read_image(path), "unpaired", number in in_sets)
            except ImageError as error:
                survey.skipped.append(_text(error))
            tick()

    def _shots(self, survey: Survey, sample: Sample, results: list[Pixels | None]) -> list[Shot]:
        scale = self.spec.scale
        source_HWC = sample.source_HWC
        if scale > 1:  # every pixel as a square, so that all pictures show the same place
            source_HWC = source_HWC.repeat(scale, 0).repeat(scale, 1)
        shots = [self._shot("small" if scale > 1 else "source", source_HWC)]
        for column, result_HWC in zip(survey.columns, results, strict=True):
            shown = column.role != "baseline" or column.name == "bicubic"
            if result_HWC is not None and shown and column.role != "detail":
                title = {"model": "result", "truth": "truth", "against": "against"}.get(column.role, column.title)
                shots.append(self._shot(title, result_HWC))
        return shots

    def _shot(self, title: str, image_HWC: Pixels) -> Shot:
        if self.spec.scale > 1:  # the middle, pixel by pixel: reduced, all would look the same
            top, left = (max(0, side - TILE) // 2 for side in image_HWC.shape[:2])
            image_HWC = np.ascontiguousarray(image_HWC[top : top + TILE, left : left + TILE])
        return Shot(title, *picture_address(image_HWC, min(TILE, max(image_HWC.shape[:2])), TILE_BYTES))


def style_diversity(engine: Engine, sample: Sample) -> dict[str, float]:
    """Of the five styles 1 to 5 of one picture, the numbers that `translate convert --style` takes."""
    if not engine.spec.style_size:
        return {}
    styles = [numbered_style(number, engine.spec.style_size) for number in range(1, STYLES + 1)]
    results = [unit(run_engine(engine, sample, style=style_S)) for style_S in styles]
    return {"style_diversity": mean_pairwise_difference(torch.cat(results))}


def contact_sheet(pairs: list[tuple[Pixels, Pixels]], across: int = 6, gap: int = 6) -> Pixels:
    """Sources above results, uint8 (H, W, 3)."""
    tile = (2 * SHEET_SIDE + gap, SHEET_SIDE + gap)
    across = min(across, len(pairs))
    down = -(-len(pairs) // across)
    sheet = Image.new("RGB", (across * tile[1] + gap, down * tile[0] + gap), (200, 200, 200))
    for number, pair in enumerate(pairs):
        row, column = divmod(number, across)
        for place, image_HWC in enumerate(pair):
            corner = (gap + column * tile[1], gap + row * tile[0] + place * SHEET_SIDE)
            sheet.paste(Image.fromarray(image_HWC), corner)
    return np.asarray(sheet)


def _text(error: Exception) -> str:
    return str(error).encode("utf-8", "replace").decode()
