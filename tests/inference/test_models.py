import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import INVERT, save_model

from translate.errors import ModelError
from translate.inference.model_file import check_model, kind_of
from translate.inference.models import resolve, shipped, user_folder


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
        "former_names": ["shoes"],
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


def test_a_former_name_is_understood_unless_an_added_model_has_it(index: Path, tmp_path: Path) -> None:
    assert resolve("shoes", index, models_dir=tmp_path) == index.parent / "invert" / "model.onnx"
    added = save_model(tmp_path / "shoes.onnx", INVERT)
    assert resolve("shoes", index, models_dir=tmp_path) == added


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


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/translate/models"),
        ("linux", {}, "/home/anna/.local/share/translate/models"),
        ("darwin", {}, "/home/anna/Library/Application Support/translate/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/translate/models"),
        ("win32", {}, "/home/anna/AppData/Local/translate/models"),
        ("linux", {"XDG_DATA_HOME": "/data", "TRANSLATE_MODELS": "/shelf"}, "/shelf"),
        ("linux", {"TRANSLATE_MODELS": ""}, "/home/anna/.local/share/translate/models"),
    ],
)
def test_the_folder_of_the_user(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "TRANSLATE_MODELS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/anna", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert user_folder() == Path(expected)


def test_what_a_file_is(tmp_path: Path) -> None:
    header = b'{"weight":{}}'.ljust(0x3C20)
    starts: list[tuple[bytes, str]] = [
        (b"", "empty"),
        (b" \n<!doctype html>", "page"),
        (len(header).to_bytes(8, "little") + header, "safetensors"),  # its first bytes are a space and a "<"
        (b"\x80\x02}q\x00.", "pickle"),
        (b"PK\x03\x04cut short", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer"),
        (save_model(tmp_path / "a.onnx", INVERT).read_bytes(), "unknown"),
    ]
    for start, kind in starts:
        (tmp_path / "file").write_bytes(start)
        assert kind_of(tmp_path / "file") == kind


def test_a_description_that_does_not_fit(tmp_path: Path) -> None:
    save_model(tmp_path / "a.onnx", replace(INVERT, input_bits=16))
    with pytest.raises(ModelError, match=r"a.onnx: its graph has image uint8 \(\?, \?, \?, 3\), expected image uint16"):
        check_model(tmp_path / "a.onnx")
    save_model(tmp_path / "a.onnx", replace(INVERT, output_channels=1))
    with pytest.raises(ModelError, match=r"^it: its graph has output .*, expected output uint8 \(\?, \?, \?, 1\)"):
        check_model(tmp_path / "a.onnx", "it")
    assert check_model(save_model(tmp_path / "a.onnx", INVERT)) == INVERT
