"""The command `translate import`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from translate.errors import ConfigError, nearest, require
from translate.options import parse_options, quoted
from translate.tasks import TASKS

if TYPE_CHECKING:
    from translate.spec import ModelSpec

COMPARED = 4
"""Number of pictures on which the file and the network are compared."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Turn a generator that was trained with another program into one .onnx file, and verify that its output is the
    same.

    Reads state dicts of pix2pix and CycleGAN (U-Net, ResNet), CUT and pix2pixHD, and with the extra `import` those of
    community super-resolution models (ESRGAN, Real-ESRGAN, Compact, SPAN and others). The network is recognised from
    the names and shapes of the weights. Nothing in the file is run.
    """

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """Checkpoint of the generator, e.g. latest_net_G.pth, or a .safetensors file."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.onnx")]
    """Output file."""
    network: str = ""
    """Which network to import if the file holds several, e.g. G_A."""
    batch_norm: Literal["picture", "running"] = "picture"
    """Statistics of batch normalisation. picture: of each picture, as the pix2pix code does in test.py; running: those
    collected in training, as with test.py --eval. Networks with instance normalisation have no such choice."""
    working_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Longer side at which the model works: larger pictures are reduced to it and the results enlarged again. Default:
    256 for a U-Net with 8 levels, 128 for 7 and so on; none for other networks, which work at the size of the
    picture."""
    task: str = ""
    """Task of the model, which decides its tab on the page. Default: pix2pix for a U-Net, cyclegan for a ResNet,
    super-resolution for a model that enlarges."""
    weights: Literal["float16", "float32"] = "float16"
    """Storage format of the weights. float16 halves the file size; computation is in float32 either way."""
    images: Path | None = None
    """Folder of pictures for the verification. Default: the samples of the shipped models."""
    name: str = ""
    """Name of the model. Default: the name of the file without its suffix."""
    licence: str = "unknown"
    """Licence of the model, stored in the file."""
    training_data: str = "unknown"
    """Description and licence of the training data, stored in the file."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: the output is not named .onnx, or a value is out of range.
        """
        if self.output.suffix != ".onnx":
            raise ConfigError(f"-o {self.output} does not end in .onnx; use for example {self.output.stem}.onnx")
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
    from export.written import write_verified

    state = read_state(options.checkpoint, options.network)
    found = recognise(state, options.checkpoint, options.batch_norm)
    spec = _spec(found, options)
    print(f"{options.checkpoint}: {found.generator.title}")  # noqa: T201
    write_verified(found.generator, spec, _pictures(options.images, spec), options.output, weights=options.weights)
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


def _pictures(folder: Path | None, spec: "ModelSpec") -> list[Any]:
    """A few pictures with the channels of the model: uint8 (H, W, C).

    Raises:
        DataError: the folder is missing or holds no picture that can be read.
    """
    import numpy as np

    from translate.data.layouts import list_pictures
    from translate.inference.models import shipped
    from translate.pictures.operations import flatten, grey, read_picture

    if spec.input_channels not in (1, 3):  # label maps and the like
        return list(np.random.default_rng(0).integers(0, 256, (COMPARED, 256, 256, spec.input_channels), np.uint8))
    paths = list_pictures(folder) if folder else [path for model in shipped() for path in list_pictures(model.samples)]
    chosen = paths[:: -(-len(paths) // COMPARED)]
    pictures = [flatten(read_picture(path)) for path in chosen]
    return [grey(rgb_HWC)[..., None] if spec.input_channels == 1 else rgb_HWC for rgb_HWC in pictures]
