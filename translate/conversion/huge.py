"""File -> file in bands of rows, for pictures that do not fit in memory, or whose results do not.

Computes the same pixels as `Engine.apply` on the whole picture, in the same three ways:

- models that work at any size run in windows (`translate.inference.tiling`), one row of windows after the other;
- with a `scene_size`, the model runs on a small copy, and its change of light is applied to the picture band by band;
- with a `working_size`, the model runs on a small copy, and its result is enlarged band by band.

Only resizing is computed differently, in bands with coordinates rounded to 24 bits: fewer than one value in 1,000
differs, by 1 of 255, or by up to 3 with a `scene_size`, which multiplies what was resized. Colours under full
transparency are filled in from the band alone (`translate.pictures.operations.covered`), which may be slightly visible
at its edge, and more so with a `scene_size`, whose small copy blends them in.

Array names carry their shape: H height, W width, C channels; lower case for the small copy.
"""

import math
from collections.abc import Callable, Generator, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.files import Finish
from translate.inference.controls import Label, Style
from translate.inference.engine import Engine
from translate.inference.placement import Placement, content_share_of, frame_of
from translate.inference.tiling import Plan, Seams, fade_in, seam_note, spans
from translate.pictures.band_reader import RowReader
from translate.pictures.band_writer import RowWriter, check_target
from translate.pictures.operations import (
    Metadata,
    Picture,
    Pixels,
    Relighting,
    covered,
    fit_size,
    flatten,
    is_ink,
    to_bits,
    white_of,
)

STREAMING_BYTES = 1 << 30
"""Default memory limit in bytes for the bands and the model; Python, its libraries and the image codecs add about a
quarter of that."""

_LANCZOS = 3
"""Radius in pixels of the filter used for enlarging."""

CROP_SCALE = 4
"""A small drawing is cropped from a copy of this many times the `working_size`; it is blurred only if smaller
than a quarter of the sheet."""

_RELIGHT_BYTES = 96
"""Memory that `relight` needs per pixel, for floats."""

_Controls = dict[str, NDArray[Any]]
_Box = tuple[float, float, float, float]


def needs_streaming(height: int, width: int, engine: Engine) -> bool:
    """Whether a picture of this size does not fit in memory together with its result, so that it needs `convert_huge`.

    False if that cannot help either, because the Engine must not tile the picture (`tile` 0).
    """
    shrinks = engine.spec.working_size is not None or engine.spec.scene_size is not None
    return height * width > engine.max_pixels and (shrinks or engine.tile != 0)


