"""`translate data check`: what it finds, what it says, and what it leaves alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from translate.cli.main import main
from translate.data import check, thumbnails
from translate.data.check import least_side
from translate.data.thumbnails import NEAR, as_rgb, near_duplicates
from translate.metrics import neighbours
from translate.tasks import TASKS, Task

PAIRS = "--task pix2pix"


def picture(number: int, height: int = 260, width: int = 264) -> np.ndarray:
    """A coarse mosaic, so that its thumbnail is unlike that of another number."""
    tiles_HWC = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(tiles_HWC).resize((width, height), Image.Resampling.NEAREST))


def save(path: Path, array: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def ask(capsys: pytest.CaptureFixture[str], folder: Path, options: str) -> tuple[int, dict]:
    status = main(["data", "check", str(folder), *options.split(), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_what_a_task_needs_is_what_its_trainer_says(task: Task) -> None:
    from translate.data.layouts import MIN_SIDE
    from translate.tasks.base import load_object
    from translate.trainers.base import Trainer

    trainer_class = load_object(task.trainer)
    preset = trainer_class.presets["modern"]
    assert task.makes_source == (bool(task.source_maker) or trainer_class.source_maker is not Trainer.source_maker)
    assert (task.image_size, task.framing == "patch") == (preset.data.image_size, preset.data.framing == "patch")
    assert least_side(task) == (preset.data.image_size if task.framing == "patch" else MIN_SIDE)


@pytest.mark.parametrize("module", ["translate.cli.data", "translate.cli.report", "translate.data.contact_sheet"])
def test_without_torch(module: str) -> None:
    code = f"import sys; sys.modules['torch'] = None; import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_what_training_installs(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1, 300))
    save(tmp_path / "b.png", picture(2, 400))
    # None in sys.modules would trip tyro, which looks there for torch.
    code = (
        "import sys; from importlib.machinery import PathFinder as P; find = P.find_spec; "
        "P.find_spec = lambda name, *rest: None if name in ('torch', 'cv2', 'albumentations') else find(name, *rest); "
        "from translate.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "data", "check", str(tmp_path), "--task", "super-resolution"]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


def test_good_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", picture(number, 200 + 100 * number))
    status, answer = ask(capsys, tmp_path, "--task sketch-to-photo")
    assert (status, answer["findings"], answer["square"]) == (0, [], 256)
    (split,) = answer["splits"]
    assert (split["layout"], split["counts"], split["labels"]) == ("photos", {"pictures": 3}, {})
    assert split["sizes"]["pictures"] == {
        "pictures": 3,
        "smallest": [264, 200],
        "median": [264, 300],
        "largest": [264, 400],
        "below_square": 1,
    }
    assert main(["data", "check", str(tmp_path), "--task", "sketch-to-photo"]) == 0
    text = capsys.readouterr().out
    assert "No problems found." in text
    assert f"Next: translate train sketch-to-photo --data {tmp_path} --out" in text


def test_drawings_among_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that also holds what another program drew of its photographs."""
    for number in range(3):
        save(tmp_path / "photo" / f"{number}.png", picture(number))
        paper = Image.new("RGB", (264, 260), "white")
        ImageDraw.Draw(paper).ellipse((20 + 9 * number, 60, 220, 200), outline="black", width=4)
        save(tmp_path / "lines" / f"{number}.png", np.asarray(paper))
    status, answer = ask(capsys, tmp_path, "--task sketch-to-photo")
    (finding,) = answer["findings"]
    assert (status, finding["kind"], finding["count"]) == (1, "drawings", 3)
    assert finding["names"] == [f"lines/{number}.png" for number in range(3)]
    assert "--layout two-folders" in finding["text"]
    assert main(["data", "check", str(tmp_path), "--task", "sketch-to-photo"]) == 1
    assert "Next:" not in capsys.readouterr().out
    for right in ("--task sketch-to-photo --layout two-folders --folders lines photo", "--task super-resolution"):
        assert ask(capsys, tmp_path, right)[1]["findings"] == []
    assert ask(capsys, tmp_path / "photo", "--task sketch-to-photo")[1]["findings"] == []
    # One pale shoe among others is no drawing.
    (tmp_path / "lines" / "0.png").rename(tmp_path / "photo" / "white.png")
    assert ask(capsys, tmp_path / "photo", "--task sketch-to-photo")[1]["findings"] == []


def test_broken_and_double_and_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.png", picture(1))
    save(tmp_path / "b.webp", picture(1), lossless=True, exact=True)
    save(tmp_path / "c.png", picture(2, 100))
    (tmp_path / "d.jpg").write_bytes(b"no picture")
    status, answer = ask(capsys, tmp_path, "--task super-resolution")
    assert status == 1
    found = {finding["kind"]: finding for finding in answer["findings"]}
    assert set(found) == {"broken", "duplicates", "small"}
    assert found["duplicates"]["names"] == ["a.png = b.webp"]
    assert found["small"]["names"] == ["c.png (264x100)"]
    assert found["broken"]["names"][0].startswith("d.jpg: not a PNG, JPEG, WebP")


