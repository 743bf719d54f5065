"""Batches without a browser: what is stored of them, and the thread that works on them."""

import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace

import made_films
import pytest
from programs import until
from test_engine import save_sum

from translate.cli.convert import ConvertOptions
from translate.cli.main import main
from translate.conversion.manifest import FILE_NAME, parse_entry, parse_line
from translate.conversion.moving import FrameProgress
from translate.conversion.resume import Result
from translate.conversion.worker import Conversion
from translate.errors import ConfigError
from translate.options import parse_options
from translate.spec import ModelSpec
from ui.batch import worker as job_worker
from ui.batch.jobs import Job, JobStore, Options, Progress, default_folder, owner_of
from ui.batch.worker import JobWorker, Precedence, Reporter

ANNA, BERT = owner_of("anna"), owner_of("bert")
MakePictures = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Generator[JobStore]:
    store = JobStore(tmp_path / "jobs")
    yield store
    store.close()


@pytest.fixture
def options(invert_model: Path) -> Options:
    return Options(model=invert_model, command="invert.onnx", how=Conversion())


def state(store: JobStore, job: Job) -> str:
    found = store.find(job.id, ANNA)
    return "gone" if found is None else found.state


# --- the store


def test_the_way_of_a_job(store: JobStore, options: Options) -> None:
    job = store.add(ANNA, "holiday", options)
    assert (store.of(ANNA), store.claim(), state(store, job)) == ([], None, "receiving")
    assert store.reserve(job.id, 700, 2, 1000)
    assert not store.reserve(job.id, 301, 2, 1000), "too many bytes"
    assert store.reserve(job.id, 300, 2, 1000)
    assert not store.reserve(job.id, 0, 2, 1000), "too many files"
    assert store.begin(job.id, 2)
    assert not store.reserve(job.id, 1, 9, 9999), "it has begun"
    claimed = store.claim()
    assert claimed is not None
    assert (claimed.id, store.claim()) == (job.id, None)
    progress = Progress(done=1, failed=1, part=0.5, seconds_left=9.0, failures=["a.png: bad"], notes=["b"])
    assert store.report(job.id, progress)
    (found,) = store.of(ANNA)
    assert (found.title, found.total, found.bytes, found.options) == ("holiday", 2, 1000, options)
    assert (found.state, found.progress) == ("running", progress)
    assert store.finish(job.id, "finished")
    assert not store.report(job.id, Progress()), "only a running job is reported about"
    assert not store.stop(job.id)
    assert store.go_on(job.id)
    assert store.stop(job.id)
    assert (store.claim(), state(store, job)) == (None, "stopped")


def test_jobs_have_owners_and_names_that_nobody_guesses(store: JobStore, options: Options) -> None:
    mine, theirs = (store.add(owner, "", options) for owner in (ANNA, BERT))
    for job in (mine, theirs):
        store.begin(job.id, 1)
    assert [job.id for job in store.of(ANNA)] == [mine.id]
    assert store.find(theirs.id, ANNA) is None
    assert len({mine.id, theirs.id}) == 2
    assert len(mine.id) == 32
    assert "anna" not in (store.folder / "jobs.sqlite").read_bytes().decode("latin-1"), "a secret is stored"
    assert (store.folder.stat().st_mode & 0o777) == 0o700 or os.name == "nt"


def test_one_server_works_and_the_next_takes_over(store: JobStore, options: Options) -> None:
    job = store.add(ANNA, "", options)
    store.begin(job.id, 1)
    assert store.lock()
    assert store.lock()
    assert store.claim() is not None
    other = JobStore(store.folder)
    assert not other.lock()
    assert state(other, job) == "running"
    store.close()  # as when it is killed: the job is still running
    assert other.lock()
    assert state(other, job) == "waiting"
    other.close()


def test_old_jobs_are_removed(store: JobStore, options: Options) -> None:
    jobs = {name: store.add(ANNA, name, options) for name in ("receiving", "waiting", "running", "stopped", "finished")}
    for name in ("running", "waiting", "stopped", "finished"):
        store.begin(jobs[name].id, 1)
        if name in ("running", "finished"):
            job = jobs["running" if name == "running" else "finished"]
            with sqlite3.connect(store.folder / "jobs.sqlite") as db:
                db.execute("update job set state = 'running' where id = ?", (job.id,))
            db.close()
    store.stop(jobs["stopped"].id)
    store.finish(jobs["finished"].id, "finished")
    orphan = store.folder / ("0" * 32)
    orphan.mkdir()
    store.sweep()
    assert not orphan.exists()
    assert [name for name in jobs if jobs[name].folder.exists()] == list(jobs)
    store.keep_seconds = -1.0
    store.sweep()
    kept = ["receiving", "waiting", "running"]
    assert [name for name in jobs if jobs[name].folder.exists()] == kept
    assert [name for name in jobs if state(store, jobs[name]) != "gone"] == kept


