"""The verb `translate train`."""

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from translate.errors import ConfigError, DataError, nearest
from translate.extras import require
from translate.files import atomic_path
from translate.tasks import TASKS, Task
from translate.usage import parse_options, text_option

if TYPE_CHECKING:
    from translate.trainers.snapshot import Header

CHANGEABLE = {"max_seconds", "max_images", "device", "precision", "workers", "snapshot_seconds", "sample_grids"}
"""Settings that a resumed run may change: they alter how long and where, not what is learnt."""

EXIT_STATUS = {"done": 0, "stop-after": 0, "SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}


def main(argv: list[str]) -> int:
    """Run `translate train TASK ...`; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())  # noqa: T201 - help goes to standard output
        return 0
    name, *rest = argv
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}; {nearest(name, TASKS)}")
    require("train", "torch", "torchvision", "kornia", "albumentations", "lightning_fabric", "safetensors")
    return _train(TASKS[name], rest)


def _overview() -> str:
    rows = "\n".join(f"  {task.name:<18} {task.summary}" for task in TASKS.values())
    return (
        "usage: translate train TASK --data FOLDER --out FOLDER (--max-time TIME | --max-images N) [OPTIONS]\n\n"
        f"tasks:\n{rows}\n\n"
        "example:\n  translate train sketch-to-photo --data photos --out runs/shoes --max-time 20m\n\n"
        "All options of a task: translate train TASK --help"
    )


def _train(task: Task, argv: list[str]) -> int:
    import torch
    from rich.console import Console

    from translate.data.photos import PhotoFolder
    from translate.trainers.fit import fit
    from translate.trainers.run import Run, load_object
    from translate.trainers.snapshot import Header, read_tensors

    trainer_class: Any = load_object(task.trainer)
    source_maker: Any = load_object(task.source_maker)
    saved = _saved_header(task, argv)
    options = _parse(task, trainer_class.config_class, saved, argv)
    config = options.config
    header = saved or Header(
        task=task.name, trainer=task.trainer, config={}, data="", images_seen=0, steps=0, seconds_used=0.0
    )
    header = dataclasses.replace(header, config=dataclasses.asdict(config), data=str(options.data.resolve()))
    photos = PhotoFolder(options.data, config.image_size, config.seed)
    torch.manual_seed(config.seed)
    run = Run(trainer_class(config, task), header, options.out)
    if saved:
        run.restore(read_tensors(run.snapshot_path))
        if run.progress.share >= 1.0:
            raise ConfigError(f"{options.out} has used its budget; give a larger --max-time or --max-images to go on")
    _prepare_folder(options.out, config, fresh=saved is None)
    console = Console(stderr=True)
    start = f", from image {header.images_seen} on" if saved else ""
    console.print(f"{len(photos)} photographs, training on the {run.fabric.device.type}{start}", highlight=False)
    try:
        ended = fit(run, photos, source_maker, options.stop_after, console)
    except torch.OutOfMemoryError:
        raise ConfigError(
            f"the GPU's memory is too small for --batch-size {config.batch_size} at --image-size {config.image_size}; "
            "start a new run with half the --batch-size"
        ) from None
    seen = run.progress.images_seen
    if ended == "done":
        print(f"trained on {seen} images; next: translate export {options.out} -o {task.name}.onnx")  # noqa: T201
    else:
        print(  # noqa: T201
            f"ended early ({ended}) at {100 * run.progress.share:.0f}% of the budget after {seen} images; "
            f"go on with: translate train {task.name} --out {options.out} --resume"
        )
    return EXIT_STATUS[ended]


def _saved_header(task: Task, argv: list[str]) -> "Header | None":
    """The header of the run to be resumed, or None without `--resume`.

    Its config is the default of every option, so `--out` is needed before the options can be read.
    """
    from translate.trainers.snapshot import FILE_NAME, read_header

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


def _parse(task: Task, config_class: type[Any], saved: "Header | None", argv: list[str]) -> Any:
    """Command line -> options; when resuming, what is not given comes from the snapshot.

    Raises:
        ConfigError: wrong usage, no budget, or a setting that a resumed run may not change.
    """
    from translate.trainers.base import config_from_json
    from translate.trainers.budget import StopAfter

    stop_text, never = text_option("TIME|Nimages", StopAfter.parse, str), StopAfter()

    @dataclass(frozen=True, kw_only=True)
    class Options:
        data: Path
        """Folder with photographs (PNG, JPEG, WebP), searched with its subfolders."""
        out: Path
        """Folder of the run: snapshot, log and sample grids."""
        resume: bool = False
        """Go on with the run in --out, with its settings."""
        stop_after: Annotated[StopAfter, stop_text, tyro.conf.arg(name="stop-after")] = never
        """End this process early with a snapshot: a duration (9m) or a number of images (500images)."""
        config: Annotated[config_class, tyro.conf.arg(name="")]  # pyright: ignore[reportInvalidTypeForm]

    Options.__doc__ = f"{task.summary}: learn it from photographs."
    prog = f"translate train {task.name}"
    if saved is None:
        options = parse_options(Options, argv, prog)
    else:
        old = config_from_json(config_class, saved.config, "the snapshot")
        default = Options(data=Path(saved.data), out=Path(), config=old)
        options = parse_options(Options, argv, prog, default)
        for field in dataclasses.fields(old):
            before, now = getattr(old, field.name), getattr(options.config, field.name)
            if before != now and field.name not in CHANGEABLE:
                raise ConfigError(
                    f"--{field.name.replace('_', '-')} is {now}, but the run was started with {before}; "
                    "leave it out, or start a new run in another --out"
                )
    if options.config.max_seconds is None and options.config.max_images is None:
        raise ConfigError("no budget given; add --max-time 20m (or --max-images 50000), a few hours give good pictures")
    return options


def _prepare_folder(out: Path, config: Any, *, fresh: bool) -> None:
    """Make the run's folder and write its config.

    Raises:
        ConfigError: it already holds a run.
        DataError: it cannot be made or written.
    """
    from translate.trainers.snapshot import FILE_NAME

    if fresh and (out / FILE_NAME).exists():
        raise ConfigError(f"{out} already holds a run; add --resume to go on with it, or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with atomic_path(out / "config.json") as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
