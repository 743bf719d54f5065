"""Folder -> folder: decode, run, encode, with every core busy and memory flat.

Each worker thread takes one file from decoding to encoding. Pillow and ONNX Runtime release Python's global
lock, so threads are enough; an Engine with `threads=1` and two workers per core waste the least.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from translate.engine import Engine, Label, Style, cores
from translate.errors import DataError, ImageError
from translate.files import refuse_unlistable
from translate.images import READABLE, read_picture, write_picture

OutputFormat = Literal["same", "png", "jpg", "webp"]
Progress = Callable[[Path, str | None], None]


@dataclass(frozen=True)
class Job:
    """One picture to convert."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Failure:
    """A picture that could not be converted."""

    path: Path
    reason: str
    """One line that names the file."""


@dataclass(frozen=True)
class ConvertReport:
    """What became of a folder."""

    converted: int
    failed: tuple[Failure, ...]
    seconds: float
    """Wall time from the first decode to the last file written."""

    @property
    def images_per_second(self) -> float:
        """Converted pictures per second of wall time."""
        return self.converted / self.seconds


def convert_folder(
    source: Path,
    destination: Path,
    engine: Engine,
    *,
    output_format: OutputFormat = "same",
    quality: int = 92,
    workers: int | None = None,
    label: Label | None = None,
    style: Style | None = None,
    detail: float | None = None,
    on_progress: Progress | None = None,
) -> ConvertReport:
    """Convert a picture, or all pictures of a folder and its subfolders; the tree is mirrored.

    Hidden files are left out, links to folders are not followed, files already at the destination are
    replaced. A picture that cannot be converted is reported and stops nothing. For the parameters see `run_jobs`.

    Raises:
        DataError: nothing to convert, or `destination` cannot take the results; nothing is written then.
        ConfigError: a label, style or detail that the model does not have; nothing is written then.
    """
    jobs = plan_jobs(source, destination, output_format)
    return run_jobs(
        jobs,
        engine,
        quality=quality,
        workers=workers,
        label=label,
        style=style,
        detail=detail,
        on_progress=on_progress,
    )


def plan_jobs(source: Path, destination: Path, output_format: OutputFormat = "same") -> list[Job]:
    """List what `convert_folder` will do; nothing is written.

    `source`: a folder or one picture. `destination`: a folder, or for one picture also a file name.

    Raises:
        DataError: no pictures, two results of one name, or a result on top of an input.
    """
    suffix = None if output_format == "same" else f".{output_format}"
    if source.is_dir():
        names = _list_pictures(source, destination)
        jobs = [Job(source / name, destination / (name.with_suffix(suffix) if suffix else name)) for name in names]
    elif source.is_file():
        jobs = [Job(source, _single_target(source, destination, suffix))]
    else:
        raise DataError(f"{source}: no such file or folder; give a picture or a folder of pictures")
    _refuse_collisions(jobs)
    return jobs


def run_jobs(
    jobs: Sequence[Job],
    engine: Engine,
    *,
    quality: int = 92,
    workers: int | None = None,
    label: Label | None = None,
    style: Style | None = None,
    detail: float | None = None,
    on_progress: Progress | None = None,
) -> ConvertReport:
    """Convert the listed pictures.

    `quality`: 1..100, for JPEG and WebP. `workers`: pictures in work at once; None: two per core, because a
    worker that waits for the disk (each result is flushed to it) leaves its core idle.
    `label`, `style` and `detail`: as in `Engine.apply`, for all pictures.
    `on_progress(source, reason)` is called after each picture, one call at a time, from the worker threads;
    `reason` is None for a success. After a KeyboardInterrupt or a bug the pictures in work are finished,
    no others begun, and the exception is raised.

    Raises:
        DataError: the results' folder cannot be made or written; nothing is written then.
        ConfigError: a label, style or detail that the model does not have; nothing is written then.
    """
    engine.knobs(label=label, style=style, detail=detail)  # raises now what would be raised for every picture
    knobs = {"label": label, "style": style, "detail": detail}
    chosen = {name: value for name, value in knobs.items() if value is not None}
    started = time.perf_counter()
    _make_folder(Path(os.path.commonpath([job.target.parent for job in jobs])))
    waiting = deque(jobs)  # popleft is atomic: the queue of all workers
    memory = _Budget(engine.memory_bytes)
    failed: list[Failure] = []
    lock = threading.Lock()

    def work() -> None:
        while waiting:
            try:
                job = waiting.popleft()
            except IndexError:  # another worker took the last one
                return
            reason = _convert(job, engine, chosen, quality, memory)
            with lock:
                if reason is not None:
                    failed.append(Failure(job.source, reason))
                if on_progress is not None:
                    on_progress(job.source, reason)

    _work_off(waiting, work, max(1, min(workers or 2 * cores(), len(jobs))))
    failed.sort(key=lambda failure: failure.path)
    return ConvertReport(len(jobs) - len(failed), tuple(failed), time.perf_counter() - started)


