import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import DOUBLE, INVERT, save_model
from onnx import TensorProto, helper, numpy_helper

from translate.conversion.folder import convert_folder
from translate.conversion.worker import Conversion
from translate.errors import ConfigError, ImageError, ModelError
from translate.inference import engine as engine_module
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, read_picture, write_picture
from translate.spec import METADATA_KEY, ModelSpec

KINDS = dataclasses.replace(INVERT, name="kinds", labels=("day", "dusk", "night"))
STYLES = dataclasses.replace(INVERT, name="styles", style_size=2)
BOTH = dataclasses.replace(KINDS, name="both", style_size=2)
SHARP = dataclasses.replace(INVERT, name="sharp", task="super-resolution", detail=True)
ALL = dataclasses.replace(BOTH, name="all", detail=True)
GREY = dataclasses.replace(INVERT, name="grey", input_channels=1, output_channels=1)
DEEP = dataclasses.replace(INVERT, name="deep", input_channels=4, output_channels=4, input_bits=16, output_bits=16)


def save_sum(path: Path, spec: ModelSpec) -> Path:
    """Write a model that adds the label's number, the sum of the style and 100 times the detail to every value.

    With a `scale` it repeats every pixel.
    """
    kind = TensorProto.UINT8 if spec.input_bits == 8 else TensorProto.UINT16
    nodes, total = [helper.make_node("Cast", ["image"], ["sum0"], to=TensorProto.FLOAT)], "sum0"
    inputs = [helper.make_tensor_value_info("image", kind, ["N", "H", "W", spec.input_channels])]
    constants = []
    if spec.labels:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, [1]))
        constants.append(numpy_helper.from_array(np.zeros(1, np.int64), "label"))
        nodes.append(helper.make_node("Cast", ["label"], ["number"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Add", [total, "number"], [total := "sum1"]))
    if spec.style_size:
        inputs.append(helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, spec.style_size]))
        constants.append(numpy_helper.from_array(np.zeros((1, spec.style_size), np.float32), "style"))
        nodes.append(helper.make_node("ReduceSum", ["style"], ["shift"], keepdims=0))
        nodes.append(helper.make_node("Add", [total, "shift"], [total := "sum2"]))
    if spec.detail:
        inputs.append(helper.make_tensor_value_info("detail", TensorProto.FLOAT, [1]))
        constants.append(numpy_helper.from_array(np.zeros(1, np.float32), "detail"))
        constants.append(numpy_helper.from_array(np.full(1, 100, np.float32), "hundred"))
        nodes.append(helper.make_node("Mul", ["detail", "hundred"], ["sharper"]))
        nodes.append(helper.make_node("Add", [total, "sharper"], [total := "sum3"]))
    if spec.scale != 1:
        constants.append(helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, spec.scale, spec.scale, 1.0]))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        nodes.append(helper.make_node("Resize", [total, "", "scales"], [total := "large"], mode="nearest", **how))
    nodes.append(helper.make_node("Cast", [total], ["output"], to=kind))
    output = helper.make_tensor_value_info("output", kind, ["N", "H2", "W2", spec.output_channels])
    graph = helper.make_graph(nodes, "sum", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, path)
    return path


