"""Which results are to be made, and which are done: the one who asks the destination and writes the manifest.

It decides for all workers, wherever they are, so that no two write one file.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from translate.destinations import Destination, Record
from translate.errors import ImageError
from translate.manifest import Done
from translate.naming import numbered
from translate.plan import Job
from translate.sources import Item, Source, safe_name

Existing = Literal["continue", "overwrite", "skip", "rename"]
"""What to do about results that are there: `continue` leaves those that the same model has made of the same picture
with the same options, and replaces others; `overwrite` makes all again; `skip` leaves all; `rename` leaves all too, and
gives the new result a number, unless it would be the same."""


@dataclass(frozen=True)
class Outcome:
    """What became of one picture."""

    source: str
    """What it is called in messages."""
    status: Literal["converted", "skipped", "failed"]
    target: Path | str | None
    """The result, an address if it is in the cloud; None of a failure."""
    reason: str | None = None
    """Of a failure: one line that names the file."""
    notes: tuple[str, ...] = ()
    """What the user should know about a result, a line each: a colour profile that could not be used, for example."""


@dataclass(frozen=True, slots=True)
class Order:
    """A picture to convert, unless its bytes show that this is done."""

    item: Item
    target: str
    """Name of the result."""
    made: tuple[tuple[str, str], ...] = ()
    """Results of this picture that are there: name, and SHA-256 of the bytes it had then."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a worker has made of an order."""

    outcome: Outcome
    target: str
    """Name of the result."""
    digest: str = ""
    """SHA-256 of the picture's bytes; '' of a failure."""


class Ledger:
    """Settles jobs and notes what is done; safe in threads.

    `made_by`: see `Done`. `record`: None where nothing is to be noted.
    """

    def __init__(
        self, source: Source, destination: Destination, existing: Existing, made_by: str, record: Record | None
    ) -> None:
        self._source, self._destination, self._existing = source, destination, existing
        self._made_by, self._record = made_by, record
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def settle(self, job: Job) -> Order | Outcome:
        """What has to be made, or what became of it if there is nothing to make."""
        title = self._source.title(job.item.name)
        try:
            return self._settled(job, title)
        except ImageError as error:
            return failure(title, error)

    def note(self, item: Item, made: Made) -> None:
        """Remember a result that stands at its place."""
        if self._record and made.digest:
            self._record.add(
                Done(
                    source=item.name,
                    size=item.size,
                    modified_ns=item.modified_ns,
                    input=made.digest,
                    made_by=self._made_by,
                    target=made.target,
                )
            )

    def _settled(self, job: Job, title: str) -> Order | Outcome:
        if not safe_name(job.target):
            raise ImageError("its name points outside the archive; pack it again")
        exists = self._destination.exists
        if self._existing == "overwrite":
            return Order(job.item, job.target)
        if self._existing == "skip":
            there = exists(job.target)
            return (
                Outcome(title, "skipped", self._destination.place(job.target)) if there else Order(job.item, job.target)
            )
        number, target = 1, job.target
        made: list[tuple[str, str]] = []
        while (there := exists(target)) or not self._take(target):
            done = self._done(job.item, target) if there else None
            if done is not None and (done.size, done.modified_ns) == (job.item.size, job.item.modified_ns):
                return Outcome(title, "skipped", self._destination.place(target))
            if done is not None:
                made.append((target, done.input))
            if self._existing != "rename":
                break
            number += 1
            target = numbered(job.target, number)
        return Order(job.item, target, tuple(made))

    def _take(self, target: str) -> bool:
        """Take a name for a result; False if another picture has it, whose result may not be written yet."""
        if self._existing != "rename":
            return True  # names of a plan are all different
        with self._lock:
            free = target not in self._taken
            self._taken.add(target)
            return free

    def _done(self, item: Item, target: str) -> Done | None:
        """How a result was made, if it is of this picture and as now."""
        done = self._record.find(target) if self._record else None
        return done if done and (done.source, done.made_by) == (item.name, self._made_by) else None


def failure(title: str, error: ImageError) -> Outcome:
    """The outcome of a picture that cannot be converted."""
    reason = str(error)
    return Outcome(title, "failed", None, reason if title in reason else f"{title}: {reason}")
