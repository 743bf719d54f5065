"""What the tab "Batch" refuses, and how archives are written."""

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from test_ui_batch import add, archive, send
from test_ui_batch import png as png  # fixtures, for every test here too
from test_ui_batch import site as site
from test_ui_batch import web as web

from ui.batch import archive as zipped
from ui.batch import uploads
from ui.site import Site

# --- what is refused


@pytest.mark.parametrize(
    ("chosen", "status", "text"),
    [
        ({"model": 2}, 400, ""),
        ({"model": "x"}, 400, ""),
        ({"format": "exe"}, 400, ""),
        ({"label": "street"}, 422, "double was trained without labels; omit the label."),
        ({"detail": "x", "model": 1}, 422, "detail is 'x'; give a number."),
        ({"detail": "nan", "model": 1}, 422, "detail is nan; give 0 (most faithful) to 1 (sharpest)."),
        ({"strength": "0.5"}, 422, "double makes pictures larger, so results cannot be mixed with them;"),
        ({"style": "-3", "model": 1}, 422, "the style is -3; give a whole number from 0"),
    ],
)
def test_choices_that_the_model_does_not_have(
    chosen: dict[str, Any], status: int, text: str, site: Site, web: TestClient
) -> None:
    answer = web.post("/batch/jobs", params={"model": 0, **chosen})
    assert (answer.status_code, answer.text[: len(text)]) == (status, text)
    assert site.jobs is not None
    assert list(site.jobs.folder.glob("?" * 32)) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.png", "leads to another folder"),
        ("sub/../../a.png", "leads to another folder"),
        ("", "leads to another folder"),
        ("/a.png", "is an absolute path"),
        ("\\a.png", "is an absolute path"),
        ("C:a.png", "is an absolute path"),
        ("sub\\..\\..\\a.png", "leads to another folder"),
        ("nul.png", "has the name of a device"),
        ("COM1/a.png", "has the name of a device"),
        ("a\0.png", "has a name that no disk takes"),
        ("ä" * 128 + ".png", "has a name that no disk takes"),
        (".hidden.png", "is hidden"),
        ("sub/.hidden/a.png", "is hidden"),
    ],
)
def test_names_that_are_refused(name: str, reason: str, site: Site, web: TestClient, png: bytes) -> None:
    answer = send(web, add(web), name, png)
    assert answer.status_code == 422
    assert answer.text.endswith(f" {reason}; rename it.")
    assert site.jobs is not None
    assert [path for path in site.jobs.folder.rglob("*") if path.suffix == ".png"] == []


