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

from translate.inference.engine import Engine
from translate.pictures.operations import Pixels

_ort: Any = _onnxruntime  # it ships no type hints

Controls = Mapping[str, Any]
"""`label`, `style` and `detail` as `Engine.__call__` takes them; those that are left out have their defaults."""


@dataclass(frozen=True)
class Backend:
    """Something that runs one file."""

    name: str
    """cpu and cuda (ONNX Runtime), tensorrt (TensorRT within ONNX Runtime), or openvino."""
    run: Callable[[Pixels, Controls], Pixels | None]
    """Pixels (N, H, W, C) -> the result; None where it cannot take these controls, or has failed."""
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
        found += _openvino(path, engine)
    return found


def versions() -> dict[str, str]:
    """Versions of the programs that `backends` may use, as far as they are installed."""
    found = {"onnxruntime": str(_ort.__version__)}
    if find_spec("openvino") is not None:
        found["openvino"] = str(importlib.import_module("openvino").__version__)
    return found


def _of_engine(engine: Engine) -> Backend:
    return Backend(engine.device, lambda image_NHWC, controls: engine(image_NHWC, **controls))


def _forgiving(name: str, run: Callable[[Pixels, Controls], Pixels | None]) -> Callable[..., Pixels | None]:
    """The same function, which says so when it fails for the first time, and is not called again: no reason to fail
    for a file that is right on the CPU."""
    failed = False

    def forgiving(image_NHWC: Pixels, controls: Controls) -> Pixels | None:
        nonlocal failed
        if failed:
            return None
        try:
            return run(image_NHWC, controls)
        except Exception as error:  # of another program, whose errors share no base class
            failed = True
            _note(f"{name} cannot run the file", error)
            return None

    return forgiving


def _note(what: str, error: Exception) -> None:
    print(f"note: {what} ({' '.join(str(error).split())[:200]})")  # noqa: T201


def _tensorrt(path: Path, engine: Engine) -> list[Backend]:
    """TensorRT as a part of ONNX Runtime, if its libraries can be loaded."""
    if "TensorrtExecutionProvider" not in _ort.get_available_providers():
        return []
    options = _ort.SessionOptions()
    options.log_severity_level = 4
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    with contextlib.suppress(Exception):  # its errors share no base class; all mean that it is not usable here
        session = _ort.InferenceSession(path.read_bytes(), options, providers=providers, enable_fallback=0)
        if session.get_providers()[0] == providers[0]:

            def run(image_NHWC: Pixels, controls: Controls) -> Pixels:
                inputs: dict[str, NDArray[Any]] = {"image": image_NHWC, **engine.controls(**controls)}
                return session.run(None, inputs)[0]

            return [Backend("tensorrt", _forgiving("tensorrt", run), few_sizes=True)]
    return []


def _openvino(path: Path, engine: Engine) -> list[Backend]:
    """OpenVINO on the CPU, in the precision of the file. It offers no inputs with defaults, only their defaults."""
    openvino: Any = importlib.import_module("openvino")
    try:
        model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except Exception as error:
        _note("openvino cannot open the file", error)
        return []
    taken = {name for one in model.inputs for name in one.get_names()}

    def run(image_NHWC: Pixels, controls: Controls) -> Pixels | None:
        inputs = {"image": image_NHWC, **engine.controls(**controls)}
        return model(inputs)[0] if inputs.keys() <= taken else None

    return [Backend("openvino", _forgiving("openvino", run))]
