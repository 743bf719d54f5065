"""The remedies for a game that goes wrong, in runs of every trainer."""

from collections.abc import Set
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import SKETCHES, assert_same_snapshots, log_lines, new_run, options, resumed_run, settings, train
from torch import Tensor

from translate.cli.main import main
from translate.trainers.base import Batch, Update
from translate.training.budget import StopAfter
from translate.training.snapshot import FILE_NAME, read_header, read_tensors

OPTIONS: dict[str, dict[str, Any]] = {
    **{
        name: {"adversarial": name, "discriminator_norm": "none"}
        for name in ("minimax", "maximum-likelihood", "wgan-gp")
    },
    "smoothed": {"adversarial": "non-saturating", "real_label": 0.9},
    "unrolled": {"unrolled_steps": 2},
    "reference-batch": {"discriminator_norm": "reference-batch"},
    "virtual-batch": {"discriminator_norm": "virtual-batch"},
    "batch features": {"discriminator_batch_features": True},
    "history": {"historical_weight": 0.1},
    "pool": {"pool_size": 2},
    "lecam": {"lecam_weight": 1.0},
    "negative": {"negative_weight": 1.0},
    "adaptive": {"adaptive_augmentation": 0.6, "discriminator_augmentation": ("translation", "cutout")},
    "optimistic": {"optimiser": "optimistic"},
    "extra-gradient": {"optimiser": "extra-gradient"},
    "discriminator steps": {"discriminator_steps": 2},
}
PLAIN: dict[str, dict[str, Any]] = {
    **{name: {"discriminator_norm": "none"} for name in ("minimax", "maximum-likelihood", "wgan-gp")},
    "smoothed": {"adversarial": "non-saturating"},
}
"""What a run with an option is compared with: all as there, but for the option itself."""
LOGGED = {
    "wgan-gp": "slope", "history": "history", "lecam": "lecam", "negative": "negative", "adaptive": "augmentation",
}  # fmt: skip
EARLY: dict[str, dict[str, Any]] = {
    "pix2pix": {"warm_start": 0.0},
    "super-resolution": {"adversarial_start": 0.0, "discriminator_augmentation": ("translation", "cutout")},
}


@cache
def weights_after(folder: Path, task: str, data: Path, option: str) -> tuple[dict[str, Tensor], Set[str]]:
    chosen = OPTIONS[option] if option in OPTIONS else PLAIN.get(option.removeprefix("plain "), {})
    changes = {"max_images": 4, "held_out": 1, "validations": 0, **EARLY.get(task, {}), **chosen}
    run = new_run(folder, settings(task, **changes), task)
    assert train(run, data) == "done"
    weights = {name: weight.detach().clone() for name, weight in run.trainer.named_parameters()}
    assert all(weight.isfinite().all() for weight in weights.values())
    return weights, log_lines(folder)[-1]["losses"].keys()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("task", ["pix2pix", "cyclegan", "cut", "super-resolution"])
def test_changes_what_every_trainer_learns(data_of: dict[str, Path], folder: Path, task: str, option: str) -> None:
    plain = f"plain {option}" if option in PLAIN else ""
    plain_weights, _ = weights_after(folder / f"{task}-{plain}", task, data_of[task], plain)
    weights, losses = weights_after(folder / f"{task}-{option}", task, data_of[task], option)
    networks = {name.split(".")[0] for name in weights}
    for network in networks & {"generator", "back_generator", "discriminator", "back_discriminator"}:
        names = [name for name in weights.keys() & plain_weights.keys() if name.startswith(f"{network}.")]
        assert any(not torch.equal(weights[name], plain_weights[name]) for name in names), network
    if option in LOGGED:
        assert f"discriminator.{LOGGED[option]}" in losses


REMEMBERING: dict[str, Any] = {
    "pool_size": 3,
    "lecam_weight": 0.3,
    "historical_weight": 0.01,
    "adaptive_augmentation": 0.6,
    "discriminator_augmentation": ("translation", "cutout"),
    "discriminator_norm": "virtual-batch",
    "negative_weight": 0.3,
    "unrolled_steps": 1,
}


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("pix2pix", {"optimiser": "extra-gradient", "warm_start": 0.1}),
        ("cyclegan", {"optimiser": "optimistic", "discriminator_steps": 2}),
    ],
)
def test_resume_equals_never_stopping(
    data_of: dict[str, Path], tmp_path: Path, task: str, changes: dict[str, Any]
) -> None:
    config = settings(task, **{"held_out": 1, "validations": 0, "max_images": 20, **REMEMBERING, **changes})
    assert train(new_run(tmp_path / "whole", config, task), data_of[task]) == "done"
    halves = tmp_path / "halves"
    assert train(new_run(halves, config, task), data_of[task], StopAfter(images=10)) == "stop-after"
    assert train(resumed_run(halves, config, task), data_of[task]) == "done"
    assert_same_snapshots(tmp_path / "whole", halves)


@pytest.mark.parametrize(
    "changes",
    [
        {"lecam_weight": 0.1},
        {"style_size": 5, "style_kind": "colours"},
        {"style_size": 2},
        {"style_size": 2, "pool_size": 3},
    ],
    ids=str,
)
def test_one_picture_that_is_no_number_spoils_its_step_only(
    photos: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = new_run(tmp_path, settings(max_images=8, warm_start=0.0, validations=0, **changes))
    step = run.trainer.step

    def spoilt(batch: Batch, update: Update) -> None:
        step(batch._replace(target_BCHW=batch.target_BCHW * float("nan")) if batch.step == 1 else batch, update)

    run.trainer.step = spoilt
    assert train(run, photos) == "done"
    assert 1 <= run.bad_steps <= 2
    assert all(buffer.isfinite().all() for buffer in run.trainer.buffers())


@pytest.mark.parametrize("norm", ["reference-batch", "virtual-batch"])
def test_a_reference_batch_outlasts_another_accumulation(photos: Path, tmp_path: Path, norm: str) -> None:
    given = options(discriminator_norm=norm, batch_size=4, warm_start=0.0, max_images=16, validations=0)
    out = str(tmp_path / "run")
    path = tmp_path / "run" / FILE_NAME
    assert main(["train", SKETCHES, "--data", str(photos), "--out", out, *given, "--stop-after", "4images"]) == 0
    kept_RCHW = read_tensors(path)["trainer/game.reference.pictures_RCHW"].clone()
    for parts in ("2", "1"):
        assert main(["resume", out, "--accumulate", parts, "--stop-after", "4images"]) == 0
        assert torch.equal(read_tensors(path)["trainer/game.reference.pictures_RCHW"], kept_RCHW)
        assert read_header(path).config["accumulate"] == int(parts)
