"""The command `translate train`."""

import argparse
import contextlib
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro import MISSING

from translate.errors import ConfigError, nearest, require
from translate.machine import MOST_THREADS
from translate.options import parse_options, quoted, short_help, text_option
from translate.tasks import TASKS, Task
from translate.training.allocator import keep_memory
from translate.training.folder import held_run, refuse_name, refuse_old_run, write_config
from translate.training.openmp import Threads, prepare

if TYPE_CHECKING:
    from rich.console import Console

    from translate.trainers.base import Batch, Trainer
    from translate.trainers.config import TrainConfig
    from translate.training.batches import Listings, TrainingData
    from translate.training.run import Run
    from translate.training.snapshot import Header

PACKAGES = ("torch", "torchvision", "kornia", "albumentations", "lightning_fabric", "safetensors", "torchmetrics")
"""What training imports, from the extra `train`."""

CHANGEABLE = {
    "max_seconds", "max_images", "device", "precision", "compile", "checkpoint_activations", "workers", "cache",
    "snapshot_seconds", "sample_grids", "validations", "metrics", "best_by", "patience", "label_names", "accumulate",
    "unpaired_sources",
}  # fmt: skip
"""Settings that a resumed run may change: they alter how long and where, not what is learnt."""

WHY = {"stop-after": "--stop-after", "SIGINT": "Ctrl-C", "SIGTERM": "asked to end", "SIGHUP": "terminal closed"}
"""Why a run ended early, in words."""

