"""Tiling: runs a model in windows over pictures that are too large to process whole.

If the model's receptive field is bounded, tiling gives the same result as a single run, up to float rounding (1 of 255
in rare pixels): an output pixel depends on `receptive_field // 2` input pixels to either side, so each window includes
that much context and keeps only its core. Three more conditions apply:

- windows start at multiples of the network's `size_multiple`, so that its downsampling is aligned;
- they end at such a multiple, or at the border of the picture, where the graph pads as it would for the whole picture;
- borders of the picture are borders of a window, so that the padding of convolutions is in the same places.

If it is not bounded (spatial statistics), the model treats each window as a separate picture. Neighbours then overlap
by a quarter and are blended, which hides the borders but not differences in colour: a good approximation, not exact.

Positions and lengths are input pixels unless stated otherwise.
Array names carry their shape: N pictures, H height, W width, C channels.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the suffix of the variable gives its shape."""

OVERLAP_SHARE = 0.25
"""Overlap of neighbouring windows, as a fraction of their side, if the receptive field is not bounded."""

MIN_CORE = 64
"""Minimum side of the core of a window; a smaller window would compute mostly context."""

MIN_BLENDED = 256
"""Minimum side of a window for a model with spatial statistics; a smaller one tells it too little about the picture."""

_BAND = 256


@dataclass(frozen=True)
class Span:
    """The extent of a window along one axis: it covers `start` to `stop`, of which only the kept part is used.

    Where the kept parts of neighbours overlap, they are blended.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Plan:
    """The windows over a picture: the product of `rows` and `columns`, in order."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def count(self) -> int:
        """Number of windows; 1 means the whole picture."""
        return len(self.rows) * len(self.columns)

    @property
    def largest(self) -> tuple[int, int]:
        """Maximum height and maximum width of a window."""
        heights, widths = ([span.stop - span.start for span in spans] for spans in (self.rows, self.columns))
        return max(heights), max(widths)