def _work_off(waiting: deque[Job], work: Callable[[], None], count: int) -> None:
    """Let `count` threads work; after Ctrl-C or a bug in one of them, which is raised, no further job is begun."""
    with ThreadPoolExecutor(count) as pool:
        try:
            futures = [pool.submit(work) for _ in range(count)]
            while True:
                # In short waits: without a timeout Windows would not see Ctrl-C.
                done, running = wait(futures, timeout=1, return_when=FIRST_EXCEPTION)
                if not running or any(future.exception() for future in done):
                    break
        finally:
            waiting.clear()
    for future in futures:
        future.result()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made a folder ({error.strerror}); choose another") from None
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: no right to write there; choose another folder")


class _Budget:
    """Memory shared by the workers: big pictures wait for their turn instead of being refused or filling the RAM."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Generator[None]:
        # A picture larger than everything gets everything: whether it fits is for the Engine to say.
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


def _convert(job: Job, engine: Engine, chosen: Mapping[str, Any], quality: int, memory: _Budget) -> str | None:
    """Convert one picture with the chosen label, style and detail; return why it failed."""
    try:
        picture = read_picture(job.source, max_pixels=engine.max_pixels)
        try:
            with memory.hold(engine.work_bytes(picture.height, picture.width)):
                result = engine.apply(picture, **chosen)
        except ImageError as error:
            return f"{job.source}: {error}"
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"{job.source}: its folder {job.target.parent} cannot be made ({error.strerror})"
        write_picture(job.target, result, quality=quality)
    except ImageError as error:
        return str(error)
    return None


def _list_pictures(source: Path, destination: Path) -> list[Path]:
    """Return the relative paths of the pictures below `source`, sorted, without those of `destination`."""
    excluded = destination.resolve()
    if excluded == source.resolve():
        raise DataError(f"{source}: input and output are the same folder; give another folder for the results")
    found: list[Path] = []
    others = 0
    for folder, subfolders, names in os.walk(source, onerror=refuse_unlistable):
        subfolders[:] = [name for name in subfolders if name[0] != "." and Path(folder, name).resolve() != excluded]
        visible = [name for name in names if name[0] != "."]
        pictures = [name for name in visible if os.path.splitext(name)[1].lower() in READABLE]  # noqa: PTH122 - fast
        others += len(visible) - len(pictures)
        relative = Path(folder).relative_to(source)
        found += [relative / name for name in pictures]
    if not found:
        files = f"{others} files, none of them PNG, JPEG or WebP" if others else "an empty folder"
        raise DataError(f"{source}: {files}; give a folder with pictures")
    return sorted(found)


def _single_target(source: Path, destination: Path, suffix: str | None) -> Path:
    if source.suffix.lower() not in READABLE:
        raise DataError(f"{source}: not a PNG, JPEG or WebP file; give a picture or a folder of pictures")
    if destination.is_dir() or not destination.suffix:
        return destination / (source.with_suffix(suffix).name if suffix else source.name)
    if destination.suffix.lower() not in READABLE:
        raise DataError(f"{destination}: cannot write {destination.suffix}; use .png, .jpg or .webp, or name a folder")
    if suffix and destination.suffix.lower() != suffix:
        raise DataError(f"{destination}: its suffix contradicts --format {suffix[1:]}; leave one of them out")
    return destination


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    by_target: dict[Path, Path] = {}
    for job in jobs:
        if job.target.resolve() in sources:
            raise DataError(f"{job.source}: its result {job.target} would replace an input; choose another folder")
        other = by_target.setdefault(job.target, job.source)
        if other != job.source:
            raise DataError(f"{other} and {job.source} would both become {job.target}; rename one of them")
