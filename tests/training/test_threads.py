"""Threads of a training: chosen by the load before torch is loaded, said in one line, and chosen by the user."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import SKETCHES, log_lines, options
from torch.utils.data import Dataset

from translate import machine as cores_module
from translate.cli.main import main
from translate.data.loading import batches
from translate.training import openmp as threads_module
from translate.training.openmp import busy_cores, choose, prepare
from translate.training.snapshot import FILE_NAME, read_header

TAKE = "are busy with other work (--threads N: take N)"


@pytest.fixture(autouse=True)
def as_it_was() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the machine so many cores, and a container use fewer of them."""

    def have(count: int, quota: int | None = None) -> None:
        monkeypatch.setattr(threads_module, "allowed", lambda: count)
        monkeypatch.setattr(threads_module, "cores", lambda: quota or count)

    return have


def not_asked() -> float | None:
    raise AssertionError("the load was measured without need")


# --- the choice


@pytest.mark.parametrize(
    ("count", "busy", "threads", "line"),
    [
        (2, 0.0, 2, f"2 threads: 0.0 of 2 cores {TAKE}"),
        (2, 0.2, 2, f"2 threads: 0.2 of 2 cores {TAKE}"),
        (2, 0.5, 1, f"1 thread: 0.5 of 2 cores {TAKE}"),
        (2, 1.0, 1, f"1 thread: 1.0 of 2 cores {TAKE}"),
        (2, 2.0, 1, f"1 thread: 2.0 of 2 cores {TAKE}"),
        (1, 0.0, 1, f"1 thread: 0.0 of 1 cores {TAKE}"),
        (16, 3.1, 13, f"13 threads: 3.1 of 16 cores {TAKE}"),
        (4, 9.0, 1, f"1 thread: 9.0 of 4 cores {TAKE}"),  # a load average
    ],
)
def test_no_more_threads_than_idle_cores(
    cores: Callable[..., None], count: int, busy: float, threads: int, line: str
) -> None:
    cores(count)
    chosen = choose(0, {}, lambda: busy)
    assert (chosen.count, chosen.line) == (threads, line)
    assert chosen.environment == {"OMP_NUM_THREADS": str(threads)}  # they wait actively, as OpenMP does
    assert choose(-1, {}, lambda: busy) == chosen


def test_a_quota_bounds_the_threads_and_not_the_idle_cores(cores: Callable[..., None]) -> None:
    cores(16, quota=2)
    assert choose(0, {}, lambda: 10.0).count == 2
    assert choose(0, {}, lambda: 15.0).count == 1


