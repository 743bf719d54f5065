"""The command `translate export`."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from translate.errors import ConfigError, DataError, ModelError, require
from translate.options import parse_options, quoted

if TYPE_CHECKING:
    from translate.spec import ModelSpec
    from translate.training.snapshot import Header


REAL_INPUTS = 32
"""Number of training pictures used to measure the margins around objects."""

COMPARED = 4
"""Number of these, evenly spread, on which the exported file and the network are compared."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Export a trained model to one .onnx file that any ONNX runtime can run, and verify that its output is the same.

    With --target web, triton or tensorrt, write a folder for another use; see `translate export --target web --help`.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder: the one given to `translate train --out`."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.onnx")]
    """Output file."""
    weights: Literal["float16", "float32"] = "float16"
    """Storage format of the weights. float16 halves the file size and is precise enough for 8-bit pictures; computation
    is in float32 either way."""
    direction: Literal["forward", "back"] = "forward"
    """Which generator to export; back is the second generator of a CycleGAN, e.g. night to day."""
    snapshot: Literal["last", "best"] = "last"
    """Which snapshot to export: the last one, or the one with the best validation score."""
    bits: Literal[8, 16] | None = None
    """Bit depth of input and output pixels; 16 for pictures with 16 bits per channel, whatever the model was trained
    on. Default: as in training, usually 8."""
    controls: Literal["optional", "required", "fixed"] = "optional"
    """Inputs for the label, style and detail of the model. optional: they may be left out; ONNX Runtime prints a
    warning about each when it opens the file, and some other runtimes hide them. required: they have to be given.
    fixed: there are none, the defaults are used. With the last two, 16 bits per channel need --bits 16."""
    default_style: Annotated[int, tyro.conf.arg(metavar="NUMBER")] = 0
    """Default style of the model, as a number for `translate convert --style`; 0 is the mean style, which for colours
    often looks dull."""
    images: Path | None = None
    """Folder of pictures for the verification, laid out like the training data. Default: the training data."""
    name: str = ""
    """Name of the model. Default: the name of the task; for --direction back, that of the reverse task, e.g.
    night-to-day."""
    licence: str = "unknown"
    """Licence of the model, stored in the file."""
    training_data: str = "unknown"
    """Description and licence of the training data, stored in the file."""
    metrics: Path | None = None
    """JSON file of quality metrics, {"name": number}, stored in the file."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: the output is not named .onnx, or the style number is negative.
        """
        if self.output.suffix != ".onnx":
            raise ConfigError(f"-o {self.output} does not end in .onnx; use for example {self.output.stem}.onnx")
        if self.default_style < 0:
            raise ConfigError(f"--default-style {self.default_style} is out of range; give 0 (the mean style) or more")


