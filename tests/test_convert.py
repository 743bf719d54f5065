import dataclasses
import errno
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import INVERT, save_model

from translate.convert import _Budget, convert_folder, plan_jobs
from translate.engine import Engine
from translate.errors import DataError, ImageError
from translate.images import read_picture

MakePictures = Callable[[Path, Sequence[str]], Path]


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1, device="cpu")


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_mirrors_the_tree(tmp_path: Path, engine: Engine, make_pictures: MakePictures, image_HWC: np.ndarray) -> None:
    names = ["a.png", "sub/b.PNG", "sub/deep/Ünïcode 画像.webp", f"{'x' * 251}.png", ".hidden.png", ".git/c.png"]
    source = make_pictures(tmp_path / "in", names)
    (source / "notes.txt").write_text("no picture")
    seen: list[tuple[Path, str | None]] = []
    report = convert_folder(source, tmp_path / "out", engine, workers=3, on_progress=lambda *found: seen.append(found))
    assert (report.converted, report.failed) == (4, ())
    assert report.images_per_second == pytest.approx(4 / report.seconds)
    assert tree(tmp_path / "out") == sorted(names[:4])
    assert sorted(seen) == sorted((source / name, None) for name in names[:4])
    assert np.array_equal(read_picture(tmp_path / "out" / "sub" / "b.PNG").rgb_HWC, 255 - image_HWC)


def test_one_bad_file_stops_nothing(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "b.png", "d.png"])
    (source / "c.png").write_text("text")
    (source / "e.png").mkdir()
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.converted == 3
    assert [failure.path for failure in report.failed] == [source / "c.png"]
    assert str(source / "c.png") in report.failed[0].reason
    assert tree(tmp_path / "out") == ["a.png", "b.png", "d.png"]


def test_failures_name_the_file_and_leave_nothing(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "sub/b.png"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_text("a file where a folder must be")

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.converted == 0
    assert re.search(r"a\.png: cannot be written \(No space left", report.failed[0].reason)
    assert re.search(r"b\.png: its folder .*sub cannot be made", report.failed[1].reason)
    assert tree(tmp_path / "out") == ["sub"]


def test_engine_errors_name_the_file(tmp_path: Path, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"])
    engine = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, min_size=64)))
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.failed[0].reason.startswith(f"{source / 'a.png'}: picture of 40 x 24 pixels is too small")


def test_bugs_are_not_bad_files(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "apply", broken)
    with pytest.raises(ZeroDivisionError):
        convert_folder(make_pictures(tmp_path / "in", ["a.png", "b.png"]), tmp_path / "out", engine)


def test_interrupt(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", [f"{number:02}.png" for number in range(60)])
    started = threading.active_count()
    seen: list[None] = []

    def interrupt(_path: Path, _reason: str | None) -> None:
        seen.append(None)
        if len(seen) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)  # holds up the workers until the main thread has seen it

    with pytest.raises(KeyboardInterrupt):
        convert_folder(source, tmp_path / "out", engine, workers=2, on_progress=interrupt)
    assert threading.active_count() == started
    written = tree(tmp_path / "out")
    assert 1 <= len(written) < 60
    for name in written:
        read_picture(tmp_path / "out" / name)  # whole


@pytest.mark.parametrize("output_format", ["png", "jpg", "webp"])
def test_format(tmp_path: Path, engine: Engine, make_pictures: MakePictures, output_format: str) -> None:
    source = make_pictures(tmp_path / "in", ["a.b.png", "c.JPEG"])
    convert_folder(source, tmp_path / "out", engine, output_format=output_format)
    assert tree(tmp_path / "out") == [f"a.b.{output_format}", f"c.{output_format}"]


