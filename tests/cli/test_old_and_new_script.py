"""benchmarks/old_and_new.py: what `translate evaluate --against` measured, as a table in a page."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

from translate.errors import ConfigError


@pytest.fixture(scope="module")
def old_and_new() -> ModuleType:
    return load_script("benchmarks/old_and_new.py")


def evaluation(folder: Path, against: object) -> Path:
    folder.mkdir()
    metrics = {"kid_lite1": 0.0138191, "swd_mean_milli": 75.3906, "chroma": 0.05}
    (folder / "metrics.json").write_text(json.dumps({"model": "sketch", "metrics": metrics, "against": against}))
    return folder


def test_two_rows_for_each_pair(old_and_new: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = evaluation(tmp_path / "sketch", {"model": "old", "metrics": {"swd_mean_milli": 126.04}})
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- old and new -->\nstale\n<!-- /old and new -->\nbelow\n")
    monkeypatch.setattr("sys.argv", ["old_and_new", str(folder), "--out", str(page)])
    old_and_new.main()
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1], "stale" in lines) == ("above", "below", False)
    assert lines[-4:-2] == ["| sketch, before |  | 126 |", "| sketch, now | 13.82 | 75.39 |"]
    assert "x 1,000 ↓" in lines[2]
    assert lines[2].count("|") == 4  # a metric without a column is left out


def test_an_evaluation_of_one_model_is_refused(old_and_new: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--against"):
        old_and_new._read(evaluation(tmp_path / "alone", None))


def test_a_page_without_marks_is_refused(old_and_new: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ConfigError, match="old and new"):
        old_and_new.write_between(page, "old and new", "text\n")
    assert page.read_text() == "nothing\n"
