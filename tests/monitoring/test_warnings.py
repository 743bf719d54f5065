"""Warnings: each is given in a run that was built to go wrong in its way, and not in a healthy one."""

import io
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny_runs import log_lines, new_run, resumed_run, settings, train, training_data_of
from torch import Tensor

from translate.losses.adversarial import GAMES
from translate.monitoring.log import read_log
from translate.monitoring.logger import Logger
from translate.monitoring.report import write_report
from translate.monitoring.warnings import (
    AUGMENTATION,
    DIVERSITY,
    FAKE_RIGHT,
    HELD_OUT_RIGHT,
    NEAREST,
    REAL_RIGHT,
    TrainingWarning,
    Trends,
    warnings_of,
)
from translate.trainers.base import Batch
from translate.training.budget import StopAfter

PAIRS, UNPAIRED = "pix2pix", "cyclegan"


def names(readings: dict[str, float]) -> set[str]:
    return {light.name for light in warnings_of(readings)}


# --- what is read from networks


def noise(folder: Path, count: int, *, first: int = 0) -> Path:
    """Two collections of one kind of pictures: what a discriminator can tell apart, it has learnt by heart."""
    for which, side in enumerate(("source", "target")):
        (folder / side).mkdir(parents=True)
        for number in range(first, first + count):
            coarse_HWC = np.random.default_rng((number, which)).integers(0, 256, (2, 2, 3), np.uint8)
            picture = Image.fromarray(coarse_HWC).resize((32, 32), Image.Resampling.NEAREST)
            picture.save(folder / side / f"{number}{side}.png")
    return folder


def boxes(folder: Path, count: int, *, first: int = 0) -> Path:
    """Pairs side by side: a box on light ground, and its negative."""
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        picture_HWC = np.full((32, 32, 3), 230, np.uint8)
        picture_HWC[6:26, 4:28] = np.random.default_rng(number).integers(0, 200, (2, 1, 3)).repeat(10, 0)
        pair_HWC = np.concatenate([picture_HWC, 255 - picture_HWC], axis=1)
        Image.fromarray(pair_HWC).save(folder / f"{number}.png")
    return folder


def trained(folder: Path, data: Path, validation: Path, task: str = PAIRS, **changes: Any) -> dict[str, float]:
    """The last readings of a run."""
    wanted = {"validations": 1, "batch_size": 4, "feature_weight": 0.0, "lr_rampup_images": 0}
    train(new_run(folder, settings(task, **{**wanted, **changes}), task), data, validation=validation)
    return log_lines(folder, "health")[-1]["readings"]


STANDING_STILL = {"generator_lr": 1e-12, "augmentation": "none", "discriminator_augmentation": ()}
"""CycleGAN's generators begin as the identity, and stay it."""


def test_a_few_pictures_are_learnt_by_heart_and_many_are_not(tmp_path: Path) -> None:
    unseen = noise(tmp_path / "unseen", 16, first=1000)
    game = {**STANDING_STILL, "discriminator_width": 32, "discriminator_lr": 2e-3, "max_images": 240}
    game["generator_widths"] = (2,)  # nothing is asked of them
    few = trained(tmp_path / "few", noise(tmp_path / "3", 3), unseen, UNPAIRED, **game)
    assert {"memorising", "outplayed"} <= names(few), few
    many = trained(tmp_path / "many", noise(tmp_path / "100", 100), unseen, UNPAIRED, **game)
    assert not names(many), many


def test_a_generator_that_stands_still_is_outplayed_and_collapsed(tmp_path: Path) -> None:
    data, unseen = boxes(tmp_path / "data", 16), boxes(tmp_path / "unseen", 8, first=100)
    still = trained(tmp_path / "still", data, unseen, max_images=400, generator_lr=1e-12)
    assert {"outplayed", "collapsed"} <= names(still), still
    learning = trained(tmp_path / "learning", data, unseen, max_images=400)
    assert not names(learning), learning
    assert learning[DIVERSITY] > 3 * still[DIVERSITY]


def test_results_that_are_training_pictures(tmp_path: Path) -> None:
    data, unseen = noise(tmp_path / "data", 8), noise(tmp_path / "unseen", 8, first=50)
    shown = noise(tmp_path / "shown", 8, first=50)
    shutil.rmtree(shown / "source")
    # Generators that leave pictures alone, and are given those that were to be made.
    (shown / "source").mkdir()
    for path in (data / "target").iterdir():
        shutil.copy(path, shown / "source" / f"again{path.name}")
    game = {**STANDING_STILL, "max_images": 4}
    copied = trained(tmp_path / "copied", data, shown, UNPAIRED, **game)
    assert "copying" in names(copied), copied
    assert copied[NEAREST] < 0.05
    other = trained(tmp_path / "other", data, unseen, UNPAIRED, **game)
    assert "copying" not in names(other), other


