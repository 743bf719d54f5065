"""Exports a generator to one self-contained ONNX file with its spec in the metadata.

Shapes: N batch, H height, W width, C channels, S style size.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import nn

from export.compatibility import Controls, lower_versions, offer_controls
from export.instance_norm import normalise_by_rows
from export.quiet import quiet
from export.sixteen_bits import carry_sixteen_bits
from translate import __version__
from translate.errors import ModelError
from translate.files import atomic_path
from translate.inference.controls import default_inputs, graph_inputs, style_as_text
from translate.inference.graph_file import weights_digest
from translate.spec import METADATA_KEY, PARITY_KEY, TRAINING_KEY, ModelSpec
from translate.trainers.base import pixel_translator

WeightFormat = Literal["float16", "float32"]

SMALL = 1 << 14
"""Constants with fewer elements stay float32. They are a twentieth of the file and include the layers near the output,
where rounding is most visible: with this limit, only a quarter as many pixels differ as when all are rounded."""


def build_graph(
    generator: nn.Module,
    spec: ModelSpec,
    weights: WeightFormat,
    controls: Controls = "optional",
    fixed: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Export `generator` with pixels in and out.

    Args:
        generator: float32, on the CPU.
        spec: its spec; `size_multiple` and `scale` are built into the graph.
        weights: float16 halves the file; computation stays in float32.
        controls: how `label`, `style` and `detail` are offered.
        fixed: their values for `controls` fixed, as `Engine.__call__` takes them; others have their defaults.

    Returns:
        Graph with input `image` uint8 (N, H, W, C) and output `translated` uint8 (N, H*scale, W*scale, C), with dynamic
        N, H and W (uint16 if the spec says so), and the inputs `label`, `style` and `detail` that the model has. Models
        that run at the picture's own size also support 16 bits by another optional input, see `export.sixteen_bits`,
        unless `controls` rules out optional inputs. The opset and the IR version are the lowest possible.
    """
    return finish(trace(pixel_translator(generator, spec).eval(), spec), spec, weights, controls, fixed)


def trace(translator: nn.Module, spec: ModelSpec) -> onnx.ModelProto:
    """The slow first half of `build_graph`, which depends on neither `weights` nor `controls`.

    Args:
        translator: pixels (N, H, W, C) in and out, float32, on the CPU, in evaluation mode.
        spec: its spec.

    Returns:
        Graph as `finish` takes it: all weights float32, all inputs required, opset 18.

    Raises:
        ModelError: the exporter of PyTorch cannot express the network.
    """
    # Sizes that are neither one nor round multiples, so that no dimension is mistaken for a constant.
    side = max(spec.size_multiple, 8)
    example = torch.zeros(
        2, 2 * side + 5, 3 * side + 7, spec.input_channels, dtype=torch.uint8 if spec.input_bits == 8 else torch.uint16
    )
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    # By keyword, because the model may lack some of the controls.
    given = {name: torch.from_numpy(value) for name, value in default_inputs(spec).items()}
    with warnings.catch_warnings(), torch.no_grad(), quiet():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        try:
            program = torch.onnx.export(
                translator,
                (),
                kwargs={"image": example, **given},
                dynamo=True,
                input_names=["image", *given],
                output_names=["translated"],
                dynamic_shapes={"image": free, **dict.fromkeys(given)},
                opset_version=18,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            raise ModelError(
                f"{spec.name} cannot be expressed in ONNX by PyTorch {torch.__version__} ({reason}); choose a model of "
                "another architecture"
            ) from None
    assert program is not None
    model = program.model_proto
    _strip_traces(model)
    _name_axes(model)
    return model


def finish(
    traced: onnx.ModelProto,
    spec: ModelSpec,
    weights: WeightFormat,
    controls: Controls = "optional",
    fixed: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """The quick second half of `build_graph`; `traced`, the result of `trace`, stays as it is."""
    model = onnx.ModelProto()
    model.CopyFrom(traced)
    normalise_by_rows(model)
    if weights == "float16":
        store_as_float16(model)
    if controls == "optional" and (spec.input_bits, spec.output_bits, spec.working_size) == (8, 8, None):
        carry_sixteen_bits(model)
    offer_controls(model, {**default_inputs(spec), **graph_inputs(spec, **(fixed or {}))}, controls)
    lower_versions(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def without_controls(spec: ModelSpec, values: Mapping[str, Any] | None = None) -> ModelSpec:
    """The spec of the same model when its controls are fixed, with their values in `fixed`.

    Args:
        spec: before.
        values: the controls, as `Engine.__call__` takes them; those that are left out have their defaults.
    """
    chosen = graph_inputs(spec, **(values or {}))
    inputs = {**default_inputs(spec), **chosen}
    fixed: dict[str, str] = {}
    if spec.labels:
        fixed["label"] = spec.labels[int(inputs["label"][0])]
    if spec.style_size:
        fixed["style"] = style_as_text([float(number) for number in inputs["style"][0]])
    if spec.detail:
        fixed["detail"] = f"{inputs['detail'][0]:g}"
    return dataclasses.replace(
        spec, labels=(), style_size=0, style_kind="", default_style=(), detail=False, fixed={**spec.fixed, **fixed}
    )


def write_model(model: onnx.ModelProto, spec: ModelSpec, path: Path, training: str = "", parity: str = "") -> ModelSpec:
    """Add the spec to the metadata and write the file atomically.

    Args:
        model: the result of `build_graph`.
        spec: its spec.
        path: output file.
        training: the result of `translate.training.exported.training_facts`, for files that can be trained further.
        parity: the summary of the parity report, see `translate.spec.PARITY_KEY`.

    Returns:
        The spec as written, with the digest of the weights and the producer.

    Raises:
        ModelError: the file cannot be written.
    """
    digest = weights_digest((name, value.tobytes()) for name, value in constants(model).items())
    spec = dataclasses.replace(spec, weights_sha256=digest, producer=f"translate {__version__}")
    facts = {METADATA_KEY: spec.to_json(), "licence": spec.licence, "task": spec.task}
    if training:
        facts[TRAINING_KEY] = training
    if parity:
        facts[PARITY_KEY] = parity
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
    """Remove source paths and stack traces, which describe the exporting machine rather than the model."""
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
    """Name the dynamic axes of the input N, H and W."""
    for axis, name in zip(model.graph.input[0].type.tensor_type.shape.dim, ("N", "H", "W"), strict=False):
        axis.dim_param = name


def store_as_float16(model: onnx.ModelProto) -> None:
    """Replace large float32 constants by float16 constants and a cast, which runtimes fold once on loading."""
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


def unpack_weights(model: onnx.ModelProto) -> None:
    """Undo `store_as_float16`, in place: the rounded weights as float32, and no casts."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        tensor = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is None:
            nodes.append(node)
        else:
            value = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The initializers of the graph by name, as stored."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
