"""A batch is converted in a process of its own: whatever becomes of that, the page goes on and says what happened."""

from collections.abc import Generator
from pathlib import Path

import bombs
import pytest
from made_files import saved
from PIL import Image
from programs import until

from translate.conversion.worker import Conversion
from ui.batch import process
from ui.batch.jobs import Job, JobStore, Options, owner_of
from ui.batch.worker import JobWorker, Precedence

ANNA = owner_of("anna")
PNG = saved(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG")


@pytest.fixture
def store(tmp_path: Path) -> Generator[JobStore]:
    store = JobStore(tmp_path / "jobs")
    yield store
    store.close()


@pytest.fixture
def worker(store: JobStore) -> Generator[JobWorker]:
    worker = JobWorker(store, Precedence(), "cpu")
    worker.start()
    yield worker
    worker.close()


def begun(store: JobStore, model: Path, files: dict[str, bytes]) -> Job:
    job = store.add(ANNA, "", Options(model=model, command="invert.onnx", how=Conversion()))
    for name, content in files.items():
        (job.input / name).write_bytes(content)
    store.begin(job.id, len(files))
    return job


def ended(store: JobStore, job: Job) -> Job:
    def state() -> str:
        found = store.find(job.id, ANNA)
        return "" if found is None else found.state

    until(lambda: state() not in ("waiting", "running"))
    found = store.find(job.id, ANNA)
    assert found is not None
    return found


def test_one_bomb_among_others_costs_itself(store: JobStore, worker: JobWorker, invert_model: Path) -> None:
    files = {f"{number}.png": PNG for number in range(3)}
    files |= {"scans.jpg": bombs.PICTURES["scans.jpg"](), "cut.webp": bombs.webp_of_one_colour()[:20]}
    job = begun(store, invert_model, files)
    found = ended(store, job)
    assert (found.state, found.progress.done, found.progress.failed) == ("finished", 3, 2)
    assert [line.partition(":")[0] for line in sorted(found.progress.failures)] == ["cut.webp", "scans.jpg"]


@pytest.mark.parametrize("code", ["raise SystemExit(9)", "import os; os.kill(os.getpid(), 9)", "print('no JSON')"])
def test_a_process_that_dies(
    code: str, store: JobStore, worker: JobWorker, invert_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process, "_START", code)
        found = ended(store, begun(store, invert_model, {"a.png": PNG}))
    assert found.state == "failed"
    assert found.message.startswith("the process that converted the files ended before they were done (status")
    following = ended(store, begun(store, invert_model, {"a.png": PNG}))  # of anybody
    assert (following.state, following.progress.done) == ("finished", 1)


def test_a_process_that_hangs_ends_with_its_job(
    store: JobStore, worker: JobWorker, invert_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next job is worked on."""
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(process, "END_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(process, "_START", "import time; time.sleep(600)")
        job = begun(store, invert_model, {"a.png": PNG})
        until(lambda: (found := store.find(job.id, ANNA)) is not None and found.state == "running")
        store.stop(job.id)
    following = ended(store, begun(store, invert_model, {"a.png": PNG}))
    assert (following.state, following.progress.done) == ("finished", 1)
    stopped = store.find(job.id, ANNA)
    assert stopped is not None
    assert stopped.state == "stopped"
