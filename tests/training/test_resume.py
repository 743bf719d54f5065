"""Resuming equals never stopping, whatever is trained and however it was ended."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY
from tiny_runs import (
    SKETCHES,
    assert_same_snapshots,
    log_lines,
    new_run,
    options,
    process,
    resumed_run,
    settings,
    train,
    trainer_class,
)

from translate.cli.main import main
from translate.tasks import TASKS
from translate.training.budget import StopAfter
from translate.training.snapshot import BEST_NAME, FILE_NAME, read_header, read_tensors

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in TASKS},
    "image pool": ("cyclegan", {"pool_size": 3}),
    "styles and labels": (SKETCHES, {"style_size": 3, "labels": True, "label_names": ("bags", "shoes")}),
    "dropout": ("pix2pix", {"preset": "classic"}),
    "accumulate, and an augmented judge with penalties": (
        "pix2pix",
        {
            "batch_size": 4,
            "accumulate": 2,
            "discriminator_augmentation": ("colour", "translation", "cutout"),
            "r1_weight": 1.0,
            "r2_weight": 1.0,
        },
    ),
    "mirrored": ("cut", {"preset": "fast-classic"}),
    "spoiled": ("super-resolution", {"blur": 0.5, "noise": 0.5, "jpeg": 0.5}),
}


@pytest.fixture(scope="module")
def straight(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps without a stop, through the command line."""
    out = tmp_path_factory.mktemp("straight") / "run"
    assert main(["train", SKETCHES, "--data", str(photos), "--out", str(out), "--max-images", "12", *TINY]) == 0
    return out


@pytest.mark.parametrize(("task", "changes"), CASES.values(), ids=CASES)
def test_resume_equals_never_stopping(
    data_of: dict[str, Path], kinds: Path, tmp_path: Path, task: str, changes: dict[str, Any]
) -> None:
    batch = changes.get("batch_size", 2)
    config = settings(task, **{"held_out": 1, "validations": 4, "max_images": 4 * batch, **changes})
    data = kinds if config.data.labels else data_of[task]
    assert train(new_run(tmp_path / "whole", config, task), data) == "done"

    halves = tmp_path / "halves"
    assert train(new_run(halves, config, task), data, StopAfter(images=2 * batch)) == "stop-after"
    saved = read_header(halves / FILE_NAME)
    assert (saved.images_seen, saved.steps) == (2 * batch, 2)
    assert train(resumed_run(halves, config, task), data) == "done"
    assert read_header(halves / FILE_NAME).steps == 4
    assert_same_snapshots(tmp_path / "whole", halves)
    best = [read_tensors(folder / BEST_NAME) for folder in (tmp_path / "whole", halves)]
    assert all(torch.equal(tensor, best[1][name]) for name, tensor in best[0].items())
    measured = [[line["metrics"] for line in log_lines(tmp_path / name, "validation")] for name in ("whole", "halves")]
    assert measured[0] == measured[1]
    assert len(measured[0]) == 5


def test_the_cases_learn_something(data_of: dict[str, Path], tmp_path: Path) -> None:
    """Two runs are not the same merely because nothing moves."""
    run = new_run(tmp_path, settings(), SKETCHES)
    before = {name: weight.detach().clone() for name, weight in run.trainer.named_parameters()}
    train(run, data_of[SKETCHES])
    unmoved = {name for name, weight in run.trainer.named_parameters() if torch.equal(weight, before[name])}
    # In the hinge game an offset of all scores has no gradient while every score is inside the margin.
    assert unmoved <= {"discriminator.scales.0.score.bias"}


def test_every_step_has_its_own_randomness(photos: Path, tmp_path: Path) -> None:
    """What one step draws says nothing about the next, and the seed decides it all."""

    class Drawing(trainer_class(SKETCHES)):
        def step(self, batch: Any, update: Any) -> None:
            drawn.append((float(torch.rand(())), float(batch.source_BCHW.mean())))
            super().step(batch, update)

    found: list[list[tuple[float, float]]] = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        drawn: list[tuple[float, float]] = []
        train(new_run(tmp_path / name, settings(seed=seed, accumulate=2), kind=Drawing), photos)
        found.append(drawn)
    assert found[0] == found[1]
    assert len({number for drawn in (found[0], found[2]) for number, _ in drawn}) == 24


def test_a_run_that_goes_on_after_its_snapshot_is_forgotten(data_of: dict[str, Path], tmp_path: Path) -> None:
    """As after kill -9: steps behind the last snapshot are taken again, and give the same."""

    class Killed(BaseException):
        pass

    class Dying(trainer_class("cyclegan")):
        dies_at = 0

        def step(self, batch: Any, update: Any) -> None:
            if batch.step == self.dies_at:
                raise Killed
            super().step(batch, update)

    data, config = data_of["cyclegan"], settings("cyclegan", max_images=24, pool_size=3)
    assert train(new_run(tmp_path / "whole", config, "cyclegan"), data) == "done"
    killed = tmp_path / "killed"
    train(new_run(killed, config, "cyclegan"), data, StopAfter(images=10))
    dying = resumed_run(killed, config, "cyclegan", Dying)
    dying.trainer.dies_at = 9
    with pytest.raises(Killed):
        train(dying, data)
    assert dying.progress.steps == 9
    assert read_header(killed / FILE_NAME).steps == 5
    assert train(resumed_run(killed, config, "cyclegan"), data) == "done"
    assert_same_snapshots(tmp_path / "whole", killed)


