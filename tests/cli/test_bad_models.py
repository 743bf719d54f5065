"""Every kind of file that is no model of ours, given to every command that takes one.

Each time: status 2, one line that names the file, says what it is and what to do, and nothing left behind. Only
`translate info` accepts files of other programs and changed ones: it says what they are.
"""

import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import bad_models
import pytest
from bad_models import ONNX, OTHERS
from PIL import Image
from web_server import Answer, answering

from translate.cli.main import main
from translate.inference.model_file import kind_of
from ui.models.registry import Registry

Make = Callable[[Path], None]

CHECKPOINT = "is a checkpoint of PyTorch, expected an ONNX model; turn it into one with: translate import"
CODE = r"holds more than tensors \((posix|nt)\.system\), which could run a program .*; where it was made, save only"
CANNOT = r"cannot be read as a checkpoint \(\w+\); .* expected what torch.save writes.*; download it again"
NONSENSE = "is not a checkpoint; expected what torch.save writes, .* download it again"
NO_CHECKPOINT = "is an ONNX file, not a checkpoint; give the .pth file"

SAID: dict[str, tuple[str, str]] = {
    "foreign": ("an ONNX model of another program, without translate.spec .*; write it with", NO_CHECKPOINT),
    "other_inputs": (r"its graph has image float32 \(\?, 3, \?, \?\), expected image uint8 .*; export", NO_CHECKPOINT),
    "renamed_input": (r"its graph has photo uint8 .*, expected image uint8 .*; export", NO_CHECKPOINT),
    "more_inputs": ("needs the inputs mask uint8 .* besides the picture, expected are .*; export", NO_CHECKPOINT),
    "custom_operators": ("needs the operators com.example.Sharpen, expected are .*; export it again", NO_CHECKPOINT),
    "external_data": (
        "some of its weights are in another file, expected one file .*; export it again",
        NO_CHECKPOINT,
    ),
    "truncated": ("truncated, or not an ONNX file; download or export it again", NONSENSE),
    "tampered": ("the digest of its weights is dcac.*, but 6e2b.* is recorded in it: .*; download", NO_CHECKPOINT),
    "empty": ("is empty .*, expected an ONNX model; download", "is empty .*, not a checkpoint; copy or download"),
    "web_page": ("is a web page, expected an ONNX model; download the file", "is a web page, not a ch.*; download"),
    "text": ("is a text, expected an ONNX model; check", "is a text, not a checkpoint; check"),
    "lfs_pointer": (
        "stands for a file in Git LFS, expected .*; fetch",
        "stands for a file in Git LFS .*; fetch that",
    ),
    "zip_archive": (
        "is a zip archive, expected an ONNX model; unpack it",
        "is a zip archive, not a ch.*; unpack it",
    ),
    "old_pickle_with_code": (CHECKPOINT, CODE),
    "pickle_with_code": (CHECKPOINT, CODE),
    "truncated_safetensors": (CHECKPOINT, CANNOT),
}
"""What is said by commands that take a model, and by those that take a checkpoint."""

INFO_READS = {"foreign": 0, "other_inputs": 1, "renamed_input": 1, "more_inputs": 1, "tampered": 1}
"""What `translate info` describes, and its status."""

FILES = [(make, ".onnx") for make in (*ONNX, *OTHERS)] + [(make, ".pth") for make in OTHERS]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSLATE_MODELS", str(tmp_path / "data" / "models"))
    Image.new("RGB", (8, 8)).save("in.png")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], folder: Path, arguments: Sequence[str], said: str) -> None:
    before = content(folder)
    assert main(arguments) == 2
    assert re.fullmatch(f"translate: [^\n]*{said}[^\n]*\n", capsys.readouterr().err)
    assert content(folder) == before


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("make", "suffix"), FILES, ids=lambda value: getattr(value, "__name__", value))
def test_every_command(capsys: pytest.CaptureFixture[str], folder: Path, make: Make, suffix: str) -> None:
    name = f"bad{suffix}"
    make(Path(name))
    as_model, as_checkpoint = SAID[make.__name__]
    model, checkpoint = f"{re.escape(name)}: {as_model}", f"{re.escape(name)} {as_checkpoint}"
    refused(capsys, folder, ["convert", "in.png", "out.png", "--model", name], model)
    refused(capsys, folder, ["evaluate", name, "--data", "."], model)
    refused(capsys, folder, ["ui", "--model", name, "--no-open", "--port", str(free_port())], model)
    if suffix == ".onnx":
        train = ["train", "sketch-to-photo", "--data", ".", "--out", "run", "--max-images", "1"]
        refused(capsys, folder, [*train, "--start-from", name], model)
    if make.__name__ in INFO_READS:
        assert main(["info", name]) == INFO_READS[make.__name__]
        assert re.search("^translate.spec +none|^cannot be used  .*expected|DIFFERS", capsys.readouterr().out, re.M)
    else:
        refused(capsys, folder, ["info", name], model)
    refused(capsys, folder, ["import", name, "-o", "made.onnx"], checkpoint)
    taken_as_checkpoint = kind_of(Path(name)) in ("pickle", "safetensors")
    refused(capsys, folder, ["models", "add", name, "--yes"], checkpoint if taken_as_checkpoint else model)
    as_run = f"{re.escape(name)} is a file, not a run; give the --out"
    refused(capsys, folder, ["export", name, "-o", "made.onnx"], model if suffix == ".onnx" else as_run)


@pytest.mark.parametrize("make", [*ONNX, *OTHERS], ids=lambda make: make.__name__)
def test_from_an_address(capsys: pytest.CaptureFixture[str], folder: Path, make: Make) -> None:
    make(folder / "bad")
    body = (folder / "bad").read_bytes()
    checkpoint = kind_of(folder / "bad") in ("pickle", "safetensors")
    said = SAID[make.__name__][checkpoint]
    with answering({"/bad.onnx": Answer(body)}) as address:
        url = f"{address}/bad.onnx"
        said = "answers with an empty file, expected a model; check" if make is bad_models.empty else said
        refused(capsys, folder, ["models", "add", url, "--yes"], f"{re.escape(url)}:? {said}")


@pytest.mark.parametrize("make", [*ONNX, *OTHERS], ids=lambda make: make.__name__)
def test_in_the_folder_of_the_page(folder: Path, make: Make) -> None:
    (folder / "shelf").mkdir()
    make(folder / "shelf" / "bad.onnx")
    (line,) = Registry([], [folder / "shelf"], "cpu").look()
    assert re.fullmatch(f"skipped bad.onnx: [^\n]*{SAID[make.__name__][0]}[^\n]*", line)


@pytest.mark.parametrize("make", [*ONNX, *OTHERS], ids=lambda make: make.__name__)
def test_as_the_snapshot_of_a_run(capsys: pytest.CaptureFixture[str], folder: Path, make: Make) -> None:
    (folder / "run").mkdir()
    make(folder / "run" / "snapshot.safetensors")
    said = r"run/snapshot.safetensors (is damaged \(.*\); start the run again|was not written by translate; give)"
    refused(capsys, folder, ["export", "run", "-o", "made.onnx"], said)


def test_no_program_was_run(folder: Path) -> None:
    """The pickles would have left a file, had anything unpickled them."""
    bad_models.old_pickle_with_code(folder / "a.pth")
    assert b"touch it-ran" in (folder / "a.pth").read_bytes()
    main(["import", "a.pth", "-o", "made.onnx"])
    assert sorted(path.name for path in folder.iterdir()) == ["a.pth", "in.png"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
