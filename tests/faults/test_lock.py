"""One process at a time writes to a folder, and whoever else wants to learns who it is."""

import errno
import fcntl
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from translate import lock
from translate.errors import DataError
from translate.lock import FILE_NAME, held

HOLDS = "import sys; from pathlib import Path; from translate.lock import held\nwith held(Path(sys.argv[1])):\n  "


@contextmanager
def another(folder: Path, then: str = "input()") -> Generator[subprocess.Popen[str]]:
    """A process that holds the folder; it has printed a line."""
    code = f"{HOLDS}print(flush=True); {then}"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_second_process_learns_who_holds_it(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        with pytest.raises(DataError), held(tmp_path):
            pass
        with pytest.raises(DataError) as caught, held(tmp_path):  # asking has changed nothing
            pass
    said = str(caught.value)
    assert said.startswith(f"{tmp_path} is in use by process {process.pid} on {platform.node()} since 20")
    assert said.endswith("; wait until that has ended, or choose another folder")
    assert "\n" not in said
    with held(tmp_path) as note:
        assert note == ""
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / FILE_NAME).exists()
        with held(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_children_that_outlive_a_killed_process_hold_nothing(tmp_path: Path) -> None:
    """Loaders of a training live on for some seconds."""
    with another(
        tmp_path, "import os, time; child = os.fork(); child and print(child, flush=True); time.sleep(60)"
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        os.kill(child, 0)
        with held(tmp_path):
            pass
        os.kill(child, signal.SIGKILL)


def test_threads_of_one_process(tmp_path: Path) -> None:
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    with held(tmp_path):
        for name in (tmp_path, link):
            with pytest.raises(DataError, match=f"is in use by process {os.getpid()} on "), held(name):
                pass
        assert (tmp_path / FILE_NAME).exists()
        with another_refused(tmp_path):
            pass  # the lock is still there
    with held(tmp_path):
        pass


@contextmanager
def another_refused(folder: Path) -> Generator[None]:
    done = subprocess.run([sys.executable, "-c", f"{HOLDS}pass", str(folder)], capture_output=True, check=False)
    assert b"is in use by process" in done.stderr
    yield


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"process": 1}', "[" * 4096])
def test_a_holder_that_could_not_write_its_name(tmp_path: Path, text: str) -> None:
    with another(tmp_path):
        (tmp_path / FILE_NAME).write_text(text)
        with pytest.raises(DataError, match=r"is in use by another process; wait until"), held(tmp_path):
            pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def none_here(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", none_here)
    with held(tmp_path) as note:
        assert note == f"{tmp_path}: its disk has no locks, so do not let a second process write there"


def test_a_file_that_was_removed_between_opening_and_locking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that held it removes the file when it ends: a lock on that would keep nobody away."""
    whole, calls = fcntl.lockf, list[int]()

    def removed_before(file: int, how: int) -> None:
        calls.append(file)
        if len(calls) == 1:
            (tmp_path / FILE_NAME).unlink()
        whole(file, how)

    monkeypatch.setattr(fcntl, "lockf", removed_before)
    with held(tmp_path):
        assert len(calls) == 2
        with another_refused(tmp_path):
            pass


def test_commands_are_shown_without_passwords_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/translate/cli/__main__.py", "convert", "sftp://me:secret@host/in", "a b"])
    assert lock._myself().command == "translate convert sftp://me@host/in 'a b'"
    monkeypatch.setattr(sys, "argv", ["script.py", "x" * 1000])
    assert lock._myself().command == f"script.py {'x' * 190} ..."


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(DataError, match=r"cannot be written \(Is a directory\); choose another folder"), held(tmp_path):
        pass