def test_pairs_without_partner_and_of_two_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, numbers in (("source", range(30)), ("target", range(25, 31))):
        for number in numbers:
            save(
                tmp_path / side / f"{number:02}.png",
                picture(number, 32, 48 if number == 26 and side == "source" else 32),
            )
    status, answer = ask(capsys, tmp_path, PAIRS)
    assert status == 1
    unmatched, sizes = answer["findings"]
    assert (unmatched["kind"], unmatched["count"], len(unmatched["names"])) == ("unmatched", 26, check.NAMED)
    assert unmatched["names"][0] == "source/00"
    assert "rename or remove" in unmatched["text"]
    assert sizes["names"] == ["source/26.png = target/26.png (48x32, 32x32)"]
    assert answer["splits"][0]["counts"] == {"pairs": 5}
    main(["data", "check", str(tmp_path), *PAIRS.split()])
    text = capsys.readouterr().out
    assert "and 6 more" in text
    assert "Next:" not in text


def test_equal_masks_are_no_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        save(tmp_path / "source" / f"{number}.png", picture(number))
        save(tmp_path / "target" / f"{number}.png", picture(9))
    assert ask(capsys, tmp_path, PAIRS)[0] == 0


def test_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.png", picture(1, 260, 520))
    save(tmp_path / "b.png", picture(2, 260, 521))
    status, answer = ask(capsys, tmp_path, f"{PAIRS} --layout side-by-side")
    assert status == 1
    assert answer["splits"][0]["sizes"]["pairs"]["largest"] == [260, 260]
    assert [(finding["kind"], finding["names"]) for finding in answer["findings"]] == [("sizes", ["b.png"])]


