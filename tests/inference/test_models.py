import hashlib
import json
from pathlib import Path

import pytest
from conftest import INVERT, save_model

from translate.errors import ModelError
from translate.inference.models import resolve, shipped


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "invert").mkdir()
    model = save_model(tmp_path / "invert" / "model.onnx", INVERT)
    entry = {
        "name": "sketch-to-shoe",
        "task": "sketch-to-photo",
        "file": "invert/model.onnx",
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "licence": "CC0-1.0",
        "summary": "Shoes",
    }
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"models": [entry]}))
    return path


def test_no_index_means_no_models(tmp_path: Path) -> None:
    assert shipped(tmp_path / "index.json") == []


def test_shipped(index: Path) -> None:
    (model,) = shipped(index)
    assert (model.name, model.licence, model.summary) == ("sketch-to-shoe", "CC0-1.0", "Shoes")
    assert model.file == index.parent / "invert" / "model.onnx"
    assert model.samples == index.parent / "invert" / "samples"


def test_resolve(index: Path) -> None:
    file = index.parent / "invert" / "model.onnx"
    assert resolve("sketch-to-shoe", index) == file
    assert resolve(str(file), index) == file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sketch-to-shoes", "unknown model 'sketch-to-shoes'; did you mean sketch-to-shoe?.* one of: sketch-to-shoe"),
        ("zzz", "unknown model 'zzz'; give a .onnx file or one of: sketch-to-shoe"),
        ("zzz.onnx", "zzz.onnx: no such file"),
        ("models/zzz", "models/zzz: no such file"),
    ],
)
def test_unknown(index: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve(name, index)


def test_changed_or_missing_file(index: Path) -> None:
    file = index.parent / "invert" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ModelError, match="not the file shipped as"):
        resolve("sketch-to-shoe", index)
    file.unlink()
    with pytest.raises(ModelError, match="missing"):
        resolve("sketch-to-shoe", index)
