"""Locates a drawing on its sheet and scales it to the size of the objects that a model was trained on.

A model with a `working_size` was trained on objects that fill the frame. A small drawing on a large sheet is therefore
cropped with the same margin as in the training pictures, converted separately, and pasted back.

Array names carry their shape: H height, W width, C channels, S side of a square. Pixels are uint8 in [0, 255] or uint16
in [0, 65535].
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from translate.pictures.operations import fit_size, resize
from translate.pictures.picture import Pixels, white_of
from translate.spec import ModelSpec
from translate.tasks import TASKS

Placement = Literal["auto", "off"]
"""auto: drawings that are small on their sheet are scaled to the size that the model was trained on. off: the whole
sheet is used as it is."""

SMALL = 2 / 3
"""Drawings smaller than this fraction of the objects in training pictures are cropped. Sizes vary as much within the
training pictures, so larger drawings are left alone."""

SEARCH_SIZE = 256
"""Longer side of the copy in which the drawing is located. A line that is one pixel wide on a sheet eight times
as large is still found."""

CELL = 4
"""Side in pixels of the cells of that copy that are grouped into connected objects and specks."""

CONTRAST = 24 / 255
"""A smaller difference from the paper, as a fraction of white, is still paper: shading, grain or compression."""

STEP = 4
"""The paper colour is estimated from every such row and column of that copy."""

NOISE = 6.0
"""A difference of fewer standard deviations of the paper's grain is still paper."""

SPECK_CELLS, SPECK_INK = 2, 0.01
"""An object no longer than this many cells and with less than this fraction of all ink is a speck."""

MIN_SIDE = 8
"""Minimum longer side of a drawing, in pixels of the sheet."""

RING = 16
"""A border of one part in this many of a result is taken as background."""


def content_share_of(spec: ModelSpec) -> float:
    """Longer side of the objects in training pictures over that of the picture; 0: any size, or no objects."""
    if spec.working_size is None:
        return 0.0
    if spec.content_share is not None:
        return spec.content_share
    task = TASKS.get(spec.task)
    return task.content_share if task else 0.0


class Box(NamedTuple):
    """A half-open range of rows and columns of a sheet. May extend beyond the sheet."""

    top: int
    bottom: int
    left: int
    right: int


