"""The training loop: budget, signals and snapshots, but no loss formula."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic

import torch

from translate.data.dataset import RawBatch
from translate.data.loading import batches
from translate.errors import SnapshotError
from translate.machine import cores
from translate.signals import handled
from translate.training.batches import TrainingData, parts, seed_number
from translate.training.budget import StopAfter
from translate.training.callback import Callback
from translate.training.distributed import Agreement
from translate.training.run import Run

REASONS = ("", "done", "stop-after", "early-stop", "SIGINT", "SIGTERM", "SIGHUP")
"""Why a run ends; processes exchange the indices."""


def fit(run: Run, training_data: TrainingData, stop_after: StopAfter, callbacks: Sequence[Callback] = ()) -> str:
    """Train until the budget is used, `stop_after` is reached, or a signal arrives, and save a snapshot.

    After an error the last periodic snapshot remains.

    Args:
        run: networks and progress; changed in place.
        training_data: the training stream.
        stop_after: when this process stops early.
        callbacks: called in this order.

    Returns:
        "done" if the budget is used up, otherwise the reason: one of `REASONS`.

    Raises:
        DataError: the losses are not finite any more, or no image can be read.
        SnapshotError: the last snapshot cannot be written.
    """
    agreement = Agreement(run.fabric)
    stream = batches(
        training_data.stream,
        run.config.optimisation.batch_size,
        run.progress.images_seen,
        _workers(run),
        pin=run.fabric.device.type == "cuda",
        rank=run.fabric.global_rank,
        world=run.fabric.world_size,
        on_death=lambda text: _say(callbacks, text),
    )
    run.synchronise()
    run.progress.restart_clock()
    last_snapshot = monotonic()
    reason = ""
    with _caught_signals() as caught, ExitStack() as closing:
        for callback in callbacks:
            closing.callback(callback.teardown)
            callback.on_train_start()
        agreement.on()  # the other processes wait here, where long waits are allowed
        for raw in stream:
            _step(run, training_data, raw)
            run.progress.tick()
            for callback in callbacks:
                callback.on_train_batch_end(raw.rejected)
            should_stop = any(callback.should_stop for callback in callbacks)
            reason = _agree(run, agreement, _reason_to_stop(run, stop_after, should_stop, caught))
            if reason:
                break
            if monotonic() - last_snapshot >= run.config.machine.snapshot_seconds:
                _try_to_save(run, callbacks)
                last_snapshot = monotonic()
        for callback in callbacks:
            callback.on_train_end()
        if run.fabric.is_global_zero:
            run.save()
    return reason


def _step(run: Run, training_data: TrainingData, raw: RawBatch) -> None:
    progress = run.progress
    for number, part in enumerate(parts(raw, run.config.optimisation.accumulate)):
        # All randomness of a step is determined by these numbers, so no generator state has to be saved.
        seed = (run.config.seed, progress.images_seen, run.fabric.global_rank, number)
        torch.manual_seed(seed_number(*seed))
        batch = training_data.batch(part, seed, run.fabric.device, progress.share, progress.steps)
        with run.fabric.autocast():
            run.trainer.step(batch, run.update)
    run.advance(run.config.optimisation.batch_size)


def _workers(run: Run) -> int:
    """Number of data loader processes: the setting, or one when training on the CPU and up to eight with a GPU."""
    if run.config.machine.workers >= 0:
        return run.config.machine.workers
    if run.fabric.device.type != "cuda":
        return 1
    return max(1, min(8, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _try_to_save(run: Run, callbacks: Sequence[Callback]) -> None:
    """Save a snapshot, but do not end the run on a full disk: there may be space again for the next one."""
    if not run.fabric.is_global_zero:
        return
    try:
        run.save()
    except SnapshotError as error:
        _say(callbacks, f"no snapshot: {error}; training continues, the previous snapshot is intact")


def _say(callbacks: Sequence[Callback], text: str) -> None:
    for callback in callbacks:
        callback.on_message(text)


def _reason_to_stop(run: Run, stop_after: StopAfter, should_stop: bool, caught: list[str]) -> str:
    """The reason to stop now, or an empty string."""
    if run.progress.share >= 1.0:
        return "done"
    if caught:
        return caught[0]
    if run.progress.seconds_here >= stop_after.seconds or run.progress.images_here >= stop_after.images:
        return "stop-after"
    return "early-stop" if should_stop else ""


def _agree(run: Run, agreement: Agreement, reason: str) -> str:
    """Use the clock and the reason of the first process in all processes."""
    seconds, number = agreement.on(run.progress.seconds_here, REASONS.index(reason))
    run.progress.seconds_here = seconds
    return REASONS[int(number)]


@contextmanager
def _caught_signals() -> Iterator[list[str]]:
    """Collect the names of termination signals; a second one of the same kind has its usual effect."""
    caught: list[str] = []
    # The last one is that of a closed terminal.
    with handled(("SIGINT", "SIGTERM", "SIGHUP"), lambda number: caught.append(signal.Signals(number).name)):
        yield caught
