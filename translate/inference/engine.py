"""Turns one .onnx file into a callable: image in, image out.

Array names carry their shape: N batch, H height, W width, C channels, S style. Pixels are uint8 in [0, 255], or uint16
in [0, 65535] if the model takes 16 bits.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from translate.errors import ConfigError, ImageError
from translate.inference.batching import Batcher
from translate.inference.controls import Label, Style, check_strength, default_inputs, graph_inputs
from translate.inference.devices import GPUS, TENSORRT_SIDE, Device, Started, Window
from translate.inference.model_file import read_onnx
from translate.inference.models import resolve
from translate.inference.placement import Placement, content_share_of, frame_of, through_frame
from translate.inference.session import Session
from translate.inference.tiling import Plan, blend_note, continued, plan_windows, run_tiled, seam_ratio, smallest_tile
from translate.machine import available_memory_bytes, cores
from translate.pictures.operations import (
    BYTES_PER_DECODED_PIXEL,
    Picture,
    Pixels,
    covered,
    fit_size,
    flatten,
    grey,
    is_ink,
    mixed,
    relight,
    resize,
    shrink,
    to_bits,
    white_of,
)
from translate.spec import ModelSpec

WHOLE_SHARE = 0.75
"""A picture is processed whole if that takes at most this fraction of the available memory."""

TILE_SHARE = 0.25
"""Otherwise it is processed in windows that each take at most this fraction."""

GPU_BATCH = 4
"""Batch size on a GPU, in windows or pictures; on the CPU, one at a time is as fast and needs the least memory."""

RESULT_BYTES = 12
"""Memory per pixel of a result: colours, alpha, both combined for writing, and Pillow's copy."""


