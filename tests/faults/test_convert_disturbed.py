"""A conversion whose disk is full, whose pictures change or go, or that is not alone: one line, and nothing is lost."""

import dataclasses
import errno
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import INVERT, save_model
from disks import FULL, read_only, refusing, small_disk
from made_films import clip, write_film
from PIL import Image
from programs import PATIENCE_SECONDS, started, until

from translate.cli.main import main
from translate.conversion import worker as worker_module
from translate.conversion.folder import Summary, convert_folder
from translate.conversion.manifest import FILE_NAME, Manifest, ManifestEntry
from translate.conversion.resume import Result
from translate.errors import DataError, DiskFull
from translate.inference.engine import Engine
from translate.pictures.decoder import InProcess

MakePictures = Callable[[Path, Sequence[str]], Path]
NAMES = [f"{number:02}.png" for number in range(6)]


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1, device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    """Everything but the manifest."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def noise(path: Path, seed: int = 0, side: int = 64) -> bytes:
    """Write a picture that cannot be compressed; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return path.read_bytes()


# --- the disk


@pytest.mark.parametrize("number", FULL)
def test_a_full_disk_ends_the_run_with_one_line(
    tmp_path: Path,
    invert_model: Path,
    make_pictures: MakePictures,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    source, out = make_pictures(tmp_path / "in", NAMES), tmp_path / "out"
    command = ["convert", str(source), str(out), "--model", str(invert_model), "--workers", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing(number, after=2))
        assert main(command) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    advice = "make the disk writable" if number == errno.EROFS else "free some space"
    reason = re.escape(os.strerror(number))
    assert re.fullmatch(
        rf"translate: .*out/02\.png: cannot be written \({reason}\); {advice}, then run the same command again\n",
        said.err,
    )
    assert sorted(contents(out)) == NAMES[:2]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("4 pictures converted")


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.mp4"])
def test_animations_pages_and_films_on_a_full_disk(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = tmp_path / "in" / name
    source.parent.mkdir()
    if name == "a.mp4":
        write_film(source, clip(4))
    else:
        frames = [Image.fromarray(np.full((32, 32, 3), level, np.uint8)) for level in (0, 99)]
        frames[0].save(source, save_all=True, append_images=frames[1:])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing(errno.ENOSPC))
        with pytest.raises(DiskFull, match=rf"out/{name}: cannot be written \(No space left on device\); free some"):
            convert_folder(source.parent, tmp_path / "out", engine)
    assert contents(tmp_path / "out") == {}
    assert convert_folder(source.parent, tmp_path / "out", engine).converted == 1


def test_an_archive_on_a_full_disk_is_finished_by_the_same_command(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, archive = make_pictures(tmp_path / "in", NAMES), tmp_path / "out.zip"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing(errno.ENOSPC, after=len(NAMES)))
        with pytest.raises(DiskFull, match=r"out\.zip: cannot be written \(No space left"):
            convert_folder(source, archive, engine)
    assert not archive.exists()
    report = convert_folder(source, archive, engine)
    assert (report.converted, report.skipped) == (0, len(NAMES))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.zip"]


def test_a_disk_that_is_really_full(tmp_path: Path, engine: Engine) -> None:
    for number in range(20):
        noise(tmp_path / "in" / f"{number:02}.png", number)
    convert_folder(tmp_path / "in", tmp_path / "whole", engine)
    whole, out = contents(tmp_path / "whole"), tmp_path / "out"
    out.mkdir()
    with small_disk(out, "100k"):
        for _ in range(2):
            with pytest.raises(DiskFull, match="No space left on device"):
                convert_folder(tmp_path / "in", out, engine, workers=1)
            made = contents(out)
            assert 0 < len(made) < 20
            assert made.items() <= whole.items()


def test_a_manifest_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a line fits: the next one is none of it, and what was noted before is found."""
    facts: dict[str, Any] = {"source": "a.png", "size": 1, "modified_ns": 2, "input": "ab", "made_by": "cd"}
    write = os.write
    with Manifest(tmp_path) as manifest:
        for name, room in (("a", None), ("b", 10), ("c", 0), ("d", None)):

            def limited(file: int, data: bytes, room: int | None = room) -> int:
                if room == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return write(file, data[:room])

            monkeypatch.setattr(os, "write", limited)
            manifest.add(ManifestEntry(**facts, target=name))
            monkeypatch.undo()
        assert [name for name in "abcd" if manifest.find(name)] == ["a", "d"]
    with Manifest(tmp_path) as manifest:
        assert [name for name in "abcd" if manifest.find(name)] == ["a", "d"]


@pytest.mark.parametrize(
    "line",
    [
        '{"begun": "aa", "host": "x", "pid": "x"}',
        '{"begun": null}',
        '{"source": "a", "size": 1, "modified_ns": 1, "input": "a", "made_by": "b", "target": []}',
        '{"source": "a", "size": "1", "modified_ns": 1, "input": "a", "made_by": "b", "target": "00.png"}',
        "[" * 100_000,
        "\0" * 5000,
    ],
    ids=["number", "null", "list", "text", "deep", "zeros"],
)
def test_a_spoiled_line_costs_nothing(tmp_path: Path, engine: Engine, make_pictures: MakePictures, line: str) -> None:
    source, out = make_pictures(tmp_path / "in", NAMES), tmp_path / "out"
    convert_folder(source, out, engine)
    with (out / FILE_NAME).open("a") as file:
        file.write(f"{line}\n")
    report = convert_folder(source, out, engine)
    assert (report.converted, report.skipped) == (0, len(NAMES))


def test_what_is_read_only(
    tmp_path: Path, invert_model: Path, make_pictures: MakePictures, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make_pictures(tmp_path / "in", NAMES), tmp_path / "out"
    out.mkdir()
    with read_only(out):
        for name in ("", "sub", "sub.zip", "a.png"):
            picture = source / "00.png" if name == "a.png" else source
            assert main(["convert", str(picture), str(out / name), "--model", str(invert_model)]) == 2
            said = capsys.readouterr()
            assert (said.out, said.err.count("\n")) == ("", 1)
            assert re.search(r"choose another|Read-only file system", said.err)


# --- the pictures


def test_a_folder_that_goes_away_ends_the_run_with_one_line(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures
) -> None:
    source = make_pictures(tmp_path / "in", NAMES)
    for mount_point in (True, False):
        shutil.copytree(source, tmp_path / "disk", dirs_exist_ok=True)

        def take_off(_: Result, mount_point: bool = mount_point) -> None:
            shutil.rmtree(tmp_path / "disk", ignore_errors=True)
            if mount_point:
                (tmp_path / "disk").mkdir(exist_ok=True)

        out = tmp_path / f"out{mount_point}"
        with pytest.raises(DataError, match=r"disk: the folder is gone or empty now; bring it back, then run the same"):
            convert_folder(tmp_path / "disk", out, engine, on_progress=take_off, workers=1)
        assert list(contents(out)) == NAMES[:1]


def test_a_picture_that_goes_away_or_cannot_be_read(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures
) -> None:
    source = make_pictures(tmp_path / "in", NAMES)
    if Path("/proc/self/mem").exists():
        (source / "99.png").symlink_to("/proc/self/mem")  # reading it is an input/output error, as of a damaged disk

    def take_one(_: Result) -> None:
        (source / NAMES[-1]).unlink(missing_ok=True)

    report = convert_folder(source, tmp_path / "out", engine, on_progress=take_one, workers=1)
    assert report.converted == len(NAMES) - 1
    reasons = [str(failure.reason) for failure in report.failed]
    assert (
        reasons[0] == f"{source / NAMES[-1]}: cannot be read (No such file or directory); check the name and the "
        "permissions"
    )
    assert reasons[1:] in (
        [],
        [f"{source}/99.png: cannot be read (Input/output error); check the name and the permissions"],
    )


class Changing:
    """A file that is overwritten while it is read, a number of times."""

    def __init__(self, path: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.times = path, times
        self.versions = [noise(path.with_name("other.png"), 1), noise(path, 2)]
        path.with_name("other.png").unlink()
        monkeypatch.setattr(worker_module.os, "fstat", self._fstat)

    def _fstat(self, file: int) -> os.stat_result:
        found = os.stat(file)
        if self.times and self.path.exists() and os.path.samestat(found, self.path.stat()):
            self.times -= 1
            self.path.write_bytes(self.versions[self.times % 2])
            os.utime(self.path, ns=(self.times, self.times))
        return found


@pytest.mark.parametrize(("times", "fails"), [(1, False), (2, False), (100, True)])
def test_a_picture_that_changes_while_it_is_read(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, times: int, fails: bool
) -> None:
    """The result is of one of its contents, or there is none; and the next run notices."""
    (tmp_path / "in").mkdir()
    with monkeypatch.context() as patch:
        changing = Changing(tmp_path / "in" / "a.png", times, patch)
        report = convert_folder(tmp_path / "in", tmp_path / "out", engine)
    right = [expected(tmp_path / f"{number}", data, engine) for number, data in enumerate(changing.versions)]
    if fails:
        (failure,) = report.failed
        assert str(failure.reason).endswith(
            "a.png: changes while it is read; run the same command again when it is complete"
        )
        assert contents(tmp_path / "out") == {}
    else:
        assert contents(tmp_path / "out")["a.png"] in right
    convert_folder(tmp_path / "in", tmp_path / "out", engine)
    assert contents(tmp_path / "out")["a.png"] == right[changing.versions.index(changing.path.read_bytes())]


def expected(folder: Path, data: bytes, engine: Engine) -> bytes:
    """The result for a picture of these bytes."""
    folder.mkdir()
    (folder / "a.png").write_bytes(data)
    convert_folder(folder, folder / "out", engine)
    return (folder / "out" / "a.png").read_bytes()


def test_a_large_file_that_changes_while_it_is_converted(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read into memory, so the result is discarded."""
    monkeypatch.setattr(worker_module, "SMALL_BYTES", 10)
    source = tmp_path / "in" / "a.png"
    first = noise(source, 1)

    class ChangesMeanwhile(InProcess):
        def decode(self, *arguments: Any, **options: Any) -> Any:
            found = super().decode(*arguments, **options)
            noise(source, 2)
            os.utime(source, ns=(1, 1))
            return found

    report = convert_folder(source.parent, tmp_path / "out", engine, decoder=ChangesMeanwhile())
    assert "changes while it is read" in str(report.failed[0].reason)
    assert contents(tmp_path / "out") == {}
    assert convert_folder(source.parent, tmp_path / "out", engine).converted == 1
    assert contents(tmp_path / "out")["a.png"] == expected(tmp_path / "second", source.read_bytes(), engine)
    assert first != source.read_bytes()


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_clock_that_jumps(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Pictures from the future and results from the past are neither lost nor made twice; changes are noticed."""
    source, out = make_pictures(tmp_path / "in", NAMES), tmp_path / "out"
    time_of = worker_module.os.stat(source / NAMES[0]).st_mtime_ns + hours * 3600 * 10**9
    monkeypatch.setattr("time.time", lambda: time_of / 1e9)
    for name in NAMES[:3]:
        os.utime(source / name, ns=(time_of, time_of))
    assert counts(convert_folder(source, out, engine)) == (6, 0)
    monkeypatch.undo()
    assert counts(convert_folder(source, out, engine)) == (0, 6)
    os.utime(source / NAMES[0])  # now, as if the clock was put right: its bytes tell that it is the same
    noise(source / NAMES[1])
    assert counts(convert_folder(source, out, engine)) == (1, 5)


def counts(report: Summary) -> tuple[int, int]:
    assert report.failed == ()
    return report.converted, report.skipped


# --- memory

NO_MEMORY = (
    "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 67108864",
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=studio",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
)
"""What ONNX Runtime says on an NVIDIA GPU without memory."""


@pytest.mark.parametrize("text", NO_MEMORY)
def test_a_gpu_without_memory_gets_smaller_work_and_the_results_are_the_same(tmp_path: Path, text: str) -> None:
    """Simulated: batches of four pictures in parallel, of which not even one fits whole."""
    source = tmp_path / "in"
    for number, name in enumerate(NAMES):
        noise(source / name, number, side=256)
    model = save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, receptive_field=1))
    convert_folder(source, tmp_path / "plenty", Engine(model, device="cpu"))
    engine = Engine(model, device="cpu", batch=4)
    whole, failed = engine._session.ort_session.run, list[int]()

    class Scarce:
        def run(self, names: Any, given: dict[str, Any]) -> Any:
            pixels = math.prod(given["image"].shape[:3])
            if pixels > 160 * 160:
                failed.append(pixels)
                raise RuntimeError(text)
            return whole(names, given)

    engine._session.ort_session = Scarce()
    report = convert_folder(source, tmp_path / "scarce", engine)
    assert (report.converted, report.failed) == (len(NAMES), ())
    assert failed
    assert contents(tmp_path / "scarce") == contents(tmp_path / "plenty")


# --- processes


def test_two_processes_in_one_folder(tmp_path: Path, make_pictures: MakePictures) -> None:
    """The second says who is there; when the first has ended, whatever way, nothing is in the way."""
    model, source = save_model(tmp_path / "m.onnx", INVERT), make_pictures(tmp_path / "in", NAMES)
    out = tmp_path / "out"
    with started("convert", source, out, "--model", model, "--watch") as first:
        until(lambda: len(list(out.glob("*.png"))) == len(NAMES), first)
        command = [sys.executable, "-m", "translate.cli", "convert", str(source), str(out), "--model", str(model)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (second.returncode, second.stdout, second.stderr.count("\n")) == (2, "", 1)
        assert f"out is in use by process {first.pid} on " in second.stderr
        assert f"(translate convert {source} {out}"[:150] in second.stderr
        assert main(["convert", str(source), str(out), "--model", str(model), "--dry-run"]) == 0  # looking is allowed
        assert main(["convert", str(source / NAMES[0]), str(out / "one.png"), "--model", str(model)]) == 0
        first.kill()
        first.wait()
    assert main(["convert", str(source), str(out), "--model", str(model)]) == 0
    assert [path.name for path in out.iterdir() if path.name[0] == "."] == [FILE_NAME]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_asked_to_end_it_finishes_what_it_has_begun(tmp_path: Path, number: signal.Signals, status: int) -> None:
    model = save_model(tmp_path / "m.onnx", INVERT)
    for index in range(300):
        noise(tmp_path / "in" / f"{index:03}.png", index, side=256)
    arguments = ["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(model), "--workers", "1"]
    with started(*arguments, "--json") as process:
        until(lambda: list(tmp_path.glob("out/*.png")), process)
        process.send_signal(number)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    summary = json.loads(out.splitlines()[-1])
    assert (process.returncode, errors, summary["stopped"]) == (status, "", True)
    assert summary["converted"] == len(list(tmp_path.glob("out/*.png"))) < 300
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name[0] == "."] == [FILE_NAME]
