"""Every file, a model or a snapshot or a result, is written in one way: killed at any moment it is the old one."""

import subprocess
import sys
from pathlib import Path

import pytest

from translate.files import remove_leftovers

CODE = """
import os, signal, sys
from pathlib import Path
from translate.files import atomic_path

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

stage = sys.argv[2]
os.fsync = die if stage == "syncing" else os.fsync
Path.replace = die if stage == "naming" else Path.replace
with atomic_path(Path(sys.argv[1])) as part:
    if stage == "beginning":
        die()
    part.write_bytes(b"ne")
    if stage == "writing":
        die()
    part.write_bytes(b"new")
"""


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("stage", ["beginning", "writing", "syncing", "naming", "never"])
def test_killed_at_every_stage(tmp_path: Path, stage: str, before: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if before is not None:
        path.write_bytes(before)
    done = subprocess.run([sys.executable, "-c", CODE, str(path), stage], check=False)
    assert done.returncode == (0 if stage == "never" else -9)
    remove_leftovers(tmp_path)
    found = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    now = b"new" if stage == "never" else before
    assert found == ({} if now is None else {"model.onnx": now})
