"""Films in folders: names, progress, memory, and what is left of one that was not finished."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from made_films import clip, packets, pictures, times, write_film
from PIL import Image
from programs import PATIENCE_SECONDS, started

from translate import errors as extras
from translate.cli import convert as convert_command
from translate.cli.main import main
from translate.conversion.folder import convert_folder
from translate.conversion.moving import FrameProgress
from translate.conversion.worker import Conversion, Result
from translate.inference.engine import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(save_model(tmp_path / "m.onnx", INVERT), threads=1, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films, a picture and a damaged film."""
    found = tmp_path / "in"
    (found / "sub").mkdir(parents=True)
    write_film(found / "a.mp4", sound="aac")
    write_film(found / "sub" / "b.MKV")
    Image.fromarray(clip()[0]).save(found / "c.png")
    (found / "d.webm").write_bytes(b"no film")
    return found


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_with_films(tmp_path: Path, folder: Path, engine: Engine) -> None:
    seen: list[FrameProgress] = []
    report = convert_folder(folder, tmp_path / "out", engine, workers=3, on_frame=seen.append)
    assert (report.converted, report.noted) == (3, ())
    assert [failure.reason for failure in report.failed] == [
        f"{folder}/d.webm: damaged or not a video (Invalid data found when processing input), expected MP4, MOV, MKV, "
        "WebM or AVI; replace it with a good copy"
    ]
    assert tree(tmp_path / "out") == [".translate.jsonl", "a.mp4", "c.png", "sub/b.MKV"]
    for name in ("a.mp4", "sub/b.MKV"):
        result = tmp_path / "out" / name
        assert [done.frame for done in seen if done.source == str(folder / name)] == list(range(1, 13))
        assert times(result) == times(folder / name)
        assert np.abs(pictures(result)[7].astype(int) - (255 - clip()[7].astype(int))).mean() < 4
    assert {done.frames for done in seen} == {12}
    assert packets(tmp_path / "out" / "a.mp4", "audio") == packets(folder / "a.mp4", "audio")
    again = convert_folder(folder, tmp_path / "out", engine)
    assert (again.converted, again.skipped, len(again.failed)) == (0, 3, 1)
    assert convert_folder(folder, tmp_path / "out", engine, Conversion(quality=50)).converted == 3


def test_names_of_results(tmp_path: Path, engine: Engine) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_film(source / "a.mp4", clip(2)).rename(source / "b.m4v")
    write_film(source / "a.avi", clip(2), codec="mpeg4")
    write_film(source / "c.mov", clip(2))
    for format, names in (
        ("same", ["a.mp4", "b.mp4", "c.mov"]),
        ("png", ["a.mp4", "b.mp4", "c.mov"]),  # films stay films
        ("mkv", ["a.mkv", "b.mkv", "c.mkv"]),
    ):
        report = convert_folder(source, tmp_path / format, engine, Conversion(output_format=format))
        assert report.failed == ()
        assert tree(tmp_path / format)[1:] == names


def test_memory_for_one_frame_is_enough(tmp_path: Path, folder: Path, engine: Engine) -> None:
    engine.memory_bytes = engine.work_bytes(48, 64) + 2 * 48 * 64 * 12
    at_once, most = 0, 0
    lock, apply = threading.Lock(), engine.apply

    def watch(picture: object) -> object:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            return apply(picture)
        finally:
            with lock:
                at_once -= 1

    engine.apply = watch
    assert convert_folder(folder, tmp_path / "out", engine, workers=4).converted == 3
    assert most == 1


def test_without_the_extra(tmp_path: Path, folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    report = convert_folder(folder, tmp_path / "out", engine)
    assert report.converted == 1
    assert report.failed[0].reason == (
        f"{folder}/a.mp4: a video; av not installed; in the source folder run: pip install '.[video]'"
    )


def test_films_in_and_out_of_archives(tmp_path: Path, folder: Path, engine: Engine) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(folder / "a.mp4", "a.mp4")
    assert convert_folder(tmp_path / "in.zip", tmp_path / "out.zip", engine).converted == 1
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extract("a.mp4", tmp_path / "out")
    assert times(tmp_path / "out" / "a.mp4") == times(folder / "a.mp4")
    assert packets(tmp_path / "out" / "a.mp4", "audio") == packets(folder / "a.mp4", "audio")


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp"])
def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path, engine: Engine, name: str) -> None:
    before = threading.enumerate()
    source = tmp_path / "in" / name
    source.parent.mkdir()
    if name == "a.mp4":
        write_film(source)
    else:
        frames = [Image.fromarray(frame) for frame in clip()]
        frames[0].save(source, save_all=True, append_images=frames[1:], duration=40)

    def fail(done: FrameProgress) -> None:
        if done.frame == 5:
            raise ZeroDivisionError

    for given in (source.parent, source):
        with pytest.raises(ZeroDivisionError):
            convert_folder(given, tmp_path / "out", engine, workers=2, on_frame=fail)
        assert [path for path in tree(tmp_path / "out") if path != ".translate.jsonl"] == []
    assert [thread for thread in threading.enumerate() if not thread.daemon and thread not in before] == []
    assert convert_folder(source.parent, tmp_path / "out", engine).converted == 1


