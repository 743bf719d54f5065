"""`make models`: the table of stages fits together, and the script goes on where it was."""

from pathlib import Path
from typing import Any

import pytest
from conftest import save_model
from PIL import Image
from scripts import load_script

from translate.errors import ConfigError
from translate.inference.models import resolve, shipped
from translate.spec import ModelSpec
from translate.tasks import TASKS
from translate.tasks.base import load_object


@pytest.fixture(scope="module")
def models() -> Any:
    return load_script("benchmarks/models.py")


def test_shares_are_the_whole_budget(models: Any) -> None:
    assert sum(stage.share for stage in models.STAGES) == pytest.approx(1.0)


def test_stages_and_files_have_names_of_their_own(models: Any) -> None:
    names = [stage.name for stage in models.STAGES]
    files = [export.name for stage in models.STAGES for export in stage.exports]
    assert len(set(names)) == len(names)
    assert len(set(files)) == len(files)


def test_stages_are_of_tasks_and_presets_that_exist_and_start_from_earlier_ones(models: Any) -> None:
    before: set[str] = set()
    for stage in models.STAGES:
        presets = load_object(TASKS[stage.task].trainer).presets
        if "--preset" in stage.options:
            assert stage.options[stage.options.index("--preset") + 1] in presets
        assert not stage.start_from or stage.start_from in before
        before.add(stage.name)


def test_finished_stages_are_left_alone_and_begun_ones_resumed(
    models: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(models, "translate", lambda *arguments: called.append(arguments))
    stage = next(stage for stage in models.STAGES if stage.start_from)
    models.train(stage, tmp_path, 60.0)
    assert called[0][:2] == ("train", stage.task)
    assert str(tmp_path / stage.start_from) in called[0]
    (tmp_path / stage.name).mkdir()
    (tmp_path / stage.name / models.FILE_NAME).touch()
    for used, expected in ((30.0, 2), (60.0, 2)):
        monkeypatch.setattr(models, "read_header", lambda _, used=used: type("Header", (), {"seconds_used": used}))
        models.train(stage, tmp_path, 60.0)
        assert len(called) == expected
    assert "--resume" in called[1]
    assert "--start-from" not in called[1]


def test_packs_are_laid_out_by_kind_and_side(models: Any, tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    folders = [f"{pack}/{split}/photo" for pack in ("shoes", "handbags") for split in ("train", "test")]
    folders += ["shoes_qmul/train/photo", "handbags2/train/photo", "human_sketches_shoes2/train/sketch"]
    folders += ["sr_train/train", "sr_free/train", "sr_test/test"]
    for place in ("bdd", "bdd2", "amos"):
        folders += [f"daynight_{place}/{split}/{side}" for split in ("train", "test") for side in ("day", "night")]
    for folder in folders:
        (packs / folder).mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(packs / folder / "one.png")
    for _ in range(2):  # the second time everything is there already
        models.prepare(packs, tmp_path / "data")
    found = {path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*.png")}
    assert "things/train/handbag/handbags2/one.png" in found
    assert "things/test/handbag/one.png" in found
    assert "daynight/test/night/amos/one.png" in found
    assert "human_sketches/one.png" in found
    assert "sr_both/train/quarters/one_3.png" in found
    # Of streets, three places to learn from and two that are measured.
    assert len(found) == 3 + 5 + 7 + 6 + 4


def test_shipping_puts_file_sheet_figures_and_index_entry_in_place(
    models: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "day-to-night"
    out, shelf = tmp_path / "runs", tmp_path / "checkpoints"
    (out / name / f"{name}-evaluation").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(out / name / f"{name}-evaluation" / "contact_sheet.png")
    spec = ModelSpec(name=name, task=name, architecture="", metrics={"swd_mean_milli": 12.3456}, parameters=1234)
    save_model(out / name / f"{name}.onnx", spec)
    (shelf / name).mkdir(parents=True)
    card = f"# {name}\n\nDays become nights.\n\n{models.FIGURES[0]}\nold\n{models.FIGURES[1]}\n"
    (shelf / name / "card.md").write_text(card)
    (shelf / "index.json").write_text('{"models": []}')
    monkeypatch.setattr(models, "CHECKPOINTS", shelf)
    for _ in range(2):  # again replaces
        models.ship(name, out)
    (found,) = shipped(shelf / "index.json")
    assert resolve(name, shelf / "index.json").read_bytes() == (out / name / f"{name}.onnx").read_bytes()
    assert (found.task, found.summary) == (name, "Days become nights.")
    written = (shelf / name / "card.md").read_text()
    assert "| `swd_mean_milli` | 12.346 |" in written
    assert "old" not in written
    assert (shelf / name / "contact_sheet.jpg").is_file()


def test_only_a_measured_file_gets_the_name(models: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = next(stage for stage in models.STAGES if stage.exports)
    run = tmp_path / stage.name
    run.mkdir()
    (run / models.FILE_NAME).touch()
    called: list[str] = []
    interrupted = True

    def translate(*arguments: str) -> None:
        called.append(arguments[0])
        if arguments[0] == "export":
            Path(arguments[arguments.index("-o") + 1]).touch()
        elif interrupted:
            raise SystemExit

    monkeypatch.setattr(models, "translate", translate)
    with pytest.raises(SystemExit):
        models.finish(stage, stage.exports[0], tmp_path)
    assert not (run / f"{stage.exports[0].name}.onnx").exists()
    interrupted = False
    for _ in range(2):  # the second time it is there
        models.finish(stage, stage.exports[0], tmp_path)
    assert called == ["export", "evaluate", "export", "evaluate", "export"]


def test_what_cannot_be_shipped(models: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "day-to-night"
    (tmp_path / name).mkdir()
    save_model(tmp_path / name / f"{name}.onnx", ModelSpec(name=name, task=name, architecture=""))
    (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / name / "card.md").write_text("no marks")
    monkeypatch.setattr(models, "CHECKPOINTS", tmp_path / "checkpoints")
    with pytest.raises(ConfigError, match="was not measured, or"):
        models.ship(name, tmp_path)
    with pytest.raises(ConfigError, match="no stage makes day-to-nigth; did you mean"):
        models.ship("day-to-nigth", tmp_path)
    assert not (tmp_path / "checkpoints" / name / "model.onnx").exists()
