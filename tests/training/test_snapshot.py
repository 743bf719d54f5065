"""Runs on disk: what goes in comes out, what does not belong is refused in one line, nothing is half-written."""

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from translate.errors import SnapshotError
from translate.training.snapshot import (
    FILE_NAME,
    FORMAT,
    HEADER_KEY,
    Header,
    load_state,
    read_header,
    read_tensors,
    under,
    write_snapshot,
)

HEADER = Header(
    task="sketch-to-photo",
    trainer="translate.trainers.pix2pix:Pix2Pix",
    config={"max_images": 8, "max_seconds": None, "generator_widths": [8, 8], "generator_lr": 2e-4, "device": "cpu"},
    data="bilder/Müller's „Schuhe“",
    validation="andere/Bilder",
    images_seen=123,
    steps=45,
    seconds_used=6.7,
    best={"metric": "swd", "value": 12.5, "images": 100, "since": 2},
    spec={"name": "sketch-to-photo", "labels": ["a", "b"], "working_size": None},
)


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "trainer/generator.weight": torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last),
        "optimizers/generator/0/step": torch.tensor(45.0),
        "trainer/pool.filled": torch.tensor(3),
        "average/generator/weight": torch.arange(12, dtype=torch.uint8).reshape(3, 4),
        "trainer/generator.half": torch.randn(5, requires_grad=True).to(torch.bfloat16),
        "trainer/generator.empty": torch.zeros(0, 3),
    }


@pytest.fixture
def path(tmp_path: Path, tensors: dict[str, Tensor]) -> Path:
    path = tmp_path / "run" / FILE_NAME
    path.parent.mkdir()
    write_snapshot(path, HEADER, tensors)
    return path


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in expected.items()
    )


def test_round_trip(path: Path, tensors: dict[str, Tensor]) -> None:
    assert read_header(path) == HEADER
    assert same(read_tensors(path), tensors)
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_header_without_the_later_facts(path: Path) -> None:
    found = json.loads(facts()[HEADER_KEY])
    for name in ("validation", "best", "spec"):
        del found[name]
    rewrite(path, {HEADER_KEY: json.dumps(found)})
    header = read_header(path)
    assert (header.validation, header.best, header.spec) == ("", {}, {})


def test_no_pickle_inside(path: Path) -> None:
    length = int.from_bytes(path.read_bytes()[:8], "little")
    facts = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
    assert json.loads(facts[HEADER_KEY])["format"] == FORMAT


def rewrite(path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata=metadata)


def facts(**changes: object) -> dict[str, str]:
    return {HEADER_KEY: json.dumps({"format": FORMAT, **dataclasses.asdict(HEADER), **changes})}


def lacking(name: str) -> dict[str, str]:
    found = json.loads(facts()[HEADER_KEY])
    del found[name]
    return {HEADER_KEY: json.dumps(found)}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "was not written by translate; give the --out folder of a run"),
        ({"format": "pt"}, "was not written by translate"),
        (facts(format=1), f"has format 1, but this version reads format {FORMAT}; use the version that wrote it"),
        (facts(format=FORMAT + 1), f"has format {FORMAT + 1}, but this version reads format {FORMAT}; use the version"),
        ({HEADER_KEY: "{"}, "damaged"),
        ({HEADER_KEY: "[]"}, "damaged"),
        (lacking("format"), "damaged"),
        (lacking("steps"), "damaged"),
        (facts(surprise=1), "damaged"),
    ],
    ids=[
        "no metadata",
        "foreign",
        "older",
        "newer",
        "no JSON",
        "no object",
        "no version",
        "missing key",
        "unknown key",
    ],
)
def test_foreign_header(path: Path, metadata: dict[str, str] | None, message: str) -> None:
    rewrite(path, metadata)
    with pytest.raises(SnapshotError, match=message) as caught:
        read_header(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("length", [0, 5, 40, -1], ids=["empty", "five bytes", "in the header", "last byte missing"])
def test_truncated(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SnapshotError, match=r"is damaged \(.*\); start the run again$") as caught:
        read_header(path)
    assert "\n" not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SnapshotError, match=f"has no {FILE_NAME}"):
            read_header(folder / FILE_NAME)


def test_folder_in_place_of_the_file(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(
        SnapshotError, match=r"^cannot write .*; free some disk space, or check the write permissions"
    ) as caught:
        write_snapshot(tmp_path / FILE_NAME, HEADER, tensors)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / FILE_NAME]


def test_file_in_place_of_the_folder(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(
        SnapshotError, match=r"^cannot write .*; free some disk space, or check the write permissions"
    ) as caught:
        write_snapshot(tmp_path / "run" / FILE_NAME, HEADER, tensors)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run").read_text() == "x"


def test_failed_write_leaves_the_previous_one(
    path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: object, temporary: Path, **__: object) -> None:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
    with pytest.raises(SnapshotError, match="No space left on device"):
        write_snapshot(path, dataclasses.replace(HEADER, steps=99), {})
    monkeypatch.undo()
    assert read_header(path) == HEADER
    assert same(read_tensors(path), tensors)
    assert list(path.parent.iterdir()) == [path]


def test_under() -> None:
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    found = under("a/b", {"a/b/c": one, "a/b/c/d": two, "a/bc/d": three, "x": three})
    assert found == {"c": one, "c/d": two}


def test_load_state() -> None:
    layer, other = nn.Linear(2, 3), nn.Linear(2, 3)
    load_state(layer, "trainer", {f"trainer/{name}": tensor for name, tensor in other.state_dict().items()})
    assert torch.equal(layer.weight, other.weight)


@pytest.mark.parametrize(
    "shapes", [{"weight": (3, 2)}, {"weight": (3, 9), "bias": (3,)}, {"weight": (3, 2), "extra": ()}]
)
def test_load_state_that_does_not_fit(shapes: dict[str, tuple[int, ...]]) -> None:
    tensors = {f"trainer/{name}": torch.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(
        SnapshotError, match=r"^the snapshot does not fit this version's trainer: .*; use the version"
    ) as caught:
        load_state(nn.Linear(2, 3), "trainer", tensors)
    assert "\n" not in str(caught.value)
