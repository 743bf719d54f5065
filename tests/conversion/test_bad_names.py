"""Names that some file system, archive or output cannot hold, and files that are none."""

import io
import json
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import INVERT, save_model
from test_convert import engine as engine
from test_convert import tree

from translate.cli.main import main
from translate.conversion.folder import convert_folder
from translate.conversion.naming import LONGEST, ResultFolders, allowed_name, result_names, with_number
from translate.conversion.sources import is_safe_name
from translate.conversion.worker import Conversion
from translate.conversion.zip_names import member_name
from translate.errors import DataError
from translate.inference.engine import Engine

MakePictures = Callable[[Path, Sequence[str]], Path]

LATIN = os.fsdecode(b"caf\xe9.png")
POSIX = pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")


def test_long_names_are_cut_and_stay_the_same() -> None:
    fits = "a" * 251
    assert allowed_name(fits, ".png") == f"{fits}.png"
    first, second = (allowed_name(f"{fits}{end}", ".png") for end in "bc")
    assert first == f"{'a' * 242}~6af10e10.png"
    assert first != second
    for stem in ("画" * 100, "👩‍👩‍👧" * 20, "e\u0301" * 200, "\udce9" * 300, "\ud83d" * 300):
        name = allowed_name(stem, ".png")
        assert len(os.fsencode(name)) <= LONGEST
        name.encode()  # text
    assert allowed_name("\udce9" * 251, ".png") == "\udce9" * 251 + ".png"  # as many bytes as it has on disk
    assert len(with_number(first, 12)) == LONGEST
    assert with_number(first, 12).endswith("-12.png")
    assert ResultFolders().of(f"x/{'b' * 300}/..").split("/")[::2] == ["x", ".."]


def test_names_on_windows() -> None:
    for name, ending in (("con", ".png"), ("Com1.old", ".png"), ("a:b?", ".png"), ("end. ", ""), ("nul", "")):
        found = allowed_name(name, ending, windows=True)
        assert found not in (name + ending, allowed_name(f"{name}x", ending, windows=True))
        assert allowed_name(name, ending, windows=False) == name + ending
        assert "~" in found
        assert not set(found) & set(':*?"<>|')
    assert allowed_name("end. ", ".png", windows=True) == "end. .png"
    assert allowed_name("..", windows=True) == ".."
    assert [is_safe_name("a:b", windows=windows) for windows in (True, False)] == [False, True]


def test_composed_and_decomposed_accents_are_one_name_on_some_disks() -> None:
    found = result_names(["e\u0301.png", "\u00e9.png"], lambda _: ".png", "{stem}", lambda _: {})
    assert found == ["e\u0301.png", "\u00e9.png.png"]


def test_fields_from_a_model_cannot_leave_the_folder() -> None:
    found = result_names(["a.png"], lambda _: ".png", "{stem}-{model}", lambda _: {"model": "../x\n:y"})
    assert found == ["a-..-x--y.png"]


@POSIX
def test_a_result_that_is_too_long(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    source = make_pictures(tmp_path / "in", [f"{'a' * 251}.png", "b.png"])
    how = Conversion(name="{stem}-{model}")
    for converted in (2, 0):
        report = convert_folder(source, tmp_path / "out", engine, how)
        assert (report.converted, report.failed) == (converted, ())
    assert max(map(len, tree(tmp_path / "out"))) == LONGEST
    for number in (1, 2):
        (source / "b.png").touch()
        os.utime(tmp_path / "in" / f"{'a' * 251}.png", ns=(number, number))
        report = convert_folder(source, tmp_path / "out", engine, Conversion(quality=number), existing="rename")
        assert (report.converted, report.failed) == (2, ())
    assert convert_folder(source, tmp_path / f"{'z' * 251}.zip", engine, how).failed == ()


@pytest.mark.parametrize("out", [f"{'z' * 252}.zip", f"{'z' * 252}.png", f"{'z' * 256}/out"])
def test_a_result_whose_own_name_is_too_long_is_refused(
    tmp_path: Path, make_pictures: MakePictures, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, model = make_pictures(tmp_path / "in", ["a.png"]), save_model(tmp_path / "m.onnx", INVERT)
    given = source / "a.png" if out.endswith(".png") else source
    assert main(["convert", str(given), str(tmp_path / out), "--model", str(model)]) == 2
    assert "a name of more than 255 bytes; choose a shorter one\n" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / ("q" * 300)), str(tmp_path / "out"), "--model", str(model)]) == 2
    assert "File name too long; use another" in capsys.readouterr().err