def test_no_warning_without_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run, and one with two held-out pictures, look collapsed and are not called so."""
    said = io.StringIO()
    for held_out in (8, 2):
        data, unseen = (
            boxes(tmp_path / f"data {held_out}", 8),
            boxes(tmp_path / f"unseen {held_out}", held_out, first=100),
        )
        config = settings(PAIRS, max_images=5, validations=1, batch_size=1, generator_lr=1e-12)
        train(new_run(tmp_path / f"run {held_out}", config, PAIRS), data, validation=unseen, said=said)
        monkeypatch.setattr("translate.monitoring.logger.EARLY_STEPS", 5)  # the second run is long enough
    assert "look alike" not in said.getvalue()
    assert "copies" not in said.getvalue()


def test_warnings_are_said_once_and_stand_in_log_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.monitoring.logger.EARLY_STEPS", 0)
    said = io.StringIO()
    config = settings(PAIRS, max_images=40, validations=4, batch_size=4, generator_lr=1e-12)
    data, unseen = boxes(tmp_path / "data", 8), boxes(tmp_path / "unseen", 8, first=100)
    train(new_run(tmp_path / "run", config, PAIRS), data, validation=unseen, said=said)
    assert said.getvalue().count("warning: mode collapse") == 1
    (line,) = [line for line in log_lines(tmp_path / "run", "warning") if line["name"] == "collapsed"]
    assert (line["lit"], line["images"]) == (True, 12)  # a fifth of the budget says nothing yet
    assert len(log_lines(tmp_path / "run", "health")) == 4
    write_report(tmp_path / "run", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Warnings</h2>" in page
    assert "mode collapse" in page


def test_a_warning_that_applies_no_more_is_noted(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(
        folder=tmp_path,
        fabric=SimpleNamespace(is_global_zero=True, device=torch.device("cpu"), world_size=1),
        progress=SimpleNamespace(images_seen=1, share=0.5),
    )
    logger = Logger.__new__(Logger)
    said: list[str] = []
    vars(logger).update(run=run, silent=False, log_path=tmp_path / "log.jsonl", _log_failed=False)
    logger._active, logger._said = {}, set()
    logger.on_message = said.append  # type: ignore[method-assign]
    fire, smoke = TrainingWarning("a", "fire"), TrainingWarning("b", "smoke")
    for images, lights in enumerate(([], [fire], [TrainingWarning("a", "fire!")], [], [fire], [smoke]), 1):
        run.progress.images_seen = images
        logger._warn(lights, ("a", "b"))
    assert said == ["warning: fire", "warning: smoke"]  # what comes again stands in the log and is not said again
    found = [(light["name"], light["lit"], light["images"]) for light in read_log(tmp_path / "log.jsonl").warnings]
    assert found == [("b", True, 6), ("a", False, 5)]


def test_a_controller_at_its_end(tmp_path: Path) -> None:
    data, unseen = noise(tmp_path / "data", 3), noise(tmp_path / "unseen", 8, first=50)
    game = {**STANDING_STILL, "discriminator_augmentation": ("cutout",), "adaptive_augmentation": 0.6, "max_images": 4}
    run = new_run(tmp_path / "run", settings(UNPAIRED, validations=1, batch_size=4, **game), UNPAIRED)
    run.trainer.game.controller.probability.fill_(0.95)
    train(run, data, validation=unseen)
    assert "overstretched" in names(log_lines(tmp_path / "run", "health")[-1]["readings"])


@pytest.mark.parametrize(
    ("readings", "burning"),
    [
        ({}, set()),
        ({REAL_RIGHT: 0.9, HELD_OUT_RIGHT: 0.59, FAKE_RIGHT: 0.9}, {"memorising"}),
        ({REAL_RIGHT: 0.9, HELD_OUT_RIGHT: 0.7, FAKE_RIGHT: 0.9}, set()),
        ({REAL_RIGHT: 0.6, HELD_OUT_RIGHT: 0.1, FAKE_RIGHT: 0.6}, set()),
        ({REAL_RIGHT: 1.0, HELD_OUT_RIGHT: 1.0, FAKE_RIGHT: 0.995}, {"outplayed"}),
        ({DIVERSITY: 0.39, NEAREST: 0.39}, {"collapsed", "copying"}),
        ({DIVERSITY: 0.41, NEAREST: 0.41, AUGMENTATION: 0.8}, set()),
        ({AUGMENTATION: 0.9}, {"overstretched"}),
    ],
)
def test_limits(readings: dict[str, float], burning: set[str]) -> None:
    assert names(readings) == burning


# --- what is seen in losses and gradients


def play(
    name: str,
    *,
    steps: int,
    every: int,
    lr: float,
    r1: float = 0.0,
    real: float = 0.0,
    first: float = 1.0,
    judge_steps: int = 1,
    content: float = 0.0,
    measured: bool = True,
) -> set[str]:
    """The Dirac-GAN: data at `real`, one made point at `first`, a discriminator of one weight; the lights at the end.

    `content`: what losses beside the game add to the generator's gradient.
    Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, section 2.
    """
    game, trends = GAMES[name], Trends(measured=measured)
    made, weight = torch.tensor([first], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    data = torch.tensor([real])

    for number in range(steps):
        for left in reversed(range(judge_steps)):
            judged = game.discriminator(weight * data, weight * made.detach()) + r1 / 2 * weight.square().sum()
            (judge_gradient,) = torch.autograd.grad(judged, weight)
            (gradient,) = torch.autograd.grad(game.generator(weight.detach() * data, weight.detach() * made), made)
            with torch.no_grad():
                weight -= lr * judge_gradient
                if not left:  # at the same time
                    made -= lr * gradient
        if number % every == 0:
            norms = {"discriminator": float(judge_gradient.abs()), "game": float(gradient.abs())}
            norms["generator"] = norms["game"] + content
            trends.add({"discriminator.game": judged.item()}, norms, Trends.PICTURES)
    return {light.name for light in trends.warnings()}


def test_players_that_chase_each_other_in_circles() -> None:
    circles = {"steps": 96, "every": 2, "lr": 0.2}
    assert play("hinge", **circles) == {"oscillating"}
    assert play("hinge", **circles, r1=1.0) == set()
    assert play("hinge", **circles, measured=False) == set()  # a loss whose size means nothing


def test_what_comes_back_through_the_game_is_told_from_other_losses(tmp_path: Path, data_of: dict[str, Path]) -> None:
    for task, games in (("pix2pix", {"game"}), ("cyclegan", {"game", "back_game"})):
        config = settings(task, held_out=1, validations=0, warm_start=0.0) if task == "pix2pix" else settings(task)
        run = new_run(tmp_path / task, config, task)
        train(run, data_of[task])
        line = log_lines(tmp_path / task, "progress")[-1]
        assert line["gradients"].keys() == {"generator", "discriminator", *games}
        assert all(0 < line["gradients"][name] < math.inf for name in games)
        ratio = line["gradients"]["generator"] / line["gradients"]["discriminator"]
        assert line["gradient_ratio"] == pytest.approx(ratio, rel=1e-3)


def test_lights_and_levels_are_remembered_when_resuming(tmp_path: Path, data_of: dict[str, Path]) -> None:
    config = settings("pix2pix", held_out=2, validations=4, max_images=16)
    first = new_run(tmp_path, config, "pix2pix")
    assert train(first, data_of["pix2pix"], StopAfter(images=8)) == "stop-after"
    lines = (
        {"event": "start", "images": 0},
        {"event": "progress", "images": 4, "losses": {"x.game": 1.0}},
        {"event": "warning", "images": 8, "name": "copying", "lit": True, "text": "copies"},
        {"event": "progress", "images": 8, "bad_steps": 0, "losses": {"x.game": 1.0}, "gradients": {"generator": 2.0}},
        {"event": "warning", "images": 12, "name": "vanishing", "lit": True, "text": "nothing"},
    )
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = resumed_run(tmp_path, config, "pix2pix")
    logger = Logger(again, training_data_of(again, data_of["pix2pix"]), Console(file=io.StringIO()))
    logger.on_train_start()
    assert logger._active == {"copying": "copies"}  # what came after the snapshot is done again
    assert logger._trends._last["gradient generator"][-1] == 2.0
    logger._warn([], ["copying"])
    logger.teardown()
    (light,) = read_log(tmp_path / "log.jsonl").warnings
    assert (light["name"], light["lit"], light["images"]) == ("copying", False, 8)


def test_a_gradient_that_vanishes_and_one_that_does_not() -> None:
    # The discriminator is sure of itself: with the minimax loss the generator is told nothing.
    sure = {"steps": 24, "every": 1, "lr": 0.3, "real": 1.0, "first": -3.0, "judge_steps": 20, "content": 5.0}
    assert "vanishing" in play("minimax", **sure)
    assert "vanishing" not in play("non-saturating", **sure)


def test_a_gradient_that_grows_and_grows() -> None:
    out = {"steps": 400, "every": 10, "lr": 0.25}
    assert "exploding" in play("wgan-gp", **out)  # without its penalty
    assert "exploding" not in play("wgan-gp", **out, r1=1.0)


def test_few_lines_and_lines_that_are_no_numbers_say_nothing() -> None:
    trends = Trends()
    for number in range(Trends.LINES - 1):
        norms = {"generator": 1.0, "discriminator": 10.0**number}
        trends.add({"discriminator.game": 1 + math.sin(number)}, norms, 64)
    assert trends.warnings() == []
    trends.add({"discriminator.game": math.nan}, {"generator": 1.0, "discriminator": math.inf}, 64)
    assert trends.warnings() == []
    trends.add({"discriminator.game": 1.0}, {"generator": 1.0, "discriminator": 1e30}, 64)
    assert {light.name for light in trends.warnings()} == {"exploding", "oscillating"}


def test_losses_of_a_few_pictures_swing_by_chance() -> None:
    """A line of a slow training is a step: the same curve says something only if a line is many."""
    walk = np.random.default_rng(0).normal(size=300)
    curve = 1 + (walk + np.roll(walk, 1) + np.roll(walk, 2)) / 2  # neighbours share pictures that are hard to tell
    found: dict[int, int] = {}
    for images in (4, 64):
        trends = Trends()
        found[images] = 0
        for loss in curve:
            trends.add({"discriminator.game": float(loss)}, {}, images)
            found[images] += bool(trends.warnings())
    assert found[4] == 0 < found[64]


def test_watching_changes_nothing(tmp_path: Path, data_of: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks are the same bit for bit, whether they are watched or not."""
    found: dict[bool, dict[str, Tensor]] = {}
    for watched in (True, False):
        if not watched:
            monkeypatch.setattr("translate.monitoring.diagnostics.Diagnostics.read", lambda *_: {})
        config = settings("sketch-to-photo", held_out=2, validations=3, style_size=8)
        run = new_run(tmp_path / str(watched), config)
        train(run, data_of["sketch-to-photo"])
        found[watched] = run._trained()
    assert found[True].keys() == found[False].keys()
    assert all(torch.equal(tensor, found[False][name]) for name, tensor in found[True].items())


