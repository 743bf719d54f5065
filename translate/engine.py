"""One .onnx file -> callable: image in, image out.

Array names carry their shape: N batch, H height, W width, C channels, S style. Pixels are uint8 in [0, 255], or uint16
in [0, 65535] where the model's ModelSpec says 16 bits.
"""

import contextlib
import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from PIL import Image

from translate.cores import cores
from translate.errors import ConfigError, ImageError, ModelError, nearest
from translate.images import (
    BYTES_PER_DECODED_PIXEL,
    Picture,
    available_memory_bytes,
    fit_size,
    flatten,
    relight,
    resize,
)
from translate.models import resolve
from translate.spec import METADATA_KEY, ModelSpec

Device = Literal["auto", "cpu", "cuda"]

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the variable's suffix says its shape."""

Label = str | int
"""Name of a kind that the model can make, or its number."""

Style = Sequence[float] | NDArray[Any]
"""The S numbers that choose among many results, standard normal; zeros are the middle."""

INK_SHARE = 0.25
"""Lines cover less of a sheet than this; a cut-out picture covers more."""

_ort: Any = _onnxruntime  # it ships no type hints
_FATAL_ONLY = 4


class Engine:
    """A model, ready to run. One Engine may be called from several threads at once.

    `model`: name of a shipped model, or a path to a file written by `translate export`.
    `threads`: CPU threads of one call; None takes all cores. For many pictures at once, one thread per call and
    as many calls as cores is faster (see `translate.convert`).
    `device`: `auto` takes an NVIDIA GPU when there is one that works, `cuda` insists on it.

    Raises:
        ModelError: unknown or damaged model, no ModelSpec inside, or no usable GPU although `cuda` was asked for.
    """

    path: Path
    spec: ModelSpec
    device: Literal["cpu", "cuda"]
    memory_bytes: int
    """Memory available to pictures, measured when the Engine was made."""

    def __init__(self, model: str | Path, *, threads: int | None = None, device: Device = "auto") -> None:
        self.path = resolve(str(model)) if isinstance(model, str) else model
        self._session = _open_session(self.path, threads or cores(), device)
        self.device = "cuda" if self._session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise ModelError(
                f"{self.path}: an ONNX model, but it has no {METADATA_KEY}, so its use is unknown; "
                "make it with `translate export`"
            )
        self.spec = ModelSpec.from_json(metadata[METADATA_KEY], str(self.path))
        self._input_name: str = self._session.get_inputs()[0].name
        self.memory_bytes = available_memory_bytes()

    @property
    def max_pixels(self) -> int:
        """Largest height * width of an input picture that fits in memory.

        A model with a `working_size` or `scene_size` shrinks its input first, so only decoding counts.
        """
        if self.spec.working_size is not None or self.spec.scene_size is not None:
            return self.memory_bytes // BYTES_PER_DECODED_PIXEL
        return self.memory_bytes // max(self.spec.bytes_per_pixel, BYTES_PER_DECODED_PIXEL)

    def work_bytes(self, height: int, width: int) -> int:
        """Return the memory that `apply` needs for a picture of this size, about."""
        if self.spec.working_size is not None:
            height, width = fit_size(height, width, self.spec.working_size)
        elif self.spec.scene_size is not None:
            height, width = self._scene_sides(height, width)
        return height * width * self.spec.bytes_per_pixel

    def __call__(
        self, image: Pixels, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
    ) -> Pixels:
        """Run the model as it is: (H, W, C) or (N, H, W, C) in, the same rank with H*scale, W*scale out.

        Args:
            image: uint8, or uint16 for a model with 16 bits; the result has the type of the model's `output_bits`.
            label: which kind to make; None is the first. For all pictures.
            style: `spec.style_size` numbers; None is the model's own. For all pictures.
            detail: 0 as faithful to 1 as sharp as can be; None is 0. For all pictures.

        Raises:
            ImageError: another type, shape or number of channels, too small, or too large for the memory.
            ConfigError: a label, style or detail that the model does not have.
        """
        channels, bits = self.spec.input_channels, self.spec.input_bits
        if image.dtype != f"uint{bits}":
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
            return self._run(image, knobs)
        return self._run(image[None], knobs)[0]

    def knobs(
        self, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the graph inputs that these choices mean: `label` int64 (1,), `style` float32 (1, S), `detail` (1,).

        Raises:
            ConfigError: the model has no labels, styles or detail, not this label, styles of another length, or detail
                is not in 0..1.
        """
        found: dict[str, NDArray[Any]] = {}
        if label is not None:
            found["label"] = np.array([self._label_number(label)])
        if style is not None:
            size = self.spec.style_size
            if not size:
                raise ConfigError(f"{self.spec.name} has one result for every picture and no styles; leave style out")
            style_S = np.asarray(style, np.float32)
            if style_S.shape != (size,):
                raise ConfigError(
                    f"style has shape {style_S.shape}, {self.spec.name} takes ({size},); give {size} numbers"
                )
            found["style"] = style_S[None]
        if detail is not None:
            if not self.spec.detail:
                raise ConfigError(f"{self.spec.name} has one sharpness and no detail to choose; leave detail out")
            if not 0.0 <= detail <= 1.0:  # nan is refused too
                raise ConfigError(f"detail is {detail}; give 0 (as faithful as can be) to 1 (as sharp as can be)")
            found["detail"] = np.array([detail], np.float32)
        return found

    def _label_number(self, label: Label) -> int:
        names = self.spec.labels
        if not names:
            raise ConfigError(f"{self.spec.name} makes one kind of picture and has no labels; leave label out")
        if isinstance(label, str):
            if label in names:
                return names.index(label)
        elif 0 <= label < len(names):
            return label
        raise ConfigError(f"{self.spec.name} has no label {label!r}; {nearest(str(label), names)}")

    def apply(
        self, picture: Picture, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
    ) -> Picture:
        """Convert a picture of any size the model can use; the result is `spec.scale` times as large.

        Models with a `working_size` see the whole picture at that size, laid on white, and the result is
        resized back. Models with a `scene_size` change larger pictures at that size and keep their fine detail. Other
        models run at full size on the colours. Alpha is kept, resized by `scale`, with
        one exception: lines drawn on a transparent sheet (less than `INK_SHARE` of it opaque) are taken as
        lines on white paper, for keeping that alpha would cut the photo down to the pen strokes.

        Models of one channel are given the picture's grey, and their grey is returned as three equal channels.
        `label`, `style` and `detail` are those of a call.

        Raises:
            ImageError: the picture is too small, too narrow, or too large for the memory, or the model works with
                other channels or more bits than a Picture has.
            ConfigError: a label, style or detail that the model does not have.
        """
        self._check_format()
        knobs = self.knobs(label=label, style=style, detail=detail)
        scale = self.spec.scale
        height, width = picture.height, picture.width
        self._check_size(height, width)
        try:
            alpha_HW = picture.alpha_HW
            if alpha_HW is not None:
                alpha_HW = resize(alpha_HW, height * scale, width * scale)
            if self.spec.working_size is None:
                return Picture(self._scene(picture.rgb_HWC, knobs), alpha_HW)
            if alpha_HW is not None and alpha_HW.mean() < 255 * INK_SHARE:
                alpha_HW = None
            small_height, small_width = fit_size(height, width, self.spec.working_size)
            if min(small_height, small_width) < self.spec.min_size:
                raise ImageError(
                    f"picture of {width} x {height} pixels is too narrow for this model; crop it to a shape nearer "
                    "to a square"
                )
            small_HWC = resize(flatten(picture), small_height, small_width)
            result_HWC = self._rgb(small_HWC, knobs)
            return Picture(resize(result_HWC, height * scale, width * scale), alpha_HW)
        except MemoryError:
            raise _too_large(height, width) from None

    def _scene(self, rgb_HWC: Pixels, knobs: Mapping[str, NDArray[Any]]) -> Pixels:
        """Pictures beyond the size of the scenes that were learnt are changed at that size."""
        height, width = rgb_HWC.shape[:2]
        if self._scene_sides(height, width) == (height, width):
            return self._rgb(rgb_HWC, knobs)
        small_HWC = resize(rgb_HWC, *self._scene_sides(height, width))
        return relight(rgb_HWC, small_HWC, self._rgb(small_HWC, knobs))

    def _scene_sides(self, height: int, width: int) -> tuple[int, int]:
        factor = min(1.0, (self.spec.scene_size or math.inf) / min(height, width))
        return round(height * factor), round(width * factor)

    def _rgb(self, rgb_HWC: Pixels, knobs: Mapping[str, NDArray[Any]]) -> Pixels:
        """Colours in and out, also where the model knows only grey."""
        if self.spec.input_channels == 1:
            # BT.601, as training pictures become grey.
            rgb_HWC = np.asarray(Image.fromarray(rgb_HWC).convert("L"))[..., None]
        result_HWC = self._run(rgb_HWC[None], knobs)[0]
        return np.repeat(result_HWC, 3, axis=2) if self.spec.output_channels == 1 else result_HWC

    def _check_format(self) -> None:
        spec = self.spec
        for verb, channels, bits in (
            ("takes", spec.input_channels, spec.input_bits),
            ("returns", spec.output_channels, spec.output_bits),
        ):
            if channels not in (1, 3) or bits != 8:
                raise ImageError(
                    f"{spec.name} {verb} {channels} channel{'' if channels == 1 else 's'} of {bits} bits, "
                    "pictures here have 3 of 8; call its Engine from Python with arrays"
                )

    def _check_size(self, height: int, width: int) -> None:
        if min(height, width) < self.spec.min_size:
            raise ImageError(
                f"picture of {width} x {height} pixels is too small, this model needs at least "
                f"{self.spec.min_size} x {self.spec.min_size}; use a larger one"
            )
        if height * width > self.max_pixels:
            raise _too_large(height, width)

    def _run(self, image_NHWC: Pixels, knobs: Mapping[str, NDArray[Any]]) -> Pixels:
        try:
            return self._session.run(None, {self._input_name: image_NHWC, **knobs})[0]
        except Exception as error:
            # ONNX Runtime has no error type of its own for want of memory, neither on the CPU nor on the GPU.
            text = str(error).lower()
            if "allocate memory" in text or "bad_alloc" in text or "out of memory" in text:
                raise _too_large(*image_NHWC.shape[1:3]) from None
            raise


def numbered_style(number: int, spec: ModelSpec) -> NDArray[np.float32]:
    """The style (S,) that a number stands for: 0 the model's own, any other its own standard normal numbers."""
    if number == 0:
        return np.array(spec.default_style or (0.0,) * spec.style_size, np.float32)
    return np.random.default_rng(number).standard_normal(spec.style_size, np.float32)


def _too_large(height: int, width: int) -> ImageError:
    return ImageError(
        f"picture of {width} x {height} pixels does not fit in the free memory for this model; "
        "make it smaller, close other programs or use a machine with more memory"
    )


def _open_session(path: Path, threads: int, device: Device) -> Any:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .onnx file written by `translate export`")
    if device != "cpu":
        session = _cuda_session(path, threads) if _gpu_present() else None
        if session is not None:
            return session
        if device == "cuda":
            raise ModelError(
                f"{path}: no usable NVIDIA GPU found (it needs a driver and the CUDA and cuDNN libraries); "
                "install the extra `gpu`, or use --device cpu"
            )
    try:
        return _ort.InferenceSession(str(path), _options(path, threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base below Exception; all mean that the file is no good
        raise ModelError(f"{path}: not a usable ONNX model ({_one_line(error)}); export it again") from None


def _cuda_session(path: Path, threads: int) -> Any | None:
    """Return a session that really runs on the GPU, or None; says nothing either way."""
    if "CUDAExecutionProvider" not in _ort.get_available_providers():
        return None
    _ort.set_default_logger_severity(_FATAL_ONLY)  # libraries that cannot be loaded are reported by this logger
    with contextlib.redirect_stdout(io.StringIO()):
        _ort.preload_dlls()
    # HEURISTIC: the default tries every convolution algorithm anew for each picture size.
    providers = [("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"]
    try:
        session = _ort.InferenceSession(str(path), _options(path, threads), providers=providers, enable_fallback=0)
    except Exception:  # a bad file is reported by the CPU session that follows
        return None
    return session if session.get_providers()[0] == "CUDAExecutionProvider" else None


def _gpu_present() -> bool:
    """Look for an NVIDIA device without loading its libraries, which is slow and noisy where there is none."""
    if sys.platform == "win32":
        return Path(os.environ["SYSTEMROOT"], "System32", "nvcuda.dll").exists()
    return Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists() or Path("/dev/dxg").exists()


def _options(path: Path, threads: int) -> Any:
    options = _ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads sleep instead of burning a core that decodes the next picture.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights in a second file are refused: a model is one file, and a foreign one must not name others.
    # The .onnx itself stands where a folder is expected, so nothing can be found there.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.absolute()))
    return options


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
