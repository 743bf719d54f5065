"""Training runs that also learn from sources without targets."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import (
    SKETCHES,
    assert_same_snapshots,
    log_lines,
    new_run,
    options,
    read_tensors,
    settings,
    training_data_of,
)

from export.command import _trainer
from translate.cli.main import main
from translate.data.loading import batches
from translate.training.batches import parts
from translate.training.snapshot import FILE_NAME, read_header


def train(*arguments: object) -> int:
    return main(["train", SKETCHES, *map(str, arguments)])


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawings of a box, small on large sheets. Read only."""
    folder = tmp_path_factory.mktemp("drawings")
    for number in range(3):
        sheet_HWC = np.full((90, 90, 3), 255, np.uint8)
        sheet_HWC[10:34, 10 + 5 * number : 34 + 5 * number] = 0
        sheet_HWC[12:32, 12 + 5 * number : 32 + 5 * number] = 255
        Image.fromarray(sheet_HWC).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(("channels", "dark"), [("3", 200), ("3x16", 200 * 257)])
def test_drawings_are_framed_like_the_photographs(
    photos: Path, drawings: Path, tmp_path: Path, channels: str, dark: int
) -> None:
    changes = {"unpaired_sources": str(drawings), "unpaired_share": 1.0, "augmentation": "flip", "channels": channels}
    run = new_run(tmp_path / "run", settings(**changes))
    data = training_data_of(run, photos)
    for position in range(6):
        item = data.stream[position]
        assert item.unpaired is not None
        sides = [
            max(int((picture_HWC.amin(dim=2) < dark).any(dim=axis).sum()) for axis in (0, 1))
            for picture_HWC in (item.unpaired[0], item.target_HWC)
        ]
        assert abs(sides[0] - sides[1]) <= 3  # of 32 pixels; on its sheet a drawing has 9


def test_batch_has_them_as_signals(photos: Path, drawings: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", settings(unpaired_sources=str(drawings), unpaired_share=1.0, channels="1:3"))
    data = training_data_of(run, photos)
    found = next(batches(data.stream, 6, 0, 0, pin=False))
    split = [part.unpaired for part in parts(found, 3)]
    assert [len(part.label_U) for part in split if part is not None] == [2, 2, 2]
    batch = data.batch(found, (0,), torch.device("cpu"))
    assert batch.unpaired is not None
    assert batch.unpaired.source_UCHW.shape == (6, 1, 32, 32)
    assert batch.unpaired.source_UCHW.aminmax() == (-1.0, 1.0)
    assert batch.unpaired.source_UCHW.is_contiguous(memory_format=torch.channels_last)


def test_a_resumed_run_equals_an_uninterrupted_one(
    photos: Path, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(shutil.copytree(drawings, tmp_path / "drawings"))
    monkeypatch.chdir(tmp_path)
    given = ["--data", photos, "--unpaired-sources", "drawings", "--unpaired-share", "0.5"]
    given += options(max_images=12, warm_start=0.25)
    assert train("--out", tmp_path / "whole", *given) == 0
    assert "6 pictures and 3 unpaired sources to learn from" in " ".join(capsys.readouterr().err.split())
    assert train("--out", tmp_path / "half", *given, "--stop-after", "6images") == 0
    monkeypatch.chdir(tmp_path / "half")  # the folder is found from anywhere
    assert train("--out", tmp_path / "half", "--resume") == 0
    assert_same_snapshots(tmp_path / "whole", tmp_path / "half")
    losses = log_lines(tmp_path / "whole", "progress")[-1]["losses"]
    assert 0 < losses["generator.unpaired_edges"] < 1
    own.rename(tmp_path / "moved")
    capsys.readouterr()
    assert train("--out", tmp_path / "half", "--resume", "--max-images", 14) == 2
    error = capsys.readouterr().err
    assert f"{own} does not exist; give a folder with pictures" in error
    assert error.count("\n") == 1
    path = tmp_path / "half" / FILE_NAME
    assert not _trainer(path, read_header(path))[0].config.data.unpaired_sources  # an export needs none of them
    assert train("--out", tmp_path / "half", "--resume", "--max-images", 14, "--unpaired-sources", "../moved") == 0


def test_nothing_else_changes(photos: Path, drawings: Path, tmp_path: Path) -> None:
    """A share so small that none of them is reached."""
    given = ["--data", photos, *options(max_images=8)]
    assert train("--out", tmp_path / "without", *given) == 0
    assert train("--out", tmp_path / "with", *given, "--unpaired-sources", drawings, "--unpaired-share", "0.1") == 0
    assert_same_snapshots(tmp_path / "without", tmp_path / "with")
    more = ["--unpaired-sources", drawings, "--unpaired-share", "0.5"]
    assert train("--out", tmp_path / "more", *given, *more) == 0
    one, other = (read_tensors(tmp_path / name / FILE_NAME) for name in ("without", "more"))
    assert one.keys() == other.keys()
    assert any(not torch.equal(one[name], other[name]) for name in one if name.startswith("trainer/generator"))


@pytest.mark.parametrize(
    ("task", "more", "message"),
    [
        (SKETCHES, ("--unpaired-sources", "EMPTY"), "empty contains no files; put pictures there"),
        (SKETCHES, ("--unpaired-sources", "none"), "none does not exist; give a folder with pictures"),
        (SKETCHES, ("--unpaired-sources", "x", "--unpaired-share", "0"), "--unpaired-share is 0; it must be above 0"),
        ("cyclegan", ("--unpaired-sources", "x"), "--unpaired-sources is for pix2pix and sketch-to-photo"),
    ],
)
def test_refused_before_anything_is_written(
    task: str,
    more: tuple[str, ...],
    message: str,
    data_of: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    given = [str(tmp_path / "empty") if word == "EMPTY" else word for word in more]
    out = tmp_path / "run"
    assert main(["train", task, "--data", str(data_of[task]), "--out", str(out), *options(task), *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()