def main(argv: list[str]) -> int:
    """Export, verify, print the comparison and return the exit status."""
    if any(word.partition("=")[0] == "--target" for word in argv):
        from export.targets.command import main as write_target

        return write_target(argv)
    options = parse_options(ExportOptions, argv, "translate export")
    require(
        "export",
        "torch",
        "onnx",
        "onnxscript",
        "kornia",
        "albumentations",
        "lightning_fabric",
        "safetensors",
        "torchmetrics",
    )
    from export.to_onnx import constants
    from export.verify import save_for_report
    from export.written import write_verified
    from translate.inference.placement import typical_share
    from translate.training.exported import training_facts
    from translate.training.snapshot import BEST_NAME, FILE_NAME, read_header

    path = options.run / (FILE_NAME if options.snapshot == "last" else BEST_NAME)
    if options.snapshot == "best" and options.run.is_dir() and not path.is_file():
        raise ConfigError(f"{options.run} has no {BEST_NAME}, because there was no validation; omit --snapshot")
    header = read_header(path)
    trainer, task = _trainer(path, header)
    generator, spec = _generator(trainer, task, path, options.direction)
    spec = _with_options(spec, options)
    pictures = _real_inputs(trainer, task, header, options, spec.input_bits)
    if spec.working_size is not None:
        spec = dataclasses.replace(spec, content_share=typical_share(pictures))
    rows = write_verified(
        generator,
        spec,
        pictures[:: -(-len(pictures) // COMPARED)],
        options.output,
        weights=options.weights,
        controls=options.controls,
        training=lambda exported, model: training_facts(trainer, exported, constants(model)),
    )
    save_for_report([dataclasses.asdict(row) for row in rows], options.run / "parity.json")
    if spec.metrics:
        save_for_report(dict(spec.metrics), options.run / "metrics.json")
    size = options.output.stat().st_size / 2**20
    print(f"wrote {options.output} ({size:.1f} MiB); next: translate convert IN OUT --model {quoted(options.output)}")  # noqa: T201
    return 0


def _with_options(spec: "ModelSpec", options: ExportOptions) -> "ModelSpec":
    """The spec, updated with the command-line options.

    Raises:
        ConfigError: a default style for a model without styles, or unreadable metrics.
    """
    from translate.inference.controls import numbered_style

    if options.default_style:
        if not spec.style_size:
            raise ConfigError(f"--default-style: {options.run} was trained without styles; omit it")
        default_S = numbered_style(options.default_style, spec)
        spec = dataclasses.replace(spec, default_style=tuple(float(number) for number in default_S))
    if options.bits:
        spec = dataclasses.replace(spec, input_bits=options.bits, output_bits=options.bits)
    return dataclasses.replace(
        spec,
        name=options.name or spec.name,
        licence=options.licence,
        training_data=options.training_data,
        metrics=_metrics(options.metrics),
    )


def _trainer(path: Path, header: "Header") -> tuple[Any, Any]:
    """The trainer of a run, with initial weights, on the CPU; and its task."""
    from translate.tasks import TASKS
    from translate.tasks.base import load_object
    from translate.trainers.config import config_from_json

    if header.task not in TASKS:
        raise ModelError(f"{path} was trained for the task {header.task!r}, which is unknown here; update translate")
    task = TASKS[header.task]
    trainer_class = load_object(task.trainer)  # from the task, never a module named by an untrusted file
    config = config_from_json(trainer_class.config_class, header.config, str(path))
    # Activation checkpointing cannot be exported and does not affect the result; a few pictures need no cache, and no
    # sources without targets.
    without = {"checkpoint_activations": False, "cache": "", "unpaired_sources": "", "unpaired_label": ""}
    return trainer_class(config.replace(**without), task), task


def _generator(trainer: Any, task: Any, path: Path, direction: str) -> tuple[Any, Any]:
    """The generator for inference (averaged weights, float32, on the CPU) and its spec."""
    from translate.training.snapshot import load_state, read_tensors

    if direction not in trainer.directions:
        raise ConfigError(f"--direction is {direction}, but {path.parent} was trained forward only; omit it")
    name = trainer.directions[direction]
    generator = trainer.get_submodule(name)
    load_state(generator, f"average/{name}", read_tensors(path))
    spec = trainer.spec_of(direction)
    if direction == "back" and task.back:
        spec = dataclasses.replace(spec, name=task.back, task=task.back, direction="forward")
    return generator.eval(), spec


def _real_inputs(trainer: Any, task: Any, header: "Header", options: ExportOptions, bits: int) -> list[Any]:
    """Inputs of the generator from a few real pictures: uint8 or uint16 (H, W, C)."""
    import torch

    from translate.networks.pixels import signal_to_pixels
    from translate.training.batches import list_training_data, open_training_data

    folder = options.images or Path(header.data)
    try:
        # No validation here, so nothing is held out, however few pictures there are.
        config = trainer.config.replace(held_out=0, patience=0)
        listings, _ = list_training_data(task, config, folder, None)
        training_data = open_training_data(trainer, task, listings)
    except DataError as error:
        raise DataError(f"{error} (needed to verify the export; give a folder of pictures with --images)") from None
    batch = training_data.batch(training_data.samples(REAL_INPUTS), (header.config["seed"],), torch.device("cpu"))
    signal_BCHW = batch.source_BCHW if options.direction == "forward" else batch.target_BCHW
    return list(signal_to_pixels(signal_BCHW, bits).numpy())


def _metrics(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        numbers = {str(name): float(value) for name, value in found.items()}
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError("it contains NaN or infinity, which JSON does not support")
        return numbers
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f'--metrics {path} is not a JSON object of numbers ({error}); use for example {{"psnr_db": 18.2}}'
        ) from None
