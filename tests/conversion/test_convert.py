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
from PIL import Image

from translate.conversion.folder import convert_folder
from translate.conversion.manifest import FILE_NAME
from translate.conversion.worker import Conversion, Result, _MemoryBudget
from translate.errors import DataError, ImageError
from translate.inference.engine import Engine
from translate.pictures.operations import read_picture

MakePictures = Callable[[Path, Sequence[str]], Path]


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1, device="cpu")


def tree(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME
    )


def test_mirrors_the_tree(tmp_path: Path, engine: Engine, make_pictures: MakePictures, image_HWC: np.ndarray) -> None:
    names = ["a.png", "sub/b.PNG", "sub/deep/Ünïcode 画像.webp", f"{'x' * 251}.png", ".hidden.png", ".git/c.png"]
    source = make_pictures(tmp_path / "in", names)
    (source / "notes.txt").write_text("no picture")
    seen: list[Result] = []
    report = convert_folder(source, tmp_path / "out", engine, workers=3, on_progress=seen.append)
    assert (report.converted, report.failed) == (4, ())
    assert report.images_per_second == pytest.approx(4 / report.seconds)
    assert tree(tmp_path / "out") == sorted(names[:4])
    assert sorted(seen, key=lambda outcome: outcome.source) == sorted(
        (Result(str(source / name), "converted", tmp_path / "out" / name) for name in names[:4]),
        key=lambda outcome: outcome.source,
    )
    assert np.array_equal(read_picture(tmp_path / "out" / "sub" / "b.PNG").rgb_HWC, 255 - image_HWC)


def test_one_bad_file_stops_nothing(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "b.png", "d.png"])
    (source / "c.png").write_text("text")
    (source / "e.png").mkdir()
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.converted == 3
    assert [failure.source for failure in report.failed] == [str(source / "c.png")]
    assert str(source / "c.png") in report.failed[0].reason
    assert tree(tmp_path / "out") == ["a.png", "b.png", "d.png"]


def test_failures_name_the_file_and_leave_nothing(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "sub/b.png"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_text("a file where a folder must be")

    def damaged_disk(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", damaged_disk)
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.converted == 0
    assert re.search(r"a\.png: cannot be written \(Input/output error", report.failed[0].reason)
    assert re.search(r"b\.png: .*sub: cannot be created \(", report.failed[1].reason)
    assert tree(tmp_path / "out") == ["sub"]


def test_engine_errors_name_the_file(tmp_path: Path, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"])
    engine = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, input_channels=2)))
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.failed[0].reason.startswith(f"{source / 'a.png'}: {engine.spec.name} takes 2 channels")


