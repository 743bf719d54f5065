"""The command `translate report`."""

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from translate.errors import DataError, require
from translate.options import parse_options


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Write a report of a training run, finished or still running, as one self-contained HTML file."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder: the one given to `translate train --out`."""
    output: Annotated[
        Path | None,
        tyro.conf.arg(
            aliases=["-o"], metavar="FILE.html", help_behavior_hint="(default: report.html in the run folder)"
        ),
    ] = None
    """Output file."""
    open: bool = True
    """Open the report in the browser; ignored if the output is not a terminal."""


def main(argv: list[str]) -> int:
    """Write the report, print its path and return 0.

    Raises:
        DataError: there is no such run, or the file cannot be written.
    """
    options = parse_options(ReportOptions, argv, "translate report")
    if not options.run.is_dir():
        found = "is a file" if options.run.is_file() else "does not exist"
        raise DataError(f"{options.run} {found}; give the folder that was used as --out in training")
    require("train", "matplotlib", "jinja2", "safetensors")
    # Imported here because the extra `train` (matplotlib) may not be installed.
    from translate.monitoring.report import write_report

    path = options.output or options.run / "report.html"
    size = write_report(options.run, path)
    sys.stdout.write(f"wrote {path} ({size / 2**20:.1f} MiB); open it in any browser\n")
    if options.open and sys.stdout.isatty():
        webbrowser.open(path.resolve().as_uri())
    return 0
