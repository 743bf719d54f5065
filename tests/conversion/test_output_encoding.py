"""Output into a code page, or into ASCII: a character that it lacks is escaped, and never a reason to fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import INVERT, save_model

from translate.pictures.operations import Picture, write_picture

ONE_AFTER_THE_OTHER = """
import json, sys
from translate.cli.main import main
json.dump([main(arguments) for arguments in json.loads(sys.argv[1])], open("statuses.json", "w"))
"""
"""Many commands in one process, whose output is that of many."""


def run(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "入力").mkdir()
    for name in ("写真.png", "b.png"):
        write_picture(tmp_path / "入力" / name, Picture(np.full((64, 64, 3), len(name), np.uint8)))
    if os.name == "posix":
        (tmp_path / "入力" / "b.png").rename(tmp_path / "入力" / os.fsdecode(b"caf\xe9.png"))
    (tmp_path / "入力" / "悪い.png").write_text("no picture")
    save_model(tmp_path / "m.onnx", INVERT)
    return tmp_path


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}],
    ids=str,
)
def test_every_command(folder: Path, environment: dict[str, str]) -> None:
    made = run(folder, environment, "-m", "translate.cli", "convert", "入力", "出力", "--model", "m.onnx")
    assert made.returncode == 1
    assert b"2 pictures converted to " in made.stdout
    assert made.stderr.count(b"\n") == 1
    commands = {
        ("convert", "入力", "出力", "--model", "m.onnx", "--dry-run"): 0,
        ("convert", "入力", "出力", "--model", "m.onnx", "--json"): 1,
        ("convert", "無", "出力", "--model", "m.onnx"): 2,
        ("convert", "--help"): 0,
        ("data", "check", "入力", "--task", "super-resolution"): 1,
        ("report", "無"): 2,
        ("models",): 0,
        ("出力",): 2,
    }
    found = run(folder, environment, "-c", ONE_AFTER_THE_OTHER, json.dumps([*commands]))
    assert (found.returncode, b"Traceback" in found.stderr) == (0, False), found
    assert json.loads((folder / "statuses.json").read_text()) == [*commands.values()], found
