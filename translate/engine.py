"""One .onnx file -> callable: image in, image out.

Array names carry their shape: N batch, H height, W width, C channels, S style. Pixels are uint8 in [0, 255], or uint16
in [0, 65535] where the model takes 16 bits.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from translate.batching import Batcher
from translate.cores import cores
from translate.errors import ConfigError, ImageError, ModelError
from translate.images import (
    BYTES_PER_DECODED_PIXEL,
    Picture,
    available_memory_bytes,
    covered,
    fit_size,
    flatten,
    grey,
    is_ink,
    relight,
    resize,
    to_bits,
    white_of,
)
from translate.knobs import Label, Style, graph_inputs
from translate.knobs import numbered_style as numbered_style
from translate.models import resolve
from translate.placement import Placement, content_share_of, frame_of, through_frame
from translate.session import Device, open_session, wants_memory
from translate.spec import IMAGE_REST, METADATA_KEY, RESULT_REST, ModelSpec
from translate.tiling import Plan, plan_windows, run_tiled, seam_note, seam_ratio, smallest_tile

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the variable's suffix says its shape."""

WHOLE_SHARE = 0.75
"""A picture goes through the model whole if that takes at most this share of the memory at hand."""

TILE_SHARE = 0.25
"""If not, in windows each of which takes at most this share."""

GPU_BATCH = 4
"""Windows or pictures that go through a GPU at once; on the CPU one at a time is as fast and needs the least memory."""

RESULT_BYTES = 12
"""Memory for each pixel of a result: colours, alpha, the two joined for writing, and Pillow's copy."""


