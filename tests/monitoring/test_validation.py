"""Held-out pictures: what is measured and when, which networks are kept as the best, when patience ends."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_runs import (
    SKETCHES,
    log_lines,
    new_run,
    options,
    resumed_run,
    settings,
    train,
    trainer_class,
    training_data_of,
)

from translate.cli.main import main
from translate.errors import ConfigError, DataError, SnapshotError
from translate.metrics import learned
from translate.monitoring import validation as validation_module
from translate.monitoring.logger import Logger
from translate.monitoring.validation import Validation
from translate.training import budget
from translate.training import run as run_module
from translate.training.batches import TrainingData, list_training_data
from translate.training.budget import StopAfter
from translate.training.run import Run
from translate.training.snapshot import BEST_NAME, FILE_NAME, read_header, read_tensors


def validation_of(run: Run, training_data: TrainingData) -> Validation:
    return Validation(run, training_data, Logger(run, training_data, Console(quiet=True)))


TASKS_PAIRED = {SKETCHES: True, "super-resolution": True, "pix2pix": True, "cyclegan": False, "cut": False}


def script(monkeypatch: pytest.MonkeyPatch, values: list[float], name: str = "swd") -> None:
    """Have the measurements give these values, one after the other."""
    left = iter(values)
    monkeypatch.setattr(Validation, "_scores", lambda self, results: {name: next(left)})


# --- what is measured, and when


@pytest.mark.parametrize(("task", "paired"), TASKS_PAIRED.items(), ids=TASKS_PAIRED)
def test_measured_at_the_start_and_at_equal_shares(
    data_of: dict[str, Path], tmp_path: Path, task: str, paired: bool
) -> None:
    run = new_run(tmp_path, settings(task, max_images=16, held_out=2, validations=4), task)
    assert train(run, data_of[task]) == "done"
    lines = log_lines(tmp_path, "validation")
    assert [line["images"] for line in lines] == [0, 4, 8, 12, 16]
    assert [line["share"] for line in lines] == [0.0, 0.25, 0.5, 0.75, 1.0]
    wanted = {"psnr_luma", "ssim", "swd"} if task == "super-resolution" else {"psnr", "ssim", "swd"}
    for line in lines:
        assert line.keys() == {"event", "images", "seconds", "share", "metrics", "best"}
        assert line["metrics"].keys() == (wanted if paired else {"swd"})
    assert [line["best"] for line in lines[:2]] == [False, True]  # the untrained networks are no result
    assert log_lines(tmp_path, "start")[0]["pictures"]["held_out"] == 2


def test_the_metrics_are_those_of_the_averaged_generator(pairs: Path, tmp_path: Path) -> None:
    config = settings("pix2pix", held_out=3, metrics=("psnr", "swd"), ema_halflife_images=10**6)
    run = new_run(tmp_path, config, "pix2pix")
    validation = validation_of(run, training_data_of(run, pairs))
    with torch.no_grad():  # always mid grey, which is 127.5 or 128 of 255
        for weight in run.generator.parameters():
            weight.zero_()
    by_hand = [((validation._truth_BCHW[i] - 128 / 255) ** 2).mean().log10() * -10 for i in range(3)]
    assert validation.measure()["psnr"] == pytest.approx(float(sum(by_hand)) / 3, abs=0.05)


def test_structure_compares_with_the_source(collections: Path, tmp_path: Path) -> None:
    changes = {"held_out": 2, "validations": 1, "metrics": ("swd", "structure"), "best_by": "structure"}
    run = new_run(tmp_path, settings("cyclegan", max_images=2, generator_lr=1e-12, **changes), "cyclegan")
    train(run, collections)
    assert log_lines(tmp_path, "validation")[-1]["metrics"]["structure"] > 0.95  # it begins as the identity
    assert run.best["metric"] == "structure"
    larger = new_run(tmp_path, settings("super-resolution", **changes), "super-resolution")
    with pytest.raises(ConfigError, match="differ in size or channels"):
        validation_module.measured_names(larger.trainer, 2)


def test_luma_needs_pixels_within_its_border(tmp_path: Path) -> None:
    changes = {"preset": "fidelity", "scale": 8, "image_size": 16, "detail_blocks": 0}
    run = new_run(tmp_path, settings("super-resolution", **changes), "super-resolution")
    with pytest.raises(ConfigError, match="--image-size is 16; psnr_luma with --scale 8 needs at least 24; increase"):
        validation_module.measured_names(run.trainer, 1)
    assert "psnr_luma" in validation_module.measured_names(run.trainer, 0)  # nothing is measured


def test_edges_are_compared_with_the_drawn_lines(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(held_out=2, metrics=("edge_agreement",), best_by="edge_agreement")
    run = new_run(tmp_path, config)
    validation = validation_of(run, training_data_of(run, photos))
    drawn_BCHW = validation_module.unit(validation._source_BHWC)
    monkeypatch.setattr(validation, "_results", lambda: drawn_BCHW)
    assert validation.measure()["edge_agreement"] > 0.9
    monkeypatch.setattr(validation, "_results", lambda: torch.full_like(drawn_BCHW, 0.5))
    assert validation.measure()["edge_agreement"] == 0.0


def test_none_held_out_nothing_measured(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings())  # six pictures are too few to keep one back
    assert train(run, photos) == "done"
    assert log_lines(tmp_path, "validation") == []
    assert not (tmp_path / BEST_NAME).exists()
    assert run.best == {}


def test_held_out_pictures_are_never_learnt_from(collections: Path, pairs: Path, tmp_path: Path) -> None:
    for task, data in (("pix2pix", pairs), ("cyclegan", collections)):
        run = new_run(tmp_path / task, settings(task, held_out=2), task)
        training_data = training_data_of(run, data)
        listings, _ = list_training_data(_task(task), run.config, data, None)
        for side in ("sources", "targets"):
            train_files, held_files = (set(getattr(part, side)) for part in (listings.train, listings.held_out))
            assert len(held_files) == 2
            assert not train_files & held_files
            assert getattr(training_data.stream.listing, side) == getattr(listings.train, side)
        train(run, data)
        assert log_lines(run.folder, "start")[0]["pictures"] == {"train": len(training_data.stream), "held_out": 2}


def _task(name: str) -> Any:
    from translate.tasks import TASKS

    return TASKS[name]


def test_a_folder_to_measure_with(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    data = tmp_path / "data"
    data.mkdir()
    for number in range(6):
        shutil.copy(photos / f"{number}.png", other if number < 2 else data)
    out = tmp_path / "run"
    start = ["train", SKETCHES, "--data", str(data), "--val", str(other), "--out", str(out)]
    assert main([*start, *options(max_images=8, validations=2, metrics="swd"), "--stop-after", "4images"]) == 0
    assert log_lines(out, "start")[0]["pictures"] == {"train": 4, "held_out": 2}
    assert read_header(out / FILE_NAME).validation == str(other.resolve())
    assert main(["train", SKETCHES, "--out", str(out), "--resume"]) == 0
    assert [line["images"] for line in log_lines(out, "validation")] == [0, 4, 8]


def test_a_picture_of_both_folders_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    for number in range(4):
        shutil.copy(photos / f"{number}.png", tmp_path / "val" / f"renamed{number}.png")
    run = new_run(tmp_path / "run", settings())
    with pytest.raises(DataError) as caught:
        train(run, photos, validation=tmp_path / "val")
    names = ", ".join(str(tmp_path / "val" / f"renamed{number}.png") for number in range(3))
    assert str(caught.value).startswith(f"4 validation pictures are also in the training data ({names}, ...); ")


# --- how much of the time is spent on measuring


def run_by_clock(folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, cost: float, **changes: Any) -> list[int]:
    """The images at which a run is measured whose steps of 2 take a second each and whose measurements take `cost`."""
    now = [0.0]
    for module in (budget, validation_module):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])

    def scores(self: Validation, results: torch.Tensor) -> dict[str, float]:
        now[0] += cost
        return {"swd": 1.0}

    def tick(progress: budget.Progress) -> float:
        now[0] += 1.0
        return clock(progress)

    clock = budget.Progress.tick
    monkeypatch.setattr(Validation, "_scores", scores)
    monkeypatch.setattr(budget.Progress, "tick", tick)
    config = settings(**{"max_images": None, "max_seconds": 40.0, "held_out": 1, "validations": 10, **changes})
    assert train(new_run(folder, config), photos) == "done"
    return [line["images"] for line in log_lines(folder, "validation")]


def test_measuring_takes_a_tenth_of_the_time_at_most(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 0.25 s each, every 4 s: the first at 0 s and the second, at 4.25 s, are 0.5 s of 4.5.
    cheap = run_by_clock(tmp_path / "cheap", photos, monkeypatch, 0.25)
    assert len(cheap) == 10  # all but that one
    # 1 s each: with it, 2 s of 20, 3 of 30; and the last, whatever it costs.
    dear = run_by_clock(tmp_path / "dear", photos, monkeypatch, 1.0)
    assert len(dear) == 4
    assert dear[0] == 0
    # 30 s: none but the first, which it is compared with, and the last.
    ruinous = run_by_clock(tmp_path / "ruinous", photos, monkeypatch, 30.0)
    assert len(ruinous) == 2
    assert read_header(tmp_path / "ruinous" / FILE_NAME).best["images"] == ruinous[-1]


def test_a_budget_of_images_does_not_ask_the_clock(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"max_images": 12, "max_seconds": None, "validations": 6}
    assert run_by_clock(tmp_path, photos, monkeypatch, 30.0, **changes) == [0, 2, 4, 6, 8, 10, 12]


# --- what cannot be measured


@pytest.mark.parametrize("best_by", ["psnr", "ssim"])
def test_unpaired_has_no_best_by_pairs(collections: Path, tmp_path: Path, best_by: str) -> None:
    out = tmp_path / "run"
    run = new_run(out, settings("cyclegan", best_by=best_by), "cyclegan")
    with pytest.raises(ConfigError, match=f"^--best-by is {best_by}, which needs pairs; use swd$"):
        train(run, collections)


@pytest.mark.parametrize("name", ["lpips", "fid", "kid"])
def test_weights_that_are_not_there_are_named_before_anything_is_written(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: Any,
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    out = tmp_path / "run"
    arguments = ["--data", str(photos), "--out", str(out), *options(metrics=("swd", name))]
    assert main(["train", SKETCHES, *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    file = tmp_path / "hub" / "checkpoints" / learned.NETWORKS[name][0].rsplit("/", 1)[1]
    assert said[-1].startswith(f"translate: --metrics includes {name}: {name} is not available here: ")
    assert said[-1].endswith(f"as {file}")
    assert len(said) == 1
    assert not out.exists()


def test_learned_metrics_are_asked_for_all_pictures_at_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_module, "missing", lambda name: None)
    monkeypatch.setattr(validation_module, "score", lambda name, result, truth: float(len(result) + len(truth)))
    config = settings(max_images=2, held_out=2, validations=1, metrics=("fid", "swd"), best_by="fid")
    run = new_run(tmp_path, config)
    train(run, photos)
    assert log_lines(tmp_path, "validation")[-1]["metrics"]["fid"] == 4.0
    assert (run.best["metric"], run.best["value"]) == ("fid", 4.0)


# --- the best


def test_the_best_is_kept_and_the_rest_is_not(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, [9.0, 3.0, float("nan"), 2.0, 2.0, 5.0, 4.0])
    kept: list[tuple[int, dict[str, torch.Tensor]]] = []

    def note(run: Any) -> None:
        kept.append((run.progress.images_seen, {name: tensor.clone() for name, tensor in run._averaged().items()}))
        save_best(run)

    save_best = run_module.Run.save_best
    monkeypatch.setattr(run_module.Run, "save_best", note)
    run = new_run(tmp_path, settings(held_out=1, validations=6))
    said = io.StringIO()
    assert train(run, photos, said=said) == "done"
    assert [images for images, _ in kept] == [2, 6]
    assert run.best == {"metric": "swd", "value": 2.0, "images": 6, "since": 3}
    assert read_header(run.snapshot_path).best == run.best
    header, tensors = read_header(tmp_path / BEST_NAME), read_tensors(tmp_path / BEST_NAME)
    assert (header.images_seen, header.steps, header.best["value"]) == (6, 3, 2.0)
    assert header.spec == read_header(run.snapshot_path).spec
    assert tensors.keys() == {f"average/generator/{name}" for name in run.generator.state_dict()}
    assert all(torch.equal(tensor, kept[1][1][name]) for name, tensor in tensors.items())
    assert [line.strip() for line in said.getvalue().splitlines() if "best so far" in line] == [
        "17% held out: swd 3  (best so far)", "50% held out: swd 2  (best so far)"
    ]  # fmt: skip


def test_of_some_metrics_more_is_better(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, [1.0, 10.0, 12.0, 11.0], "psnr")
    run = new_run(tmp_path, settings("pix2pix", held_out=1, validations=3, best_by="psnr"), "pix2pix")
    train(run, pairs)
    assert run.best == {"metric": "psnr", "value": 12.0, "images": 8, "since": 1}


def test_best_that_cannot_be_written(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: Path, header: Any, tensors: Any) -> None:
        if path.name == BEST_NAME:
            raise SnapshotError("cannot write it: No space left on device")
        write(path, header, tensors)

    write = run_module.write_snapshot
    monkeypatch.setattr(run_module, "write_snapshot", full_disk)
    said = io.StringIO()
    run = new_run(tmp_path, settings(held_out=1, validations=1, metrics=("swd",)))
    assert train(run, photos, said=said) == "done"
    assert "the best snapshot was not saved: cannot write it: No space left on device\n" in said.getvalue()
    assert not (tmp_path / BEST_NAME).exists()


# --- patience


def test_patience_ends_the_run_and_resuming_counts_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(held_out=1, validations=6, patience=3)
    script(monkeypatch, [9.0, 3.0, 4.0])
    assert train(new_run(tmp_path, config), photos, StopAfter(images=4)) == "stop-after"
    assert read_header(tmp_path / FILE_NAME).best["since"] == 1
    script(monkeypatch, [3.0, 4.0])  # as good is not better
    run = resumed_run(tmp_path, config)
    assert train(run, photos) == "early-stop"
    assert run.progress.images_seen == 8
    assert run.best == {"metric": "swd", "value": 3.0, "images": 2, "since": 3}
    script(monkeypatch, [2.0, 4.0])
    more = settings(held_out=1, validations=6, patience=4)
    assert train(resumed_run(tmp_path, more), photos) == "done"
    assert read_header(tmp_path / BEST_NAME).images_seen == 10


def test_patience_on_the_command_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, [9.0, 3.0, 4.0])
    out = tmp_path / "run"
    start = ["train", SKETCHES, "--data", str(photos), "--out", str(out)]
    assert main([*start, *options(held_out=1, validations=6, patience=1)]) == 0
    assert capsys.readouterr().out == (
        f"trained on 4 images (no improvement any more); next: translate export {out} -o {SKETCHES}.onnx\n"
    )


def test_a_resumed_run_may_choose_another_metric(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, [900.0, 500.0])
    common: dict[str, Any] = {"held_out": 1, "validations": 2}
    train(new_run(tmp_path, settings(**common)), photos, StopAfter(images=6))
    script(monkeypatch, [20.0], "psnr")
    run = resumed_run(tmp_path, settings(**common, best_by="psnr"))
    assert train(run, photos) == "done"
    assert run.best == {"metric": "psnr", "value": 20.0, "images": 12, "since": 0}


def test_measuring_does_not_alter_what_is_learnt(photos: Path, tmp_path: Path) -> None:
    for name, validations in (("with", 6), ("without", 0)):
        config = settings(held_out=1, validations=validations, metrics=("swd",))
        train(new_run(tmp_path / name, config, kind=trainer_class(SKETCHES)), photos)
    one, other = (read_tensors(tmp_path / name / FILE_NAME) for name in ("with", "without"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_best_that_cannot_be_kept_is_no_best(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, [9.0, 5.0, 4.0])
    failing = iter([False, True])
    keep = run_module.Run.save_best

    def full(run: run_module.Run) -> None:
        if next(failing):
            raise SnapshotError("disk full")
        keep(run)

    monkeypatch.setattr(run_module.Run, "save_best", full)
    run = new_run(tmp_path, settings(max_images=8, held_out=1, validations=2))
    train(run, photos)
    assert (run.best["value"], run.best["images"]) == (5.0, 4)
    assert read_header(tmp_path / FILE_NAME).best == read_header(tmp_path / BEST_NAME).best
    assert [line["best"] for line in log_lines(tmp_path, "validation")] == [False, True, False]