def convert_huge(
    source: Path | bytes,
    target: Path,
    engine: Engine,
    *,
    name: str | None = None,
    label: Label | None = None,
    style: Style | None = None,
    detail: float | None = None,
    framing: Placement = "auto",
    quality: int = 92,
    metadata: Metadata = "keep",
    keep_profile: bool = False,
    source_type: str = "",
    finish: Finish | None = None,
    page: int = 1,
    memory_bytes: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[str, ...]:
    """Convert a PNG, JPEG, TIFF or WebP file without holding it in memory; the result is written atomically.

    Interlaced PNG, progressive JPEG and WebP cannot be decoded in parts: their pixels are needed in addition to
    `memory_bytes`. Pictures with an EXIF rotation need a temporary file the size of their pixels, in the folder of the
    result. TIFF results do not include EXIF, and JPEG results no comment.

    Args:
        source: path, or the file's bytes.
        target: the suffix determines the format.
        engine: the model.
        name: name of the source in error messages; None: its path.
        label, style, detail: as in `Engine.apply`.
        framing: as in `Engine.sheet`; a drawing is located and cropped in a copy of `CROP_SCALE` times the
            `working_size`.
        quality, metadata, keep_profile, source_type: as in `translate.pictures.operations.encode`.
        finish: see `translate.files.atomic_path`.
        page: of a file with several, from 1.
        memory_bytes: approximate limit for the bands and the model; None: half of the memory available to the Engine,
            at most `STREAMING_BYTES`. Less than the model's smallest window needs has no effect.
        on_progress: called in this thread with the fraction done, 0 to 1.

    Returns:
        Notes for the user, one line each: what was left out, and whether the result differs from a single run over the
        whole picture (see `Engine.caution`).

    Raises:
        ImageError: an unsupported or damaged file, a format that cannot be processed in parts, or the result cannot be
            written.
        ConfigError: the model lacks a label, style or detail.
    """
    engine.check_format()
    controls = engine.controls(label=label, style=style, detail=detail)
    title = name or (str(source) if isinstance(source, Path) else "picture")
    with RowReader(source, title, target.parent, bits=engine.max_bits, page=page) as reader:
        memory_bytes = memory_bytes or min(STREAMING_BYTES, engine.memory_bytes // 2)
        job = _BandConversion(reader, engine, controls, memory_bytes, on_progress or _ignore, framing)
        height, width = (side * engine.spec.scale for side in (reader.height, reader.width))
        check_target(target, height, width)
        bands, alpha, bits = job.plan()
        with RowWriter(
            target,
            height,
            width,
            alpha=alpha,
            bits=bits,
            facts=reader.facts,
            quality=quality,
            metadata=metadata,
            keep_profile=keep_profile,
            source_type=source_type,
            finish=finish,
        ) as writer:
            done = 0
            for band in bands:
                writer.write(band)
                done += band.height
                del band  # so that it is freed before the next is computed
                job.progress(done / height)
    job.progress(1.0)
    notes = (*reader.facts.notes, *writer.lost)
    return (*notes, job.caution) if job.caution else notes


class _BandConversion:
    """The conversion of one picture."""

    def __init__(
        self,
        reader: RowReader,
        engine: Engine,
        controls: _Controls,
        memory_bytes: int,
        on_progress: Callable[[float], None],
        framing: Placement = "auto",
    ) -> None:
        self.reader, self.engine, self.controls, self.memory_bytes = reader, engine, controls, memory_bytes
        self.framing: Placement = framing
        self.height, self.width = reader.height, reader.width
        self._on_progress = on_progress
        self._prepared = 0.0  # fraction of the work done before the first row is written
        self.caution: str | None = None

    def progress(self, share: float) -> None:
        """Report the fraction of rows that are written."""
        self._on_progress(self._prepared + (1.0 - self._prepared) * share)

    def plan(self) -> tuple[Iterator[Picture], bool, Literal[8, 16]]:
        """Do the work needed before the first row; returns the bands, whether they have alpha, and their bit depth."""
        spec = self.engine.spec
        bits = self.engine.result_bits(16 if self.reader.deep else 8)
        size = self.engine.model_size(self.height, self.width)
        if spec.working_size is None and size == (self.height, self.width):
            return self._windows(), self.reader.alpha, bits
        framed = self._framed()
        if framed is not None:
            result_HWC, opaque = framed
            alpha = self.reader.alpha and not is_ink(opaque)
            return self._enlarged(result_HWC, alpha), alpha, bits
        small_HWC, opaque = self._small(*size, on_white=spec.working_size is not None)
        result_HWC = self.engine.colours(small_HWC, self.controls)
        self.caution = self.engine.caution(self.height, self.width)
        if spec.working_size is None:
            return self._scene(small_HWC, result_HWC), self.reader.alpha, 16 if self.reader.deep else 8
        alpha = self.reader.alpha and not is_ink(opaque)
        return self._enlarged(result_HWC, alpha), alpha, bits

    # --- windows

    def _sides(self) -> tuple[int, int]:
        """Height of the bands that go through the model, and width of the windows in them.

        Half of the memory is for the model, half for rows: twice the input rows and twice the output rows.
        """
        engine, half = self.engine, self.memory_bytes / 2
        side = math.isqrt(int(half / engine.spec.bytes_per_pixel))
        row_bytes = self.width * max(engine.max_bits, engine.spec.output_bits)
        tall = int(half / (row_bytes * (1 + engine.spec.scale**2)))
        side = max(engine.smallest_tile, min(side, engine.tile or side))
        return max(engine.smallest_tile, min(side, tall)), side

    def _windows(self) -> Generator[Picture]:
        spec, scale = self.engine.spec, self.engine.spec.scale
        tall, side = self._sides()
        sliding = _Sliding(self.reader.bands())
        rows, columns = (
            spans(length, most, spec.size_multiple, spec.receptive_field)
            for length, most in ((self.height, tall), (self.width, side))
        )
        caution = self.engine.caution(self.height, self.width, plan=Plan(rows, columns))
        seams = Seams(Plan(rows, columns), scale)
        held: Pixels | None = None
        for row, following in pairwise(chain(rows, [None])):
            assert row is not None
            last = row.keep_stop if following is None else following.keep_start
            top, bottom = max(0, row.keep_start - _LANCZOS - 1), min(self.height, last + _LANCZOS + 1)
            seen = sliding.rows(min(top, row.start), max(bottom, row.stop))
            first = min(top, row.start)
            window_HWC = covered(seen)[row.start - first : row.stop - first]
            result_HWC = self.engine.colours(window_HWC, self.controls, tile=side)
            result_HWC = result_HWC[(row.keep_start - row.start) * scale : (row.keep_stop - row.start) * scale]
            if held is not None:
                fade_in(held, result_HWC, axis=0)
            cut = (last - row.keep_start) * scale
            held = result_HWC[cut:].copy() if following is not None else None
            alpha_HW = None
            if seen.alpha_HW is not None:
                near_HW = seen.alpha_HW[top - first : bottom - first]
                alpha_HW = Stretched(near_HW, len(near_HW) * scale, self.width * scale).rows(
                    (row.keep_start - top) * scale, (last - top) * scale
                )
            if caution:
                seams.add(result_HWC[:cut])
            band = _band(result_HWC[:cut], alpha_HW)
            del seen, window_HWC, result_HWC, alpha_HW
            yield band
            del band
        self.caution = caution and caution + seam_note(seams.ratio)

    # --- models that see a small copy

    def _framed(self) -> tuple[Pixels, float] | None:
        """The result for a drawing that is small on its sheet, at another size, and the fraction that is opaque."""
        size, share = self.engine.spec.working_size, content_share_of(self.engine.spec)
        if size is None or not share or self.framing == "off":
            return None
        longer = min(CROP_SCALE * size, max(self.height, self.width))
        copy_HWC, opaque = self._small(*fit_size(self.height, self.width, longer), on_white=True)
        if frame_of(copy_HWC, share) is None:
            return None
        return self.engine.sheet(copy_HWC, self.controls, self.framing), opaque

    def _small(self, height: int, width: int, *, on_white: bool) -> tuple[Pixels, float]:
        """The whole picture at another size, as `resize` computes it, and the fraction of it that is opaque."""
        narrow: list[list[Image.Image]] = []
        opaque, dtype = 0.0, np.dtype(np.uint8)
        for band in self.reader.bands():
            rgb_HWC = flatten(band) if on_white else covered(band)
            dtype = rgb_HWC.dtype
            narrow.append(_sideways(rgb_HWC, width))
            if band.alpha_HW is not None:
                opaque += float(band.alpha_HW.sum(dtype=np.uint64)) / white_of(band.alpha_HW)
            self._prepared = min(0.4, self._prepared + 0.4 * band.height / self.height)
            self._on_progress(self._prepared)
        planes = [np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*narrow, strict=True)]
        size, box = (width, height), (0.0, 0.0, float(width), float(self.height))
        return _down([Image.fromarray(plane) for plane in planes], size, box, dtype), opaque / (
            self.height * self.width
        )

    def _scene(self, small_HWC: Pixels, result_HWC: Pixels) -> Generator[Picture]:
        relighting = Relighting(small_HWC, result_HWC, self.height, self.width, 16 if self.reader.deep else 8)
        count = max(1, int(self.memory_bytes / 2) // (self.width * _RELIGHT_BYTES))
        top = 0
        for band in self.reader.bands():
            shown_HWC = covered(band)
            for first in range(0, band.height, count):
                rgb_HWC = shown_HWC[first : first + count]
                alpha_HW = None if band.alpha_HW is None else band.alpha_HW[first : first + count]
                yield Picture(relighting.rows(rgb_HWC, top + first), alpha_HW)
            top += band.height

    def _enlarged(self, result_HWC: Pixels, alpha: bool) -> Generator[Picture]:
        scale = self.engine.spec.scale
        result = Stretched(result_HWC, self.height * scale, self.width * scale)
        count = max(1, int(self.memory_bytes / 8) // (self.width * scale * 8))
        sliding = _Sliding(self.reader.bands()) if alpha else None
        for top in range(0, self.height, count):
            last = min(top + count, self.height)
            rgb_HWC = result.rows(top * scale, last * scale)
            alpha_HW = None
            if sliding is not None:
                first, bottom = max(0, top - _LANCZOS - 1), min(self.height, last + _LANCZOS + 1)
                near_HW = sliding.rows(first, bottom).alpha_HW
                assert near_HW is not None
                alpha_HW = Stretched(near_HW, len(near_HW) * scale, self.width * scale).rows(
                    (top - first) * scale, (last - first) * scale
                )
            yield _band(rgb_HWC, alpha_HW)


class _Sliding:
    """A sliding view over bands: overlapping ranges of rows can be read in order; rows above are discarded."""

    def __init__(self, bands: Iterator[Picture]) -> None:
        self._bands = bands
        self._parts: list[Picture] = []
        self._top = self._bottom = 0

    def rows(self, top: int, bottom: int) -> Picture:
        """Return rows `top` to `bottom`; `top` must not be less than in the previous call."""
        while self._bottom < bottom:
            self._parts.append(next(self._bands))
            self._bottom += self._parts[-1].height
            self._forget(top)
        self._forget(top)
        first, last = top - self._top, bottom - self._top
        rgb_HWC = np.concatenate([part.rgb_HWC for part in self._parts])[first:last]
        alphas = [part.alpha_HW for part in self._parts if part.alpha_HW is not None]
        return Picture(rgb_HWC, np.concatenate(alphas)[first:last] if alphas else None)

    def _forget(self, top: int) -> None:
        while self._parts and self._top + self._parts[0].height <= top:
            self._top += self._parts.pop(0).height


class Stretched:
    """An enlarged picture of which only the requested rows are computed, with the same values as `resize`.

    image: (h, w) or (h, w, 3) uint8 or uint16; `height` and `width`: of the enlarged picture.
    """

    def __init__(self, image: Pixels, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._dtype = image.dtype
        self._planes = _sideways(image, width)

    def rows(self, top: int, bottom: int) -> Pixels:
        """Return rows `top` to `bottom` of the enlarged picture."""
        factor = self._planes[0].height / self._height
        box = (0.0, top * factor, float(self._width), bottom * factor)
        return _down(self._planes, (self._width, bottom - top), box, self._dtype)


def _sideways(image: Pixels, width: int) -> list[Image.Image]:
    """The first half of Pillow's resizing: change the width. 16 bits become floats, one plane per channel."""
    if image.dtype == np.uint8:
        planes = [image]
    else:
        planes = [image.astype(np.float32)] if image.ndim == 2 else list(np.moveaxis(image, 2, 0).astype(np.float32))
    size = (width, len(image))
    return [Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS) for plane in planes]


def _down(planes: list[Image.Image], size: tuple[int, int], box: _Box, dtype: Any) -> Pixels:
    """The second half: change the height of the rows in `box`."""
    found = [np.asarray(plane.resize(size, Image.Resampling.LANCZOS, box)) for plane in planes]
    if dtype == np.uint8:
        return found[0]
    result = np.clip(np.rint(np.stack(found, axis=-1)), 0, np.iinfo(dtype).max).astype(dtype)
    return result if len(found) > 1 else result[..., 0]


def _band(rgb_HWC: Pixels, alpha_HW: Pixels | None) -> Picture:
    bits = 16 if rgb_HWC.dtype == np.uint16 else 8
    return Picture(rgb_HWC, None if alpha_HW is None else to_bits(alpha_HW, bits))


def _ignore(share: float) -> None:
    pass
