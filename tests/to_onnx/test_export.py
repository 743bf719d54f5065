"""Network -> .onnx: the same pictures, free sizes, half the bytes, no trace of the exporting machine.

Shape suffixes: N batch, H height, W width, C channels.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
import torch
from torch import nn

from export.cost import gmacs, parameters
from export.to_onnx import SMALL, build_graph, finish, trace, write_model
from export.verify import Parity, compare, demand, table, working_memory
from translate.errors import ModelError
from translate.inference.controls import default_inputs
from translate.inference.engine import Engine
from translate.networks.classic_unet import ClassicUNet
from translate.networks.pixels import PixelTranslator
from translate.networks.residual_sr import ResidualSR
from translate.networks.resnet import ResNet
from translate.networks.srgan import SRResNet
from translate.networks.unet import UNet
from translate.spec import METADATA_KEY, RESULT_REST, ModelSpec
from translate.trainers.base import pixel_translator

SPEC = ModelSpec(
    name="tiny",
    task="sketch-to-photo",
    architecture="UNet(widths=(32, 128), blocks=1)",
    size_multiple=4,
    receptive_field=61,
    licence="CC0-1.0",
    training_data="noise",
    metrics={"psnr_db": 18.25},
)

FEW = ((16, 16), (97, 301), (16, 1000))
"""Sizes for comparisons that need not be complete."""


def shaken(network: nn.Module) -> Any:
    """Random weights also where the network starts at zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture(scope="module")
def network() -> UNet:
    return shaken(UNet(3, 3, (32, 128), 1))


@pytest.fixture(scope="module")
def graphs(network: UNet) -> dict[str, onnx.ModelProto]:
    """Exported with both ways of storing weights."""
    traced = trace(PixelTranslator(network, 4).eval(), SPEC)
    return {"float16": finish(traced, SPEC, "float16"), "float32": finish(traced, SPEC, "float32")}


@pytest.fixture(params=["float16", "float32"])
def path(request: pytest.FixtureRequest, graphs: dict[str, onnx.ModelProto], tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.onnx"
    write_model(graphs[request.param], SPEC, path)
    return path


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (64, 48, 3), dtype=np.uint8) for _ in range(3)]


def half(network: UNet) -> UNet:
    """The network whose weights went through float16, as they are stored."""
    copy = UNet(3, 3, network.widths, network.blocks).eval()
    copy.load_state_dict(
        {
            name: (value.half().float() if value.numel() >= SMALL else value)
            for name, value in network.state_dict().items()
        }
    )
    return copy


def test_same_pictures_at_every_size(path: Path, network: UNet, pictures: list[np.ndarray]) -> None:
    rounded = half(network) if path.stem == "float16" else network
    rows = compare(PixelTranslator(rounded, 4).eval(), path, pictures, SPEC)
    assert {row.batch for row in rows} == {1, 2, 5}
    assert max(row.largest for row in rows) <= 1
    assert max(row.share for row in rows) < 0.01
    demand(rows, path)
    assert len(table(rows).splitlines()) == 2 + len(rows)


def test_bilinear_upsampling_is_exported(pictures: list[np.ndarray], tmp_path: Path) -> None:
    network = shaken(UNet(3, 3, (8, 12), 1, 4, upsampling="bilinear"))
    spec = dataclasses.replace(SPEC, receptive_field=network.receptive_field)
    path = tmp_path / "bilinear.onnx"
    write_model(build_graph(network, spec, "float32"), spec, path)
    odd_HWC = np.random.default_rng(1).integers(0, 256, (5, 3, 3), dtype=np.uint8)
    rows = compare(PixelTranslator(network, 4).eval(), path, [*pictures, odd_HWC], spec, FEW)
    assert max(row.largest for row in rows) <= 1
    assert max(row.share for row in rows) < 0.01
    # Kernels that depend on no size are constants of the file.
    assert "Expand" not in {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (5, 3), (4, 90), (33, 31)])
def test_small_and_odd_sizes(path: Path, network: UNet, size: tuple[int, int]) -> None:
    image_NHWC = np.random.default_rng(1).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    rounded = half(network) if path.stem == "float16" else network
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected_NHWC = PixelTranslator(rounded, 4).eval()(torch.from_numpy(image_NHWC)).numpy()
    found_NHWC = session.run(["translated"], {"image": image_NHWC})[0]
    assert found_NHWC.shape == image_NHWC.shape
    assert np.abs(found_NHWC.astype(int) - expected_NHWC).max() <= 1


