"""Opens a model file as an ONNX Runtime session, on the GPU if a working one is available."""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any, Literal

import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from translate.errors import ModelError

Device = Literal["auto", "cpu", "cuda"]

_ort: Any = _onnxruntime  # it ships no type hints
_FATAL_ONLY = 4


def open_session(path: Path, threads: int, device: Device) -> Any:
    """Open a session; nothing is printed.

    `threads`: CPU threads per run. `device`: `auto` uses an NVIDIA GPU if a working one is available.

    Raises:
        ModelError: no usable model, or no usable GPU although `cuda` was asked for.
    """
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
        return _ort.InferenceSession(str(path), _options(path, threads), providers=["CPUExecutionProvider"])
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
        session = _ort.InferenceSession(str(path), _options(path, threads), providers=providers, enable_fallback=0)
    except Exception:  # an unusable file is reported by the CPU session that follows
        return None
    return session if session.get_providers()[0] == "CUDAExecutionProvider" else None


def _gpu_present() -> bool:
    """Look for an NVIDIA device without loading its libraries, which is slow and noisy on machines without one."""
    if sys.platform == "win32":
        return Path(os.environ["SYSTEMROOT"], "System32", "nvcuda.dll").exists()
    return Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists() or Path("/dev/dxg").exists()


def _options(path: Path, threads: int) -> Any:
    options = _ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads sleep instead of occupying a core that could decode the next picture.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights in a second file are rejected: a model is one file, and an untrusted file must not refer to others.
    # Giving the .onnx file where a folder is expected ensures that nothing can be found there.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.absolute()))
    return options


def is_out_of_memory(error: Exception) -> bool:
    """Whether a run failed because it ran out of memory.

    ONNX Runtime has no error type of its own for this, neither on the CPU nor on the GPU.
    """
    text = str(error).lower()
    return "allocate memory" in text or "bad_alloc" in text or "out of memory" in text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
