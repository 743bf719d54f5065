"""Works on the jobs of a store, one after another, as `translate convert` would: a thread beside the page, which looks
after a process for each job (`ui.batch.process`)."""

import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from translate.conversion.moving import FrameProgress
from translate.conversion.resume import Result
from translate.errors import DataError, ModelError, TranslateError, one_line
from translate.inference.engine import Device
from translate.lock import held, without_holder
from translate.machine import cores
from ui.batch import process
from ui.batch.jobs import Job, JobStore, Progress
from ui.batch.process import Interrupted, Outcome

GAP_SECONDS = 0.5
"""A job goes on when nobody has drawn for this time ..."""
PATIENCE_SECONDS = 5.0
"""... but waits at most this long before its next picture."""
LOOK_SECONDS = 5.0
"""How often to look whether another server has given up its work, or a job's time is over."""
FRAME_SECONDS = 0.5
"""Minimum time between two reports about a film."""
FREE_SECONDS = process.END_SECONDS
"""How long to wait for a folder of results that another process holds."""


class Precedence:
    """Whoever draws goes first: jobs wait between two pictures. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._drawing, self._last = 0, -math.inf

    @contextmanager
    def drawing(self) -> Generator[None]:
        """While a drawing is converted."""
        with self._changed:
            self._drawing += 1
        try:
            yield
        finally:
            with self._changed:
                self._drawing, self._last = self._drawing - 1, time.monotonic()
                self._changed.notify_all()

    def give_way(self, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until nobody draws, for at most `patience` seconds."""
        end = time.monotonic() + patience
        while (now := time.monotonic()) < end:
            with self._changed:
                rest = end - now if self._drawing else min(end, self._last + GAP_SECONDS) - now
                if rest <= 0:
                    return
                self._changed.wait(rest)


class JobWorker:
    """The thread that works on jobs, if no other server does.

    Args:
        store: the jobs.
        precedence: what goes first.
        device: where to run the models. Jobs have engines of their own, with one thread per picture, as
            `translate convert` has them.
    """

    def __init__(self, store: JobStore, precedence: Precedence, device: Device = "auto") -> None:
        self._store, self._precedence = store, precedence
        self._device: Device = device
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Finish the pictures in progress; the job goes on with the next start of a server."""
        self._closing.set()
        self._store.news.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                if self._store.lock():
                    self._store.requeue()
                    self._store.sweep()
                    while not self._closing.is_set() and (job := self._store.claim()) is not None:
                        self._run(job)
                        self._store.sweep()
            except Exception:  # a full disk, for example; the thread must not end before the server
                traceback.print_exc(file=sys.stderr)
                self._closing.wait(LOOK_SECONDS)  # not again at once
            self._store.news.wait(LOOK_SECONDS)
            self._store.news.clear()

    def _run(self, job: Job) -> None:
        try:
            outcome = self._convert(job)
        except Interrupted:
            return
        except TranslateError as error:
            self._store.finish(job.id, "failed", cleaned(str(error), job))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._store.finish(job.id, "failed", one_line(f"unexpected {type(error).__name__} ({error})"))
        else:
            progress = Progress(
                done=outcome.done,
                failed=len(outcome.failures),
                failures=[cleaned(reason, job) for reason in outcome.failures],
                notes=[cleaned(note, job) for note in outcome.notes],
            )
            self._store.report(job.id, progress, total=outcome.done + len(outcome.failures))
            self._store.finish(job.id, "finished")

    def _convert(self, job: Job) -> Outcome:
        options = job.options
        if not options.model.is_file():
            raise ModelError(f"the model {options.command} is not on this computer any more; put it back and go on")
        report = Reporter(job, self._store, self._precedence, self._closing)
        self._wait_for_free(job.output, report.wanted)
        # Not more at once than there are cores: what draws meanwhile need not wait for many pictures.
        return process.convert(job, self._device, cores(), report.picture, report.frame, report.wanted)

    def _wait_for_free(self, folder: Path, wanted: Callable[[], bool]) -> None:
        """Wait, up to `FREE_SECONDS`, for the process of a server that was killed: it finishes its last pictures.

        Whoever holds the folder for longer is named when the conversion begins.
        """
        end = time.monotonic() + FREE_SECONDS
        while folder.is_dir() and time.monotonic() < end and wanted():
            try:
                with held(folder):
                    return
            except DataError:
                self._closing.wait(0.2)


class Reporter:
    """The callbacks of a conversion: they store how far it is, let others go first, and interrupt it.

    Both raise `Interrupted`.
    """

    def __init__(self, job: Job, store: JobStore, precedence: Precedence, closing: threading.Event) -> None:
        self._job, self._store, self._precedence, self._closing = job, store, precedence, closing
        self._begun = self._reported = time.monotonic()
        self._done = self._converted = 0
        self._failures: list[str] = []
        self._part = 0.0

    def picture(self, result: Result) -> None:
        """After each picture."""
        self._part = 0.0
        if result.status == "failed":
            self._failures.append(cleaned(result.reason or "", self._job))
        else:
            self._done += 1
        self._converted += result.status == "converted"
        self._report()
        if result.status == "converted":
            self._precedence.give_way()

    def frame(self, progress: FrameProgress) -> None:
        """After each frame of a film."""
        if time.monotonic() - self._reported >= FRAME_SECONDS:
            self._part = min(1.0, progress.frame / max(1, progress.frames))
            self._report()

    def wanted(self) -> bool:
        """Whether the job is to go on."""
        return self._store.is_running(self._job.id) and not self._closing.is_set()

    def _report(self) -> None:
        self._reported = time.monotonic()
        made = self._converted + self._part
        missing = self._job.total - self._done - len(self._failures) - self._part
        left = (self._reported - self._begun) / made * max(0.0, missing) if made else None
        progress = Progress(
            done=self._done,
            failed=len(self._failures),
            part=self._part,
            seconds_left=left,
            failures=self._failures,
        )
        if not self._store.report(self._job.id, progress) or self._closing.is_set():
            raise Interrupted


def cleaned(text: str, job: Job) -> str:
    """A message without the folders of the server, which are no business of the page's user."""
    text = without_holder(text)
    for folder in (job.input, job.output):
        text = text.replace(f"{folder}{os.sep}", "").replace(f"{folder}/", "").replace(str(folder), "the folder")
    return text
