"""Files that are no models of ours, made in a test's folder: one function for each way to be wrong."""

import dataclasses
import hashlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
from conftest import INVERT, save_model
from onnx import TensorProto, helper

from translate.spec import METADATA_KEY

WHITE = np.full(1, 255, np.uint8)
RECORDED = dataclasses.replace(
    INVERT, licence="CC0-1.0", weights_sha256=hashlib.sha256(b"white\0" + WHITE.tobytes()).hexdigest()
)


def whole(path: Path, white: np.ndarray = WHITE) -> Path:
    """A good model, with the digest of its weights; with another `white` than the default it is a tampered one."""
    made = onnx.load(save_model(path, RECORDED))
    made.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(white, "white"))
    onnx.save(made, path)
    return path


def foreign(path: Path) -> None:
    """Of another program: the usual float32 (N, C, H, W), and no description."""
    _graph(path, "Relu", "", TensorProto.FLOAT, ["N", 3, "H", "W"])


def other_inputs(path: Path) -> None:
    """With our description, which does not fit the graph."""
    _graph(path, "Relu", "", TensorProto.FLOAT, ["N", 3, "H", "W"], described=True)


def renamed_input(path: Path) -> None:
    """With another name for the picture than `image`."""
    made = onnx.load(save_model(path, RECORDED))
    made.graph.input[0].name = made.graph.node[0].input[1] = "photo"
    onnx.save(made, path)


def more_inputs(path: Path) -> None:
    """With an input that nobody can give."""
    _graph(path, "Add", "", TensorProto.UINT8, ["N", "H", "W", 3], "mask", described=True)


def custom_operators(path: Path) -> None:
    _graph(path, "Sharpen", "com.example", TensorProto.UINT8, ["N", "H", "W", 3], described=True)


def external_data(path: Path) -> None:
    save_model(path, RECORDED, external=True)


def truncated(path: Path) -> None:
    path.write_bytes(whole(path).read_bytes()[:-40])


def tampered(path: Path) -> None:
    whole(path, WHITE - 1)


def empty(path: Path) -> None:
    path.touch()


def web_page(path: Path) -> None:
    path.write_text("<!doctype html><title>Log in to download</title>")


def text(path: Path) -> None:
    path.write_text("not a model at all")


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")


def zip_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "the model is elsewhere")


class _Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch it-ran",)


def old_pickle_with_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": _Runs()}, protocol=2))


def pickle_with_code(path: Path) -> None:
    """As torch.save writes it since version 1.6: a zip with a pickle in it."""
    content = io.BytesIO()
    pickle.Pickler(content, protocol=2).dump({"weight": _Runs()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (("data.pkl", content.getvalue()), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", data)


def truncated_safetensors(path: Path) -> None:
    path.write_bytes((60).to_bytes(8, "little") + b'{"weight":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}')


ONNX = (foreign, other_inputs, renamed_input, more_inputs, custom_operators, external_data, truncated, tampered)
OTHERS = (
    empty, web_page, text, lfs_pointer, zip_archive, old_pickle_with_code, pickle_with_code, truncated_safetensors,
)  # fmt: skip


def _graph(
    path: Path, operator: str, domain: str, kind: int, shape: list[str | int], *more: str, described: bool = False
) -> None:
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in ("image", *more)]
    graph = helper.make_graph(
        [helper.make_node(operator, ["image", *more], ["output"], domain=domain)],
        "foreign",
        inputs,
        [helper.make_tensor_value_info("output", kind, shape)],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if described:
        helper.set_model_props(made, {METADATA_KEY: INVERT.to_json()})
    onnx.save(made, path)
