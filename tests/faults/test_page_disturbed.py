"""Batches of the page whose disk or database is full, or whose clock jumps: nothing is lost."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from programs import until

from translate.conversion.worker import Conversion
from translate.lock import held
from ui.batch import process
from ui.batch import worker as job_worker
from ui.batch.jobs import RECEIVING_SECONDS, Job, JobStore, Options
from ui.batch.worker import JobWorker, Precedence

MakePictures = Callable[[Path, Sequence[str]], Path]
ANNA = "anna"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(job_worker, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(job_worker, "GAP_SECONDS", 0.0)
    monkeypatch.setattr(job_worker, "cores", lambda: 1)
    store = JobStore(tmp_path / "jobs")
    yield store
    store.close()


@pytest.fixture
def options(invert_model: Path) -> Options:
    return Options(model=invert_model, command="invert", how=Conversion())


@pytest.fixture
def job(store: JobStore, options: Options, make_pictures: MakePictures) -> Job:
    """A batch of six pictures."""
    job = store.add(ANNA, "", options)
    make_pictures(job.input, [f"{number}.png" for number in range(6)])
    store.begin(job.id, 6)
    return job


def work(store: JobStore, job: Job, ends: str) -> Job:
    """Work on the jobs until this one has ended."""

    def now() -> Job:
        found = store.find(job.id, ANNA)
        assert found is not None
        return found

    worker = JobWorker(store, Precedence(), "cpu")
    worker.start()
    try:
        until(lambda: now().state == ends)
    finally:
        worker.close()
    return now()


def made(job: Job) -> list[str]:
    return sorted(path.name for path in job.output.iterdir() if path.name[0] != ".")


def test_a_batch_on_a_full_disk_goes_on_when_there_is_room(
    store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = "import errno, os; from disks import refusing; os.fsync = refusing(errno.ENOSPC, after=2); from ui.batch"
    with monkeypatch.context() as patch:
        patch.setattr(process, "_START", process._START.replace("from ui.batch", full))
        failed = work(store, job, "failed")
    reason = "2.png: cannot be written (No space left on device); free some space, then run the same command again"
    assert failed.message == reason
    assert made(job) == ["0.png", "1.png"]
    store.go_on(job.id)
    assert work(store, job, "finished").progress.done == 6
    assert len(made(job)) == 6


def test_a_database_that_refuses_costs_nothing(
    store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worker lives on and takes the batch up again, where it was."""
    change, calls = JobStore._change, list[str]()

    def full(self: JobStore, changes: str, *arguments: Any) -> bool:
        calls.append(changes)
        if 4 < len(calls) < 8:
            raise sqlite3.OperationalError("database or disk is full")
        return change(self, changes, *arguments)

    monkeypatch.setattr(JobStore, "_change", full)
    assert work(store, job, "finished").progress.done == 6
    assert len(made(job)) == 6
    assert len(calls) > 8
    assert "database or disk is full" in capsys.readouterr().err  # for whoever runs the server


def test_another_process_in_the_folder_of_a_batch(store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the command that the page shows, in the same folder."""
    monkeypatch.setattr(job_worker, "FREE_SECONDS", 0.0)
    job.output.mkdir()
    with held(job.output):
        said = "the folder is in use by another process; wait until that has ended, or choose another folder"
        assert work(store, job, "failed").message == said
    store.go_on(job.id)
    assert work(store, job, "finished").progress.done == 6


def test_a_batch_waits_for_the_process_of_a_server_that_was_killed(
    store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.output.mkdir()
    with ExitStack() as others:
        others.enter_context(held(job.output))
        tried: list[Path] = []

        def trying(folder: Path) -> AbstractContextManager[str]:
            tried.append(folder)
            if len(tried) == 3:  # the process ends
                others.close()
            return held(folder)

        monkeypatch.setattr(job_worker, "held", trying)
        assert work(store, job, "finished").progress.done == 6


@pytest.mark.parametrize("days", [-3650, 3650])
def test_a_clock_that_is_put_right_makes_no_batch_older(
    store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """As on a machine that begins in 1970 and then learns the time."""
    work(store, job, "finished")
    right = job_worker.time.time
    monkeypatch.setattr("time.time", lambda: right() + days * 86400.0)
    store.sweep()
    store.sweep()
    assert store.find(job.id, ANNA) is not None
    assert len(made(job)) == 6
    store.keep_seconds = -10.0  # its time is over by the new clock, too
    store.sweep()
    assert store.find(job.id, ANNA) is None


def test_a_clock_that_is_put_right_while_a_batch_runs_ends_no_upload(
    store: JobStore, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload was begun by the new clock already."""
    right = job_worker.time.time
    monkeypatch.setattr("time.time", lambda: right() - 7200.0)
    upload = store.add(ANNA, "", options)
    store.sweep()
    assert store.find(upload.id, ANNA) is not None


def test_a_clock_that_was_put_right_for_another_server_is_right_for_this_one(
    store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(store, job, "finished")
    other = JobStore(store.folder)
    right = job_worker.time.time
    monkeypatch.setattr("time.time", lambda: right() - 8 * 86400.0)
    store.sweep()
    store.close()
    assert other.lock()
    other.sweep()
    assert other.find(job.id, ANNA) is not None
    other.close()


def test_an_upload_that_takes_hours_is_kept(store: JobStore, options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = store.add(ANNA, "", options)
    passed = 0.0
    times = {name: getattr(job_worker.time, name) for name in ("time", "monotonic")}
    for name, clock in times.items():
        monkeypatch.setattr(f"time.{name}", lambda clock=clock: clock() + passed)
    for _ in range(3):
        passed += RECEIVING_SECONDS / 2 + 60.0
        assert store.touch(upload.id)
        store.sweep()
    assert upload.input.is_dir()
    passed += RECEIVING_SECONDS + 60.0
    store.sweep()
    assert not store.touch(upload.id)
    assert not upload.input.exists()


def test_two_servers_that_begin_at_once(tmp_path: Path) -> None:
    """SQLite does not wait by itself for another process that makes the same new database."""
    (tmp_path / "jobs").mkdir()
    other = sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    ending = threading.Timer(0.2, other.rollback)
    ending.start()
    JobStore(tmp_path / "jobs").close()
    ending.join()
    other.close()
