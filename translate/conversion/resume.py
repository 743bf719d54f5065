"""Decides which results are still to be made: asks the destination what exists and keeps the manifest.

One instance decides for all workers, wherever they run, so that no two of them write the same file.
"""

import threading
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from translate.conversion.destinations import Destination, ManifestProtocol
from translate.conversion.manifest import ManifestEntry
from translate.conversion.naming import with_number
from translate.conversion.plan import Job
from translate.conversion.sources import Item, Source, is_safe_name
from translate.errors import DiskFull, ImageError, TranslateError, one_line
from translate.threads import Stopped

Existing = Literal["continue", "overwrite", "skip", "rename"]
"""What to do about existing results: `continue` keeps those made from the same picture by the same model with the same
options, and replaces all others; `overwrite` replaces all; `skip` keeps all; `rename` keeps all as well, and adds a
number to the name of a new result, unless `continue` would keep the existing one."""


@dataclass(frozen=True)
class Result:
    """The outcome for one picture."""

    source: str
    """Name of the picture for messages."""
    status: Literal["converted", "skipped", "failed"]
    target: Path | str | None
    """The output file, an address if it is in cloud storage; None if the conversion failed."""
    reason: str | None = None
    """Why it failed: one line that names the file."""
    notes: tuple[str, ...] = ()
    """Anything else the user should know, one line each, e.g. a colour profile that could not be used."""
    details: str = field(default="", compare=False)
    """The traceback of an error that nobody has foreseen."""


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """The outcome of a job, with the details that go into the manifest."""

    result: Result
    target: str
    """Name of the output file."""
    digest: str = ""
    """SHA-256 of the source file; '' if the conversion failed."""


class ResumeState:
    """Decides what to do about each job and records finished ones. Thread-safe.

    `made_by`: see `ManifestEntry`. `manifest`: None if nothing is to be recorded.
    """

    def __init__(
        self,
        source: Source,
        destination: Destination,
        existing: Existing,
        made_by: str,
        manifest: ManifestProtocol | None,
    ) -> None:
        self._source, self._destination, self._existing = source, destination, existing
        self._made_by, self._manifest = made_by, manifest
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def resolve(self, job: Job) -> Job | Result:
        """The job with its final target, or a result if there is nothing to do."""
        title = self._source.title(job.item.name)
        try:
            found = self._resolve(job, title)
            if isinstance(found, Job) and self._manifest:
                self._manifest.drop(found.target)
            return found
        except Exception as error:
            return failed_result(title, error)

    def record(self, item: Item, done: WorkerResult) -> None:
        """Add a finished result to the manifest."""
        if self._manifest and done.digest:
            self._manifest.add(
                ManifestEntry(
                    source=item.name,
                    size=item.size,
                    modified_ns=item.modified_ns,
                    input=done.digest,
                    made_by=self._made_by,
                    target=done.target,
                )
            )

    def _resolve(self, job: Job, title: str) -> Job | Result:
        if job.item.fault:
            *_, reason = job.item.fault.strip().splitlines()
            details = job.item.fault if "\n" in job.item.fault else ""
            return replace(failed_result(title, ImageError(reason)), details=details)
        if not is_safe_name(job.target):
            raise ImageError("its name points outside the archive; pack it again")
        exists = self._destination.exists
        if self._existing == "overwrite":
            return job
        if self._existing == "skip":
            return Result(title, "skipped", self._destination.locate(job.target)) if exists(job.target) else job
        number, target = 1, job.target
        earlier: list[tuple[str, str]] = []
        while (found := exists(target)) or not self._reserve(target):
            entry = self._entry(job.item, target) if found else None
            if entry is not None and (entry.size, entry.modified_ns) == (job.item.size, job.item.modified_ns):
                return Result(title, "skipped", self._destination.locate(target))
            if entry is not None:
                earlier.append((target, entry.input))
            if self._existing != "rename":
                break
            number += 1
            target = with_number(job.target, number)
        return replace(job, target=target, earlier=tuple(earlier))

    def _reserve(self, target: str) -> bool:
        """Reserve a name; False if another picture has it, whose result may not be written yet."""
        if self._existing != "rename":
            return True  # the names in a plan are unique
        with self._lock:
            free = target not in self._taken
            self._taken.add(target)
            return free

    def _entry(self, item: Item, target: str) -> ManifestEntry | None:
        """The manifest entry of a result, if it was made from this picture by the same model and options."""
        entry = self._manifest.find(target) if self._manifest else None
        return entry if entry and (entry.source, entry.made_by) == (item.name, self._made_by) else None


def failed_result(title: str, error: Exception) -> Result:
    """The result for a picture that cannot be converted, whatever the reason: one bad file does not end a run.

    Raises:
        Exception: `error`, if it concerns every picture.
    """
    for_all = isinstance(error, DiskFull) or (isinstance(error, TranslateError) and not isinstance(error, ImageError))
    if for_all or isinstance(error, Stopped):
        raise error
    if isinstance(error, ImageError):
        reason, details = str(error), ""
    else:
        said = str(error) or "no message"
        reason = f"unexpected {type(error).__name__} ({said}); please report it with the log"
        details = "".join(traceback.format_exception(error))
    return Result(title, "failed", None, one_line(reason if title in reason else f"{title}: {reason}"), details=details)
