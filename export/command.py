"""The command `translate export`."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

import translate
from export.options import COMPARED, COMPARED_LOSSY, FileOptions
from translate.errors import ConfigError, DataError, ModelError, require
from translate.files import sha256_of
from translate.inference.controls import graph_inputs, numbered_style, style_as_text, style_from_text
from translate.options import parse_options, quoted, text_option

if TYPE_CHECKING:
    from export.verify import Parity
    from translate.spec import ModelSpec
    from translate.training.snapshot import Header


PACKAGES = (
    "torch",
    "onnx",
    "onnxscript",
    "kornia",
    "albumentations",
    "lightning_fabric",
    "safetensors",
    "torchmetrics",
)
"""What an export takes."""

COMPARED_NAME = "compared.json"
"""In a run: what was compared at the last export, and the result."""

REAL_INPUTS = 32
"""Number of training pictures used to measure the margins around objects."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(FileOptions):
    """Export a trained model to one .onnx file that any ONNX runtime can run, and verify that its output is the same.

    An exported file can be given too, to write it in another precision or with other inputs. With --target web, triton
    or tensorrt, write a folder for another use; see `translate export --target web --help`.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN|FILE.onnx|NAME")]
    """Run folder: the one given to `translate train --out`; or an exported file or the name of a model (see
    `translate models`)."""
    direction: Literal["forward", "back"] = "forward"
    """Which generator to export; back is the second generator of a CycleGAN, e.g. night to day."""
    snapshot: Literal["last", "best"] = "last"
    """Which snapshot to export: the last one, or the one with the best validation score."""
    bits: Annotated[
        Literal[8, 16] | None,
        tyro.conf.arg(metavar="{8,16}", help_behavior_hint="(default: as in training, usually 8)"),
    ] = None
    """Bit depth of input and output pixels; 16 for pictures with 16 bits per channel, whatever the model was trained
    on."""
    controls: Annotated[
        Literal["optional", "required", "fixed"] | None,
        tyro.conf.arg(
            metavar="{optional,required,fixed}", help_behavior_hint="(default: optional; for a file, unchanged)"
        ),
    ] = None
    """Inputs for the label, style and detail of the model. optional: they may be left out; ONNX Runtime prints a
    warning about each when it opens the file, and some other runtimes hide them. required: they have to be given.
    fixed: there are none, the defaults are used. With the last two, 16 bits per channel need --bits 16."""
    freeze: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE", help_behavior_hint="(default: none)")] = ()
    """Values to use with --controls fixed, which need not be given then: label=shoe, style=3 (as for `translate convert
    --style`), detail=0.5. Those that are left out have their defaults."""
    default_style: Annotated[int | tuple[float, ...], text_option("NUMBER|NUMBERS", style_from_text, style_as_text)] = 0
    """Default style of the model, as for `translate convert --style`; 0 is the mean style, which for colours often
    looks dull."""
    images: Annotated[
        Path | None,
        tyro.conf.arg(
            metavar="FOLDER",
            help_behavior_hint="(default: the training data; for a file, those of --calibrate, or shipped samples)",
        ),
    ] = None
    """Folder of pictures for the verification, laid out like the training data."""
    name: Annotated[
        str,
        tyro.conf.arg(
            metavar="NAME",
            help_behavior_hint="(default: the task; for --direction back, the reverse task, e.g. night-to-day)",
        ),
    ] = ""
    """Name of the model."""
    licence: Annotated[
        str, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: unknown; for a file, unchanged)")
    ] = ""
    """Licence of the model, stored in the file."""
    training_data: Annotated[str, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: as for --licence)")] = ""
    """Description and licence of the training data, stored in the file."""
    metrics: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json", help_behavior_hint="(default: none)")] = None
    """JSON file of quality metrics, {"name": number}, stored in the file."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: the output is not named .onnx, the style number is negative, or options contradict each other.
        """
        super().__post_init__()
        if isinstance(self.default_style, int) and self.default_style < 0:
            raise ConfigError(f"--default-style {self.default_style} is out of range; give 0 (the mean style) or more")
        if self.freeze and self.controls not in (None, "fixed"):
            raise ConfigError(f"--freeze leaves no inputs, but --controls is {self.controls}; omit one of them")

    def with_facts(self, spec: "ModelSpec") -> "ModelSpec":
        """The spec with the facts that are given.

        Raises:
            ConfigError: a default style for a model without styles or of another length, or unreadable metrics.
        """
        if self.default_style:
            if not spec.style_size:
                raise ConfigError(f"--default-style: {self.source} was trained without styles; omit it")
            given = self.default_style
            style = numbered_style(given, spec) if isinstance(given, int) else given
            default_1S = graph_inputs(spec, style=style)["style"]
            spec = dataclasses.replace(spec, default_style=tuple(default_1S[0].tolist()))
        return dataclasses.replace(
            spec,
            name=self.name or spec.name,
            licence=self.licence or spec.licence,
            training_data=self.training_data or spec.training_data,
            metrics=_metrics(self.metrics) if self.metrics else spec.metrics,
        )


def main(argv: list[str]) -> int:
    """Export, verify, print the comparison and return the exit status."""
    if any(word.partition("=")[0] == "--target" for word in argv):
        from export.targets.command import main as write_target

        return write_target(argv)
    options = parse_options(ExportOptions, argv, "translate export")
    require("export", *PACKAGES)
    from export.from_file import change_file, is_file

    if is_file(options.source):
        change_file(options)
    else:
        export_run(options)
    size = options.output.stat().st_size / 2**20
    print(f"wrote {options.output} ({size:.1f} MiB); next: translate convert IN OUT --model {quoted(options.output)}")  # noqa: T201
    return 0


def export_run(options: ExportOptions, *, reuse: bool = False) -> None:
    """Export the generator of a run.

    Args:
        options: what to export, and how.
        reuse: whether to rely on the comparison of an earlier export, if it was of this network and these programs.
    """
    from export.changed import frozen_controls
    from export.inputs import evenly
    from export.to_onnx import constants
    from export.verify import save_for_report, versions_compared
    from export.written import write_verified
    from translate.inference.placement import typical_share
    from translate.training.exported import training_facts
    from translate.training.snapshot import BEST_NAME, FILE_NAME, read_header

    run = Path(options.source)
    path = run / (FILE_NAME if options.snapshot == "last" else BEST_NAME)
    if options.snapshot == "best" and run.is_dir() and not path.is_file():
        raise ConfigError(f"{run} has no {BEST_NAME}, because there was no validation; omit --snapshot")
    header = read_header(path)
    trainer, task = _trainer(path, header)
    generator, spec = _generator(trainer, task, path, options.direction)
    spec = options.with_facts(spec)
    if options.bits:
        spec = dataclasses.replace(spec, input_bits=options.bits, output_bits=options.bits)
    fixed = frozen_controls(options.freeze, spec)
    change, _ = options.change(spec)
    pictures = _real_inputs(trainer, task, header, options, spec.input_bits)
    if spec.working_size is not None:
        spec = dataclasses.replace(spec, content_share=typical_share(pictures))
    compared = {
        "snapshot": sha256_of(path),
        "direction": options.direction,
        "bits": spec.input_bits,
        "versions": {"translate": translate.__version__, **versions_compared()},
    }
    rows = write_verified(
        generator,
        spec,
        evenly(pictures, COMPARED_LOSSY if change.lossy else COMPARED),
        options.output,
        dataclasses.replace(change, controls="fixed" if fixed else options.controls, fixed=fixed),
        training=lambda exported, model: training_facts(trainer, exported, constants(model)),
        known=_known(run, compared) if reuse else None,
    )
    as_dicts = [dataclasses.asdict(row) for row in rows]
    save_for_report(as_dicts, run / "parity.json")
    save_for_report({**compared, "rows": as_dicts}, run / COMPARED_NAME)
    if spec.metrics:
        save_for_report(dict(spec.metrics), run / "metrics.json")


def _known(run: Path, compared: dict[str, Any]) -> "list[Parity] | None":
    """What the last export of the run found; None: nothing, or it compared something else."""
    from export.verify import Parity

    try:
        found = json.loads((run / COMPARED_NAME).read_text(encoding="utf-8"))
        rows = [Parity(**row) for row in found.pop("rows")]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return rows if rows and found == compared else None


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


def _metrics(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        numbers = {str(name): float(value) for name, value in found.items()}
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError("it contains NaN or infinity, which JSON does not support")
        return numbers
    except OSError as error:
        raise ConfigError(f"--metrics {path}: cannot be read ({error.strerror}); give a JSON file of numbers") from None
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(
            f'--metrics {path} is not a JSON object of numbers ({error}); use for example {{"psnr_db": 18.2}}'
        ) from None
