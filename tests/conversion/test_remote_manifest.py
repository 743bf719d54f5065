import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from conftest import INVERT, save_model
from fsspec.implementations.memory import MemoryFileSystem
from stores import contents, names, served
from test_manifest import done

from translate.conversion.cloud.manifest import RemoteManifest
from translate.conversion.folder import convert_folder
from translate.conversion.location import Remote
from translate.conversion.manifest import parse_entry, parse_line
from translate.errors import DataError
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, write_picture

KILLS, PICTURES = 3, 60
SEED = 5
PATIENCE_SECONDS = 60.0


@pytest.fixture
def root() -> Iterator[Remote]:
    yield Remote("memory://results")
    fsspec.filesystem("memory").rm("/results", recursive=True)


def segments(root: Remote) -> list[str]:
    path = (root / ".translate").path
    return sorted(name.rpartition("/")[2] for name in root.fs.find(path))


def test_the_last_line_counts(root: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "translate.conversion.cloud.manifest.PROCESS", "zz"
    )  # comes last among those of the same number
    with RemoteManifest(root) as manifest:
        manifest.add(done("a.png"))
        manifest.add(done("ü/画像.png", source="\udcff.png"))  # names may be no UTF-8
    monkeypatch.setattr("translate.conversion.cloud.manifest.PROCESS", "aa")
    with RemoteManifest(root) as manifest:
        manifest.add(done("a.png", size=3))
        assert manifest.find("a.png") == done("a.png", size=3)
    with RemoteManifest(root, writable=False) as manifest:
        assert manifest.find("a.png") == done("a.png", size=3)
        assert manifest.find("ü/画像.png") == done("ü/画像.png", source="\udcff.png")
        assert manifest.find("b.png") is None
    assert segments(root) == ["00000001-zz.jsonl", "00000002-aa.jsonl"]


def test_a_run_without_work_leaves_nothing(root: Remote) -> None:
    root.fs.pipe_file((root / "kept").path, b"")
    with RemoteManifest(root):
        assert len(segments(root)) == 1  # it shows at once whether one may write
    assert segments(root) == []


