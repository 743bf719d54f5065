"""`translate export`: a run becomes a file that loads, or one line says why not and nothing is written."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import TINY

import export.verify
from translate.cli import main
from translate.engine import Engine
from translate.trainers.snapshot import FILE_NAME, read_header, read_tensors, write_snapshot


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run` after two steps and the `photos` it learnt from. Read only."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(photos, folder / "photos")
    arguments = ["--data", str(folder / "photos"), "--out", str(folder / "run"), "--max-images", "4"]
    assert main(["train", "sketch-to-photo", *arguments, *TINY]) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run as the working folder; the photographs stay in `made`."""
    shutil.copytree(made / "run", tmp_path / "w" / "run")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "m.json").write_text('{"psnr_db": 18.5}')
    arguments = "export run -o out/my.onnx --name shoes --licence CC0-1.0 --training-data own --metrics m.json"
    assert main(arguments.split()) == 0
    found = capsys.readouterr()
    assert found.err == ""
    assert re.search(r"^parity, torch against ONNX Runtime:\n.*\n(.* of 255 .*\n){7}wrote out/my.onnx ", found.out)
    assert found.out.endswith("next: translate convert IN OUT --model out/my.onnx\n")
    spec = Engine(folder / "out" / "my.onnx", device="cpu").spec
    assert (spec.name, spec.task, spec.licence, spec.training_data) == ("shoes", "sketch-to-photo", "CC0-1.0", "own")
    assert (spec.metrics, spec.working_size, spec.size_multiple) == ({"psnr_db": 18.5}, 32, 4)
    assert spec.receptive_field == 61
    assert 64 < spec.bytes_per_pixel < 10_000
    assert [path.name for path in (folder / "out").iterdir()] == ["my.onnx"]
    picture_HWC = np.full((70, 50, 3), 255, np.uint8)
    assert Engine(folder / "out" / "my.onnx", device="cpu")(picture_HWC).shape == (70, 50, 3)
    assert str(folder.parent).encode() not in (folder / "out" / "my.onnx").read_bytes()


def test_a_graph_that_differs_is_not_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = export.verify.compare

    def damaged(translator: object, trial: Path, pictures: object) -> object:
        model = onnx.load(trial)
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("out.bias"))
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 0.1, tensor.name))
        onnx.save(model, trial)
        return honest(translator, trial, pictures)

    monkeypatch.setattr(export.verify, "compare", damaged)
    before = contents(folder)
    assert main(["export", "run", "-o", "my.onnx", "--weights", "float32"]) == 2
    found = capsys.readouterr()
    assert re.fullmatch(r"translate: my.onnx differs from the trained network by \d+ of 255 at .*\n", found.err)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("run -o my.pt", "-o my.pt does not end in .onnx; name the file for example my.onnx"),
        ("run -o my", "-o my does not end in .onnx"),
        ("run", "--output.*; see translate export --help"),
        ("-o my.onnx", "RUN.*; see translate export --help"),
        ("nowhere -o my.onnx", f"nowhere holds no {FILE_NAME}"),
        ("run -o my.onnx --weights int4", "'int4'.*; see translate export --help"),
        ("run -o my.onnx --images nope", r"nope does not exist.*--images\)"),
        ("run -o my.onnx --metrics nope.json", "--metrics nope.json is not a JSON object of numbers"),
        ("run -o my.onnx --metrics bad.json", "--metrics bad.json is not a JSON object of numbers"),
        ("run -o my.onnx --metrics list.json", "--metrics list.json is not a JSON object of numbers"),
        ("run -o my.onnx --metrics words.json", "--metrics words.json is not a JSON object of numbers"),
        ("run -o my.onnx --metrics nan.json", "--metrics nan.json is not a JSON object of numbers"),
    ],
)
def test_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, error: str) -> None:
    (folder / "bad.json").write_text("{")
    (folder / "list.json").write_text("[1]")
    (folder / "words.json").write_text('{"psnr_db": "good"}')
    (folder / "nan.json").write_text('{"psnr_db": NaN}')
    before = contents(folder)
    assert main(["export", *arguments.split()]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert re.fullmatch(f"translate: .*{error}.*\n", found.err)
    assert contents(folder) == before


def test_training_photographs_are_gone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "run" / FILE_NAME
    header = dataclasses.replace(read_header(path), data=str(folder / "moved"))
    write_snapshot(path, header, read_tensors(path))
    assert main(["export", "run", "-o", "my.onnx"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"translate: .*moved does not exist.*name a folder with --images\)\n", error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"task": "yesterday"}, "was trained for the task 'yesterday', which this version does not have"),
        ({"config": {"new_knob": 1}}, "has the setting 'new_knob', which this version does not know"),
    ],
)
def test_run_of_another_version(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], error: str
) -> None:
    path = folder / "run" / FILE_NAME
    write_snapshot(path, dataclasses.replace(read_header(path), **changes), read_tensors(path))
    assert main(["export", "run", "-o", "my.onnx"]) == 2
    assert re.fullmatch(f"translate: .*{error}.*\n", capsys.readouterr().err)


def test_unwritable_output(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    import export.to_onnx

    (folder / "my.onnx").mkdir()
    # The graph is not what is tested here: one that is quickly made stands in for it.
    monkeypatch.setattr(export.to_onnx, "build_graph", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(
        export.verify, "compare", lambda *_: [export.verify.Parity(batch=1, height=8, width=8, largest=0, share=0.0)]
    )
    monkeypatch.setattr(export.verify, "working_memory", lambda *_: 100)
    assert main(["export", "run", "-o", "my.onnx"]) == 2
    assert re.fullmatch("translate: cannot write my.onnx: .*; choose another file with -o\n", capsys.readouterr().err)
    assert list((folder / "my.onnx").iterdir()) == []


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("RUN", "--output", "--weights", "--images", "--licence", "--metrics"))


def test_metrics_survive_the_contract(tmp_path: Path) -> None:
    from export.command import _metrics

    path = tmp_path / "m.json"
    path.write_text(json.dumps({"psnr_db": 18, "share": 0.5}))
    assert _metrics(path) == {"psnr_db": 18.0, "share": 0.5}
    assert _metrics(None) == {}
