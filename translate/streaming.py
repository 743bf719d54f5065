"""File -> file in bands of rows, for pictures that do not fit in memory whole, or whose results do not.

The same pixels as `Engine.apply` gives on the whole picture, by the same three ways:

- models without a size of their own run in windows (`translate.tiling`), one row of windows after the other;
- with a `scene_size`, a small copy goes through the model, and its light is laid on the picture band by band;
- with a `working_size`, a small copy goes through the model, and its result is enlarged band by band.

Only resizing is computed otherwise, in bands from places rounded to 24 bits: fewer than one value in 1,000 differs, by
1 of 255, and with a `scene_size`, which multiplies what it has resized, by up to 3. Colours that full transparency
hides are guessed from the band alone (`translate.images.covered`), which may show a little beside it, and more with a
`scene_size`, whose small copy mixes them in.

Array names carry their shape: H height, W width, C channels; lower case of the small copy.
"""

import math
from collections.abc import Callable, Generator, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from translate.engine import Engine
from translate.images import Metadata, Picture, Pixels, covered, fit_size, flatten, is_ink, relight, to_bits, white_of
from translate.knobs import Label, Style
from translate.placement import Placement, content_share_of, frame_of
from translate.row_writer import RowWriter, check_target
from translate.rows import RowReader
from translate.tiling import Plan, Seams, fade_in, seam_note, spans

MEMORY = 1 << 30
"""Most bytes that bands and the model take, unless told otherwise; Python, its libraries and the coders of the file
formats come on top, about a quarter of that."""

_LANCZOS = 3
"""Pixels to either side that count where a picture is enlarged."""

LOOKS = 4
"""A small drawing is cut out of a copy of so many times the `working_size`, and not blurred unless it is smaller than a
fourth of the sheet."""

_RELIGHT_BYTES = 96
"""What `relight` takes for a pixel, in floats."""

_Knobs = dict[str, NDArray[Any]]
_Box = tuple[float, float, float, float]


