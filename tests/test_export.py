"""Network -> .onnx: the same pictures, free sizes, half the bytes, no trace of the exporting machine.

Shape suffixes: N batch, H height, W width, C channels.
"""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
import torch

from export.to_onnx import SMALL, build_graph, write_model
from export.verify import Parity, compare, demand, table, working_memory
from translate.engine import Engine
from translate.errors import ModelError
from translate.networks.pixels import PixelTranslator
from translate.networks.unet import UNet
from translate.spec import METADATA_KEY, ModelSpec

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


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    network = UNet(3, 3, (32, 128), 1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def graphs(network: UNet) -> dict[str, onnx.ModelProto]:
    """Exported with both ways of storing weights."""
    return {"float16": build_graph(network, SPEC, "float16"), "float32": build_graph(network, SPEC, "float32")}


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
    rows = compare(PixelTranslator(rounded, 4).eval(), path, pictures)
    assert {row.batch for row in rows} == {1, 2}
    assert max(row.largest for row in rows) <= 1
    assert max(row.share for row in rows) < 0.01
    demand(rows, path)
    assert len(table(rows).splitlines()) == 2 + len(rows)


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
    ((into,), (out,)) = session.get_inputs(), session.get_outputs()
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
    content = path.read_bytes()
    here = Path(__file__).parent.parent
    for trace in (str(here), "/torch/", ".py", "site-packages", "stack_trace", str(Path.home()) + "/"):
        assert trace.encode() not in content, trace
    model = onnx.load(path)
    assert [tensor.name for tensor in model.graph.initializer if tensor.external_data] == []


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
    rows = compare(PixelTranslator(network, 4).eval(), tmp_path / "broken.onnx", pictures)
    with pytest.raises(ModelError, match=r"x.onnx differs from the trained network by \d+ of 255 at \d+x\d+") as caught:
        demand(rows, Path("x.onnx"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("largest", "refused"), [(0, False), (1, False), (2, True)])
def test_demand(largest: int, refused: bool) -> None:
    rows = [Parity(batch=1, height=8, width=9, largest=level, share=0.0) for level in (0, largest, 0)]
    if refused:
        with pytest.raises(ModelError, match="by 2 of 255 at 9x8, at most 1 is allowed; nothing was written"):
            demand(rows, Path("x.onnx"))
    else:
        demand(rows, Path("x.onnx"))


def test_unwritable(graphs: dict[str, onnx.ModelProto], tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "m.onnx", tmp_path / "file" / "m.onnx"):
        with pytest.raises(ModelError, match=r"^cannot write .*; choose another file with -o$"):
            write_model(graphs["float16"], SPEC, path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "m.onnx"]


def test_working_memory(path: Path) -> None:
    # 32 channels at half the size and 16 at full size, in float32: hundreds of bytes, not tens of thousands.
    assert 64 <= working_memory(path, 3) < 20_000
