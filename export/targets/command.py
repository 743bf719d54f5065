"""The command `translate export --target`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from translate.errors import ConfigError, require
from translate.options import parse_options

_OWN = {
    "web": ("onnxruntime_web", "without_webgpu"),
    "triton": ("name", "max_batch_size"),
    "tensorrt": ("min_size", "opt_size", "max_size", "max_batch_size"),
}
"""Options that only some targets have."""


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """Write a folder that runs a model somewhere else: as a web page, in NVIDIA Triton Inference Server or in TensorRT.
    A run is exported first, with the usual comparison unless it was exported before; other options for that, such as
    --snapshot, need a file that was exported with them."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Run folder, exported .onnx file, or the name of a model (see `translate models`)."""
    target: Literal["web", "triton", "tensorrt"]
    """web: a static page that runs the model in the browser. triton: a model repository. tensorrt: a graph that
    TensorRT takes, and a script that builds the engine."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Output folder. It must be new or empty, except for triton, which adds a model to a repository."""
    onnxruntime_web: Annotated[
        Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: npm fetches it)")
    ] = None
    """web: the unpacked npm package onnxruntime-web."""
    without_webgpu: bool = False
    """web: leave out what computes on the graphics card where the browser offers one (27 MB)."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the name in its spec)")] = (
        None
    )
    """triton: name of the model."""
    max_batch_size: Annotated[
        int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: 8 for triton, 1 for tensorrt)")
    ] = None
    """Most pictures of equal size per run. With 0, triton makes no batches, and
    has inputs for label, style and detail."""
    min_size: Annotated[
        str | None, tyro.conf.arg(metavar="WIDTHxHEIGHT", help_behavior_hint="(default: by the spec)")
    ] = None
    """tensorrt: smallest picture, for example 64x64."""
    opt_size: Annotated[
        str | None, tyro.conf.arg(metavar="WIDTHxHEIGHT", help_behavior_hint="(default: by the spec)")
    ] = None
    """tensorrt: size that the engine is tuned for."""
    max_size: Annotated[
        str | None, tyro.conf.arg(metavar="WIDTHxHEIGHT", help_behavior_hint="(default: by the spec)")
    ] = None
    """tensorrt: largest picture."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: an option of another target, or a number out of range.
        """
        for name in sorted({name for names in _OWN.values() for name in names} - set(_OWN[self.target])):
            if _given(getattr(self, name)):
                raise ConfigError(f"--{name.replace('_', '-')} is not for --target {self.target}; omit it")
        least = 0 if self.target == "triton" else 1
        if self.max_batch_size is not None and self.max_batch_size < least:
            raise ConfigError(f"--max-batch-size is {self.max_batch_size}; give {least} or more")


def _given(value: object) -> bool:
    """Whether an option has been given; 0 is a number."""
    return value is not None and value is not False


def main(argv: list[str]) -> int:
    """Write the folder, say what to do next, and return the exit status."""
    target = next((name for name in _OWN if name in argv or f"--target={name}" in argv), "web")
    options = parse_options(TargetOptions, argv, f"translate export --target {target}")
    require("export", "torch", "onnx")
    found = dataclasses.asdict(options)
    given = {name: found[name] for name in _OWN[options.target] if _given(found[name])}
    if options.target == "web":
        from export.targets.web import write
    elif options.target == "triton":
        from export.targets.triton import write
    else:
        from export.targets.tensorrt import write
    print(write(options.model, options.output, **given))  # noqa: T201
    return 0