def test_ctrl_c_ends_a_film_at_once(tmp_path: Path, engine: Engine) -> None:
    source = write_film(tmp_path / "a.mp4", clip(200))
    seen: list[int] = []
    outcomes: list[Result] = []

    def interrupt(done: FrameProgress) -> None:
        seen.append(done.frame)
        if done.frame == 10:
            os.kill(os.getpid(), signal.SIGINT)
        if done.frame >= 10:
            time.sleep(0.02)  # holds up the film until the main thread has seen it

    with pytest.raises(KeyboardInterrupt):
        convert_folder(source, tmp_path / "out", engine, on_progress=outcomes.append, on_frame=interrupt)
    assert 10 <= len(seen) < 200
    assert (outcomes, tree(tmp_path / "out")) == ([], [])


BREAKS_OFF = """
import os, sys, time
from translate.cli import convert, main

shown = convert._FrameJsonPrinter.__call__

def interrupted(printer, progress):
    shown(printer, progress)
    if progress.frame == 10:
        os.kill(os.getpid(), int(sys.argv[1]))
    if progress.frame >= 10:
        time.sleep(0.02)  # holds up the film until the main thread has seen it

convert._FrameJsonPrinter.__call__ = interrupted
sys.exit(main.main(sys.argv[2:]))
"""
"""The command, which gets a signal in the middle of a film."""


def test_a_film_that_is_broken_off_is_made_by_the_same_command(tmp_path: Path) -> None:
    model = save_model(tmp_path / "m.onnx", DOUBLE)
    (tmp_path / "in").mkdir()
    source = write_film(tmp_path / "in" / "a.mp4", clip(200))
    command = ["convert", tmp_path / "in", tmp_path / "out", "--model", model, "--device", "cpu", "--json"]
    for number in (signal.SIGINT, signal.SIGKILL):
        words = [sys.executable, "-c", BREAKS_OFF, str(number.value), *map(str, command)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.stderr == ""
        assert not (tmp_path / "out" / "a.mp4").exists()
        assert len(list(tmp_path.glob("out/.*.part.mp4"))) == (number == signal.SIGKILL)
        if number == signal.SIGINT:
            assert done.returncode == 130
            summary = json.loads(done.stdout.splitlines()[-1])
            assert (summary["converted"], summary["failed"], summary["stopped"]) == (0, 0, True)
    with started(*command) as process:
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert json.loads(out.splitlines()[-1])["converted"] == 1
    assert tree(tmp_path / "out") == [".translate.jsonl", "a.mp4"]
    assert len(times(tmp_path / "out" / "a.mp4")) == len(times(source)) == 200


def test_command(
    folder: Path, tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_command, "FRAME_LINE_SECONDS", 0.0)
    command = ["convert", str(folder), str(tmp_path / "out"), "--model", str(engine.path), "--json"]
    assert main([*command, "--dry-run"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"convert": 4, "leave": 0, "refuse": 0}
    assert main(command) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    shown = [line for line in lines if line.get("source") == str(folder / "a.mp4")]
    assert shown[0] == {"source": str(folder / "a.mp4"), "frame": 2, "frames": 12}
    assert shown[-1] == {
        "source": str(folder / "a.mp4"),
        "status": "converted",
        "target": str(tmp_path / "out" / "a.mp4"),
    }
    assert main([*command, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"convert": 1, "leave": 3, "refuse": 0}
    assert main([*command, "--skip"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["skipped"] == 3
    for target, status, message in (
        ("film.mkv", 0, ""),
        ("film.png", 2, "film.png: cannot write .png; use one of .mkv, .mov, .mp4, .webm, or give a folder"),
        ("film.gif", 2, "film.gif: cannot write .gif"),
    ):
        assert main(["convert", f"{folder}/a.mp4", str(tmp_path / target), "--model", str(engine.path)]) == status
        assert message in capsys.readouterr().err
    assert len(times(tmp_path / "film.mkv")) == 12
    assert main(["convert", f"{folder}/d.webm", str(tmp_path / "x"), "--model", str(engine.path)]) == 2
    assert capsys.readouterr().err.startswith(f"translate: {folder}/d.webm: damaged or not a video")
