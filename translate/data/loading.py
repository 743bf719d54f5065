"""The stream of samples in batches, made by loader processes that may die.

Shape suffixes: B batch, H height, W width.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import torch
from torch.utils.data import DataLoader, Sampler

from translate.data.dataset import PictureDataset, RawBatch, collate
from translate.errors import DataError

MOST_DEATHS = 3
"""Number of deaths of loader processes without a batch in between that end a run."""


def batches(
    stream: PictureDataset,
    batch_size: int,
    start: int,
    workers: int,
    pin: bool,
    *,
    rank: int = 0,
    world: int = 1,
    on_death: Callable[[str], None] = lambda _: None,
) -> Iterator[RawBatch]:
    """Endless batches from position `start` on, or one process's part of them.

    Loader processes that die (killed for want of memory, for example) are started again where they were.

    Args:
        stream: the samples.
        batch_size: over all processes, divisible by `world`.
        start: position of the first sample: the number of samples already seen by all processes.
        workers: number of loader processes; 0 loads in this process.
        pin: use pinned memory, for fast copies to a GPU.
        rank: index of this training process; each gets a contiguous part of every batch.
        world: number of training processes.
        on_death: called with a message of one line when a loader process has died.

    Raises:
        DataError: no file is usable any more, or loader processes keep dying.
    """
    assert batch_size % world == 0, f"{world} processes cannot share a batch of {batch_size}"
    return _undying(stream, _Positions(start, batch_size, rank, world), workers, pin, on_death)


def _undying(
    stream: PictureDataset, positions: "_Positions", workers: int, pin: bool, on_death: Callable[[str], None]
) -> Iterator[RawBatch]:
    deaths = 0
    while True:
        try:
            for raw in _loaded(stream, positions, workers, pin):
                deaths = 0
                positions.first += positions.batch_size
                yield raw
        except _Died as death:
            deaths += 1
            if deaths == MOST_DEATHS:
                raise DataError(
                    f"{death}, {deaths} times in a row; use fewer --workers (0: none), or free memory"
                ) from None
            on_death(f"{death}; it is started again")


def _loaded(stream: PictureDataset, positions: "_Positions", workers: int, pin: bool) -> Iterator[RawBatch]:
    """The batches at these positions.

    Raises:
        DataError: no file is usable any more.
        _Died: a loader process has ended.
    """
    loader = DataLoader(
        stream,
        batch_size=positions.share,
        sampler=positions,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=_quiet_worker,
        prefetch_factor=4 if workers else None,
        # Otherwise creating the iterator would draw from torch's global generator, once more for every resume.
        generator=torch.Generator(),
    )
    with _deaths_noticed_later():
        loading = iter(loader)
    try:
        yield from loading
    except DataError as error:  # the message of an error in a loader process is its traceback
        raise DataError(str(error).strip().splitlines()[-1].removeprefix("translate.errors.DataError: ")) from None
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
        # torch's own word for it, or what becomes of the connection, through which every tensor is fetched. What a
        # loader process itself has raised is "Caught ... in DataLoader worker process".
        said = str(error)
        if "Caught " in said or (isinstance(error, RuntimeError) and "DataLoader worker" not in said) or not workers:
            raise
        raise _Died("a process that loads pictures was killed") from None


@contextmanager
def _deaths_noticed_later() -> Generator[None]:
    """Keep torch from raising an error as soon as a loader process dies, which may be in the middle of a step.

    It is noticed within seconds when the next batch is asked for.
    """
    here = hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD) if here else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)


class _Died(Exception):  # noqa: N818 - not for the user
    """A loader process has ended."""


class _Positions(Sampler[int]):
    """This rank's part of every global batch from `start` on, endlessly."""

    def __init__(self, start: int, batch_size: int, rank: int, world: int):
        share = batch_size // world
        self.first, self.batch_size, self.share = start + rank * share, batch_size, share

    def __iter__(self) -> Iterator[int]:
        first = self.first
        while True:
            yield from range(first, first + self.share)
            first += self.batch_size


def _quiet_worker(_: int) -> None:
    """Ctrl-C and `timeout` signal the whole process group, but only the training process should react."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # a loader that dies would end training within a step, without a snapshot
