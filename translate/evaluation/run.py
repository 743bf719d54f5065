"""Goes through the cases once: results, numbers of each, and small pictures for the page.

Shape suffixes: H height, W width, C channels, K pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from translate.data.contact_sheet import arrange, in_the_middle, joined
from translate.data.framing import Framing, frame_plain
from translate.data.reading import Pixels
from translate.data.thumbnails import thumbnail
from translate.errors import ImageError
from translate.evaluation.cases import Case, Kind, Sample, TestData, read_case, read_image, spread
from translate.evaluation.measure import FRAME, SETS_LEAST, SETS_MOST, framed, measure_picture, unit
from translate.evaluation.methods import STYLES, Column, run_engine, variants
from translate.files import as_text
from translate.html import picture_address
from translate.inference.controls import numbered_style
from translate.inference.engine import Engine
from translate.metrics.diversity import mean_pairwise_difference
from translate.metrics.domain import SIDE
from translate.pictures.operations import resize
from translate.spec import ModelSpec

SHOWN = 12
"""Cases shown by rule."""
VARIED = 4
"""Cases shown with every label, style and detail."""
STYLED = 50
"""Cases whose styles are compared."""
SHEET, SHEET_SIDE, SHEET_ACROSS = 24, 160, 6
"""Cases on the contact sheet, the side of their pictures, and cases in a row."""
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
    surveyor: "Surveyor"
    cases: list[Case] = field(default_factory=list[Case])
    """Those that could be measured, in order."""
    shots: dict[int, list[Shot]] = field(default_factory=dict[int, list[Shot]])
    """Source, results and truth of the cases shown so far; `shots_of` has those of any."""
    by_rule: list[int] = field(default_factory=list[int])
    """Cases that are shown whatever came out."""
    varied: list[tuple[Case, list[Shot]]] = field(default_factory=list[tuple[Case, list[Shot]]])
    sheet: list[tuple[Pixels, Pixels]] = field(default_factory=list[tuple[Pixels, Pixels]])
    """Sources and results; with a model that has styles, each result in another one."""
    small: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Squares of the sets below full size: side, and the case's name."""
    left_out: int = 0
    """Cases too small for the sets."""
    skipped: list[str] = field(default_factory=list[str])
    """Why each could not be used; the file is named in it."""

    def column(self, name: str) -> Column:
        """By its name."""
        return next(column for column in self.columns if column.name == name)

    def shots_of(self, number: int) -> list[Shot]:
        """Source, results and truth of a case; made again where they were not kept.

        Raises:
            ImageError: a file has gone since it was measured.
        """
        if number not in self.shots:
            sample, results = self.surveyor.answers(self, self.cases[number])
            self.shots[number] = self.surveyor.shots(self, sample, results)
        return self.shots[number]

    def set_notes(self) -> list[str]:
        """What to know about the squares that sets are compared by."""
        notes: list[str] = []
        if self.left_out:
            notes.append(
                f"Sets are compared without {self.left_out} pictures that have a side below {SETS_LEAST} pixels."
            )
        if self.small:
            side, name = min(self.small)
            notes.append(f"Sets are compared by squares of {side} pixels, the shorter side of the smallest, {name}.")
        return notes


