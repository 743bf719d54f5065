"""A trained run, an exported file or a shipped model -> a graph that any runtime takes: nothing optional in it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

from export.changed import Change, changed_graphs
from export.compatibility import Controls
from export.to_onnx import write_model
from translate.errors import ModelError, require
from translate.inference.engine import Engine
from translate.inference.models import resolve
from translate.spec import ModelSpec


@dataclass(frozen=True)
class Source:
    """A model on its way to another runtime."""

    graph: onnx.ModelProto
    """`image` and, if they are required, the controls; one output."""
    spec: ModelSpec
    origin: Path | None
    """The file; None for a run, whose file was only temporary."""

    def write(self, path: Path) -> ModelSpec:
        """Write the graph with its spec, see `export.to_onnx.write_model`."""
        return write_model(self.graph, self.spec, path)


def load(model: str, controls: Controls) -> Source:
    """Read a model; a run is exported first, with the comparison that this includes, unless that was done before.

    Args:
        model: a run folder, a file written by `translate export`, or the name of a shipped model.
        controls: required or fixed.

    Raises:
        ModelError: no such model, it is damaged, or its pixels have 16 bits.
    """
    if not Path(model).is_dir():
        path = resolve(model)
        return _plain(path, controls, path)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        _export(model, path, controls)
        return _plain(path, controls, None)


def _export(run: str, path: Path, controls: Controls) -> None:
    """Export a run to a temporary file, and print what was compared."""
    from export.command import PACKAGES, ExportOptions, export_run  # which imports this package for --target

    require("export", *PACKAGES)
    export_run(ExportOptions(source=run, output=path, controls=controls), reuse=True)


def _plain(path: Path, controls: Controls, origin: Path | None) -> Source:
    spec = Engine(path, device="cpu", threads=1).spec  # says in one line what is wrong with a file
    if (spec.input_bits, spec.output_bits) != (8, 8):
        raise ModelError(f"{path}: its pixels have 16 bits, which this target does not take; export with --bits 8")
    change = Change(controls=controls)
    (graph,) = changed_graphs(onnx.load(path, load_external_data=False), spec, change)
    return Source(graph, change.spec(spec), origin)
