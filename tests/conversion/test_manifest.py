import json
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from translate.conversion.manifest import FILE_NAME, Manifest, ManifestEntry
from translate.errors import DataError


def done(target: str, **changes: object) -> ManifestEntry:
    facts = {"source": "a.png", "size": 1, "modified_ns": 2, "input": "ab", "made_by": "cd", "target": target}
    return ManifestEntry(**(facts | changes))


def test_the_last_line_counts(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        assert manifest.find("a.png") is None
        manifest.add(done("a.png"))
        manifest.add(done("ü/画像.png", source="\udcff.png"))  # names may be no UTF-8
        manifest.add(done("a.png", size=3))
        assert manifest.find("a.png") == done("a.png", size=3)
    with Manifest(tmp_path) as manifest:
        assert manifest.find("a.png") == done("a.png", size=3)
        assert manifest.find("ü/画像.png") == done("ü/画像.png", source="\udcff.png")


@pytest.mark.parametrize("torn", ["", '{"source": "b.p', "null\n", '{"source": 1}\n', "[]\n", "\xff\n"])
def test_torn_and_foreign_lines_cost_nothing_else(tmp_path: Path, torn: str) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.add(done("a.png"))
    with (tmp_path / FILE_NAME).open("a", encoding="latin-1") as file:
        file.write(torn)
    for name in ("b.png", "c.png"):
        with Manifest(tmp_path) as manifest:
            assert manifest.find("a.png") == done("a.png")
            manifest.add(done(name))
            assert manifest.find(name) == done(name)
    with Manifest(tmp_path) as manifest:
        assert manifest.find("b.png") == done("b.png")


def test_threads_and_a_second_writer(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest, Manifest(tmp_path) as other:

        def write(writer: Manifest, start: int) -> None:
            for number in range(start, start + 100):
                writer.add(done(f"{number}.png"))
                assert writer.find(f"{number}.png") == done(f"{number}.png")

        threads = [
            threading.Thread(target=write, args=(writer, 100 * n))
            for n, writer in enumerate((manifest, manifest, manifest))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        other.add(done("other.png"))
        assert other.find("other.png") == done("other.png")
    lines = (tmp_path / FILE_NAME).read_text().splitlines()
    assert len({json.loads(line).get("target") for line in lines} - {None}) == 301


def test_what_a_killed_process_has_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    left = [tmp_path / "sub" / f".{name}12345678.part.png" for name in ("deadbeef", "11111111", "22222222")]
    for path in left:
        path.write_text("")
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    with Manifest(tmp_path) as manifest:
        manifest._write({"begun": "deadbeef", "host": platform.node(), "pid": finished.pid})
        manifest._write({"begun": "11111111", "host": platform.node(), "pid": os.getpid()})
        manifest._write({"begun": "22222222", "host": "elsewhere", "pid": finished.pid})
    with Manifest(tmp_path):
        assert [path.exists() for path in left] == [False, True, True]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        Manifest(tmp_path / "missing")


def test_what_a_killed_process_has_left_is_removed_even_if_its_line_is_damaged(tmp_path: Path) -> None:
    left = tmp_path / "below" / ".0123456789abcdef.part.tif"
    left.parent.mkdir()
    left.write_bytes(b"half")
    (tmp_path / FILE_NAME).write_bytes(b'{"ended": "3ee5d"begun": "01234567", "host": "h", "pid": 1}\n')
    with Manifest(tmp_path):
        assert not left.exists()


def test_who_only_looks_changes_nothing(tmp_path: Path) -> None:
    """As `--dry-run` beside a conversion, whose temporary files must stay even if a line is damaged."""
    left = tmp_path / ".0123456789abcdef.part.png"
    left.write_text("")
    with Manifest(tmp_path) as manifest:
        manifest.add(done("a.png"))
        content = (tmp_path / FILE_NAME).read_bytes() + b'{"torn'
        (tmp_path / FILE_NAME).write_bytes(content)
        with Manifest(tmp_path, writable=False) as looking:
            assert looking.find("a.png") == done("a.png")
            looking.add(done("b.png"))
            assert looking.drop("a.png")
        assert (tmp_path / FILE_NAME).read_bytes() == content
        assert left.exists()
    with pytest.raises(DataError, match="cannot be read"):
        Manifest(tmp_path / "missing", writable=False)


def test_a_result_about_to_be_replaced_has_no_entry(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        for name in ("a.png", "b.png"):
            manifest.add(done(name))
        assert [manifest.drop("a.png"), manifest.drop("a.png"), manifest.drop("c.png")] == [True, False, False]
        assert manifest.find("a.png") is None
    with Manifest(tmp_path) as manifest:
        assert (manifest.find("a.png"), manifest.find("b.png")) == (None, done("b.png"))
        manifest.add(done("a.png"))
    with Manifest(tmp_path) as manifest:
        assert manifest.find("a.png") == done("a.png")


def test_a_thread_that_outlives_the_manifest_writes_into_no_other_file(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        pass
    files = [os.open(tmp_path / f"{number}.png", os.O_RDWR | os.O_CREAT) for number in range(20)]  # one has its number
    manifest.add(done("a.png"))
    manifest.drop("a.png")
    for number, file in enumerate(files):
        os.close(file)
        assert (tmp_path / f"{number}.png").read_bytes() == b""
