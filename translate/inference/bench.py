"""How fast model files run on this machine, next to how fast it multiplies matrices.

Everything is measured in turn, round by round, so that what else the machine does meets all alike; medians count.

Array names carry their shape: N pictures, H height, W width, C channels.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from translate.errors import ImageError
from translate.inference.devices import GPUS, Device, Started, Window, open_graph
from translate.inference.engine import Engine
from translate.inference.graph_file import encoded
from translate.pictures.operations import Pixels

MATRIX_SIDE, GPU_MATRIX_SIDE = 1024, 4096
LEAST_ROUNDS = 3


class Cell(NamedTuple):
    """What is measured: one model on pictures of one size, in one batch, with so many threads."""

    model: Path
    height: int
    """Of the input, in pixels."""
    width: int
    batch: int
    threads: int


@dataclass
class Measured:
    """The times of a cell."""

    cell: Cell
    engine: Engine
    seconds: list[float] = field(default_factory=list[float])
    rates: list[float] = field(default_factory=list[float])
    """Multiply-adds per second of a matrix product, measured next to each."""

    @property
    def facts(self) -> dict[str, Any]:
        """The medians, as `translate bench --json` prints them."""
        cell, spec = self.cell, self.engine.spec
        seconds, pixels = statistics.median(self.seconds), cell.height * cell.width
        work = spec.gmacs_256 * 1e9 * pixels / 256**2 * cell.batch
        rate = statistics.median(self.rates)
        return {
            "model": spec.name,
            "file": str(cell.model),
            "precision": spec.precision,
            "device": self.engine.device,
            "device_why": self.engine.device_why,
            "threads": cell.threads,
            "height": cell.height,
            "width": cell.width,
            "batch": cell.batch,
            "runs": len(self.seconds),
            "ms": 1e3 * seconds,
            "images_per_second": cell.batch / seconds,
            "megapixels_per_second": cell.batch * pixels * spec.scale**2 / 1e6 / seconds,
            "matrix_gmacs_per_second": rate / 1e9,
            "share_of_matrix_rate": work / seconds / rate if work else None,
        }


def measure(cells: Sequence[Cell], device: Device, seconds: float) -> list[Measured]:
    """Run every cell for about `seconds` seconds, and at least `LEAST_ROUNDS` times after a first that does not count.

    Raises:
        ModelError: a model is unusable, or the device did not start.
        ImageError: a picture does not fit in memory.
    """
    engines = {
        (cell.model, cell.threads): Engine(cell.model, threads=cell.threads, device=device, batch=_most(cells))
        for cell in cells
    }
    found = [Measured(cell, engines[cell.model, cell.threads]) for cell in cells]
    threads = sorted({cell.threads for cell in cells})
    products = {count: MatrixProduct(count, found[0].engine.device) for count in threads}
    for one in found:
        _seconds(one)  # which also allocates, and compiles where the device does
    while any(sum(one.seconds) < seconds or len(one.seconds) < LEAST_ROUNDS for one in found):
        rates = {count: product.rate() for count, product in products.items()}
        for one in found:
            if sum(one.seconds) < seconds or len(one.seconds) < LEAST_ROUNDS:
                one.seconds.append(_seconds(one))
                one.rates.append(rates[one.cell.threads])
    return found


def _most(cells: Sequence[Cell]) -> int:
    return max(cell.batch for cell in cells)


def _seconds(one: Measured) -> float:
    """The time of one run."""
    image_NHWC = random_pictures(one.cell, one.engine)
    began = time.perf_counter()
    one.engine(image_NHWC)
    return time.perf_counter() - began


def random_pictures(cell: Cell, engine: Engine) -> Pixels:
    """Noise of all values, (N, H, W, C) of the model's type: zeros would be quicker than pictures.

    Raises:
        ImageError: it does not fit in memory.
    """
    spec = engine.spec
    if cell.batch * cell.height * cell.width > engine.max_pixels:
        raise ImageError(
            f"{cell.batch} pictures of {cell.width} x {cell.height} pixels do not fit in the free memory; "
            "give smaller --sizes or --batches"
        )
    shape = (cell.batch, cell.height, cell.width, spec.input_channels)
    return np.random.default_rng(0).integers(0, 2**spec.input_bits, shape, np.dtype(f"uint{spec.input_bits}"))


class MatrixProduct:
    """A large product of float32 matrices in ONNX Runtime, as a yardstick.

    Args:
        threads: on the processor.
        device: that of the models. OpenVINO is compared with ONNX Runtime on the processor, TensorRT with CUDA.
    """

    def __init__(self, threads: int, device: Started) -> None:
        beside: dict[Started, Started] = {"openvino": "cpu", "tensorrt": "cuda"}
        self._side = GPU_MATRIX_SIDE if device in GPUS else MATRIX_SIDE
        with tempfile.TemporaryDirectory(prefix="translate-") as folder:
            path = Path(folder, "product.onnx")
            path.write_bytes(matrix_model(self._side))
            self._graph = open_graph(path, threads, beside.get(device, device), Window(1, 0)).graph
        self.rate()

    def rate(self) -> float:
        """Multiply-adds per second of one product."""
        inputs = {"factor": np.ones(1, np.float32)}
        began = time.perf_counter()
        self._graph.run(None, inputs)
        return self._side**3 / (time.perf_counter() - began)


def matrix_model(side: int) -> bytes:
    """An ONNX file, written without the package onnx: the largest value of `factor` * a @ b.

    Both matrices, `side` x `side`, lie in the file, so that nothing large is copied to or from a device.
    """
    random = np.random.default_rng(0)

    def matrix(name: str) -> bytes:
        values = random.standard_normal((side, side), np.float32)
        return encoded((1, side), (1, side), (2, 1), (8, name), (9, values.tobytes()))

    def value(name: str, *shape: int) -> bytes:
        axes = b"".join(encoded((1, encoded((1, axis)))) for axis in shape)
        return encoded((1, name), (2, encoded((1, encoded((1, 1), (2, axes))))))

    def node(operator: str, output: str, *inputs: str) -> bytes:
        return encoded(*((1, name) for name in inputs), (2, output), (4, operator))

    graph = encoded(
        (1, node("Mul", "scaled", "a", "factor")),
        (1, node("MatMul", "product", "scaled", "b")),
        (1, node("ReduceMax", "largest", "product")),
        (2, "product"),
        (5, matrix("a")),
        (5, matrix("b")),
        (11, value("factor", 1)),
        (12, value("largest", 1, 1)),
    )
    return encoded((1, 8), (7, graph), (8, encoded((2, 13))))