def test_resume_after_kill_equals_never_stopping(photos: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(photos), "--max-images", "100", *TINY, "--snapshot-time", "0s", "--sample-grids", "3"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with process(killed, *arguments) as child:
        child.kill()
        child.join(30)
        assert child.exitcode == -signal.SIGKILL
    header = read_header(killed / FILE_NAME)
    assert 0 < header.images_seen < 100
    assert main(["train", SKETCHES, "--out", str(killed), "--resume", "--snapshot-time", "1h"]) == 0
    assert main(["train", SKETCHES, "--out", str(whole), *arguments, "--snapshot-time", "1h"]) == 0
    assert_same_snapshots(killed, whole)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_stops_and_goes_on_from_the_command_line(
    data_of: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    out = tmp_path / "run"
    data = ["--data", str(data_of[task])]
    start = ["train", task, "--out", str(out), *data, *options(task, max_images=None)]
    assert main([*start, "--max-time", "1h", "--stop-after", "2images"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("ended early (--stop-after) at 0% of the budget after 2 images; to continue: ")
    assert f"translate resume {out}" in said
    assert main(["train", task, "--out", str(out), "--resume", "--stop-after", "4 images"]) == 0
    assert "after 6 images" in capsys.readouterr().out
    assert main(["train", task, "--out", str(out), "--resume", "--max-time", "0.001"]) == 2
    assert "has used its budget" in capsys.readouterr().err
    used = read_header(out / FILE_NAME).seconds_used
    assert main(["train", task, "--out", str(out), "--resume", "--max-time", f"{used + 0.001:.4f}"]) == 0
    assert "next: translate export" in capsys.readouterr().out
    assert read_header(out / FILE_NAME).images_seen > 6


def test_seconds_add_up_over_resumes(photos: Path, tmp_path: Path) -> None:
    config = settings(max_images=None, max_seconds=3600)
    train(new_run(tmp_path, config), photos, StopAfter(images=2))
    before = read_header(tmp_path / FILE_NAME).seconds_used
    run = resumed_run(tmp_path, config)
    assert run.progress.share == before / 3600
    train(run, photos, StopAfter(images=2))
    assert read_header(tmp_path / FILE_NAME).seconds_used == before + run.progress.seconds_here > before


def test_restored_run_is_saved_unchanged(straight: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(), saved=read_header(straight / FILE_NAME))
    torch.rand(7)
    run.restore(read_tensors(straight / FILE_NAME))
    run.save()
    assert_same_snapshots(straight, tmp_path)


def test_snapshot_holds_everything(straight: Path) -> None:
    tensors = read_tensors(straight / FILE_NAME)
    trainer = trainer_class(SKETCHES)(settings(), TASKS[SKETCHES])
    assert {f"trainer/{key}" for key in trainer.state_dict()} <= tensors.keys()
    for player, steps in (("generator", 6), ("discriminator", 5)):  # one in the warm start, without the judge
        for number, parameter in enumerate(trainer.get_submodule(player).parameters()):
            assert tensors[f"optimizers/{player}/{number}/exp_avg"].shape == parameter.shape
            assert tensors[f"optimizers/{player}/{number}/exp_avg_sq"].shape == parameter.shape
            assert tensors[f"optimizers/{player}/{number}/step"] == steps
    assert {f"average/generator/{key}" for key in trainer.generator.state_dict()} <= tensors.keys()
    assert {name.split("/")[0] for name in tensors} == {"trainer", "average", "optimizers"}
    header = read_header(straight / FILE_NAME)
    assert (header.task, header.images_seen, header.steps) == (SKETCHES, 12, 6)
    assert header.config["generator_widths"] == [8, 8]
    assert header.seconds_used > 0
    assert (header.spec["task"], header.spec["working_size"]) == (SKETCHES, 32)


def test_loader_process_changes_nothing(straight: Path, photos: Path, tmp_path: Path) -> None:
    assert train(new_run(tmp_path, settings(workers=1)), photos) == "done"
    assert_same_snapshots(straight, tmp_path)


def test_looking_changes_nothing(straight: Path, photos: Path, tmp_path: Path) -> None:
    """Sample grids and snapshots in between do not alter what is learnt."""
    config = settings(sample_grids=6, snapshot_seconds=0.0)
    assert train(new_run(tmp_path, config), photos) == "done"
    assert_same_snapshots(straight, tmp_path)
