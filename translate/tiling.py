"""Windows over pictures that are too large to go through a model whole.

Where the model's receptive field is bounded, tiles equal the whole up to float rounding (1 of 255 in rare pixels): a
result pixel depends on `receptive_field // 2` input pixels to either side, so a window carries that much context and
keeps only its core. Three things are needed besides:

- windows begin at multiples of the network's `size_multiple`, so that its halvings meet the same pixels;
- they end at such a multiple, or at the picture's own border, where the graph pads as it would pad the whole picture;
- a border of the picture is a border of a window, so that what convolutions pad with comes in at the same places.

Where it is not bounded (spatial statistics), each window is a picture of its own to the model. Neighbours then overlap
by a quarter and fade into one another, which hides borders but not different colours: the best there is, not exact.

Positions and lengths are pixels of the input unless they are said to be the result's.
Array names carry their shape: N pictures, H height, W width, C channels.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the variable's suffix says its shape."""

OVERLAP_SHARE = 0.25
"""Part of a window that it shares with the next where the receptive field is not bounded."""

LEAST_CORE = 64
"""Windows that keep less of their sides than this compute mostly context."""

LEAST_BLENDED = 256
"""Smaller windows say too little about the picture that a model with spatial statistics should see whole."""

_BAND = 256


@dataclass(frozen=True)
class Span:
    """One window along one side of a picture: it sees `start` to `stop`, and its result counts on the kept part.

    Where the kept parts of neighbours overlap, one fades into the next.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Plan:
    """Windows over a picture: every one of `rows` with every one of `columns`, in order."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def count(self) -> int:
        """How many windows there are; 1 is the whole picture."""
        return len(self.rows) * len(self.columns)

    @property
    def largest(self) -> tuple[int, int]:
        """Greatest height and greatest width of a window."""
        heights, widths = ([span.stop - span.start for span in spans] for spans in (self.rows, self.columns))
        return max(heights), max(widths)