EXIT_STATUS = {"done": 0, "stop-after": 0, "early-stop": 0, "SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}


IMPORTANT = (
    "help", "help-all", "data", "out", "val", "preset", "max-time", "max-images", "stop-after", "start-from", "layout",
    "folders", "labels", "unpaired-sources", "image-size", "batch-size", "device", "workers", "metrics", "seed",
    "style-size", "scale", "degradation", "discriminator", "adversarial-weight", "l1-weight", "cycle-weight",
    "perceptual-weight",
)  # fmt: skip
"""Options that `--help` shows; `--help-all` shows every one."""


def main(argv: list[str]) -> int:
    """Run `translate train TASK ...`; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())  # noqa: T201 - help goes to standard output
        return 0
    name, *rest = argv
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}; {nearest(name, TASKS)}")
    require("train", *PACKAGES)
    others = [word for word in rest if word not in ("-h", "--help", "--help-all")]  # the defaults are the preset's
    if "--help-all" in rest:
        return train(TASKS[name], [*others, "--help"])
    if len(others) < len(rest):
        whole = io.StringIO()
        with contextlib.redirect_stdout(whole), contextlib.suppress(SystemExit):
            train(TASKS[name], [*others, "--help"])
        print(short_help(whole.getvalue(), IMPORTANT, f"All options: translate train {name} --help-all"))  # noqa: T201
        return 0
    return train(TASKS[name], rest)


def _overview() -> str:
    rows = "\n".join(f"  {task.name:<18} {task.summary}" for task in TASKS.values())
    return (
        "usage: translate train TASK --data FOLDER --out FOLDER (--max-time TIME | --max-images N) [OPTIONS]\n\n"
        f"tasks:\n{rows}\n\n"
        "example:\n  translate train sketch-to-photo --data photos --out runs/shoes --max-time 20m\n\n"
        "Options of a task: translate train TASK --help, or --help-all for every one"
    )


def train(task: Task, argv: list[str], threads: Threads | None = None) -> int:
    """Train with the options in `argv`; returns the exit status. `threads`: if they have been chosen already."""
    threads = threads or prepare(argv)  # OpenMP reads its variables when torch is imported
    import torch

    from translate.tasks.base import load_object
    from translate.training.batches import NO_SPLIT, SPLIT, list_training_data

    trainer_class = load_object(task.trainer)
    saved = _saved_header(task, argv)
    options = _parse(task, trainer_class, saved, argv)
    split = SPLIT if saved is None else saved.split
    listings, config = list_training_data(task, options.config, options.data, options.val, split)
    if options.val is None and not listings.held_out.targets:
        split = NO_SPLIT
    header = _header(task, saved, options, config, listings, split)
    refuse_old_run(options.out, fresh=saved is None)
    refuse_name(options.out)
    if threads.count:
        torch.set_num_threads(threads.count)
    torch.manual_seed(config.seed)
    with held_run(options.out, saved):
        try:
            return _trained(task, trainer_class(config, task), header, listings, options, threads, saved)
        except torch.OutOfMemoryError:
            raise ConfigError(_out_of_memory(config, options.out)) from None


def _trained(
    task: Task,
    trainer: "Trainer",
    header: "Header",
    listings: "Listings",
    options: Any,
    threads: Threads,
    saved: "Header | None",
) -> int:
    """Train; returns the exit status."""
    from rich.console import Console

    from translate.monitoring.logger import Logger
    from translate.monitoring.validation import Validation, check_held_out, measured_names
    from translate.training.batches import open_training_data
    from translate.training.fit import fit
    from translate.training.run import Run
    from translate.training.snapshot import read_tensors

    note = _start(trainer, task, listings) if trainer.config.start_from and not saved else ""
    run = Run(trainer, header, options.out)
    if run.fabric.device.type == "cpu":
        keep_memory()
    other_pictures = saved is not None and saved.files != header.files
    if saved:
        run.restore(read_tensors(run.snapshot_path))
        if other_pictures:
            run.best = {}
        _refuse_finished_run(run)
    measured_names(run.trainer, len(listings.held_out.targets))  # before anything is written
    console = Console(stderr=True, quiet=not run.fabric.is_global_zero)
    for line in (*(f"note: {reason}" for reason in listings.left_out), *([note] if note else ())):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if other_pictures:
        console.print("other pictures than before: what was measured so far no longer counts", highlight=False)
    training_data = open_training_data(run.trainer, task, listings, console)
    check_held_out(run.trainer, training_data.held_out_count)
    if run.fabric.is_global_zero:
        write_config(options.out, trainer.config)
    _say_start(console, run, training_data, threads, resumed=saved is not None)
    logger = Logger(run, training_data, console)
    ended = fit(run, training_data, options.stop_after, [logger, Validation(run, training_data, logger)])
    if run.fabric.is_global_zero:
        _say_end(task, run, options.out, ended)
    return EXIT_STATUS[ended]


def _header(
    task: Task, saved: "Header | None", options: Any, config: "TrainConfig", listings: "Listings", split: str
) -> "Header":
    """The header of the run: as saved, or new, with the settings and the files of now."""
    from translate.training.snapshot import Header

    header = saved or Header(
        task=task.name, trainer=task.trainer, config={}, data="", images_seen=0, steps=0, seconds_used=0.0
    )
    return dataclasses.replace(
        header,
        config=config.settings(),
        data=str(options.data.resolve()),
        validation="" if options.val is None else str(options.val.resolve()),
        files=listings.digest,
        split=split,
    )


def _start(trainer: "Trainer", task: Task, listings: "Listings") -> str:
    """Give the networks what `--start-from` names; returns what is to be said about the rest.

    Raises:
        TranslateError: it does not fit, see `translate.training.start`.
    """
    import torch

    from translate.training.batches import open_training_data
    from translate.training.start import MEASURED, model_files, start_from_files, start_from_run

    files = model_files(trainer.config.start_from, task)
    if not files:
        return start_from_run(trainer, Path(trainer.config.start_from))

    def first_batch() -> "Batch":
        training_data = open_training_data(trainer, task, listings)
        # Not the held-out pictures, which are to stay unseen, and are few.
        measured = training_data.stream.plain(MEASURED)
        return training_data.batch(measured, (trainer.config.seed,), torch.device("cpu"))

    return start_from_files(trainer, task, files, first_batch)


def _refuse_finished_run(run: "Run") -> None:
    if run.progress.share >= 1.0:
        raise ConfigError(f"{run.folder} has used its budget; give a larger --max-time or --max-images to go on")
    if 0 < run.config.validation.patience <= run.best.get("since", 0):
        raise ConfigError(
            f"{run.folder} has not improved for {run.best['since']} measurements; "
            "give a larger --patience to go on, or 0 for never"
        )


def _out_of_memory(config: "TrainConfig", out: Path) -> str:
    """What went wrong on the GPU, and what will help."""
    from translate.training.snapshot import FILE_NAME

    again = "go on with --resume" if (out / FILE_NAME).exists() else "start again with"
    batch, parts = config.optimisation.batch_size, 2 * config.optimisation.accumulate
    try:
        config.replace(accumulate=parts)
        remedy = f"--accumulate {parts}"
    except ConfigError:  # the batch cannot be split further
        remedy = "a smaller --image-size in a new run"
    return (
        f"the GPU's memory is too small for --batch-size {batch} at --image-size {config.data.image_size}; "
        f"{again} {remedy}"
    )


def _say_start(
    console: "Console", run: "Run", training_data: "TrainingData", threads: Threads, *, resumed: bool
) -> None:
    processes = f" in {run.fabric.world_size} processes" if run.fabric.world_size > 1 else ""
    start = f", from image {run.progress.images_seen} on" if resumed else ""
    unpaired = training_data.stream.unpaired
    beside = f" and {len(unpaired.pictures)} unpaired sources" if unpaired else ""
    console.print(
        f"{len(training_data.stream)} pictures{beside} to learn from, {training_data.held_out_count} held out for "
        "measuring; "
        f"training on the {run.fabric.device.type}{processes}{start}",
        highlight=False,
        soft_wrap=True,
    )
    if threads.line and run.fabric.device.type == "cpu":
        console.print(threads.line, highlight=False, markup=False, soft_wrap=True)


def _say_end(task: Task, run: "Run", out: Path, ended: str) -> None:
    seen, skipped = run.progress.images_seen, int(run.bad_steps)
    note = f" ({skipped} steps whose loss was not a number were skipped)" if skipped else ""
    if ended in ("done", "early-stop"):
        why = " (no improvement any more)" if ended == "early-stop" else ""
        print(f"trained on {seen} images{why}{note}; next: translate export {quoted(out)} -o {task.name}.onnx")  # noqa: T201
    else:
        print(  # noqa: T201
            f"ended early ({WHY[ended]}) at {100 * run.progress.share:.0f}% of the budget after {seen} images{note}; "
            f"to continue: translate resume {quoted(out)}"
        )


def _saved_header(task: Task, argv: list[str]) -> "Header | None":
    """The header of the run to be resumed, or None without `--resume`.

    Its config is the default of every option, so `--out` is needed before the options can be read.
    """
    from translate.training.snapshot import FILE_NAME, read_header

    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--resume", action="store_true")
    early.add_argument("--out", type=Path)
    try:
        found, _ = early.parse_known_args(argv)
    except argparse.ArgumentError:  # --out without a folder; tyro says so below
        return None
    if not found.resume or found.out is None:
        return None
    header = read_header(found.out / FILE_NAME)
    if header.task != task.name:
        raise ConfigError(f"{found.out} was trained for {header.task}; resume it with: translate train {header.task}")
    return header


def _parse(task: Task, trainer_class: Any, saved: "Header | None", argv: list[str]) -> Any:
    """Command line -> options; what is not given comes from the preset or, when resuming, from the snapshot.

    Raises:
        ConfigError: wrong usage, no budget, or a setting that a resumed run may not change.
    """
    from translate.trainers.adversarial_config import AdversarialConfig
    from translate.trainers.config import config_from_json, option_name
    from translate.training.budget import StopAfter

    stop_text, never = text_option("TIME|Nimages", StopAfter.parse, str), StopAfter()
    config_class = trainer_class.config_class

    @dataclass(frozen=True, kw_only=True)
    class Options:
        data: Path
        """Folder with the pictures to learn from (PNG, JPEG, WebP and others), searched with its subfolders."""
        out: Path
        """Folder of the run: snapshot, log and sample grids."""
        val: Annotated[
            Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: some of --data are held out)")
        ] = None
        """Folder with pictures to measure with, laid out like --data."""
        resume: bool = False
        """Go on with the run in --out, with its settings."""
        stop_after: Annotated[StopAfter, stop_text, tyro.conf.arg(name="stop-after")] = never
        """End this process early with a snapshot: a duration (9m) or a number of images (500images)."""
        threads: int = 0
        """Threads of this process when it trains on a CPU; 0 or -1: as many as cores are idle at the start. How they
        are used is a matter of speed: what is learnt differs by the rounding of sums at most."""
        config: Annotated[config_class, tyro.conf.arg(name="")]  # pyright: ignore[reportInvalidTypeForm]

    presets = ", ".join(trainer_class.presets)
    Options.__doc__ = f"{task.summary}. --data expects {task.data_hint}. Presets: {presets}."
    prog = f"translate train {task.name}"
    if saved is None:
        start = _preset(task, trainer_class, argv)
        options = parse_options(Options, argv, prog, Options(data=MISSING, out=MISSING, config=start))
        if isinstance(start, AdversarialConfig):
            options.config.check_used(start)
    else:
        start = config_from_json(config_class, saved.config, "the snapshot")
        if isinstance(start, AdversarialConfig):
            start = start.replace(reference_size=start.references)  # it is kept, whatever --accumulate is now
        validation = Path(saved.validation) if saved.validation else None
        start = _with_new_budget(start, argv)
        default = Options(data=Path(saved.data), out=Path(), val=validation, config=start)
        options = parse_options(Options, argv, prog, default)
        given = options.config.settings()
        for name, before in start.settings().items():
            now = given[name]
            if before != now and name not in CHANGEABLE:
                raise ConfigError(
                    f"{option_name(name)} is {now}, but the run was started with {before}; "
                    "leave it out, or start a new run in another --out"
                )
    if not -1 <= options.threads <= MOST_THREADS:
        raise ConfigError(f"--threads is {options.threads}; it must be between -1 and {MOST_THREADS}")
    if options.config.budget.max_seconds is None and options.config.budget.max_images is None:
        raise ConfigError("no budget given; add --max-time 20m (or --max-images 50000), a few hours give good pictures")
    return options


def _with_new_budget(config: "TrainConfig", argv: list[str]) -> "TrainConfig":
    """`config` without its budget when the arguments give one of the other kind only."""
    given = {word.split("=")[0].replace("_", "-") for word in argv}
    time, images = "--max-time" in given, "--max-images" in given
    if time == images:
        return config
    return config.replace(**{"max_images" if time else "max_seconds": None})


def _preset(task: Task, trainer_class: Any, argv: list[str]) -> Any:
    """The settings that the options change: those of `--preset`, what the task needs, and how a model file is built.

    Raises:
        ConfigError: there is no such preset, or the file's settings contradict it.
        ModelError: there is no such file, or training cannot go on from it.
    """
    from translate.trainers.config import option_name
    from translate.training.start import model_files, settings_of

    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--preset", default="modern")
    early.add_argument("--start-from", "--start_from", default="")
    try:
        found = early.parse_known_args(argv)[0]
        name, start = found.preset, found.start_from
    except argparse.ArgumentError:  # an option without its value; tyro says so below
        name, start = "modern", ""
    if name not in trainer_class.presets:
        raise ConfigError(f"--preset is {name!r}; choose one of: {', '.join(trainer_class.presets)}")
    preset = trainer_class.presets[name].replace(**task.settings)
    files = model_files(start, task)
    if not files:
        return preset
    given = {word.split("=")[0].replace("_", "-").replace("--no-", "--") for word in argv if word.startswith("--")}
    known = preset.settings().keys()
    settings = {
        setting: value
        for setting, value in settings_of(files).items()
        if setting in known and option_name("labels" if setting == "label_names" else setting) not in given
    }
    try:
        return preset.replace(**settings)
    except ConfigError as error:  # it advises another setting, with which the file would not fit
        reason = str(error).partition(";")[0]
        raise ConfigError(
            f"--preset {name} does not suit --start-from {start} ({reason}); use another --preset, or start "
            "from nothing"
        ) from None
