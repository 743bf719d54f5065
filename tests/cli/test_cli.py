import hashlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model

from translate.cli import main as cli
from translate.cli import models as models_command
from translate.cli.main import COMMANDS, main
from translate.inference import models
from translate.pictures.operations import read_picture

MakePictures = Callable[[Path, Sequence[str]], Path]


@pytest.fixture
def folder(tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder: `in` with two pictures, `bad` with one good and one bad, two models."""
    make_pictures(tmp_path / "in", ["a.png", "sub/b.png"])
    make_pictures(tmp_path / "bad", ["a.png"])
    (tmp_path / "bad" / "b.png").write_text("text")
    save_model(tmp_path / "invert.onnx", INVERT)
    save_model(tmp_path / "double.onnx", DOUBLE)
    (tmp_path / "garbage.onnx").write_bytes(b"\xffgarbage")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "output", "error"),
    [
        ("", 2, "^$", "^Usage: translate COMMAND"),
        ("--help", 0, "^Usage: translate COMMAND", "^$"),
        ("-h", 0, "^Usage: translate COMMAND", "^$"),
        ("--version", 0, r"^translate \d+\.\d+\.\d+$", "^$"),
        ("conver", 2, "^$", "^translate: unknown command 'conver'; did you mean convert\\?$"),
        ("zzz", 2, "^$", "^translate: unknown command 'zzz'; choose one of: convert, "),
        ("convert --help", 0, "usage: translate convert .*IN OUT", "^$"),
        ("convert in", 2, "^$", "^translate: .*OUT[^\n]*; see translate convert --help$"),
        ("convert in out --modl invert.onnx", 2, "^$", "^translate: [^\n]*--modl[^\n]* did you mean --model\\?"),
        ("convert in out --model invert.onnx --format gif", 2, "^$", "^translate: [^\n]*'gif'[^\n]*$"),
        ("convert in out", 2, "^$", "^translate: --model is missing; .*name of a model: "),
        ("convert in out --model nope", 2, "^$", "^translate: unknown model 'nope'; "),
        ("convert in out --model garbage.onnx", 2, "^$", "^translate: garbage.onnx: truncated, or not an ONNX file; "),
        ("convert in out --model invert.onnx --quality 0", 2, "^$", "^translate: --quality 0 is out of range; "),
        ("convert in out --model invert.onnx --quality 101", 2, "^$", "^translate: --quality 101 is out of range; "),
        ("convert in out --model invert.onnx --workers 0", 2, "^$", "^translate: --workers 0 is out of range; "),
        ("convert in out --model invert.onnx --workers 1025", 2, "^$", "range; give 1 to 1024, or omit it$"),
        ("convert in A.ZIP --model invert.onnx --watch", 2, "^$", "^translate: --watch needs a folder .* .zip output$"),
        ("convert nope out --model invert.onnx", 2, "^$", "^translate: nope: no such file or folder; "),
        ("convert in in --model invert.onnx", 2, "^$", "^translate: in: input and output are the same folder; "),
        (
            "convert in out --model invert.onnx",
            0,
            r"^2 pictures converted to out in \d+\.\d s \(\d+\.\d images/s\)$",
            "^$",
        ),
        ("convert in/a.png out.jpg --model double.onnx --quality 100", 0, "^1 picture converted to out.jpg ", "^$"),
        ("convert in out --model invert.onnx --format webp --device cpu --workers 1", 0, "^2 pictures", "^$"),
        ("convert bad out --model invert.onnx", 1, r"^1 picture converted .*, 1 failed$", r"^bad/b\.png: [^\n]*$"),
        ("convert bad/b.png out --model invert.onnx", 2, "^$", r"^translate: bad/b\.png: [^\n]*$"),
        ("models", 0, r"^No models are shipped|^NAME ", "^$"),
        ("models extra", 2, "^$", "^translate: [^\n]*extra[^\n]*; see translate models --help$"),
    ],
)
def test_command(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, status: int, output: str, error: str
) -> None:
    assert main(arguments.split()) == status
    found = capsys.readouterr()
    assert re.search(output, found.out.strip())
    assert re.search(error, found.err.strip())
    assert not [path for path in folder.rglob("*") if ".part" in path.name]


def test_results_are_written(folder: Path, image_HWC: np.ndarray) -> None:
    assert main(["convert", "bad", "out", "--model", "double.onnx"]) == 1
    assert [path.name for path in (folder / "out").glob("[!.]*")] == ["a.png"]
    assert np.array_equal(read_picture(folder / "out" / "a.png").rgb_HWC[::2, ::2], image_HWC)


@pytest.mark.parametrize("verb", ["convert", "models", "data", "report"])
def test_commands_resolve(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"translate {verb}" in capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and command.summary in text for name, command in COMMANDS.items())


def test_models_table(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {
        "name": "invert",
        "task": "sketch-to-photo",
        "file": "invert.onnx",
        "sha256": hashlib.sha256((folder / "invert.onnx").read_bytes()).hexdigest(),
        "licence": "CC0-1.0",
        "summary": "Negatives",
    }
    (folder / "index.json").write_text(json.dumps({"models": [entry]}))
    found = models.shipped(folder / "index.json")
    monkeypatch.setattr(models_command, "known", lambda _: found)
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME    TASK             LICENCE  SUMMARY",
        "invert  sketch-to-photo  CC0-1.0  Negatives",
    ]


def test_interrupt_and_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def raising(error: type[BaseException]) -> Callable[[list[str]], int]:
        def run(_: list[str]) -> int:
            raise error

        return run

    monkeypatch.setattr(models_command, "main", raising(KeyboardInterrupt))
    assert main(["models"]) == cli.EXIT_INTERRUPTED
    assert capsys.readouterr().err == "translate: interrupted\n"
    monkeypatch.setattr(models_command, "main", raising(ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        main(["models"])


def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "translate.cli", *arguments], **options)


def test_closed_pipe(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start("--help", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (cli.EXIT_BROKEN_PIPE, b"")


def test_output_on_a_full_disk_and_no_output_at_all() -> None:
    with Path("/dev/full").open("wb") as full:
        process = start("--version", stdout=full, stderr=subprocess.PIPE)
        _, error = process.communicate(timeout=30)
    told = b"translate: standard output: No space left on device; free some space\n"
    assert (process.returncode, error) == (cli.EXIT_USAGE, told)
    for arguments, status in (("--version >&-", 0), ("conver 2>&-", cli.EXIT_USAGE)):
        closed = f'exec "$0" -m translate.cli {arguments}'
        assert subprocess.run(["sh", "-c", closed, sys.executable], timeout=30, check=False).returncode == status


def test_progress_only_on_a_terminal(folder: Path) -> None:
    terminal, end = pty.openpty()
    process = start("convert", "in", "out", "--model", "invert.onnx", stdout=subprocess.PIPE, stderr=end)
    output, _ = process.communicate(timeout=30)
    os.close(end)
    shown = os.read(terminal, 100_000)
    os.close(terminal)
    assert process.returncode == 0
    assert output.startswith(b"2 pictures converted")
    assert b"2/2" in shown
