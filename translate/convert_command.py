"""The verb `translate convert`. Shape suffix: S style size."""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from translate.convert import ConvertReport, Job, OutputFormat, plan_jobs, run_jobs
from translate.engine import Device, Engine, cores, numbered_style
from translate.errors import ConfigError, ImageError
from translate.models import resolve, shipped
from translate.usage import parse_options


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Convert a picture, or all pictures of a folder and its subfolders, with a model."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IN")]
    """A picture (PNG, JPEG or WebP) or a folder of them."""
    destination: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Folder for the results, made if missing; files of the same name are replaced. For one picture also a file."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE.onnx", help_behavior_hint="(required)")] = ""
    """Name of a shipped model (see `translate models`) or a file written by `translate export`."""
    format: OutputFormat = "same"
    """File format of the results."""
    quality: int = 92
    """Quality of JPEG and WebP results, 1 to 100."""
    device: Device = "auto"
    """Where to compute; auto takes an NVIDIA GPU if there is one."""
    label: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Which kind to make, for a model that was trained with --labels. Default: its first."""
    style: Annotated[int | None, tyro.conf.arg(metavar="NUMBER")] = None
    """Which of many results, for a model that was trained with --style-size: 0 is the model's own, every
    other number another one."""
    detail: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """For super-resolution models that have it: 0, the default, is as faithful as can be, 1 is as sharp as can be."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Pictures in work at the same time. Default: two per processor core."""

    def __post_init__(self) -> None:
        """Check the ranges, so that nothing starts that cannot end well.

        Raises:
            ConfigError: an option is missing or out of range.
        """
        if not self.model:
            names = ", ".join(model.name for model in shipped()) or "none is shipped yet, so give a .onnx file"
            raise ConfigError(f"--model is missing; give a .onnx file or the name of a model: {names}")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality {self.quality} is out of range; give 1 to 100 (92 is a good value)")
        if self.style is not None and self.style < 0:
            raise ConfigError(
                f"--style {self.style} is out of range; give 0 (the model's own), or 1 or more for another one"
            )
        if self.detail is not None and not 0.0 <= self.detail <= 1.0:
            raise ConfigError(
                f"--detail {self.detail:g} is out of range; give 0 (as faithful as can be) to 1 (as sharp as can be)"
            )
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers {self.workers} is out of range; give 1 or more, or leave it out")


def main(argv: list[str]) -> int:
    """Convert, print one line of summary, and return 0, or 1 if some of many pictures failed.

    Raises:
        ImageError: there was one picture, and it failed.
        ConfigError: the model does not have such a label, no styles or no detail; nothing is written then.
    """
    options = parse_options(ConvertOptions, argv, "translate convert")
    model = resolve(options.model)
    jobs = plan_jobs(options.source, options.destination, options.format)
    # One thread per picture when there are pictures for all cores; one picture alone gets all cores.
    at_once = min(options.workers or cores(), len(jobs))
    engine = Engine(model, threads=max(1, cores() // at_once), device=options.device)
    style_S = None if options.style is None else numbered_style(options.style, engine.spec)
    engine.knobs(label=options.label, style=style_S, detail=options.detail)  # before a progress bar appears
    report = _run(jobs, engine, options, style_S)
    if len(jobs) == 1 and report.failed:
        raise ImageError(report.failed[0].reason)  # the one thing asked for did not happen: status 2, not 1
    for failure in report.failed:
        sys.stderr.write(f"{failure.reason}\n")
    sys.stdout.write(
        f"{report.converted} picture{'' if report.converted == 1 else 's'} converted to {options.destination} "
        f"in {report.seconds:.1f} s ({report.images_per_second:.1f} images/s)"
        f"{f', {len(report.failed)} failed' if report.failed else ''}\n"
    )
    return 1 if report.failed else 0


def _run(
    jobs: list[Job], engine: Engine, options: ConvertOptions, style_S: NDArray[np.float32] | None
) -> ConvertReport:
    run = functools.partial(
        run_jobs,
        jobs,
        engine,
        quality=options.quality,
        workers=options.workers,
        label=options.label,
        style=style_S,
        detail=options.detail,
    )
    if not sys.stderr.isatty():
        return run()
    # Only here: rich takes a tenth of a second to import.
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("Converting", total=len(jobs))
        return run(on_progress=lambda _path, _reason: bar.advance(task))
