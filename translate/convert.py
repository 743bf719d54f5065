"""Folder -> folder: decode, run, encode, with every core busy, memory flat and nothing lost.

Each worker thread takes one file from decoding to encoding. Pillow and ONNX Runtime release Python's global
lock, so threads are enough; an Engine with `threads=1` and two workers per core waste the least.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from translate.conversion import Conversion, Worker
from translate.engine import Engine, cores
from translate.frames import Stopped
from translate.ledger import Existing, Ledger, Made, Order, Outcome
from translate.location import Remote, location
from translate.moving import FrameWork, OnFrame
from translate.plan import Job, Plan, make_plan

Progress = Callable[[Outcome], None]


class Backend(Protocol):
    """Who works orders off."""

    def __call__(self, orders: "Orders", worker: Worker, workers: int | None, count: int) -> None:
        """Let `worker`, or others like him, make all orders.

        Args:
            orders: asked for the next, and told what was made of each.
            worker: what pictures are made with.
            workers: how many are made at once; None: as the backend sees fit.
            count: about how many pictures there are, 1 or more.
        """
        ...


@dataclass(frozen=True)
class ConvertReport:
    """What became of all pictures."""

    converted: int
    skipped: int
    """Done already, or left because of `existing`."""
    failed: tuple[Outcome, ...]
    """By name."""
    noted: tuple[Outcome, ...]
    """Those with notes, by name."""
    seconds: float
    """Wall time from the first decode to the last file written."""

    @property
    def images_per_second(self) -> float:
        """Converted pictures per second of wall time."""
        return self.converted / self.seconds


def convert_folder(
    source: str | Path | Remote,
    destination: str | Path | Remote,
    engine: Engine | str,
    how: Conversion | None = None,
    *,
    existing: Existing = "continue",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limit: int | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
    on_frame: OnFrame | None = None,
    backend: Backend | None = None,
) -> ConvertReport:
    """Convert a picture or film, all of a folder and its subfolders, or those of a zip archive.

        convert_folder("photos", "large", "super-resolution")

    The tree is mirrored; a destination that ends in .zip becomes an archive. Hidden files are left out, links to
    folders are not followed. A picture that cannot be converted is reported and stops nothing. Called again after
    whatever ended it, it makes what is missing.

    Args:
        source: a folder, a picture or a zip archive; with the extra `s3` also an address like `s3://bucket/folder`.
        destination: a folder, made if missing, or a zip archive; for one picture also a file name. Or an address.
        engine: a model, or the name of one; by its name it runs on every core.
        how: labels, formats and the like; None: as `Conversion` has them.
        existing: see `Existing`.
        include, exclude: patterns of names below the source, as `*.png` or `2024/*`; a star fits slashes too.
        limit: convert so many at most.
        workers: pictures in work at once; None: two per core, because a worker that waits for the disk (each result is
            flushed to it) leaves its core idle.
        on_progress: called after each picture, one call at a time, from the worker threads.
        on_frame: called after each frame of a film or an animation, from its worker thread; with Ray never.
        backend: who does it; None: threads of this process. `translate.ray_backend.RayBackend()`: Ray.

    Raises:
        DataError: nothing to convert, or `destination` cannot take the results; nothing is written then.
        ConfigError: a label, style or detail that the model does not have, or a name that is none; nothing is written.
        KeyboardInterrupt: after Ctrl-C, when the pictures in work are finished and films are given up; so is any bug
            of ours.
    """
    if isinstance(engine, str):
        engine = Engine(engine, threads=1)
    how = how or Conversion()
    plan = make_plan(location(source), location(destination), how.output_format, include=include, exclude=exclude)
    return run_plan(
        plan,
        engine,
        how,
        existing=existing,
        limit=limit,
        workers=workers,
        on_progress=on_progress,
        on_frame=on_frame,
        backend=backend,
    )


def run_plan(
    plan: Plan,
    engine: Engine,
    how: Conversion,
    *,
    existing: Existing = "continue",
    limit: int | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
    on_frame: OnFrame | None = None,
    watch: bool = False,
    backend: Backend | None = None,
) -> ConvertReport:
    """Convert what a plan lists; for the parameters and errors see `convert_folder`, with `watch`
    there is no end but Ctrl-C."""
    how.check(engine)
    started = time.perf_counter()
    tally = Tally(on_progress)
    with plan.opened() as results, nullcontext() if plan.single else results.record() as record:
        ledger = Ledger(plan.source, results, existing, how.digest(engine), record)
        stop = threading.Event()
        frames = FrameWork(workers=workers, alone=plan.count == 1, stop=stop, on_frame=on_frame)
        worker = Worker(plan.source, results, engine, how, frames)
        jobs = plan.watched(how.name, worker.facts, stop) if watch else plan.jobs(how.name, worker.facts)
        orders = Orders(jobs, ledger, tally, stop, limit=limit, tell_skipped=not watch)
        (backend or threads)(orders, worker, workers, max(1, plan.count))
    return tally.report(time.perf_counter() - started)


class Tally:
    """Counts outcomes and passes them on, one at a time."""

    def __init__(self, on_progress: Progress | None = None) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self.converted = self.skipped = 0
        self.failed: list[Outcome] = []
        self.noted: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Count one picture."""
        with self._lock:
            self.converted += outcome.status == "converted"
            self.skipped += outcome.status == "skipped"
            if outcome.status == "failed":
                self.failed.append(outcome)
            if outcome.notes:
                self.noted.append(outcome)
            if self._on_progress is not None:
                self._on_progress(outcome)

    def report(self, seconds: float) -> ConvertReport:
        """All so far."""
        failed, noted = (tuple(sorted(found, key=lambda one: one.source)) for found in (self.failed, self.noted))
        return ConvertReport(self.converted, self.skipped, failed, noted, seconds)


