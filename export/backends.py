"""What can run a file on this machine: ONNX Runtime on the CPU, and on a GPU, TensorRT and OpenVINO where they are.

Shape suffixes: N batch, H height, W width, C channels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from translate.errors import ModelError
from translate.inference.engine import Engine
from translate.inference.openvino_graph import import_openvino
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
    """Whether it compiles for a limited range of sizes: only batches are compared, which are small."""


def backends(path: Path) -> list[Backend]:
    """All that can open the file: the CPU first, by which files are judged."""
    found = [_of_engine(Engine(path, device="cpu"))]
    best = Engine(path, device="auto")
    if best.device == "cuda":
        found += [_of_engine(best), *_other(path, "tensorrt")]
    if find_spec("openvino") is not None:
        found += _other(path, "openvino")
    return found


def versions() -> dict[str, str]:
    """Versions of the programs that `backends` may use, as far as they are installed."""
    found = {"onnxruntime": str(_ort.__version__)}
    if find_spec("openvino") is not None:
        found["openvino"] = str(import_openvino().__version__)
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


def _other(path: Path, device: Literal["tensorrt", "openvino"]) -> list[Backend]:
    """A device that rounds in its own ways, if it starts: see `translate.inference.devices`."""
    try:
        engine = Engine(path, device=device)
    except ModelError as error:
        if device != "tensorrt":  # which few have, even with a GPU
            print(f"note: {str(error).removeprefix(f'{path}: ')}")  # noqa: T201
        return []
    return [Backend(device, _forgiving(device, _of_engine(engine).run), few_sizes=device == "tensorrt")]