def context(receptive_field: int, multiple: int) -> int:
    """Return how many pixels a window carries beyond what it keeps: half of the field, up to the next multiple."""
    return _round_up(receptive_field // 2, multiple)


def smallest_tile(receptive_field: int | None, multiple: int) -> int:
    """Return the least side of windows that makes sense; for None, an unbounded field, what still shows something."""
    if receptive_field is None:
        return max(_round_up(LEAST_BLENDED, multiple), 2 * multiple)
    return 2 * context(receptive_field, multiple) + _round_up(LEAST_CORE, multiple)


def plan_windows(height: int, width: int, tile: int, *, multiple: int, receptive_field: int | None) -> Plan:
    """Cut a picture into windows of at most `tile` pixels a side, equal ones as far as possible.

    `tile`: at least `smallest_tile`; 0 leaves the picture whole. `multiple`: the network's `size_multiple`.
    `receptive_field`: None where it is not bounded; windows then overlap and fade.
    """
    rows, columns = (spans(length, tile, multiple, receptive_field) for length in (height, width))
    return Plan(rows, columns)


def spans(length: int, tile: int, multiple: int, receptive_field: int | None) -> tuple[Span, ...]:
    """Return the windows along a side of `length` pixels, in order; see `plan_windows`."""
    if length <= tile or not tile:
        return (Span(0, length, 0, length),)
    most = tile // multiple * multiple
    if receptive_field is None:
        margin, shared = 0, _round_up(int(most * OVERLAP_SHARE), multiple)
    else:
        margin = context(receptive_field, multiple)
        shared = 2 * margin
    assert most - shared >= multiple, f"tile {tile} is less than smallest_tile"
    count = -((shared - length) // (most - shared))
    # No more windows than needed, and these no larger than needed: less is computed twice.
    step = _round_up(-(-(length - shared) // count), multiple)
    side = step + shared
    # The last one reaches back to the size of the others, so that a session meets few sizes.
    starts = [*range(0, (count - 1) * step, step), _round_up(length - side, multiple)]
    found: list[Span] = []
    for number, start in enumerate(starts):
        keep_start = number * step + margin if number else 0
        keep_stop = start + side - margin if number < count - 1 else length
        found.append(Span(start, min(start + side, length), keep_start, keep_stop))
    return tuple(found)


def run_tiled(
    image_NHWC: Pixels, run: Callable[[Pixels], Pixels], plan: Plan, *, scale: int = 1, batch: int = 1
) -> Pixels:
    """Run a model window by window and put the result together.

    Args:
        image_NHWC: the pictures, all cut by `plan`.
        run: (n, h, w, C) -> (n, h * scale, w * scale, C'), of any types; n is at most `batch`.
        plan: from `plan_windows` for H and W.
        scale: side of the result over side of the input.
        batch: windows, of the same or of several pictures, that go through `run` at once.

    Returns:
        (N, H * scale, W * scale, C') of the type that `run` returns.
    """
    count, height, width = image_NHWC.shape[:3]
    if plan.count == 1 and count <= batch:
        return run(image_NHWC)
    result_NHWC: Pixels | None = None
    for row, fade in zip(plan.rows, _fades(plan.rows), strict=True):
        strip_NHWC = _run_strip(image_NHWC[:, row.start : row.stop], run, row, plan.columns, scale, batch)
        if len(plan.rows) == 1:
            return strip_NHWC
        if result_NHWC is None:
            result_NHWC = np.empty((count, height * scale, width * scale, strip_NHWC.shape[3]), strip_NHWC.dtype)
        top = row.keep_start * scale
        fade_in(result_NHWC[:, top : top + fade * scale], strip_NHWC, axis=1)
        result_NHWC[:, top : top + strip_NHWC.shape[1]] = strip_NHWC
    assert result_NHWC is not None
    return result_NHWC


def _run_strip(
    rows_NHWC: Pixels, run: Callable[[Pixels], Pixels], row: Span, columns: tuple[Span, ...], scale: int, batch: int
) -> Pixels:
    """Run the windows of one row of the plan: what they see -> the kept rows of the result, at its full width."""
    strip_NHWC: Pixels | None = None
    fades = _fades(columns)
    for jobs in _batches(len(rows_NHWC), columns, batch):
        seen = [rows_NHWC[picture, :, columns[number].start : columns[number].stop] for picture, number in jobs]
        found_NHWC = run(np.stack(seen))
        if strip_NHWC is None:
            height, width = (row.keep_stop - row.keep_start) * scale, columns[-1].stop * scale
            strip_NHWC = np.empty((len(rows_NHWC), height, width, found_NHWC.shape[3]), found_NHWC.dtype)
        for (picture, number), found_HWC in zip(jobs, found_NHWC, strict=True):
            kept_HWC = found_HWC[_kept(row, scale), _kept(columns[number], scale)]
            place_HWC = strip_NHWC[picture, :, columns[number].keep_start * scale :][:, : kept_HWC.shape[1]]
            fade_in(place_HWC[:, : fades[number] * scale], kept_HWC, axis=1)
            place_HWC[:] = kept_HWC
    assert strip_NHWC is not None
    return strip_NHWC


def fade_in(before: Pixels, after: Pixels, *, axis: int) -> None:
    """Let what was there before lead into what comes after, with linear weights, in place.

    `after` is an array of pixels of any rank; `before` has its type and shape but along `axis`, where it is as long as
    the overlap, from 0 on. The beginning of `after` becomes the blend, rounded half to even.
    """
    length = before.shape[axis]
    if not length:
        return
    shape = [1] * after.ndim
    shape[axis] = length
    weight = ((np.arange(length, dtype=np.float32) + 0.5) / length).reshape(shape)
    overlap = after[(slice(None),) * axis + (slice(length),)]
    overlap[:] = np.rint(before + weight * (overlap.astype(np.float32) - before))


def seam_ratio(image_HWC: Pixels, plan: Plan, *, scale: int = 1) -> float:
    """Return the `Seams.ratio` of a whole result."""
    seams = Seams(plan, scale)
    seams.add(image_HWC)
    return seams.ratio


def seam_note(ratio: float) -> str:
    """Return the end of a sentence that tells a user what was measured."""
    return f" (where windows meet, neighbouring pixels differ {ratio:.2f} times as much as elsewhere)"


class Seams:
    """Tells how much rougher a result is where windows meet than elsewhere, from its rows as they come.

    plan: how it was made. scale: side of the result over side of the input.
    """

    def __init__(self, plan: Plan, scale: int = 1) -> None:
        self._rows, self._columns = (
            {scale * place for place in _borders(spans)} for spans in (plan.rows, plan.columns)
        )
        self._height = 0
        self._last_1WC: Pixels | None = None
        self._sums = {True: 0.0, False: 0.0}
        self._counts = {True: 0, False: 0}

    def add(self, rows_HWC: Pixels) -> None:
        """Take the next rows: (any number, W * scale, C)."""
        before = 0 if self._last_1WC is None else 1
        joined_HWC = rows_HWC if self._last_1WC is None else np.concatenate([self._last_1WC, rows_HWC])
        self._count(_jumps(joined_HWC), self._height - before, self._rows, rows_HWC.shape[1])
        self._count(_jumps(rows_HWC.swapaxes(0, 1)), 0, self._columns, len(rows_HWC))
        self._height += len(rows_HWC)
        self._last_1WC = rows_HWC[-1:].copy()

    def _count(self, jumps: NDArray[np.float64], first: int, borders: set[int], pairs: int) -> None:
        """Add sums over lines of pixels, of which the first lies between `first` and the one after."""
        chosen = np.isin(np.arange(len(jumps)) + first + 1, list(borders))
        for at_border, found in ((True, jumps[chosen]), (False, jumps[~chosen])):
            self._sums[at_border] += float(found.sum())
            self._counts[at_border] += len(found) * pairs

    @property
    def ratio(self) -> float:
        """Mean absolute difference of neighbours across the borders of the kept parts, over that of all others.

        1.0 is no rougher, and so is a picture in one window; inf where only borders differ. What is in the picture
        there counts too, so a figure from few windows is a rough one.
        """
        (across, beside), (across_count, beside_count) = (
            (found[True], found[False]) for found in (self._sums, self._counts)
        )
        if not across or not across_count:
            return 1.0 if not across_count or not beside else 0.0
        return across / across_count / (beside / beside_count) if beside else float("inf")


def _fades(spans: tuple[Span, ...]) -> list[int]:
    """How far each kept part reaches into the one before."""
    return [0, *(before.keep_stop - after.keep_start for before, after in pairwise(spans))]


def _borders(spans: tuple[Span, ...]) -> set[int]:
    """Where kept parts begin or end inside the picture."""
    return {place for before, after in pairwise(spans) for place in (before.keep_stop, after.keep_start)}


def _batches(pictures: int, columns: tuple[Span, ...], batch: int) -> Generator[list[tuple[int, int]]]:
    """Yield (picture, number of the column) of windows of one width; those of a picture from left to right."""
    jobs: list[tuple[int, int]] = []
    for number, span in enumerate(columns):
        for picture in range(pictures):
            other = columns[jobs[0][1]] if jobs else span
            if len(jobs) == batch or other.stop - other.start != span.stop - span.start:
                yield jobs
                jobs = []
            jobs.append((picture, number))
    yield jobs


def _kept(span: Span, scale: int) -> slice:
    """The kept part, in pixels of the window's result."""
    return slice(scale * (span.keep_start - span.start), scale * (span.keep_stop - span.start))


def _jumps(image_HWC: Pixels) -> NDArray[np.float64]:
    """Sum over each row of the mean absolute difference to the row above, (H - 1,); in bands, as it takes floats."""
    found: list[NDArray[np.float64]] = []
    for top in range(0, len(image_HWC) - 1, _BAND):
        band_HWC = image_HWC[top : top + _BAND + 1].astype(np.float32)
        found.append(np.abs(np.diff(band_HWC, axis=0)).mean(axis=2).sum(axis=1, dtype=np.float64))
    return np.concatenate(found) if found else np.zeros(0)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
