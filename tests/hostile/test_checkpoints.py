"""Checkpoints of other programs: tensors come out of them, and nothing else; no lie about their size is believed.

That no program in a pickle is run: `tests/to_onnx/test_import.py`, `tests/cli/test_bad_models.py`. That our own
snapshots are safetensors: `tests/training/test_snapshot.py`.
"""

import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bombs import GIBIBYTE

from export.foreign.checkpoint import read_state
from translate.errors import ModelError, SnapshotError
from translate.training.snapshot import read_header

WEIGHTS = {"first.weight": torch.zeros(2, 3), "first.bias": torch.zeros(2)}
INT8 = np.dtype("int8")
F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HEADERS: dict[str, Any] = {
    "a tensor beyond the end": {"a": F32 | {"shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
    "more elements than bytes": {"a": F32 | {"shape": [1 << 31, 1 << 31]}},
    "sides whose product overflows": {"a": F32 | {"shape": [1 << 32, 1 << 32], "data_offsets": [0, 0]}},
    "negative offsets": {"a": F32 | {"data_offsets": [-4, 0]}},
    "offsets in the wrong order": {"a": F32 | {"data_offsets": [4, 0]}},
    "two tensors in one place": {"a": F32, "b": F32},
    "a hole": {"a": F32 | {"data_offsets": [4, 8]}},
    "an unknown type": {"a": F32 | {"dtype": "OBJECT"}},
    "a list": [F32],
    "no offsets": {"a": {"dtype": "F32", "shape": [1]}},
    "texts for numbers": {"a": F32 | {"shape": ["1"]}},
}


def safetensors(path: Path, header: bytes, length: int | None = None) -> Path:
    """A file with this header and eight bytes of tensors."""
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + bytes(8))
    return path


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_lie(kind: str, tmp_path: Path) -> None:
    path = safetensors(tmp_path / "a.safetensors", json.dumps(HEADERS[kind]).encode())
    with pytest.raises(ModelError, match=r"cannot be read as a checkpoint|is not a checkpoint|holds no weights"):
        read_state(path)
    with pytest.raises(SnapshotError):
        read_header(path)


@pytest.mark.parametrize("length", [0, 1, 1 << 40, (1 << 64) - 1])
def test_lengths_that_lie(length: int, tmp_path: Path) -> None:
    path = safetensors(tmp_path / "a.safetensors", json.dumps({"a": F32}).encode(), length)
    with pytest.raises(ModelError, match=r"cannot be read as a checkpoint|is not a checkpoint"):
        read_state(path)


def test_a_deep_header(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read as a checkpoint"):
        read_state(safetensors(tmp_path / "a.safetensors", b'{"a":' * 100_000))


def test_a_checkpoint_that_grows(tmp_path: Path) -> None:
    """A pickle of tensors whose bytes are packed: 1 GB in 1 MB."""
    torch.save({"a": torch.zeros(4)}, tmp_path / "good.pth")
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(tmp_path / "good.pth") as good, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in good.namelist():
            if name.endswith("data/0"):
                with bomb.open(name, "w") as file:
                    for _ in range(64):
                        file.write(bytes(1 << 20))
            else:
                bomb.writestr(name, good.read(name))
    assert path.stat().st_size < GIBIBYTE // 1000
    with pytest.raises(ModelError, match=r"holds 64 MiB in a file of 0 MiB, which torch\.save never writes"):
        read_state(path)
    assert read_state(tmp_path / "good.pth")["a"].shape == (4,)


def test_dictionaries_without_an_end(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    deep["again"] = deep
    torch.save(deep, tmp_path / "circle.pth")
    with pytest.raises(ModelError, match="holds no weights"):
        read_state(tmp_path / "circle.pth")


class _Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("it-ran",)


@pytest.mark.parametrize("old", [False, True])
def test_a_program_among_the_tensors(old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which torch has saved; whatever the suffix says."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.pth", "a.safetensors", "a.onnx"):
        torch.save({"a": torch.zeros(4), "b": _Runs()}, name, _use_new_zipfile_serialization=not old)
        with pytest.raises(ModelError, match=r"holds more than tensors|cannot be read as a checkpoint"):
            read_state(Path(name))
    assert not Path("it-ran").exists()


@pytest.mark.parametrize("old", [False, True])
def test_numbers_of_numpy_are_left_out(old: bool, tmp_path: Path) -> None:
    beside = {"epoch": np.int64(9), "loss": [np.float64(1.5), np.float32(2.5)], "best": np.bool_(True), "as": INT8}
    torch.save(beside | {"state_dict": WEIGHTS}, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    trusted = set(torch.serialization.get_safe_globals())
    assert read_state(tmp_path / "a.pth").keys() == WEIGHTS.keys()
    assert set(torch.serialization.get_safe_globals()) == trusted
    # Only these: not what else is there, of numpy or not.
    for more, name in (
        (_Runs(), r"\w+\.mkdir"),
        (np.zeros(3), r"numpy\._core\.multiarray\._reconstruct(, numpy\.ndarray)?"),
    ):
        torch.save(beside | {"a": WEIGHTS, "b": more}, tmp_path / "b.pth", _use_new_zipfile_serialization=not old)
        with pytest.raises(ModelError, match=rf"holds more than tensors \({name}\), which could run a program"):
            read_state(tmp_path / "b.pth")


NUMBER = (
    b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\2%sK\0K\1\x87R(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    b"U\x08%s\x86R"
)
"""A number as Python 2 pickled it: its type, with flags that say what its memory is, and its eight bytes."""


@pytest.mark.parametrize(("kind", "content"), [(b"f8", struct.pack("<d", -1e9 / 3)), (b"O8", bytes(range(8)))])
def test_what_a_number_says_of_memory_is_not_believed(kind: bytes, content: bytes, tmp_path: Path) -> None:
    """A number of Python 2, and one that says that its bytes are the address of an object."""
    torch.save({"loss": "here"} | WEIGHTS, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as good, zipfile.ZipFile(tmp_path / "b.pth", "w") as other:
        for name in good.namelist():
            changed = good.read(name).replace(b"X\4\0\0\0here", NUMBER % (kind, content))
            assert not name.endswith("data.pkl") or changed != good.read(name)
            other.writestr(name, changed)
    assert read_state(tmp_path / "b.pth").keys() == WEIGHTS.keys()
