"""`translate demo`: every shipped model on its own samples, each as what its name says."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, save_model
from test_engine import ALL, save_sum

from translate.cli import demo as demo_command
from translate.cli.main import main
from translate.inference import models
from translate.pictures.operations import Picture, read_picture, write_picture

MakePictures = Callable[[Path, Sequence[str]], Path]
SAMPLES = {"day-1.png": 10, "night-1.png": 12, "Night_2.webp": 12, "other.png": 10}
"""What is on each sample and what becomes of grey 10."""


@pytest.fixture
def index(tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shipped models with samples: `all` has labels, `double` none."""
    entries: list[dict[str, str]] = []
    for spec, names in ((dataclasses.replace(ALL, task="sketch-to-photo"), SAMPLES), (DOUBLE, ("a.png", "b.jpg"))):
        make_pictures(tmp_path / spec.name / "samples", list(names))
        file = tmp_path / spec.name / "model.onnx"
        save = save_sum if spec.labels else save_model
        digest = hashlib.sha256(save(file, spec).read_bytes()).hexdigest()
        common = {"licence": "CC0-1.0", "summary": "Tiny", "sha256": digest}
        entries.append({"name": spec.name, "task": spec.task, "file": f"{spec.name}/model.onnx", **common})
    for name in SAMPLES:
        path = tmp_path / "all" / "samples" / name
        write_picture(path, Picture(np.full((8, 9, 3), 10, np.uint8)), quality=100)
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"models": entries}))
    monkeypatch.setattr(demo_command, "shipped", lambda: models.shipped(path))
    monkeypatch.setattr(demo_command, "resolve", lambda name: models.resolve(name, path))
    return path


def test_every_sample_becomes_what_its_name_says(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["demo", "--out", str(out)]) == 0
    found = capsys.readouterr()
    first, second = found.out.splitlines()
    assert re.fullmatch(rf"all: 4 pictures in {out}/all \([\d.]+ images/s\)", first)
    assert re.fullmatch(rf"double: 2 pictures in {out}/double \([\d.]+ images/s\)", second)
    assert found.err == ""
    for name, level in SAMPLES.items():
        assert abs(read_picture(out / "all" / name).rgb_HWC.astype(int) - level).max() <= (name.endswith("webp"))
    assert read_picture(out / "double" / "b.jpg").rgb_HWC.shape == (48, 80, 3)


def test_a_bad_sample_stops_nothing(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = index.parent / "all" / "samples" / "day-1.png"
    bad.write_text("text")
    assert main(["demo", "--out", str(tmp_path / "out")]) == 1
    found = capsys.readouterr()
    assert found.out.startswith("all: 3 pictures in ")
    assert "double: 2 pictures in " in found.out
    assert re.fullmatch(rf"{bad}: [^\n]*\n", found.err)


def test_nothing_shipped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo_command, "shipped", list)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err.startswith("translate: no models are shipped with this version; ")
