"""Model files as a starting point for training: the metadata stored for it, and how it is read.

In addition to the weights in the graph, the metadata entry `translate.spec.TRAINING_KEY` holds as JSON:

    settings    the trainer's settings that define the generator and its conditioning
    names       parameter of the generator -> initializer of the graph and shape, if the exporter renamed it; an empty
                name means zero
    buffers     small buffers of the trainer that the generator depends on: the statistics of colour styles

Older files lack the entry; their settings are derived from the spec.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from translate.data.framing import JITTER
from translate.errors import ModelError, require
from translate.networks.colour_style import colour_style_size
from translate.spec import TRAINING_KEY, ModelSpec
from translate.trainers.adversarial import AdversarialGame
from translate.trainers.base import Trainer

PREFIX = "generator."
"""Prefix that the exporter adds to the names of the generator's parameters."""

HALF = ".half"
"""Suffix for those stored as float16."""

_SETTINGS = {
    "scale", "detail_blocks", "style_size", "style_kind", "labels", "label_names", "channels", "framing", "image_size",
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """The contents of a model file that training can start from."""

    path: Path
    spec: ModelSpec
    settings: Mapping[str, Any]
    """Values of fields of the trainer's config."""
    weights: Mapping[str, Tensor]
    """float32, by the name of the generator's parameter or buffer."""
    buffers: Mapping[str, Tensor]
    """float32, by the name in the trainer."""


def training_facts(trainer: Trainer, generator: nn.Module, constants: Mapping[str, NDArray[Any]]) -> str:
    """The metadata entry for a file.

    Args:
        trainer: the trainer of the exported generator.
        generator: as exported: float32, on the CPU, kernels folded.
        constants: the graph's initializers by name, float16 if stored so.
    """
    settings = {
        name: value
        for name, value in trainer.config.settings().items()
        if name in _SETTINGS or (name.startswith("generator") and name != "generator_lr")
    }
    buffers = {
        f"{name}.{key}": value.tolist()
        for name, part in trainer.named_children()
        if not isinstance(part, AdversarialGame) and not list(part.parameters())
        for key, value in part.state_dict().items()
    }
    return json.dumps({"settings": settings, "names": _other_names(generator, constants), "buffers": buffers})


def read_exported(path: Path) -> Exported:
    """Read a file written by `translate export`.

    Raises:
        MissingExtra: the package onnx is not installed.
        ModelError: not an ONNX file, not written by `translate export`, or with weights in 8 bits.
    """
    require("export", "onnx")
    import onnx
    import onnx.numpy_helper
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise ModelError(f"--start-from {path} cannot be read as ONNX ({error}); give a complete .onnx file") from None
    facts = {entry.key: entry.value for entry in model.metadata_props}
    spec = ModelSpec.from_metadata(facts, f"--start-from {path}")
    if spec.precision == "int8":
        raise ModelError(f"--start-from {path}: weights in int8 cannot be trained; give the float32 file")
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    found: dict[str, Any] = json.loads(facts.get(TRAINING_KEY, "{}"))
    weights = {
        name.removeprefix(PREFIX).removesuffix(HALF): _float32(value)
        for name, value in constants.items()
        if name.startswith(PREFIX)
    }
    for name, (other, shape) in found.get("names", {}).items():
        weights[name] = _float32(constants[other]).reshape(shape) if other else torch.zeros(shape)
    settings = found.get("settings") or _settings_from(spec)
    buffers = {name: torch.tensor(value) for name, value in found.get("buffers", {}).items()}
    return Exported(path, spec, {name: _frozen(value) for name, value in settings.items()}, weights, buffers)


def _other_names(generator: nn.Module, constants: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, list[int]]]:
    """Parameters with other names in the graph, and their shapes.

    The exporter merges equal constants, drops zero biases, and reshapes a few constants (the slopes of PReLU).
    """
    found: dict[str, tuple[str, list[int]]] = {}
    by_value = {_content(value): name for name, value in constants.items()}
    for name, parameter in generator.state_dict().items():
        if PREFIX + name in constants or PREFIX + name + HALF in constants:
            continue
        value = parameter.detach().numpy()
        other = by_value.get(_content(value)) or by_value.get(_content(value.astype(np.float16)))
        if other is not None or not value.any():
            found[name] = (other or "", list(value.shape))
    return found


def _content(value: NDArray[Any]) -> tuple[str, bytes]:
    return str(value.dtype), np.ascontiguousarray(value).tobytes()


def _float32(value: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(value, np.float32))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _settings_from(spec: ModelSpec) -> dict[str, Any]:
    """The settings of a file without the entry, as far as they follow from its spec."""

    def bits(channels: int, depth: int) -> str:
        return str(channels) if depth == 8 else f"{channels}x{depth}"

    ends = bits(spec.input_channels, spec.input_bits), bits(spec.output_channels, spec.output_bits)
    settings: dict[str, Any] = {"channels": ends[0] if ends[0] == ends[1] else ":".join(ends), **_built(spec)}
    if spec.scale > 1:
        settings["scale"] = spec.scale
    if spec.labels:
        settings |= {"labels": True, "label_names": spec.labels}
    if spec.style_size:
        # Files of earlier versions do not say it; pictures of one channel have three such numbers.
        colours = spec.style_kind != "learned" and spec.style_size == colour_style_size(spec.output_channels)
        settings |= {"style_size": spec.style_size, "style_kind": "colours" if colours else "learned"}
    if spec.working_size:
        settings |= {"framing": "fit", "image_size": spec.working_size}
    elif spec.scene_size:
        settings["image_size"] = round(spec.scene_size / JITTER)
    return settings


def _built(spec: ModelSpec) -> dict[str, Any]:
    """The settings of the generator, parsed from the description of its architecture."""
    words = spec.architecture
    if found := re.match(r"UNet widths \(([\d, ]+)\), (\d+) middle blocks", words):
        widths = [int(width) for width in found[1].split(",") if width.strip()]
        padding = "replicate" if "replicate padding" in words else "zeros"
        return {
            "generator": "unet",
            "generator_widths": widths,
            "generator_blocks": int(found[2]),
            "generator_padding": padding,
            "generator_upsampling": "bilinear" if "bilinear upsampling" in words else "nearest",
        }
    if found := re.match(r"(ResidualSR|SRResNet) width (\d+), (\d+) blocks(?: and (\d+) of detail)?", words):
        return {
            "generator": "residual" if found[1] == "ResidualSR" else "srresnet",
            "generator_width": int(found[2]),
            "generator_blocks": int(found[3]),
            "detail_blocks": int(found[4] or 0),
        }
    if found := re.match(r"pix2pix U-Net-\d+, width (\d+)", words):
        return {"generator": "classic-unet", "generator_width": int(found[1])}
    if found := re.match(r"ResNet-(\d+), width (\d+)", words):
        return {"generator": "resnet", "generator_blocks": int(found[1]), "generator_width": int(found[2])}
    return {}