def test_unknown_load_waits_passively(cores: Callable[..., None]) -> None:
    cores(4)
    chosen = choose(0, {}, lambda: None)
    assert chosen.environment == {"OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "passive"}
    assert chosen.line == "4 threads that wait passively: how busy the cores are is unknown"


def test_more_threads_than_idle_cores_wait_passively(cores: Callable[..., None]) -> None:
    cores(2)
    chosen = choose(2, {}, lambda: 1.0)
    assert chosen.environment == {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    assert chosen.line == "2 threads that wait passively: by --threads"
    assert choose(2, {}, lambda: 0.0).environment == {"OMP_NUM_THREADS": "2"}
    assert choose(1, {}, not_asked).line == "1 thread: by --threads"


@pytest.mark.parametrize(
    ("asked", "environment", "busy", "changes", "line"),
    [
        (0, {"OMP_NUM_THREADS": "1"}, None, {}, "1 thread: by OMP_NUM_THREADS"),
        (0, {"OMP_NUM_THREADS": "2"}, 0.0, {}, "2 threads: by OMP_NUM_THREADS"),
        (
            0,
            {"OMP_NUM_THREADS": "2"},
            2.0,
            {"OMP_WAIT_POLICY": "passive"},
            "2 threads that wait passively: by OMP_NUM_THREADS",
        ),
        (0, {"OMP_NUM_THREADS": "2,4", "MKL_NUM_THREADS": ""}, 0.0, {}, "2 threads: by OMP_NUM_THREADS"),
        (0, {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "1"}, None, {}, "1 thread: by MKL_NUM_THREADS"),
        (0, {"OMP_NUM_THREADS": "many"}, 0.0, {"OMP_NUM_THREADS": "2"}, f"2 threads: 0.0 of 2 cores {TAKE}"),
        (
            0,
            {"OMP_WAIT_POLICY": "active"},
            0.0,
            {"OMP_NUM_THREADS": "2"},
            f"2 threads with OMP_WAIT_POLICY=active: 0.0 of 2 cores {TAKE}",
        ),
        (
            0,
            {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "0"},
            None,
            {},
            "2 threads with GOMP_SPINCOUNT=0: by OMP_NUM_THREADS",
        ),
        (2, {"OMP_NUM_THREADS": "1"}, 0.0, {"OMP_NUM_THREADS": "2"}, "2 threads: by --threads"),
        (
            0,
            {"LOCAL_WORLD_SIZE": "1"},
            0.0,
            {"OMP_NUM_THREADS": "2"},
            f"2 threads: 0.0 of 2 cores {TAKE}",
        ),
    ],
)
def test_what_the_user_has_set_comes_first_and_is_said(
    cores: Callable[..., None],
    asked: int,
    environment: dict[str, str],
    busy: float | None,
    changes: dict[str, str],
    line: str,
) -> None:
    """`busy` None: the load is of no importance and not measured."""
    cores(2)
    chosen = choose(asked, environment, not_asked if busy is None else lambda: busy)
    assert (chosen.environment, chosen.line) == (changes, line)


@pytest.mark.parametrize(("count", "together", "threads"), [(16, 4, 4), (2, 4, 1), (7, 2, 3)])
def test_processes_share_the_cores(cores: Callable[..., None], count: int, together: int, threads: int) -> None:
    cores(count)
    chosen = choose(0, {"LOCAL_WORLD_SIZE": str(together)}, not_asked)
    assert chosen.count == threads
    assert chosen.line.endswith(f": {together} processes share {count} cores")
    assert ("OMP_WAIT_POLICY" in chosen.environment) == (threads > 1)


# --- the load


STAT = "cpu  9 9 9 9\n{}intr 5 0\nctxt 7\n"


def stat(path: Path, *rows: str) -> None:
    path.write_text(STAT.format("".join(f"cpu{number} {row}\n" for number, row in enumerate(rows))))


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux writes")
def test_busy_is_what_was_not_idle_on_our_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, slept = tmp_path / "stat", []
    monkeypatch.setattr(threads_module.os, "sched_getaffinity", lambda _: {0, 2, 3})

    def sleep(seconds: float) -> None:
        """Core 0 is half busy (nice, system, stolen), 1 is not ours, 2 idle and waiting for the disk, 3 busy."""
        slept.append(seconds)
        stat(
            path,
            "100 10 10 520 0 0 0 5 0 0",
            "150 0 0 500 0 0 0 0 0 0",
            "7 0 0 530 20 0 0 0 0 0",
            "50 0 0 0 0 0 0 0 7 0",
        )

    monkeypatch.setattr(threads_module.time, "sleep", sleep)
    stat(path, "100 0 0 495 0 0 0 0 0 0", "100 0 0 500 0 0 0 0 0 0", "7 0 0 500 0 0 0 0 0 0", "0 0 0 0 0 0 0 0 0 0")
    assert busy_cores(0.3, path) == pytest.approx(0.5 + 0.0 + 1.0)
    assert slept == [0.3]


def test_without_proc_the_load_average_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module.os, "getloadavg", lambda: (1.5, 9.0, 9.0), raising=False)
    assert busy_cores(0.0, tmp_path / "none") == 1.5
    (tmp_path / "empty").write_text("")
    assert busy_cores(0.0, tmp_path / "empty") == 1.5
    monkeypatch.delattr(threads_module.os, "getloadavg")  # Windows
    assert busy_cores(0.0, tmp_path / "none") is None


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu.max": "damaged"}, 8),
    ],
)
def test_cores_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(cores_module.os, "sched_getaffinity", lambda _: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores_module.cores(tmp_path) == expected


# --- when there is something to choose


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, cores: Callable[..., None]) -> None:
    """Two cores, one of them busy; no GPU, and torch not loaded yet."""
    cores(2)
    monkeypatch.setattr(threads_module, "busy_cores", lambda: 1.0)
    monkeypatch.setattr(threads_module, "has_gpu", lambda environment: False)
    monkeypatch.delitem(sys.modules, "torch")


