"""What a run writes while it learns: the log, sample grids, curves; and what it does when it cannot."""

import io
import struct
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_runs import SKETCHES, log_lines, new_run, resumed_run, settings, train

from translate.errors import DataError
from translate.monitoring import logger as logger_module
from translate.monitoring import tensorboard as curves_module
from translate.monitoring.samples import GAP_GREY, ROWS, STYLES
from translate.monitoring.tensorboard import Curves
from translate.pictures.operations import read_picture
from translate.tasks import TASKS
from translate.training.budget import StopAfter
from translate.training.snapshot import FILE_NAME, read_header


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger_module, "LOG_SECONDS", 0.0)


def grids(folder: Path) -> list[np.ndarray]:
    return [read_picture(path).rgb_HWC for path in sorted((folder / "samples").iterdir())]


@pytest.mark.usefixtures("every_step")
def test_log_and_sample_grids(photos: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, settings(max_images=8, sample_grids=2))
    assert train(run, photos) == "done"
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["000000004.png", "000000008.png"]
    for grid_HWC in grids(tmp_path):
        assert grid_HWC.shape == (6 * (32 + 4) + 4, 3 * (32 + 4) + 4, 3)  # six photographs, gaps of 4
        assert (grid_HWC[:4] == GAP_GREY).all()
    start, *lines = log_lines(tmp_path)
    assert start.keys() == {"event", "images", "pictures", "machine"}
    assert (start["event"], start["images"]) == ("start", 0)
    assert start["pictures"] == {"train": 6, "held_out": 0}
    assert (start["machine"]["device"], start["machine"]["processes"]) == ("CPU", 1)
    assert start["machine"]["torch"] == version("torch")
    assert [line["images"] for line in lines] == [2, 4, 6, 8]
    for line in lines:
        assert line.keys() - {"gradient_ratio"} == {
            "event", "images", "seconds", "share", "lr_factor", "images_per_second", "bad_steps", "losses", "gradients"
        }  # fmt: skip
        assert line["event"] == "progress"
        assert line["bad_steps"] == 0
    assert lines[0]["losses"].keys() == {"generator.l1"}  # the warm start
    assert lines[0]["gradients"].keys() == {"generator"}
    assert ["gradient_ratio" in line for line in lines] == ["discriminator" in line["gradients"] for line in lines]
    for line in lines[1:]:
        assert line["losses"].keys() == {
            "discriminator.game", "generator.adversarial", "generator.features", "generator.l1"
        }  # fmt: skip
        assert line["gradients"].keys() == {"generator", "discriminator", "game"}
        assert all(value > 0 for value in line["gradients"].values())
    assert [line["share"] for line in lines] == [0.25, 0.5, 0.75, 1.0]


