"""Options that `translate export` and `translate import` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from translate.errors import ConfigError
from translate.spec import Precision

if TYPE_CHECKING:
    from export.changed import Change
    from translate.pictures.operations import Pixels
    from translate.spec import ModelSpec

COMPARED = 4
"""Number of pictures on which the exported file and the network are compared."""

COMPARED_LOSSY = 16
"""Largest number of pictures on which graphs of two precisions are compared; errors differ from picture to picture."""

CALIBRATED = 48
"""Pictures to calibrate int8 on; with more, the ranges hardly change."""


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options about the numbers in a file."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.onnx")]
    """Output file."""
    weights: Annotated[
        Literal["float16", "float32"] | None,
        tyro.conf.arg(metavar="{float16,float32}", help_behavior_hint="(default: float16; for a file, unchanged)"),
    ] = None
    """Storage format of the weights, for --precision float32: the computation is in float32 either way. float16 halves
    the file size and is precise enough for 8-bit pictures."""
    precision: Annotated[
        Precision | None,
        tyro.conf.arg(metavar="{float32,fp16,int8}", help_behavior_hint="(default: float32; for a file, unchanged)"),
    ] = None
    """Numbers to compute in. fp16: half precision, for GPUs; weights and values in between are float16. int8:
    convolutions in 8 bits, for CPUs; needs --calibrate. The result is compared with float32, see --min-psnr."""
    calibrate: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None
    """Folder of pictures as the model will be given (drawings, for a model of drawings), from which --precision int8
    takes the ranges of all values; 50 to 100 will do."""
    min_psnr: Annotated[
        float | None, tyro.conf.arg(metavar="DB", help_behavior_hint="(default: 45 for fp16, 35 for int8)")
    ] = None
    """Refuse to write the file if any picture has a lower PSNR in dB against float32."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: the output is not named .onnx, or options contradict each other.
        """
        if self.output.suffix != ".onnx":
            raise ConfigError(f"-o {self.output} does not end in .onnx; use for example {self.output.stem}.onnx")
        lossy = self.precision in ("fp16", "int8")
        if lossy and self.weights is not None:
            raise ConfigError(
                f"--weights says how float32 weights are stored, but --precision is {self.precision}; omit --weights"
            )
        if self.precision == "int8" and self.calibrate is None:
            raise ConfigError(
                "--precision int8 needs pictures to take the ranges of values from; give a folder of pictures, as the "
                "model will be given, with --calibrate"
            )
        if self.precision != "int8" and self.calibrate is not None:
            raise ConfigError("--calibrate is for --precision int8; omit it")
        if self.min_psnr is not None and not lossy:
            raise ConfigError("--min-psnr is for --precision fp16 and int8; omit it")
        if self.min_psnr is not None and not 0 <= self.min_psnr <= 100:  # also rejects NaN
            raise ConfigError(f"--min-psnr {self.min_psnr:g} is out of range; give 0 to 100 (35 is usual for int8)")

    def change(self, spec: "ModelSpec") -> tuple["Change", "list[Pixels]"]:
        """What these options make of a graph; and pictures of --calibrate to compare on that are not calibrated on,
        none without that option.

        Raises:
            DataError, ImageError: the pictures of --calibrate cannot be read.
            ConfigError: the model takes no pictures.
        """
        from export.changed import Change
        from export.inputs import model_inputs

        calibration: list[Pixels] = []
        compared: list[Pixels] = []
        if self.calibrate is not None:
            if spec.input_channels not in (1, 3):
                raise ConfigError(
                    f"--calibrate takes pictures, but {spec.name} takes {spec.input_channels} channels; "
                    "use --precision fp16"
                )
            calibration = model_inputs(self.calibrate, spec, CALIBRATED + COMPARED_LOSSY)
            few = min(COMPARED_LOSSY, len(calibration) // 2)
            places = range(0, len(calibration), len(calibration) // few)[:few] if few > 1 else range(0)
            compared = [calibration[place] for place in places] or calibration
            calibration = [one for place, one in enumerate(calibration) if place not in places]
        change = Change(precision=self.precision, calibration=calibration, min_psnr=self.min_psnr, weights=self.weights)
        return change, compared
