"""A snapshot -> one self-contained, self-describing ONNX file.

Shapes: N batch, H height, W width, C channels, S style size.
"""

import dataclasses
import hashlib
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import nn

from export.sixteen_bits import carry_sixteen_bits
from translate import __version__
from translate.engine import numbered_style
from translate.errors import ModelError
from translate.files import atomic_path
from translate.spec import METADATA_KEY, TRAINING_KEY, ModelSpec
from translate.trainers.base import pixel_translator

WeightFormat = Literal["float16", "float32"]

SMALL = 1 << 14
"""Constants of fewer elements stay float32. They are a twentieth of the file, and among them are the layers near the
output, whose rounding shows: at this limit a quarter as many pixels differ as when all are rounded."""


def build_graph(generator: nn.Module, spec: ModelSpec, weights: WeightFormat) -> onnx.ModelProto:
    """Export `generator` with pixels in and out.

    Args:
        generator: float32, on the CPU.
        spec: its contract; `size_multiple` and `scale` are built into the graph.
        weights: float16 halves the file; the arithmetic stays float32.

    Returns:
        Graph with input `image` uint8 (N, H, W, C) and output `translated` uint8 (N, H*scale, W*scale, C), N, H and W
        free (uint16 where the spec says so), and the optional inputs `label`, `style` and `detail` where it has them.
        Models that see pictures at their own size carry 16 bits beside the 8, see `export.sixteen_bits`.
    """
    translator = pixel_translator(generator, spec).eval()
    # Sizes that are neither one nor multiples of anything, so that no dimension is taken for a constant.
    side = max(spec.size_multiple, 8)
    example = torch.zeros(
        2, 2 * side + 5, 3 * side + 7, spec.input_channels, dtype=torch.uint8 if spec.input_bits == 8 else torch.uint16
    )
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    optional = optional_inputs(spec)
    # By keyword, since the first of the optional inputs may be one that is missing.
    knobs = {name: torch.from_numpy(value) for name, value in optional.items()}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's notes on its own internals
        program = torch.onnx.export(
            translator,
            (),
            kwargs={"image": example, **knobs},
            dynamo=True,
            input_names=["image", *knobs],
            output_names=["translated"],
            dynamic_shapes={"image": free, **dict.fromkeys(knobs)},
            opset_version=18,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip_traces(model)
    _name_axes(model)
    if weights == "float16":
        _store_as_float16(model)
    if (spec.input_bits, spec.output_bits, spec.working_size) == (8, 8, None):
        carry_sixteen_bits(model)
    for name, value in optional.items():
        # An input with a value of its own name is one that callers may leave out.
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.checker.check_model(model, full_check=True)
    return model


def optional_inputs(spec: ModelSpec) -> dict[str, np.ndarray]:
    """The knobs of a model and what they are when nobody turns them.

    `label` int64 (1,), `style` float32 (1, S), `detail` float32 (1,).
    """
    knobs: dict[str, np.ndarray] = {}
    if spec.labels:
        knobs["label"] = np.zeros(1, np.int64)
    if spec.style_size:
        knobs["style"] = numbered_style(0, spec)[None]
    if spec.detail:
        knobs["detail"] = np.zeros(1, np.float32)
    return knobs


def write_model(model: onnx.ModelProto, spec: ModelSpec, path: Path, training: str = "") -> ModelSpec:
    """Put the contract into the metadata and write the file whole or not at all.

    Args:
        model: what `build_graph` returns.
        spec: its contract.
        path: of the file.
        training: what `translate.trainers.exported.training_facts` returns, for files that training can go on from.

    Returns:
        The spec as written, with weights' digest and producer.

    Raises:
        ModelError: the file cannot be written.
    """
    spec = dataclasses.replace(spec, weights_sha256=_digest(model), producer=f"translate {__version__}")
    facts = {METADATA_KEY: spec.to_json(), "licence": spec.licence, "task": spec.task}
    if training:
        facts[TRAINING_KEY] = training
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = "translate", __version__
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(model.SerializeToString())
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}; choose another file with -o") from None
    return spec


def _strip_traces(model: onnx.ModelProto) -> None:
    """Remove source paths and stack traces, which describe the exporting machine and not the model."""
    del model.metadata_props[:]
    for item in (
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        item.doc_string = ""
        del item.metadata_props[:]
    del model.graph.metadata_props[:]


def _name_axes(model: onnx.ModelProto) -> None:
    """Call the free axes of the input N, H and W."""
    for axis, name in zip(model.graph.input[0].type.tensor_type.shape.dim, ("N", "H", "W"), strict=False):
        axis.dim_param = name


def _store_as_float16(model: onnx.ModelProto) -> None:
    """Replace large float32 constants by float16 ones and a cast, which runtimes fold once at loading."""
    casts: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < SMALL:
            continue
        name = tensor.name
        half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half")
        tensor.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The graph's initialisers by name, as they are stored."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _digest(model: onnx.ModelProto) -> str:
    """SHA-256 over names and bytes of the weights, in order of their names."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        digest.update(tensor.name.encode() + b"\0" + onnx.numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()
