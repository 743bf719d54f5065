import errno
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import INVERT, save_model
from programs import PATIENCE_SECONDS, started, until
from stores import contents, names, served

from translate.cli.main import main
from translate.conversion import ray_backend
from translate.conversion.folder import convert_folder
from translate.conversion.manifest import FILE_NAME, parse_entry, parse_line
from translate.conversion.plan import Job
from translate.conversion.ray_backend import Actor, ActorConfig, RayBackend
from translate.conversion.resume import WorkerResult
from translate.conversion.worker import Conversion, Worker
from translate.credentials.verify import verify
from translate.errors import DiskFull, ModelError, TranslateError
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, write_picture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # it uses what it has given up itself


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Generator[None]:
    """Two cores, and an S3 that the actors find by their environment."""
    place = tempfile.mkdtemp(prefix="r")  # sockets have short names
    with served(), pytest.MonkeyPatch.context() as patch, ray_backend._silent():
        for name, value in {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_BACKEND_LOG_LEVEL": "fatal",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_worker_niceness": "0",  # its default, 15, starves the actors beside other tests
        }.items():
            patch.setenv(name, value)
        import ray
        from ray._private.node import Node

        for part in ("start_log_monitor", "start_monitor"):  # processes of which nothing is wanted here
            patch.setattr(Node, part, lambda _: None, raising=False)
        ray.init(
            "local",
            num_cpus=2,
            object_store_memory=100 << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="CRITICAL",
            _temp_dir=place,
        )
        yield
        ray.shutdown()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1, device="cpu")


def paint(path: Path, seed: int, side: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, Picture(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)))


def noted(out: Path) -> set[object]:
    """What the manifest says is done."""
    return {done for line in (out / FILE_NAME).read_bytes().splitlines() if (done := parse_entry(parse_line(line)))}


def test_the_same_as_threads_and_either_goes_on_where_the_other_stopped(tmp_path: Path, engine: Engine) -> None:
    source = tmp_path / "in"
    for number in range(8):
        paint(source / f"{number % 2}" / f"{number}.png", number)
    (source / "bad.png").write_text("no picture")
    how, ray = Conversion(output_format="jpg", name="{stem}-{model}"), RayBackend()
    threads = convert_folder(source, tmp_path / "threads", engine, how)
    first = convert_folder(source, tmp_path / "out", engine, how, limit=5, backend=ray, workers=1)
    assert first.converted + len(first.failed) == 5
    assert len(noted(tmp_path / "out")) == first.converted
    second = convert_folder(source, tmp_path / "out", engine, how)
    assert (second.converted, second.skipped) == (8 - first.converted, first.converted)
    paint(source / "0" / "0.png", 99)
    os.utime(source / "0" / "2.png", ns=(1, 1))  # another time, the same bytes: seen by the actor
    third = convert_folder(source, tmp_path / "out", engine, how, backend=ray, workers=2)
    assert (third.converted, third.skipped) == (1, 7)
    assert third.failed == threads.failed
    assert convert_folder(source, tmp_path / "threads", engine, how).converted == 1
    assert contents(str(tmp_path / "out")) == contents(str(tmp_path / "threads"))
    assert noted(tmp_path / "out") == noted(tmp_path / "threads")


def test_in_the_cloud(tmp_path: Path, engine: Engine) -> None:
    for number in range(5):
        paint(tmp_path / "in" / f"{number}.png", number)
    convert_folder(tmp_path / "in", "s3://bucket/in", engine)
    seen: list[object] = []
    report = convert_folder(
        "s3://bucket/in",
        "s3://bucket/out",
        engine,
        backend=RayBackend(),
        workers=1,
        on_progress=lambda outcome: seen.append(outcome.target),
    )
    assert (report.converted, report.failed) == (5, ())
    assert set(seen) == {f"s3://bucket/out/{number}.png" for number in range(5)}
    back = contents("s3://bucket/out")
    assert convert_folder("s3://bucket/in", "s3://bucket/out", engine).skipped == 5
    convert_folder("s3://bucket/in", tmp_path / "here", engine)
    assert back == contents(str(tmp_path / "here"))


