"""Batches on disk: what is to be converted, how far it is, and whom it belongs to. No widgets, no web.

A store is a folder with a database and a folder for each job, whose `input` is converted into its `output` by
`ui.batch.worker`. It outlives the page and the server. Several servers may open one store; one of them works.
"""

import json
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from translate.conversion.worker import Conversion
from translate.credentials.identity import OFF, ON
from translate.errors import ConfigError
from translate.files import data_folder

State = Literal["receiving", "waiting", "running", "stopped", "finished", "failed"]
"""`receiving`: files are being uploaded; shown to nobody yet. `failed`: something concerns every picture. A job some of
whose pictures failed is `finished`."""

KEEP_SECONDS = 7 * 86400.0
"""A job that has ended is removed after this time."""
RECEIVING_SECONDS = 3600.0
"""One whose upload stood still is removed after this time."""
JUMP_SECONDS = 60.0
"""A clock that differs by more than this from the time that has passed was set."""
LOCKED_SECONDS = 30.0
"""How long to wait for another server that changes the database."""
MOST_LINES = 200
"""Maximum number of failures, and of notes, that are kept of a job."""
_ID_LENGTH = 32
_VERSION = 1
_TABLE = """create table if not exists job (
    id text primary key, owner text not null, state text not null, created real not null, changed real not null,
    title text not null, options text not null, total integer not null, done integer not null, failed integer not null,
    bytes integer not null, part real not null, seconds_left real, message text not null, log text not null
)"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a job is converted."""

    model: Path
    """The model's file."""
    command: str
    """The model as `translate convert --model` takes it."""
    how: Conversion

    def to_json(self) -> str:
        """As text for the database; only what differs from the defaults of `Conversion`."""
        usual = Conversion()
        how = {name: value for name, value in asdict(self.how).items() if value != getattr(usual, name)}
        return json.dumps({"model": str(self.model), "command": self.command, "how": how})

    @classmethod
    def from_json(cls, text: str) -> "Options":
        """The reverse of `to_json`."""
        found = json.loads(text)
        how: dict[str, Any] = found["how"]
        if isinstance(how.get("style"), list):  # JSON has no tuples
            how["style"] = tuple(how["style"])
        return cls(model=Path(found["model"]), command=found["command"], how=Conversion(**how))

    def words(self) -> list[str]:
        """What follows `translate convert IN OUT` to make the same."""
        given = ["--model", self.command]
        # Where the server's certificate is kept is nobody's business.
        how = self.how if self.how.credentials == OFF else replace(self.how, credentials=ON)
        for field in fields(Conversion):
            value = getattr(how, field.name)
            if value != field.default:
                name = {"output_format": "format"}.get(field.name, field.name)
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                given += [f"--{name}={text}"] if text.startswith("-") or field.name == "style" else [f"--{name}", text]
        return given


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is."""

    done: int = 0
    """Number of results: pictures converted in this or an earlier run."""
    failed: int = 0
    part: float = 0.0
    """Share of a film in progress that is done, 0 to 1."""
    seconds_left: float | None = None
    """Estimate; None: not known yet."""
    failures: Sequence[str] = ()
    """One line each, which begins with the name of the file."""
    notes: Sequence[str] = ()
    """What else the user should know, one line each."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of the database, and the job's folders."""

    id: str
    state: State
    created: float
    """Seconds since 1970."""
    title: str
    options: Options
    total: int
    bytes: int
    """Size of the uploaded files."""
    progress: Progress
    message: str
    """Why it failed: one line."""
    folder: Path

    @property
    def input(self) -> Path:
        """The folder with the uploaded files."""
        return self.folder / "input"

    @property
    def output(self) -> Path:
        """The folder with the results."""
        return self.folder / "output"

    @property
    def source(self) -> Path:
        """What is converted: the folder, or the archive that is all there is in it."""
        found = list(self.input.iterdir())
        return found[0] if len(found) == 1 and found[0].suffix.lower() == ".zip" else self.input


def default_folder() -> Path:
    """Where a user's jobs are if nothing else is said: in the folder for data of the operating system."""
    return data_folder() / "jobs"


def owner_of(token: str) -> str:
    """What stands for a browser's secret in the database: who reads the database cannot use it in a browser."""
    return sha256(token.encode()).hexdigest()


