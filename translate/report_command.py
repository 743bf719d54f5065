"""The verb `translate report`."""

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from translate.errors import DataError
from translate.extras import require
from translate.usage import parse_options


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Explain a training run, finished or still going, in one HTML file that needs nothing else."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run: what was given to --out in training."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE.html")] = None
    """File to write. Default: report.html in the folder of the run."""
    open: bool = True
    """Show it in the browser; never done where the output is not a terminal."""


def main(argv: list[str]) -> int:
    """Write the report, say where it is, and return 0.

    Raises:
        DataError: there is no such run, or the file cannot be written.
    """
    options = parse_options(ReportOptions, argv, "translate report")
    if not options.run.is_dir():
        found = "is a file" if options.run.is_file() else "does not exist"
        raise DataError(f"{options.run} {found}; name the folder given to --out in training")
    require("train", "matplotlib", "jinja2", "safetensors")
    # Only here: the packages of the extra `train`, which matplotlib belongs to, need not be installed.
    from translate.trainers.report import write_report

    path = options.output or options.run / "report.html"
    size = write_report(options.run, path)
    sys.stdout.write(f"wrote {path} ({size / 2**20:.1f} MiB); it opens in any browser\n")
    if options.open and sys.stdout.isatty():
        webbrowser.open(path.resolve().as_uri())
    return 0