def test_names_types_and_free_axes(path: Path) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ((into,), (out, rest)) = session.get_inputs(), session.get_outputs()
    assert (rest.name, rest.type) == (RESULT_REST, "tensor(int16)")
    assert (into.name, into.type, into.shape) == ("image", "tensor(uint8)", ["N", "H", "W", 3])
    assert (out.name, out.type) == ("translated", "tensor(uint8)")
    assert len(out.shape) == 4
    assert out.shape[3] == 3
    assert all(isinstance(axis, str) for axis in out.shape[:3])
    onnx.checker.check_model(path, full_check=True)


def test_contract_travels_with_the_file(path: Path) -> None:
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    spec = ModelSpec.from_json(facts[METADATA_KEY], "file")
    assert dataclasses.replace(spec, weights_sha256="", producer="") == SPEC
    assert len(spec.weights_sha256) == 64
    assert spec.producer.startswith("translate ")
    assert (facts["licence"], facts["task"]) == ("CC0-1.0", "sketch-to-photo")
    engine = Engine(path, device="cpu")
    assert engine.spec == spec
    assert engine(np.zeros((16, 20, 3), np.uint8)).shape == (16, 20, 3)


def test_nothing_of_the_exporting_machine(path: Path) -> None:
    model = onnx.load(path)
    assert [tensor.name for tensor in model.graph.initializer if tensor.external_data] == []
    # Random weights hold any three letters sooner or later.
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    content = model.SerializeToString()
    here = Path(__file__).parents[2]
    for mark in (str(here), "/torch/", ".py", "site-packages", "stack_trace", str(Path.home()) + "/"):
        assert mark.encode() not in content, mark


def test_storage(graphs: dict[str, onnx.ModelProto]) -> None:
    def sizes(kind: str) -> dict[int, int]:
        found: dict[int, int] = {}
        for tensor in graphs[kind].graph.initializer:
            found[tensor.data_type] = found.get(tensor.data_type, 0) + int(np.prod(tensor.dims))
        return found

    halves, floats = sizes("float16"), sizes("float32")
    assert onnx.TensorProto.FLOAT16 not in floats
    assert halves[onnx.TensorProto.FLOAT16] > 0.8 * floats[onnx.TensorProto.FLOAT]
    assert all(
        np.prod(tensor.dims) < SMALL
        for tensor in graphs["float16"].graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    )
    share = graphs["float16"].ByteSize() / graphs["float32"].ByteSize()
    assert 0.45 < share < 0.65


def test_same_network_same_digest(network: UNet, graphs: dict[str, onnx.ModelProto], tmp_path: Path) -> None:
    again = build_graph(network, SPEC, "float16")
    specs = [write_model(model, SPEC, tmp_path / "m.onnx") for model in (graphs["float16"], again, graphs["float32"])]
    assert specs[0].weights_sha256 == specs[1].weights_sha256
    assert specs[0].weights_sha256 != specs[2].weights_sha256


def test_damaged_graph_is_noticed(
    graphs: dict[str, onnx.ModelProto], network: UNet, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(graphs["float32"])
    tensor = next(tensor for tensor in broken.graph.initializer if tensor.name.endswith("out.bias"))
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 0.05, tensor.name))
    write_model(broken, SPEC, tmp_path / "broken.onnx")
    rows = compare(PixelTranslator(network, 4).eval(), tmp_path / "broken.onnx", pictures, SPEC, FEW)
    with pytest.raises(ModelError, match=r"x.onnx differs from the trained network by \d+ of 255 at \d+x\d+") as caught:
        demand(rows, Path("x.onnx"))
    assert "\n" not in str(caught.value)


