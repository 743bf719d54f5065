"""The training loop. It knows budgets, signals and snapshots, and no loss formula."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import numpy as np
import torch
from rich.console import Console
from torch import Generator, Tensor

from translate.data.photos import PhotoFolder, photo_batches
from translate.networks.pixels import pixels_to_signal
from translate.trainers.base import Batch
from translate.trainers.budget import StopAfter
from translate.trainers.journal import Journal, sample_batch
from translate.trainers.run import Run

SAMPLES = 8
"""Rows of a sample grid."""

SourceMaker = Callable[[Tensor, Generator], Tensor]


def fit(run: Run, photos: PhotoFolder, make_source: SourceMaker, stop_after: StopAfter, console: Console) -> str:
    """Train until the budget is used, `stop_after` is reached, or a signal asks to end, and leave a snapshot.

    After an error the last periodic snapshot remains.

    Args:
        run: networks and progress; changed in place.
        photos: the stream of training photographs.
        make_source: makes what the generator is given from (B, 3, H, W) photographs.
        stop_after: when this process ends early.
        console: for the progress bar.

    Returns:
        "done" when the budget is used up, else why it ended early: "stop-after" or the name of a signal.

    Raises:
        DataError: losses are no numbers any more, or no photograph can be read.
        SnapshotError: the snapshot cannot be written.
    """
    run.progress.restart_clock()
    device = run.fabric.device
    samples = sample_batch(photos.plain(SAMPLES), make_source, run.config.seed, device)
    batches = photo_batches(
        photos, run.config.batch_size, run.progress.images_seen, _workers(run), pin=device.type == "cuda"
    )
    last_snapshot = monotonic()
    reason = ""
    with _caught_signals() as caught, Journal(run, samples, console) as journal:
        for photo in batches:
            photo_BHWC = photo.photo_BHWC.to(device, non_blocking=True)
            target_BCHW = pixels_to_signal(photo_BHWC).contiguous(memory_format=torch.channels_last)
            source_BCHW = make_source(target_BCHW, _step_generator(run))
            source_BCHW = source_BCHW.contiguous(memory_format=torch.channels_last)
            with run.fabric.autocast():
                run.trainer.step(Batch(source_BCHW, target_BCHW), run.update)
            run.advance(len(photo_BHWC))
            journal.step_done(photo.rejected)
            reason = _reason_to_stop(run, stop_after, caught)
            if reason:
                break
            if monotonic() - last_snapshot >= run.config.snapshot_seconds:
                run.save()
                last_snapshot = monotonic()
        journal.log()
        run.save()
    return reason


def _workers(run: Run) -> int:
    """Loader processes: the setting, or one on a CPU that is busy training and up to eight beside a GPU."""
    if run.config.workers >= 0:
        return run.config.workers
    return min(8, os.cpu_count() or 1) if run.fabric.device.type == "cuda" else 1


def _step_generator(run: Run) -> Generator:
    """Randomness for making sources, fixed by the seed and the number of images seen."""
    entropy = np.random.SeedSequence((run.config.seed, run.progress.images_seen))
    return Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))


def _reason_to_stop(run: Run, stop_after: StopAfter, caught: list[str]) -> str:
    """Why to end now, or an empty string."""
    if run.progress.share >= 1.0:
        return "done"
    if caught:
        return caught[0]
    if run.progress.seconds_here >= stop_after.seconds or run.progress.images_here >= stop_after.images:
        return "stop-after"
    return ""


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
