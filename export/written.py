"""A generator -> a file that was compared with it before it got its name."""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
from torch import nn

from export.compatibility import Controls
from export.cost import gmacs, parameters
from export.to_onnx import WeightFormat, build_graph, without_controls, write_model
from export.verify import (
    Parity,
    Pixels,
    as_json,
    compare,
    demand,
    report,
    save_for_report,
    summary,
    table,
    working_memory,
)
from translate.spec import PARITY_SUFFIX, ModelSpec
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
    sizes: Sequence[tuple[int, int]] | None = None,
) -> list[Parity]:
    """Export, compare with the network, print the comparison, and write the file only if it is right, with the report
    beside it (`PARITY_SUFFIX`).

    Args:
        generator: float32, on the CPU, in evaluation mode.
        spec: its spec; parameters, GMACs and memory are measured here.
        pictures: real inputs (H, W, C) to compare on.
        path: output file.
        weights, controls: as for `build_graph`.
        training: the facts to store for further training, from the generator as it is exported and the graph.
        sizes: heights and widths of the results to compare; None: see `export.verify.affordable`.

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
        weights_sha256 = write_model(model, spec, trial).weights_sha256
        rows = compare(translator, trial, pictures, spec, sizes)
        spec = dataclasses.replace(spec, bytes_per_pixel=working_memory(trial, spec))
    print(table(rows))  # noqa: T201
    demand(rows, path)
    found = report(rows, weights_sha256)
    digest = hashlib.sha256(as_json(found).encode()).hexdigest()
    facts = training(translator.generator, model) if training else ""
    write_model(model, spec, path, facts, json.dumps({**summary(rows), "sha256": digest}))
    save_for_report(found, path.with_suffix(PARITY_SUFFIX))
    return rows
