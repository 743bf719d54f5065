"""One .onnx file -> callable: image in, image out.

Array names carry their shape: N batch, H height, W width, C channels. All pixels are uint8 in [0, 255].
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from translate.errors import ImageError, ModelError
from translate.images import (
    BYTES_PER_DECODED_PIXEL,
    Picture,
    Pixels,
    available_memory_bytes,
    fit_size,
    flatten,
    resize,
)
from translate.models import resolve
from translate.spec import METADATA_KEY, ModelSpec

Device = Literal["auto", "cpu", "cuda"]

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

        A model with a `working_size` shrinks its input first, so only decoding counts.
        """
        if self.spec.working_size is not None:
            return self.memory_bytes // BYTES_PER_DECODED_PIXEL
        return self.memory_bytes // max(self.spec.bytes_per_pixel, BYTES_PER_DECODED_PIXEL)

    def work_bytes(self, height: int, width: int) -> int:
        """Return the memory that `apply` needs for a picture of this size, about."""
        if self.spec.working_size is not None:
            height, width = fit_size(height, width, self.spec.working_size)
        return height * width * self.spec.bytes_per_pixel

    def __call__(self, image: Pixels) -> Pixels:
        """Run the model as it is: (H, W, C) or (N, H, W, C) uint8 in, the same rank with H*scale, W*scale out.

        Raises:
            ImageError: another type, shape or number of channels, too small, or too large for the memory.
        """
        channels = self.spec.input_channels
        if image.dtype != np.uint8:
            raise ImageError(f"picture array has type {image.dtype}, expected uint8 in 0..255; convert it first")
        if image.ndim not in (3, 4) or image.shape[-1] != channels:
            raise ImageError(
                f"picture array has shape {image.shape}, expected (height, width, {channels}) "
                f"or (pictures, height, width, {channels}); reshape it"
            )
        self._check_size(*image.shape[-3:-1])
        if image.ndim == 4:
            return self._run(image)
        return self._run(image[None])[0]

    def apply(self, picture: Picture) -> Picture:
        """Convert a picture of any size the model can use; the result is `spec.scale` times as large.

        Models with a `working_size` see the whole picture at that size, laid on white, and the result is
        resized back. Other models run at full size on the colours. Alpha is kept, resized by `scale`, with
        one exception: lines drawn on a transparent sheet (less than `INK_SHARE` of it opaque) are taken as
        lines on white paper, for keeping that alpha would cut the photo down to the pen strokes.

        Raises:
            ImageError: the picture is too small, too narrow, or too large for the memory.
        """
        scale = self.spec.scale
        height, width = picture.height, picture.width
        self._check_size(height, width)
        try:
            alpha_HW = picture.alpha_HW
            if alpha_HW is not None:
                alpha_HW = resize(alpha_HW, height * scale, width * scale)
            if self.spec.working_size is None:
                return Picture(self(picture.rgb_HWC), alpha_HW)
            if alpha_HW is not None and alpha_HW.mean() < 255 * INK_SHARE:
                alpha_HW = None
            small_height, small_width = fit_size(height, width, self.spec.working_size)
            if min(small_height, small_width) < self.spec.min_size:
                raise ImageError(
                    f"picture of {width} x {height} pixels is too narrow for this model; crop it to a shape nearer "
                    "to a square"
                )
            small_HWC = resize(flatten(picture), small_height, small_width)
            return Picture(resize(self(small_HWC), height * scale, width * scale), alpha_HW)
        except MemoryError:
            raise _too_large(height, width) from None

    def _check_size(self, height: int, width: int) -> None:
        if min(height, width) < self.spec.min_size:
            raise ImageError(
                f"picture of {width} x {height} pixels is too small, this model needs at least "
                f"{self.spec.min_size} x {self.spec.min_size}; use a larger one"
            )
        if height * width > self.max_pixels:
            raise _too_large(height, width)

    def _run(self, image_NHWC: Pixels) -> Pixels:
        try:
            return self._session.run(None, {self._input_name: image_NHWC})[0]
        except Exception as error:
            # ONNX Runtime has no error type of its own for want of memory, neither on the CPU nor on the GPU.
            text = str(error).lower()
            if "allocate memory" in text or "bad_alloc" in text or "out of memory" in text:
                raise _too_large(*image_NHWC.shape[1:3]) from None
            raise


def cores() -> int:
    """Return how many CPU cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
