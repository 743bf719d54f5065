"""An error that nobody has foreseen costs one picture, wherever it occurs, and its traceback is kept."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import INVERT, save_model
from test_convert import MakePictures, tree
from test_convert import engine as engine

from translate.cli.main import main
from translate.conversion.faults import FILE_NAME, FaultLog
from translate.conversion.folder import convert_folder
from translate.inference.engine import Engine

NAMES = ["a.png", "bad.png", "c.png", "sub/d.png"]

STAGES = (
    "translate.conversion.sources.irregular",
    "translate.conversion.sources.FolderSource.load",
    "translate.conversion.resume.ResumeState._resolve",
    "translate.conversion.worker._opened_once",
    "translate.pictures.decode.decode",
    "translate.inference.engine.Engine.apply",
    "translate.conversion.worker.encode_for",
    "translate.conversion.destinations.LocalFolder.writing",
    "translate.conversion.worker.write_bytes",
    "translate.conversion.manifest.Manifest.add",
)
"""Listing, reading, what is to be done, decoding, the model, encoding, writing and the manifest."""


def concerns_bad(arguments: tuple[Any, ...]) -> bool:
    return any("bad.png" in str(argument) for argument in arguments) or any(
        isinstance(argument, os.DirEntry) and argument.name == "bad.png" for argument in arguments
    )


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Break a function for the bad picture; those that do not know its name break the second time."""

    def spoil(place: str, error: type[Exception]) -> None:
        module, _, name = place.rpartition(".")
        owner, _, kind = module.rpartition(".")
        target = __import__(owner if kind[0].isupper() else module, fromlist=["x"])
        target = getattr(target, kind) if kind[0].isupper() else target
        whole, calls = getattr(target, name), []

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(None)
            nameless = name in ("apply", "encode_for", "write_bytes")
            if (len(calls) == 2) if nameless else concerns_bad(arguments):
                raise error("out of\nthe blue")
            return whole(*arguments, **options)

        monkeypatch.setattr(target, name, call)

    return spoil


@pytest.mark.parametrize("error", [ZeroDivisionError, OSError, MemoryError, RecursionError])
@pytest.mark.parametrize("place", STAGES)
def test_at_every_stage(
    tmp_path: Path,
    engine: Engine,
    make_pictures: MakePictures,
    broken: Callable[..., None],
    place: str,
    error: type[Exception],
) -> None:
    source = make_pictures(tmp_path / "in", NAMES)
    broken(place, error)
    report = convert_folder(source, tmp_path / "out", engine, workers=1)
    if place.endswith("irregular") and error is OSError:  # the picture has no size then, and is made
        assert report.converted == 4
        return
    assert report.converted == 3
    (failure,) = report.failed
    assert failure.source == str(source / "bad.png")
    assert failure.reason is not None
    assert failure.reason.startswith(f"{source / 'bad.png'}: ")
    assert "\n" not in failure.reason
    if report.log is None:
        return  # foreseen by those who raise it
    assert report.log == tmp_path / "out" / FILE_NAME
    assert f"{source / 'bad.png'}\nTraceback" in report.log.read_text()
    assert [name for name in tree(tmp_path / "out") if ".part" in name] == []


def test_the_command_names_the_log_once(
    tmp_path: Path, make_pictures: MakePictures, broken: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    source, model = make_pictures(tmp_path / "in", NAMES), save_model(tmp_path / "m.onnx", INVERT)
    broken("translate.pictures.decode.decode", ZeroDivisionError)
    command = ["convert", str(source), str(tmp_path / "out"), "--model", str(model), "--workers", "1"]
    assert main(command) == 1
    found = capsys.readouterr()
    log = tmp_path / "out" / FILE_NAME
    assert found.err.splitlines() == [
        f"{source / 'bad.png'}: unexpected ZeroDivisionError (out of\\nthe blue); please report it with the log",
        f"unexpected errors are described in {log}",
    ]
    assert ", 1 failed" in found.out
    assert main([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["log"] == str(log)
    assert main(["convert", str(source / "bad.png"), str(tmp_path / "one.png"), "--model", str(model)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_archive_is_made_of_the_others(
    tmp_path: Path, engine: Engine, make_pictures: MakePictures, broken: Callable[..., None]
) -> None:
    broken("translate.pictures.decode.decode", ValueError)
    report = convert_folder(make_pictures(tmp_path / "in", NAMES), tmp_path / "out.zip", engine)
    assert (report.converted, len(report.failed)) == (3, 1)
    assert (tmp_path / "out.zip").is_file()
    assert report.log is not None
    assert not report.log.is_relative_to(tmp_path)
    report.log.unlink()


def test_a_log_that_cannot_be_written_and_errors_that_repeat(tmp_path: Path) -> None:
    log = FaultLog(tmp_path / "missing")
    for title in ("a", "b", "\udcff"):
        log.add(title, "Traceback\nError\n")
    assert log.path is not None
    assert log.path.read_text() == "a\nTraceback\nError\n\n\nb\nthe same as a\n\n\\udcff\nthe same as a\n\n"
    log.path.unlink()
