"""`translate export`: a run becomes a file that loads, or one line says why not and nothing is written."""

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import TINY
from torch import nn

import export.backends
import export.to_onnx
import export.verify
import export.written
from export.command import _generator, _trainer
from translate.cli.main import main
from translate.inference.controls import numbered_style
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, read_picture, write_picture
from translate.spec import PARITY_KEY, ModelSpec
from translate.training.snapshot import FILE_NAME, read_header, read_tensors, write_snapshot


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run` after two steps and the `photos` it learnt from. Read only."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(photos, folder / "photos")
    arguments = ["--data", str(folder / "photos"), "--out", str(folder / "run"), "--max-images", "4"]
    assert main(["train", "sketch-to-photo", *arguments, *TINY]) == 0
    return folder


@pytest.fixture(scope="module", autouse=True)
def traced_once() -> Iterator[None]:
    """Networks that are alike in everything, weights included, are traced once in this file: it takes seconds."""
    traced: dict[tuple[str, ...], onnx.ModelProto] = {}
    honest = export.to_onnx.trace

    def trace(translator: nn.Module, spec: ModelSpec) -> onnx.ModelProto:
        settings = {name: value for name, value in vars(translator).items() if not name.startswith("_")}
        weights = hashlib.sha256()
        for name, value in translator.state_dict().items():
            weights.update(name.encode() + value.numpy().tobytes())
        key = (str(translator), str(settings), weights.hexdigest())
        if key not in traced:
            traced[key] = honest(translator, spec)
        return traced[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.to_onnx, "trace", trace)
        yield


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sizes are compared in `test_export.py`."""
    monkeypatch.setattr(export.verify, "SIZES", ((16, 16), (97, 301), (1000, 16)))
    monkeypatch.setattr(export.backends, "find_spec", lambda name: None)  # see `test_backends.py`


@pytest.fixture
def memory_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is not measured, which takes a second; `test_export` and others want it."""
    monkeypatch.setattr(export.written, "working_memory", lambda *_: 100)


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run as the working folder; the photographs stay in `made`."""
    shutil.copytree(made / "run", tmp_path / "w" / "run")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def load_generator(run: Path) -> dict[str, Any]:
    """The averaged weights that are exported."""
    tensors = read_tensors(run / FILE_NAME)
    return {name: tensor for name, tensor in tensors.items() if name.startswith("average/generator")}


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "m.json").write_text('{"psnr_db": 18.5}')
    arguments = "export run -o out/my.onnx --name shoes --licence CC0-1.0 --training-data own --metrics m.json"
    assert main(arguments.split()) == 0
    found = capsys.readouterr()
    assert found.err == ""
    assert re.search(r"^parity, PyTorch vs\. ONNX Runtime:\n.*\n(.* of 255 .*\n){5}wrote out/my.onnx ", found.out)
    assert found.out.endswith("next: translate convert IN OUT --model out/my.onnx\n")
    spec = Engine(folder / "out" / "my.onnx", device="cpu").spec
    assert (spec.name, spec.task, spec.licence, spec.training_data) == ("shoes", "sketch-to-photo", "CC0-1.0", "own")
    assert (spec.metrics, spec.working_size, spec.size_multiple) == ({"psnr_db": 18.5}, 32, 4)
    assert spec.receptive_field == 67
    assert 64 < spec.bytes_per_pixel < 10_000
    network = load_generator(folder / "run")
    assert spec.parameters == sum(tensor.numel() for tensor in network.values()) > 1000
    assert 0.01 < spec.gmacs_256 < 1
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["my.onnx", "my.parity.json"]
    parity = json.loads((folder / "run" / "parity.json").read_text())
    assert [(row["batch"], row["height"], row["width"]) for row in parity] == [
        (1, 16, 16), (1, 97, 301), (1, 1000, 16), (5, 64, 96), (2, 255, 257)
    ]  # fmt: skip
    assert all(row["largest"] <= 1 and row["full"] == 255 for row in parity)
    text = (folder / "out" / "my.parity.json").read_bytes()
    report = json.loads(text)
    assert (report["rows"], report["weights_sha256"], report["allowed"]) == (parity, spec.weights_sha256, 1)
    facts = {entry.key: entry.value for entry in onnx.load(folder / "out" / "my.onnx").metadata_props}
    stored = json.loads(facts[PARITY_KEY])
    assert stored.pop("sha256") == hashlib.sha256(text).hexdigest()
    assert stored == {name: report[name] for name in stored}
    assert stored["largest"] == max(row["largest"] for row in parity)
    assert (stored["sizes"][0], stored["sizes"][-1], stored["batches"]) == ("16x16", "257x255", [1, 2, 5])
    picture_HWC = np.full((70, 50, 3), 255, np.uint8)
    assert Engine(folder / "out" / "my.onnx", device="cpu")(picture_HWC).shape == (70, 50, 3)
    assert str(folder.parent).encode() not in (folder / "out" / "my.onnx").read_bytes()


@pytest.mark.usefixtures("memory_known")
def test_a_graph_that_differs_is_not_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = export.written.compare

    def damaged(translator: object, trial: Path, *given: object) -> object:
        model = onnx.load(trial)
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("out.bias"))
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 0.1, tensor.name))
        onnx.save(model, trial)
        return honest(translator, trial, *given)

    monkeypatch.setattr(export.written, "compare", damaged)
    before = contents(folder)
    assert main(["export", "run", "-o", "my.onnx", "--weights", "float32"]) == 2
    found = capsys.readouterr()
    assert re.fullmatch(r"translate: my.onnx differs from the trained network by \d+ of 255 at .*\n", found.err)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("run -o my.pt", "-o my.pt does not end in .onnx; use for example my.onnx"),
        ("run -o my", "-o my does not end in .onnx"),
        ("run", "--output.*; see translate export --help"),
        ("-o my.onnx", "RUN.*; see translate export --help"),
        ("nowhere -o my.onnx", f"nowhere has no {FILE_NAME}"),
        ("run -o my.onnx --direction back", "--direction is back, but run was trained forward only; omit it"),
        ("run -o my.onnx --default-style 3", "--default-style: run was trained without styles; omit it"),
        ("run -o my.onnx --default-style -3", "--default-style -3 is out of range; give 0 "),
        (
            "run -o my.onnx --default-style=0.5,red",
            "style is '0.5,red'; give a whole number, or the numbers of a ",
        ),
        ("run -o my.onnx --direction up", "'up'.*; see translate export --help"),
        (
            "run -o my.onnx --snapshot best",
            "run has no best.safetensors, because there was no validation; omit --snapshot",
        ),
        ("nowhere -o my.onnx --snapshot best", f"nowhere has no {FILE_NAME}"),
        ("run -o my.onnx --weights int4", "'int4'.*; see translate export --help"),
        ("run -o my.onnx --images nope", r"nope does not exist.*--images\)"),
        ("run -o my.onnx --metrics nope.json", r"--metrics nope.json: cannot be read \(No such file or directory\)"),
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
    assert re.fullmatch(r"translate: .*moved does not exist.*give a folder of pictures with --images\)\n", error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"task": "yesterday"}, "was trained for the task 'yesterday', which is unknown here; update translate"),
        ({"config": {"new_knob": 1}}, "has the setting 'new_knob', which is unknown to this version"),
    ],
)
def test_run_of_another_version(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], error: str
) -> None:
    path = folder / "run" / FILE_NAME
    write_snapshot(path, dataclasses.replace(read_header(path), **changes), read_tensors(path))
    assert main(["export", "run", "-o", "my.onnx"]) == 2
    assert re.fullmatch(f"translate: .*{error}.*\n", capsys.readouterr().err)


def test_unwritable_output(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "my.onnx").mkdir()
    # The graph is not what is tested here: one that is quickly made stands in for it.
    monkeypatch.setattr(export.written, "build_graph", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(
        export.written,
        "compare",
        lambda *_: [export.verify.Parity(batch=1, height=8, width=8, largest=0, mean=0.0, share=0.0)],
    )
    monkeypatch.setattr(export.written, "working_memory", lambda *_: 100)
    assert main(["export", "run", "-o", "my.onnx"]) == 2
    assert re.fullmatch("translate: cannot write my.onnx: .*; choose another file with -o\n", capsys.readouterr().err)
    assert list((folder / "my.onnx").iterdir()) == []


def train(task: str, data: Path, out: Path, *options: str) -> None:
    arguments = ["train", task, "--data", str(data), "--out", str(out), "--max-images", "4", *TINY]
    place = arguments.index("--generator-widths")  # one level takes half the time of two to export
    arguments[place : place + 3] = ["--generator-width" if task == "super-resolution" else "--generator-widths", "8"]
    assert main([*arguments, *options]) == 0


def exported(run: Path, *options: str) -> Engine:
    path = run.parent / f"{run.name}-{len([*run.parent.glob('*.onnx')])}.onnx"
    assert main(["export", str(run), "-o", str(path), *options]) == 0
    return Engine(path, device="cpu")


@pytest.mark.usefixtures("memory_known")
def test_both_directions(collections: Path, tmp_path: Path, image_HWC: np.ndarray) -> None:
    train("cyclegan", collections, tmp_path / "run", "--channels", "1:3")
    forward = exported(tmp_path / "run")
    assert (forward.spec.name, forward.spec.input_channels, forward.spec.output_channels) == ("cyclegan", 1, 3)
    back = exported(tmp_path / "run", "--direction", "back")
    assert (back.spec.name, back.spec.input_channels, back.spec.output_channels) == ("cyclegan-back", 3, 1)
    assert back.spec.weights_sha256 != forward.spec.weights_sha256
    assert back.apply(Picture(image_HWC)).rgb_HWC.shape == image_HWC.shape


def test_the_way_back_of_day_to_night_is_a_task_of_its_own(collections: Path, tmp_path: Path) -> None:
    train("day-to-night", collections, tmp_path / "run")
    path = tmp_path / "run" / FILE_NAME
    _, back = _generator(*_trainer(path, read_header(path)), path, "back")
    assert (back.name, back.task, back.direction) == ("night-to-day", "night-to-day", "forward")


@pytest.mark.usefixtures("memory_known")
def test_best_snapshot(pairs: Path, tmp_path: Path) -> None:
    train(
        "pix2pix",
        pairs,
        tmp_path / "run",
        "--layout",
        "side-by-side",
        "--held-out",
        "2",
        "--validations",
        "1",
        "--channels",
        "3x16",
    )
    engine = exported(tmp_path / "run", "--snapshot", "best", "--weights", "float32", "--images", str(pairs))
    assert (engine.spec.input_bits, engine.spec.output_bits) == (16, 16)
    parity = json.loads((tmp_path / "run" / "parity.json").read_text())
    assert {row["full"] for row in parity} == {65535}
    assert max(row["largest"] for row in parity) <= 4


@pytest.mark.usefixtures("memory_known")
def test_labels_and_styles(kinds: Path, tmp_path: Path, image_HWC: np.ndarray) -> None:
    train("sketch-to-photo", kinds, tmp_path / "run", "--labels", "--style-size", "2")
    engine = exported(tmp_path / "run", "--name", "kinds", "--default-style", "3")
    third_S = numbered_style(3, engine.spec)
    assert np.array_equal(numbered_style(0, engine.spec), third_S)
    assert np.array_equal(engine(image_HWC), engine(image_HWC, style=third_S))
    # A runtime that knows nothing of this takes it too.
    constants = {tensor.name: tensor for tensor in onnx.load(engine.path).graph.initializer}
    assert np.array_equal(onnx.numpy_helper.to_array(constants["style"]), third_S[None])
    assert (engine.spec.labels, engine.spec.style_size) == (("bags", "shoes"), 2)
    assert json.loads((tmp_path / "run" / "parity.json").read_text())[-1]["controls"] == "label, style"
    assert engine(image_HWC, label="shoes", style=[1.0, -1.0]).shape == image_HWC.shape
    required = exported(tmp_path / "run", "--controls", "required", "--default-style", "3")
    assert np.array_equal(required(image_HWC), engine(image_HWC))
    fixed = exported(tmp_path / "run", "--controls", "fixed", "--default-style", "3")
    assert (fixed.spec.labels, fixed.spec.style_size) == ((), 0)
    assert np.array_equal(fixed(image_HWC), engine(image_HWC))
    shoe_HWC = engine(image_HWC, label="shoes", style=numbered_style(4, engine.spec))
    freeze = ["--freeze", "label=shoes", "style=4", "--default-style", "3"]  # with the default above: not traced again
    frozen = exported(tmp_path / "run", *freeze)
    assert np.array_equal(frozen(image_HWC), shoe_HWC)
    assert frozen.spec.fixed["label"] == "shoes"
    half = exported(tmp_path / "run", *freeze, "--precision", "fp16")
    assert (half.spec.precision, half.spec.fixed) == ("fp16", frozen.spec.fixed)
    assert np.abs(half(image_HWC).astype(int) - shoe_HWC).max() <= 2
    report = json.loads(half.path.with_suffix(".parity.json").read_text())
    assert (report["compared_with"], report["network"]["devices"]) == ("float32", ["cpu"])
    assert report["network"]["largest"] <= 1
    write_picture(tmp_path / "a.png", Picture(image_HWC))
    arguments = ["convert", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--model", str(engine.path)]
    assert main([*arguments, "--label", "shoes", "--style", "3"]) == 0
    assert read_picture(tmp_path / "b.png").rgb_HWC.shape == image_HWC.shape


def test_super_resolution_and_sixteen_bits_from_a_run_of_eight(
    photos: Path, tmp_path: Path, image_HWC: np.ndarray
) -> None:
    train("super-resolution", photos, tmp_path / "run", "--scale", "2")
    deep, plain = (exported(tmp_path / "run", *more) for more in (("--bits", "16", "--name", "deep"), ()))
    assert (plain.spec.scale, plain.spec.size_multiple) == (2, 1)
    assert plain.apply(Picture(image_HWC)).rgb_HWC.shape == (48, 80, 3)
    assert 64 <= plain.spec.bytes_per_pixel < 50_000
    assert (deep.spec.input_bits, deep.spec.output_bits, plain.spec.input_bits) == (16, 16, 8)
    fine_HWC = image_HWC.astype(np.uint16) * 257 + 100
    assert np.unique(deep(fine_HWC) % 257).size > 100  # between the levels of 8 bits too
    assert np.abs(deep(image_HWC.astype(np.uint16) * 257) / 257 - plain(image_HWC)).max() <= 1


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(
        option in text
        for option in (
            "RUN",
            "--output",
            "--weights",
            "--direction",
            "--snapshot",
            "--controls",
            "--freeze",
            "--precision",
            "--calibrate",
            "--min-psnr",
            "--default-style",
            "--images",
            "--metrics",
        )
    )


def test_metrics_survive_the_contract(tmp_path: Path) -> None:
    from export.command import _metrics

    path = tmp_path / "m.json"
    path.write_text(json.dumps({"psnr_db": 18, "share": 0.5}))
    assert _metrics(path) == {"psnr_db": 18.0, "share": 0.5}


@pytest.mark.usefixtures("memory_known")
def test_a_run_for_another_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is exported and compared first; of the temporary file nothing is said."""
    assert main(["export", "run", "--target", "triton", "-o", "models", "--name", "mine"]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    assert found.out.startswith("parity, PyTorch vs. ONNX Runtime:")
    assert "translate convert" not in found.out
    assert found.out.endswith(f"next: tritonserver --model-repository={folder / 'models'}\n")
    assert Engine(folder / "models" / "mine" / "1" / "model.onnx", device="cpu").spec.working_size == 32
    assert main(["export", "run", "--target", "triton", "-o", "models", "--name", "mine"]) == 2
    found = capsys.readouterr()
    assert "models/mine exists already" in found.err
    compared = folder / "run" / "compared.json"
    largest = max(row["largest"] for row in json.loads(compared.read_text())["rows"])
    again = main(["export", "run", "--target", "triton", "-o", "models", "--name", "other"])
    said = capsys.readouterr().out
    assert (again, said.splitlines()[0]) == (0, f"parity, as at the last export: largest difference {largest} of 255")
    first, second = (Path("models", name, "1", "model.onnx") for name in ("mine", "other"))
    assert Engine(first, device="cpu").spec.weights_sha256 == Engine(second, device="cpu").spec.weights_sha256
    compared.write_text(compared.read_text().replace('"onnxruntime"', '"another runtime"'))
    assert main(["export", "run", "--target", "triton", "-o", "models", "--name", "third"]) == 0
    assert capsys.readouterr().out.startswith("parity, PyTorch vs. ONNX Runtime:")
