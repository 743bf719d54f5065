"""A generator -> a file that was compared with it before it got its name."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
from torch import nn

from export.compatibility import Controls
from export.cost import gmacs, parameters
from export.to_onnx import WeightFormat, build_graph, without_controls, write_model
from export.verify import Parity, Pixels, compare, demand, table, working_memory
from translate.spec import ModelSpec
from translate.trainers.base import pixel_translator


def write_verified(
    generator: nn.Module,
    spec: ModelSpec,
    pictures: Sequence[Pixels],
    path: Path,
    *,
    weights: WeightFormat = "float16",
    controls: Controls = "optional",
    training: Callable[[nn.Module, onnx.ModelProto], str] | None = None,
) -> list[Parity]:
    """Export, compare with the network, print the comparison, and write the file only if it is right.

    Args:
        generator: float32, on the CPU, in evaluation mode.
        spec: its spec; parameters, GMACs and memory are measured here.
        pictures: real inputs (H, W, C) to compare on.
        path: output file.
        weights, controls: as for `build_graph`.
        training: the facts to store for further training, from the generator as it is exported and the graph.

    Raises:
        ModelError: the file would differ from the network, or cannot be written.
    """
    translator = pixel_translator(generator, spec).eval()
    spec = dataclasses.replace(spec, parameters=parameters(translator.generator), gmacs_256=gmacs(translator, spec))
    model = build_graph(generator, spec, weights, controls)
    if controls == "fixed":
        spec = without_controls(spec)
    # Verified as a temporary file first: a model with different output is never written to the output file.
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.onnx"
        write_model(model, spec, trial)
        rows = compare(translator, trial, pictures, spec)
        spec = dataclasses.replace(spec, bytes_per_pixel=working_memory(trial, spec))
    print(table(rows))  # noqa: T201
    demand(rows, path)
    write_model(model, spec, path, training(translator.generator, model) if training else "")
    return rows