def needs_streaming(height: int, width: int, engine: Engine) -> bool:
    """Tell whether a picture of this size does not fit in memory with its result, so that `convert_huge` has to do it.

    False where that cannot either, since the Engine may not cut a picture that does not fit (`tile` 0).
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
    memory_bytes: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> str | None:
    """Convert a PNG, JPEG, TIFF or WebP file without having it in memory; the result appears whole or not at all.

    Interlaced PNG, progressive JPEG and WebP cannot be decoded in parts: their pixels come on top of `memory_bytes`.
    Pictures that are stored turned take a temporary file as large as their pixels, in the folder of the result. In TIFF
    results EXIF is left out.

    Args:
        source: path, or the file's bytes.
        target: its suffix says the format.
        engine: the model.
        name: what errors call the source; None takes the path.
        label, style, detail: as in `Engine.apply`.
        framing: as in `Engine.sheet`; a drawing is found and cut out in a copy of `LOOKS` times the `working_size`.
        quality, metadata, keep_profile: as in `translate.images.encode`.
        memory_bytes: about how much bands and the model may take; None: half of what the Engine has found, at most
            `MEMORY`. Less than a model's smallest window needs is no use.
        on_progress: called with the share that is done, 0 to 1, in this thread.

    Returns:
        One line for the user where the result is not what one run over the whole would give, see `Engine.caution`.

    Raises:
        ImageError: not such a picture, damaged, too small or too narrow for the model, of a format that cannot be
            handled in parts, or the disk refuses.
        ConfigError: a label, style or detail that the model does not have.
    """
    engine.check_format()
    knobs = engine.knobs(label=label, style=style, detail=detail)
    title = name or (str(source) if isinstance(source, Path) else "picture")
    with RowReader(source, title, target.parent, bits=engine.max_bits) as reader:
        engine.check_least(reader.height, reader.width)
        memory_bytes = memory_bytes or min(MEMORY, engine.memory_bytes // 2)
        job = _Job(reader, engine, knobs, memory_bytes, on_progress or _nothing, framing)
        height, width = (side * engine.spec.scale for side in (reader.height, reader.width))
        check_target(target, height, width)
        bands, alpha, bits = job.plan()
        facts = Picture(np.empty((0, 0, 3), np.uint8), None, reader.icc, reader.exif, reader.xmp)
        options: dict[str, Any] = {"quality": quality, "metadata": metadata, "keep_profile": keep_profile}
        with RowWriter(target, height, width, alpha=alpha, bits=bits, facts=facts, **options) as writer:
            done = 0
            for band in bands:
                writer.write(band)
                done += band.height
                del band  # or it would be kept while the next is computed
                job.progress(done / height)
    job.progress(1.0)
    return job.caution


class _Job:
    """One picture on its way through the model."""

    def __init__(
        self,
        reader: RowReader,
        engine: Engine,
        knobs: _Knobs,
        memory_bytes: int,
        on_progress: Callable[[float], None],
        framing: Placement = "auto",
    ) -> None:
        self.reader, self.engine, self.knobs, self.memory_bytes = reader, engine, knobs, memory_bytes
        self.framing: Placement = framing
        self.height, self.width = reader.height, reader.width
        self._on_progress = on_progress
        self._begun = 0.0  # what had been done when rows began to be written
        self.caution: str | None = None

    def progress(self, share: float) -> None:
        """Report the share of rows that are written."""
        self._on_progress(self._begun + (1.0 - self._begun) * share)

    def plan(self) -> tuple[Iterator[Picture], bool, Literal[8, 16]]:
        """Do what has to be done before the first row, and return the rows, whether they have alpha, and their bits."""
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
        result_HWC = self.engine.colours(small_HWC, self.knobs)
        self.caution = self.engine.caution(self.height, self.width)
        if spec.working_size is None:
            return self._scene(small_HWC, result_HWC), self.reader.alpha, 16 if self.reader.deep else 8
        alpha = self.reader.alpha and not is_ink(opaque)
        return self._enlarged(result_HWC, alpha), alpha, bits

    # --- windows

    def _sides(self) -> tuple[int, int]:
        """Height of the bands that go through the model, and width of the windows in them.

        Half of the memory is for the model, half for rows: twice those that go in, and twice those that come out.
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
            result_HWC = self.engine.colours(window_HWC, self.knobs, tile=side)
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
        """The result for a drawing that is small on its sheet, at another size, and the share that is opaque."""
        size, share = self.engine.spec.working_size, content_share_of(self.engine.spec)
        if size is None or not share or self.framing == "off":
            return None
        longer = min(LOOKS * size, max(self.height, self.width))
        look_HWC, opaque = self._small(*fit_size(self.height, self.width, longer), on_white=True)
        if frame_of(look_HWC, share) is None:
            return None
        return self.engine.sheet(look_HWC, self.knobs, self.framing), opaque

    def _small(self, height: int, width: int, *, on_white: bool) -> tuple[Pixels, float]:
        """The whole picture at another size, equal to `resize` of it, and the share of it that is opaque."""
        narrow: list[list[Image.Image]] = []
        opaque, dtype = 0.0, np.dtype(np.uint8)
        for band in self.reader.bands():
            rgb_HWC = flatten(band) if on_white else covered(band)
            dtype = rgb_HWC.dtype
            narrow.append(_sideways(rgb_HWC, width))
            if band.alpha_HW is not None:
                opaque += float(band.alpha_HW.sum(dtype=np.uint64)) / white_of(band.alpha_HW)
            self._begun = min(0.4, self._begun + 0.4 * band.height / self.height)
            self._on_progress(self._begun)
        planes = [np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*narrow, strict=True)]
        size, box = (width, height), (0.0, 0.0, float(width), float(self.height))
        return _down([Image.fromarray(plane) for plane in planes], size, box, dtype), opaque / (
            self.height * self.width
        )

    def _scene(self, small_HWC: Pixels, result_HWC: Pixels) -> Generator[Picture]:
        before, after = (Stretched(image, self.height, self.width) for image in (small_HWC, result_HWC))
        count = max(1, int(self.memory_bytes / 2) // (self.width * _RELIGHT_BYTES))
        top = 0
        for band in self.reader.bands():
            shown_HWC = covered(band)
            for first in range(0, band.height, count):
                rgb_HWC = shown_HWC[first : first + count]
                alpha_HW = None if band.alpha_HW is None else band.alpha_HW[first : first + count]
                rows = top + first, top + first + len(rgb_HWC)
                yield Picture(relight(rgb_HWC, before.rows(*rows), after.rows(*rows)), alpha_HW)
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
    """Bands of rows from which overlapping parts can be taken, in order; what lies above is forgotten."""

    def __init__(self, bands: Iterator[Picture]) -> None:
        self._bands = bands
        self._parts: list[Picture] = []
        self._top = self._bottom = 0

    def rows(self, top: int, bottom: int) -> Picture:
        """Return rows `top` to `bottom`; `top` must not lie above that of the call before."""
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
    """A picture at a larger size, of which only the rows wanted are computed; as `resize` would compute all of it.

    image: (h, w) or (h, w, 3) uint8 or uint16; `height` and `width`: of the whole.
    """

    def __init__(self, image: Pixels, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._dtype = image.dtype
        self._planes = _sideways(image, width)

    def rows(self, top: int, bottom: int) -> Pixels:
        """Return rows `top` to `bottom` of the whole."""
        factor = self._planes[0].height / self._height
        box = (0.0, top * factor, float(self._width), bottom * factor)
        return _down(self._planes, (self._width, bottom - top), box, self._dtype)


def _sideways(image: Pixels, width: int) -> list[Image.Image]:
    """The first half of `resize`, as Pillow does it: to another width. 16 bits become floats, a plane a channel."""
    if image.dtype == np.uint8:
        planes = [image]
    else:
        planes = [image.astype(np.float32)] if image.ndim == 2 else list(np.moveaxis(image, 2, 0).astype(np.float32))
    size = (width, len(image))
    return [Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS) for plane in planes]


def _down(
    planes: list[Image.Image], size: tuple[int, int], box: tuple[float, float, float, float], dtype: Any
) -> Pixels:
    """The second half: from rows of `box` to another height."""
    found = [np.asarray(plane.resize(size, Image.Resampling.LANCZOS, box)) for plane in planes]
    if dtype == np.uint8:
        return found[0]
    result = np.clip(np.rint(np.stack(found, axis=-1)), 0, np.iinfo(dtype).max).astype(dtype)
    return result if len(found) > 1 else result[..., 0]


def _band(rgb_HWC: Pixels, alpha_HW: Pixels | None) -> Picture:
    bits = 16 if rgb_HWC.dtype == np.uint16 else 8
    return Picture(rgb_HWC, None if alpha_HW is None else to_bits(alpha_HW, bits))


def _nothing(share: float) -> None:
    pass
