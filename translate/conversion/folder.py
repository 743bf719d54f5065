"""Folder -> folder: decode, run the model, encode, using every core in constant memory.

Each worker thread takes one file from decoding to encoding. Pillow and ONNX Runtime release the GIL, so threads are
enough; an Engine with `threads=1` and two workers per core is the most efficient.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from translate.conversion.faults import FaultLog
from translate.conversion.location import Remote, location
from translate.conversion.moving import FrameOptions, FrameProgress, OnFrame
from translate.conversion.plan import Job, Plan, make_plan
from translate.conversion.resume import Existing, Result, ResumeState, WorkerResult, failed_result
from translate.conversion.worker import Conversion, Worker, convert_guarded
from translate.inference.engine import Engine
from translate.machine import cores
from translate.pictures.decoder import IN_PROCESS, Decoder
from translate.threads import Stopped

Progress = Callable[[Result], None]


class Backend(Protocol):
    """Runs the jobs of a queue."""

    def __call__(self, queue: "JobQueue", worker: Worker, workers: int | None, count: int) -> None:
        """Run all jobs with `worker`, or with copies of it in other processes.

        Args:
            queue: hands out the jobs and takes their results.
            worker: converts a picture.
            workers: number of pictures to convert in parallel; None lets the backend choose.
            count: approximate number of pictures, at least 1.
        """
        ...


@dataclass(frozen=True)
class Summary:
    """The outcome of a conversion."""

    converted: int
    skipped: int
    """Already done, or kept because of `existing`."""
    failed: tuple[Result, ...]
    """Sorted by name."""
    noted: tuple[Result, ...]
    """Results with notes, sorted by name."""
    seconds: float
    """Wall time from the first decode to the last file written."""
    notes: tuple[str, ...] = ()
    """What was found in the source and not used, one line each."""
    log: Path | None = None
    """The file with the tracebacks of unforeseen errors, if there were any."""

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
    decoder: Decoder = IN_PROCESS,
) -> Summary:
    """Convert a picture or video, all those in a folder and its subfolders, or those in a zip archive.

        convert_folder("photos", "large", "super-resolution")

    The folder structure is kept; a destination ending in .zip becomes an archive. Hidden files are skipped, links to
    folders are followed once. A picture that cannot be converted for any reason is reported and does not stop the
    others. If the conversion is interrupted, call it again: finished files are skipped.

    Args:
        source: a folder, a picture or a zip archive; with the extra `s3` also an address like `s3://bucket/folder`.
        destination: a folder, created if missing, or a zip archive; for a single picture also a file name. May also be
            an address.
        engine: a model, or the name of one; if given by name, it uses every core.
        how: labels, formats and other options; None: the defaults of `Conversion`.
        existing: see `Existing`.
        include, exclude: patterns for paths relative to the source, e.g. `*.png` or `2024/*`; a star matches slashes.
        limit: maximum number of pictures to convert.
        workers: number of pictures to convert in parallel; None: two per core, because a worker that waits for the
            disk (each result is flushed to it) leaves its core idle.
        on_progress: called after each picture, one call at a time, from the worker threads.
        on_frame: called after each frame of a video or an animation, from its worker thread; not called with Ray.
        backend: runs the jobs; None: threads of this process. `translate.conversion.ray_backend.RayBackend()`: Ray.
        decoder: what reads pictures, but for films and pictures larger than memory; not used with Ray.

    Raises:
        DataError: nothing to convert, or `destination` cannot take the results or is in use by another process; nothing
            was written. Also if the folder of pictures goes away meanwhile.
        DiskFull: the disk of `destination` has become full or read-only; finished results stay.
        ConfigError: the model lacks a label, style or detail, the name template is invalid, or it or the patterns would
            have no effect; nothing was written.
        KeyboardInterrupt: Ctrl-C; raised once the pictures in progress are finished and videos abandoned. Exceptions
            of a callback are raised in the same way.
    """
    if isinstance(engine, str):
        engine = Engine(engine, threads=1)
    how = how or Conversion()
    places = location(source), location(destination)
    plan = make_plan(*places, how.output_format, include=include, exclude=exclude, template=how.name)
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
        decoder=decoder,
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
    decoder: Decoder = IN_PROCESS,
) -> Summary:
    """Convert the pictures of a plan; for the parameters and errors see `convert_folder`. With `watch` it keeps
    watching for new files until Ctrl-C."""
    how.check(engine)
    started = time.perf_counter()
    made = set[Path]()
    tally = Tally(on_progress, made if plan.archive else None)
    with (
        plan.opened(made) as destination,
        nullcontext() if plan.single else destination.open_manifest() as manifest,
    ):
        state = ResumeState(plan.source, destination, existing, how.digest(engine), manifest)
        stop = threading.Event()
        wrong: list[Exception] = []

        def show(progress: FrameProgress) -> None:
            assert on_frame is not None
            try:
                on_frame(progress)
            except Exception as error:  # of the caller, not of the film
                wrong.append(error)
                stop.set()
                raise Stopped from None

        frames = FrameOptions(workers=workers, alone=plan.count == 1, stop=stop, on_frame=on_frame and show)
        worker = Worker(plan.source, destination, engine, how, frames, decoder)
        fields = worker.template_fields
        jobs = plan.watch(how.name, fields, stop) if watch else plan.jobs(how.name, fields)
        queue = JobQueue(jobs, state, tally, stop, plan.faults, limit=limit, count_skipped=not watch)
        (backend or threads)(queue, worker, workers, max(1, plan.count))
        if wrong:
            raise wrong[0]
    return tally.summary(time.perf_counter() - started, plan)


class Tally:
    """Counts results and passes them to a callback, one at a time.

    `made`: a set that the files of all results are added to.
    """

    def __init__(self, on_progress: Progress | None = None, made: set[Path] | None = None) -> None:
        self._on_progress, self._made = on_progress, made
        self._lock = threading.Lock()
        self.converted = self.skipped = 0
        self.failed: list[Result] = []
        self.noted: list[Result] = []

    def add(self, result: Result) -> None:
        """Count one picture."""
        with self._lock:
            self.converted += result.status == "converted"
            self.skipped += result.status == "skipped"
            if result.status == "failed":
                self.failed.append(result)
            if result.notes:
                self.noted.append(result)
            if self._made is not None and isinstance(result.target, Path):
                self._made.add(result.target)
            if self._on_progress is not None:
                self._on_progress(result)

    def summary(self, seconds: float, plan: Plan) -> Summary:
        """The summary so far."""
        failed, noted = (
            tuple(sorted(results, key=lambda result: result.source)) for results in (self.failed, self.noted)
        )
        return Summary(self.converted, self.skipped, failed, noted, seconds, plan.notes, plan.faults.path)


class JobQueue:
    """Hands out jobs, listing them on demand, and takes their results. Thread-safe.

    `stop`: once set, no more jobs are handed out. `faults`: where unforeseen errors are described. `count_skipped`:
    whether to count pictures that needed no work.
    """

    def __init__(
        self,
        jobs: Iterator[Job],
        state: ResumeState,
        tally: Tally,
        stop: threading.Event,
        faults: FaultLog,
        *,
        limit: int | None,
        count_skipped: bool,
    ) -> None:
        self._jobs, self._state, self._tally, self._stop, self._faults = jobs, state, tally, stop, faults
        self._remaining, self._count_skipped = limit, count_skipped
        self._lock = threading.Lock()

    def next(self) -> Job | None:
        """The next job; None if there is none, the limit is reached or the queue was stopped."""
        while (job := self._next_planned()) is not None:
            resolved = self._state.resolve(job)
            if isinstance(resolved, Job):
                return resolved
            self._count(resolved)
        return None

    def done(self, job: Job, done: WorkerResult) -> None:
        """Record and count the result of a job."""
        try:
            self._state.record(job.item, done)
            result = done.result
        except Exception as error:
            result = failed_result(done.result.source, error)
        self._count(result)

    def stop(self) -> None:
        """Hand out no more jobs."""
        self._stop.set()

    def _next_planned(self) -> Job | None:
        with self._lock:
            if self._stop.is_set() or self._remaining == 0:
                return None
            job = next(self._jobs, None)
            if job is not None and self._remaining is not None:
                self._remaining -= 1
            return job

    def _count(self, result: Result) -> None:
        if result.status == "skipped":
            with self._lock:
                if self._remaining is not None:
                    self._remaining += 1  # skipped pictures do not count towards the limit
            if not self._count_skipped:
                return
        if result.details:
            self._faults.add(result.source, result.details)
        self._tally.add(result)


def threads(queue: JobQueue, worker: Worker, workers: int | None, count: int) -> None:
    """Run the jobs in threads of this process. On Ctrl-C or an unexpected exception, no more jobs are started; the
    exception is then raised."""

    def work() -> None:
        while (job := queue.next()) is not None:
            try:
                done = convert_guarded(worker, job)
            except Stopped:
                return
            queue.done(job, done)

    size = min(workers or 2 * cores(), count)
    with ThreadPoolExecutor(size) as pool:
        try:
            futures = [pool.submit(work) for _ in range(size)]
            while True:
                # Short waits: without a timeout, Windows would not notice Ctrl-C.
                done, running = wait(futures, timeout=1, return_when=FIRST_EXCEPTION)
                if not running or any(future.exception() for future in done):
                    break
        finally:
            queue.stop()
    for future in futures:
        future.result()
