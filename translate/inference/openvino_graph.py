"""A graph in OpenVINO, with the part of ONNX Runtime's InferenceSession that `translate.inference.session` uses."""

import importlib
import queue
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from translate.inference.graph_file import metadata_of
from translate.machine import cores


class Value(NamedTuple):
    """An input or output."""

    name: str


class About(NamedTuple):
    """What the file says besides the graph."""

    custom_metadata_map: Mapping[str, str]


class OpenVinoGraph:
    """A compiled model on the CPU, in float32. Thread-safe; more runs than `at_once` wait.

    Args:
        openvino: the package.
        model: bytes of an ONNX file whose inputs are all required.
        threads: CPU threads per run.
        at_once: maximum number of concurrent runs.
    """

    def __init__(self, openvino: Any, model: bytes, threads: int, at_once: int) -> None:
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads * at_once,
            "NUM_STREAMS": at_once,
            "INFERENCE_PRECISION_HINT": "f32",  # it would take bfloat16 where the processor has it
        }
        self._compiled = core.compile_model(core.read_model(model), "CPU", settings)
        self.version = str(openvino.__version__).split("-")[0]
        self._about = About(metadata_of(model))
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(at_once):
            self._idle.put(self._compiled.create_infer_request())

    def get_modelmeta(self) -> About:
        """The file's metadata."""
        return self._about

    def get_inputs(self) -> list[Value]:
        """All inputs, each of them required, in the order of the file."""
        return [Value(one.any_name) for one in self._compiled.inputs]

    def get_outputs(self) -> list[Value]:
        """All outputs."""
        return [Value(one.any_name) for one in self._compiled.outputs]

    def get_providers(self) -> list[str]:
        """Where it runs."""
        return ["OpenVINO"]

    def run(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph; arrays as for ONNX Runtime."""
        request = self._idle.get()
        try:
            request.infer({name: np.ascontiguousarray(value) for name, value in inputs.items()}, share_inputs=True)
            return [np.array(request.get_tensor(name).data) for name in names]
        finally:
            self._idle.put(request)


def import_openvino() -> Any:
    """The package, without its telemetry, which would tell Google Analytics that it is used: it does without.

    Raises:
        ImportError: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType] - it cannot be imported now
    return importlib.import_module("openvino")


def open_openvino(model: bytes, threads: int) -> OpenVinoGraph:
    """Open a model, see `OpenVinoGraph`.

    Raises:
        ImportError: the package is not installed.
        Exception: OpenVINO cannot read the model; its errors share no base class.
    """
    return OpenVinoGraph(import_openvino(), model, threads, max(1, cores() // threads))
