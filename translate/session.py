"""A model file -> a session of ONNX Runtime, on the GPU where there is one that works."""

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
    """Return the session; nothing is said on the way.

    `threads`: CPU threads of one run. `device`: `auto` takes an NVIDIA GPU when there is one that works.

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


def wants_memory(error: Exception) -> bool:
    """Tell whether a run failed for want of memory.

    ONNX Runtime has no error type of its own for that, neither on the CPU nor on the GPU.
    """
    text = str(error).lower()
    return "allocate memory" in text or "bad_alloc" in text or "out of memory" in text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
