"""What addresses stand for, without asking anybody but a made-up catalogue."""

import json
from typing import Any

import pytest

from translate.adding.addresses import Source, is_address, locate
from translate.errors import ModelError

SHA = "AB" * 32
CATALOGUE: dict[str, Any] = {
    "4x-both": {
        "name": "4xBoth",
        "license": "CC-BY-4.0",
        "resources": [
            {"platform": "pytorch", "type": "pth", "size": 9, "sha256": None, "urls": ["https://a.example/both.pth"]},
            {
                "platform": "pytorch",
                "type": "safetensors",
                "size": 9,
                "sha256": SHA,
                "urls": ["https://drive.example/view?id=3", "https://a.example/both.safetensors"],
            },
            {"platform": "onnx", "type": "onnx", "size": 9, "sha256": SHA, "urls": ["https://a.example/both.onnx"]},
        ],
    },
    "2x-old": {"license": None, "resources": [{"sha256": None, "urls": ["https://a.example/old%20one.pth?x=1"]}]},
    "1x-cloud": {"license": None, "resources": [{"sha256": SHA, "urls": ["https://mega.example/#!abc"]}]},
    "1x-odd": {"resources": 3},
}


def read(url: str, most: int) -> bytes:
    assert url == "https://openmodeldb.info/api/v1/models.json"
    assert most > 2**20
    return json.dumps(CATALOGUE).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:a/b/c.onnx", True),
        ("https://example.org/a.onnx", True),
        ("HTTP://example.org/a.onnx", True),
        ("file:///a.onnx", True),  # refused later, with a line about addresses
        ("a.onnx", False),
        ("C:\\models\\a.onnx", False),
        ("hf/a.onnx", False),
    ],
)
def test_what_is_an_address(text: str, expected: bool) -> None:
    assert is_address(text) is expected


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("hf:owner/repo/a.onnx", "https://huggingface.co/owner/repo/resolve/main/a.onnx"),
        ("hf:owner/re.po@v1.0/sub/a b.onnx", "https://huggingface.co/owner/re.po/resolve/v1.0/sub/a%20b.onnx"),
        ("https://huggingface.co/o/r/blob/main/a.onnx", "https://huggingface.co/o/r/resolve/main/a.onnx"),
        (
            "https://huggingface.co/spaces/o/r/blob/main/a.onnx",
            "https://huggingface.co/spaces/o/r/resolve/main/a.onnx",
        ),
        (
            "https://huggingface.co/o/r/resolve/main/blob/a.onnx?download=true",
            "https://huggingface.co/o/r/resolve/main/blob/a.onnx?download=true",
        ),
        ("https://github.com/o/r/blob/v1/a.onnx", "https://github.com/o/r/raw/v1/a.onnx"),
        ("https://github.com/o/r/releases/download/v1/a.onnx", "https://github.com/o/r/releases/download/v1/a.onnx"),
        ("https://example.org/blob/a.onnx#top", "https://example.org/blob/a.onnx"),
    ],
)
def test_pages_of_files(address: str, url: str) -> None:
    assert locate(address, read) == Source(url=url)


def test_a_model_of_the_catalogue() -> None:
    """Tensors alone are preferred; their ONNX files lack our description."""
    found = locate("https://openmodeldb.info/models/4x-both", read)
    url = "https://a.example/both.safetensors"
    assert found == Source(url=url, sha256=SHA.lower(), licence="CC-BY-4.0", name="4x-both")
    found = locate("https://openmodeldb.info/models/2x-old/", read)
    assert found == Source(url="https://a.example/old%20one.pth?x=1", name="2x-old")
    assert found.file_name == "old one.pth"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf:owner/repo", "does not name a file on Hugging Face; write hf:OWNER/REPO/FILE"),
        ("hf:../../x", "does not name a file"),
        ("https://openmodeldb.info/models/9x-none", "OpenModelDB has no model 9x-none; copy the address"),
        (
            "https://openmodeldb.info/models/1x-cloud",
            "only offered at mega.example, which needs a browser; download it",
        ),
        ("https://openmodeldb.info/models/1x-odd", "is not as expected, a JSON object .*; download the file"),
    ],
)
def test_what_is_refused(address: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        locate(address, read)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"\xff"])
def test_an_odd_catalogue(answer: bytes) -> None:
    with pytest.raises(ModelError, match="catalogue of OpenModelDB is not as expected"):
        locate("https://openmodeldb.info/models/4x-both", lambda url, most: answer)
