"""Where a model runs: the devices, the order in which `auto` tries them, and how each is opened.

`auto` takes the first of `AUTO` that starts. The others are only taken by name: they compile the model first, or round
in their own ways. A device that was asked for by name and does not start is an error, never a run on the CPU.

Tried on hardware: cpu and openvino. The others follow ONNX Runtime's documentation of their execution providers.
"""

import contextlib
import hashlib
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from translate.errors import ConfigError, ModelError, message_of
from translate.files import cache_folder
from translate.inference.graph_file import read_metadata, with_required_inputs, without_metadata
from translate.inference.openvino_graph import open_openvino
from translate.inference.tiling import smallest_tile
from translate.spec import IMAGE_REST, ModelSpec

Started = Literal["cpu", "cuda", "tensorrt", "openvino", "directml", "coreml"]
Device = Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "directml", "coreml"]

AUTO: tuple[Started, ...] = ("cuda", "directml", "cpu")
"""What `auto` tries, in this order."""

GPUS: tuple[Started, ...] = ("cuda", "tensorrt", "directml")
"""Devices that convert several pictures in about the time of one."""

TENSORRT_SIDE = 512
"""Largest side of a window for TensorRT, which compiles for a range of sizes, unless the Engine's `tile` says more."""

_ort: Any = _onnxruntime  # it ships no type hints
_ort.disable_telemetry_events()  # on Windows; see translate/__init__.py for other systems
_FATAL_ONLY = 4

_PROVIDERS: Mapping[str, str] = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
_REMEDIES: Mapping[str, str] = {
    "cuda": "install the extra `gpu`",
    "tensorrt": "install the extra `gpu` and the package `tensorrt` in the version that this onnxruntime is built for",
    "directml": "use Windows, with onnxruntime-directml in place of onnxruntime-gpu",
    "coreml": "use a Mac",
    "openvino": "install the extra `openvino`",
}


class Window(NamedTuple):
    """The largest input that a session takes."""

    batch: int
    side: int


@dataclass(frozen=True)
class Opened:
    """A graph, ready to run."""

    graph: Any
    """An InferenceSession, or what behaves like one."""
    device: Started
    why: str
    """One line about the choice, for `translate info`."""
    window: Window | None = None
    """None: any size."""


class NotStarted(Exception):  # noqa: N818 - it is shown to nobody
    """A device cannot run the model; the text says what was found, in a few words.

    `final`: whether nothing can be installed that would help.
    """

    def __init__(self, found: str, *, final: bool = False) -> None:
        super().__init__(found)
        self.final = final


