"""The verb `translate demo`."""

import sys
from dataclasses import dataclass
from pathlib import Path

from translate.convert import convert_folder
from translate.engine import Engine
from translate.errors import ModelError
from translate.models import resolve, shipped
from translate.usage import parse_options


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Convert the sample pictures of every model that comes with the program."""

    out: Path = Path("demo-output")
    """Folder for the results, one subfolder a model."""


def main(argv: list[str]) -> int:
    """Convert, print one line a model, and return 0, or 1 if a sample failed."""
    options = parse_options(DemoOptions, argv, "translate demo")
    models = shipped()
    if not models:
        raise ModelError("no models are shipped with this version; train one with `translate train`")
    failed = False
    for model in models:
        engine = Engine(resolve(model.name), threads=1)
        out = options.out / model.name
        # The label of each is the one that its name begins with. Made again each time: a demo shows what it does.
        report = convert_folder(model.samples, out, engine, existing="overwrite")
        sys.stdout.write(
            f"{model.name}: {report.converted} pictures in {out} ({report.images_per_second:.1f} images/s)\n"
        )
        for failure in report.failed:
            sys.stderr.write(f"{failure.reason}\n")
            failed = True
    return 1 if failed else 0