@pytest.mark.usefixtures("load")
def test_prepare_sets_the_variables() -> None:
    environment: dict[str, str] = {}
    assert prepare(["--data", "photos"], environment).count == 1
    assert environment == {"OMP_NUM_THREADS": "1"}
    environment.clear()
    assert prepare(["--data", "photos", "--threads=2"], environment).count == 2
    assert environment == {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("words", ["--help", "--threads two", "--threads", "--device cuda", "--threads 2000"])
def test_nothing_to_choose(words: str) -> None:
    environment: dict[str, str] = {}
    assert (prepare(words.split(), environment), environment) == (threads_module.Threads(0), {})


@pytest.mark.usefixtures("load")
def test_a_gpu_needs_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "has_gpu", lambda environment: True)
    resume = ["--out", str(tmp_path), "--resume"]
    assert prepare([], {}).count == 0
    assert prepare(["--device", "cpu"], {}).count == 1
    assert prepare(resume, {}).count == 0
    (tmp_path / "config.json").write_text(json.dumps({"device": "cpu"}))
    assert prepare(resume, {}).count == 1
    assert prepare([*resume, "--device", "auto"], {}).count == 0
    assert prepare(["--out", str(tmp_path)], {}).count == 0


def test_a_gpu_that_is_hidden_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "_GPUS", ("/",))
    assert threads_module.has_gpu({})
    assert threads_module.has_gpu({"CUDA_VISIBLE_DEVICES": "0"})
    assert not threads_module.has_gpu({"CUDA_VISIBLE_DEVICES": ""})
    assert not threads_module.has_gpu({"CUDA_VISIBLE_DEVICES": "-1"})


def test_with_torch_loaded_it_is_too_late() -> None:
    environment: dict[str, str] = {}
    assert prepare([], environment).count == 0
    assert prepare(["--threads", "1"], environment).count == 1
    assert environment == {}


# --- the command


def test_said_in_one_line_and_changed_by_a_resume(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threads_module, "busy_cores", lambda: 0.0)
    monkeypatch.setattr(threads_module, "allowed", lambda: 3)
    out = tmp_path / "run"
    start = ["train", SKETCHES, "--data", str(photos), "--out", str(out), *options(max_images=4)]
    assert main([*start, "--threads", "2", "--stop-after", "2images"]) == 0
    assert capsys.readouterr().err.count("\n2 threads: by --threads\n") == 1
    assert torch.get_num_threads() == 2
    assert main(["train", SKETCHES, "--out", str(out), "--resume", "--threads", "1"]) == 0
    assert "\n1 thread: by --threads\n" in capsys.readouterr().err
    assert torch.get_num_threads() == 1
    assert [line["machine"]["threads"] for line in log_lines(out, "start")] == [2, 1]
    assert "threads" not in read_header(out / FILE_NAME).config  # of this machine, this evening


@pytest.mark.parametrize("threads", ["-2", "2000"])
def test_out_of_range(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], threads: str) -> None:
    arguments = ["--data", str(photos), "--out", str(tmp_path / "run"), *options(max_images=2)]
    assert main(["train", SKETCHES, *arguments, "--threads", threads]) == 2
    assert capsys.readouterr().err == f"translate: --threads is {threads}; it must be between -1 and 1024\n"


BEFORE_TORCH = """
import os, sys
from translate.training import openmp as threads
from translate.cli.main import main
from translate.cli import train as command

def prepare(argv):
    assert "torch" not in sys.modules
    chosen = threads.prepare(argv)
    import torch
    print(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], chosen.line)
    sys.exit(0)

command.prepare = prepare
main(sys.argv[1:])
"""


def test_chosen_before_torch_is_loaded() -> None:
    """In a process of its own: torch has the number from the variable, which it reads when it is loaded."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "GOMP_"))}
    arguments = ["train", SKETCHES, "--out", "run", "--threads", "1"]
    command = [sys.executable, "-c", BEFORE_TORCH, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean)
    assert done.stdout == "1 1 1 thread: by --threads\n", done.stderr


# --- the loader


class Report(Dataset[Any]):
    """Has the number of torch's threads in its process as the label of every sample."""

    def __getitem__(self, position: int) -> Any:
        from translate.data.dataset import Item

        return Item(None, torch.zeros(1, 1, 3, dtype=torch.uint8), torch.get_num_threads(), ())


def test_a_loader_process_has_one_thread() -> None:
    torch.set_num_threads(2)
    stream: Any = Report()
    assert next(batches(stream, 2, 0, workers=1, pin=False)).label_B.tolist() == [1, 1]
    assert next(batches(stream, 2, 0, workers=0, pin=False)).label_B.tolist() == [2, 2]
