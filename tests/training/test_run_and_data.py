"""A run and its data: what it keeps over resumes, what it never learns from, and names that are no text."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import SKETCHES, log_lines, options, settings

from translate.cli.main import main
from translate.data.split import hold_out, hold_out_spaced
from translate.evaluation.cases import Question, find_cases
from translate.html import render
from translate.spec import ModelSpec
from translate.tasks import TASKS
from translate.training.batches import list_training_data
from translate.training.snapshot import FILE_NAME, read_header, read_tensors, write_snapshot


@pytest.fixture
def data(photos: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(photos, tmp_path / "data"))


def train(*arguments: Any) -> int:
    return main(["train", SKETCHES, *map(str, arguments)])


def test_a_run_inside_its_data_never_learns_from_its_own_pictures(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count, out = len(list(data.iterdir())), data / "run"
    changes = options(max_images=12, sample_grids=3)
    assert train("--data", data, "--out", out, *changes, "--stop-after", "6images") == 0
    assert list((out / "samples").iterdir())
    capsys.readouterr()
    assert train("--out", out, "--resume") == 0
    said = capsys.readouterr().err
    assert f"note: {out}: left out: holds a training run; give the folder itself to use them\n" in said
    assert "other pictures than before" not in said
    assert train("--data", data, "--out", tmp_path / "second", *changes) == 0
    for folder in (out, tmp_path / "second"):
        assert {line["pictures"]["train"] for line in log_lines(folder, "start")} == {count}
    assert main(["data", "check", str(data), "--task", SKETCHES, "--json"]) in (0, 1)
    (split,) = json.loads(capsys.readouterr().out.splitlines()[-1])["splits"]
    assert split["counts"] == {"pictures": count}
    assert len(split["left_out"]) == 1
    spec = ModelSpec(name="double", task="super-resolution", architecture="nearest", scale=2)
    found = find_cases(Question(data=data), spec)
    assert (len(found.cases), len(found.notes)) == (count, 1)


def test_a_run_from_before_keeps_what_it_holds_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, task = tmp_path / "run", TASKS[SKETCHES]
    assert train("--data", data, "--out", out, *options(max_images=12, held_out=2), "--stop-after", "6images") == 0
    header, tensors = read_header(out / FILE_NAME), read_tensors(out / FILE_NAME)
    assert header.split == "content"
    listings = {
        split: list_training_data(task, settings(held_out=2), data, None, split)[0] for split in ("content", "")
    }
    whole = list_training_data(task, settings(held_out=0), data, None)[0].train
    assert listings["content"].held_out == hold_out(whole, 2)[1]
    assert listings[""].held_out == hold_out_spaced(whole, 2)[1]
    assert header.files == listings["content"].digest != listings[""].digest
    write_snapshot(out / FILE_NAME, dataclasses.replace(header, split="", files=listings[""].digest), tensors)
    capsys.readouterr()
    assert train("--out", out, "--resume") == 0
    assert "other pictures" not in capsys.readouterr().err
    header = read_header(out / FILE_NAME)
    assert (header.split, header.files) == ("", listings[""].digest)


def test_a_run_that_began_with_too_few_pictures_to_hold_any_out_never_does(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train("--data", data, "--out", out, *options(max_images=8), "--stop-after", "4images") == 0
    for number, path in enumerate(list(data.iterdir())):
        (data / f"more{number}.png").write_bytes(path.read_bytes() + b"other")
    assert train("--out", out, "--resume") == 0
    assert "\n12 pictures to learn from, 0 held out" in capsys.readouterr().err


def test_a_run_that_stopped_early_goes_on_with_other_pictures(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    given = options(max_images=8, held_out=2, patience=3, validations=1, metrics=("swd",))
    assert train("--data", data, "--out", out, *given, "--stop-after", "4images") == 0
    header, tensors = read_header(out / FILE_NAME), read_tensors(out / FILE_NAME)
    best = {"metric": "swd", "value": 1.0, "images": 2, "since": 3}
    write_snapshot(out / FILE_NAME, dataclasses.replace(header, best=best), tensors)
    assert train("--out", out, "--resume") == 2
    assert "has not improved for 3 measurements" in capsys.readouterr().err
    (data / "more.png").write_bytes((data / "0.png").read_bytes() + b"other")
    assert train("--out", out, "--resume", "--stop-after", "2images") == 0
    assert "what was measured so far no longer counts" in capsys.readouterr().err


def test_the_cache_is_found_from_elsewhere(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    arguments = options(max_images=4, cache="cache")
    assert train("--data", data, "--out", out, *arguments, "--stop-after", "2images") == 0
    assert (tmp_path / "cache").is_dir()
    monkeypatch.chdir(out)
    assert train("--out", out, "--resume") == 0
    assert not (out / "cache").exists()


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_no_text(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in list(data.iterdir()):
        path.rename(data / os.fsdecode(b"\xe9\n[b]" + path.name.encode()))
    bad = data / os.fsdecode(b"bad\xe9.png")
    bad.write_text("no picture")
    out = tmp_path / "run"
    assert train("--data", data, "--out", out, *options(max_images=16, validations=0, held_out=1)) == 0
    assert main(["report", str(out)]) == 0
    assert train("--data", data, "--out", tmp_path / os.fsdecode(b"\xe9"), *options(max_images=2)) == 2
    assert " is not UTF-8, so no snapshot can be opened there; choose another name\n" in capsys.readouterr().err


def test_a_page_with_a_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>{{ name }}</p>")
    assert render(tmp_path / "page.html", {}, name="\udce9") == "<p>?</p>"
