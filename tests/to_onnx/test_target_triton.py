"""`--target triton`: a repository that Triton's own schema accepts, and whose graph does what the model does."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from conftest import INVERT, save_model
from test_engine import save_sum
from triton_config import read

from translate.cli.main import main
from translate.inference.engine import Engine
from translate.spec import ModelSpec

KNOBS = ModelSpec(
    name="knobs",
    task="sketch-to-photo",
    architecture="",
    licence='"Ü" \\ \n',
    labels=("shoe", "bag"),
    style_size=3,
    detail=True,
)


def dims(tensors: Any) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in tensors}


@pytest.fixture
def knobs(tmp_path: Path) -> Path:
    return save_sum(tmp_path / "knobs.onnx", KNOBS)


def test_a_repository_with_batches(knobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(knobs), "--target", "triton", "-o", str(tmp_path / "models")]) == 0
    assert capsys.readouterr().out == (
        f"wrote {tmp_path}/models/knobs; next: tritonserver --model-repository={tmp_path}/models\n"
    )
    folder = tmp_path / "models" / "knobs"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
        "1/model.onnx", "README.md", "config.pbtxt"
    ]  # fmt: skip
    found = read(folder / "config.pbtxt")
    assert (found.name, found.platform, found.max_batch_size) == ("knobs", "onnxruntime_onnx", 8)
    assert (dims(found.input), dims(found.output)) == ({"image": [-1, -1, 3]}, {"output": [-1, -1, 3]})
    assert list(found.dynamic_batching.preferred_batch_size) == [4, 8]
    assert found.dynamic_batching.max_queue_delay_microseconds == 2000
    assert [group.count for group in found.instance_group] == [1]

    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["image"]
    assert not session.get_overridable_initializers()
    for warm_up in found.model_warmup:
        (shape,) = [list(value.dims) for value in warm_up.inputs.values()]
        (made_NHWC,) = session.run(None, {"image": np.zeros((warm_up.batch_size, *shape), np.uint8)})
        assert made_NHWC.shape == (1, *shape)
    image_NHWC = np.random.default_rng(0).integers(0, 100, (2, 5, 7, 3), np.uint8)
    np.testing.assert_array_equal(session.run(None, {"image": image_NHWC})[0], Engine(knobs, device="cpu")(image_NHWC))
    spec = Engine(folder / "1" / "model.onnx", device="cpu").spec
    assert (spec.labels, spec.style_size) == ((), 0)
    assert ModelSpec.from_json(found.parameters["translate.spec"].string_value, "config.pbtxt") == spec


def test_controls_are_inputs_without_batches(knobs: Path, tmp_path: Path) -> None:
    arguments = ["--max-batch-size", "0", "--name", "my.model"]
    assert main(["export", str(knobs), "--target=triton", "-o", str(tmp_path / "models"), *arguments]) == 0
    found = read(tmp_path / "models" / "my.model" / "config.pbtxt")
    assert (found.name, found.max_batch_size, found.HasField("dynamic_batching")) == ("my.model", 0, False)
    assert dims(found.input) == {"image": [-1, -1, -1, 3], "label": [1], "style": [1, 3], "detail": [1]}
    (warm_up,) = found.model_warmup
    kinds = {2: np.uint8, 9: np.int64, 11: np.float32}  # as the schema numbers them
    session = onnxruntime.InferenceSession(
        tmp_path / "models" / "my.model" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    given = {name: np.zeros(value.dims, kinds[value.data_type]) for name, value in warm_up.inputs.items()}
    assert session.run(None, given)[0].shape == tuple(warm_up.inputs["image"].dims)


def test_repositories_grow_but_models_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = str(save_model(tmp_path / "invert.onnx", INVERT))
    models = str(tmp_path / "models")
    assert main(["export", plain, "--target", "triton", "-o", models, "--max-batch-size", "1"]) == 0
    assert not read(tmp_path / "models" / "invert" / "config.pbtxt").dynamic_batching.preferred_batch_size
    before = (tmp_path / "models" / "invert" / "config.pbtxt").read_bytes()
    assert main(["export", plain, "--target", "triton", "-o", models, "--name", "other"]) == 0
    assert main(["export", plain, "--target", "triton", "-o", models]) == 2
    assert "models/invert exists already" in capsys.readouterr().err
    assert (tmp_path / "models" / "invert" / "config.pbtxt").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["invert", "other"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "a/b"], "cannot be the name of a model in Triton"),
        (["--max-batch-size", "-1"], "--max-batch-size is -1; give 0 or more"),
        (["--min-size", "8x8"], "--min-size is not for --target triton"),
        (["--onnxruntime-web", "x"], "--onnxruntime-web is not for --target triton"),
        (["--colour", "red"], "see translate export --target triton --help"),
    ],
)
def test_usage(
    knobs: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(knobs), "--target", "triton", "-o", str(tmp_path / "models"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "models").exists()


def test_missing_models_and_wrong_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = ModelSpec(name="deep", task="pix2pix", architecture="", input_bits=16, output_bits=16)
    for model, message in (
        ("sketch-to-phto", "did you mean sketch-to-photo?"),
        (str(save_sum(tmp_path / "deep.onnx", deep)), "export with --bits 8"),
        (str(save_model(tmp_path / "other.onnx", None)), "without translate.spec"),
        (str(tmp_path), "snapshot.safetensors"),
    ):
        assert main(["export", model, "--target", "triton", "-o", str(tmp_path / "models")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not (tmp_path / "models").exists()
