"""A model file, ready to run on a device.

Array names carry their shape: N batch, H height, W width, C channels.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.inference.devices import Device, Started, Window, open_graph, run_bound
from translate.machine import cores
from translate.pictures.picture import Pixels, to_bits
from translate.spec import IMAGE_REST, RESULT_REST

NO_WINDOW = Window(1, 0)

RESULTS_ON = {"cuda": "cuda", "tensorrt": "cuda"}
"""Memory that results are made in before they are copied, by device, where that is not the main memory."""


class Session:
    """The graph of a model file, ready to run. Thread-safe.

    Args:
        path: the model file.
        threads: CPU threads per run.
        device: see `translate.inference.devices`.
        window: largest batch and side of an input, for devices that have to know.

    Raises:
        ModelError: no usable model, or the device that was asked for did not start.
        ConfigError: the device has to know the largest size, and there is none.
    """

    device: Started
    why: str
    """One line about the choice of the device."""
    window: Window | None
    """The largest input that it takes; None: any."""
    at_once: int
    """Maximum number of concurrent runs; other calls wait. On the CPU, more runs than cores would only take memory."""
    metadata: Mapping[str, str]
    required: frozenset[str]
    """Names of the inputs that have to be given besides the image; `translate export` makes them optional or not."""
    carries_rest: bool
    """Whether a model of 8 bits also takes and returns what 16 bits have beyond them, see `IMAGE_REST`."""

    def __init__(self, path: Path, threads: int, device: Device, window: Window = NO_WINDOW) -> None:
        opened = open_graph(path, threads, device, window)
        self.ort_session, self.device = opened.graph, opened.device
        self.why, self.window = opened.why, opened.window
        self.at_once = {"cuda": 2 * cores(), "tensorrt": 2 * cores(), "directml": 1}.get(
            self.device, max(1, cores() // threads)
        )
        self._results_on = RESULTS_ON.get(self.device)
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
                return self._results([self._output_name], {self._input_name: image_NHWC, **controls})[0]
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
            result_NHWC, left_NHWC = self._results([self._output_name, RESULT_REST], inputs)
        return result_NHWC.astype(np.uint16) * np.uint16(257) + left_NHWC.view(np.uint16)

    def _results(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph. On NVIDIA GPUs, inputs are copied there once, and results once from there."""
        if IMAGE_REST in self.required and IMAGE_REST not in inputs:
            inputs = {**inputs, IMAGE_REST: np.zeros(inputs[self._input_name].shape, np.int16)}
        if self._results_on is None:
            return self.ort_session.run(names, inputs)
        return run_bound(self.ort_session, names, inputs, self._results_on)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a run failed because it ran out of memory.

    ONNX Runtime has no error type of its own for this, neither on the CPU nor on the GPU.
    """
    text = str(error).lower()
    return any(sign in text for sign in ("allocate memory", "bad_alloc", "out of memory", "alloc_failed"))
