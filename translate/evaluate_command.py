"""The verb `translate evaluate`."""

import contextlib
import datetime
import re
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from translate.engine import Device, Engine
from translate.errors import ConfigError, DataError
from translate.extras import require
from translate.files import atomic_path
from translate.tasks import TASKS
from translate.usage import parse_options

if TYPE_CHECKING:
    from translate.evaluation.survey import Survey
    from translate.evaluation.training import Neighbour, Training

Tick = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Measure a model on pictures it has never seen: numbers, and a page with pictures. Exit status 1: some pictures
    could not be used."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Name of a shipped model (see `translate models`) or a file written by `translate export`."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(required)")] = None
    """Folder with the test pictures: pairs in two folders or side by side, photographs alone, or two collections, as
    the model's task is trained on. For super-resolution the large pictures; their sub-folders are reported apart."""
    against: Annotated[str | None, tyro.conf.arg(metavar="MODEL2")] = None
    """Another model of the same task to measure on the same pictures."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """What the model was trained on; finds results that were learnt by heart and, where nothing is paired, tells how
    many results pass for the target."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for index.html, metrics.json, summary.json (for `translate export --metrics`) and contact_sheet.png, made
    if missing. Default: runs/evaluation-NAME."""
    layout: Literal["auto", "photos", "side-by-side", "two-folders"] = "auto"
    """How the folder holds the pictures: photographs alone, pairs in one file each, or a folder for either side."""
    folders: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="A B")] = None
    """Names of the two folders, what goes in and what should come out. Default: those of the task, turned round for a
    model that is named TASK-back."""
    source_side: Literal["left", "right"] = "left"
    """Which half of a side-by-side file is what goes in."""
    label: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Kind of all pictures, for a model with labels. Default: the name of each picture's sub-folder, or its first."""
    detail: Annotated[float | None, tyro.conf.arg(metavar="0..1")] = None
    """How sharp, for a super-resolution model that can choose: 0 is faithful, 1 is sharp."""
    spoil: bool = False
    """Blur the small pictures slightly, add slight noise and compress them (JPEG, quality 40), for super-resolution."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """At most so many pictures, evenly spread: a quick look."""
    device: Device = "cpu"
    """Where to compute; on the CPU the same file and pictures give the same numbers every time."""

    def __post_init__(self) -> None:
        """Check what can be checked before the work starts.

        Raises:
            ConfigError: an option is missing or out of range.
        """
        if self.data is None:
            raise ConfigError("--data is missing; name the folder with the test pictures")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit {self.limit} is out of range; give 1 or more, or leave it out")


def main(argv: list[str]) -> int:
    """Measure, write the files, print the table, and return 0, or 1 if some pictures could not be used.

    Raises:
        TranslateError: nothing could be measured, or the results cannot be written.
    """
    options = parse_options(EvaluateOptions, argv, "translate evaluate")
    require("train", "torch", "torchmetrics", "kornia", "albumentations", "cv2", "matplotlib", "jinja2")
    engine = Engine(options.model, device=options.device)
    against = None if options.against is None else Engine(options.against, device=options.device)
    if options.spoil and engine.spec.scale == 1:
        raise ConfigError(f"--spoil is for super-resolution, {engine.spec.name} does not enlarge; leave it out")
    if options.train is not None and engine.spec.scale > 1:
        raise ConfigError(
            f"--train has no effect, {engine.spec.name} enlarges; copies are not looked for, leave it out"
        )
    name = re.sub(r"[^\w.-]", "-", engine.spec.name)  # what a foreign file says may be no file name
    out = options.out or Path("runs") / f"evaluation-{name}"
    _make_folder(out)
    skipped = _evaluate(options, engine, against, out)
    return 1 if skipped else 0


def _evaluate(options: EvaluateOptions, engine: Engine, against: Engine | None, out: Path) -> int:
    """Everything after the options; returns how many files could not be used."""
    # Only here: the packages of the extra `train` need not be installed.
    from translate.evaluation.cases import Question, brightness_ratio, find_cases
    from translate.evaluation.columns import columns_for
    from translate.evaluation.survey import Surveyor
    from translate.evaluation.training import find_training

    assert options.data is not None
    spec = engine.spec
    question = Question(
        data=options.data,
        layout=options.layout,
        folders=options.folders,
        source_side=options.source_side,
        label=options.label,
        limit=options.limit,
    )
    data = find_cases(question, spec)
    task = TASKS.get(spec.task)
    drawing = task is not None and task.draws_input
    brightness = brightness_ratio(data)
    columns = columns_for(engine, against, data.kind, drawing=drawing, detail=options.detail, brightness=brightness)
    training = None if options.train is None else find_training(options.train, data)
    known = len(training.targets) * (2 if training.sources else 1) + len(training.sources) if training else 0
    with _progress(len(data.cases) + len(data.targets) + known) as tick:
        survey = Surveyor(spec, drawing, options.spoil).run(data, columns, tick)
        if not survey.cases or (data.kind == "unpaired" and not survey.column("truth").frames):
            raise DataError(f"no picture of {options.data} could be used: {survey.skipped[0]}")
        notes = _sum_up(survey)
        found, judge = _ask_training(survey, training, notes, tick)
    if options.train is None and data.kind != "enlarge":
        what = "Copies and the share taken for the target" if data.kind == "unpaired" else "Copies of training pictures"
        notes.append(f"{what} are not measured; name the training pictures with --train.")
    _write(options, engine, out, survey, found, judge, notes)
    return len(survey.skipped)


def _sum_up(survey: "Survey") -> list[str]:
    """Means and distances of sets into the totals; returns what has to be said about them."""
    from translate.evaluation.measure import LEAST_SIDE, SETS_MOST, learned_notes, means, measure_sets

    paired = survey.data.kind != "unpaired"
    truth = survey.column("truth")
    for column in survey.columns:
        column.totals |= means(column.rows)
        if column is not truth:
            column.totals |= measure_sets(column.frames, truth.frames, paired=paired)
    model = survey.columns[0]
    notes = [*survey.data.notes, *learned_notes(paired), *survey.set_notes()]
    large = sum("ms_ssim" in row for row in model.rows)
    if paired and large < len(model.rows):
        notes.append(
            f"ms_ssim is measured on {large} of {len(model.rows)} pictures; it needs sides of {LEAST_SIDE} pixels."
        )
    if len(survey.cases) > SETS_MOST:
        notes.append(f"Sets are compared by {SETS_MOST} pictures of each, evenly spread.")
    if model.engine and model.engine.spec.labels and not any(case.label for case in survey.cases):
        notes.append(f"No label was given, so all results are of the first kind, {model.engine.spec.labels[0]}.")
    return notes


def _ask_training(
    survey: "Survey", training: "Training | None", notes: list[str], tick: Tick
) -> "tuple[list[Neighbour], dict[str, float]]":
    """What the training pictures tell; adds to `notes` what has to be said."""
    from translate.evaluation.training import TRUSTED, judge_domain, neighbours

    if training is None:
        return [], {}
    found = neighbours(survey, training, tick)
    if survey.data.kind != "unpaired":
        return found, {}
    judge = judge_domain(survey, training, tick)
    if judge:
        accuracy = judge["accuracy"]
        notes.append(
            f"target_share: the classifier learnt from {judge['pictures']:.0f} training pictures of "
            f"{survey.data.folders[0]} and {survey.data.folders[1]} and is right about {accuracy:.1%} of the real test "
            "pictures" + ("." if accuracy >= TRUSTED else "; that is too little for the share to mean anything.")
        )
    return found, judge


def _write(
    options: EvaluateOptions,
    engine: Engine,
    out: Path,
    survey: "Survey",
    found: "list[Neighbour]",
    judge: dict[str, float],
    notes: list[str],
) -> None:
    import json

    from translate.evaluation.page import write_page
    from translate.evaluation.record import plain_tables, record, summary
    from translate.evaluation.survey import contact_sheet
    from translate.images import Picture, write_picture

    date = datetime.date.today().isoformat()
    shown = str(options.data).encode("utf-8", "replace").decode()
    facts: dict[str, object] = {
        "data": shown,
        "options": {key: str(value) for key, value in asdict(options).items() if value is not None},
        "classifier": judge or None,
        "notes": notes,
        "file": {"name": engine.path.name, "bytes": engine.path.stat().st_size},
        "date": date,
    }
    size = engine.path.stat().st_size
    try:
        with atomic_path(out / "metrics.json") as path:
            path.write_text(record(survey, engine.spec, **facts), encoding="utf-8")
        with atomic_path(out / "summary.json") as path:
            path.write_text(json.dumps(summary(survey), indent=2) + "\n", encoding="utf-8")
        with atomic_path(out / "index.html") as path:
            write_page(path, survey, engine.spec, data=shown, date=date, file_bytes=size, neighbours=found, notes=notes)
    except OSError as error:
        raise _unwritable(out, error) from None
    write_picture(out / "contact_sheet.png", Picture(contact_sheet(survey.sheet)))
    for reason in survey.skipped:
        sys.stderr.write(f"{reason}\n")
    lines = [
        f"{engine.spec.name}: {len(survey.cases)} pictures of {shown}",
        f"in: {survey.data.direction['in']}; out: {survey.data.direction['out']}",
        *plain_tables(survey),
        "",
        *(f"note: {note}" for note in notes),
        f"wrote {out / 'index.html'}, metrics.json, summary.json and contact_sheet.png",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _make_folder(out: Path) -> None:
    """Before the work: what cannot be written at its end should not be begun."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with atomic_path(out / ".trial") as path:
            path.touch()
        (out / ".trial").unlink()
    except OSError as error:
        raise _unwritable(out, error) from None


def _unwritable(out: Path, error: OSError) -> DataError:
    return DataError(f"{out} cannot be written ({error.strerror or error}); choose another folder with --out")


@contextlib.contextmanager
def _progress(total: int) -> Generator[Tick]:
    """A progress bar on a terminal; yields what to call after each picture."""
    # Only here: rich takes a tenth of a second to import.
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task("Measuring", total=total)
        yield lambda: bar.advance(row)
