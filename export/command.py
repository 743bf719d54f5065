"""The verb `translate export`."""

import dataclasses
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from translate.errors import ConfigError, DataError, ModelError
from translate.extras import require
from translate.usage import parse_options

if TYPE_CHECKING:
    from translate.spec import ModelSpec
    from translate.trainers.snapshot import Header


REAL_INPUTS = 32
"""Pictures of the run that are looked at for the margins around things in them."""

COMPARED = 4
"""Of these, evenly spread, those that the file and the network are both run on."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Turn a trained model into one .onnx file that any ONNX runtime can run, and check that it does the same."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run: what was given to --out in training."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.onnx")]
    """File to write."""
    weights: Literal["float16", "float32"] = "float16"
    """How weights are stored; float16 halves the file and is exact enough for 8 bits, the arithmetic is float32 either
    way."""
    direction: Literal["forward", "back"] = "forward"
    """Which way; back is the other generator of a CycleGAN, night to day for example."""
    snapshot: Literal["last", "best"] = "last"
    """The end of the run, or what measured best on held-out pictures while training."""
    bits: Literal[8, 16] | None = None
    """Depth of the pixels that go in and come out; 16 for pictures of 16 bits a channel, whatever it was trained on.
    Default: as it was trained, 8 mostly."""
    default_style: Annotated[int, tyro.conf.arg(metavar="NUMBER")] = 0
    """The style where none is asked for, by its number as `translate convert --style` takes it; 0 is the middle of all,
    which for colours is often a dull one."""
    images: Path | None = None
    """Folder of pictures for the check, laid out like the training data; without it the training data."""
    name: str = ""
    """Name of the model; without it the name of the task, which for the way back of day-to-night is night-to-day."""
    licence: str = "unknown"
    """Terms for using the model, kept in the file."""
    training_data: str = "unknown"
    """What it was trained on and under which terms, kept in the file."""
    metrics: Path | None = None
    """JSON file of measured quality, {"name": number}, kept in the file."""

    def __post_init__(self) -> None:
        """Check what can be checked before the work starts.

        Raises:
            ConfigError: the output is not named .onnx, or the style is no number.
        """
        if self.output.suffix != ".onnx":
            raise ConfigError(
                f"-o {self.output} does not end in .onnx; name the file for example {self.output.stem}.onnx"
            )
        if self.default_style < 0:
            raise ConfigError(f"--default-style {self.default_style} is out of range; give 0 (the middle) or more")


def main(argv: list[str]) -> int:
    """Export, compare, print the comparison; returns the exit status."""
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
    from export.cost import gmacs, parameters
    from export.to_onnx import build_graph, constants, write_model
    from export.verify import compare, demand, save_for_report, table, working_memory
    from translate.placement import typical_share
    from translate.trainers.base import pixel_translator
    from translate.trainers.exported import training_facts
    from translate.trainers.snapshot import BEST_NAME, FILE_NAME, read_header

    path = options.run / (FILE_NAME if options.snapshot == "last" else BEST_NAME)
    if options.snapshot == "best" and options.run.is_dir() and not path.is_file():
        raise ConfigError(f"{options.run} holds no {BEST_NAME}, for nothing was measured; leave --snapshot out")
    header = read_header(path)
    trainer, task = _trainer(path, header)
    generator, spec = _generator(trainer, task, path, options.direction)
    spec = _as_asked(spec, options)
    pictures = _real_inputs(trainer, task, header, options, spec.input_bits)
    if spec.working_size is not None:
        spec = dataclasses.replace(spec, content_share=typical_share(pictures))
    translator = pixel_translator(generator, spec).eval()
    spec = dataclasses.replace(spec, parameters=parameters(translator.generator), gmacs_256=gmacs(translator, spec))
    model = build_graph(generator, spec, options.weights)
    # Checked as a temporary file first: a model that differs never gets its name.
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.onnx"
        write_model(model, spec, trial)
        rows = compare(translator, trial, pictures[:: -(-len(pictures) // COMPARED)], spec)
        spec = dataclasses.replace(spec, bytes_per_pixel=working_memory(trial, spec))
    print(table(rows))  # noqa: T201
    demand(rows, options.output)
    write_model(model, spec, options.output, training_facts(trainer, translator.generator, constants(model)))
    save_for_report([dataclasses.asdict(row) for row in rows], options.run / "parity.json")
    if spec.metrics:
        save_for_report(dict(spec.metrics), options.run / "metrics.json")
    size = options.output.stat().st_size / 2**20
    print(f"wrote {options.output} ({size:.1f} MiB); next: translate convert IN OUT --model {options.output}")  # noqa: T201
    return 0


def _as_asked(spec: "ModelSpec", options: ExportOptions) -> "ModelSpec":
    """The contract with what the options say of it.

    Raises:
        ConfigError: a default style for a model without styles, or metrics that cannot be read.
    """
    from translate.engine import numbered_style

    if options.default_style:
        if not spec.style_size:
            raise ConfigError(f"--default-style: {options.run} was trained without styles; leave it out")
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
    """The trainer of a run with its initial weights, on the CPU, and its task."""
    from translate.tasks import TASKS
    from translate.trainers.config import config_from_json
    from translate.trainers.objects import load_object

    if header.task not in TASKS:
        raise ModelError(f"{path} was trained for the task {header.task!r}, which this version does not have")
    task = TASKS[header.task]
    trainer_class = load_object(task.trainer)  # never a module that a foreign file names
    config = config_from_json(trainer_class.config_class, header.config, str(path))
    # Checkpointed networks compute the same, but only plain ones can be exported; four pictures need no cache.
    return trainer_class(dataclasses.replace(config, checkpoint_activations=False, cache=""), task), task


def _generator(trainer: Any, task: Any, path: Path, direction: str) -> tuple[Any, Any]:
    """A generator as it is used, averaged, float32 on the CPU, and its contract."""
    from translate.trainers.snapshot import load_state, read_tensors

    if direction not in trainer.directions:
        raise ConfigError(f"--direction is {direction}, but {path.parent} learnt forward only; leave it out")
    name = trainer.directions[direction]
    generator = trainer.get_submodule(name)
    load_state(generator, f"average/{name}", read_tensors(path))
    spec = trainer.spec_of(direction)
    if direction == "back" and task.back:
        spec = dataclasses.replace(spec, name=task.back, task=task.back)
    return generator.eval(), spec


def _real_inputs(trainer: Any, task: Any, header: "Header", options: ExportOptions, bits: int) -> list[Any]:
    """What the generator is given for a few real pictures: uint8 or uint16 (H, W, C)."""
    import torch

    from translate.networks.pixels import signal_to_pixels
    from translate.trainers.material import list_material, open_material

    folder = options.images or Path(header.data)
    try:
        # Nothing is measured, so nothing is held out, however few pictures there are.
        config = dataclasses.replace(trainer.config, held_out=0, patience=0)
        listings, _ = list_material(type(trainer), task, config, folder, None)
        material = open_material(trainer, task, listings)
    except DataError as error:
        raise DataError(f"{error} (pictures to check the export with; name a folder with --images)") from None
    batch = material.batch(material.samples(REAL_INPUTS), (header.config["seed"],), torch.device("cpu"))
    signal_BCHW = batch.source_BCHW if options.direction == "forward" else batch.target_BCHW
    return list(signal_to_pixels(signal_BCHW, bits).numpy())


def _metrics(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        numbers = {str(name): float(value) for name, value in found.items()}
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError("it holds nan or infinity, which JSON does not have")
        return numbers
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f'--metrics {path} is not a JSON object of numbers ({error}); write for example {{"psnr_db": 18.2}}'
        ) from None