def test_a_process_that_dies_loses_nothing(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        paint(tmp_path / "in" / f"{number:02}.png", number)
    trap = tmp_path / "trap"

    class Mortal(Actor):
        def convert(self, job: Job) -> WorkerResult | TranslateError:
            once = job.item.name == "03.png" and not trap.exists()
            if once:
                trap.touch()
            if once or job.item.name == "12.png":
                os._exit(1)
            return super().convert(job)

    monkeypatch.setattr(ray_backend, "Actor", Mortal)
    report = convert_folder(tmp_path / "in", tmp_path / "out", engine, backend=RayBackend(), workers=1)
    assert trap.exists()
    assert report.converted == 19
    (failure,) = report.failed
    assert str(failure.reason).startswith(f"{tmp_path / 'in' / '12.png'}: the process that converted it died 2 times")
    assert {done.target for done in noted(tmp_path / "out")} == names(str(tmp_path / "out"))


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Actors are in this process, which takes no time to start; returns how many pictures each round had."""
    rounds: list[int] = []

    def run(
        _: object, jobs: dict[int, Job], size: int, config: ActorConfig, actors: int
    ) -> Iterator[tuple[int, WorkerResult | TranslateError]]:
        rounds.append(len(jobs))
        actor = ray_backend.Actor(config)
        for number, job in list(jobs.items()):
            yield number, actor.convert(job)

    monkeypatch.setattr(ray_backend, "_run_jobs", run)
    return rounds


@pytest.mark.parametrize(("round_size", "rounds"), [(3, [3, 3]), (100, [4, 2])])
def test_rounds_and_a_limit(
    tmp_path: Path,
    engine: Engine,
    near: list[int],
    monkeypatch: pytest.MonkeyPatch,
    round_size: int,
    rounds: list[int],
) -> None:
    monkeypatch.setattr(ray_backend, "ROUND_SIZE", round_size)
    for number in range(8):
        paint(tmp_path / "in" / f"{number}.png", number)
    convert_folder(tmp_path / "in", tmp_path / "out", engine, limit=2)
    for number in range(8):
        os.utime(tmp_path / "in" / f"{number}.png", ns=(1, 1))  # that two are done is seen when they are read
    report = convert_folder(tmp_path / "in", tmp_path / "out", engine, limit=4, workers=1, backend=RayBackend())
    assert (report.converted, report.skipped, near) == (4, 2, rounds)
    assert convert_folder(tmp_path / "in", tmp_path / "out", engine, workers=1, backend=RayBackend()).converted == 2


def test_names_that_are_taken(tmp_path: Path, engine: Engine, near: list[int]) -> None:
    for number, name in enumerate(["a.png", "a-2.png"]):
        paint(tmp_path / "in" / name, number)
    paint(tmp_path / "out" / "a.png", 9)
    before = (tmp_path / "out" / "a.png").read_bytes()
    for backend, converted in ((RayBackend(), 2), (None, 0)):
        report = convert_folder(tmp_path / "in", tmp_path / "out", engine, existing="rename", backend=backend)
        assert report.converted == converted
    assert names(str(tmp_path / "out")) == {"a.png", "a-2.png", "a-3.png"}
    assert (tmp_path / "out" / "a.png").read_bytes() == before
    assert near == [2]


def test_a_bug_costs_one_picture(
    tmp_path: Path, engine: Engine, near: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    paint(tmp_path / "in" / "b.png", 1)
    whole = Worker.convert

    def broken(worker: Worker, job: Job) -> WorkerResult:
        if job.item.name == "a.png":
            raise TypeError("nobody knows")
        return whole(worker, job)

    monkeypatch.setattr("translate.conversion.worker.Worker.convert", broken)
    report = convert_folder(tmp_path / "in", tmp_path / "out", engine, backend=RayBackend())
    assert report.converted == 1
    reason = "unexpected TypeError (nobody knows); please report it with the log"
    assert [failure.reason for failure in report.failed] == [f"{tmp_path / 'in' / 'a.png'}: {reason}"]
    assert report.log is not None
    assert "in broken\n" in report.log.read_text()


def test_what_concerns_every_picture_ends_the_run(
    tmp_path: Path, engine: Engine, near: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "a.png", 1)

    def gone(*_: object) -> None:
        raise ModelError("the model is gone")

    monkeypatch.setattr("translate.conversion.worker.Worker.convert", gone)
    for backend in (RayBackend(), None):
        with pytest.raises(ModelError, match="the model is gone"):
            convert_folder(tmp_path / "in", tmp_path / "out", engine, backend=backend)


def test_a_full_disk_ends_the_run(
    tmp_path: Path, engine: Engine, near: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "a.png", 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFull, match=r"a\.png: cannot be written \(No space left on device\); free some space"):
            convert_folder(tmp_path / "in", tmp_path / "out", engine, backend=RayBackend())
    assert names(str(tmp_path / "out")) == set()
    assert convert_folder(tmp_path / "in", tmp_path / "out", engine, backend=RayBackend()).converted == 1


def test_what_is_not_there(
    tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    convert = ["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(engine.path)]
    for options, message in (
        (["--address", "auto"], "--address auto needs --engine ray; add it or omit --address"),
        (["--engine", "ray", "--watch"], "--watch does not work with --engine ray; omit one of them"),
        (["--engine", "ray", "--device", "cuda"], "--device cuda: Ray has no GPU; omit it"),
        (["--engine", "ray", "--device", "openvino"], "--device openvino does not work with Ray; give auto, cpu or"),
        (["--engine", "ray", "--address", "ray://a:1"], "--address ray://a:1: Ray Data does not support Ray Client; "),
        (["--engine", "ray", "--address", "127.0.0.1:9"], "--address 127.0.0.1:9: cannot connect to Ray ("),
    ):
        if "127.0.0.1:9" in options:
            monkeypatch.setattr("ray.is_initialized", lambda: False)
        assert main([*convert, *options]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert said.err.startswith(f"translate: {message}")


def test_the_command_says_nothing_of_ray_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "0.png", 0, side=256)
    for number in range(1, 300):
        os.link(tmp_path / "in" / "0.png", tmp_path / "in" / f"{number}.png")
    model = save_model(tmp_path / "m.onnx", INVERT)
    arguments = ["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(model), "--engine", "ray"]
    with started(*arguments, "--workers", "1") as process:
        until(lambda: list(tmp_path.glob("out/*.png")), process)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, errors) == (130, "")
    assert out.endswith("stopped; run the same command to continue\n")
    assert len(noted(tmp_path / "out")) == int(out.split()[0]) < 300
    assert {done.target for done in noted(tmp_path / "out")} <= names(str(tmp_path / "out"))


def test_results_are_signed_where_they_are_made(tmp_path: Path, engine: Engine) -> None:
    for number in range(2):
        paint(tmp_path / "in" / f"{number}.png", number)
    how = Conversion(credentials="on")
    report = convert_folder(tmp_path / "in", tmp_path / "out", engine, how, backend=RayBackend(), workers=1)
    assert (report.converted, report.failed) == (2, ())
    verdicts = [verify(tmp_path / "out" / f"{number}.png") for number in range(2)]
    assert [(one.state, one.trusted) for one in verdicts] == [("valid", True)] * 2
