"""A graph of ours -> another of the same network: in another precision, or with other inputs."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.shape_inference
from numpy.typing import NDArray

from export.compatibility import Controls, lower_versions, offer_controls, take_defaults
from export.half import to_half
from export.quantise import to_int8
from export.sixteen_bits import drop_sixteen_bits
from export.to_onnx import WeightFormat, store_as_float16, unpack_weights, without_controls
from export.verify import varied_controls
from translate.errors import ConfigError, ModelError
from translate.inference.controls import default_inputs, graph_inputs, numbered_style, style_from_text
from translate.pictures.operations import Pixels
from translate.spec import IMAGE_REST, ModelSpec, Precision


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to become of a graph; by default everything stays as it is."""

    precision: Precision | None = None
    """Numbers to compute in; only a float32 graph can be converted."""
    calibration: Sequence[Pixels] = ()
    """Inputs (H, W, C) to calibrate int8 on."""
    min_psnr: float | None = None
    """Lowest PSNR in dB, of any picture, against the old graph; None: `export.verify.MIN_PSNR`."""
    weights: WeightFormat | None = None
    """How float32 weights are stored."""
    controls: Controls | None = None
    """How label, style and detail are offered."""
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Values for `controls` fixed, as `Engine.__call__` takes them; those that are left out have their defaults."""

    @property
    def lossy(self) -> bool:
        """Whether the graph will compute less precisely."""
        return self.precision in ("fp16", "int8")

    def spec(self, spec: ModelSpec) -> ModelSpec:
        """The spec of the new graph, from that of the old one."""
        spec = dataclasses.replace(spec, precision=self.precision or spec.precision)
        return without_controls(spec, self.fixed) if self.controls == "fixed" else spec


def changed_graphs(model: onnx.ModelProto, spec: ModelSpec, change: Change) -> list[onnx.ModelProto]:
    """The new graph; and for fp16 a second one, which emulates it, see `export.half.to_half`.

    Args:
        model: the old graph; it is changed.
        spec: of the old graph, with the default style of the new one.
        change: what to do.

    Raises:
        ModelError: the graph cannot be converted.
    """
    given = take_defaults(model)
    if change.controls in ("required", "fixed"):
        drop_sixteen_bits(model)
        given.pop(IMAGE_REST, None)
    made = _converted(model, spec, given, change)
    values = {**given, **default_inputs(spec)}
    for graph in made:
        if change.controls is None:
            offer_controls(graph, {name: values[name] for name in given}, "optional")
        else:
            offer_controls(graph, {**values, **graph_inputs(spec, **change.fixed)}, change.controls)
        lower_versions(graph)
        try:
            onnx.checker.check_model(graph, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ModelError(
                f"{spec.name} cannot be converted to {change.precision} ({' '.join(str(error).split())[:200]}); "
                "omit --precision"
            ) from None
    return made


def _converted(
    model: onnx.ModelProto, spec: ModelSpec, given: Mapping[str, NDArray[Any]], change: Change
) -> list[onnx.ModelProto]:
    """The graph in the other precision, or with weights stored in another way; all inputs are required."""
    if change.weights is not None or change.lossy:
        unpack_weights(model)
    if change.weights == "float16":
        store_as_float16(model)
    if change.precision == "fp16":
        return [to_half(model), to_half(model, emulated=True)]
    if change.precision == "int8":
        rest = {**given, **default_inputs(spec), **graph_inputs(spec, **change.fixed)}
        left = change.spec(spec)  # ranges are those of the values that are built in, or of many where they are inputs
        runs = [
            {"image": image_HWC[None], **rest, **graph_inputs(left, **varied_controls(left, number))}
            for number, image_HWC in enumerate(change.calibration)
        ]
        return [to_int8(model, runs)]
    return [model]


def frozen_controls(texts: Sequence[str], spec: ModelSpec) -> dict[str, Any]:
    """Read `label=shoe`, `style=3` (or `style=0.5,-1,...`) and `detail=0.5`, as `Engine.__call__` takes them.

    Raises:
        ConfigError: the model does not have the control or the value, or it is given twice.
    """
    there = {
        "label": f"label ({', '.join(spec.labels)})" if spec.labels else "",
        "style": f"style (a number, or {spec.style_size} with commas between them)" if spec.style_size else "",
        "detail": "detail (0 to 1)" if spec.detail else "",
    }
    offered = ", ".join(filter(None, there.values()))
    chosen: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not offered:
            raise ConfigError(f"--freeze {text}: {spec.name} has no label, style or detail; omit --freeze")
        if not there.get(name) or not value:
            raise ConfigError(f"--freeze {text}: give NAME=VALUE; {spec.name} has: {offered}")
        if name in chosen:
            raise ConfigError(f"--freeze gives {name} twice; give it once")
        chosen[name] = _value(name, value, spec)
    graph_inputs(spec, **chosen)
    return chosen


def _value(name: str, text: str, spec: ModelSpec) -> Any:
    if name == "label":
        return text
    if name == "detail":
        try:
            return float(text)
        except ValueError:
            raise ConfigError(f"--freeze detail={text}: give a number from 0 to 1") from None
    style = style_from_text(text)
    if isinstance(style, int):
        if style < 0:
            raise ConfigError(f"--freeze style={text} is out of range; give 0 or more")
        return numbered_style(style, spec)
    return np.array(style, np.float32)