def open_graph(path: Path, threads: int, device: Device, window: Window) -> Opened:
    """Open a model on a device; nothing is printed.

    Args:
        path: the model file.
        threads: CPU threads per run.
        device: see the module.
        window: largest input; only TensorRT needs to know.

    Raises:
        ModelError: no usable model, or the device that was asked for did not start.
        ConfigError: TensorRT without a limit on the size.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .onnx file written by `translate export`")
    if device == "cpu":
        return Opened(_cpu(path, threads), "cpu", "as asked")
    if device != "auto":
        try:
            return _open(path, threads, device, window)
        except NotStarted as reason:
            _cpu(path, threads)  # an unusable file is reported as such
            remedy = "use --device cpu" if reason.final else f"{_REMEDIES[device]}, or use --device cpu"
            raise ModelError(f"{path}: --device {device} did not start: {reason}; {remedy}") from None
    reasons: list[str] = []
    for one in AUTO:
        if one == "cpu" or (one == "directml" and sys.platform != "win32"):
            continue
        try:
            return _open(path, threads, one, window)
        except NotStarted as reason:
            reasons.append(str(reason))
    return Opened(_cpu(path, threads), "cpu", "; ".join(reasons))


def _open(path: Path, threads: int, device: Started, window: Window) -> Opened:
    if device == "openvino":
        model = _without_defaults(path)
        try:
            graph = open_openvino(model, threads)
        except ImportError:
            raise NotStarted("the package openvino is not installed") from None
        except Exception as error:  # its errors share no base class
            raise NotStarted(f"OpenVINO cannot read the model ({message_of(error, 200)})", final=True) from None
        return Opened(graph, device, f"OpenVINO {graph.version} on the CPU")
    if device in ("cuda", "tensorrt") and not gpu_present():
        raise NotStarted("no NVIDIA GPU found", final=True)
    provider = _PROVIDERS[device]
    if provider not in _ort.get_available_providers():
        raise NotStarted(f"this onnxruntime has no {provider}")
    options = _options(path, threads)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if device == "directml":
        options.enable_mem_pattern = False  # which it does not support
    fits: Window | None = None
    if device == "cuda":
        model: str | bytes = _model(path)
        # HEURISTIC: the default benchmarks all convolution algorithms again for every picture size.
        settings = {"cudnn_conv_algo_search": "HEURISTIC"}
    else:
        model = _without_defaults(path)  # these compile the graph, and may take a default for a constant
        settings = {"ModelFormat": "MLProgram"} if device == "coreml" else {}
        if device == "tensorrt":
            settings, fits = _tensorrt_settings(path, model, window)
    graph = _started(model, options, provider, settings)
    taken = taken_operators(graph, provider)
    if taken is not None and not taken[0]:
        raise NotStarted(f"{provider} took none of the {taken[1]} operators")
    share = f", which took {taken[0]} of {taken[1]} operators" if taken else ""
    return Opened(graph, device, provider + share, fits)


def _started(model: str | bytes, options: Any, provider: str, settings: Mapping[str, str]) -> Any:
    """A session that really runs on a provider."""
    _ort.set_default_logger_severity(_FATAL_ONLY)  # libraries that cannot be loaded are reported by this logger
    nvidia = provider in (_PROVIDERS["cuda"], _PROVIDERS["tensorrt"])
    providers: list[Any] = [(provider, dict(settings)), "CPUExecutionProvider"]
    if provider == _PROVIDERS["tensorrt"]:
        providers.insert(1, _PROVIDERS["cuda"])  # for what TensorRT does not know
        with contextlib.suppress(ImportError):
            importlib.import_module("tensorrt")  # loads its libraries, if they are a package
    if nvidia:
        with contextlib.redirect_stdout(io.StringIO()):
            _ort.preload_dlls()
    try:
        graph = _ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
    except Exception as error:  # an unusable file is reported by the CPU session that follows with `auto`
        raise NotStarted(f"{provider} failed ({message_of(error, 200)})") from None
    if graph.get_providers()[0] != provider:
        raise NotStarted(f"{provider} did not load; it needs its driver and libraries")
    return graph


def _tensorrt_settings(path: Path, model: bytes, window: Window) -> tuple[dict[str, str], Window]:
    """Options of the provider: compiled engines are kept on disk, for all sizes up to a largest one.

    Without that range, TensorRT would compile for minutes whenever a picture has a size that it has not seen.
    """
    spec = ModelSpec.from_metadata(read_metadata(path), str(path))
    if not window.side:
        raise ConfigError("--tile 0 does not work with --device tensorrt, which has to know the largest size")
    side = max(window.side, smallest_tile(spec.receptive_field, spec.size_multiple))
    names = ["image", *([IMAGE_REST] if IMAGE_REST.encode() in model else [])]

    def shapes(batch: int, side: int) -> str:
        return ",".join(f"{name}:{batch}x{side}x{side}x{spec.input_channels}" for name in names)

    # By what is computed: the trial file of an export and the final one share an engine.
    folder = cache_folder() / "tensorrt" / hashlib.sha256(without_metadata(model)).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "False",
        "trt_profile_min_shapes": shapes(1, spec.min_size),
        "trt_profile_opt_shapes": shapes(1, side),
        "trt_profile_max_shapes": shapes(window.batch, side),
    }
    return settings, Window(window.batch, side)


def run_bound(graph: Any, names: Sequence[str], inputs: Mapping[str, NDArray[Any]], memory: str) -> list[NDArray[Any]]:
    """Run an InferenceSession with its results in the memory of a device, such as `cuda`; each is copied once."""
    binding = graph.io_binding()
    # As values, because `bind_cpu_input` does not know inputs that have a default. They are kept until the run is over,
    # because they only refer to the memory of the arrays, and older bindings do not keep them.
    values = {name: _ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value)) for name, value in inputs.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for name in names:
        binding.bind_output(name, memory)
    graph.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()


def taken_operators(graph: Any, provider: str) -> tuple[int, int] | None:
    """How many operators of the graph a provider runs, of how many; None: this ONNX Runtime cannot tell."""
    try:
        parts = graph.get_provider_graph_assignment_info()
    except Exception:  # before 1.24 there is no such function
        return None
    counts = [(part.ep_name == provider, len(part.get_nodes())) for part in parts]
    return sum(count for mine, count in counts if mine), sum(count for _, count in counts)


def gpu_present() -> bool:
    """Look for an NVIDIA device without loading its libraries, which is slow and noisy on machines without one."""
    if sys.platform == "win32":
        return Path(os.environ["SYSTEMROOT"], "System32", "nvcuda.dll").exists()
    return Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists() or Path("/dev/dxg").exists()


def _cpu(path: Path, threads: int) -> Any:
    try:
        return _ort.InferenceSession(_model(path), _options(path, threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class; all mean that the file is unusable
        raise ModelError(f"{path}: not a usable ONNX model ({message_of(error, 200)}); export it again") from None


def _is_text(path: Path) -> bool:
    """Whether a path is UTF-8, which is all that ONNX Runtime takes."""
    try:
        return bool(str(path.absolute()).encode())
    except UnicodeEncodeError:
        return False


def _model(path: Path) -> str | bytes:
    """A model as ONNX Runtime takes it: its path, or its bytes."""
    return str(path) if _is_text(path) else path.read_bytes()


def _without_defaults(path: Path) -> bytes:
    """A model whose optional inputs have to be given, for runtimes that take defaults for constants."""
    _cpu(path, 1)  # an unusable file is reported as such, and one that refers to other files is rejected
    return with_required_inputs(path.read_bytes())


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