def test_interrupt(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", [f"{number:02}.png" for number in range(60)])
    started = threading.active_count()
    seen: list[None] = []

    def interrupt(_: Result) -> None:
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
    convert_folder(source, tmp_path / "out", engine, Conversion(output_format=output_format))
    assert tree(tmp_path / "out") == [f"a.b.{output_format}", f"c.{output_format}"]


@pytest.mark.parametrize(
    ("destination", "output_format", "expected"),
    [
        ("new", "same", "new/a.png"),
        ("new/deep", "jpg", "new/deep/a.jpg"),
        ("b.webp", "same", "b.webp"),
        ("b.JPEG", "jpg", "b.JPEG"),
        ("b.tif", "tiff", "b.tif"),
        ("made.v2", "same", "made.v2/a.png"),
    ],
)
def test_single_picture(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, destination: str, output_format: str, expected: str
) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"]) / "a.png"
    (tmp_path / "made.v2").mkdir()
    report = convert_folder(source, tmp_path / destination, engine, Conversion(output_format=output_format))
    assert report.converted == 1
    assert (tmp_path / expected).is_file()


@pytest.mark.parametrize(
    ("source", "destination", "output_format", "message"),
    [
        ("missing", "out", "same", "missing: no such file or folder"),
        ("empty", "out", "same", "empty: an empty folder"),
        ("text", "out", "same", "text: 2 files, none of them PNG, JPEG, WebP"),
        ("in", "in", "same", "the same folder"),
        ("in/a.png", "in/a.png", "same", "would overwrite an input"),
        ("in/a.png", "b.gif", "same", r"cannot write \.gif"),
        ("in/a.png", "b.png", "jpg", "contradicts --format jpg"),
        ("in/a.png", "b.tif", "jpg", "contradicts --format jpg"),
        ("text/1.txt", "out", "same", "not a PNG, JPEG, WebP.* file"),
        ("in", "text/1.txt", "same", r"1\.txt: cannot create this folder"),
        ("in", "text/1.txt/out", "same", "out: cannot create this folder"),
        ("nested/nested", "nested", "same", "would overwrite an input"),
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
        convert_folder(tmp_path / source, tmp_path / destination, engine, Conversion(output_format=output_format))
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_a_result_never_replaces_its_picture(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, image_HWC: np.ndarray
) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(source / "a.png")
    for report in (
        convert_folder(source / "a.png", source, engine),
        convert_folder(source, tmp_path / "out", engine, existing="overwrite"),
    ):
        (failure,) = report.failed
        assert (
            failure.reason
            == f"{source / 'a.png'}: its result would overwrite it; choose another folder or another --name"
        )
    assert np.array_equal(read_picture(source / "a.png").rgb_HWC, image_HWC)
    assert convert_folder(source / "a.png", source, engine, Conversion(name="{stem}-{model}")).converted == 1


def test_permission_denied(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # chmod does not stop root
    with pytest.raises(DataError, match="permission denied"):
        convert_folder(make_pictures(tmp_path / "in", ["a.png"]), tmp_path / "out", engine)


@pytest.mark.parametrize("locked", ["sub", "in"])
def test_folder_that_cannot_be_listed(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "sub/b.png"])
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    if locked == "in":
        with pytest.raises(DataError, match=r"in: cannot be listed \(Permission denied\)"):
            convert_folder(source, tmp_path / "out", engine)
        return
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.converted == 1
    reason = f"{source / 'sub'}: cannot be listed (Permission denied); check its permissions"
    assert [failure.reason for failure in report.failed] == [reason]


def test_out_inside_in(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "sub/b.png"])
    for converted in (2, 0):
        assert convert_folder(source, source / "sub" / "out", engine).converted == converted
    assert tree(source / "sub" / "out") == ["a.png", "sub/b.png"]


def test_links(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"])
    (source / "loop").symlink_to(source, target_is_directory=True)
    (source / "link.png").symlink_to(source / "a.png")
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    make_pictures(tmp_path / "elsewhere", ["b.png", "deep/c.png"])
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for name in ("one", "two"):
        (source / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (source / "parent").symlink_to(tmp_path, target_is_directory=True)
    make_pictures(source / "zz", ["d.png"])
    (source / "before zz").symlink_to(source / "zz", target_is_directory=True)
    make_pictures(source / ".store" / "annex", ["e.png"])
    (source / "annexed").symlink_to(source / ".store" / "annex", target_is_directory=True)
    report = convert_folder(source, tmp_path / "out", engine)
    assert report.failed == ()
    found = ["a.png", "annexed/e.png", "link.png", "one/b.png", "one/deep/c.png", "zz/d.png"]
    assert tree(tmp_path / "out") == found
    left = {name: reason for note in report.notes for name, _, reason in [note.partition(": left out: ")]}
    above, again = "a link that leads back to a folder it is in", "another link has led to this folder already"
    assert left == {
        str(source / "loop"): above,
        str(source / "parent"): above,
        str(source / "before zz"): f"a link to {source / 'zz'}, which is used anyway",
        str(source / "one" / "deep" / "up"): again,
        str(source / "two"): again,
    }
    (tmp_path / "same").symlink_to(source, target_is_directory=True)
    with pytest.raises(DataError, match="the same folder"):
        convert_folder(source, tmp_path / "same", engine)


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
    budget = _MemoryBudget(10)
    with budget.hold(99):
        pass
    with pytest.raises(ImageError), budget.hold(10):
        raise ImageError("freed on the way out")
    with budget.hold(10):
        pass


def test_pictures_that_do_not_fit_are_converted_in_bands(tmp_path: Path, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png", "b.jpg"])
    spec = dataclasses.replace(INVERT, receptive_field=1)
    engine = Engine(save_model(tmp_path / "m.onnx", spec), device="cpu")
    assert convert_folder(source, tmp_path / "whole", engine).converted == 2
    engine.memory_bytes = 20 * 24 * 39  # less than one takes
    assert engine.max_pixels < 24 * 40
    report = convert_folder(source, tmp_path / "bands", engine)
    assert report.failed == ()
    for name in ("a.png", "b.jpg"):
        whole, bands = (read_picture(tmp_path / folder / name).rgb_HWC.astype(int) for folder in ("whole", "bands"))
        assert np.abs(whole - bands).max() <= (0 if name == "a.png" else 8)


def test_larger_pictures_wait_for_memory(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.conversion.worker.SMALL_PIXELS", 100)
    source = make_pictures(tmp_path / "in", [f"{number}.png" for number in range(6)])
    assert convert_folder(source, tmp_path / "out", engine, workers=4).converted == 6


def test_what_the_user_should_know_is_said(tmp_path: Path, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", ["a.png"])
    Image.new("RGB", (600, 500)).save(source / "b.jpg", icc_profile=b"no profile")
    # It wants to see a picture whole, and may not.
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu", tile=256)
    report = convert_folder(source, tmp_path / "out", engine)
    (outcome,) = report.noted
    assert all(note.startswith(f"{source / 'b.jpg'}: ") for note in outcome.notes)
    assert "profile" in outcome.notes[0]
    assert "windows were blended" in outcome.notes[1]
    assert re.search(r"neighbouring pixels differ \d\.\d\d times as much as elsewhere", outcome.notes[1])
