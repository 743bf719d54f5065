"""A file of ours in half precision, in 8 bits, or with its controls built in: what it returns, says, and when it is
refused."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
import onnxruntime
import pytest
import torch
from conftest import save_model
from test_precision_graphs import too_large

from export.half import FLOAT16
from export.inputs import model_inputs
from export.options import FileOptions
from export.quantise import THIN, to_int8
from export.to_onnx import finish, trace, unpack_weights, write_model
from translate.cli.main import main
from translate.errors import ConfigError, ModelError
from translate.inference.controls import Style, numbered_style
from translate.inference.engine import Engine
from translate.networks.unet import UNet
from translate.pictures.operations import Picture, write_picture
from translate.spec import PARITY_KEY, TRAINING_KEY, ModelSpec
from translate.trainers.base import pixel_translator
from translate.training.exported import read_exported

SPEC = ModelSpec(
    name="tiny", task="pix2pix", architecture="UNet", size_multiple=2, receptive_field=41, labels=("bag", "shoe"),
    style_size=2, default_style=(1.0, -1.0), licence="CC0-1.0",
)  # fmt: skip


CPU = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def traced() -> onnx.ModelProto:
    torch.manual_seed(0)
    network = UNet(3, 3, (8,), 1, condition_size=4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return trace(pixel_translator(network.eval(), SPEC).eval(), SPEC)


@pytest.fixture
def folder(traced: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with `tiny.onnx` and 20 `pictures`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("export.written.working_memory", lambda path, spec: 100)
    monkeypatch.setattr("export.backends.find_spec", lambda name: None)  # OpenVINO has tests of its own
    network = json.dumps({"largest": 1, "full": 255, "mean": 0.001, "sha256": "0"})
    write_model(finish(traced, SPEC, "float16"), SPEC, tmp_path / "tiny.onnx", "", network)
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(20):
        small_HWC = random.integers(0, 256, (4, 5, 3), np.uint8)
        smooth = Picture(small_HWC.repeat(8, axis=0).repeat(8, axis=1))
        write_picture(tmp_path / "pictures" / f"{number}.png", smooth)
    return tmp_path


def run(arguments: str, status: int = 0) -> None:
    assert main(["export", *arguments.split()]) == status


CONVERTED = {"fp16": "--precision fp16 --images pictures", "int8": "--precision int8 --calibrate pictures"}


@pytest.mark.parametrize("precision", CONVERTED)
def test_a_converted_file_is_a_normal_file(
    folder: Path, capsys: pytest.CaptureFixture[str], precision: str, image_HWC: np.ndarray
) -> None:
    run(f"tiny.onnx -o out/new.onnx {CONVERTED[precision]}")
    assert capsys.readouterr().out.startswith(f"parity, float32 vs. {precision}:\n")
    before, after = Engine(folder / "tiny.onnx", device="cpu"), Engine(folder / "out" / "new.onnx", device="cpu")
    same = {"precision": "float32", "weights_sha256": "", "bytes_per_pixel": 0}
    assert after.spec.precision == precision
    assert dataclasses.replace(after.spec, **same) == dataclasses.replace(before.spec, **same)
    for controls in ({}, {"label": "shoe"}, {"label": "bag", "style": (0.5, -1.0)}):
        expected_HWC, found_HWC = before(image_HWC, **controls), after(image_HWC, **controls)
        assert 0 < np.abs(found_HWC.astype(int) - expected_HWC).mean() < 3
    assert not np.array_equal(after(image_HWC, label="shoe"), after(image_HWC, label="bag"))
    three_NHWC = np.stack([image_HWC, image_HWC[::-1], 255 - image_HWC])
    assert np.array_equal(after(three_NHWC)[1], after(image_HWC[::-1]))
    large_HWC = np.tile(image_HWC, (5, 4, 1))
    tiled = Engine(folder / "out" / "new.onnx", device="cpu", tile=after.smallest_tile)
    assert tiled.plan(*large_HWC.shape[:2]).count > 1
    assert np.abs(tiled(large_HWC).astype(int) - after(large_HWC)).max() <= 1
    deep_HWC = image_HWC.astype(np.uint16) * 257 + 100
    assert np.abs(after(deep_HWC) / 257 - after(image_HWC)).mean() < 3
    assert np.unique(after(deep_HWC) % 257).size > 100
    assert main(["convert", "pictures", "photos", "--model", "out/new.onnx", "--label", "shoe", "--style", "3"]) == 0
    assert len([*(folder / "photos").glob("*.png")]) == 20


@pytest.mark.parametrize("precision", CONVERTED)
def test_what_is_said_about_it(folder: Path, capsys: pytest.CaptureFixture[str], precision: str) -> None:
    run(f"tiny.onnx -o new.onnx {CONVERTED[precision]} --min-psnr 30 --name other")
    text = (folder / "new.parity.json").read_bytes()
    report = json.loads(text)
    assert (report["precision"], report["compared_with"], report["allowed"]) == (precision, "float32", None)
    assert (report["min_psnr_db"], report["network"]["largest"]) == (30, 1)
    judged = [row for row in report["rows"] if row["device"] in ("cpu", "half")]
    worst = max(row["squared"] for row in judged)
    assert report["psnr_db"] == pytest.approx(10 * np.log10(255**2 / worst), abs=0.01)
    assert report["psnr_db"] > 30
    assert report["devices"] == (["cpu", "half"] if precision == "fp16" else ["cpu"])
    assert report.get("calibrated_on") == (None if precision == "fp16" else 10)
    assert {row["controls"] for row in report["rows"]} == {"", "label, style"}
    stored = json.loads({one.key: one.value for one in onnx.load("new.onnx").metadata_props}[PARITY_KEY])
    assert stored.pop("sha256") == hashlib.sha256(text).hexdigest()
    assert stored == {name: report[name] for name in stored}
    capsys.readouterr()
    assert main(["info", "new.onnx"]) == 0  # the digest of the weights agrees
    lines = {line[:16].strip(): line[17:] for line in capsys.readouterr().out.splitlines()}
    assert lines["precision"].startswith(f"{precision}: ")
    assert f"PSNR at least {report['psnr_db']:.1f} dB (30 was demanded)" in lines["parity"]
    assert lines["parity before"] == "largest difference from the network 1 of 255"
    assert (lines["name"], lines["licence"]) == ("other", "CC0-1.0")


def test_int8_weights_are_a_quarter_and_fp16_weights_half(folder: Path) -> None:
    for precision, options in CONVERTED.items():
        run(f"tiny.onnx -o {precision}.onnx {options} --min-psnr 20")
    half, whole = (onnx.load(f"{name}.onnx") for name in CONVERTED)
    kinds = {tensor.name: tensor.data_type for tensor in half.graph.initializer if ".conv1.weight" in tensor.name}
    assert set(kinds.values()) == {FLOAT16}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in whole.graph.initializer}
    convolutions = [node for node in whole.graph.node if node.op_type == "Conv"]
    floats = [node for node in convolutions if node.input[1] in shapes]
    assert 0 < len(floats) < len(convolutions)
    assert all(shapes[node.input[1]][0] <= THIN or shapes[node.input[1]][1] == 1 for node in floats)


def test_a_file_that_is_too_different_is_not_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    for precision, options in CONVERTED.items():
        run(f"tiny.onnx -o new.onnx {options} --min-psnr 100", 2)
        error = capsys.readouterr().err
        assert re.fullmatch(
            rf"translate: new\.onnx in {precision} has a PSNR of \d\d\.\d dB against float32 at \d+x\d+ \(largest "
            r"difference \d+ of 255, mean \d+\.\d{3}\), but --min-psnr is 100; nothing was written, try .*\n",
            error,
        )
    assert sorted(folder.rglob("*")) == before


def test_values_too_large_for_float16_are_noticed_without_a_gpu(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = dataclasses.replace(SPEC, labels=(), style_size=0, default_style=())
    write_model(too_large(), spec, folder / "large.onnx")
    run("large.onnx -o new.onnx --precision fp16 --images pictures --min-psnr 0", 2)
    found = capsys.readouterr()
    assert re.search(r"new\.onnx in fp16 is of one colour, because values were lost or too large, and has", found.err)
    assert not [*folder.glob("new*")]
    # On a CPU alone, nothing would have been seen: it computes in float32.
    rows = [line for line in found.out.splitlines() if "255" in line]
    assert {line.split()[3] for line in rows if "on half" not in line} == {"0"}
    assert all(int(line.split()[3]) > 100 for line in rows if "on half" in line)


def test_controls_are_built_in(folder: Path, image_HWC: np.ndarray) -> None:
    run("tiny.onnx -o fixed.onnx --freeze label=shoe style=3 --images pictures")
    before, fixed = Engine(folder / "tiny.onnx", device="cpu"), Engine(folder / "fixed.onnx", device="cpu")
    style_S = numbered_style(3, SPEC)
    assert np.array_equal(fixed(image_HWC), before(image_HWC, label="shoe", style=style_S))
    assert not np.array_equal(fixed(image_HWC), before(image_HWC))
    assert (fixed.spec.labels, fixed.spec.style_size, fixed.spec.default_style) == ((), 0, ())
    assert fixed.spec.fixed == {"label": "shoe", "style": ",".join(f"{number:g}" for number in style_S)}
    session = onnxruntime.InferenceSession("fixed.onnx", providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["image"]
    assert [one.name for one in session.get_outputs()] == ["translated"]
    assert session.get_overridable_initializers() == []
    assert "rest" not in " ".join(tensor.name for tensor in onnx.load("fixed.onnx").graph.initializer)
    # With another precision at once; and what is left out has its default.
    run("tiny.onnx -o both.onnx --freeze label=shoe --precision fp16 --images pictures --default-style 5")
    both = Engine(folder / "both.onnx", device="cpu")
    expected_HWC = before(image_HWC, label="shoe", style=numbered_style(5, SPEC))
    assert np.abs(both(image_HWC).astype(int) - expected_HWC).max() <= 2
    assert (both.spec.precision, both.spec.fixed["label"]) == ("fp16", "shoe")
    # A converted file can still be given other inputs.
    run("both.onnx -o again.onnx --name again --images pictures")
    assert Engine(folder / "again.onnx", device="cpu").spec.fixed == both.spec.fixed


@pytest.mark.parametrize("options", ["--controls optional", "--freeze label=shoe", "--controls fixed"])
def test_int8_is_calibrated_on_the_controls_that_the_file_can_have(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    runs: list[dict[str, Any]] = []

    def noted(model: onnx.ModelProto, inputs: list[dict[str, Any]]) -> onnx.ModelProto:
        runs.extend(inputs)
        return to_int8(model, inputs)

    monkeypatch.setattr("export.changed.to_int8", noted)
    run(f"tiny.onnx -o new.onnx {CONVERTED['int8']} {options} --min-psnr 20")
    labels, styles = {int(one["label"][0]) for one in runs}, {tuple(one["style"][0]) for one in runs}
    if options == "--controls optional":
        assert (labels, len(styles)) == ({0, 1}, len(runs))
    else:
        assert (labels, styles) == ({1 if "shoe" in options else 0}, {SPEC.default_style})


def test_other_inputs_and_storage(folder: Path, image_HWC: np.ndarray) -> None:
    expected_HWC = Engine(folder / "tiny.onnx", device="cpu")(image_HWC)
    run("tiny.onnx -o required.onnx --controls required --images pictures")
    session = onnxruntime.InferenceSession("required.onnx", providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["image", "label", "style"]
    run("required.onnx -o optional.onnx --controls optional --default-style 3 --images pictures")
    optional = Engine(folder / "optional.onnx", device="cpu")
    assert np.array_equal(optional(image_HWC, style=SPEC.default_style), expected_HWC)
    assert np.array_equal(optional(image_HWC), optional(image_HWC, style=numbered_style(3, SPEC)))
    run("tiny.onnx -o whole.onnx --weights float32 --images pictures")
    assert np.array_equal(Engine(folder / "whole.onnx", device="cpu")(image_HWC), expected_HWC)
    assert FLOAT16 not in {tensor.data_type for tensor in onnx.load("whole.onnx").graph.initializer}
    assert json.loads((folder / "whole.parity.json").read_text())["compared_with"] == "original"


class Tinted(torch.nn.Module):
    """Adds the style to the colours; its first number to red and its second to green."""

    def forward(self, x_BCHW: torch.Tensor, condition_BD: torch.Tensor) -> torch.Tensor:
        red_B, green_B = condition_BD[:, -2], condition_BD[:, -1]
        return x_BCHW / 2 + 0.2 * torch.stack([red_B, green_B, green_B], 1)[..., None, None]


@pytest.fixture(scope="module")
def tinted() -> onnx.ModelProto:
    return finish(trace(pixel_translator(Tinted().eval(), SPEC).eval(), SPEC), SPEC, "float32")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--default-style 5 --controls fixed", numbered_style(5, SPEC)),
        ("--default-style 5 --controls required", numbered_style(5, SPEC)),
        ("--default-style 5 --precision fp16", numbered_style(5, SPEC)),
        ("--default-style=-0.5,1.5", (-0.5, 1.5)),
    ],
)
def test_another_default_style(
    folder: Path, image_HWC: np.ndarray, tinted: onnx.ModelProto, options: str, expected: Style
) -> None:
    """Of a network whose results depend on it."""
    write_model(tinted, SPEC, folder / "tinted.onnx")
    run(f"tinted.onnx -o new.onnx {options} --images pictures")
    before, after = Engine(folder / "tinted.onnx", device="cpu"), Engine(folder / "new.onnx", device="cpu")
    if "fixed" not in options:
        assert after.spec.default_style == tuple(expected)
    expected_HWC = before(image_HWC, style=expected)
    assert np.abs(after(image_HWC).astype(int) - expected_HWC).max() <= (1 if "fp16" in options else 0)
    assert np.abs(expected_HWC.astype(int) - before(image_HWC)).max() > 9


def test_a_default_style_of_another_length(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("tiny.onnx -o new.onnx --default-style 1,2,3 --images pictures", status=2)
    assert "style has shape (3,), but tiny takes (2,); give 2 numbers" in capsys.readouterr().err
    assert not (folder / "new.onnx").exists()


@pytest.mark.parametrize(("text", "known"), [("", False), ("{", False), ("[1]", False), ('{"largest": 1}', True)])
def test_what_is_known_about_the_network_is_carried(folder: Path, text: str, known: bool) -> None:
    model = onnx.load("tiny.onnx")
    write_model(model, SPEC, folder / "tiny.onnx", "", text)
    run("tiny.onnx -o one.onnx --controls fixed --images pictures")
    run("one.onnx -o two.onnx --name two --images pictures")
    for name in ("one", "two"):
        report = json.loads((folder / f"{name}.parity.json").read_text())
        assert (report["compared_with"], report["network"]) == ("original", {"largest": 1} if known else None)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("tiny.onnx -o x.onnx --precision int8", "--precision int8 needs pictures to take the ranges of values from;"),
        ("tiny.onnx -o x.onnx --calibrate pictures", "--calibrate is for --precision int8; omit it"),
        ("tiny.onnx -o x.onnx --precision int8 --calibrate nope", "nope does not exist"),
        ("tiny.onnx -o x.onnx --min-psnr 40", "--min-psnr is for --precision fp16 and int8; omit it"),
        ("tiny.onnx -o x.onnx --precision fp16 --min-psnr nan", "--min-psnr nan is out of range; give 0 to 100"),
        ("tiny.onnx -o x.onnx --precision fp16 --weights float32", "but --precision is fp16; omit --weights"),
        ("tiny.onnx -o tiny.onnx --precision fp16", "-o tiny.onnx is the file itself; choose another name"),
        ("tiny.onnx -o x.onnx --direction back", "--direction is for runs, but tiny.onnx is a file; omit it"),
        ("tiny.onnx -o x.onnx --bits 16", "--bits is for runs, but tiny.onnx is a file"),
        ("nope.onnx -o x.onnx", r"nope\.onnx: no such file"),
        ("tiny.onnx -o x.onnx --freeze label=hat", "tiny has no label 'hat'; .*bag, shoe"),
        (
            "tiny.onnx -o x.onnx --freeze hat=1",
            r"--freeze hat=1: give NAME=VALUE; tiny has: label \(bag, shoe\), style",
        ),
        ("tiny.onnx -o x.onnx --freeze detail=1", r"tiny has: label \(bag, shoe\), style \(a number, or 2 "),
        ("tiny.onnx -o x.onnx --freeze label", "--freeze label: give NAME=VALUE; tiny has: label"),
        ("tiny.onnx -o x.onnx --freeze style=1 style=2", "--freeze gives style twice; give it once"),
        ("tiny.onnx -o x.onnx --freeze style=-1", "--freeze style=-1 is out of range; give 0 or more"),
        ("tiny.onnx -o x.onnx --freeze style=1,2,3", r"style has shape \(3,\), but tiny takes \(2,\)"),
        ("tiny.onnx -o x.onnx --freeze style=red", "style is 'red'; give a whole number"),
        ("tiny.onnx -o x.onnx --freeze label=bag --controls required", "--freeze leaves no inputs, but --controls is"),
        ("plain.onnx -o x.onnx --freeze label=bag", "plain has no label, style or detail; omit --freeze"),
        ("maps.onnx -o x.onnx --precision int8 --calibrate pictures", "--calibrate takes pictures, but maps takes 35 "),
        ("eight.onnx -o x.onnx --precision fp16", "eight.onnx computes in int8, which cannot be undone; give the"),
        ("eight.onnx -o x.onnx --weights float32", "--weights is for float32, but eight.onnx computes in int8"),
    ],
)
def test_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, error: str) -> None:
    plain = ModelSpec(name="plain", task="pix2pix", architecture="255 - x")
    save_model(folder / "plain.onnx", plain)
    save_model(folder / "maps.onnx", dataclasses.replace(plain, name="maps", input_channels=35, output_channels=35))
    save_model(folder / "eight.onnx", dataclasses.replace(plain, precision="int8"))
    before = sorted(folder.rglob("*"))
    run(arguments, 2)
    found = capsys.readouterr()
    assert found.out == ""
    assert re.fullmatch(f"translate: .*{error}.*\n", found.err)
    assert sorted(folder.rglob("*")) == before


def test_imports_have_the_same_options() -> None:
    options: dict[str, Any] = {"output": Path("x.onnx"), "precision": "int8"}
    from export.import_command import ImportOptions

    with pytest.raises(ConfigError, match="--precision int8 needs pictures"):
        ImportOptions(checkpoint=Path("net.pth"), **options)
    assert issubclass(ImportOptions, FileOptions)


def test_training_goes_on_from_half_precision_only(folder: Path, traced: onnx.ModelProto) -> None:
    model = finish(traced, SPEC, "float32")
    names = {"slope": ("generator.out.bias", [3])}
    write_model(model, SPEC, folder / "tiny.onnx", json.dumps({"settings": {"style_size": 2}, "names": names}))
    for precision, options in CONVERTED.items():
        run(f"tiny.onnx -o {precision}.onnx {options} --min-psnr 20")
    before, half = read_exported(folder / "tiny.onnx"), read_exported(folder / "fp16.onnx")
    assert before.weights.keys() == half.weights.keys()
    assert "slope" in half.weights
    assert all(torch.allclose(half.weights[name], one, atol=1e-3) for name, one in before.weights.items())
    assert half.settings == before.settings
    assert TRAINING_KEY not in {one.key for one in onnx.load("int8.onnx").metadata_props}
    with pytest.raises(ModelError, match=r"int8\.onnx: weights in int8 cannot be trained; give the float32 file"):
        read_exported(folder / "int8.onnx")


def test_training_facts_that_cannot_be_read_do_not_stop_an_export(
    folder: Path, traced: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a model that the user added is exported by its name."""
    monkeypatch.setenv("TRANSLATE_MODELS", str(folder))
    write_model(finish(traced, SPEC, "float16"), SPEC, folder / "tiny.onnx", "{damaged")
    run("tiny -o new.onnx --controls required --images pictures")
    assert {one.key: one.value for one in onnx.load("new.onnx").metadata_props}[TRAINING_KEY] == "{damaged"


