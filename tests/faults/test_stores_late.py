"""A store in the network that answers late, never, or with an error."""

import socket
import socketserver
import threading
from collections.abc import Generator
from pathlib import Path
from typing import cast

import pytest
import s3fs
from PIL import Image
from stores import BUCKET, contents, names, served

from translate.conversion import location
from translate.conversion.folder import Summary, convert_folder
from translate.errors import DataError
from translate.inference.engine import Engine

NAMES = {f"{letter}.png" for letter in "abcd"}
LATE_SECONDS = 0.3
NEVER_SECONDS, PATIENCE_SECONDS = 4, 120
"""How long the client waits for an answer that never comes, and for those that a busy machine may give late."""


class Gateway(socketserver.ThreadingTCPServer):
    """Stands between the client and the store. `trouble`: name of a file -> what happens to requests for it."""

    daemon_threads, block_on_close = True, False

    def __init__(self, store: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.store = store
        self.trouble: dict[str, str] = {}
        self.over = threading.Event()

    def happens_to(self, request: bytes) -> str:
        """What happens to this request, which begins with a line such as `GET /bucket/in/a.png HTTP/1.1`."""
        method, _, rest = request.partition(b" ")
        if method == b"HEAD":  # whether it is there; what is looked at is reading and writing
            return ""
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        known = method in (b"GET", b"PUT", b"DELETE", b"POST")
        return next((what for name, what in self.trouble.items() if known and path.endswith(name)), "")


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        gateway = cast(Gateway, self.server)
        with socket.create_connection(gateway.store) as store:
            threading.Thread(target=self._answer, args=(store,), daemon=True).start()
            try:
                while data := self.request.recv(1 << 16):
                    what = gateway.happens_to(data)
                    if what == "never":
                        gateway.over.wait(60)
                        return
                    if what == "late":
                        gateway.over.wait(LATE_SECONDS)
                    if what == "error":
                        self.request.sendall(
                            b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        )
                        return
                    store.sendall(data)
            except OSError:
                return

    def _answer(self, store: socket.socket) -> None:
        try:
            while data := store.recv(1 << 16):
                self.request.sendall(data)
        except OSError:
            return


@pytest.fixture
def patience() -> float:
    """Tests in which nothing is left unanswered can wait long."""
    return PATIENCE_SECONDS


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, patience: float) -> Generator[Gateway]:
    import os

    with served():
        host, _, port = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://").partition(":")
        with Gateway((host, int(port))) as gateway:
            threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{gateway.server_address[1]}")
            monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
            for name, value in {"retries": 1, "read_timeout": patience, "connect_timeout": PATIENCE_SECONDS}.items():
                monkeypatch.setattr(s3fs.S3FileSystem, name, value)
            monkeypatch.setattr(location, "PATIENCE_SECONDS", patience)
            s3fs.S3FileSystem.clear_instance_cache()
            yield gateway
            gateway.over.set()
            gateway.shutdown()
            s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for level, name in enumerate(sorted(NAMES)):
        Image.new("RGB", (16, 16), (50 * level, 0, 0)).save(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def engine(invert_model: Path) -> Engine:
    return Engine(invert_model, threads=1, device="cpu")


def convert(source: object, out: object, engine: Engine) -> Summary:
    return convert_folder(str(source), str(out), engine, workers=4)


@pytest.mark.parametrize(("what", "patience"), [("never", NEVER_SECONDS), ("error", PATIENCE_SECONDS)])
def test_what_is_never_answered_is_one_line_and_made_later(
    gateway: Gateway, source: Path, tmp_path: Path, engine: Engine, what: str
) -> None:
    expected = convert(source, tmp_path / "out", engine)
    assert expected.converted == 4
    gateway.trouble = {"out/b.png": what}
    report = convert(source, f"s3://{BUCKET}/out", engine)
    assert report.converted == 3
    (failure,) = report.failed
    assert str(failure.reason).startswith(f"{source / 'b.png'}: s3://{BUCKET}/out/b.png: cannot be written (")
    assert str(failure.reason).endswith("; check the address and the network, then run the same command again")
    assert "\n" not in str(failure.reason)
    gateway.trouble = {}
    assert names(f"s3://{BUCKET}/out") == NAMES - {"b.png"}
    report = convert(source, f"s3://{BUCKET}/out", engine)
    assert (report.converted, report.skipped, report.failed) == (1, 3, ())
    gateway.trouble = {"out/c.png": what}  # now to be read
    report = convert(f"s3://{BUCKET}/out", tmp_path / "back", engine)
    assert report.converted == 3
    assert str(report.failed[0].reason).startswith(f"s3://{BUCKET}/out/c.png: cannot be read (")
    gateway.trouble = {}
    assert contents(f"s3://{BUCKET}/out") == contents(str(tmp_path / "out"))


def test_late_answers_change_nothing(gateway: Gateway, source: Path, tmp_path: Path, engine: Engine) -> None:
    gateway.trouble = {"png": "late", "jsonl": "late"}
    assert convert(source, f"s3://{BUCKET}/out", engine).converted == 4
    report = convert(source, f"s3://{BUCKET}/out", engine)
    assert (report.converted, report.skipped) == (0, 4)
    assert convert(f"s3://{BUCKET}/out", tmp_path / "back", engine).converted == 4


@pytest.mark.parametrize("patience", [NEVER_SECONDS])
def test_a_manifest_that_is_never_answered_ends_the_run_with_one_line(
    gateway: Gateway, source: Path, engine: Engine
) -> None:
    gateway.trouble = {"jsonl": "never"}
    message = rf"^s3://{BUCKET}/out: cannot be written \(.*; check the address and the network"
    with pytest.raises(DataError, match=message) as caught:
        convert(source, f"s3://{BUCKET}/out", engine)
    assert "\n" not in str(caught.value)
    gateway.trouble = {}
    assert names(f"s3://{BUCKET}/out") == set()