class Orders:
    """What is to be made, listed as it is wanted, and how much more may be begun; safe in threads.

    `stop`: when set, no more is begun. `tell_skipped`: whether pictures that needed no work are counted.
    """

    def __init__(
        self,
        jobs: Iterator[Job],
        ledger: Ledger,
        tally: Tally,
        stop: threading.Event,
        *,
        limit: int | None,
        tell_skipped: bool,
    ) -> None:
        self._jobs, self._ledger, self._tally, self._stop = jobs, ledger, tally, stop
        self._left, self._tell_skipped = limit, tell_skipped
        self._lock = threading.Lock()

    def next(self) -> Order | None:
        """The next one, or None when there is none, or no more may be begun."""
        while (job := self._begun()) is not None:
            found = self._ledger.settle(job)
            if isinstance(found, Order):
                return found
            self._count(found)
        return None

    def done(self, order: Order, made: Made) -> None:
        """Note and count what has become of an order."""
        self._ledger.note(order.item, made)
        self._count(made.outcome)

    def stop(self) -> None:
        """Begin no more."""
        self._stop.set()

    def _begun(self) -> Job | None:
        with self._lock:
            if self._stop.is_set() or self._left == 0:
                return None
            job = next(self._jobs, None)
            if job is not None and self._left is not None:
                self._left -= 1
            return job

    def _count(self, outcome: Outcome) -> None:
        if outcome.status == "skipped":
            with self._lock:
                if self._left is not None:
                    self._left += 1  # it needed no work: another may be begun
            if not self._tell_skipped:
                return
        self._tally.add(outcome)


def threads(orders: Orders, worker: Worker, workers: int | None, count: int) -> None:
    """Let threads of this process work; after Ctrl-C or a bug in one of them, which is raised, no more is begun."""

    def work() -> None:
        while (order := orders.next()) is not None:
            try:
                made = worker.make(order)
            except Stopped:
                return
            orders.done(order, made)

    most = min(workers or 2 * cores(), count)
    with ThreadPoolExecutor(most) as pool:
        try:
            futures = [pool.submit(work) for _ in range(most)]
            while True:
                # In short waits: without a timeout Windows would not see Ctrl-C.
                done, running = wait(futures, timeout=1, return_when=FIRST_EXCEPTION)
                if not running or any(future.exception() for future in done):
                    break
        finally:
            orders.stop()
    for future in futures:
        future.result()
