"""The command `translate info`."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from translate.errors import ModelError, one_line
from translate.inference.model_file import check_graph, read_onnx
from translate.inference.models import added, checked_folder, resolve, shipped
from translate.inference.session import Session
from translate.options import parse_options
from translate.spec import METADATA_KEY, PARITY_KEY, PARITY_SUFFIX, RESULT_REST, ModelSpec

EXIT_MISMATCH = 1

_PRECISIONS = {
    "float32": "float32",
    "fp16": "fp16: computes in half precision, pixels and statistics in float32",
    "int8": "int8: convolutions in 8 bits, the rest in float32",
}


@dataclass(frozen=True)
class InfoOptions:
    """Print what a model file is: inputs and outputs, cost, licence, training data, metrics, and whether its weights
    and its parity report are those that were recorded in it. The exit status is 1 if one of them is not, or if the
    inputs and outputs are not as the file says."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE.onnx|NAME")]
    """An .onnx file, or the name of a model (see `translate models`)."""
    models_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: per user)")] = None
    """Folder of .onnx files that can be used by name, like those that `translate models add` puts there."""
    json: bool = False
    """Print everything as one JSON object."""


def main(argv: list[str]) -> int:
    """Print the facts and return 0, or 1 if the weights, the report or the graph are not as the file says."""
    options = parse_options(InfoOptions, argv, "translate info")
    folder = checked_folder(options.models_dir) if options.models_dir else None
    facts = model_facts(resolve(options.model, models_dir=folder, foreign=True), folder)
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
    else:
        lines = [(label, one_line(value)) for label, value in _lines(facts) if value]
        sys.stdout.writelines(f"{label:<16} {value}\n" for label, value in lines)
    differs = "differs" in (facts["weights"], facts["parity_report"]["state"])
    return EXIT_MISMATCH if differs or facts["unfit"] else 0


def model_facts(path: Path, models_dir: Path | None) -> dict[str, Any]:
    """Everything that can be said about a model file, as `--json` prints it; see docs/deploy.md.

    Args:
        path: the file.
        models_dir: the folder of added models; None: the user's.

    Raises:
        ModelError: missing, truncated, not ONNX, or the spec is damaged.
    """
    graph = read_onnx(path)
    chosen = Session(path, threads=1, device="auto")
    # Other devices may have got another copy of the graph.
    session = chosen if chosen.device == "cpu" else Session(path, threads=1, device="cpu")
    text = session.metadata.get(METADATA_KEY)
    spec = ModelSpec.from_json(text, str(path)) if text else None
    unfit = ""
    try:
        if spec:
            check_graph(graph, spec, "")
    except ModelError as error:
        unfit = str(error).removeprefix(": ")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    about, opened = session.ort_session.get_modelmeta(), session.ort_session
    parity = _json_object(session.metadata.get(PARITY_KEY, ""))
    return {
        "file": str(path),
        "bytes": len(content),
        "sha256": digest,
        "shipped": _shipped(path, digest),
        "added": _added(path, models_dir),
        "spec": dataclasses.asdict(spec) if spec else None,
        "inputs": [
            *(_value(one, optional=False) for one in opened.get_inputs()),
            *(_value(one, optional=True) for one in opened.get_overridable_initializers()),
        ],
        "outputs": [_value(one, optional=False) for one in opened.get_outputs()],
        "device": {"device": chosen.device, "why": chosen.why},
        "producer": spec.producer if spec else about.producer_name,
        "ir_version": graph.ir_version,
        "opsets": dict(graph.opsets),
        "operators": dict(graph.operators),
        "unfit": unfit,
        "weights": _agreement(spec.weights_sha256 if spec else "", graph.weights_sha256),
        "parity": parity,
        "parity_report": _parity_report(path, str((parity or {}).get("sha256", ""))),
    }


def _value(one: Any, *, optional: bool) -> dict[str, Any]:
    """An input or output of the graph."""
    kind = {"tensor(float)": "float32", "tensor(double)": "float64"}.get(one.type)
    kind = kind or one.type.removeprefix("tensor(").removesuffix(")")
    return {"name": one.name, "type": kind, "shape": list(one.shape), "optional": optional}


def _shipped(path: Path, sha256: str) -> dict[str, Any] | None:
    """The shipped model that this file is, or whose place it has; None for other files."""
    for model in shipped():
        if model.sha256 == sha256 or (model.file.exists() and model.file.samefile(path)):
            card = model.file.with_name("card.md")
            return {
                "name": model.name,
                "matches_index": model.sha256 == sha256,
                "card": str(card) if card.is_file() else None,
            }
    return None


def _added(path: Path, models_dir: Path | None) -> dict[str, Any] | None:
    """What is recorded about an added model; None for other files."""
    for model in added(models_dir):
        if model.source and model.file == path.absolute():
            return {"name": model.name, "source": model.source, "date": model.added, "licence": model.licence}
    return None


def _agreement(recorded: str, found: str) -> str:
    """What a recorded digest says about what is there."""
    if not recorded or not found:
        return "unchecked"
    return "matches" if recorded == found else "differs"


