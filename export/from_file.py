"""`translate export FILE.onnx`: an exported file in another precision, or with other inputs."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from export.changed import frozen_controls
from export.inputs import model_inputs
from export.options import COMPARED_LOSSY
from export.to_onnx import constants
from export.written import write_changed
from translate.errors import ConfigError
from translate.inference.engine import Engine
from translate.inference.models import find, resolve
from translate.spec import PARITY_KEY, TRAINING_KEY

if TYPE_CHECKING:
    from export.command import ExportOptions


def is_file(source: str) -> bool:
    """Whether this names an exported file or a known model, not the folder of a run."""
    if Path(source).is_dir():
        return False
    return source.lower().endswith(".onnx") or find(source) is not None


def change_file(options: "ExportOptions") -> None:
    """Write the file that the options describe, compared with the one that they name.

    Raises:
        ConfigError: an option is for runs only, or contradicts what the file is.
        ModelError: the file cannot be read or converted, or the new one would be too different.
    """
    original = resolve(options.source)
    if options.output.exists() and options.output.samefile(original):
        raise ConfigError(f"-o {options.output} is the file itself; choose another name")
    _refuse_options_of_runs(options)
    before = Engine(original, device="cpu").spec
    if options.precision not in (None, before.precision) and before.precision != "float32":
        raise ConfigError(
            f"{original} computes in {before.precision}, which cannot be undone; give the float32 file it was made from"
        )
    if options.weights is not None and before.precision != "float32":
        raise ConfigError(f"--weights is for float32, but {original} computes in {before.precision}; omit it")
    spec = options.with_facts(before)
    fixed = frozen_controls(options.freeze, spec)
    change, held_out = options.change(spec)
    if options.precision == before.precision:
        change = dataclasses.replace(change, precision=None)
    change = dataclasses.replace(change, controls="fixed" if fixed else options.controls, fixed=fixed)
    pictures = held_out if held_out and not options.images else model_inputs(options.images, spec, COMPARED_LOSSY)
    model = onnx.load(original)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    write_changed(
        original,
        model,
        spec,
        pictures,
        options.output,
        change,
        network=_network(facts.get(PARITY_KEY, "{}")),
        training=_training(facts.get(TRAINING_KEY, "")),
    )


def _network(text: str) -> dict[str, Any] | None:
    """How far the file is from the trained network, as it says itself."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if found.get("compared_with", "network") != "network":
        return found.get("network")
    return {name: value for name, value in found.items() if name not in ("sha256", "compared_with")} or None


def _training(text: str) -> Callable[[onnx.ModelProto], str]:
    """The facts for further training, for another graph: constants in half precision have another name."""

    def carried(model: onnx.ModelProto) -> str:
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError):  # there are none, or training will say what is wrong
            return text
        there = constants(model)
        for name, (other, shape) in facts.get("names", {}).items():
            stem = other.removesuffix(".half")
            facts["names"][name] = (next((one for one in (stem, f"{stem}.half") if one in there), other), shape)
        return json.dumps(facts)

    return carried


def _refuse_options_of_runs(options: "ExportOptions") -> None:
    for name in ("direction", "snapshot", "bits"):
        default = next(field.default for field in dataclasses.fields(options) if field.name == name)
        if getattr(options, name) != default:
            raise ConfigError(f"--{name} is for runs, but {options.source} is a file; omit it or export the run again")
