"""Downloads from a server on this machine: the whole file, or one line and no more."""

import hashlib
import socket
from pathlib import Path

import pytest
from web_server import Answer, answering

from translate.adding import download as downloads
from translate.adding.download import check_address, download, read_address
from translate.errors import ModelError

BODY = bytes(range(256)) * 2000
SHA = hashlib.sha256(BODY).hexdigest()


def to(path: str) -> Answer:
    return Answer(status=302, headers={"Location": path})


ANSWERS = {
    "/whole": Answer(BODY),
    "/no-length": Answer(BODY, length=None),
    "/a%20b": Answer(BODY),
    "/page": Answer(b"<html>", content_type="text/html; charset=utf-8"),
    "/short": Answer(BODY, length=len(BODY) + 1),
    "/empty": Answer(b""),
    "/login": Answer(status=403),
    "/broken": Answer(status=503),
    "/once": to("/whole"),
    "/round": to("/round"),
    "/insecure": to("http://192.0.2.1/file"),
    "/local": to("file:///etc/passwd"),
} | {f"/hop{number}": to(f"/hop{number + 1}") for number in range(9)}  # fmt: skip


@pytest.mark.parametrize("path", ["/whole", "/no-length", "/once", "/a b"])
def test_the_whole_file(tmp_path: Path, path: str) -> None:
    seen: list[tuple[int, int | None]] = []
    with answering(ANSWERS) as address:
        progress = lambda done, of: seen.append((done, of))  # noqa: E731
        download(address + path, tmp_path / "a", sha256=SHA.upper(), on_progress=progress)
        assert read_address(address + path, len(BODY)) == BODY
    assert (tmp_path / "a").read_bytes() == BODY
    assert seen[-1] == (len(BODY), None if path == "/no-length" else len(BODY))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/none", "the server says 404 Not Found; check the address"),
        ("/login", "the server says 403 .*; it may need a login: download the file in a browser"),
        ("/broken", "the server says 503 .*; try again later"),
        ("/page", "answers with a web page, expected the file of a model; give the address of the file"),
        ("/short", r"only 512,000 of 512,001 bytes arrived; try again"),
        ("/empty", "answers with an empty file, expected a model; check the address"),
        ("/round", "redirects too often"),
        ("/hop0", "redirects too often, expected are at most 5; give the address of the file itself"),
        ("/insecure", "redirects to http://192.0.2.1/file: http is refused, expected https"),
        ("/local", "file:///etc/passwd"),
    ],
)
def test_what_goes_wrong(tmp_path: Path, path: str, said: str) -> None:
    with answering(ANSWERS) as address, pytest.raises(ModelError, match=said) as caught:
        download(address + path, tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_another_file_than_expected(tmp_path: Path) -> None:
    with answering(ANSWERS) as address, pytest.raises(ModelError, match=f"is {SHA}, expected 0+; it is another"):
        download(f"{address}/whole", tmp_path / "a", sha256="0" * 64)


@pytest.mark.parametrize("path", ["/whole", "/no-length"])
def test_too_large(tmp_path: Path, path: str) -> None:
    """Whether the server says so before, or it shows while it is read."""
    with answering(ANSWERS) as address:
        with pytest.raises(ModelError, match="larger than 0 MiB, the most that is read; check"):
            download(address + path, tmp_path / "a", most=len(BODY) - 1)
        with pytest.raises(ModelError, match="larger than 0 MiB"):
            read_address(address + path, len(BODY) - 1)
        download(address + path, tmp_path / "b", most=len(BODY))


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.onnx"
        monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.1)
        with pytest.raises(ModelError, match=r"cannot be read \(timed out\); check the address and the network, or"):
            download(url, tmp_path / "a")
    with pytest.raises(ModelError, match=r"cannot be read \(.*refused.*\); check the address and the network"):
        download(url, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "came_from", "said"),
    [
        ("http://example.org/a.onnx", "", "http is refused, expected https"),
        ("ftp://example.org/a.onnx", "", "ftp is refused"),
        ("file:///etc/passwd", "", "not the address of a file"),
        ("https:///a.onnx", "", "not the address of a file"),
        ("https://[1/a.onnx", "", "not the address of a file"),
        ("https://example.org:x/a.onnx", "", "not the address of a file"),
        ("https://anna:secret@example.org/a.onnx", "", "example.org: the address has a password in it"),
        ("http://example.org/a", "https://example.org/", "redirects to http://example.org/a: http is refused"),
        ("http://127.0.0.1/a", "https://example.org/", "redirects to this machine .*, which is refused"),
        ("https://localhost/a", "https://example.org/", "redirects to this machine"),
        ("http://0.0.0.0/a", "https://example.org/", "redirects to this machine"),
        ("http://[::1]/a", "https://example.org/", "redirects to this machine"),
    ],
)
def test_addresses_that_are_refused(url: str, came_from: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        check_address(url, came_from)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://example.org/a", "http://localhost:1/a", "http://127.0.0.1/a", "http://[::1]/a"]
)
def test_addresses_that_are_asked(url: str) -> None:
    check_address(url)
    check_address("https://cdn.example/b", url)