def test_near_duplicates_across_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        save(tmp_path / "train" / "day" / f"{number}.png", picture(number))
        save(tmp_path / "train" / "night" / f"{number}.png", picture(10 + number))
    save(tmp_path / "test" / "day" / "x.jpg", picture(2)[:, ::1] // 2 + 120, quality=80)  # much brighter: another one
    save(tmp_path / "test" / "night" / "y.jpg", picture(12), quality=80)
    save(tmp_path / "test" / "night" / "z.jpg", picture(2), quality=80)  # by day in train, which is another side
    status, answer = ask(capsys, tmp_path, "--task day-to-night")
    assert status == 1
    assert [split["split"] for split in answer["splits"]] == ["train", "test"]
    (finding,) = answer["findings"]
    assert finding["kind"] == "near-duplicates"
    (name,) = finding["names"]
    assert name.startswith("test/night/y.jpg ~ train/night/2.png (")


def drawing(number: int, shift: int = 0) -> Image.Image:
    """A thin ellipse on white, of another shape for every number."""
    paper = Image.new("RGB", (256, 256), "white")
    box = (30 + 4 * number + shift, 60 + shift, 220 + shift, 200 - 5 * number + shift)
    ImageDraw.Draw(paper).ellipse(box, outline="black", width=1)
    return paper


def test_drawings_are_duplicates_only_if_their_lines_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        save(tmp_path / "train" / f"{number}.png", np.asarray(drawing(number)))
        save(tmp_path / "test" / f"other{number}.png", np.asarray(drawing(number + 6)))
    thumbs = [thumbnails.thumbnail(np.asarray(drawing(number))).astype(float) for number in (3, 6)]
    assert np.sqrt(((thumbs[0] - thumbs[1]) ** 2).mean()) < NEAR  # as near as photographs that are near-duplicates
    options = f"--task super-resolution --val {tmp_path / 'test'}"
    assert ask(capsys, tmp_path / "train", options)[1]["findings"] == []
    save(tmp_path / "test" / "moved.png", np.asarray(drawing(1, shift=1)))
    save(tmp_path / "test" / "resized.png", np.asarray(drawing(2).resize((200, 200))))
    found = ask(capsys, tmp_path / "train", options)[1]["findings"]
    names = [name for finding in found for name in finding["names"] if finding["kind"] == "near-duplicates"]
    assert [name.split(" (")[0] for name in names] == ["test/moved.png ~ train/1.png", "test/resized.png ~ train/2.png"]


def test_copies_in_another_folder_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        save(tmp_path / "mine" / f"{number}.png", picture(number))
    save(tmp_path / "other" / "sub" / "a.png", picture(2))  # the same pixels
    save(tmp_path / "other" / "b.jpg", picture(3), quality=80)
    save(tmp_path / "other" / "c.png", picture(9))
    status, answer = ask(capsys, tmp_path / "mine", f"--task super-resolution --val {tmp_path / 'other'}")
    assert status == 1
    first, second = answer["findings"]
    assert (first["kind"], first["names"]) == ("copies", ["other/sub/a.png = mine/2.png"])
    assert first["text"].startswith("val: 1 copies of pictures in train, so quality would be measured on training data")
    assert second["kind"] == "near-duplicates"
    assert second["names"][0].startswith("other/b.jpg ~ mine/3.png (")


@pytest.mark.parametrize(
    ("others", "advice"), [(["test"], ""), (["val"], " --val {}/val"), (["val", "test"], " --val {}/val")]
)
def test_only_val_is_recommended_to_measure_with(
    tmp_path: Path, others: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(["train", *others]):
        save(tmp_path / name / "a.png", picture(number))
    assert main(["data", "check", str(tmp_path), "--task", "sketch-to-photo"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert f"--data {tmp_path}/train{advice.format(tmp_path)} --out" in line


def test_val_folder_and_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label, number in (("bag", 1), ("shoe", 2), ("shoe", 3)):
        save(tmp_path / "mine" / label / f"{number}.png", picture(number))
    save(tmp_path / "other" / "bag" / "4.png", picture(4))
    save(tmp_path / "other" / "hat" / "5.png", picture(5))
    status, answer = ask(capsys, tmp_path / "mine", f"--task sketch-to-photo --labels --val {tmp_path / 'other'}")
    assert status == 1
    assert answer["splits"][0]["labels"] == {"bag": 1, "shoe": 2}
    assert "labels bag, shoe" in answer["findings"][0]["text"]


def test_sixteen_bits_are_rounded_to_eight() -> None:
    levels_HWC = np.array([[[0, 128, 129], [257 * 200 - 128, 257 * 200 + 129, 65535]]], np.uint16)
    assert as_rgb(levels_HWC).tolist() == [[[0, 0, 1], [200, 201, 255]]]


def test_near_duplicates_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_ROWS", 3)
    random = np.random.default_rng(0)
    known = random.integers(0, 256, (10, 768), np.uint8)
    asked = random.integers(0, 256, (7, 768), np.uint8)
    asked[5] = np.clip(known[8].astype(int) + 4, 0, 255)
    asked[6] = np.clip(known[1].astype(int) + NEAR + 2, 0, 255)
    ((row, nearest, distance),) = near_duplicates(known, asked)
    assert (row, nearest) == (5, 8)
    assert distance == pytest.approx(np.sqrt(((asked[5].astype(float) - known[8]) ** 2).mean()), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("--task pix2pix", (4 * 12 + 3 * 258, 2 * 12 + 128)),
        ("--task pix2pix --channels 1:3", (4 * 12 + 3 * 258, 2 * 12 + 128)),
        ("--task cyclegan", (7 * 12 + 6 * 128, 2 * 12 + 128)),
        ("--task super-resolution --layout photos", (7 * 12 + 6 * 128, 2 * 12 + 128)),
    ],
)
def test_sheet(tmp_path: Path, options: str, size: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        save(tmp_path / "data" / "A" / f"{number}.png", picture(number))
        save(tmp_path / "data" / "B" / f"{number}.png", picture(number + 9))
    status, _ = ask(capsys, tmp_path / "data", f"{options} --sheet {tmp_path / 'sheet.png'}")
    assert status == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == size


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ("data", 0, "usage: translate data check DIR"),
        ("data look", 2, "unknown subcommand 'look'"),
        ("data check --help", 0, "--source-side"),
        ("data check .", 2, "--task is missing; choose one of: sketch-to-photo"),
        ("data check . --task pix2pics", 2, "unknown task 'pix2pics'; did you mean pix2pix?"),
        ("data check nowhere --task pix2pix", 2, "nowhere does not exist; give a folder"),
        ("data check . --task pix2pix", 2, "does not have the folders source and target"),
        ("data check . --task cut --layout side-by-side", 2, "--layout side-by-side is for pairs"),
        ("data check . --task cut --sheet a.txt", 2, "--sheet a.txt is not a picture file name"),
        ("data check . --task cut --channels x", 2, "--channels is 'x'"),
    ],
)
def test_usage(
    arguments: str,
    status: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == status
    found = capsys.readouterr()
    assert words in found.out + found.err
    assert status == 0 or found.err.count("\n") == 1


def test_what_was_left_out_while_reading_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [Image.new("RGB", (80, 64), colour) for colour in ("red", "green", "blue")]
    for name in ("a.tif", "b.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    main(["data", "check", str(tmp_path), "--task", "super-resolution"])
    assert "  note: a.tif: has 3 pages, of which the first is used (and 1 more)\n" in capsys.readouterr().out