@pytest.mark.parametrize(
    ("destination", "output_format", "expected"),
    [
        ("new", "same", "new/a.png"),
        ("new/deep", "jpg", "new/deep/a.jpg"),
        ("b.webp", "same", "b.webp"),
        ("made.v2", "same", "made.v2/a.png"),
    ],
)
def test_single_picture(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, destination: str, output_format: str, expected: str
) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"]) / "a.png"
    (tmp_path / "made.v2").mkdir()
    report = convert_folder(source, tmp_path / destination, engine, output_format=output_format)
    assert report.converted == 1
    assert (tmp_path / expected).is_file()


@pytest.mark.parametrize(
    ("source", "destination", "output_format", "message"),
    [
        ("missing", "out", "same", "missing: no such file or folder"),
        ("empty", "out", "same", "empty: an empty folder"),
        ("text", "out", "same", "text: 2 files, none of them PNG, JPEG or WebP"),
        ("in", "in", "same", "the same folder"),
        ("in/a.png", "in/a.png", "same", "would replace an input"),
        ("in/a.png", "in", "same", "would replace an input"),
        ("in/a.png", "b.gif", "same", r"cannot write \.gif"),
        ("in/a.png", "b.png", "jpg", "contradicts --format jpg"),
        ("text/1.txt", "out", "same", "not a PNG, JPEG or WebP file"),
        ("in", "out", "png", r"a\.jpg and .*a\.png would both become .*a\.png"),
        ("in", "text/1.txt", "same", r"1\.txt: cannot be made a folder"),
        ("in", "text/1.txt/out", "same", "out: cannot be made a folder"),
        ("nested/nested", "nested", "same", "would replace an input"),
    ],
)
def test_refused_before_anything_is_written(
    tmp_path: Path,
    engine: Engine,
    make_pictures: MakePictures,
    source: str,
    destination: str,
    output_format: str,
    message: str,
) -> None:
    make_pictures(tmp_path / "in", ["a.png", "a.jpg"])
    make_pictures(tmp_path / "nested", ["nested/nested/a.png", "nested/a.png"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    for name in ("1.txt", "2.txt"):
        (tmp_path / "text" / name).write_text("")
    before = tree(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        convert_folder(tmp_path / source, tmp_path / destination, engine, output_format=output_format)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_no_right_to_write(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # chmod does not stop root
    with pytest.raises(DataError, match="no right to write"):
        convert_folder(make_pictures(tmp_path / "in", ["a.png"]), tmp_path / "out", engine)


def test_folder_that_cannot_be_listed(
    tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "sub/b.png"])
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"sub: cannot be listed \(Permission denied\)"):
        plan_jobs(source, tmp_path / "out")


def test_out_inside_in(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "sub/b.png"])
    for _ in range(2):
        assert convert_folder(source, source / "sub" / "out", engine).converted == 2
    assert tree(source / "sub" / "out") == ["a.png", "sub/b.png"]


def test_links(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"])
    (source / "loop").symlink_to(source, target_is_directory=True)
    (source / "link.png").symlink_to(source / "a.png")
    convert_folder(source, tmp_path / "out", engine)
    assert tree(tmp_path / "out") == ["a.png", "link.png"]
    (tmp_path / "same").symlink_to(source, target_is_directory=True)
    with pytest.raises(DataError, match="the same folder"):
        plan_jobs(source, tmp_path / "same")


def test_memory_is_shared(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    """Pictures that fit one at a time are all converted, one at a time."""
    source = make_pictures(tmp_path / "in", [f"{number}.png" for number in range(8)])
    engine.memory_bytes = engine.work_bytes(24, 40) * 3 // 2
    at_once, most = 0, 0
    lock = threading.Lock()
    apply = engine.apply

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
    assert convert_folder(source, tmp_path / "out", engine, workers=4).converted == 8
    assert most == 1


def test_budget_never_blocks_for_ever() -> None:
    budget = _Budget(10)
    with budget.hold(99):
        pass
    with pytest.raises(ImageError), budget.hold(10):
        raise ImageError("freed on the way out")
    with budget.hold(10):
        pass
