"""Models and pictures for `translate evaluate`, whose numbers are known by hand."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from translate.cli.main import main
from translate.spec import METADATA_KEY, ModelSpec

SAME = ModelSpec(
    name="same", task="pix2pix", architecture="identity", licence="CC0 <b>", training_data="none & nothing"
)
Array = np.ndarray


def model(path: Path, spec: ModelSpec, control: str = "") -> Path:
    """A model that adds 10 times its control (`label`, `style` or `detail`) to its input, or nothing.

    With scale 2 every pixel is repeated.
    """
    size = (1.0, float(spec.scale), float(spec.scale), 1.0)
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node(
            "Resize",
            ["floats", "", "size"],
            ["large"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
    ]
    constants = [helper.make_tensor("size", TensorProto.FLOAT, [4], size)]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])]
    last = "large"
    if control:
        kind, shape = {
            "label": (TensorProto.INT64, [1]),
            "style": (TensorProto.FLOAT, [1, spec.style_size]),
            "detail": (TensorProto.FLOAT, [1]),
        }[control]
        inputs.append(helper.make_tensor_value_info(control, kind, shape))
        constants += [
            helper.make_tensor(control, kind, shape, [0] * math.prod(shape)),
            helper.make_tensor("ten", TensorProto.FLOAT, [], [10.0]),
        ]
        nodes += [
            helper.make_node("Cast", [control], ["number"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["number"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "ten"], ["more"]),
            helper.make_node("Add", ["large", "more"], ["moved"]),
        ]
        last = "moved"
    nodes += [
        helper.make_node("Round", [last], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["output"], to=TensorProto.UINT8),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.UINT8, ["N", "H2", "W2", 3])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(made, {METADATA_KEY: spec.to_json()})
    onnx.save(made, path)
    return path


def spec_of(task: str, **changes: Any) -> ModelSpec:
    return dataclasses.replace(SAME, task=task, **changes)


def picture(seed: int, height: int = 40, width: int = 48) -> Array:
    """Soft blots, 50 to 200, uint8."""
    coarse = np.random.default_rng(seed).integers(50, 200, (6, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).clip(50, 200)


def save(path: Path, image_HWC: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_HWC).save(path)
    return path


def evaluate(out: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run the verb, which must end well; returns metrics.json."""
    assert main(["evaluate", *map(str, arguments), "--out", str(out)]) == 0
    return json.loads((out / "metrics.json").read_text())
