"""The command `translate evaluate`."""

import contextlib
import datetime
import re
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from translate.errors import ConfigError, DataError, require
from translate.files import as_text, atomic_path
from translate.inference.engine import Device, Engine
from translate.inference.models import checked_folder, resolve
from translate.options import parse_options
from translate.tasks import TASKS

if TYPE_CHECKING:
    from translate.evaluation.memorisation import Neighbour, Training
    from translate.evaluation.run import Survey

Tick = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Evaluate a model on unseen test pictures: metrics, and an HTML page with results. Exit status 1: some pictures
    could not be used."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Name of a model (see `translate models`), or a file written by `translate export`."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(required)")] = None
    """Folder of test pictures, laid out like the training data: pairs in two folders or side by side, photographs only,
    or two unpaired collections. For super-resolution, the large pictures; subfolders are reported separately."""
    against: Annotated[str | None, tyro.conf.arg(metavar="MODEL2", help_behavior_hint="(default: none)")] = None
    """Another model for the same task, to compare on the same pictures."""
    train: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: none)")] = None
    """Training data of the model: finds memorised results and, for unpaired data, the share of results that a
    classifier takes for the target domain."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: runs/evaluation-NAME)")] = (
        None
    )
    """Output folder for index.html, metrics.json, summary.json (for `translate export --metrics`) and
    contact_sheet.png (sources and results, each in another style if the model has styles), created if missing."""
    layout: Literal["auto", "photos", "side-by-side", "two-folders"] = "auto"
    """Dataset layout: photographs only, input/target pairs side by side in one file, or one folder per domain."""
    folders: Annotated[
        tuple[str, str] | None,
        tyro.conf.arg(metavar="A B", help_behavior_hint="(default: those of the task, swapped for TASK-back)"),
    ] = None
    """Names of the input and target folders."""
    source_side: Literal["left", "right"] = "left"
    """Which half of a side-by-side file is the input."""
    label: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: by the subfolder, otherwise the first)")
    ] = None
    """Class label for all pictures, for a model with labels. Without it, the name of each picture's subfolder is the
    label, otherwise the model's first one is used."""
    detail: Annotated[float | None, tyro.conf.arg(metavar="0..1", help_behavior_hint="(default: 0)")] = None
    """Sharpness, for super-resolution models that support it: from 0 (faithful) to 1 (sharp)."""
    spoil: bool = False
    """Super-resolution only: degrade the small pictures with slight blur, slight noise and JPEG compression (quality
    40)."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Use at most this many pictures, evenly spread, for a quick estimate."""
    models_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: per user)")] = None
    """Folder of .onnx files that can be used by name, like those that `translate models add` puts there."""
    device: Device = "cpu"
    """Where to run the model; on the CPU, results are reproducible."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: an option is missing or out of range.
        """
        if self.data is None:
            raise ConfigError("--data is missing; give the folder of test pictures")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit {self.limit} is out of range; give 1 or more, or omit it")


def main(argv: list[str]) -> int:
    """Evaluate, write the files, print the table and return 0, or 1 if some pictures could not be used.

    Raises:
        TranslateError: nothing could be measured, or the results cannot be written.
    """
    options = parse_options(EvaluateOptions, argv, "translate evaluate")
    require("train", "torch", "torchmetrics", "kornia", "albumentations", "cv2", "matplotlib", "jinja2")
    folder = checked_folder(options.models_dir) if options.models_dir else None
    engine = Engine(resolve(options.model, models_dir=folder), device=options.device)
    other = None if options.against is None else resolve(options.against, models_dir=folder)
    against = None if other is None else Engine(other, device=options.device)
    if options.spoil and engine.spec.scale == 1:
        raise ConfigError(f"--spoil is for super-resolution, but {engine.spec.name} does not enlarge; omit it")
    if options.train is not None and engine.spec.scale > 1:
        raise ConfigError(f"--train does not apply to super-resolution models such as {engine.spec.name}; omit it")
    name = re.sub(r"[^\w.-]", "-", engine.spec.name)  # a name from an untrusted file may not be a valid file name
    out = options.out or Path("runs") / f"evaluation-{name}"
    _make_folder(out)
    skipped = _evaluate(options, engine, against, out)
    return 1 if skipped else 0


def _evaluate(options: EvaluateOptions, engine: Engine, against: Engine | None, out: Path) -> int:
    """Run the evaluation; returns how many files could not be used."""
    # Imported here because the extra `train` may not be installed.
    from translate.evaluation.cases import Question, brightness_ratio, find_cases
    from translate.evaluation.memorisation import find_training
    from translate.evaluation.methods import columns_for
    from translate.evaluation.run import Surveyor

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
        found, classifier = _ask_training(survey, training, notes, tick)
    if options.train is None and data.kind != "enlarge":
        what = "Memorised results and target_share" if data.kind == "unpaired" else "Memorised results"
        notes.append(f"{what} are not measured; give the training pictures with --train.")
    _write(options, engine, out, survey, found, classifier, notes)
    return len(survey.skipped)


def _sum_up(survey: "Survey") -> list[str]:
    """Add means and set distances to the totals; returns notes about them."""
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
            f"ms_ssim is measured on {large} of {len(model.rows)} pictures; sides must be at least {LEAST_SIDE} pixels."
        )
    if len(survey.cases) > SETS_MOST:
        notes.append(f"Set metrics use {SETS_MOST} pictures of each set, evenly spread.")
    if model.engine and model.engine.spec.labels and not any(case.label for case in survey.cases):
        notes.append(f"No label was given, so all results have the first label, {model.engine.spec.labels[0]}.")
    return notes


def _ask_training(
    survey: "Survey", training: "Training | None", notes: list[str], tick: Tick
) -> "tuple[list[Neighbour], dict[str, float]]":
    """Compare with the training pictures; adds to `notes`."""
    from translate.evaluation.memorisation import TRUSTED, classify_domains, neighbours

    if training is None:
        return [], {}
    found = neighbours(survey, training, tick)
    if survey.data.kind != "unpaired":
        return found, {}
    classifier = classify_domains(survey, training, tick)
    if classifier:
        accuracy = classifier["accuracy"]
        notes.append(
            f"target_share: the classifier was trained on {classifier['pictures']:.0f} training pictures of "
            f"{survey.data.folders[0]} and {survey.data.folders[1]} and is right on {accuracy:.1%} of the real test "
            "pictures" + ("." if accuracy >= TRUSTED else "; that is too low for target_share to be meaningful.")
        )
    return found, classifier


def _write(
    options: EvaluateOptions,
    engine: Engine,
    out: Path,
    survey: "Survey",
    found: "list[Neighbour]",
    classifier: dict[str, float],
    notes: list[str],
) -> None:
    import json

    from translate.evaluation.page import write_page
    from translate.evaluation.record import plain_tables, record, summary
    from translate.evaluation.run import contact_sheet
    from translate.pictures.operations import Picture, write_picture

    date = datetime.date.today().isoformat()
    shown = as_text(str(options.data))
    facts: dict[str, object] = {
        "data": shown,
        "options": {key: str(value) for key, value in asdict(options).items() if value is not None},
        "classifier": classifier or None,
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
        f"input: {survey.data.direction['in']}; target: {survey.data.direction['out']}",
        *plain_tables(survey),
        "",
        *(f"note: {note}" for note in notes),
        f"wrote {out / 'index.html'}, metrics.json, summary.json and contact_sheet.png",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _make_folder(out: Path) -> None:
    """Create the output folder and check that it is writable before any work starts."""
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
    # Imported here because rich takes a tenth of a second.
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task("Evaluating", total=total)
        yield lambda: bar.advance(row)
