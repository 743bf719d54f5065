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
    from translate.trainers.snapshot import Header


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Turn a trained model into one .onnx file that any ONNX runtime can run, and check that it does the same."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run: what was given to --out in training."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.onnx")]
    """File to write."""
    weights: Literal["float16", "float32"] = "float16"
    """How weights are stored; float16 halves the file, the arithmetic is float32 either way."""
    images: Path | None = None
    """Folder of photographs for the check; without it the training photographs."""
    name: str = ""
    """Name of the model; without it the name of the task."""
    licence: str = "unknown"
    """Terms for using the model, kept in the file."""
    training_data: str = "unknown"
    """What it was trained on and under which terms, kept in the file."""
    metrics: Path | None = None
    """JSON file of measured quality, {"name": number}, kept in the file."""

    def __post_init__(self) -> None:
        """Check what can be checked before the work starts.

        Raises:
            ConfigError: the output is not named .onnx.
        """
        if self.output.suffix != ".onnx":
            raise ConfigError(
                f"-o {self.output} does not end in .onnx; name the file for example {self.output.stem}.onnx"
            )


def main(argv: list[str]) -> int:
    """Export, compare, print the comparison; returns the exit status."""
    options = parse_options(ExportOptions, argv, "translate export")
    require("export", "torch", "onnx", "onnxscript", "kornia", "albumentations", "lightning_fabric", "safetensors")
    from export.to_onnx import build_graph, write_model
    from export.verify import compare, demand, table, working_memory
    from translate.networks.pixels import PixelTranslator
    from translate.trainers.snapshot import FILE_NAME, read_header

    header = read_header(options.run / FILE_NAME)
    generator, spec = _averaged_generator(options.run / FILE_NAME, header)
    pictures = _real_inputs(header, options.images or Path(header.data))
    spec = dataclasses.replace(
        spec,
        name=options.name or spec.name,
        licence=options.licence,
        training_data=options.training_data,
        metrics=_metrics(options.metrics),
    )
    model = build_graph(generator, spec, options.weights)
    # Checked as a temporary file first: a model that differs never gets its name.
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.onnx"
        write_model(model, spec, trial)
        rows = compare(PixelTranslator(generator, spec.size_multiple, spec.scale).eval(), trial, pictures)
        spec = dataclasses.replace(spec, bytes_per_pixel=working_memory(trial, spec.input_channels))
    print(table(rows))  # noqa: T201
    demand(rows, options.output)
    write_model(model, spec, options.output)
    size = options.output.stat().st_size / 2**20
    print(f"wrote {options.output} ({size:.1f} MiB); next: translate convert IN OUT --model {options.output}")  # noqa: T201
    return 0


def _averaged_generator(path: Path, header: "Header") -> tuple[Any, Any]:
    """The generator of a run as it is used, float32 on the CPU, and its spec."""
    from translate.tasks import TASKS
    from translate.trainers.base import config_from_json
    from translate.trainers.run import load_object
    from translate.trainers.snapshot import load_state, read_tensors

    if header.task not in TASKS:
        raise ModelError(f"{path} was trained for the task {header.task!r}, which this version does not have")
    trainer_class: Any = load_object(TASKS[header.task].trainer)  # never a module that a foreign file names
    config = config_from_json(trainer_class.config_class, header.config, str(path))
    trainer = trainer_class(config, TASKS[header.task])
    load_state(trainer.generator, "average/generator", read_tensors(path))
    return trainer.generator.eval(), trainer.spec


def _real_inputs(header: "Header", folder: Path) -> list[Any]:
    """What the generator is given for a few real photographs: uint8 (H, W, C)."""
    from translate.data.photos import PhotoFolder
    from translate.networks.pixels import signal_to_pixels
    from translate.tasks import TASKS
    from translate.trainers.journal import sample_batch
    from translate.trainers.run import load_object

    try:
        photos = PhotoFolder(folder, header.config["image_size"], header.config["seed"]).plain(4)
    except DataError as error:
        raise DataError(f"{error} (photographs to check the export with; name a folder with --images)") from None
    samples = sample_batch(photos, load_object(TASKS[header.task].source_maker), header.config["seed"], "cpu")
    return list(signal_to_pixels(samples.source_BCHW).numpy())


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