def test_a_deleted_job_leaves_nothing(store: JobStore, options: Options) -> None:
    job = store.add(ANNA, "", options)
    store.delete(job.id)
    assert state(store, job) == "gone"
    assert not job.folder.exists()


@pytest.mark.parametrize("how", [Conversion(), Conversion(label="bag", style=7, detail=0.5, output_format="png")])
@pytest.mark.parametrize("style", [None, (-0.5, 1.0)])
def test_options_as_text_and_as_a_command(how: Conversion, style: tuple[float, ...] | None) -> None:
    how = Conversion(**{**vars(how), **({"style": style, "strength": 0.25} if style else {})})
    options = Options(model=Path("m.onnx"), command="m.onnx", how=how)
    assert Options.from_json(options.to_json()) == options
    assert parse_options(ConvertOptions, ["in", "out", *options.words()], "translate convert").how == how


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "jobs.sqlite").write_bytes(b"something else" * 100)
    JobStore(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "newer" / "jobs.sqlite") as db:
        db.execute("pragma user_version = 9")
    db.close()
    for name, reason in (("file", ""), ("other", "not a database"), ("newer", "another version")):
        with pytest.raises(ConfigError, match=rf"{name}: cannot be used for jobs \(.*{reason}.*--jobs-dir$"):
            JobStore(tmp_path / name)


def test_where_jobs_are_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "translate" / "jobs"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_folder() == Path.home() / ".local" / "share" / "translate" / "jobs"


# --- the worker


@pytest.fixture(autouse=True)
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with many cores all pictures would be in progress at once."""
    monkeypatch.setattr(job_worker, "cores", lambda: 2)


class Hook(Precedence):
    """Does something after a number of converted pictures."""

    def __init__(self, count: int, act: Callable[[], object]) -> None:
        super().__init__()
        self.left, self._act = count, act

    def give_way(self, patience: float = 0.0) -> None:
        self.left -= 1
        if not self.left:
            self._act()


@pytest.fixture
def job(store: JobStore, options: Options, make_pictures: MakePictures) -> Job:
    """A batch of twelve pictures, two of them in a folder, and one that is none."""
    job = store.add(ANNA, "", options)
    make_pictures(job.input, [*(f"{number:02}.png" for number in range(10)), "sub/a.png", "sub/b.png"])
    (job.input / "broken.png").write_bytes(b"no picture")
    store.begin(job.id, 13)
    return job


def work(store: JobStore, job: Job, precedence: Precedence | None = None, ends: str = "finished") -> None:
    """Work on the jobs until one of them has ended."""
    worker = JobWorker(store, precedence or Precedence(), "cpu")
    worker.start()
    try:
        until(lambda: state(store, job) == ends)
    finally:
        worker.close()


def made(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != FILE_NAME
    }


def record(folder: Path) -> set[object]:
    return {parse_entry(parse_line(line)) for line in (folder / FILE_NAME).read_bytes().splitlines()} - {None}


def test_a_job_is_what_the_command_makes(store: JobStore, job: Job, invert_model: Path, tmp_path: Path) -> None:
    work(store, job)
    assert main(["convert", str(job.input), str(tmp_path / "out"), "--model", str(invert_model)]) == 1
    assert made(job.output) == made(tmp_path / "out")
    assert record(job.output) == record(tmp_path / "out")
    (found,) = store.of(ANNA)
    assert (found.total, found.progress.done, found.progress.failed) == (13, 12, 1)
    (failure,) = found.progress.failures
    assert failure.startswith("broken.png: not a PNG")


def test_a_stopped_job_makes_only_what_is_missing(store: JobStore, job: Job) -> None:
    work(store, job, Hook(3, lambda: store.stop(job.id)), ends="stopped")
    times = {path: path.stat().st_mtime_ns for path in job.output.rglob("*.png")}
    assert 3 <= len(times) < 12
    store.go_on(job.id)
    work(store, job)
    assert len(made(job.output)) == 12
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert store.of(ANNA)[0].progress.done == 12


def test_a_job_added_while_old_ones_are_removed_keeps_its_folder(
    store: JobStore, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever moment it is added in: here before and after the folders are listed."""
    added, listing = [], Path.glob

    def glob(folder: Path, pattern: str) -> list[Path]:
        added.append(store.add(ANNA, "before", options))
        found = list(listing(folder, pattern))
        added.append(store.add(ANNA, "after", options))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", glob)
        store.sweep()
    assert [job.input.is_dir() for job in added] == [True, True]