class Engine:
    """A model, ready to run. One Engine may be called from several threads at once.

    `model`: name of a shipped model, or a path to a file written by `translate export`.
    `threads`: CPU threads of one call; None takes all cores. For many pictures at once, one thread per call and
    as many calls as cores is faster (see `translate.convert`).
    `device`: `auto` takes an NVIDIA GPU when there is one that works, `cuda` insists on it.
    `tile`: longest side in pixels of what goes through the model at once. None: a picture goes through whole where that
    takes at most `WHOLE_SHARE` of the memory, a larger one in windows that take `TILE_SHARE`; 0: always whole. Where a
    run fails for want of memory, the side is halved, for later pictures too, down to `smallest_tile`. Windows change
    nothing where the model's receptive field is bounded, see `exact` and `translate.tiling`. The memory is the
    machine's: what a GPU has shows only when a run fails.
    `batch`: windows, or pictures of several threads (see `translate.batching`), that go through at once; None is 1 on
    the CPU and `GPU_BATCH` on a GPU.

    Raises:
        ModelError: unknown or damaged model, no ModelSpec inside, or no usable GPU although `cuda` was asked for.
        ConfigError: `tile` is too small for the model, or `batch` is less than 1.
    """

    path: Path
    spec: ModelSpec
    device: Literal["cpu", "cuda"]
    tile: int | None
    batch: int
    at_once: int
    """Calls that run at the same time; others wait. On the CPU more than there are cores for would take memory and gain
    nothing."""
    memory_bytes: int
    """Memory available to pictures, measured when the Engine was made."""
    smallest_tile: int
    """Least side of windows that makes sense for the model."""

    def __init__(
        self,
        model: str | Path,
        *,
        threads: int | None = None,
        device: Device = "auto",
        tile: int | None = None,
        batch: int | None = None,
    ) -> None:
        self.path = resolve(str(model)) if isinstance(model, str) else model
        threads = threads or cores()
        self._session = open_session(self.path, threads, device)
        self.device = "cuda" if self._session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self.at_once = 2 * cores() if self.device == "cuda" else max(1, cores() // threads)
        self._turn = threading.BoundedSemaphore(self.at_once)
        metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise ModelError(
                f"{self.path}: an ONNX model, but it has no {METADATA_KEY}, so its use is unknown; "
                "make it with `translate export`"
            )
        self.spec = ModelSpec.from_json(metadata[METADATA_KEY], str(self.path))
        self._input_name: str = self._session.get_inputs()[0].name
        self._output_name: str = self._session.get_outputs()[0].name
        self._carries_rest = RESULT_REST in (one.name for one in self._session.get_outputs())
        self.memory_bytes = available_memory_bytes()
        self.smallest_tile = smallest_tile(self.spec.receptive_field, self.spec.size_multiple)
        if tile and tile < self.smallest_tile:
            raise ConfigError(
                f"tile is {tile}; {self.spec.name} needs {self.smallest_tile} pixels or more, "
                "or 0 to take every picture whole"
            )
        if batch is not None and batch < 1:
            raise ConfigError(f"batch is {batch}; give 1 or more")
        self.tile = tile
        self.batch = batch or (GPU_BATCH if self.device == "cuda" else 1)
        self._joined = Batcher(self._session_run, self.batch) if self.batch > 1 else self._session_run
        self._longest_side: float = math.inf
        """Longer windows have failed for want of memory."""

    @property
    def max_bits(self) -> Literal[8, 16]:
        """Bits a channel that go through the model without loss."""
        return 16 if self.spec.input_bits == 16 or self._carries_rest else 8

    def result_bits(self, bits: int) -> Literal[8, 16]:
        """Return the bits a channel of what becomes of a picture with `bits`."""
        return 16 if self.spec.output_bits == 16 or (bits == 16 and self._carries_rest) else 8

    @property
    def max_pixels(self) -> int:
        """Largest height * width of an input picture that fits in memory, together with its result.

        Only a model that must take pictures whole (`tile` 0) has to fit too, unless it shrinks them first
        (`working_size`, `scene_size`).
        """
        kept = BYTES_PER_DECODED_PIXEL + RESULT_BYTES * self.spec.scale**2
        shrinks = self.spec.working_size is not None or self.spec.scene_size is not None
        if self.tile == 0 and not shrinks:
            kept = max(kept, self.spec.bytes_per_pixel)
        return self.memory_bytes // kept

    def work_bytes(self, height: int, width: int) -> int:
        """Return the memory that `apply` needs for a picture of this size, about: the model's and the result's."""
        return self._run_bytes(self.plan(height, width)) + height * width * RESULT_BYTES * self.spec.scale**2

    def plan(self, height: int, width: int) -> Plan:
        """Return the windows in which `apply` will convert a picture of this size; one is the whole of it.

        They lie on what the model gets: the picture, or its smaller copy of `working_size` or `scene_size`.
        """
        return self._plan(*self._model_size(height, width), self.tile)

    def exact(self, height: int, width: int) -> bool:
        """Tell whether a picture of this size gets what one run over all of it gives, up to rounding (1 of 255)."""
        return self.spec.receptive_field is not None or self.plan(height, width).count == 1

    def caution(
        self, height: int, width: int, *, plan: Plan | None = None, result_HWC: Pixels | None = None
    ) -> str | None:
        """Return one line for the user about a picture of this size where the result is not `exact`, else None.

        `plan`: of who cuts the picture himself; None is that of `apply`. `result_HWC`: colours, whose seams are
        measured if windows lay on the picture itself.
        """
        plan = plan or self.plan(height, width)
        if self.spec.receptive_field is not None or plan.count == 1:
            return None
        caution = (
            f"{width} x {height} pixels do not fit through {self.spec.name} at once, which needs to see a picture "
            f"whole; {plan.count} windows fade into one another, look for colours that drift"
        )
        if result_HWC is None or self._model_size(height, width) != (height, width):
            return caution
        return caution + seam_note(seam_ratio(result_HWC, plan, scale=self.spec.scale))

    def __call__(
        self, image: Pixels, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
    ) -> Pixels:
        """Run the model as it is: (H, W, C) or (N, H, W, C) in, the same rank with H*scale, W*scale out.

        Large pictures go through in windows, as `tile` of the Engine says; nothing is resized.

        Args:
            image: uint8, or uint16 for a model with 16 bits, or that carries them (`max_bits`); for the result's type
                see `result_bits`.
            label: which kind to make; None is the first. For all pictures.
            style: `spec.style_size` numbers; None is the model's own. For all pictures.
            detail: 0 as faithful to 1 as sharp as can be; None is 0. For all pictures.

        Raises:
            ImageError: another type, shape or number of channels, too small, or too large for the memory.
            ConfigError: a label, style or detail that the model does not have.
        """
        channels, bits = self.spec.input_channels, self.spec.input_bits
        if image.dtype != f"uint{bits}" and not (image.dtype == np.uint16 and self._carries_rest):
            raise ImageError(
                f"picture array has type {image.dtype}, expected uint{bits} in 0..{2**bits - 1}; convert it first"
            )
        if image.ndim not in (3, 4) or image.shape[-1] != channels:
            raise ImageError(
                f"picture array has shape {image.shape}, expected (height, width, {channels}) "
                f"or (pictures, height, width, {channels}); reshape it"
            )
        knobs = self.knobs(label=label, style=style, detail=detail)
        self._check_size(*image.shape[-3:-1])
        if image.ndim == 4:
            return self._run(image, knobs, self.tile)
        return self._run(image[None], knobs, self.tile)[0]

    def knobs(
        self, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the graph inputs that these choices mean, see `translate.knobs`.

        Raises:
            ConfigError: the model does not have them.
        """
        return graph_inputs(self.spec, label=label, style=style, detail=detail)

    def apply(
        self,
        picture: Picture,
        *,
        label: Label | None = None,
        style: Style | None = None,
        detail: float | None = None,
        framing: Placement = "auto",
    ) -> Picture:
        """Convert a picture of any size the model can use; the result is `spec.scale` times as large.

        Models with a `working_size` see the whole picture at that size, laid on white, and the result is
        resized back, see `sheet`. Models with a `scene_size` change larger pictures at that size and keep their fine
        detail. Other models run at full size on the colours, in windows where the picture is too large (see `plan`).
        Alpha is kept, resized by `scale`, with one exception: lines drawn on a transparent sheet (see
        `translate.images.is_ink`) are taken as lines on white paper, for keeping that alpha would cut the photo down
        to the pen strokes.

        What alpha hides does not bleed into the edges (see `translate.images.covered`).

        Models of one channel are given the picture's grey, and their grey is returned as three equal channels. The
        result has the bits that the model returns (see `result_bits`); what else the picture says (profile, EXIF,
        notes) is passed on.
        `label`, `style` and `detail` are those of a call, `framing` is that of `sheet`.

        Raises:
            ImageError: the picture is too small, too narrow, or too large for the memory, or the model works with
                other channels than a Picture has.
            ConfigError: a label, style or detail that the model does not have.
        """
        self.check_format()
        knobs = self.knobs(label=label, style=style, detail=detail)
        scale = self.spec.scale
        height, width = picture.height, picture.width
        self._check_size(height, width)
        try:
            alpha_HW = picture.alpha_HW
            if alpha_HW is not None:
                alpha_HW = resize(alpha_HW, height * scale, width * scale)
            if self.spec.working_size is None:
                return _finished(picture, self._scene(covered(picture), knobs), alpha_HW)
            if alpha_HW is not None and is_ink(alpha_HW.mean() / white_of(alpha_HW)):
                alpha_HW = None
            return _finished(picture, self.sheet(flatten(picture), knobs, framing), alpha_HW)
        except MemoryError:
            raise _too_large(height, width) from None

    def sheet(self, rgb_HWC: Pixels, knobs: Mapping[str, NDArray[Any]], framing: Placement) -> Pixels:
        """Run a model with a `working_size` on a picture of any size.

        Args:
            rgb_HWC: (H, W, 3) uint8 or uint16.
            knobs: what `knobs` returns.
            framing: auto brings what is drawn small to the size at which the model knows things, see
                `translate.placement`; off takes the whole picture as it is.

        Returns:
            (H * scale, W * scale, 3) with the bits that the model returns.

        Raises:
            ImageError: too narrow for the `working_size`.
        """
        height, width = rgb_HWC.shape[:2]
        size, scale = self.model_size(height, width), self.spec.scale
        frame = frame_of(rgb_HWC, content_share_of(self.spec)) if framing == "auto" else None
        if frame is not None and self.spec.working_size is not None:
            return through_frame(
                rgb_HWC, frame, self.spec.working_size, scale, lambda crop_SSC: self.colours(crop_SSC, knobs)
            )
        return resize(self.colours(resize(rgb_HWC, *size), knobs), height * scale, width * scale)

    def _scene(self, rgb_HWC: Pixels, knobs: Mapping[str, NDArray[Any]]) -> Pixels:
        """Pictures beyond the size of the scenes that were learnt are changed at that size."""
        size = self.model_size(*rgb_HWC.shape[:2])
        if size == rgb_HWC.shape[:2]:
            return self.colours(rgb_HWC, knobs)
        small_HWC = resize(rgb_HWC, *size)
        return relight(rgb_HWC, small_HWC, self.colours(small_HWC, knobs))

    def model_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width at which the model gets a picture: of `working_size` or `scene_size`, or its own.

        Raises:
            ImageError: too narrow for the `working_size`.
        """
        size = self._model_size(height, width)
        if self.spec.working_size is not None and min(size) < self.spec.min_size:
            raise ImageError(
                f"picture of {width} x {height} pixels is too narrow for this model; crop it to a shape nearer "
                "to a square"
            )
        return size

    def _model_size(self, height: int, width: int) -> tuple[int, int]:
        if self.spec.working_size is not None:
            return fit_size(height, width, self.spec.working_size)
        factor = min(1.0, (self.spec.scene_size or math.inf) / min(height, width))
        return round(height * factor), round(width * factor)

    def colours(self, rgb_HWC: Pixels, knobs: Mapping[str, NDArray[Any]], *, tile: int | None = None) -> Pixels:
        """Run the model on colours of any bits, also where it knows only grey; nothing is checked.

        Args:
            rgb_HWC: (H, W, 3) uint8 or uint16.
            knobs: what `knobs` returns.
            tile: instead of the Engine's own.

        Returns:
            (H * scale, W * scale, 3) with the bits that the model returns, see `result_bits`.
        """
        deep = self.spec.input_bits == 16 or (rgb_HWC.dtype == np.uint16 and self._carries_rest)
        image_HWC = to_bits(rgb_HWC, 16 if deep else 8)
        if self.spec.input_channels == 1:
            image_HWC = grey(image_HWC)
        result_HWC = self._run(image_HWC[None], knobs, self.tile if tile is None else tile)[0]
        return np.repeat(result_HWC, 3, axis=2) if self.spec.output_channels == 1 else result_HWC

    def check_format(self) -> None:
        """Refuse models of other channels than pictures have.

        Raises:
            ImageError: not 1 or 3 channels in and out.
        """
        spec = self.spec
        for verb, channels in (("takes", spec.input_channels), ("returns", spec.output_channels)):
            if channels not in (1, 3):
                raise ImageError(
                    f"{spec.name} {verb} {channels} channels, pictures here have 1 or 3; "
                    "call its Engine from Python with arrays"
                )

    def check_least(self, height: int, width: int) -> None:
        """Refuse pictures that are too small for the model.

        Raises:
            ImageError: it is.
        """
        if min(height, width) < self.spec.min_size:
            raise ImageError(
                f"picture of {width} x {height} pixels is too small, this model needs at least "
                f"{self.spec.min_size} x {self.spec.min_size}; use a larger one"
            )

    def _check_size(self, height: int, width: int) -> None:
        self.check_least(height, width)
        if height * width > self.max_pixels or self._run_bytes(self.plan(height, width)) > self.memory_bytes:
            raise _too_large(height, width)

    def _plan(self, height: int, width: int, tile: int | None) -> Plan:
        """Windows over what the model gets."""
        area = self.spec.bytes_per_pixel
        if tile is None and height * width * area <= WHOLE_SHARE * self.memory_bytes:
            side = max(height, width)
        else:
            side = tile if tile is not None else math.isqrt(int(TILE_SHARE * self.memory_bytes / area))
        if tile != 0:
            side = max(self.smallest_tile, int(min(side, self._longest_side)))
        return plan_windows(
            height, width, side, multiple=self.spec.size_multiple, receptive_field=self.spec.receptive_field
        )

    def _run_bytes(self, plan: Plan) -> int:
        height, width = plan.largest
        return height * width * self.spec.bytes_per_pixel * (1 if plan.count == 1 else self.batch)

    def _run(self, image_NHWC: Pixels, knobs: Mapping[str, NDArray[Any]], tile: int | None) -> Pixels:
        """Run the model in windows as large as they may be, and in smaller ones where these fail."""
        height, width = image_NHWC.shape[1:3]
        most = len(image_NHWC) * self.batch

        def run(windows_NHWC: Pixels) -> Pixels:
            return self._joined(windows_NHWC, knobs)

        while True:
            plan = self._plan(height, width, tile)
            batch = self.batch
            if plan.count == 1:  # pictures that were given as one batch go through as one where it fits
                batch = max(1, int(WHOLE_SHARE * self.memory_bytes) // (self._run_bytes(plan) or 1))
            batch = min(batch, most)
            try:
                return run_tiled(image_NHWC, run, plan, scale=self.spec.scale, batch=batch)
            except MemoryError:
                side = max(plan.largest)
                if batch > 1:
                    most = 1
                elif tile == 0 or side <= self.smallest_tile:
                    raise _too_large(height, width) from None
                else:
                    self._longest_side = min(self._longest_side, side // 2)

    def _session_run(self, image_NHWC: Pixels, knobs: Mapping[str, NDArray[Any]]) -> Pixels:
        try:
            if image_NHWC.dtype == np.uint16 and self._carries_rest:
                return self._run_deep(image_NHWC, knobs)
            with self._turn:
                return self._session.run([self._output_name], {self._input_name: image_NHWC, **knobs})[0]
        except Exception as error:
            if wants_memory(error):
                raise MemoryError from None
            raise

    def _run_deep(self, image_NHWC: Pixels, knobs: Mapping[str, NDArray[Any]]) -> Pixels:
        """16 bits as 8 and what is left, see `translate.spec.IMAGE_REST`."""
        rough_NHWC = np.stack([to_bits(image_HWC, 8) for image_HWC in image_NHWC])
        rest_NHWC = (image_NHWC - rough_NHWC.astype(np.uint16) * np.uint16(257)).view(np.int16)
        inputs = {self._input_name: rough_NHWC, IMAGE_REST: rest_NHWC, **knobs}
        with self._turn:
            result_NHWC, left_NHWC = self._session.run([self._output_name, RESULT_REST], inputs)
        return result_NHWC.astype(np.uint16) * np.uint16(257) + left_NHWC.view(np.uint16)


def _too_large(height: int, width: int) -> ImageError:
    return ImageError(
        f"picture of {width} x {height} pixels does not fit in the free memory for this model; "
        "make it smaller, close other programs or use a machine with more memory"
    )


def _finished(picture: Picture, rgb_HWC: Pixels, alpha_HW: Pixels | None) -> Picture:
    """The result, with what else the picture says."""
    if alpha_HW is not None:
        alpha_HW = to_bits(alpha_HW, 16 if rgb_HWC.dtype == np.uint16 else 8)
    return replace(picture, rgb_HWC=rgb_HWC, alpha_HW=alpha_HW)