def test_a_line_is_the_mean_since_the_one_before(photos: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    train(new_run(tmp_path / "rare", settings(warm_start=0.0)), photos)
    request.getfixturevalue("every_step")
    train(new_run(tmp_path / "often", settings(warm_start=0.0)), photos)
    (mean,) = log_lines(tmp_path / "rare", "progress")
    lines = log_lines(tmp_path / "often", "progress")
    assert len(lines) == 6
    for name, value in mean["losses"].items():
        assert value == pytest.approx(sum(line["losses"][name] for line in lines) / 6, abs=1e-4)


@pytest.mark.usefixtures("every_step")
def test_losses_are_those_of_all_parts_of_a_batch(pairs: Path, tmp_path: Path) -> None:
    found: list[dict[str, dict[str, float]]] = []
    for parts in (1, 4):
        changes = {"batch_size": 4, "accumulate": parts, "warm_start": 0.0, "discriminator_augmentation": ()}
        train(new_run(tmp_path / str(parts), settings("pix2pix", max_images=4, **changes), "pix2pix"), pairs)
        found.append(log_lines(tmp_path / str(parts), "progress")[0])
    whole, split = found
    for name in ("generator.l1", "discriminator.game"):
        assert split["losses"][name] == pytest.approx(whole["losses"][name], abs=2e-4)
    # Of three parts the discriminator has not been improved yet.
    assert split["gradients"]["game"] == pytest.approx(whole["gradients"]["game"], rel=0.05)


@pytest.mark.usefixtures("every_step")
def test_a_resumed_run_goes_on_with_its_log_and_grids(photos: Path, tmp_path: Path) -> None:
    config = settings(max_images=8, sample_grids=4)
    train(new_run(tmp_path, config), photos, StopAfter(images=4))
    train(resumed_run(tmp_path, config), photos)
    assert [(line["event"], line["images"]) for line in log_lines(tmp_path)] == [
        ("start", 0), ("progress", 2), ("progress", 4), ("start", 4), ("progress", 6), ("progress", 8)
    ]  # fmt: skip
    assert [path.stem for path in sorted((tmp_path / "samples").iterdir())] == [
        f"{images:09d}" for images in (2, 4, 6, 8)
    ]


@pytest.mark.parametrize("task", TASKS)
def test_grid_of_every_task(data_of: dict[str, Path], tmp_path: Path, task: str) -> None:
    run = new_run(tmp_path, settings(task, max_images=2, sample_grids=1, held_out=2, validations=0), task)
    train(run, data_of[task])
    (grid_HWC,) = grids(tmp_path)
    columns = 3 if run.trainer.paired else 2  # of the unpaired there is no truth
    assert grid_HWC.shape == (2 * (32 + 4) + 4, columns * (32 + 4) + 4, 3)
    tiles = [grid_HWC[4:36, 4 + 36 * column : 36 + 36 * column] for column in range(columns)]
    if run.trainer.paired:
        assert len({tile.tobytes() for tile in tiles}) == columns
    else:  # these start as the identity
        assert np.abs(tiles[0].astype(int) - tiles[1]).max() <= 2
    if task == "pix2pix":  # the truth is the negative of the source
        assert np.abs(255 - tiles[0].astype(int) - tiles[2]).max() <= 1


def test_grid_of_styles_labels_and_other_channels(kinds: Path, pairs: Path, tmp_path: Path) -> None:
    common: dict[str, Any] = {"max_images": 2, "sample_grids": 1}
    many = settings(style_size=2, labels=True, label_names=("bags", "shoes"), **common)
    train(new_run(tmp_path / "styles", many), kinds)
    (grid_HWC,) = grids(tmp_path / "styles")
    assert grid_HWC.shape == (6 * 36 + 4, (2 + 1 + STYLES) * 36 + 4, 3)

    grey = settings("pix2pix", channels="1:3x16", held_out=1, **common)
    train(new_run(tmp_path / "grey", grey, "pix2pix"), pairs)
    (grid_HWC,) = grids(tmp_path / "grey")
    assert grid_HWC.shape == (36 + 4, 3 * 36 + 4, 3)
    source_HWC, truth_HWC = grid_HWC[4:36, 4:36], grid_HWC[4:36, 76:108]
    assert (source_HWC == source_HWC[..., :1]).all()
    assert (truth_HWC != truth_HWC[..., :1]).any()
    assert truth_HWC.max() > 128


def test_at_most_eight_rows_and_bad_files_are_said_once(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.png").write_bytes((photos / f"{number % 6}.png").read_bytes())
    (folder / "bad.png").write_text("x")
    run, said = new_run(tmp_path / "run", settings(max_images=40, sample_grids=1, held_out=0)), io.StringIO()
    assert train(run, folder, said=said) == "done"
    assert read_picture(next((run.folder / "samples").iterdir())).height <= ROWS * (32 + 4) + 4
    rejected = log_lines(run.folder, "rejected")
    assert len(rejected) == 1
    assert str(folder / "bad.png") in rejected[0]["file"]
    assert said.getvalue().count("skipped: ") == 1
    assert f"skipped: {rejected[0]['file']}\n" in said.getvalue()


def test_pictures_that_cannot_be_used_end_no_run_unless_all(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (10, 10)).save(folder / f"{number}.png")
    with pytest.raises(
        DataError, match=r"in: none of the 3 pictures tried can be used; the first one: .*0\.png is 10x10"
    ):
        train(new_run(tmp_path / "run", settings(held_out=0)), folder)
    (folder / "good.png").write_bytes((photos / "0.png").read_bytes())
    assert train(new_run(tmp_path / "run", settings(held_out=0)), folder) == "done"
    assert len(log_lines(tmp_path / "run", "rejected")) == 3


def test_full_disk_for_pictures_and_log_does_not_end_the_run(photos: Path, tmp_path: Path) -> None:
    for name in ("samples", "tensorboard"):
        (tmp_path / name).write_text("in the way")
    (tmp_path / "log.jsonl").mkdir()
    said = io.StringIO()
    assert train(new_run(tmp_path, settings(max_images=4, sample_grids=2)), photos, said=said) == "done"
    assert read_header(tmp_path / FILE_NAME).images_seen == 4
    assert said.getvalue().count("cannot write the sample grid: ") == 2
    assert said.getvalue().count("cannot write the log: ") == 1
    assert (tmp_path / "tensorboard").read_text() == "in the way"


@pytest.mark.usefixtures("every_step")
def test_plain_lines_where_there_is_no_terminal(photos: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    train(new_run(tmp_path, settings(max_images=4, warm_start=0.0)), photos, said=said)
    first, second = said.getvalue().splitlines()
    assert first.startswith(" 50% game ")
    assert second.startswith("100% game ")
    assert second.endswith(" images/s  0:00 left")


# --- curves


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Name -> (images, value) of all event files, read with tensorboard's own reader of its records."""
    from tensorboard.compat.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        place = 0
        while place < len(data):  # length, its checksum, an event, its checksum
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            place += 16 + length
    return found


@pytest.mark.usefixtures("every_step")
def test_curves_say_what_the_log_says(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(new_run(tmp_path, settings(held_out=1, validations=2, warm_start=0.0, metrics=("swd",))), photos)
    found = scalars(tmp_path / "tensorboard")
    lines, measured = log_lines(tmp_path, "progress"), log_lines(tmp_path, "validation")
    for name in lines[0]["losses"]:
        expected = [(line["images"], line["losses"][name]) for line in lines]
        assert found[f"training/{name}"] == [(images, pytest.approx(value)) for images, value in expected]
    assert found["held out/swd"] == [(x["images"], pytest.approx(x["metrics"]["swd"], rel=1e-6)) for x in measured]


@pytest.mark.parametrize(("start", "shown"), [(20, [(10, 1.0), (20, 2.0), (30, 4.0)]), (0, [(30, 4.0)])])
def test_curves_forget_what_a_killed_process_has_lost(
    tmp_path: Path, start: int, shown: list[tuple[int, float]]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for began, points in ((0, {10: 1.0, 20: 2.0, 28: 3.0}), (start, {30: 4.0})):
        curves = Curves(tmp_path, enabled=True, start=began)
        for images, value in points.items():
            curves.add("training", {"loss": value}, images)
        curves.close()
        for path in tmp_path.glob("events.out.tfevents.*.*"):  # named by the second, and read in this order
            path.rename(tmp_path / f"events.out.tfevents.{len(list(tmp_path.iterdir()))}")
    found = EventAccumulator(str(tmp_path)).Reload().Scalars("training/loss")
    assert [(point.step, point.value) for point in found] == shown


def test_no_tensorboard_no_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves_module, "find_spec", lambda name: None)
    curves = Curves(tmp_path / "curves", enabled=True)
    curves.add("a", {"b": 1.0}, 1)
    curves.close()
    monkeypatch.undo()
    Curves(tmp_path / "curves", enabled=False).add("a", {"b": 1.0}, 1)
    assert not (tmp_path / "curves").exists()


def test_a_disk_that_fills_up_ends_the_curves_only(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    curves = Curves(tmp_path, enabled=True)

    class Full:
        def add_scalar(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

        close = add_scalar

    assert list(tmp_path.iterdir()) == []  # nor does a thread run
    curves._writer = Full()  # type: ignore[assignment]
    curves.close()
    curves.add("a", {"b": 1.0}, 1)
    curves.add("a", {"b": 1.0}, 2)
    curves.close()


def test_the_log_of_a_task_names_its_losses(data_of: dict[str, Path], tmp_path: Path) -> None:
    for task in ("cyclegan", "cut", "super-resolution", SKETCHES):
        run = new_run(tmp_path / task, settings(task, max_images=4), task)
        train(run, data_of[task])
        names = {name.split(".")[0] for name in log_lines(tmp_path / task)[-1]["losses"]}
        assert names <= run.trainer.players.keys()
