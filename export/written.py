"""A generator, or a file -> a file that was compared with it before it got its name."""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from torch import nn

from export.changed import Change, changed_graphs
from export.cost import gmacs, parameters
from export.to_onnx import build_graph, without_controls, write_model
from export.verify import (
    MIN_PSNR,
    Parity,
    as_json,
    compare,
    compare_files,
    demand,
    demand_psnr,
    report,
    save_for_report,
    summary,
    table,
    working_memory,
)
from translate.inference.controls import graph_inputs, numbered_style
from translate.pictures.operations import Pixels
from translate.spec import PARITY_SUFFIX, ModelSpec
from translate.trainers.base import pixel_translator

Training = Callable[[nn.Module, onnx.ModelProto], str]
"""The facts to store for further training, from the generator as it is exported and the graph."""


def write_verified(
    generator: nn.Module,
    spec: ModelSpec,
    pictures: Sequence[Pixels],
    path: Path,
    change: Change | None = None,
    *,
    training: Training | None = None,
    sizes: Sequence[tuple[int, int]] | None = None,
    known: list[Parity] | None = None,
) -> list[Parity]:
    """Export, compare with the network, print the comparison, and write the file only if it is right, with the report
    beside it (`PARITY_SUFFIX`).

    In another precision, the float32 graph is compared with the network first, and the converted graph with that.

    Args:
        generator: float32, on the CPU, in evaluation mode.
        spec: its spec; parameters, GMACs and memory are measured here.
        pictures: real inputs (H, W, C) to compare on.
        path: output file.
        change: precision, storage and controls of the file, where they are not the default.
        training: see `Training`; weights in int8 cannot be trained.
        sizes: heights and widths of the results to compare; None: see `export.verify.affordable`.
        known: the result of an earlier comparison of the same network, which is not repeated then.

    Returns:
        The comparison with the network.

    Raises:
        ModelError: the file would differ from the network, or cannot be written.
    """
    change = change or Change()
    translator = pixel_translator(generator, spec).eval()
    spec = dataclasses.replace(spec, parameters=parameters(translator.generator), gmacs_256=gmacs(translator, spec))
    weights = "float32" if change.lossy else change.weights or "float16"
    controls = change.controls or "optional"
    model = build_graph(generator, spec, weights, controls, change.fixed)
    fixed = graph_inputs(spec, **change.fixed)
    if controls == "fixed":
        spec = without_controls(spec, change.fixed)
    # Verified as a temporary file first: a model with different output is never written to the output file.
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.onnx"
        weights_sha256 = write_model(model, spec, trial).weights_sha256
        if known is None:
            rows = compare(translator, trial, pictures, spec, sizes, fixed)
            print(table(rows))  # noqa: T201
        else:
            rows = known
            found = summary(rows)
            print(f"parity, as at the last export: largest difference {found['largest']} of {found['full']}")  # noqa: T201
        demand(rows, path)
        if change.lossy:
            only = dataclasses.replace(change, controls=None, fixed={}, weights=None)
            facts = None if training is None else lambda changed: training(translator.generator, changed)
            write_changed(trial, model, spec, pictures, path, only, network=summary(rows), training=facts)
            return rows
        spec = dataclasses.replace(spec, bytes_per_pixel=working_memory(trial, spec))
    facts = training(translator.generator, model) if training else ""
    found = {"precision": spec.precision, "compared_with": "network"}
    _write(model, spec, path, facts, rows, weights_sha256, found)
    return rows


def write_changed(
    original: Path,
    model: onnx.ModelProto,
    spec: ModelSpec,
    pictures: Sequence[Pixels],
    path: Path,
    change: Change,
    *,
    network: Mapping[str, Any] | None = None,
    training: Callable[[onnx.ModelProto], str] | None = None,
) -> list[Parity]:
    """Change a file, compare the two, print the comparison, and write the new file with its report if it is right.

    Args:
        original: the file.
        model: its graph; it is changed.
        spec: its spec, with those facts that the new file is to have.
        pictures: inputs (H, W, C) to compare on.
        path: the new file.
        change: what to do.
        network: the summary of the comparison of the old file with the network, if it is known.
        training: the facts to store for further training, from the new graph; weights in int8 cannot be trained.

    Raises:
        ModelError: the new file would be too different, cannot be made, or cannot be written.
    """
    made, *emulated = changed_graphs(model, spec, change)
    given = {**({"style": numbered_style(0, spec)} if spec.style_size else {}), **change.fixed}
    spec = change.spec(spec)
    with tempfile.TemporaryDirectory() as folder:
        trials = [Path(folder) / name for name in ("trial.onnx", "emulated.onnx")]
        weights_sha256 = write_model(made, spec, trials[0]).weights_sha256
        for graph in emulated:
            write_model(graph, spec, trials[1])
        rows = compare_files(original, trials[0], pictures, given, trials[1] if emulated else None)
        found: dict[str, Any] = {"precision": spec.precision, "compared_with": "original", "network": network}
        if change.lossy:
            least_db = MIN_PSNR[spec.precision] if change.min_psnr is None else change.min_psnr
            print(table(rows, f"float32 vs. {spec.precision}", lossy=True))  # noqa: T201
            demand_psnr(rows, path, spec.precision, least_db)
            found |= {"compared_with": "float32", "allowed": None, "min_psnr_db": least_db}
        else:
            print(table(rows, "the file vs. the changed one"))  # noqa: T201
            demand(rows, path, "file it was made from")
        if change.precision == "int8":
            found["calibrated_on"] = len(change.calibration)
        spec = dataclasses.replace(spec, bytes_per_pixel=working_memory(trials[0], spec))
    facts = training(made) if training and spec.precision != "int8" else ""
    _write(made, spec, path, facts, rows, weights_sha256, found)
    return rows


def _write(
    model: onnx.ModelProto,
    spec: ModelSpec,
    path: Path,
    training: str,
    rows: Sequence[Parity],
    weights_sha256: str,
    found: Mapping[str, Any],
) -> None:
    """The file, with the summary of the comparison in it, and the report beside it."""
    reported = report(rows, weights_sha256, **found)
    digest = hashlib.sha256(as_json(reported).encode()).hexdigest()
    write_model(model, spec, path, training, json.dumps({**summary(rows), **found, "sha256": digest}))
    save_for_report(reported, path.with_suffix(PARITY_SUFFIX))
