"""The help of `translate train`, and settings of older snapshots."""

import re

import pytest
from test_train_command import TASK
from tiny_runs import settings, trainer_class

from translate.cli.main import main
from translate.cli.train import IMPORTANT
from translate.errors import ConfigError
from translate.tasks import TASKS
from translate.trainers.config import config_from_json, option_name


def test_a_setting_of_older_snapshots_that_could_have_one_value_only() -> None:
    kind = type(settings(TASK))
    saved = settings(TASK).settings()
    assert config_from_json(kind, {**saved, "fake_label": 0.0}, "it") == settings(TASK)
    with pytest.raises(ConfigError, match="it has the setting 'fake_label'"):
        config_from_json(kind, {**saved, "fake_label": 0.1}, "it")


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 0
    found = capsys.readouterr()
    assert "usage: translate train TASK" in found.out
    assert TASK in found.out
    assert found.err == ""


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_and_explains_every_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["train", task, "--help-all"]) == 0
    text = capsys.readouterr().out
    fields = trainer_class(task).config_class().settings()
    hidden = {"label_names", "reference_size"}
    names = [option_name(name).removeprefix("--") for name in fields if name not in hidden]
    assert "label-names" not in text  # found in the data, not given
    assert "reference-size" not in text  # follows from what a run began with
    for name in [*names, "data", "out", "val", "resume", "stop-after", "threads"]:
        row = re.search(rf"--{name}\b[^\n]*(\n(?![^\w\n]*--)[^\n]*)*", text)
        assert row, name
        assert len(re.findall(r"[a-z]{2,}", row[0])) > 3, f"{name} is not explained: {row[0]}"
    for preset in trainer_class(task).presets:
        assert preset in text


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_what_matters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["train", task, "--help"]) == 0
    text = capsys.readouterr().out
    shown = re.findall(r"^[│ ] +--([\w-]+)", text, flags=re.MULTILINE)
    assert {"data", "out", "max-time", "image-size"} <= set(shown) <= set(IMPORTANT)
    assert 15 <= len(shown) <= 25
    assert "learn from" in text
    assert text.endswith(f"All options: translate train {task} --help-all\n")


def test_short_help_leaves_out_the_whole_of_an_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # so narrow that the choices of some options take two lines
    assert main(["train", "sketch-to-photo", "--help"]) == 0
    text = capsys.readouterr().out
    assert "virtual-batch" not in text
    assert "wgan-gp" not in text
    assert re.search(r"--metrics [^\n]*\n\W*kid_lite1[^\n]*\n\W*Validation metrics", text)


def test_help_does_not_break_lines_where_the_source_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for words in (["convert"], ["train", "sketch-to-photo"]):
        assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "For a single picture or video also a file name" in text
    assert "structure, which compares the edges of source and output, does not; edge_agreement" in text


def test_help_has_the_defaults_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[str] = []
    for preset in ("modern", "classic"):
        assert main(["train", "pix2pix", "--preset", preset, "--help"]) == 0
        found.append(re.search(r"--l1-weight.*?\(default: ([\d.]+)\)", capsys.readouterr().out, re.DOTALL)[1])
    assert found == ["10.0", "100.0"]