def test_lines_are_sent_at_once_and_then_every_second(root: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("translate.conversion.cloud.manifest.time.monotonic", lambda: now)
    with RemoteManifest(root) as manifest:

        def sent() -> list[str]:
            with RemoteManifest(root, writable=False) as seen:
                return [name for name in "abcd" if seen.find(name)]

        manifest.add(done("a"))
        assert sent() == ["a"]
        manifest.add(done("b"))
        assert sent() == ["a"]
        now += 1.0
        manifest.add(done("c"))
        assert sent() == ["a", "b", "c"]
        manifest.add(done("d"))
    assert sent() == ["a", "b", "c", "d"]


def test_full_segments_are_left_and_small_ones_joined(root: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.cloud.manifest.SEGMENT_BYTES", 300)
    monkeypatch.setattr("translate.conversion.cloud.manifest.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("translate.conversion.cloud.manifest.MAX_SEGMENTS", 3)
    with RemoteManifest(root) as manifest:
        for number in range(8):
            manifest.add(done("a.png", size=number))
    assert len(full := segments(root)) == 2  # of four lines each
    for number in range(8, 13):
        with RemoteManifest(root) as manifest:
            manifest.add(done("a.png", size=number))
            manifest.add(done(f"{number}.png"))
    found = segments(root)
    assert found[:2] == full[:2]
    assert len(found) < 2 + 5
    assert len([name for name in found if name.endswith("-.jsonl")]) == 1
    with RemoteManifest(root) as manifest:
        assert manifest.find("a.png") == done("a.png", size=12)
        assert all(manifest.find(f"{number}.png") for number in range(8, 13))


@pytest.mark.parametrize("torn", [b"", b'{"source": "b.p', b"null\n", b"\xff\n"])
def test_torn_and_foreign_segments_cost_nothing_else(root: Remote, torn: bytes) -> None:
    with RemoteManifest(root) as manifest:
        manifest.add(done("a.png"))
    (root / ".translate" / "00000002-00.jsonl").put_bytes(torn)
    (root / ".translate" / "notes.txt").put_bytes(torn)
    for name in ("b.png", "c.png"):
        with RemoteManifest(root) as manifest:
            manifest.add(done(name))
    with RemoteManifest(root) as manifest:
        assert [manifest.find(name) for name in ("a.png", "b.png", "c.png")] == [done(n + ".png") for n in "abc"]


def test_threads_and_a_second_writer(root: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.cloud.manifest.FLUSH_SECONDS", 0.0)
    with RemoteManifest(root) as manifest:
        monkeypatch.setattr("translate.conversion.cloud.manifest.PROCESS", "other")

        def write(start: int) -> None:
            for number in range(start, start + 20):
                manifest.add(done(f"{number}.png"))

        threads = [threading.Thread(target=write, args=(20 * number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        with RemoteManifest(root) as other:
            other.add(done("other.png"))
        for thread in threads:
            thread.join()
    with RemoteManifest(root, writable=False) as manifest:
        assert all(manifest.find(f"{name}.png") for name in ["other", *range(60)])


def test_a_store_that_refuses_lines_gets_them_later(root: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.cloud.manifest.FLUSH_SECONDS", 0.0)

    def gone(*_: object, **__: object) -> None:
        raise ConnectionResetError("the network has gone")

    with RemoteManifest(root) as manifest:
        with monkeypatch.context() as broken:
            broken.setattr(MemoryFileSystem, "pipe_file", gone)
            manifest.add(done("a.png"))
            assert manifest.find("a.png") == done("a.png")
        manifest.add(done("b.png"))
    with RemoteManifest(root, writable=False) as manifest:
        assert manifest.find("a.png") == done("a.png")
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", gone)
    with pytest.raises(DataError, match=r"results: cannot be written \(the network has gone\)"), RemoteManifest(root):
        pass
    monkeypatch.setattr(MemoryFileSystem, "cat_file", gone)
    with pytest.raises(DataError, match=r"\.translate: cannot be read \(the network has gone\)"):
        RemoteManifest(root)


def test_killed_again_and_again_the_same_tree_in_the_end(tmp_path: Path) -> None:
    random_levels, dice = np.random.default_rng(SEED), random.Random(SEED)
    for number in range(PICTURES):
        path = tmp_path / "in" / f"{number % 5}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, Picture(random_levels.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    model, out = save_model(tmp_path / "m.onnx", INVERT), "s3://bucket/out"

    def start(destination: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "translate.cli", "convert", str(tmp_path / "in"), str(destination), "--json"]
        return subprocess.Popen([*command, "--model", str(model), "--workers", "2"], stdout=subprocess.PIPE)

    with served():
        noted: set[str] = set()
        for _ in range(KILLS):
            with start(out) as process:
                assert process.stdout is not None
                for _ in range(len(noted) + dice.randrange(1, 12)):  # those that are there already are told too
                    process.stdout.readline()
                process.kill()
            fs = fsspec.filesystem("s3")
            fs.invalidate_cache()
            lines = b"".join(fs.cat(fs.find("bucket/out/.translate")).values()).splitlines()
            noted = {line.target for line in map(parse_entry, map(parse_line, lines)) if line}
            assert noted <= names(out)
        assert 0 < len(noted) <= len(names(out)) < PICTURES
        engine = Engine(model, threads=1)
        assert convert_folder(tmp_path / "in", tmp_path / "out", engine).converted == PICTURES
        for converted in (PICTURES - len(noted), 0):
            report = convert_folder(tmp_path / "in", out, engine)
            assert (report.converted, report.skipped) == (converted, PICTURES - converted)
        assert contents(out) == contents(str(tmp_path / "out"))
