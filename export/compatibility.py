"""Which ONNX runtimes can read a file: its IR version, its opset, and how it offers the controls of the model.

A runtime refuses a file whose IR version or opset is newer than itself, even if the graph uses nothing new.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper

from translate.files import atomic_path

Controls = Literal["optional", "required", "fixed"]
"""How a graph offers `label`, `style` and `detail`.

optional: they may be left out. Each is a graph input with an initializer as its default. ONNX Runtime warns about every
    such input when it opens the file, and other runtimes (OpenVINO, ONNX Runtime Web) hide them and use the default.
required: they have to be given, as in any runtime.
fixed: they are constants, and the only input is the picture.
"""

_OPTIONAL_INPUTS_IR = 4
"""First IR version in which an initializer is the default of an input, and not a constant."""


def lower_versions(model: onnx.ModelProto) -> None:
    """Set the opset to the lowest that has all operators of the graph in the same version, and the IR version to match.

    The graph keeps its meaning: an operator that has not changed since opset 13 is the same in 13 and 18. The exporter
    writes IR version 10, but opset 18 needs only 8, which ONNX Runtime 1.15 reads.

    Args:
        model: without functions, and without the metadata of nodes and values that IR version 10 introduced.
    """
    for opset in model.opset_import:
        since = [
            onnx.defs.get_schema(node.op_type, opset.version, opset.domain).since_version
            for node in _nodes(model.graph)
            if node.domain == opset.domain
        ]
        opset.version = max(since, default=opset.version)
    model.ir_version = max(_OPTIONAL_INPUTS_IR, onnx.helper.find_min_ir_version_for(model.opset_import))


def rewrite_versions(source: Path, target: Path) -> None:
    """Write a copy of an exported file with the lowest versions; graph, weights and metadata stay the same.

    Raises:
        OSError: the file cannot be read or written.
    """
    model = onnx.load(source)
    lower_versions(model)
    onnx.checker.check_model(model, full_check=True)
    with atomic_path(target) as temporary:
        temporary.write_bytes(model.SerializeToString())


def offer_controls(model: onnx.ModelProto, defaults: Mapping[str, np.ndarray], controls: Controls) -> None:
    """Make the inputs with these names optional, leave them required, or replace them by constants, in place."""
    if controls == "required":
        return
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in defaults.items())
    if controls == "fixed":
        left = [value for value in model.graph.input if value.name not in defaults]
        del model.graph.input[:]
        model.graph.input.extend(left)


def take_defaults(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Make the optional inputs of a graph required ones, in place, and return their defaults by name."""
    names = {value.name for value in model.graph.input}
    defaults = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer if one.name in names}
    kept = [one for one in model.graph.initializer if one.name not in names]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return defaults


def _nodes(graph: Any) -> Iterator[Any]:
    """All nodes of a graph, including those of its branches and loops."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            inner: Iterable[Any] = [attribute.g, *attribute.graphs]
            for one in inner:
                yield from _nodes(one)