def _parity_report(path: Path, recorded: str) -> dict[str, Any]:
    """The report beside the file, if it names one: its path, and whether it is the recorded one."""
    report = path.with_suffix(PARITY_SUFFIX)
    if not recorded or not report.is_file():
        return {"path": str(report) if recorded else None, "state": "missing" if recorded else "none"}
    return {"path": str(report), "state": _agreement(recorded, hashlib.sha256(report.read_bytes()).hexdigest())}


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts as labels and values; those with an empty value are left out."""
    yield "file", f"{facts['file']} ({facts['bytes'] / 2**20:.1f} MiB)"
    yield "SHA-256", facts["sha256"]
    if found := facts["shipped"]:
        same = "is the file of the index" if found["matches_index"] else "DIFFERS from the file of the index"
        yield "shipped model", f"{found['name']}, {same}"
        yield "card", found["card"] or ""
    if found := facts["added"]:
        yield "added model", f"{found['name']}, added {found['date']} from {found['source']}"
    if facts["spec"]:
        yield from _spec_lines(facts["spec"], facts)
    else:
        yield "translate.spec", "none: not written by `translate`, so what its pictures mean is unknown"
    yield "cannot be used", facts["unfit"]
    for place in ("inputs", "outputs"):
        yield f"graph {place}", "; ".join(map(_described, facts[place]))
    yield "device", "{device} ({why})".format_map(facts["device"])
    yield "producer", facts["producer"]
    yield (
        "ONNX",
        ", ".join(
            [
                f"IR version {facts['ir_version']}",
                *(f"opset {number} ({name})" for name, number in facts["opsets"].items()),
            ]
        ),
    )
    yield "operators", ", ".join(f"{name} {count}" for name, count in facts["operators"].items())


def _spec_lines(spec: dict[str, Any], facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "name", spec["name"]
    yield "task", spec["task"] + (", from its output back to its input" if spec["direction"] == "back" else "")
    yield "network", spec["architecture"]
    rest = any(one["name"] == RESULT_REST for one in facts["outputs"])
    yield "input", f"{_channels(spec['input_channels'])}, {spec['input_bits']} bits"
    yield (
        "output",
        (
            f"{_channels(spec['output_channels'])}, {spec['output_bits']} bits"
            + (" (16 where the picture has 16)" if rest else "")
            + (f", {spec['scale']} times as wide and high" if spec["scale"] != 1 else "")
        ),
    )
    yield "labels", ", ".join(spec["labels"])
    if spec["style_size"]:
        kind = {"colours": "colours", "learned": "learned"}.get(spec["style_kind"], "")
        given = "with a default" if spec["default_style"] else ""
        yield "style", ", ".join(filter(None, (f"{spec['style_size']} numbers", kind, given)))
    yield "detail", "from 0 (most faithful) to 1 (sharpest)" if spec["detail"] else ""
    yield "restores", "blurred, noisy and compressed pictures" if spec["restores"] else ""
    yield "built in", ", ".join(f"{name} {value}" for name, value in spec["fixed"].items())
    yield "precision", _PRECISIONS.get(spec["precision"], str(spec["precision"]))
    yield "working size", f"{spec['working_size']} pixels, longer side" if spec["working_size"] else ""
    yield "scene size", f"{spec['scene_size']} pixels, shorter side" if spec["scene_size"] else ""
    field = spec["receptive_field"]
    yield "receptive field", f"{field} pixels" if field else "unbounded, the model sees the whole picture"
    yield "smallest size", f"{spec['min_size']} pixels"
    yield "parameters", f"{spec['parameters']:,}" if spec["parameters"] else "unknown"
    yield "cost", f"{spec['gmacs_256']:g} GMAC for 256 x 256 pixels" if spec["gmacs_256"] else "unknown"
    yield "memory", f"{spec['bytes_per_pixel']:,} bytes per input pixel"
    yield "licence", spec["licence"]
    yield "training data", spec["training_data"]
    yield "metrics", ", ".join(f"{name} {value:g}" for name, value in spec["metrics"].items()) or "none"
    said = {
        "matches": "matches the weights in the file",
        "differs": "DIFFERS from the weights in the file: they were changed after the export",
        "unchecked": "not checked",
    }
    yield "weights digest", f"{spec['weights_sha256'] or 'none'}, {said[facts['weights']]}"
    yield from _parity_lines(facts)


def _parity_lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    parity, report = facts["parity"], facts["parity_report"]
    if not parity:
        yield "parity", "not recorded (older files)"
        return
    try:
        sizes, batches = parity["sizes"], ", ".join(map(str, parity["batches"]))
        found = (
            f"{_difference(parity)}, mean {parity['mean']:.6f}, "
            f"{100 * parity['share']:.4f} % of the values differ; {len(sizes)} sizes from {sizes[0]} to {sizes[-1]}, "
            f"batches of {batches}, on {', '.join(parity['devices'])}"
        )
        before = _difference(parity["network"]) if parity.get("network") else ""
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        found, before = "recorded in a way that this version cannot read", ""
    yield "parity", found
    yield "parity before", before
    said = {
        "matches": "is the recorded one",
        "differs": "DIFFERS from the recorded one",
        "missing": "is not beside the file",
    }
    if report["path"]:
        yield "parity report", f"{report['path']} {said[report['state']]}"


def _difference(parity: dict[str, Any]) -> str:
    """How far something is from what it was compared with."""
    names = {"float32": "the float32 graph", "original": "the file it was made from"}
    text = f"largest difference from {names.get(parity.get('compared_with', ''), 'the network')} "
    text += f"{parity['largest']} of {parity['full']}"
    if least_db := parity.get("min_psnr_db"):
        text += f", PSNR at least {parity['psnr_db']:.1f} dB ({least_db:g} was demanded)"
    return text


def _channels(count: int) -> str:
    return {1: "grey", 3: "RGB"}.get(count, f"{count} channels")


def _described(one: dict[str, Any]) -> str:
    # Sizes that the exporter computed have long formulas as names.
    shape = ", ".join(str(axis) if isinstance(axis, int) or str(axis).isalpha() else "?" for axis in one["shape"])
    return f"{one['name']} {one['type']} ({shape})" + (", optional" if one["optional"] else "")
