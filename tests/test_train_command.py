"""`translate train`: every wrong use is one line on standard error, and nothing is left behind."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY

from translate.cli import main
from translate.trainers.snapshot import FILE_NAME

TASK = "sketch-to-photo"
GOOD = f"--data photos --out new {' '.join(TINY)}"


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos`, an empty folder, a file, the run `used` at its end and the run `half` in the middle. Read only."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(photos, folder / "photos")
    (folder / "empty").mkdir()
    (folder / "file").write_text("x")
    common = ["train", TASK, "--data", str(folder / "photos"), *TINY]
    assert main([*common, "--out", str(folder / "used"), "--max-images", "2"]) == 0
    assert main([*common, "--out", str(folder / "half"), "--max-images", "4", "--stop-after", "2images"]) == 0
    return folder


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
        (f"{TASK} --data nope --out new --max-images 2", "nope does not exist; --data expects a folder"),
        (f"{TASK} --data file --out new --max-images 2", "file is a file; --data expects a folder"),
        (f"{TASK} --data empty --out new --max-images 2", "empty holds no files; put photographs there"),
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
        (f"{TASK} {GOOD} --max-images 2 --discriminator-layers 4", "--discriminator-layers is 4"),
        (f"{TASK} {GOOD} --max-images 2 --generator-widths 8 0", "--generator-widths"),
        (f"{TASK} {GOOD} --max-images 2 --generator-widths -8 8", "--generator-widths"),
        (f"{TASK} --out new --resume --max-images 9", f"new holds no {FILE_NAME}"),
        (f"{TASK} --resume", "--out.*see translate train"),
        (f"{TASK} --resume --out", "--out.*see translate train"),
        (f"{TASK} {GOOD} --max-images 9 --out half", "half already holds a run; add --resume"),
        (f"{TASK} --out half --resume --seed 5", "--seed is 5, but the run was started with 0; leave it out"),
        (f"{TASK} --out half --resume --batch-size 4", "--batch-size is 4, but the run was started with 2"),
        (f"{TASK} --out half --resume --max-time 5m", "both given"),
        (f"{TASK} --out half --resume --data nope", "nope does not exist"),
        (f"{TASK} --out used --resume", "used has used its budget; give a larger --max-time or --max-images"),
        (f"{TASK} {GOOD} --max-images 2 --out file", "cannot write to file: File exists; choose another --out"),
        (f"{TASK} {GOOD} --max-images 2 --out file/new", "cannot write to file/new: Not a directory"),
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
        "translate: --device is cuda, but torch finds no CUDA GPU; use --device cpu or auto\n"
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
    assert found.err.startswith("6 photographs, training on the cpu\n")
    config = json.loads((folder / "deep" / "er" / "config.json").read_text())
    assert (config["max_images"], config["generator_widths"]) == (4, [8, 8])
    assert {path.name for path in (folder / "deep" / "er").iterdir()} == {
        "config.json", "log.jsonl", "samples", FILE_NAME
    }  # fmt: skip


def test_stop_and_resume_with_a_larger_budget(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["train", TASK, "--out", "half", "--resume"]
    assert main([*resume, "--max-images", "8", "--stop-after", "2images"]) == 0
    found = capsys.readouterr()
    assert found.out == (
        "ended early (stop-after) at 50% of the budget after 4 images; "
        "go on with: translate train sketch-to-photo --out half --resume\n"
    )
    assert found.err.startswith("6 photographs, training on the cpu, from image 2 on\n")
    assert main(resume) == 0
    assert "trained on 8 images" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 0
    found = capsys.readouterr()
    assert "usage: translate train TASK" in found.out
    assert TASK in found.out
    assert found.err == ""


def test_help_shows_and_explains_every_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from translate.trainers.pix2pix import Pix2PixConfig

    monkeypatch.setenv("COLUMNS", "100")
    assert main(["train", TASK, "--help"]) == 0
    text = capsys.readouterr().out
    shown = {"max_seconds": "max-time", "snapshot_seconds": "snapshot-time"}
    names = [shown.get(field.name, field.name.replace("_", "-")) for field in dataclasses.fields(Pix2PixConfig)]
    for name in [*names, "data", "out", "resume", "stop-after"]:
        row = re.search(rf"--{name}\b[^\n]*(\n(?![^\w\n]*--)[^\n]*)*", text)
        assert row, name
        assert len(re.findall(r"[a-z]{2,}", row[0])) > 3, f"{name} is not explained: {row[0]}"


@pytest.mark.parametrize(
    ("verb", "extra"), [(f"train {TASK} --data x --out y --max-images 2", "train"), ("export x -o y.onnx", "export")]
)
def test_without_torch(verb: str, extra: str, tmp_path: Path) -> None:
    # As if it were not installed; None in sys.modules would trip tyro, which looks there for torch.
    code = (
        "import sys; from importlib.machinery import PathFinder as P; find = P.find_spec; "
        "P.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest); "
        "from translate.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *verb.split()], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"translate: torch not installed; in the source folder run: pip install '.[{extra}]'\n"
    assert list(tmp_path.iterdir()) == []