@dataclass
class Surveyor:
    """How to look at each case."""

    spec: ModelSpec
    drawing: bool
    spoil: bool = False

    def run(self, data: TestData, columns: list[Column], tick: Callable[[], object]) -> Survey:
        """Go through all cases, and through the true pictures where these are others; `tick` is called after each."""
        survey = Survey(data, columns, self)
        total = len(data.cases)
        chosen = {count: set(spread(range(total), count)) for count in (SHOWN, VARIED, STYLED, SHEET, SETS_MOST)}
        for number, case in enumerate(data.cases):
            try:
                sample, results = self.answers(survey, case)
            except ImageError as error:
                survey.skipped.append(as_text(str(error)))
            else:
                self._record(survey, sample, results, {count for count in chosen if number in chosen[count]})
            tick()
        if data.kind == "unpaired":
            self._real(survey, tick)
        return survey

    def answers(self, survey: Survey, case: Case) -> tuple[Sample, list[Pixels | None]]:
        """A case, read, and the results of all columns; the first of these is the model itself.

        Raises:
            ImageError: a file of the case cannot be used.
        """
        sample = read_case(case, survey.data, self.spec, spoil=self.spoil)
        results: list[Pixels | None] = []
        for column in survey.columns:
            if column.repeats_model:
                results.append(results[0])
            else:
                results.append(sample.truth_HWC if column.make is None else column.make(sample))
        return sample, results

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
        if SETS_MOST in chosen and results[0] is not None:
            side = min(results[0].shape[:2])
            if kind == "enlarge" and side < SETS_LEAST:
                survey.left_out += 1
            elif kind == "enlarge" and side < FRAME:
                survey.small.append((side, sample.case.name))
        number = len(survey.cases)
        survey.cases.append(sample.case)
        if SHOWN in chosen:
            survey.by_rule.append(number)
            survey.shots[number] = self.shots(survey, sample, results)
        engine = survey.columns[0].engine
        if VARIED in chosen and engine is not None and (made := variants(engine, sample)):
            row = [self._source_shot(sample), *(self._shot(title, picture_HWC) for title, picture_HWC in made)]
            survey.varied.append((sample.case, row))
        # One at least, though those chosen may be unreadable.
        if (SHEET in chosen or not survey.sheet) and results[0] is not None:
            styled = [result for column, result in zip(survey.columns, results, strict=True) if column.name == "styles"]
            shown_HWC = styled[0] if styled and styled[0] is not None else results[0]
            survey.sheet.append((self._on_sheet(self._repeated(sample)), self._on_sheet(shown_HWC)))

    def _keep(self, column: Column, image_HWC: Pixels, kind: Kind, in_sets: bool) -> None:
        if in_sets and (kind != "enlarge" or min(image_HWC.shape[:2]) >= SETS_LEAST):
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
                survey.skipped.append(as_text(str(error)))
            tick()

    def _repeated(self, sample: Sample) -> Pixels:
        """The source with every pixel as a square, as large as the result, so that both show the same place."""
        return sample.source_HWC.repeat(self.spec.scale, 0).repeat(self.spec.scale, 1)

    def _on_sheet(self, image_HWC: Pixels) -> Pixels:
        """A square of `SHEET_SIDE`: of things all, enlarged the middle pixel by pixel, of others the middle."""
        if self.spec.scale > 1:
            patch = Framing("patch", min(SHEET_SIDE, *image_HWC.shape[:2]), "none")
            return in_the_middle(frame_plain(patch, [image_HWC])[0], SHEET_SIDE)
        return frame_plain(Framing("fit" if self.drawing else "crop", SHEET_SIDE, "none"), [image_HWC])[0]

    def _source_shot(self, sample: Sample) -> Shot:
        return self._shot("small" if self.spec.scale > 1 else "source", self._repeated(sample))

    def shots(self, survey: Survey, sample: Sample, results: list[Pixels | None]) -> list[Shot]:
        """Small pictures of the source and of what the page compares with it."""
        shots = [self._source_shot(sample)]
        for column, result_HWC in zip(survey.columns, results, strict=True):
            shown = column.role != "baseline" or column.name == "bicubic"
            if result_HWC is not None and shown and column.role != "variant":
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
    styles = [numbered_style(number, engine.spec) for number in range(1, STYLES + 1)]
    results = [unit(run_engine(engine, sample, style=style_S)) for style_S in styles]
    return {"style_diversity": mean_pairwise_difference(torch.cat(results))}


def contact_sheet(pairs: list[tuple[Pixels, Pixels]]) -> Pixels:
    """Sources above results, uint8 (H, W, 3)."""
    return arrange([joined(pair, axis=0) for pair in pairs[:SHEET]], SHEET_ACROSS)