def test_a_job_deleted_while_it_runs_leaves_nothing(store: JobStore, job: Job) -> None:
    worker = JobWorker(store, Hook(2, lambda: store.delete(job.id)), "cpu")
    worker.start()
    until(lambda: state(store, job) == "gone")
    worker.close()
    store.sweep()
    assert list(store.folder.glob("?" * 32)) == []


def test_a_server_that_is_closed_leaves_its_job_to_the_next(store: JobStore, job: Job) -> None:
    reached = threading.Event()

    def wait_for_the_end() -> None:
        store.news.clear()
        reached.set()
        assert store.news.wait(60)

    worker = JobWorker(store, Hook(2, wait_for_the_end), "cpu")
    worker.start()
    assert reached.wait(60)
    worker.close()
    assert state(store, job) == "running"
    assert len(made(job.output)) < 12
    other = JobStore(store.folder)
    store.close()
    work(other, job)
    assert len(made(job.output)) == 12
    other.close()


def test_a_model_that_is_gone_and_comes_back(store: JobStore, job: Job, invert_model: Path) -> None:
    away = invert_model.rename(invert_model.with_suffix(".away"))
    work(store, job, ends="failed")
    assert store.of(ANNA)[0].message == "the model invert.onnx is not on this computer any more; put it back and go on"
    away.rename(invert_model)
    store.go_on(job.id)
    work(store, job)
    assert store.of(ANNA)[0].message == ""


def test_what_concerns_every_picture_is_said_without_folders(store: JobStore, options: Options) -> None:
    job = store.add(ANNA, "", options)
    store.begin(job.id, 1)
    work(store, job, ends="failed")
    assert store.of(ANNA)[0].message == "the folder: an empty folder; give a folder of pictures"


def test_the_progress_of_a_film(
    store: JobStore, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.add(ANNA, "", options)
    made_films.write_film(job.input / "film.mp4")
    store.begin(job.id, 1)
    monkeypatch.setattr(job_worker, "FRAME_SECONDS", 0.0)
    parts: list[float] = []
    report = store.report

    def spy(job: str, progress: Progress, *, total: int | None = None) -> bool:
        parts.append(progress.part)
        return report(job, progress, total=total)

    monkeypatch.setattr(store, "report", spy)
    work(store, job)
    assert parts[:3] == [1 / 12, 2 / 12, 3 / 12]
    assert main(["convert", str(job.input), str(tmp_path / "out"), "--model", str(options.model)]) == 0
    assert made(job.output) == made(tmp_path / "out")


def test_the_time_that_is_left(store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(job_worker, "time", SimpleNamespace(monotonic=lambda: now))
    claimed = store.claim()
    assert claimed is not None
    reporter = Reporter(claimed, store, Hook(0, lambda: None), threading.Event())

    def left() -> float | None:
        return store.of(ANNA)[0].progress.seconds_left

    for _ in range(4):
        reporter.picture(Result("a.png", "skipped", None))
    assert left() is None, "what was there already says nothing"
    for seconds in (10.0, 20.0):
        now = seconds
        reporter.picture(Result("a.png", "converted", None))
    assert left() == 70.0  # 7 of 13, at 10 seconds each
    now = 30.0
    reporter.frame(FrameProgress("a.mp4", 1, 2))
    assert left() == 78.0  # half a film took 10 seconds: 12 for each of 6.5


def test_label_and_style_reach_the_model(store: JobStore, tmp_path: Path, make_pictures: MakePictures) -> None:
    spec = ModelSpec(name="styled", task="sketch-to-photo", architecture="", labels=("shoe", "bag"), style_size=2)
    model = save_sum(tmp_path / "styled.onnx", spec)
    how = Conversion(label="bag", style=(20.0, 10.0), output_format="bmp")
    job = store.add(ANNA, "", Options(model=model, command="styled.onnx", how=how))
    make_pictures(job.input, ["a.png"])
    store.begin(job.id, 1)
    work(store, job)
    words = store.of(ANNA)[0].options.words()
    words[1] = str(model)
    assert main(["convert", str(job.input), str(tmp_path / "out"), *words]) == 0
    assert made(job.output) == made(tmp_path / "out")
    assert record(job.output) == record(tmp_path / "out")


def test_drawings_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_worker, "GAP_SECONDS", 0.0)
    precedence, order = Precedence(), list[str]()

    def convert() -> None:
        precedence.give_way(60.0)
        order.append("job")

    thread = threading.Thread(target=convert)
    with precedence.drawing():
        precedence.give_way(0.0)  # nobody waits for ever
        thread.start()
        order.append("drawing")
    thread.join()
    assert order == ["drawing", "job"]