def context(receptive_field: int, multiple: int) -> int:
    """Return the width of the context around a core: half the receptive field, rounded up to a multiple."""
    return _round_up(receptive_field // 2, multiple)


def smallest_tile(receptive_field: int | None, multiple: int) -> int:
    """Return the smallest useful side of a window; `receptive_field` None means unbounded."""
    if receptive_field is None:
        return max(_round_up(MIN_BLENDED, multiple), 2 * multiple)
    return 2 * context(receptive_field, multiple) + _round_up(MIN_CORE, multiple)


def plan_windows(height: int, width: int, tile: int, *, multiple: int, receptive_field: int | None) -> Plan:
    """Split a picture into windows with sides of at most `tile` pixels, of equal size as far as possible.

    `tile`: at least `smallest_tile`; 0 disables tiling. `multiple`: the network's `size_multiple`.
    `receptive_field`: None if it is not bounded; windows then overlap and are blended.
    """
    rows, columns = (spans(length, tile, multiple, receptive_field) for length in (height, width))
    return Plan(rows, columns)


def spans(length: int, tile: int, multiple: int, receptive_field: int | None) -> tuple[Span, ...]:
    """Return the windows along an axis of `length` pixels, in order; see `plan_windows`."""
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
    # As few and as small windows as possible, to minimise the overlap.
    step = _round_up(-(-(length - shared) // count), multiple)
    side = step + shared
    # The last window starts earlier to be as large as the others, so that a session gets few different sizes.
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
    """Run a model window by window and assemble the result.

    Args:
        image_NHWC: the pictures, all tiled by `plan`. With none, the model runs on the empty batch, for shape and type.
        run: (n, h, w, C) -> (n, h * scale, w * scale, C'), of any types; n is at most `batch`.
        plan: from `plan_windows` for H and W.
        scale: output side over input side.
        batch: number of windows, of the same or different pictures, per call of `run`.

    Returns:
        (N, H * scale, W * scale, C') of the type that `run` returns.
    """
    count, height, width = image_NHWC.shape[:3]
    if not count or (plan.count == 1 and count <= batch):
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
    """Run one row of windows: their input rows -> the kept rows of the result, at full width."""
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
    """Blend the start of `after` with `before`, using linear weights, in place.

    `after` is an array of pixels of any rank; `before` has the same type and shape except along `axis`, where its
    length is that of the overlap (0 or more). The start of `after` is replaced by the blend, rounded half to even.
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


def continued(image: Pixels, least: int) -> Pixels:
    """A batch of pictures (N, H, W, C) of at least `least` pixels a side: smaller ones are continued at the right and
    at the bottom."""
    below, right = (max(0, least - side) for side in image.shape[1:3])
    return np.pad(image, ((0, 0), (0, below), (0, right), (0, 0)), "edge")


def blend_note(name: str, height: int, width: int, plan: Plan, ratio: float | None) -> str:
    """What to tell the user about a picture of this size that a model with this name did not see as a whole; `ratio` is
    that of the seams, if it was measured."""
    return (
        f"{width} x {height} pixels is too large to process at once, but {name} needs to see the whole picture; "
        f"{plan.count} windows were blended, check for colour shifts"
    ) + ("" if ratio is None else seam_note(ratio))


def seam_note(ratio: float) -> str:
    """Return the end of a sentence that tells the user how visible the seams are."""
    return f" (where windows meet, neighbouring pixels differ {ratio:.2f} times as much as elsewhere)"


class Seams:
    """Measures how much rougher a result is at the seams between windows than elsewhere, row by row.

    plan: the windows of the result. scale: output side over input side.
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
        """Add the next rows: (any number, W * scale, C)."""
        before = 0 if self._last_1WC is None else 1
        joined_HWC = rows_HWC if self._last_1WC is None else np.concatenate([self._last_1WC, rows_HWC])
        self._count(_jumps(joined_HWC), self._height - before, self._rows, rows_HWC.shape[1])
        self._count(_jumps(rows_HWC.swapaxes(0, 1)), 0, self._columns, len(rows_HWC))
        self._height += len(rows_HWC)
        self._last_1WC = rows_HWC[-1:].copy()

    def _count(self, jumps: NDArray[np.float64], first: int, borders: set[int], pairs: int) -> None:
        """Add sums over lines of pixels; the first line lies between `first` and the next pixel."""
        chosen = np.isin(np.arange(len(jumps)) + first + 1, list(borders))
        for at_border, found in ((True, jumps[chosen]), (False, jumps[~chosen])):
            self._sums[at_border] += float(found.sum())
            self._counts[at_border] += len(found) * pairs

    @property
    def ratio(self) -> float:
        """Mean absolute difference between neighbouring pixels across seams, divided by that of all other neighbours.

        1.0 means no visible seams, also for a picture in one window; inf if only seams differ. The picture content at
        the seams counts as well, so the value is a rough estimate if there are few windows.
        """
        (across, beside), (across_count, beside_count) = (
            (found[True], found[False]) for found in (self._sums, self._counts)
        )
        if not across or not across_count:
            return 1.0 if not across_count or not beside else 0.0
        return across / across_count / (beside / beside_count) if beside else float("inf")


def _fades(spans: tuple[Span, ...]) -> list[int]:
    """Overlap of each kept part with the previous one."""
    return [0, *(before.keep_stop - after.keep_start for before, after in pairwise(spans))]


def _borders(spans: tuple[Span, ...]) -> set[int]:
    """Positions inside the picture where kept parts start or end."""
    return {place for before, after in pairwise(spans) for place in (before.keep_stop, after.keep_start)}


def _batches(pictures: int, columns: tuple[Span, ...], batch: int) -> Generator[list[tuple[int, int]]]:
    """Yield batches of (picture, column index) of windows of equal width, from left to right for each picture."""
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
    """The kept part, in output pixels of the window."""
    return slice(scale * (span.keep_start - span.start), scale * (span.keep_stop - span.start))


def _jumps(image_HWC: Pixels) -> NDArray[np.float64]:
    """Sum over each row of the mean absolute difference to the row above, (H - 1,); in bands, to limit memory."""
    found: list[NDArray[np.float64]] = []
    for top in range(0, len(image_HWC) - 1, _BAND):
        band_HWC = image_HWC[top : top + _BAND + 1].astype(np.float32)
        found.append(np.abs(np.diff(band_HWC, axis=0)).mean(axis=2).sum(axis=1, dtype=np.float64))
    return np.concatenate(found) if found else np.zeros(0)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
