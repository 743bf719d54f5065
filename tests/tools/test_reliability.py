"""The table of promises says what its tests and scripts came to, broken ones too."""

import sys
from pathlib import Path

import pytest
from scripts import load_script

script = load_script("tools/reliability.py")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "one.toml").write_text(
        'title = "One"\n[[promise]]\nsays = "It holds."\ntests = ["test_it.py::test_it"]'
    )
    (tmp_path / "two.toml").write_text('title = "Two"\n[[promise]]\nsays = "It runs."\ncommand = ["run.py", "3"]')
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take seconds to load
    (tmp_path / "run.py").write_text("import sys; print('many lines'); print(sys.argv[1], 'runs')")
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n\ndef test_other():\n    assert False\n")
    for name, value in (("ROOT", tmp_path), ("FOLDER", tmp_path), ("PAGE", tmp_path / "page.md")):
        monkeypatch.setattr(script, name, value)
    monkeypatch.setattr(script.read, "__defaults__", (tmp_path,))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *names: str) -> int:
    monkeypatch.setattr(sys, "argv", ["reliability.py", *names])
    return script.main()


def test_figures_are_measured(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch) == 0
    rows = (parts / "page.md").read_text().splitlines()[-2:]
    assert rows[0].startswith("| One | It holds. | `pytest test_it.py::test_it` | 1 passed | 20")
    assert rows[1].startswith("| Two | It runs. | `python run.py 3` | 3 runs | 20")


def test_broken_promises_are_told_and_other_rows_stay(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    (parts / "test_it.py").write_text("def test_it():\n    assert False\n")
    (parts / "run.py").write_text("raise SystemExit(3)")
    assert run(monkeypatch, "one") == 1
    page = (parts / "page.md").read_text()
    assert "**broken**: 1 failed" in page
    assert "3 runs" in page
    assert run(monkeypatch, "two") == 1
    assert "**broken**: exit status 3" in (parts / "page.md").read_text()
    assert "0 of 2 promises hold" in capsys.readouterr().out


def test_a_promise_without_proof_is_refused(parts: Path) -> None:
    (parts / "one.toml").write_text('title = "One"\n[[promise]]\nsays = "Trust us."')
    with pytest.raises(ValueError, match=r"one\.toml: nothing shows 'Trust us\.'"):
        script.read()
    (parts / "test_it.py").write_text("")
    assert "no test found" in script.tests_figure([script.outcomes("test_it.py", [])])