def member(name: str, content: bytes = b"x", mode: int = 0, flags: int = 0) -> bytes:
    """An archive with one member of this name, mode and flags."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        info = zipfile.ZipInfo("x" * len(name.encode()))
        info.external_attr = mode << 16
        packed.writestr(info, content)
    raw = file.getvalue().replace(b"x" * len(name.encode()), name.encode())
    place = raw.index(b"PK\1\2") + 8
    return raw[:place] + struct.pack("<H", flags) + raw[place + 2 :]


def claiming(count: int) -> bytes:
    """An archive whose only member claims to have `count` bytes."""
    raw = member("a.png", b"yyyy")
    place = raw.index(b"PK\1\2") + 24
    return raw[:place] + struct.pack("<I", count) + raw[place + 4 :]


LINK, PIPE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o666


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no archive", "b.zip: not a readable zip archive"),
        (member("a.png")[:-30], "b.zip: not a readable zip archive"),
        (member("../a.png"), "b.zip: ../a.png leads to another folder; rename it."),
        (member("..\\a.png"), "b.zip: ..\\a.png leads to another folder"),
        (member("/etc/a.png"), "b.zip: /etc/a.png is an absolute path"),
        (member("C:\\a.png"), "b.zip: C:\\a.png is an absolute path"),
        (member("con/a.png"), "b.zip: con/a.png has the name of a device"),
        (member("a.png", mode=LINK), "b.zip: a.png is a link or a device, not a file"),
        (member("a.png", mode=PIPE), "b.zip: a.png is a link or a device, not a file"),
        (member("a.png", flags=1), "b.zip: a.png is encrypted"),
        (claiming(600 << 20), "b.zip: a.png is larger than 0.5 GB"),
        (archive({f"{number}.png": b"" for number in range(21)}), "b.zip: 21 files are too many; pack up to 20"),
        (archive({"a.png": b"0" * 3000, "b.png": b"0" * 3000}), "b.zip: 0.0 GB unpacked; pack up to"),
        (archive({"n" * 200 + str(number): b"" for number in range(20)}), "b.zip: too many files; pack up to 20"),
    ],
)
def test_archives_that_are_refused(
    content: bytes, reason: str, site: Site, web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 20)
    monkeypatch.setattr(uploads, "MOST_UNPACKED_BYTES", 5000)
    monkeypatch.setattr(uploads, "MOST_LIST_BYTES", 4000)
    answer = send(web, add(web), "b.zip", content)
    assert (answer.status_code, answer.text[: len(reason)]) == (422, reason)
    assert site.jobs is not None
    assert list(site.jobs.folder.rglob("*.zip")) == []


def test_large_archives_are_recognised_by_their_last_record(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "LARGE", 0)
    content = b"".join(zipped.Archive([zipped.Entry("a.png", b"x")]).chunks())
    answer = send(web, add(web), "b.zip", content)
    assert answer.text == "b.zip: too many files; pack up to 10000 into one archive, of up to 4 GB."


def test_files_that_are_refused(site: Site, web: TestClient, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    job = add(web)
    assert send(web, job, "notes.txt", b"text").text.startswith("notes.txt: not a picture that can be read; use PNG,")
    assert send(web, job, "a", png).status_code == 204, "what it is shows in its bytes"
    assert send(web, job, "b.zip", archive({})).text.startswith("Give either one zip archive, or pictures:")
    monkeypatch.setattr(uploads, "reads_films", lambda: False)
    assert send(web, job, "a.mp4", b"film").text.startswith("a.mp4: films cannot be read here;")
    monkeypatch.setattr(uploads, "MOST_FILES", 4)
    assert send(web, job, "c.png", png).status_code == 204
    assert send(web, job, "d.png", png).text.startswith("d.png: too much for one batch; give up to 4 files and 4 GB")
    monkeypatch.setattr(uploads, "KEPT_FREE_BYTES", 1 << 60)
    assert send(web, add(web), "e.png", png).text.startswith("e.png: there is no room for it on the disk")


def test_a_batch_without_pictures_is_none(site: Site, web: TestClient) -> None:
    job = add(web)
    assert send(web, job, "b.zip", archive({"notes.txt": b"text"})).status_code == 204
    answer = web.post(f"{job}/begin")
    assert answer.status_code == 422
    assert answer.text.startswith("b.zip: its files, none of them PNG,")
    assert web.post(f"{job}/begin").status_code == 404
    assert site.jobs is not None
    assert list(site.jobs.folder.glob("?" * 32)) == []


# --- the archive with the results


@pytest.mark.parametrize("large", [zipped.LARGE, 0])
def test_archives_are_read_everywhere(large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "LARGE", large)
    (tmp_path / "file").write_bytes(bytes(range(256)) * 9000)
    entries = [
        zipped.Entry("sub/ä.png", tmp_path / "file"),
        zipped.Entry("empty", b""),
        zipped.Entry(".record", b"line\n"),
    ]
    packed = zipped.Archive(entries)
    content = b"".join(packed.chunks())
    assert len(content) == packed.size
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.testzip() is None
        assert found.namelist() == ["sub/ä.png", "empty", ".record"]
        assert found.read("sub/ä.png") == (tmp_path / "file").read_bytes()
        assert {info.flag_bits & 8 for info in found.infolist()} == {0}, "checksums come first"


def test_a_file_that_has_changed_ends_the_archive(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    packed = zipped.Archive([zipped.Entry("a", tmp_path / "file")])
    (tmp_path / "file").write_bytes(b"1234")
    with pytest.raises(OSError, match="a has changed"):
        list(packed.chunks())