class JobStore:
    """The jobs of a folder. Thread-safe.

    Args:
        folder: created if missing, for this user only.
        keep_seconds: when jobs that have ended are removed.

    Raises:
        ConfigError: the folder cannot be written, or holds a store of another version.
    """

    def __init__(self, folder: Path, keep_seconds: float = KEEP_SECONDS) -> None:
        self.folder, self.keep_seconds = folder, keep_seconds
        self.news = threading.Event()
        """Set when there may be work."""
        # Whoever only looks does not wait for a change that takes its time.
        self._mutex, self._reading = threading.RLock(), threading.Lock()
        self._lock: sqlite3.Connection | None = None
        self._ahead = _ahead()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = _connect(folder / "jobs.sqlite", timeout=LOCKED_SECONDS)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(folder, error) from None
        try:
            _write_ahead(self._db)
            self._db.execute("pragma synchronous = normal")
            (version,) = self._db.execute("pragma user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"made by another version of translate: {version}, not {_VERSION}")
            self._db.execute(_TABLE)
            self._db.execute(f"pragma user_version = {_VERSION}")
            self._reader = _connect(folder / "jobs.sqlite", timeout=LOCKED_SECONDS)
            self._reader.row_factory = sqlite3.Row
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(folder, error) from None

    def close(self) -> None:
        """Let another server work on the jobs."""
        with self._mutex, self._reading:
            self._db.close()
            self._reader.close()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def lock(self) -> bool:
        """Become the one server that works on the jobs, if there is no other; whether it is this one.

        The lock ends with the process, however that ends. Jobs that another process left running wait again.
        """
        if self._lock is not None:
            return True
        with self._mutex:
            if self._lock is not None:
                return True
            lock = _connect(self.folder / "worker.lock", timeout=0)
            try:
                lock.execute("begin exclusive")
            except sqlite3.OperationalError:
                lock.close()
                return False
            self._lock = lock
            self._ahead = _ahead()  # the server before this one has seen to what the clock did until now
            self._change("state = 'waiting'", "state = 'running'")
            self.news.set()
            return True

    # --- what a browser does

    def add(self, owner: str, title: str, options: Options) -> Job:
        """Begin a job, whose files are put into its `input` next."""
        job = secrets.token_hex(_ID_LENGTH // 2)
        with self._mutex:
            now = self._now()
            self._db.execute(
                "insert into job values (?, ?, 'receiving', ?, ?, ?, ?, 0, 0, 0, 0, 0, null, '', '{}')",
                (job, owner, now, now, title, options.to_json()),
            )
        found = self.find(job, owner)
        assert found is not None
        found.input.mkdir(parents=True)
        return found

    def find(self, job: str, owner: str) -> Job | None:
        """A job; None if there is none, or if it is somebody else's."""
        rows = self._rows("select * from job where id = ? and owner = ?", job, owner)
        return rows[0] if rows else None

    def of(self, owner: str) -> list[Job]:
        """The jobs of a browser, newest first."""
        return self._rows("select * from job where owner = ? and state != 'receiving' order by created desc", owner)

    def reserve(self, job: str, count: int, most: int, most_bytes: int) -> bool:
        """Count a file of `count` bytes that is to be received; False if it would be too many files or bytes."""
        room = "id = ? and state = 'receiving' and total < ? and bytes + ? <= ?"
        return self._change("total = total + 1, bytes = bytes + ?", room, count, job, most, count, most_bytes)

    def touch(self, job: str) -> bool:
        """An upload goes on; False if its job is not there any more."""
        return self._change("state = state", "id = ? and state = 'receiving'", job)

    def begin(self, job: str, total: int) -> bool:
        """All files are there: the job waits for its turn."""
        return self._change("state = 'waiting', total = ?", "id = ? and state = 'receiving'", total, job)

    def stop(self, job: str) -> bool:
        """Stop a job; the pictures in progress are finished."""
        return self._change("state = 'stopped'", "id = ? and state in ('waiting', 'running')", job)

    def go_on(self, job: str) -> bool:
        """Let a job make what is missing."""
        changes = "state = 'waiting', message = ''"
        return self._change(changes, "id = ? and state in ('stopped', 'failed', 'finished')", job)

    def delete(self, job: str) -> None:
        """Delete a job with its files. What a worker still writes is removed by `sweep`."""
        with self._mutex:
            self._db.execute("delete from job where id = ?", (job,))
        shutil.rmtree(self.folder / job, ignore_errors=True)
        self.news.set()

    # --- what the worker does

    def requeue(self) -> None:
        """Let a job wait again that the worker could not end, on a full disk for example."""
        self._change("state = 'waiting'", "state = 'running'")

    def claim(self) -> Job | None:
        """The job to work on next; it is `running` now."""
        with self._mutex:
            rows = self._rows("select * from job where state = 'waiting' order by created, rowid limit 1")
            if not rows or not self._change("state = 'running'", "id = ? and state = 'waiting'", rows[0].id):
                return None
            return rows[0]

    def report(self, job: str, progress: Progress, *, total: int | None = None) -> bool:
        """Store how far a running job is; False if it has been stopped or deleted."""
        found = asdict(progress)
        log = json.dumps({name: list(found.pop(name))[:MOST_LINES] for name in ("failures", "notes")})
        changes = "done = ?, failed = ?, part = ?, seconds_left = ?, log = ?, total = coalesce(?, total)"
        return self._change(changes, "id = ? and state = 'running'", *found.values(), log, total, job)

    def is_running(self, job: str) -> bool:
        """Whether a job has neither been stopped nor deleted."""
        return bool(self._rows("select * from job where id = ? and state = 'running'", job))

    def finish(self, job: str, state: State, message: str = "") -> bool:
        """A running job has ended."""
        changes = "state = ?, message = ?, part = 0, seconds_left = null"
        return self._change(changes, "id = ? and state = 'running'", state, message, job)

    def sweep(self) -> None:
        """Remove the jobs whose time is over, and folders of jobs that were deleted."""
        folders = list(self.folder.glob("[0-9a-f]" * _ID_LENGTH))  # first: a job that is added later must stay
        with self._mutex:
            now = self._now()
            self._db.execute(
                "delete from job where (state in ('stopped', 'finished', 'failed') and changed < ?)"
                " or (state = 'receiving' and changed < ?)",
                (now - self.keep_seconds, now - RECEIVING_SECONDS),
            )
            known = {row[0] for row in self._db.execute("select id from job")}
        for folder in folders:
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _change(self, changes: str, where: str, *values: Any) -> bool:
        """Change rows; whether there were any. The first values are those of `changes`."""
        place = changes.count("?")
        with self._mutex:
            given = (*values[:place], self._now(), *values[place:])
            found = self._db.execute(f"update job set {changes}, changed = ? where {where}", given).rowcount > 0
        if found and "waiting" in changes:
            self.news.set()
        return found

    def _now(self) -> float:
        """The time by the clock. If that was set since this was last asked, all jobs move with it: none becomes older.
        The caller holds the mutex."""
        jump = _ahead() - self._ahead
        if abs(jump) > JUMP_SECONDS:
            self._ahead += jump
            self._db.execute("update job set changed = changed + ?", (jump,))
        return time.time()

    def _rows(self, query: str, *values: Any) -> list[Job]:
        with self._reading:
            rows = self._reader.execute(query, values).fetchall()
        return [self._job(row) for row in rows]

    def _job(self, row: sqlite3.Row) -> Job:
        same = {name: row[name] for name in ("id", "state", "created", "title", "total", "bytes", "message")}
        progress = {name: row[name] for name in ("done", "failed", "part", "seconds_left")}
        return Job(
            **same,
            options=Options.from_json(row["options"]),
            progress=Progress(**progress, **json.loads(row["log"])),
            folder=self.folder / row["id"],
        )


def _ahead() -> float:
    """How far the clock is ahead of the time that passes whatever the clock says, in seconds."""
    return time.time() - time.monotonic()


def _write_ahead(db: sqlite3.Connection) -> None:
    """Readers and a writer at once. For a new database SQLite does not wait by itself if another server does the same.

    Raises:
        sqlite3.OperationalError: it is still locked after half a minute.
    """
    end = time.monotonic() + LOCKED_SECONDS
    while True:
        try:
            db.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.05)


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    """A connection without implicit transactions, for all threads; `timeout`: in seconds, for locks of others."""
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)


def _unusable(folder: Path, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigError(f"{folder}: cannot be used for jobs ({reason}); give another folder with --jobs-dir")
