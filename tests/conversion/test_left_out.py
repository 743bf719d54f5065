"""What is a picture is decided by content where the suffix does not tell; what is none is counted, not passed over."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import INVERT, save_model
from made_files import saved, smooth
from PIL import Image

from translate.cli.main import main
from translate.conversion.folder import convert_folder
from translate.data.layouts import list_files, list_pictures
from translate.errors import DataError
from translate.inference.engine import Engine

IMAGE = Image.fromarray(smooth())
PICTURES = {
    "a.jfif": saved(IMAGE, "JPEG"),
    "b.jp2": saved(IMAGE, "JPEG2000"),
    "c.TGA": saved(IMAGE, "TGA"),
    "d.ppm": saved(IMAGE, "PPM"),
    "no suffix": saved(IMAGE, "PNG"),
    "scan.001": saved(IMAGE, "TIFF"),
    "scan.002": saved(IMAGE, "JPEG"),
}
OTHERS = {
    "a.txt": b"a caption",
    "b.txt": saved(IMAGE, "PNG"),
    "photo.nef": saved(IMAGE, "TIFF"),
    "unknown.dat": b"\0" * 99,
    "empty": b"",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}
NOTE = "6 files were not pictures that can be read here: 2 .txt, 1 without suffix, 1 .dat, 1 .nef, 1 .svg"
RESULTS = ["a.jfif", "b.png", "c.png", "d.png", "no suffix.png", "scan.001.png", "scan.002.png"]


def fill(folder: Path) -> Path:
    folder.mkdir()
    for name, data in (PICTURES | OTHERS).items():
        (folder / name).write_bytes(data)
    (folder / ".hidden.dat").write_bytes(b"")
    return folder


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")


def test_a_folder(tmp_path: Path, engine: Engine) -> None:
    report = convert_folder(fill(tmp_path / "in"), tmp_path / "out", engine)
    assert report.failed == ()
    assert report.notes == (NOTE,)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".") == RESULTS


def test_an_archive(tmp_path: Path, engine: Engine) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name, data in (PICTURES | OTHERS).items():
            archive.writestr(name, data)
    report = convert_folder(tmp_path / "in.zip", tmp_path / "out", engine)
    assert report.notes == (NOTE,)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".") == RESULTS


def test_files_that_the_user_leaves_out_are_not_counted(tmp_path: Path, engine: Engine) -> None:
    source = fill(tmp_path / "in")
    report = convert_folder(source, tmp_path / "out", engine, include=["*.jp2", "*.nef"])
    assert (report.converted, report.notes) == (1, ("1 file was not a picture that can be read here: 1 .nef",))
    report = convert_folder(source, tmp_path / "out", engine, exclude=["*.txt", "empty", "*.svg"])
    assert report.notes == ("2 files were not pictures that can be read here: 1 .dat, 1 .nef",)


@pytest.mark.parametrize("name", ["no suffix", "scan.001", "b.txt"])
def test_a_single_file_is_told_by_its_content(tmp_path: Path, engine: Engine, name: str) -> None:
    report = convert_folder(fill(tmp_path / "in") / name, tmp_path / "out.png", engine)
    assert (report.converted, report.notes) == (1, ())
    with Image.open(tmp_path / "out.png") as found:
        assert np.abs(255 - np.asarray(found).astype(int) - smooth()).max() <= 12


def test_a_single_file_that_is_no_picture(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(DataError, match=r"unknown\.dat: not a PNG, JPEG, .* file"):
        convert_folder(fill(tmp_path / "in") / "unknown.dat", tmp_path / "out.png", engine)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_says_it(tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    arguments = ["convert", str(fill(tmp_path / "in")), str(tmp_path / "out"), "--model", str(engine.path)]
    assert main([*arguments, *(["--json"] if as_json else [])]) == 0
    output = capsys.readouterr()
    if as_json:
        assert json.loads(output.out.splitlines()[-1])["notes"] == [NOTE]
    else:
        assert f"note: {NOTE}\n" in output.err
    assert main([*arguments, "--dry-run"]) == 0
    assert f"note: {NOTE}\n" in capsys.readouterr().err


def test_a_jpeg_named_png_is_read(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(saved(IMAGE, "JPEG"))
    assert convert_folder(tmp_path / "in", tmp_path / "out", engine).converted == 1


def test_training_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(tmp_path / "in")
    np.save(folder / "array.npy", smooth())
    listing = list_files(folder, layout="photos", paired=True, makes_source=True)
    assert [path.name for path in listing.targets] == sorted([*PICTURES, "array.npy"])
    assert listing.left_out == (NOTE,)
    assert list_pictures(folder) == list(listing.targets)
    arguments: list[Any] = ["data", "check", str(folder), "--task", "super-resolution"]
    main(arguments)
    assert f"  note: {NOTE}\n" in capsys.readouterr().out


def test_cloud_storage(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for name, data in (PICTURES | OTHERS).items():
        store.pipe_file(f"/left-out/in/{name}", data)
    asked: list[str] = []
    cat_file = type(store).cat_file

    def counting(self: Any, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        asked.extend([path] if end is not None else [])
        return cat_file(self, path, start, end, **options)

    monkeypatch.setattr(type(store), "cat_file", counting)
    report = convert_folder("memory://left-out/in", "memory://left-out/out", engine)
    assert (report.failed, report.notes) == ((), (NOTE,))
    assert (
        sorted(path.rpartition("/")[2] for path in store.find("/left-out/out") if "/.translate" not in path) == RESULTS
    )
    names = [path.rpartition("/")[2] for path in asked]
    assert sorted(names) == ["empty", "no suffix", "scan.001", "scan.002", "unknown.dat"]  # each is asked for once
    assert convert_folder("memory://left-out/in/no suffix", "memory://left-out/one.png", engine).converted == 1
