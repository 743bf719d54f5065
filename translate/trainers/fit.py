"""The training loop. It knows budgets, signals and snapshots, and no loss formula."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import torch
from rich.console import Console

from translate.cores import cores
from translate.data.stream import RawBatch, batches
from translate.errors import SnapshotError
from translate.trainers.budget import StopAfter
from translate.trainers.distributed import Agreement
from translate.trainers.journal import Journal
from translate.trainers.material import Material, parts, seed_number
from translate.trainers.run import Run
from translate.trainers.validation import Validation

REASONS = ("", "done", "stop-after", "early-stop", "SIGINT", "SIGTERM", "SIGHUP")
"""Why a run ends; the numbers are what processes tell each other."""


def fit(run: Run, material: Material, stop_after: StopAfter, console: Console) -> str:
    """Train until the budget is used, `stop_after` is reached, or a signal asks to end, and leave a snapshot.

    After an error the last periodic snapshot remains.

    Args:
        run: networks and progress; changed in place.
        material: the stream of training pictures, and the held-out ones.
        stop_after: when this process ends early.
        console: for the progress bar.

    Returns:
        "done" when the budget is used up, else why it ended early: one of `REASONS`.

    Raises:
        DataError: losses are no numbers any more, or no picture can be read.
        SnapshotError: the last snapshot cannot be written.
    """
    agreement = Agreement(run.fabric)
    stream = batches(
        material.stream,
        run.config.batch_size,
        run.progress.images_seen,
        _workers(run),
        pin=run.fabric.device.type == "cuda",
        rank=run.fabric.global_rank,
        world=run.fabric.world_size,
    )
    validation = Validation(run, material)
    run.synchronise()
    run.progress.restart_clock()
    last_snapshot = monotonic()
    reason = ""
    with _caught_signals() as caught, Journal(run, material, console) as journal:
        validation.at_start(journal)
        agreement.on()  # the others wait here, where waiting may take long
        for raw in stream:
            _step(run, material, raw)
            run.progress.tick()
            journal.step_done(raw.rejected)
            validation.if_due(journal)
            reason = _agree(run, agreement, _reason_to_stop(run, stop_after, validation, caught))
            if reason:
                break
            if monotonic() - last_snapshot >= run.config.snapshot_seconds:
                _save_or_say(run, journal)
                last_snapshot = monotonic()
        journal.log()
        if run.fabric.is_global_zero:
            run.save()
    return reason


def _step(run: Run, material: Material, raw: RawBatch) -> None:
    progress = run.progress
    for number, part in enumerate(parts(raw, run.config.accumulate)):
        # All randomness of a step is fixed by these numbers, so there is none to save.
        seed = (run.config.seed, progress.images_seen, run.fabric.global_rank, number)
        torch.manual_seed(seed_number(*seed))
        batch = material.batch(part, seed, run.fabric.device, progress.share, progress.steps)
        with run.fabric.autocast():
            run.trainer.step(batch, run.update)
    run.advance(run.config.batch_size)


def _workers(run: Run) -> int:
    """Loader processes: the setting, or one on a CPU that is busy training and up to eight beside a GPU."""
    if run.config.workers >= 0:
        return run.config.workers
    if run.fabric.device.type != "cuda":
        return 1
    return max(1, min(8, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _save_or_say(run: Run, journal: Journal) -> None:
    """A full disk at night must not end the run: there may be room again at the next snapshot."""
    if not run.fabric.is_global_zero:
        return
    try:
        run.save()
    except SnapshotError as error:
        journal.say(f"no snapshot: {error}; training goes on, the snapshot before is intact")


def _reason_to_stop(run: Run, stop_after: StopAfter, validation: Validation, caught: list[str]) -> str:
    """Why to end now, or an empty string."""
    if run.progress.share >= 1.0:
        return "done"
    if caught:
        return caught[0]
    if run.progress.seconds_here >= stop_after.seconds or run.progress.images_here >= stop_after.images:
        return "stop-after"
    return "early-stop" if validation.out_of_patience else ""


def _agree(run: Run, agreement: Agreement, reason: str) -> str:
    """The first process's clock and reason, in all of them."""
    seconds, number = agreement.on(run.progress.seconds_here, REASONS.index(reason))
    run.progress.seconds_here = seconds
    return REASONS[int(number)]


@contextmanager
def _caught_signals() -> Iterator[list[str]]:
    """Collect the names of signals that ask to end; a second one of the same kind acts as usual."""
    caught: list[str] = []
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is a closed terminal, which Windows does not have
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # What the parent has told us to ignore (nohup does so with SIGHUP) stays ignored.
    before = {number: found for number in numbers if (found := signal.getsignal(number)) is not signal.SIG_IGN}

    def note(number: int, _: object) -> None:
        caught.append(signal.Signals(number).name)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
