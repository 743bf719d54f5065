"""A model file in ONNX Runtime, on the GPU if a working one is available.

Array names carry their shape: N batch, H height, W width, C channels.
"""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from translate.errors import ModelError
from translate.machine import cores
from translate.pictures.picture import Pixels, to_bits
from translate.spec import IMAGE_REST, RESULT_REST

Device = Literal["auto", "cpu", "cuda"]

_ort: Any = _onnxruntime  # it ships no type hints
_FATAL_ONLY = 4


class Session:
    """The graph of a model file, ready to run. Thread-safe.

    Args:
        path: the model file.
        threads: CPU threads per run.
        device: `auto` uses an NVIDIA GPU if a working one is available.

    Raises:
        ModelError: no usable model, or no usable GPU although `cuda` was asked for.
    """

    device: Literal["cpu", "cuda"]
    at_once: int
    """Maximum number of concurrent runs; other calls wait. On the CPU, more runs than cores would only take memory."""
    metadata: Mapping[str, str]
    required: frozenset[str]
    """Names of the inputs that have to be given besides the image; `translate export` makes them optional or not."""
    carries_rest: bool
    """Whether a model of 8 bits also takes and returns what 16 bits have beyond them, see `IMAGE_REST`."""

    def __init__(self, path: Path, threads: int, device: Device) -> None:
        self.ort_session = _open_session(path, threads, device)
        self.device = "cuda" if self.ort_session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self.at_once = 2 * cores() if self.device == "cuda" else max(1, cores() // threads)
        self.metadata = self.ort_session.get_modelmeta().custom_metadata_map
        self._turn = threading.BoundedSemaphore(self.at_once)
        self._input_name, *required = [one.name for one in self.ort_session.get_inputs()]
        self.required = frozenset(required)
        self._output_name: str = self.ort_session.get_outputs()[0].name
        self.carries_rest = RESULT_REST in (output.name for output in self.ort_session.get_outputs())

    def run(self, image_NHWC: Pixels, controls: Mapping[str, NDArray[Any]]) -> Pixels:
        """Run the graph on a batch of images, uint8 or, if the model takes or carries them, uint16.

        Raises:
            MemoryError: the run does not fit in memory.
        """
        try:
            if image_NHWC.dtype == np.uint16 and self.carries_rest:
                return self._run_deep(image_NHWC, controls)
            with self._turn:
                return self.ort_session.run([self._output_name], {self._input_name: image_NHWC, **controls})[0]
        except Exception as error:
            if _is_out_of_memory(error):
                raise MemoryError from None
            raise

    def _run_deep(self, image_NHWC: Pixels, controls: Mapping[str, NDArray[Any]]) -> Pixels:
        """Run on 16 bits, split into 8 bits and a remainder, see `translate.spec.IMAGE_REST`."""
        rough_NHWC = np.stack([to_bits(image_HWC, 8) for image_HWC in image_NHWC])
        rest_NHWC = (image_NHWC - rough_NHWC.astype(np.uint16) * np.uint16(257)).view(np.int16)
        inputs = {self._input_name: rough_NHWC, IMAGE_REST: rest_NHWC, **controls}
        with self._turn:
            result_NHWC, left_NHWC = self.ort_session.run([self._output_name, RESULT_REST], inputs)
        return result_NHWC.astype(np.uint16) * np.uint16(257) + left_NHWC.view(np.uint16)


def _open_session(path: Path, threads: int, device: Device) -> Any:
    """Open a session; nothing is printed."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .onnx file written by `translate export`")
    if device != "cpu":
        session = _cuda_session(path, threads) if _gpu_present() else None
        if session is not None:
            return session
        if device == "cuda":
            raise ModelError(
                f"{path}: no usable NVIDIA GPU found (requires a driver and the CUDA and cuDNN libraries); "
                "install the extra `gpu`, or use --device cpu"
            )
    try:
        return _ort.InferenceSession(_model(path), _options(path, threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class; all mean that the file is unusable
        raise ModelError(f"{path}: not a usable ONNX model ({_one_line(error)}); export it again") from None


def _cuda_session(path: Path, threads: int) -> Any | None:
    """Return a session that really runs on the GPU, or None; prints nothing either way."""
    if "CUDAExecutionProvider" not in _ort.get_available_providers():
        return None
    _ort.set_default_logger_severity(_FATAL_ONLY)  # libraries that cannot be loaded are reported by this logger
    with contextlib.redirect_stdout(io.StringIO()):
        _ort.preload_dlls()
    # HEURISTIC: the default benchmarks all convolution algorithms again for every picture size.
    providers = [("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"]
    try:
        session = _ort.InferenceSession(_model(path), _options(path, threads), providers=providers, enable_fallback=0)
    except Exception:  # an unusable file is reported by the CPU session that follows
        return None
    return session if session.get_providers()[0] == "CUDAExecutionProvider" else None


def _gpu_present() -> bool:
    """Look for an NVIDIA device without loading its libraries, which is slow and noisy on machines without one."""
    if sys.platform == "win32":
        return Path(os.environ["SYSTEMROOT"], "System32", "nvcuda.dll").exists()
    return Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists() or Path("/dev/dxg").exists()


def _is_text(path: Path) -> bool:
    """Whether a path is UTF-8, which is all that ONNX Runtime takes."""
    try:
        return bool(str(path.absolute()).encode())
    except UnicodeEncodeError:
        return False


def _model(path: Path) -> str | bytes:
    """A model as ONNX Runtime takes it: its path, or its bytes."""
    return str(path) if _is_text(path) else path.read_bytes()


def _options(path: Path, threads: int) -> Any:
    options = _ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads sleep instead of occupying a core that could decode the next picture.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights in a second file are rejected: a model is one file, and an untrusted file must not refer to others.
    # Giving the .onnx file where a folder is expected ensures that nothing can be found there.
    no_folder = path.absolute() if _is_text(path) else Path(os.devnull).absolute()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(no_folder))
    return options


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a run failed because it ran out of memory.

    ONNX Runtime has no error type of its own for this, neither on the CPU nor on the GPU.
    """
    text = str(error).lower()
    return "allocate memory" in text or "bad_alloc" in text or "out of memory" in text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