def content_box(sheet: Pixels) -> Box | None:
    """Find the bounding box of everything drawn on a sheet.

    That is everything that differs from the paper, whose colour is the most frequent one and may vary linearly across
    the sheet, as under uneven lighting. Several objects share one box; specks are ignored.

    Args:
        sheet: (H, W, 3).

    Returns:
        The box, or None for an empty sheet.
    """
    height, width = sheet.shape[:2]
    small_HWC = resize(sheet, *fit_size(height, width, SEARCH_SIZE)) if max(height, width) > SEARCH_SIZE else sheet
    ink_HW = _ink(small_HWC.astype(np.float32) / np.float32(white_of(sheet)))
    ink_HW = _without_specks(ink_HW)
    rows, columns = (np.flatnonzero(ink_HW.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    ratio = height / ink_HW.shape[0], width / ink_HW.shape[1]
    box = Box(
        int(rows[0] * ratio[0]),
        min(height, int(np.ceil((rows[-1] + 1) * ratio[0]))),
        int(columns[0] * ratio[1]),
        min(width, int(np.ceil((columns[-1] + 1) * ratio[1]))),
    )
    return box if _longer(box) >= MIN_SIDE else None


def frame_of(sheet: Pixels, content_share: float) -> Box | None:
    """The square around the drawing, framed as in training pictures; None if the sheet already frames it so.

    Args:
        sheet: (H, W, 3).
        content_share: longer side of the objects in training pictures over the longer side of the picture; 0: unknown,
            no sheet is cropped.
    """
    if not content_share:
        return None
    box = content_box(sheet)
    if box is None:
        return None
    longer = _longer(box)
    if longer >= SMALL * content_share * max(sheet.shape[:2]):
        return None
    side = round(longer / content_share)
    top, left = (box.top + box.bottom - side) // 2, (box.left + box.right - side) // 2
    return Box(top, top + side, left, left + side)


def typical_share(pictures: Sequence[Pixels]) -> float:
    """The `content_share` of pictures: the median, to three decimals; 0 if they do not show objects on paper.

    Args:
        pictures: (H, W, C), of 1 or 3 channels; for others the result is 0.
    """
    shares: list[float] = []
    for picture_HWC in pictures:
        if picture_HWC.shape[2] not in (1, 3):
            return 0.0
        box = content_box(np.broadcast_to(picture_HWC, (*picture_HWC.shape[:2], 3)))
        if box is not None:
            shares.append(_longer(box) / max(picture_HWC.shape[:2]))
    return round(float(np.median(shares)), 3) if shares else 0.0


def cut_out(sheet: Pixels, frame: Box) -> Pixels:
    """Cut a square out of a sheet; outside the sheet it is filled with paper.

    Args:
        sheet: (H, W, C).
        frame: the square; part of it is on the sheet.

    Returns:
        (S, S, C).
    """
    height, width, channels = sheet.shape
    side = frame.bottom - frame.top
    rows, columns = _seen(frame.top, frame.bottom, height), _seen(frame.left, frame.right, width)
    crop_SSC = np.empty((side, side, channels), sheet.dtype)
    crop_SSC[...] = np.median(sheet[rows, columns].reshape(-1, channels), axis=0).astype(sheet.dtype)
    crop_SSC[_moved(rows, -frame.top), _moved(columns, -frame.left)] = sheet[rows, columns]
    return crop_SSC


def framed(content_share: float, sheet: Pixels) -> Pixels:
    """The sheet as a model with this `content_share` sees it: cut out as `frame_of` says, or the whole of it.

    Args:
        content_share: see `frame_of`.
        sheet: (H, W, C), of 1 or 3 channels.
    """
    frame = frame_of(np.broadcast_to(sheet, (*sheet.shape[:2], 3)), content_share)
    return sheet if frame is None else cut_out(sheet, frame)


def through_frame(sheet: Pixels, frame: Box, size: int, scale: int, model: Callable[[Pixels], Pixels]) -> Pixels:
    """Run a model on a square crop of a sheet and paste the result into the sheet.

    Args:
        sheet: (H, W, 3).
        frame: the square; outside the sheet it is filled with paper.
        size: side of the model's input.
        scale: of the model.
        model: (size, size, 3) -> (size * scale, size * scale, 3), of any bit depth.

    Returns:
        (H * scale, W * scale, 3); outside the square, the background of the model's result.
    """
    height, width = sheet.shape[:2]
    side = frame.bottom - frame.top
    rows, columns = _seen(frame.top, frame.bottom, height), _seen(frame.left, frame.right, width)
    inside = _moved(rows, -frame.top), _moved(columns, -frame.left)
    output_SSC = model(resize(cut_out(sheet, frame), size, size))
    result_HWC = np.empty((height * scale, width * scale, 3), output_SSC.dtype)
    result_HWC[...] = _background(output_SSC)
    large_SSC = resize(output_SSC, side * scale, side * scale)
    result_HWC[tuple(_times(part, scale) for part in (rows, columns))] = large_SSC[
        tuple(_times(part, scale) for part in inside)
    ]
    return result_HWC


def _longer(box: Box) -> int:
    return max(box.bottom - box.top, box.right - box.left)


def _ink(small_HWC: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Everything that is not paper. The paper colour is a plane fitted in two passes to the pixels closest to it."""
    height, width = small_HWC.shape[:2]
    y_H, x_W = (np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width))
    y_P, x_P = (places.ravel() for places in np.meshgrid(y_H[::STEP], x_W[::STEP], indexing="ij"))
    places_P3 = np.stack([np.ones_like(y_P), y_P, x_P], axis=1)
    colours_P3 = small_HWC[::STEP, ::STEP].reshape(-1, 3)
    off_P = np.abs(colours_P3 - np.median(colours_P3, axis=0)).max(axis=1)
    plane_33 = np.zeros((3, 3), np.float32)
    for _ in range(2):
        paper_P = off_P <= max(4 * float(np.median(off_P)), CONTRAST / 2)
        plane_33 = np.linalg.lstsq(places_P3[paper_P], colours_P3[paper_P], rcond=None)[0]
        off_P = np.abs(colours_P3 - places_P3 @ plane_33).max(axis=1)
    grain = 1.4826 * float(np.median(off_P))  # standard deviation of a normal distribution from its MAD
    least, ink_HW = np.float32(max(CONTRAST, NOISE * grain)), np.zeros((height, width), bool)
    for channel, (level, down, across) in enumerate(plane_33.T):  # one channel at a time is faster
        paper_HW = (level + down * y_H)[:, None] + across * x_W
        ink_HW |= np.abs(small_HWC[..., channel] - paper_HW) > least
    return ink_HW


def _without_specks(ink_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Ink without small isolated specks."""
    height, width = (-(-side // CELL) for side in ink_HW.shape)
    padded_HW = np.zeros((height * CELL, width * CELL), bool)
    padded_HW[: ink_HW.shape[0], : ink_HW.shape[1]] = ink_HW
    count_HW = padded_HW.reshape(height, CELL, width, CELL).sum(axis=(1, 3))
    kept_HW = np.zeros(count_HW.shape, bool)
    least = SPECK_INK * count_HW.sum()
    remaining = set(map(tuple, np.argwhere(count_HW).tolist()))
    while remaining:
        cells = _pop_component(remaining)
        y_N, x_N = np.array(cells).T
        if max(np.ptp(y_N), np.ptp(x_N)) >= SPECK_CELLS or count_HW[y_N, x_N].sum() > least:
            kept_HW[y_N, x_N] = True
    return ink_HW & kept_HW.repeat(CELL, axis=0).repeat(CELL, axis=1)[: ink_HW.shape[0], : ink_HW.shape[1]]


def _pop_component(remaining: set[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Remove one cell and all cells connected to it from `remaining`."""
    found = [remaining.pop()]
    for y, x in found:  # grows during the loop
        for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
            if near in remaining:
                remaining.remove(near)
                found.append(near)
    return found


def _background(output_SSC: Pixels) -> Pixels:
    """(3,): the median of each channel along the border."""
    ring = max(1, len(output_SSC) // RING)
    border_SS = np.ones(output_SSC.shape[:2], bool)
    border_SS[ring:-ring, ring:-ring] = False
    return np.median(output_SSC[border_SS], axis=0).astype(output_SSC.dtype)


def _seen(start: int, stop: int, length: int) -> slice:
    return slice(max(0, start), min(length, stop))


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _times(part: slice, scale: int) -> slice:
    return slice(part.start * scale, part.stop * scale)