class Engine:
    """A model, ready to run. Thread-safe: an Engine may be called from several threads at once.

    `model`: name of a shipped model, or a path to a file written by `translate export`.
    `threads`: CPU threads per call; None uses all cores. For many pictures at once, one thread per call and as many
    calls as cores is faster (see `translate.conversion.folder`).
    `device`: see `translate.inference.devices`; `auto` uses a GPU if a working one is available.
    `tile`: maximum side in pixels of the model's input. None: a picture is processed whole if that takes at most
    `WHOLE_SHARE` of the memory, a larger one in windows that take `TILE_SHARE`; 0: always whole. If a run is out of
    memory, the side is halved, for later pictures too, down to `smallest_tile`. If the model's receptive field is
    bounded, windows do not change the result, see `exact` and `translate.inference.tiling`. Memory means main memory:
    GPU memory is only noticed when a run fails. TensorRT has to know a largest side; None is `TENSORRT_SIDE` there.
    `batch`: number of windows, or of pictures from several threads (see `translate.inference.batching`), per run; None
    is 1 on the CPU and `GPU_BATCH` on a GPU.

    Raises:
        ModelError: unknown or damaged model, no ModelSpec inside, or the device that was asked for did not start.
        ConfigError: `tile` is too small for the model or the device, or `batch` is less than 1.
    """

    path: Path
    spec: ModelSpec
    device: Started
    device_why: str
    """One line about the choice of the device."""
    tile: int | None
    batch: int
    at_once: int
    """Maximum number of concurrent runs; other calls wait. On the CPU, more runs than cores would only take memory."""
    memory_bytes: int
    """Memory available for pictures, measured when the Engine was created."""
    smallest_tile: int
    """Smallest useful side of a window for the model."""

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
        if isinstance(model, Path) and model.is_file():
            read_onnx(model)  # it may come from anywhere
        if batch is not None and batch < 1:
            raise ConfigError(f"batch is {batch}; give 1 or more")
        window = Window(batch or GPU_BATCH, TENSORRT_SIDE if tile is None else tile)
        self._session = Session(self.path, threads or cores(), device, window)
        self.device, self.at_once = self._session.device, self._session.at_once
        self.device_why = self._session.why
        self.spec = ModelSpec.from_metadata(self._session.metadata, str(self.path))
        self.memory_bytes = available_memory_bytes()
        self.smallest_tile = smallest_tile(self.spec.receptive_field, self.spec.size_multiple)
        if tile and tile < self.smallest_tile:
            raise ConfigError(
                f"tile is {tile}; {self.spec.name} needs {self.smallest_tile} pixels or more, or 0 to disable tiling"
            )
        self.tile = tile
        self.batch = batch or (GPU_BATCH if self.device in GPUS else 1)
        self._joined = Batcher(self._session.run, self.batch) if self.batch > 1 else self._session.run
        self._longest_side: float = self._session.window.side if self._session.window else math.inf
        """Windows with longer sides have run out of memory, or the device does not take them."""

    @property
    def max_bits(self) -> Literal[8, 16]:
        """Bits per channel that the model processes without loss."""
        return 16 if self.spec.input_bits == 16 or self._session.carries_rest else 8

    def result_bits(self, bits: int) -> Literal[8, 16]:
        """Return the bits per channel of the result for a picture with `bits`."""
        return 16 if self.spec.output_bits == 16 or (bits == 16 and self._session.carries_rest) else 8

    @property
    def max_pixels(self) -> int:
        """Maximum height * width of an input picture that fits in memory together with its result.

        The working memory of the model counts only if it must process pictures whole (`tile` 0) and does not shrink
        them first (`working_size`, `scene_size`).
        """
        kept = BYTES_PER_DECODED_PIXEL + RESULT_BYTES * self.spec.scale**2
        shrinks = self.spec.working_size is not None or self.spec.scene_size is not None
        if self.tile == 0 and not shrinks:
            kept = max(kept, self.spec.bytes_per_pixel)
        return self.memory_bytes // kept

    def work_bytes(self, height: int, width: int) -> int:
        """Return the approximate memory that `apply` needs for a picture of this size: for the model and the result."""
        return self._run_bytes(self.plan(height, width)) + height * width * RESULT_BYTES * self.spec.scale**2

    def plan(self, height: int, width: int) -> Plan:
        """Return the windows in which `apply` will convert a picture of this size; a single one covers all of it.

        They refer to the input of the model: the picture, or its smaller copy of `working_size` or `scene_size`.
        """
        return self._plan(*self.model_size(height, width), self.tile)

    def exact(self, height: int, width: int) -> bool:
        """Whether the result for a picture of this size equals that of a single run, up to rounding (1 of 255)."""
        return self.spec.receptive_field is not None or self.plan(height, width).count == 1

    def caution(
        self, height: int, width: int, *, plan: Plan | None = None, result_HWC: Pixels | None = None
    ) -> str | None:
        """Return one line for the user if the result for a picture of this size is not `exact`, else None.

        `plan`: for callers that tile the picture themselves; None is the plan of `apply`. `result_HWC`: colours, whose
        seams are measured if the picture itself was tiled.
        """
        plan = plan or self.plan(height, width)
        if self.spec.receptive_field is not None or plan.count == 1:
            return None
        ratio = None
        if result_HWC is not None and self.model_size(height, width) == (height, width):
            ratio = seam_ratio(result_HWC, plan, scale=self.spec.scale)
        return blend_note(self.spec.name, height, width, plan, ratio)

    def __call__(
        self, image: Pixels, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
    ) -> Pixels:
        """Run the model as it is: (H, W, C) or (N, H, W, C) in, the same rank with H*scale, W*scale out.

        Large pictures are processed in windows, according to the Engine's `tile`; nothing is resized.

        Args:
            image: uint8, or uint16 for a model that processes 16 bits (`max_bits`); for the type of the result see
                `result_bits`.
            label: class label to generate, for all pictures; None is the first.
            style: `spec.style_size` numbers, for all pictures; None is the model's default.
            detail: from 0 (most faithful) to 1 (sharpest), for all pictures; None is 0.

        Raises:
            ImageError: wrong type, shape or number of channels, or too large for the memory.
            ConfigError: the model lacks a label, style or detail.
        """
        channels, bits = self.spec.input_channels, self.spec.input_bits
        if image.dtype != f"uint{bits}" and not (image.dtype == np.uint16 and self._session.carries_rest):
            raise ImageError(
                f"picture array has type {image.dtype}, expected uint{bits} in 0..{2**bits - 1}; convert it first"
            )
        if image.ndim not in (3, 4) or image.shape[-1] != channels:
            raise ImageError(
                f"picture array has shape {image.shape}, expected (height, width, {channels}) "
                f"or (pictures, height, width, {channels}); reshape it"
            )
        controls = self.controls(label=label, style=style, detail=detail)
        self._check_size(*image.shape[-3:-1])
        if image.ndim == 4:
            return self._run(image, controls, self.tile)
        return self._run(image[None], controls, self.tile)[0]

    def controls(
        self, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the graph inputs for these controls, see `translate.inference.controls`.

        Controls that are not given are left out, unless the graph requires them.

        Raises:
            ConfigError: the model does not have them.
        """
        given = graph_inputs(self.spec, label=label, style=style, detail=detail)
        defaults = default_inputs(self.spec)
        return {**{name: defaults[name] for name in defaults if name in self._session.required}, **given}

    def apply(
        self,
        picture: Picture,
        *,
        label: Label | None = None,
        style: Style | None = None,
        detail: float | None = None,
        framing: Placement = "auto",
        strength: float = 1.0,
    ) -> Picture:
        """Convert a picture of any supported size; the result is `spec.scale` times as large.

        Models with a `working_size` run on the whole picture, composited on white and resized to that size, and the
        result is resized back, see `sheet`. Models with a `scene_size` change larger pictures at that size and keep
        their fine detail. Other models run on the colours at full size, in windows if the picture is too large (see
        `plan`). Alpha is kept, resized by `scale`, with one exception: lines drawn on a transparent sheet (see
        `translate.pictures.operations.is_ink`) are treated as lines on white paper, since keeping their alpha would
        reduce the photo to the pen strokes.

        Colours hidden by alpha do not bleed into visible edges (see `translate.pictures.operations.covered`).

        Single-channel models get the picture in greyscale, and their result is returned as three equal channels. The
        result has the bit depth that the model returns (see `result_bits`); profile, EXIF and notes are passed on.
        `label`, `style` and `detail`: as for calling the Engine; `framing`: as for `sheet`; `strength`: below 1, the
        result is mixed with the picture, see `translate.pictures.operations.mixed`.

        Raises:
            ImageError: the picture is too large for the memory, or the model has a number of channels that a Picture
                cannot have.
            ConfigError: the model lacks a label, style or detail, or its results cannot be mixed with the picture.
        """
        self.check_format()
        check_strength(strength, self.spec)
        controls = self.controls(label=label, style=style, detail=detail)
        scale = self.spec.scale
        height, width = picture.height, picture.width
        self._check_size(height, width)
        try:
            alpha_HW = picture.alpha_HW
            if alpha_HW is not None:
                alpha_HW = resize(alpha_HW, height * scale, width * scale)
            if self.spec.working_size is None:
                given_HWC = covered(picture)
            else:
                if alpha_HW is not None and is_ink(alpha_HW.mean() / white_of(alpha_HW)):
                    alpha_HW = None
                given_HWC = flatten(picture)
            result_HWC = self._changed(given_HWC, controls, framing)
            if strength < 1.0:
                result_HWC = mixed(given_HWC, result_HWC, strength)
            return _finished(picture, result_HWC, alpha_HW)
        except MemoryError:
            raise _too_large(height, width) from None

    def _changed(self, rgb_HWC: Pixels, controls: Mapping[str, NDArray[Any]], framing: Placement) -> Pixels:
        """The colours of a picture -> those of the result, (H * scale, W * scale, 3), before they are mixed."""
        if self.spec.working_size is None:
            return self._scene(rgb_HWC, controls)
        return self.sheet(rgb_HWC, controls, framing)

    def sheet(self, rgb_HWC: Pixels, controls: Mapping[str, NDArray[Any]], framing: Placement) -> Pixels:
        """Run a model with a `working_size` on a picture of any size.

        Args:
            rgb_HWC: (H, W, 3) uint8 or uint16.
            controls: the result of `controls`.
            framing: auto scales small drawings to the size that the model was trained on, see
                `translate.inference.placement`; off uses the whole picture as it is.

        Returns:
            (H * scale, W * scale, 3) with the bit depth that the model returns.
        """
        height, width = rgb_HWC.shape[:2]
        size, scale = self.model_size(height, width), self.spec.scale
        frame = frame_of(rgb_HWC, content_share_of(self.spec)) if framing == "auto" else None
        if frame is not None and self.spec.working_size is not None:
            return through_frame(
                rgb_HWC, frame, self.spec.working_size, scale, lambda crop_SSC: self.colours(crop_SSC, controls)
            )
        return resize(self.colours(resize(rgb_HWC, *size), controls), height * scale, width * scale)

    def _scene(self, rgb_HWC: Pixels, controls: Mapping[str, NDArray[Any]]) -> Pixels:
        """Change pictures larger than the training scenes at the size of those scenes."""
        size = self.model_size(*rgb_HWC.shape[:2])
        if size == rgb_HWC.shape[:2]:
            return self.colours(rgb_HWC, controls)
        small_HWC = shrink(rgb_HWC, *size)
        return relight(rgb_HWC, small_HWC, self.colours(small_HWC, controls))

    def model_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the model's input: by `working_size` or `scene_size`, or the picture's own."""
        if self.spec.working_size is not None:
            return fit_size(height, width, self.spec.working_size)
        factor = min(1.0, (self.spec.scene_size or math.inf) / min(height, width))
        return round(height * factor), round(width * factor)

    def colours(self, rgb_HWC: Pixels, controls: Mapping[str, NDArray[Any]], *, tile: int | None = None) -> Pixels:
        """Run the model on colours of any bit depth, converting to greyscale if necessary; nothing is validated.

        Args:
            rgb_HWC: (H, W, 3) uint8 or uint16.
            controls: the result of `controls`.
            tile: overrides the Engine's `tile`.

        Returns:
            (H * scale, W * scale, 3) with the bit depth that the model returns, see `result_bits`.
        """
        deep = self.spec.input_bits == 16 or (rgb_HWC.dtype == np.uint16 and self._session.carries_rest)
        image_HWC = to_bits(rgb_HWC, 16 if deep else 8)
        if self.spec.input_channels == 1:
            image_HWC = grey(image_HWC)
        result_HWC = self._run(image_HWC[None], controls, self.tile if tile is None else tile)[0]
        return np.repeat(result_HWC, 3, axis=2) if self.spec.output_channels == 1 else result_HWC

    def check_format(self) -> None:
        """Reject models with a number of channels that pictures cannot have.

        Raises:
            ImageError: input or output does not have 1 or 3 channels.
        """
        spec = self.spec
        for verb, channels in (("takes", spec.input_channels), ("returns", spec.output_channels)):
            if channels not in (1, 3):
                raise ImageError(
                    f"{spec.name} {verb} {channels} channels, but picture files have 1 or 3; "
                    "call its Engine from Python with arrays"
                )

    def _check_size(self, height: int, width: int) -> None:
        if not height or not width:
            raise ImageError(f"picture of {width} x {height} pixels is empty; give at least one pixel")
        if height * width > self.max_pixels or self._run_bytes(self.plan(height, width)) > self.memory_bytes:
            raise _too_large(height, width)

    def _plan(self, height: int, width: int, tile: int | None) -> Plan:
        """Windows over the input of the model."""
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

    def _run(self, image_NHWC: Pixels, controls: Mapping[str, NDArray[Any]], tile: int | None) -> Pixels:
        """Run the model in windows that are as large as possible, and in smaller ones if these run out of memory.

        Pictures smaller than the model's `min_size` are continued at the right and at the bottom; the result is cut.
        """
        height, width = image_NHWC.shape[1:3]
        if min(height, width) < self.spec.min_size:
            result_NHWC = self._run(continued(image_NHWC, self.spec.min_size), controls, tile)
            return result_NHWC[:, : height * self.spec.scale, : width * self.spec.scale]
        most = len(image_NHWC) * self.batch

        def run(windows_NHWC: Pixels) -> Pixels:
            return self._joined(windows_NHWC, controls)

        while True:
            plan = self._plan(height, width, tile)
            batch = self.batch
            # A batch given by the caller is run as one if it fits in memory, and if the device takes any size.
            if plan.count == 1 and self._session.window is None:
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


def _too_large(height: int, width: int) -> ImageError:
    return ImageError(
        f"picture of {width} x {height} pixels does not fit in the free memory for this model; "
        "make it smaller, close other programs, or use a machine with more memory"
    )


def _finished(picture: Picture, rgb_HWC: Pixels, alpha_HW: Pixels | None) -> Picture:
    """The result, with the metadata of the picture."""
    if alpha_HW is not None:
        alpha_HW = to_bits(alpha_HW, 16 if rgb_HWC.dtype == np.uint16 else 8)
    return replace(picture, rgb_HWC=rgb_HWC, alpha_HW=alpha_HW)
