"""`translate train`: every wrong use is one line on standard error, and nothing is left behind."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY
from PIL import Image
from tiny_runs import log_lines, options

from translate.cli.main import main
from translate.tasks import TASKS
from translate.training.run import Run
from translate.training.snapshot import BEST_NAME, FILE_NAME, read_header, read_tensors, write_snapshot

TASK = "sketch-to-photo"
SMALL = "--data photos --out new --image-size 32 --max-images 2 --device cpu"
GOOD = f"--data photos --out new {' '.join(TINY)}"


def good(task: str, data: str, **changes: object) -> str:
    """`train` arguments that are right but for what is added to them."""
    return f"{task} --data {data} --out new {' '.join(options(task, **changes))}"


@pytest.fixture(scope="module")
def made(photos: Path, pairs: Path, collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad folders of pictures, the run `used` at its end and the run `half` in the middle. Read only."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(photos, folder / "photos")
    shutil.copytree(pairs, folder / "pairs")
    shutil.copytree(collections, folder / "collections")
    shutil.copytree(collections, folder / "half-empty", ignore=lambda at, names: names if "source" in at else [])
    make_bad_pairs(folder)
    (folder / "val").mkdir()
    shutil.copy(photos / "3.png", folder / "val" / "known.png")
    (folder / "empty").mkdir()
    (folder / "file").write_text("x")
    common = ["train", TASK, "--data", str(folder / "photos"), *TINY]
    assert main([*common, "--out", str(folder / "used"), "--max-images", "2"]) == 0
    assert main([*common, "--out", str(folder / "half"), "--max-images", "4", "--stop-after", "2images"]) == 0
    return folder


def make_bad_pairs(folder: Path) -> None:
    """`sizes`: partners of other sizes. `alone`: files without partner. `odd`: halves that cannot be cut."""
    for name, width, partner in (("sizes", 40, 44), ("alone", 40, 40)):
        for side, size in (("source", width), ("target", partner)):
            (folder / name / side).mkdir(parents=True)
            for number in range(2):
                file = f"{side}{number}.png" if name == "alone" else f"{number}.png"
                Image.new("RGB", (size, 40)).save(folder / name / side / file)
    (folder / "odd").mkdir()
    Image.new("RGB", (81, 40)).save(folder / "odd" / "a.png")
    (folder / "small").mkdir()
    Image.new("RGB", (40, 31)).save(folder / "small" / "a.png")


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `made` as the working folder."""
    shutil.copytree(made, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("sketch-to-foto", "unknown task 'sketch-to-foto'; did you mean sketch-to-photo\\?"),
        ("zzz", "unknown task 'zzz'; choose one of: sketch-to-photo"),
        (f"{TASK} --data nope --out new --max-images 2", "nope does not exist; give a folder"),
        (f"{TASK} --data file --out new --max-images 2", "file is a file; give a folder"),
        (f"{TASK} --data empty --out new --max-images 2", "empty contains no files; put pictures there"),
        (f"{TASK} --out new --max-images 2", "--data.*; see translate train sketch-to-photo --help"),
        (f"{TASK} {GOOD}", "no budget given; add --max-time 20m \\(or --max-images 50000\\)"),
        (f"{TASK} {GOOD} --max-images 2 --max-time 5m", "--max-time and --max-images are both given"),
        (f"{TASK} {GOOD} --max-time soon", "'soon' is not a duration.*see translate train"),
        (f"{TASK} {GOOD} --max-time 0", "--max-time is 0; it must be at least 0.001"),
        (f"{TASK} {GOOD} --max-images 0", "--max-images is 0; it must be at least 1"),
        (f"{TASK} {GOOD} --max-images two", "--max-images.*see translate train"),
        (f"{TASK} {GOOD} --max-images 2 --stop-after 5pages", "'5pages' is not a duration"),
        (f"{TASK} {GOOD} --max-images 2 --batch-sise 4", "--batch-sise.*did you mean --batch-size\\?"),
        (f"{TASK} {GOOD} --max-images 2 --device tpu", "'tpu'.*see translate train"),
        (f"{TASK} {GOOD} --max-images 2 --image-size 34", "--image-size is 34; this generator needs a multiple of 4"),
        (f"{TASK} {GOOD} --max-images 2 --image-size 8", "--image-size is 8; it must be between 16 and 4096"),
        (
            f"{TASK} {GOOD} --max-images 2 --discriminator-layers 4",
            "a discriminator with 4 layers and 1 scales needs at least 48",
        ),
        (f"{TASK} {GOOD} --max-images 2 --generator-widths 8 0", "--generator-widths"),
        (f"{TASK} {GOOD} --max-images 2 --generator-widths -8 8", "--generator-widths"),
        (f"{TASK} --out new --resume --max-images 9", f"new has no {FILE_NAME}"),
        (f"{TASK} --resume", "--out.*see translate train"),
        (f"{TASK} --resume --out", "--out.*see translate train"),
        (f"{TASK} {GOOD} --max-images 9 --out half", "half already holds a run; add --resume"),
        (f"{TASK} --out half --resume --seed 5", "--seed is 5, but the run was started with 0; leave it out"),
        (f"{TASK} --out half --resume --batch-size 4", "--batch-size is 4, but the run was started with 2"),
        (f"{TASK} --out half --resume --max-time 5m --max-images 9", "both given"),
        (f"{TASK} --out half --resume --data nope", "nope does not exist"),
        (
            f"{TASK} {GOOD} --max-images 2 --patience 3",
            "--patience needs validation images, but none",
        ),
        (
            f"super-resolution {SMALL} --channels 1",
            "--metrics includes psnr_luma, which needs 3 channels; use --metrics",
        ),
        (f"super-resolution {SMALL} --layout two-folders", "--layout is two-folders, but super-resolution makes"),
        (f"super-resolution {SMALL} --channels 1 --jpeg 0.5", "--jpeg needs 3 channels, but --channels is 1"),
        (f"{TASK} --out used --resume", "used has used its budget; give a larger --max-time or --max-images"),
        (f"{TASK} {GOOD} --max-images 2 --out file", "cannot write to file: File exists; choose another --out"),
        (f"{TASK} {GOOD} --max-images 2 --out file/new", "cannot write to file/new: Not a directory"),
        (
            f"{TASK} {GOOD} --max-images 2 --preset nonsense",
            "--preset is 'nonsense'; choose one of: modern, projected, classic",
        ),
        (f"{TASK} {GOOD} --max-images 2 --preset", "--preset.*see translate train"),
        (f"{TASK} {GOOD} --max-images 2 --discriminator-scales 7", "--discriminator-scales is 7; it must be between"),
        (
            f"{TASK} {GOOD} --max-images 2 --discriminator-layers 3 --discriminator-scales 2",
            "needs at least 48; increase it, or",
        ),
        (f"{TASK} {GOOD} --max-images 2 --accumulate 3", "--accumulate is 3; it must divide --batch-size, which is 2"),
        (f"{TASK} {GOOD} --max-images 2 --labels", "photos/0.png is in no sub-folder, so it has no label"),
        (f"{TASK} {GOOD} --max-images 2 --held-out 6", "--held-out is 6, but there are only 6 pictures"),
        (f"{TASK} {GOOD} --max-images 2 --best-by kid", "--best-by is kid, which is not one of --metrics"),
        (f"{TASK} {GOOD} --max-images 2 --metrics swd pnsr", "'pnsr'.*see translate train"),
        (f"{TASK} {GOOD} --max-images 2 --patience 2 --validations 0", "--patience needs validation"),
        (f"{TASK} {GOOD} --max-images 2 --initialisation normal", "--initialisation is normal, but unet has its own"),
        (
            f"{TASK} {GOOD} --max-images 2 --generator resnet --style-size 3",
            "--generator is resnet, which supports neither",
        ),
        (f"{TASK} {GOOD} --max-images 2 --layout two-folders", "photos does not have the folders source and target"),
        (f"{TASK} {GOOD} --max-images 2 --val val", "1 validation pictures are also in the .*\\(val/known.png\\)"),
        (f"{TASK} {GOOD} --max-images 2 --val nope", "nope does not exist"),
        (
            f"{TASK} {GOOD} --max-images 2 --channels 5",
            "photos/0.png: found 3 channels, expected 5",
        ),
        (f"{TASK} {GOOD} --max-images 2 --channels rgb", "--channels is 'rgb'; write for example"),
        (f"{TASK} {GOOD} --max-images 2 --cache file", "file: the cache cannot be written"),
        ("pix2pix --out half --resume", f"half was trained for {TASK}; resume it with: translate train {TASK}"),
        (f"{TASK} --out half --resume --preset classic", "--preset is classic, but the run was started with modern"),
        (f"{TASK} --out half --resume --held-out 1", "--held-out is 1, but the run was started with -1"),
        (good("pix2pix", "photos", layout=None), "photos does not have the folders.*add --layout side-by-side"),
        (good("pix2pix", "pairs", layout="photos"), "--layout photos is for tasks that make the source themselves"),
        (good("pix2pix", "sizes", layout=None), "sizes/source/0.png is 40x40 .* sizes/target/0.png is 44x40; a pair"),
        (
            good("pix2pix", "alone", layout=None),
            "2 of 2 in alone/source \\(source0, source1\\), 2 of 2 in",
        ),
        (good("pix2pix", "odd"), "odd/a.png is 81x40 pixels; two pictures side by side need an even width"),
        (
            good("pix2pix", "pairs", framing="patch", image_size=64),
            r"pairs/\d.png is .*smaller than the crop of 64",
        ),
        (good("super-resolution", "small"), "small/a.png is 40x31 pixels, smaller than the crop of 32; lower --image"),
        (good("super-resolution", "photos", scale=3), "--image-size is 32; it must be a multiple of --scale 3"),
        (good("super-resolution", "photos", channels="1:3"), "--channels is 1:3, but super-resolution needs the same"),
        (
            good("super-resolution", "photos", discriminator="srgan"),
            "--discriminator-width has no effect on --discriminator srgan; omit it, or use --discriminator patch",
        ),
        (good("cyclegan", "photos"), "photos does not have the folders source and target; put pictures into"),
        (good("cyclegan", "half-empty"), "half-empty/source contains no files; put pictures there"),
        (
            good("cyclegan", "pairs", layout="side-by-side"),
            "--layout side-by-side is for pairs, which this task",
        ),
        (good("cyclegan", "collections", best_by="psnr"), "--best-by is psnr, which needs pairs; use swd"),
        (good("cyclegan", "collections", labels=True), "--labels needs pairs; omit it"),
        (good("cyclegan", "collections", held_out=5), "--held-out is 5, but there are only 5 pictures"),
        (good("day-to-night", "photos"), "photos does not have the folders day and night"),
        (good("cut", "collections", generator="classic-unet"), "--generator is classic-unet, which PatchNCE"),
        (
            good("cut", "collections", channels="1:3"),
            "--channels is 1:3; cut needs the same number for input and target",
        ),
    ],
)
def test_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, error: str) -> None:
    before = contents(folder)
    assert main(["train", *arguments.split()]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert re.fullmatch(f"translate: .*{error}.*\n", found.err)  # one line: the dot matches no line break
    assert contents(folder) == before


def test_no_gpu(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = contents(folder)
    assert main(["train", TASK, *GOOD.split(), "--max-images", "2", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == (
        "translate: --device is cuda, but torch found no CUDA GPU; use --device cpu or auto\n"
    )
    assert contents(folder) == before


def test_damaged_snapshot(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "half" / FILE_NAME
    path.write_bytes(path.read_bytes()[:5000])
    assert main(["train", TASK, "--out", "half", "--resume"]) == 2
    assert re.fullmatch(r"translate: half/.* is damaged \(.*\); start the run again\n", capsys.readouterr().err)


def test_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", TASK, *GOOD.split(), "--max-images", "4", "--out", "deep/er"]) == 0
    found = capsys.readouterr()
    assert found.out == "trained on 4 images; next: translate export deep/er -o sketch-to-photo.onnx\n"
    assert found.err.startswith("6 pictures to learn from, 0 held out for measuring; training on the cpu\n")
    config = json.loads((folder / "deep" / "er" / "config.json").read_text())
    assert (config["max_images"], config["generator_widths"]) == (4, [8, 8])
    assert {path.name for path in (folder / "deep" / "er").iterdir()} == {
        "config.json", "log.jsonl", "samples", "tensorboard", FILE_NAME
    }  # fmt: skip


def test_commands_to_type_next_are_quoted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", TASK, *GOOD.split(), "--max-images", "4", "--out", "my run", "--stop-after", "2images"]) == 0
    assert capsys.readouterr().out.endswith("to continue: translate resume 'my run'\n")
    assert main(["resume", "my run"]) == 0
    assert "next: translate export 'my run' -o" in capsys.readouterr().out


def test_stop_and_resume_with_a_larger_budget(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["train", TASK, "--out", "half", "--resume"]
    assert main([*resume, "--max-images", "8", "--stop-after", "2images"]) == 0
    found = capsys.readouterr()
    assert found.out == (
        "ended early (--stop-after) at 50% of the budget after 4 images; to continue: translate resume half\n"
    )
    start = "6 pictures to learn from, 0 held out for measuring; training on the cpu, from image 2 on\n"
    assert found.err.startswith(start)
    assert main(["resume", "half"]) == 0
    assert "trained on 8 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("", 0, "usage: translate resume RUN"),
        ("--help", 0, "usage: translate resume RUN"),
        ("nowhere", 2, f"nowhere has no {FILE_NAME}"),
        ("half --seed 5", 2, "--seed is 5, but the run was started with 0; leave it out"),
        ("half --stop-after 2images --max-images 8", 0, "to continue: translate resume half"),
    ],
)
def test_resume(folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, status: int, said: str) -> None:
    assert main(["resume", *arguments.split()]) == status
    found = capsys.readouterr()
    assert said in found.out + found.err


def test_options_go_over_the_preset(folder: Path) -> None:
    tiny = options("pix2pix", preset=None, max_images=2, batch_size=None, framing="fit")
    start = ["train", "pix2pix", "--data", "pairs", "--preset", "classic", *tiny]
    assert main([*start, "--batch-size", "2", "--out", "two"]) == 0
    assert main([*start, "--out", "one"]) == 0
    two, one = (json.loads((folder / name / "config.json").read_text()) for name in ("two", "one"))
    assert (two["batch_size"], one["batch_size"]) == (2, 1)
    for config in (two, one):
        assert (config["preset"], config["generator"], config["l1_weight"]) == ("classic", "classic-unet", 100.0)
    assert read_header(folder / "two" / FILE_NAME).steps == 1
    assert main(["train", "pix2pix", "--out", "one", "--resume", "--max-images", "3"]) == 0
    assert read_header(folder / "one" / FILE_NAME).config["generator"] == "classic-unet"


def test_labels_are_kept_over_a_resume(folder: Path, kinds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(kinds, folder / "kinds")
    start = ["train", TASK, "--data", "kinds", "--out", "new", *options(max_images=8, labels=True)]
    assert main([*start, "--stop-after", "2images"]) == 0
    assert main(["train", TASK, "--out", "new", "--resume", "--stop-after", "2images"]) == 0
    header = read_header(folder / "new" / FILE_NAME)
    assert (header.config["label_names"], header.spec["labels"]) == (["bags", "shoes"], ["bags", "shoes"])
    (folder / "kinds" / "bags").rename(folder / "kinds" / "hats")
    capsys.readouterr()
    before = contents(folder)
    assert main(["train", TASK, "--out", "new", "--resume"]) == 2
    assert "has the labels hats, shoes, but the run was started with bags, shoes" in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_trained_and_measured(
    data_of: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    out = tmp_path / "run"
    changes = options(task, max_images=4, held_out=1, validations=2, sample_grids=1)
    assert main(["train", task, "--data", str(data_of[task]), "--out", str(out), *changes]) == 0
    assert f"trained on 4 images; next: translate export {out} -o {task}.onnx" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "config.json", "log.jsonl", "samples", "tensorboard", FILE_NAME, BEST_NAME
    }  # fmt: skip
    assert len(log_lines(out, "validation")) == 3
    header = read_header(out / FILE_NAME)
    assert (header.task, header.spec["task"], header.best["metric"]) == (task, task, "swd")


@pytest.mark.parametrize(
    ("verb", "extra"), [(f"train {TASK} --data x --out y --max-images 2", "train"), ("export x -o y.onnx", "export")]
)
def test_without_torch(verb: str, extra: str, tmp_path: Path) -> None:
    # As if it were not installed; None in sys.modules would trip tyro, which looks there for torch.
    code = (
        "import sys; from importlib.machinery import PathFinder as P; find = P.find_spec; "
        "P.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest); "
        "from translate.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *verb.split()], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"translate: torch not installed; in the source folder run: pip install '.[{extra}]'\n"
    assert list(tmp_path.iterdir()) == []


def test_another_kind_of_budget(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was given images may be given time instead, and the other way round."""
    resume = ["train", TASK, "--out", "half", "--resume", "--stop-after", "2images"]
    assert main([*resume, "--max-time", "1h"]) == 0
    assert "ended early (--stop-after) at 0% of the budget after 4 images" in capsys.readouterr().out
    assert main([*resume, "--max-images=8"]) == 0
    assert "ended early (--stop-after) at 75% of the budget after 6 images" in capsys.readouterr().out
    assert main([*resume, "--max_time", "1h"]) == 0
    assert "ended early (--stop-after) at 0% of the budget after 8 images" in capsys.readouterr().out


def test_other_pictures_are_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(folder / "photos" / "0.png", folder / "photos" / "new.png")
    assert main(["train", TASK, "--data", "photos", "--out", "half", "--resume"]) == 0
    assert "other pictures than before: what was measured so far no longer counts\n" in capsys.readouterr().err


def test_a_run_without_patience_left_says_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = read_header(folder / "half" / FILE_NAME)
    best = {"metric": "swd", "value": 1.0, "images": 2, "since": 3}
    tensors = read_tensors(folder / "half" / FILE_NAME)
    write_snapshot(folder / "half" / FILE_NAME, dataclasses.replace(header, best=best), tensors)
    assert main(["train", TASK, "--out", "half", "--resume", "--patience", "3"]) == 2
    assert capsys.readouterr().err == (
        "translate: half has not improved for 3 measurements; give a larger --patience to go on, or 0 for never\n"
    )


@pytest.mark.parametrize(
    ("batch", "started", "remedy"),
    [
        ("4", False, "start again with --accumulate 2"),
        ("4", True, "go on with --resume --accumulate 2"),
        ("1", False, "start again with a smaller --image-size in a new run"),
        # Two parts would be of one image each, which has no batch statistics.
        ("2 --discriminator-norm virtual-batch", False, "start again with a smaller --image-size in a new run"),
    ],
)
def test_too_little_gpu_memory(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    batch: str,
    started: bool,
    remedy: str,
) -> None:
    def full(run: Run, *_: object) -> str:
        if started:
            run.save()
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("translate.training.fit.fit", full)
        assert main(["train", TASK, *GOOD.split(), "--max-images", "8", "--batch-size", *batch.split()]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"translate: the GPU's memory is too small for --batch-size {batch[0]} at --image-size 32; {remedy}"
    )
    if started:
        assert main(["train", TASK, "--out", "new", "--resume", "--accumulate", "2"]) == 0
