"""The verb `translate demo`."""

import sys
from dataclasses import dataclass
from pathlib import Path

from translate.convert import ConvertReport, Job, plan_jobs, run_jobs
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
        by_label = _by_label(plan_jobs(model.samples, out), engine)
        reports = [run_jobs(jobs, engine, label=label) for label, jobs in by_label.items()]
        sys.stdout.write(f"{model.name}: {_summary(dict(zip(by_label, reports, strict=True)), out)}\n")
        for failure in (failure for report in reports for failure in report.failed):
            sys.stderr.write(f"{failure.reason}\n")
            failed = True
    return 1 if failed else 0


def _by_label(jobs: list[Job], engine: Engine) -> dict[str | None, list[Job]]:
    """The jobs of each label: the one that a sample's name begins with, or else the model's first."""
    first = engine.spec.labels[0] if engine.spec.labels else None
    found: dict[str | None, list[Job]] = {}
    for job in jobs:
        found.setdefault(engine.spec.label_of(job.source.name) or first, []).append(job)
    return found


def _summary(reports: dict[str | None, ConvertReport], out: Path) -> str:
    """`6 pictures in DIR (3.1 images/s)`, and where there are labels how many of each."""
    converted = sum(report.converted for report in reports.values())
    seconds = sum(report.seconds for report in reports.values())
    kinds = ", ".join(f"{report.converted} as {label}" for label, report in reports.items() if label)
    return f"{converted} pictures in {out} ({kinds + '; ' if kinds else ''}{converted / seconds:.1f} images/s)"
