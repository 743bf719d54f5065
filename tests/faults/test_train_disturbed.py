"""A training whose loaders die, whose disk is full, or that is not alone: it goes on, or ends with one line."""

import io
import itertools
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from disks import small_disk
from tiny_runs import (
    SKETCHES,
    assert_same_snapshots,
    log_lines,
    new_run,
    process,
    resumed_run,
    settings,
    train,
    trainer_class,
    training_data_of,
)

from translate.cli.main import main
from translate.data import loading
from translate.data.loading import batches
from translate.errors import ConfigError, DataError
from translate.lock import FILE_NAME as LOCK
from translate.monitoring.log import append_line, read_log
from translate.training.budget import StopAfter
from translate.training.folder import held_run
from translate.training.snapshot import FILE_NAME, read_header


class LosingLoaders(trainer_class(SKETCHES)):
    """The process that loads pictures is killed in the middle of some steps, as for want of memory."""

    def step(self, batch: Any, update: Any) -> None:
        if batch.step in (1, 4):
            for child in multiprocessing.active_children():
                child.kill()
                child.join()
        super().step(batch, update)


def test_loaders_that_are_killed_are_started_again(photos: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    assert train(new_run(tmp_path / "disturbed", settings(workers=1), kind=LosingLoaders), photos, said=said) == "done"
    assert said.getvalue().count("a process that loads pictures was killed; it is started again\n") == 2
    assert train(new_run(tmp_path / "quiet", settings()), photos) == "done"
    assert_same_snapshots(tmp_path / "disturbed", tmp_path / "quiet")


def test_loaders_that_keep_dying_end_the_run(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MOST_DEATHS", 1)
    monkeypatch.setattr(loading, "_quiet_worker", die)
    stream = training_data_of(new_run(tmp_path, settings()), photos).stream
    message = r"^a process that loads pictures was killed, 1 times in a row; use fewer --workers \(0: none\), or free"
    with pytest.raises(DataError, match=message):
        next(batches(stream, 2, 0, 1, pin=False))


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_clock_that_jumps_takes_nothing_of_the_budget(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, hours = time.time, itertools.cycle([-100, 100])
    monkeypatch.setattr("time.time", lambda: right() + 3600.0 * next(hours))
    run = new_run(tmp_path, settings(max_images=None, max_seconds=3600))
    assert train(run, photos, StopAfter(images=6)) == "stop-after"
    assert 0.0 < read_header(tmp_path / FILE_NAME).seconds_used < 3600
    assert train(resumed_run(tmp_path, settings(max_images=None, max_seconds=3600)), photos, StopAfter(images=2))
    assert read_header(tmp_path / FILE_NAME).images_seen == 8


def test_two_processes_in_one_run(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second says who is there; a kill leaves nothing in the way, and its temporary files are removed."""
    out = tmp_path / "run"
    arguments = ["--data", str(photos), "--max-images", "9999", *TINY, "--snapshot-time", "0s"]
    with process(out, *arguments) as child:
        before = child.pid
        assert main(["resume", str(out)]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert re.match(rf"translate: {re.escape(str(out))} is in use by process {before} on .* since 20", said.err)
        child.kill()
        child.join(30)
    assert (out / LOCK).exists()
    left = f".{'0123abcd' * 2}.part.safetensors"
    (out / left).write_bytes(b"half")
    (out / "another").mkdir()
    (out / "another" / left).write_bytes(b"of a run in progress")
    with (out / "log.jsonl").open("a") as log:
        log.write('{"event": "pro')
    seen = read_header(out / FILE_NAME).images_seen
    assert main(["resume", str(out), "--max-images", str(seen + 2), "--snapshot-time", "1h"]) == 0
    assert [path.name for path in out.iterdir() if path.name[0] == "."] == []
    assert (out / "another" / left).exists()
    assert read_log(out / "log.jsonl").start["images"] == seen  # its line is none with the one that is cut off


def test_a_run_that_another_process_has_trained_meanwhile(photos: Path, tmp_path: Path) -> None:
    train(new_run(tmp_path, settings()), photos, StopAfter(images=2))
    before = read_header(tmp_path / FILE_NAME)
    train(resumed_run(tmp_path, settings()), photos, StopAfter(images=2))
    for saved in (before, None):
        message = "has been trained meanwhile by another process"
        with pytest.raises(ConfigError, match=message), held_run(tmp_path, saved):
            raise AssertionError("it was read too early")


def test_a_folder_in_which_nothing_was_written_is_not_left(tmp_path: Path) -> None:
    with held_run(tmp_path / "a" / "b", None):
        assert (tmp_path / "a" / "b" / LOCK).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("torn", ["", '{"a": 1}\n', '{"a": 1}\n{"b', "\n"])
def test_a_line_of_the_log_is_never_part_of_another(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(torn)
    append_line(path, '{"event": "ü"}')
    append_line(path, '{"event": "end"}')
    assert path.read_text().splitlines()[-2:] == ['{"event": "ü"}', '{"event": "end"}']
    assert path.read_text().startswith(torn)


def test_a_disk_that_is_really_full(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Snapshots that do not fit leave the last one, and the run goes on from there when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    start = ["train", SKETCHES, "--data", str(photos), "--out", str(disk / "run"), *TINY, "--snapshot-time", "0s"]
    with small_disk(disk, "1200k"):
        assert main([*start, "--max-images", "12", "--stop-after", "4images"]) == 0
        before = (disk / "run" / FILE_NAME).read_bytes()
        capsys.readouterr()
        for room in (4096, 100_000):  # not even for the settings; for all but a snapshot
            with (disk / "full").open("wb", buffering=0) as file:
                while file.write(bytes(4096)) == 4096 and os.statvfs(disk).f_bavail * 4096 > room:
                    pass
            assert main(["resume", str(disk / "run")]) == 2
            said = capsys.readouterr().err
            assert said.splitlines()[-1].startswith("translate: cannot write ")
            assert "Traceback" not in said
            assert (disk / "run" / FILE_NAME).read_bytes() == before
            (disk / "full").unlink()
        assert main(["resume", str(disk / "run")]) == 0
        assert [path.name for path in (disk / "run").iterdir() if path.name[0] == "."] == []
        assert log_lines(disk / "run")[-1]["images"] == 12


@pytest.mark.parametrize("name", ["config.json", "log.jsonl"])
def test_files_in_the_way_are_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "run" / name).mkdir(parents=True)
    done = main(["train", SKETCHES, "--data", str(photos), "--out", str(tmp_path / "run"), "--max-images", "2", *TINY])
    said = capsys.readouterr().err
    assert done == (2 if name == "config.json" else 0)  # a run is not lost for want of its log
    assert "Traceback" not in said
    assert "cannot write" in said
