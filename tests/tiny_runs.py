"""Training runs of a second: settings, data by task, the loop in this process and the command in another."""

import io
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from programs import until
from rich.console import Console

from translate.cli.main import main
from translate.monitoring.logger import Logger
from translate.monitoring.validation import Validation
from translate.tasks import TASKS
from translate.tasks.base import load_object
from translate.trainers.base import Trainer
from translate.trainers.config import option_name
from translate.training.batches import TrainingData, list_training_data, open_training_data
from translate.training.budget import StopAfter
from translate.training.fit import fit
from translate.training.run import Run
from translate.training.snapshot import FILE_NAME, Header, read_header, read_tensors

SKETCHES = "sketch-to-photo"
NEVER = StopAfter()

EVERYWHERE: Mapping[str, Any] = {
    "preset": "modern",
    "max_images": 12,
    "image_size": 32,
    "batch_size": 2,
    "discriminator_width": 8,
    "discriminator_layers": 2,
    "discriminator_scales": 1,
    "adaptive_augmentation": 0.0,
    "generator_blocks": 1,
    "workers": 0,
    "precision": "32",
    "device": "cpu",
    "sample_grids": 0,
}
OF_TRAINER: Mapping[str, Mapping[str, Any]] = {
    "Pix2Pix": {"generator_widths": (8, 8), "generator_width": 8},
    "CycleGAN": {"generator_widths": (8, 8), "generator_width": 8},
    "CUT": {"generator_widths": (8, 8), "generator_width": 8, "patches": 16},
    "SuperRes": {"generator_width": 8, "scale": 2},
}
OF_TASK: Mapping[str, Mapping[str, Any]] = {"pix2pix": {"layout": "side-by-side"}}


def trainer_class(task: str) -> type[Trainer]:
    return load_object(TASKS[task].trainer)


def tiny(task: str) -> dict[str, Any]:
    """The settings that make a run of the task take a few hundredths of a second a step."""
    return {**EVERYWHERE, **OF_TRAINER[trainer_class(task).__name__], **OF_TASK.get(task, {})}


def settings(task: str = SKETCHES, **changes: Any) -> Any:
    """A tiny config of the task's trainer, as the command line would make it."""
    preset = trainer_class(task).presets[changes.get("preset", "modern")]
    return preset.replace(**{**TASKS[task].settings, **tiny(task), **changes})


def options(task: str = SKETCHES, **changes: Any) -> list[str]:
    """`settings` as arguments of the command line; None leaves one out."""
    arguments: list[str] = []
    for name, value in {**tiny(task), **changes}.items():
        if isinstance(value, bool):
            arguments += [option_name(name)] if value else []
        elif value is not None:
            arguments += [option_name(name), *map(str, value if isinstance(value, tuple) else [value])]
    return arguments


def new_run(
    folder: Path, config: Any, task: str = SKETCHES, kind: type[Trainer] | None = None, saved: Header | None = None
) -> Run:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(config.seed)
    header = saved or Header(
        task=task, trainer=TASKS[task].trainer, config={}, data="", images_seen=0, steps=0, seconds_used=0.0
    )
    made: Any = kind or trainer_class(task)
    return Run(made(config, TASKS[task]), header, folder)


def resumed_run(folder: Path, config: Any, task: str = SKETCHES, kind: type[Trainer] | None = None) -> Run:
    """What is in `folder`, as a process that has used other random numbers before would go on with it."""
    run = new_run(folder, config, task, kind, read_header(folder / FILE_NAME))
    torch.rand(7)
    run.restore(read_tensors(run.snapshot_path))
    return run


def training_data_of(run: Run, data: Path, validation: Path | None = None) -> TrainingData:
    task = TASKS[run.header.task]
    listings, _ = list_training_data(task, run.config, data, validation)
    return open_training_data(run.trainer, task, listings)


def train(
    run: Run,
    data: Path,
    stop_after: StopAfter = NEVER,
    validation: Path | None = None,
    said: io.StringIO | None = None,
) -> str:
    """`fit`; returns why it ended and writes to `said` what the user would see."""
    training_data = training_data_of(run, data, validation)
    logger = Logger(run, training_data, Console(file=said or io.StringIO(), width=400))
    return fit(run, training_data, stop_after, [logger, Validation(run, training_data, logger)])


def log_lines(folder: Path, event: str | None = None) -> list[dict[str, Any]]:
    """The lines of the log, or those of one event."""

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = (folder / "log.jsonl").read_text()
    lines = [json.loads(line, parse_constant=no_constant) for line in text.splitlines()]
    return [line for line in lines if event is None or line["event"] == event]


def assert_same_snapshots(one: Path, other: Path) -> None:
    """The same tensors, bit by bit, and the same progress."""
    first, second = read_tensors(one / FILE_NAME), read_tensors(other / FILE_NAME)
    assert first.keys() == second.keys()
    assert [name for name, tensor in first.items() if not torch.equal(tensor, second[name])] == []
    headers = [read_header(folder / FILE_NAME) for folder in (one, other)]
    for name in ("task", "images_seen", "steps", "best", "spec"):
        assert getattr(headers[0], name) == getattr(headers[1], name)


# --- other processes

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["translate.training.fit", "translate.trainers.pix2pix", "translate.data.sketches"])
"""Children of a server that has imported torch once; each is as new as a freshly started `translate`."""


def command(arguments: Sequence[str], output: Path, start_method: str, environment: Mapping[str, str]) -> None:
    """The command line in a process group of its own, its output in `output`."""
    os.setpgid(0, 0)
    os.environ.update(environment)
    # As in a process of one's own; the server's children would start a server again, for the loader.
    multiprocessing.set_start_method(start_method, force=True)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    torch.set_num_threads(1)
    sys.exit(main(arguments))


def start(output: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """`translate` with the arguments as a process."""
    given = (arguments, output, multiprocessing.get_start_method(), environment or {})
    child = FORKS.Process(target=command, args=given)
    child.start()
    return child


@contextmanager
def process(out: Path, *arguments: str) -> Iterator[Any]:
    """`translate train` as a process; it has saved at least two snapshots."""
    out.mkdir()
    child = start(out / "output", "train", SKETCHES, "--out", str(out), *arguments)
    try:
        until(lambda: (out / FILE_NAME).exists() or child.exitcode is not None)
        assert child.exitcode is None, (out / "output").read_text()
        first = (out / FILE_NAME).stat().st_ino
        until(lambda: (out / FILE_NAME).stat().st_ino != first)
        yield child
    finally:
        child.kill()
        child.join(30)