def test_a_discriminator_that_compares_with_a_reference_batch_is_asked_beside_it(
    tmp_path: Path, data_of: dict[str, Path]
) -> None:
    config = settings(UNPAIRED, held_out=2, validations=1, batch_size=4, discriminator_norm="virtual-batch")
    run = new_run(tmp_path, config, UNPAIRED)
    train(run, data_of[UNPAIRED])
    readings = log_lines(tmp_path, "health")[-1]["readings"]
    assert all(0 <= readings[name] <= 1 for name in (REAL_RIGHT, FAKE_RIGHT))
    # One score map a picture: none of them is taken for a reference.
    pictures_BCHW = torch.zeros(3, 3, 32, 32)
    batch = Batch(pictures_BCHW, pictures_BCHW, torch.zeros(3, dtype=torch.int64))
    for trial in run.trainer.trials(batch):
        assert {len(scores) for scores in trial.discriminator(trial.real_BCHW).scores} == {3}


@pytest.mark.parametrize("task", ["pix2pix", "sketch-to-photo", "cyclegan", "cut", "super-resolution"])
def test_every_trainer_is_watched(
    task: str, tmp_path: Path, data_of: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.monitoring.diagnostics.FEW_PICTURES", 2)
    changes = {"adversarial_start": 0.5} if task == "super-resolution" else {}
    run = new_run(tmp_path, settings(task, held_out=2, validations=2, **changes), task)
    train(run, data_of[task])
    readings = log_lines(tmp_path, "health")[-1]["readings"]
    assert readings.keys() == {REAL_RIGHT, FAKE_RIGHT, HELD_OUT_RIGHT, DIVERSITY, NEAREST}
    assert all(math.isfinite(value) and value >= 0 for value in readings.values())
