"""What can run a file on this machine: ONNX Runtime on the CPU, and on a GPU, TensorRT and OpenVINO where they are.

Shape suffixes: N batch, H height, W width, C channels.
"""

import contextlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from translate.errors import ModelError
from translate.inference.engine import Engine
from translate.pictures.operations import Pixels

_ort: Any = _onnxruntime  # it ships no type hints

ControlValues = Mapping[str, Any]
"""`label`, `style` and `detail` as `Engine.__call__` takes them; those that are left out have their defaults."""


@dataclass(frozen=True)
class Backend:
    """Something that runs one file."""

    name: str
    """cpu and cuda (ONNX Runtime), tensorrt (TensorRT within ONNX Runtime), or openvino."""
    run: Callable[[Pixels, ControlValues], Pixels | None]
    """Pixels (N, H, W, C) -> the result; None where it has failed."""
    few_sizes: bool = False
    """Whether each new size takes it long."""


def backends(path: Path) -> list[Backend]:
    """All that can open the file: the CPU first, by which files are judged."""
    engine = Engine(path, device="cpu")
    found = [_of_engine(engine)]
    best = Engine(path, device="auto")
    if best.device == "cuda":
        found += [_of_engine(best), *_tensorrt(path, engine)]
    if find_spec("openvino") is not None:
        found += _openvino(path)
    return found


def versions() -> dict[str, str]:
    """Versions of the programs that `backends` may use, as far as they are installed."""
    found = {"onnxruntime": str(_ort.__version__)}
    if find_spec("openvino") is not None:
        found["openvino"] = str(importlib.import_module("openvino").__version__)
    return found


def _of_engine(engine: Engine) -> Backend:
    return Backend(engine.device, lambda image_NHWC, controls: engine(image_NHWC, **controls))


def _forgiving(name: str, run: Callable[[Pixels, ControlValues], Pixels | None]) -> Callable[..., Pixels | None]:
    """The same function, which says so when it fails for the first time, and is not called again: no reason to fail
    for a file that is right on the CPU."""
    failed = False

    def forgiving(image_NHWC: Pixels, controls: ControlValues) -> Pixels | None:
        nonlocal failed
        if failed:
            return None
        try:
            return run(image_NHWC, controls)
        except Exception as error:  # of another program, whose errors share no base class
            failed = True
            print(f"note: {name} cannot run the file ({' '.join(str(error).split())[:200]})")  # noqa: T201
            return None

    return forgiving


def _tensorrt(path: Path, engine: Engine) -> list[Backend]:
    """TensorRT as a part of ONNX Runtime, if its libraries can be loaded."""
    if "TensorrtExecutionProvider" not in _ort.get_available_providers():
        return []
    options = _ort.SessionOptions()
    options.log_severity_level = 4
    _ort.set_default_logger_severity(4)  # libraries that cannot be loaded are reported by this logger
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    with contextlib.suppress(Exception):  # its errors share no base class; all mean that it is not usable here
        session = _ort.InferenceSession(path.read_bytes(), options, providers=providers, enable_fallback=0)
        if session.get_providers()[0] == providers[0]:

            def run(image_NHWC: Pixels, controls: ControlValues) -> Pixels:
                inputs: dict[str, NDArray[Any]] = {"image": image_NHWC, **engine.controls(**controls)}
                return session.run(None, inputs)[0]

            return [Backend("tensorrt", _forgiving("tensorrt", run), few_sizes=True)]
    return []


def _openvino(path: Path) -> list[Backend]:
    """OpenVINO on the CPU, see `translate.inference.devices`."""
    try:
        engine = Engine(path, device="openvino")
    except ModelError as error:
        print(f"note: {str(error).removeprefix(f'{path}: ')}")  # noqa: T201
        return []
    return [Backend("openvino", _forgiving("openvino", _of_engine(engine).run))]