def test_inputs_are_what_the_engine_would_give(folder: Path) -> None:
    (folder / "large").mkdir()
    write_picture(folder / "large" / "a.png", Picture(np.zeros((600, 900, 3), np.uint8)))
    shapes = {
        (None, None, 1, 1): (384, 384, 1),
        (None, None, 4, 3): (96, 96, 3),
        (64, None, 1, 3): (43, 64, 3),
        (None, 100, 1, 3): (100, 150, 3),
    }
    for (working, scene, scale, channels), shape in shapes.items():
        spec = dataclasses.replace(
            SPEC, working_size=working, scene_size=scene, scale=scale, input_channels=channels, input_bits=16
        )
        (image_HWC,) = model_inputs(folder / "large", spec, 5)
        assert (image_HWC.shape, image_HWC.dtype) == (shape, np.uint16)
    assert len(model_inputs(folder / "pictures", SPEC, 6)) == 5
    assert model_inputs(None, dataclasses.replace(SPEC, input_channels=4), 2)[1].shape == (256, 256, 4)


def test_unpacked_weights_are_those_that_were_stored(traced: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.to_onnx.SMALL", 100)
    packed, whole = finish(traced, SPEC, "float16"), finish(traced, SPEC, "float32")
    assert len(packed.graph.node) > len(whole.graph.node)
    unpack_weights(packed)
    assert [node.op_type for node in packed.graph.node] == [node.op_type for node in whole.graph.node]
    values = [
        {one.name: onnx.numpy_helper.to_array(one) for one in graph.graph.initializer} for graph in (packed, whole)
    ]
    assert values[0].keys() == values[1].keys()
    assert all(np.allclose(values[0][name], values[1][name], atol=1e-3) for name in values[1])
