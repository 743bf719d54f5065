"""The command `translate demo`."""

import sys
from dataclasses import dataclass
from pathlib import Path

from translate.conversion.folder import convert_folder
from translate.errors import ModelError
from translate.inference.engine import Engine
from translate.inference.models import resolve, shipped
from translate.options import parse_options


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Convert the sample pictures of every shipped model."""

    out: Path = Path("demo-output")
    """Output folder, with one subfolder per model."""


def main(argv: list[str]) -> int:
    """Convert, print one line per model and return 0, or 1 if a sample failed."""
    options = parse_options(DemoOptions, argv, "translate demo")
    models = shipped()
    if not models:
        raise ModelError("no models are shipped with this version; train one with `translate train`")
    failed = False
    for model in models:
        engine = Engine(resolve(model.name), threads=1)
        out = options.out / model.name
        # Labels come from the file names. Samples are always converted again, so that the demo has something to show.
        summary = convert_folder(model.samples, out, engine, existing="overwrite")
        sys.stdout.write(
            f"{model.name}: {summary.converted} pictures in {out} ({summary.images_per_second:.1f} images/s)\n"
        )
        for failure in summary.failed:
            sys.stderr.write(f"{failure.reason}\n")
            failed = True
    return 1 if failed else 0