def save_cast(path: Path, spec: ModelSpec) -> Path:
    """Write a model that changes the bits: the same colours, of 8 or 16 bits."""
    kinds = {8: TensorProto.UINT8, 16: TensorProto.UINT16}
    shape = ["N", "H", "W", spec.input_channels]
    factor = {8: 1, 16: 257}[spec.output_bits] / {8: 1, 16: 257}[spec.input_bits]
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "factor"], ["levels"]),
        helper.make_node("Cast", ["levels"], ["output"], to=kinds[spec.output_bits]),
    ]
    graph = helper.make_graph(
        nodes,
        "cast",
        [helper.make_tensor_value_info("image", kinds[spec.input_bits], shape)],
        [helper.make_tensor_value_info("output", kinds[spec.output_bits], shape)],
        [numpy_helper.from_array(np.array([factor], np.float32), "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, path)
    return path


def asked(**chosen: Any) -> Conversion:
    """The same choices for many pictures."""
    return Conversion(**chosen | ({"style": tuple(chosen["style"])} if "style" in chosen else {}))


def test_image_in_image_out(invert_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(invert_model, device="cpu")
    assert engine.spec == INVERT
    assert engine.path == invert_model
    assert engine.device == "cpu"
    assert np.array_equal(engine(image_HWC), 255 - image_HWC)


def test_batch(double_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(str(double_model))
    result = engine(np.stack([image_HWC, 255 - image_HWC]))
    assert result.shape == (2, 48, 80, 3)
    assert np.array_equal(result[1, ::2, 1::2], 255 - image_HWC)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((16, 16, 3), np.float32), "type float32, expected uint8"),
        (np.zeros((16, 16), np.uint8), r"shape \(16, 16\), expected \(height, width, 3\)"),
        (np.zeros((16, 16, 4), np.uint8), r"shape \(16, 16, 4\)"),
        (np.zeros((16, 0, 3), np.uint8), "0 x 16 pixels is empty"),
        (np.zeros((2, 0, 16, 3), np.uint8), "16 x 0 pixels is empty"),
    ],
)
def test_bad_images(invert_model: Path, image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Engine(invert_model)(image)


def test_apply_keeps_alpha(double_model: Path, image_HWC: np.ndarray) -> None:
    alpha_HW = np.full((24, 40), 77, np.uint8)
    result = Engine(double_model).apply(Picture(image_HWC, alpha_HW))
    assert np.array_equal(result.rgb_HWC[::2, ::2], image_HWC)
    assert result.alpha_HW is not None
    assert np.array_equal(result.alpha_HW, np.full((48, 80), 77))


@pytest.mark.parametrize("spec", [INVERT, DOUBLE], ids=["x1", "x2"])
def test_apply_at_working_size(tmp_path: Path, spec: object, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(spec, working_size=32)
    engine = Engine(save_model(tmp_path / "m.onnx", spec))
    seen: list[np.ndarray] = []
    run = engine._run
    monkeypatch.setattr(engine, "_run", lambda batch, *rest: seen.append(batch) or run(batch, *rest))
    transparent = Picture(np.zeros((50, 100, 3), np.uint8), np.zeros((50, 100), np.uint8))
    result = engine.apply(transparent)
    assert seen[0].shape == (1, 16, 32, 3)
    assert seen[0].min() == 255  # laid on white
    assert result.rgb_HWC.shape == (50 * spec.scale, 100 * spec.scale, 3)
    assert result.alpha_HW is None


def test_pictures_are_refused_only_where_pixels_result_or_the_least_window_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_HWC: np.ndarray
) -> None:
    monkeypatch.setattr(engine_module, "available_memory_bytes", lambda: 900 * 1024)
    unbounded = Engine(save_model(tmp_path / "a.onnx", INVERT))
    assert unbounded.max_pixels == 900 * 1024 // 24
    assert unbounded.work_bytes(3, 5) == 15 * 1024 + 15 * 12
    with pytest.raises(ImageError, match="40 x 24 pixels does not fit in the free memory"):
        unbounded.apply(Picture(image_HWC))  # smaller than the least window, and that does not fit
    sized = Engine(save_model(tmp_path / "b.onnx", dataclasses.replace(INVERT, working_size=16)))
    assert sized.max_pixels == 900 * 1024 // 24
    assert sized.work_bytes(24, 40) == 10 * 16 * 1024 + 24 * 40 * 12
    assert sized.apply(Picture(image_HWC)).height == 24
    large = Engine(save_model(tmp_path / "c.onnx", dataclasses.replace(DOUBLE, bytes_per_pixel=100, receptive_field=1)))
    assert large.max_pixels == 900 * 1024 // (12 + 4 * 12)
    long_HWC = np.resize(image_HWC, (100, 150, 3))
    assert large.plan(100, 150).count > 1
    assert np.array_equal(large.apply(Picture(long_HWC)).rgb_HWC[::2, ::2], long_HWC)
    with pytest.raises(ImageError, match="200 x 100 pixels does not fit"):
        large.apply(Picture(np.zeros((100, 200, 3), np.uint8)))
    whole = Engine(large.path, tile=0)
    assert whole.max_pixels == 900 * 1024 // 100
    with pytest.raises(ImageError, match="150 x 100 pixels does not fit"):
        whole.apply(Picture(long_HWC))


@pytest.mark.parametrize("text", ["Failed to allocate memory for requested buffer of size 9", "std::bad_alloc"])
def test_want_of_memory_is_explained(invert_model: Path, image_HWC: np.ndarray, text: str) -> None:
    class Poor:
        def run(self, *_: object) -> None:
            raise RuntimeError(text)

    engine = Engine(invert_model)
    engine._session.ort_session = Poor()
    with pytest.raises(ImageError, match="does not fit"):
        engine(image_HWC)
    text = "something else"
    with pytest.raises(RuntimeError, match="something else"):
        engine(image_HWC)


def test_threads(invert_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(invert_model, threads=1)
    images = [np.roll(image_HWC, shift, axis=0)[: 8 + shift] for shift in range(16)] * 8
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(engine, images))
    assert all(np.array_equal(result, 255 - image) for result, image in zip(results, images, strict=True))


def test_bad_models(tmp_path: Path) -> None:
    (tmp_path / "garbage.onnx").write_bytes(b"\xffgarbage")
    (tmp_path / "empty.onnx").write_bytes(b"")
    save_model(tmp_path / "external.onnx", INVERT, external=True)
    save_model(tmp_path / "bare.onnx", None)
    for name, message in [
        ("garbage", "truncated, or not an ONNX file"),
        ("empty", "is empty"),
        ("external", "weights are in another file"),
        ("bare", r"without translate\.spec metadata.*`translate export`"),
        ("missing", "no such file"),
    ]:
        with pytest.raises(ModelError, match=message) as caught:
            Engine(tmp_path / f"{name}.onnx")
        assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_gpu(double_model: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(double_model, device="cuda")
    assert engine.device == "cuda"
    assert np.array_equal(engine(image_HWC)[::2, ::2], image_HWC)


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_optional_inputs_on_a_gpu(device: Any, tmp_path: Path, image_HWC: np.ndarray) -> None:
    path = save_sum(tmp_path / "all.onnx", ALL)
    try:
        engine, plain = Engine(path, device=device), Engine(path, device="cpu")
    except ModelError as error:
        if device == "cuda":
            raise
        pytest.skip(str(error))
    for chosen in ({}, {"label": "night", "style": (3, 4), "detail": 0.5}):
        assert np.array_equal(engine(image_HWC // 3, **chosen), plain(image_HWC // 3, **chosen))


def test_apply_at_working_size_keeps_alpha_of_cut_outs_but_not_of_lines(tmp_path: Path, image_HWC: np.ndarray) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(INVERT, working_size=32)))
    alpha_HW = np.zeros(image_HWC.shape[:2], np.uint8)
    alpha_HW[:, :20] = 255
    cut_out = engine.apply(Picture(image_HWC, alpha_HW))
    assert cut_out.alpha_HW is not None
    assert np.array_equal(cut_out.alpha_HW, alpha_HW)
    alpha_HW[:, 2:] = 0
    assert engine.apply(Picture(image_HWC, alpha_HW)).alpha_HW is None


@pytest.mark.parametrize(
    ("spec", "chosen", "added"),
    [
        (KINDS, {}, 0),
        (KINDS, {"label": "day"}, 0),
        (KINDS, {"label": "night"}, 2),
        (KINDS, {"label": 1}, 1),
        (STYLES, {}, 0),
        (STYLES, {"style": [3, 4.0]}, 7),
        (STYLES, {"style": np.array([3.0, 4.0])}, 7),
        (BOTH, {"label": "dusk"}, 1),
        (BOTH, {"style": (3, 4)}, 7),
        (BOTH, {"label": "night", "style": np.array([3, 4], np.float32)}, 9),
        (SHARP, {}, 0),
        (SHARP, {"detail": 0}, 0),
        (SHARP, {"detail": 0.5}, 50),
        (SHARP, {"detail": 1.0}, 100),
        (ALL, {"label": 1, "style": [3, 4], "detail": 0.25}, 33),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_knobs(tmp_path: Path, spec: ModelSpec, chosen: dict[str, object], added: int) -> None:
    engine = Engine(save_sum(tmp_path / "m.onnx", spec), device="cpu")
    image_NHWC = np.stack([np.full((8, 9, 3), level, np.uint8) for level in (10, 20)])
    assert np.array_equal(engine(image_NHWC, **chosen), image_NHWC + added)
    assert np.array_equal(engine.apply(Picture(image_NHWC[0]), **chosen).rgb_HWC, image_NHWC[0] + added)


@pytest.mark.parametrize(
    ("spec", "chosen", "message"),
    [
        (INVERT, {"label": "night"}, "invert was trained without labels; omit the label"),
        (INVERT, {"style": [1.0, 2.0]}, "invert was trained without styles; omit the style"),
        (KINDS, {"style": np.zeros(0)}, "kinds was trained without styles"),
        (KINDS, {"label": "nigth"}, r"kinds has no label 'nigth'; did you mean night\?"),
        (KINDS, {"label": "x"}, "kinds has no label 'x'; choose one of: day, dusk, night"),
        (KINDS, {"label": 3}, "kinds has no label 3; choose one of: day, dusk, night"),
        (KINDS, {"label": -1}, "kinds has no label -1"),
        (STYLES, {"style": [1.0]}, r"style has shape \(1,\), but styles takes \(2,\); give 2 numbers"),
        (STYLES, {"style": [[1.0, 2.0]]}, r"style has shape \(1, 2\)"),
        (BOTH, {"detail": 0.0}, "both has no detail control; omit the detail"),
        (SHARP, {"detail": 1.01}, r"detail is 1\.01; give 0 \(most faithful\) to 1 \(sharpest\)"),
        (SHARP, {"detail": -0.1}, r"detail is -0\.1; give 0"),
        (SHARP, {"detail": float("nan")}, "detail is nan; give 0"),
    ],
)
def test_bad_controls(
    tmp_path: Path, spec: ModelSpec, chosen: dict[str, object], message: str, image_HWC: np.ndarray
) -> None:
    engine = Engine(save_sum(tmp_path / "m.onnx", spec), device="cpu")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"never read")
    for call in (
        lambda: engine(image_HWC, **chosen),
        lambda: engine.apply(Picture(image_HWC), **chosen),
        lambda: convert_folder(tmp_path / "in", tmp_path / "out", engine, asked(**chosen)),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_convert_with_knobs(tmp_path: Path) -> None:
    engine = Engine(save_sum(tmp_path / "m.onnx", ALL), device="cpu")
    write_picture(tmp_path / "in.png", Picture(np.full((8, 9, 3), 10, np.uint8)))
    how = asked(label="dusk", style=[3.0, 4.0], detail=0.5)
    convert_folder(tmp_path / "in.png", tmp_path / "out.png", engine, how)
    assert (read_picture(tmp_path / "out.png").rgb_HWC == 68).all()