def test_every_device_is_compared(path: Path, network: UNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is needed: other sessions on the CPU stand for it and for TensorRT (which gets batches only), and add two
    levels."""

    class Brighter(Engine):
        def __call__(self, *given: Any, **chosen: Any) -> Any:
            result_NHWC = super().__call__(*given, **chosen)
            return result_NHWC + (result_NHWC < 250) * np.uint8(2)

    def opened(path: Path, device: str) -> Engine:
        engine = (Engine if device == "cpu" else Brighter)(path, device="cpu")
        engine.device = "cpu" if device == "cpu" else "cuda"
        return engine

    monkeypatch.setattr("export.backends.Engine", opened)
    monkeypatch.setattr("export.backends.find_spec", lambda name: None)  # OpenVINO
    picture_HWC = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    rows = compare(PixelTranslator(network, 4).eval(), path, [picture_HWC], SPEC, [(16, 20)])
    assert [row.device for row in rows] == ["cpu", "cuda", *["cpu", "cuda", "tensorrt"] * 2]
    assert [row.largest >= 2 for row in rows] == [row.device != "cpu" for row in rows]


def test_unwritable(graphs: dict[str, onnx.ModelProto], tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "m.onnx", tmp_path / "file" / "m.onnx"):
        with pytest.raises(ModelError, match=r"^cannot write .*; choose another file with -o$"):
            write_model(graphs["float16"], SPEC, path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "m.onnx"]


def test_working_memory(path: Path) -> None:
    # 32 channels at half the size and 16 at full size, in float32: hundreds of bytes, not tens of thousands.
    assert 64 <= working_memory(path, SPEC) < 20_000


KINDS = ("bag", "hat", "shoe")
DEEP = {"input_bits": 16, "output_bits": 16}
NETWORKS: dict[str, tuple[nn.Module, int, int, dict[str, Any]]] = {
    # name: network, channels in and out, further facts
    "16-bit grey to 8-bit colour, label": (
        UNet(1, 3, (8,), 1, condition_size=3), 1, 3, {"input_bits": 16, "labels": KINDS}
    ),
    "8-bit 4 channels to 16-bit 8, style": (
        UNet(4, 8, (8,), 1, condition_size=2), 4, 8, {"output_bits": 16, "style_size": 2}
    ),
    "label and style, repeated borders": (
        UNet(3, 3, (8,), 1, condition_size=5, padding="replicate", residual=True), 3, 3,
        {"labels": KINDS, "style_size": 2},
    ),
    "classic u-net": (ClassicUNet(3, 3, levels=3, width=4), 3, 3, {}),
    "resnet": (ResNet(3, 1, blocks=1, width=4), 3, 1, {}),
    "resnet of cut": (ResNet(3, 3, blocks=1, width=4, antialias=True), 3, 3, {}),
    "srresnet x4": (SRResNet(3, 3, scale=4, blocks=1, width=8), 3, 3, {}),
    "residual x2": (ResidualSR(3, scale=2, blocks=1, width=8), 3, 3, {}),
    "residual x4, 16 bits": (ResidualSR(1, scale=4, blocks=1, width=8), 1, 1, DEEP),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_in_every_format(name: str, tmp_path: Path) -> None:
    network, source, target, facts = NETWORKS[name]
    spec = dataclasses.replace(
        SPEC,
        input_channels=source,
        output_channels=target,
        size_multiple=network.size_multiple,
        scale=network.scale,
        **facts,
    )
    shaken(network)
    write_model(build_graph(network, spec, "float32"), spec, tmp_path / "m.onnx")
    random = np.random.default_rng(0)
    pictures = [
        random.integers(0, 2**spec.input_bits, (40, 56, source), dtype=f"uint{spec.input_bits}") for _ in range(3)
    ]
    rows = compare(pixel_translator(network, spec).eval(), tmp_path / "m.onnx", pictures, spec, FEW)
    assert max(row.largest for row in rows) <= (1 if spec.output_bits == 8 else 4)
    assert {row.full for row in rows} == {2**spec.output_bits - 1}
    model = onnx.load(tmp_path / "m.onnx")
    since = max(onnx.defs.get_schema(node.op_type, 18).since_version for node in model.graph.node)
    assert (model.opset_import[0].version, model.ir_version) == (
        since,
        onnx.helper.find_min_ir_version_for(model.opset_import),
    )
    assert model.ir_version <= 8  # ONNX Runtime 1.15 reads it
    controls = (["label"] if spec.labels else []) + (["style"] if spec.style_size else [])
    assert rows[-1].controls == ", ".join(controls)

    engine = Engine(tmp_path / "m.onnx", device="cpu")
    three_NHWC = np.stack(pictures)
    results = engine(three_NHWC)
    assert results.dtype == f"uint{spec.output_bits}"
    assert results.shape == (3, 40 * spec.scale, 56 * spec.scale, target)
    # Statistics, where there are any, are those of each picture.
    one_by_one = np.stack([engine(image_HWC) for image_HWC in pictures])
    assert np.abs(results.astype(int) - one_by_one).max() <= (1 if spec.output_bits == 8 else 4)
    if spec.labels:
        assert np.array_equal(engine(three_NHWC, label="bag"), results)
        assert not np.array_equal(engine(three_NHWC, label="shoe"), results)
    if spec.style_size:
        assert np.array_equal(engine(three_NHWC, style=[0.0, 0.0]), results)
        assert not np.array_equal(engine(three_NHWC, style=[1.0, -1.0]), results)


class Sharpened(nn.Module):
    """Stands for a generator with `detail`: that much of the way from the picture to its negative."""

    def forward(self, image: torch.Tensor, *, detail: torch.Tensor | None = None) -> torch.Tensor:
        image_NHWC = image.float()
        if detail is None:
            detail = torch.zeros(1)
        return (image_NHWC + detail * (255 - 2 * image_NHWC)).round().to(torch.uint8)


def test_detail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[np.ndarray]) -> None:
    spec = dataclasses.replace(SPEC, task="super-resolution", size_multiple=1, detail=True, working_size=64)
    assert {name: value.tolist() for name, value in default_inputs(spec).items()} == {"detail": [0.0]}
    monkeypatch.setattr("export.to_onnx.pixel_translator", lambda generator, _: generator)
    write_model(build_graph(Sharpened(), spec, "float32"), spec, tmp_path / "m.onnx")

    def compared() -> list[Parity]:
        rows = compare(Sharpened(), tmp_path / "m.onnx", pictures, spec, FEW)
        return [row for row in rows if row.device == "cpu"]

    rows = compared()
    assert [row.controls for row in rows[-4:]] == ["", "detail 0", "detail 0.5", "detail 1"]
    demand(rows, tmp_path / "m.onnx")
    engine = Engine(tmp_path / "m.onnx", device="cpu")
    assert np.array_equal(engine(pictures[0]), pictures[0])
    assert np.array_equal(engine(pictures[0], detail=1), 255 - pictures[0])
    # A file whose control does nothing is noticed.
    damaged = onnx.load(tmp_path / "m.onnx")
    for node in damaged.graph.node:
        node.input[:] = [{"detail": "nothing"}.get(name, name) for name in node.input]
    damaged.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    onnx.save(damaged, tmp_path / "m.onnx")
    assert [row.largest > 1 for row in compared()[-4:]] == [
        False,
        False,
        True,
        True,
    ]


def test_cost() -> None:
    # 3x3 of stride 2 to 8 channels at 128 x 128, doubled, and 1x1 back to 3 at 256 x 256; biases are not counted.
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 1))
    spec = dataclasses.replace(SPEC, size_multiple=2)
    assert parameters(network) == (3 * 8 * 9 + 8) + (8 * 3 + 3)
    by_hand = (3 * 8 * 9 * 128**2 + 8 * 3 * 256**2) / 1e9
    assert gmacs(pixel_translator(network, spec), spec) == float(f"{by_hand:.4g}") == 0.005112
    # The size of the picture that goes in is what counts, whatever comes out; 16 bits work like 8.
    large = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, 1, 1))
    spec = dataclasses.replace(SPEC, size_multiple=1, scale=2, input_channels=1, output_channels=1, input_bits=16)
    assert gmacs(pixel_translator(large, spec), spec) == float(f"{9 * 512**2 / 1e9:.4g}")
    # What only a control needs is work too: the exported graph always does it.
    sharp = ResidualSR(3, scale=2, blocks=1, width=8, detail_blocks=1)
    spec = dataclasses.replace(SPEC, task="super-resolution", size_multiple=1, scale=2, detail=True)
    plain = dataclasses.replace(spec, detail=False)
    faithful = ResidualSR(3, scale=2, blocks=1, width=8)
    assert gmacs(pixel_translator(sharp, spec), spec) > 1.2 * gmacs(pixel_translator(faithful, plain), plain)


class Coloured(nn.Module):
    """Stands for a generator with a condition: adds a colour that is made of it. Others are exported above."""

    def __init__(self, condition_size: int):
        super().__init__()
        self.colour = nn.Linear(condition_size, 3)

    def forward(self, x_BCHW: torch.Tensor, condition_BD: torch.Tensor) -> torch.Tensor:
        return x_BCHW + self.colour(condition_BD)[..., None, None]


def test_knobs_may_be_left_out_by_any_runtime(tmp_path: Path) -> None:
    network = shaken(Coloured(2 + SMALL))
    spec = dataclasses.replace(SPEC, size_multiple=2, labels=("bag", "shoe"), style_size=SMALL, working_size=64)
    write_model(build_graph(network, spec, "float16"), spec, tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns that inputs with a default cannot be folded
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["image"]
    offered = [(value.name, value.type, value.shape) for value in session.get_overridable_initializers()]
    # Also a style that is as long as a weight stays float32.
    assert offered == [("label", "tensor(int64)", [1]), ("style", "tensor(float)", [1, SMALL])]
    image_NHWC = np.random.default_rng(0).integers(0, 256, (1, 12, 14, 3), dtype=np.uint8)
    plain_NHWC = session.run(["translated"], {"image": image_NHWC})[0]
    zeros = {"label": np.zeros(1, np.int64), "style": np.zeros((1, SMALL), np.float32)}
    assert np.array_equal(session.run(["translated"], {"image": image_NHWC, **zeros})[0], plain_NHWC)
