"""The command `translate import`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from export.options import COMPARED, COMPARED_LOSSY, FileOptions
from translate.errors import ConfigError, nearest, require
from translate.options import parse_options, quoted
from translate.tasks import TASKS

if TYPE_CHECKING:
    from translate.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class ImportOptions(FileOptions):
    """Turn a generator that was trained with another program into one .onnx file, and verify that its output is the
    same.

    Reads state dicts of pix2pix and CycleGAN (U-Net, ResNet), CUT and pix2pixHD, and with the extra `import` those of
    community super-resolution models (ESRGAN, Real-ESRGAN, Compact, SPAN and others). The network is recognised from
    the names and shapes of the weights. Nothing in the file is run.
    """

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """Checkpoint of the generator, e.g. latest_net_G.pth, or a .safetensors file."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the only one)")] = ""
    """Which network to import if the file holds several, e.g. G_A."""
    batch_norm: Literal["picture", "running"] = "picture"
    """Statistics of batch normalisation. picture: of each picture, as the pix2pix code does in test.py; running: those
    collected in training, as with test.py --eval. Networks with instance normalisation have no such choice."""
    working_size: Annotated[
        int | None,
        tyro.conf.arg(
            metavar="PIXELS",
            help_behavior_hint="(default: 256 for a U-Net with 8 levels, 128 for 7 and so on; otherwise none)",
        ),
    ] = None
    """Longer side at which the model works: larger pictures are reduced to it and the results enlarged again. Networks
    other than U-Nets work at the size of the picture."""
    task: Annotated[
        str,
        tyro.conf.arg(
            metavar="TASK",
            help_behavior_hint="(default: pix2pix for a U-Net, cyclegan for a ResNet, super-resolution if it enlarges)",
        ),
    ] = ""
    """Task of the model, which decides its tab on the page."""
    images: Annotated[
        Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: the samples of the shipped models)")
    ] = None
    """Folder of pictures for the verification."""
    name: Annotated[
        str, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the name of the file without its suffix)")
    ] = ""
    """Name of the model."""
    licence: Annotated[str, tyro.conf.arg(metavar="TEXT")] = "unknown"
    """Licence of the model, stored in the file."""
    training_data: Annotated[str, tyro.conf.arg(metavar="TEXT")] = "unknown"
    """Description and licence of the training data, stored in the file."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: the output is not named .onnx, or a value is out of range.
        """
        super().__post_init__()
        if self.task and self.task not in TASKS:
            raise ConfigError(f"--task {self.task} is unknown; {nearest(self.task, TASKS)}")
        if self.working_size is not None and not 16 <= self.working_size <= 4096:
            raise ConfigError(f"--working-size {self.working_size} is out of range; give 16 to 4096 (256 is usual)")


def main(argv: list[str]) -> int:
    """Import, verify, print the comparison and return the exit status."""
    options = parse_options(ImportOptions, argv, "translate import")
    require("export", "torch", "onnx", "onnxscript", "safetensors")
    from export.foreign.checkpoint import read_state
    from export.foreign.recognise import recognise
    from export.inputs import model_inputs
    from export.written import write_verified

    state = read_state(options.checkpoint, options.network)
    found = recognise(state, options.checkpoint, options.batch_norm)
    spec = _spec(found, options)
    print(f"{options.checkpoint}: {found.generator.title}")  # noqa: T201
    change, held_out = options.change(spec)
    most = COMPARED_LOSSY if change.lossy else COMPARED
    pictures = held_out if held_out and not options.images else model_inputs(options.images, spec, most)
    write_verified(found.generator, spec, pictures, options.output, change)
    for field, option in (("licence", "--licence"), ("training data", "--training-data")):
        if getattr(spec, field.replace(" ", "_")) == "unknown":
            print(f"note: the {field} is unknown; {option} stores it in the file")  # noqa: T201
    size = options.output.stat().st_size / 2**20
    print(f"wrote {options.output} ({size:.1f} MiB); next: translate convert IN OUT --model {quoted(options.output)}")  # noqa: T201
    return 0


def _spec(found: Any, options: ImportOptions) -> "ModelSpec":
    from translate.spec import ModelSpec

    generator = found.generator
    working_size = options.working_size or generator.working_size
    return ModelSpec(
        name=options.name or options.checkpoint.stem,
        task=options.task or found.task,
        architecture=generator.title,
        scale=generator.scale,
        input_channels=generator.in_channels,
        output_channels=generator.out_channels,
        size_multiple=generator.size_multiple,
        receptive_field=generator.receptive_field,
        working_size=working_size,
        content_share=0.0 if working_size else None,
        min_size=generator.min_size,
        licence=options.licence,
        training_data=options.training_data,
    )