@POSIX
@pytest.mark.parametrize("name", [LATIN, "new\nline\x1b[31m.png", "back\\slash.png", "a:b.png", "CON.png", "dot. .png"])
def test_an_odd_name(
    tmp_path: Path, make_pictures: MakePictures, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, model = make_pictures(tmp_path / "in", ["a.png"]), save_model(tmp_path / "m.onnx", INVERT)
    (source / "a.png").rename(source / name)
    (source / f"bad {name}").write_text("no picture")
    command = ["convert", str(source), str(tmp_path / "out"), "--model", str(model)]
    assert main([*command, "--dry-run"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(command) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert tree(tmp_path / "out") == [name]
    (source / f"bad {name}").unlink()
    assert main(["convert", str(source), str(tmp_path / "out.zip"), "--model", str(model)]) == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["café.png" if name == LATIN else name]
    assert main(["convert", str(tmp_path / "out.zip"), str(tmp_path / "back"), "--model", str(model)]) == 0
    assert main(["data", "check", str(source), "--task", "sketch-to-photo"]) in (0, 1)
    assert main(["data", "check", str(source), "--task", "sketch-to-photo", "--json"]) in (0, 1)


@POSIX
@pytest.mark.parametrize("external", [False, True])
def test_a_model_in_a_folder_whose_name_is_no_text(
    tmp_path: Path, make_pictures: MakePictures, external: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = make_pictures(tmp_path / "in", ["a.png"]), tmp_path / os.fsdecode(b"mod\xe8le")
    folder.mkdir()
    for path in [save_model(tmp_path / "m.onnx", INVERT, external=external), *tmp_path.glob("*.bin")]:
        path.rename(folder / path.name)
    monkeypatch.chdir(folder)
    for model in (folder / "m.onnx", Path("m.onnx")):
        # Weights in a second file are refused here as elsewhere.
        command = ["convert", str(source), str(folder / "out"), "--model", str(model), "--device", "cpu"]
        assert main(command) == (2 if external else 0)


@POSIX
def test_what_is_no_file_is_named_and_left_out(
    tmp_path: Path, make_pictures: MakePictures, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, model = make_pictures(tmp_path / "in", ["a.png"]), save_model(tmp_path / "m.onnx", INVERT)
    os.mkfifo(source / "b.png")
    (source / "c.png").symlink_to("/dev/zero")
    (source / "d.png").symlink_to(source / "nothing")
    (source / "f.png").symlink_to(source / "f.png")
    monkeypatch.chdir(source)  # paths of sockets are short
    with socket.socket(socket.AF_UNIX) as held:
        held.bind("e.png")
        command = ["convert", str(source), str(tmp_path / "out"), "--model", str(model)]
        assert main(command) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[:3] == [
            f"note: {source / 'b.png'}: left out: a named pipe, not a file",
            f"note: {source / 'c.png'}: left out: a device, not a file",
            f"note: {source / 'e.png'}: left out: a socket, not a file",
        ]
        assert [line.partition(": ")[0] for line in lines[3:]] == [str(source / "d.png"), str(source / "f.png")]
        assert main([*command, "--json"]) == 1
        assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["notes"]) == 3
        assert main(["convert", str(source / "b.png"), *command[2:]]) == 2
        assert "b.png: neither a file nor a folder" in capsys.readouterr().err


def packed(path: Path, *members: tuple[bytes, int, bytes], data: bytes = b"") -> Path:
    """An archive of members (name, flags, extra field) as they are."""
    body, listed = io.BytesIO(), io.BytesIO()
    for name, flags, extra in members:
        facts = struct.pack(
            "<HHHHIIIHH", flags, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), len(extra)
        )
        start = body.tell()
        body.write(b"PK\3\4" + struct.pack("<H", 20) + facts + name + extra + data)
        listed.write(b"PK\1\2" + struct.pack("<HH", 20, 20) + facts + struct.pack("<HHHII", 0, 0, 0, 0, start))
        listed.write(name + extra)
    size, start = len(listed.getvalue()), body.tell()
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), size, start, 0)
    path.write_bytes(body.getvalue() + listed.getvalue() + b"PK\5\6" + end)
    return path


def info_zip(raw: bytes, name: str) -> bytes:
    data = b"\1" + struct.pack("<I", zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x5455, 1) + b"\0" + struct.pack("<HH", 0x7075, len(data)) + data


@pytest.mark.parametrize(
    ("raw", "flags", "extra", "expected"),
    [
        (b"photos\\a.png", 0, b"", "photos/a.png"),
        ("写真.png".encode("cp932"), 0, b"", "写真.png"),
        ("表/あい.png".encode("cp932"), 0, b"", "表/あい.png"),  # 表 ends with the byte of a backslash
        ("日本語\\\uff21\uff22.png".encode("cp932"), 0, b"", "日本語/\uff21\uff22.png"),
        ("写真.png".encode(), 0, b"", "写真.png"),  # as macOS packs
        ("写真.png".encode(), 0x800, b"", "写真.png"),
        ("Größe möbel.png".encode("cp437"), 0, b"", "Größe möbel.png"),
        ("Müller é.png".encode("cp437"), 0, b"", "Müller é.png"),
        (b"?.png", 0, info_zip(b"?.png", "ж.png"), "?.png"),  # ASCII is never meant otherwise
        (b"\x8d.png", 0, info_zip(b"\x8d.png", "ж.png"), "ж.png"),
        (b"\x8d.png", 0, info_zip(b"another name", "ж.png"), "ì.png"),
        *((f"{word}.png".encode("cp437"), 0, b"", f"{word}.png") for word in ("Élève", "créée", "fête à Nîmes")),
        (b"C:\\photos\\a.png", 0, b"", "photos/a.png"),
        (b"//server/a.png", 0, b"", "server/a.png"),
        (b"./x//a.png", 0, b"", "x/a.png"),
        (b"x\\..\\..\\a.png", 0, b"", "x/../../a.png"),
        (b"folder.png\\", 0, b"", ""),
        (b"a.png\0b", 0, b"", "a.png"),
    ],
)
def test_names_in_archives(tmp_path: Path, raw: bytes, flags: int, extra: bytes, expected: str) -> None:
    with zipfile.ZipFile(packed(tmp_path / "a.zip", (raw, flags, extra))) as archive:
        assert member_name(archive.infolist()[0]) == expected


def test_an_archive_with_every_kind_of_name(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    data = (make_pictures(tmp_path / "in", ["a.png"]) / "a.png").read_bytes()
    names = [b"x\\a.png", b"..\\up.png", b"x/\xff\xfe.png", b"x/" + b"n" * 300 + b".png", b"y" * 300 + b"/b.png"]
    members = [(name, 0x800 if b"\xff" in name else 0, b"") for name in [*names, b"x/a.png"]]
    archive = packed(tmp_path / "in.zip", *members, data=data)
    report = convert_folder(archive, tmp_path / "out", engine)
    failed = {failure.source.removeprefix(f"{archive}/"): failure.reason for failure in report.failed}
    assert set(failed) == {"../up.png", "x/\xa0■.png"}
    assert "outside the archive" in str(failed["../up.png"])
    assert "cannot be unpacked" in str(failed["x/\xa0■.png"])
    found = tree(tmp_path / "out")
    assert report.converted == len(found) == 3  # of two members with one name there is one
    assert convert_folder(archive, tmp_path / "out", engine).skipped == 3
    assert not (tmp_path / "up.png").exists()


def test_links_in_archives_are_left_out(tmp_path: Path, engine: Engine, make_pictures: MakePictures) -> None:
    picture = make_pictures(tmp_path / "in", ["a.png"]) / "a.png"
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(picture, "a.png")
        link = zipfile.ZipInfo("b.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    report = convert_folder(tmp_path / "in.zip", tmp_path / "out", engine)
    assert (report.converted, report.failed) == (1, ())
    assert report.notes == (f"{tmp_path}/in.zip/b.png: left out: a link or a device, not a file",)


def test_damaged_archives_are_refused(tmp_path: Path, engine: Engine) -> None:
    archive = packed(tmp_path / "a.zip", (b"\xff", 0x800, b""))
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"not a readable zip archive"):
        convert_folder(archive, tmp_path / "out", engine)
