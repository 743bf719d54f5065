"""Results that are kept: the same as without, and the model runs once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_engine import ALL, save_sum

from translate.conversion.folder import convert_folder
from translate.conversion.worker import Conversion
from translate.inference.engine import Engine
from translate.inference.kept import KeepingEngine
from translate.pictures.operations import Picture, write_picture


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(save_sum(tmp_path / "model.onnx", ALL), threads=1)


def counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the runs of the model, which both engines share."""
    runs: list[int] = []
    run = engine._session.run

    def counting(*given: Any) -> Any:
        runs.append(1)
        return run(*given)

    monkeypatch.setattr(engine, "_joined", counting)
    return runs


def test_any_strength_takes_one_run(
    engine: Engine, tmp_path: Path, image_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = counted(engine, monkeypatch)
    kept, picture = KeepingEngine(engine, tmp_path / "kept"), Picture(image_HWC)
    mixes = [kept.apply(picture, strength=strength).rgb_HWC for strength in (1.0, 0.5, 0.0)]
    assert len(runs) == 1
    for strength, found_HWC in zip((1.0, 0.5, 0.0), mixes, strict=True):
        np.testing.assert_array_equal(found_HWC, engine.apply(picture, strength=strength).rgb_HWC)


def test_another_picture_or_control_is_another_result(
    engine: Engine, tmp_path: Path, image_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = counted(engine, monkeypatch)
    kept = KeepingEngine(engine, tmp_path / "kept")
    picture, turned = Picture(image_HWC), Picture(image_HWC.transpose(1, 0, 2))
    for _ in range(2):
        for given, controls in ((picture, {}), (turned, {}), (picture, {"detail": 0.5}), (picture, {"label": 1})):
            found_HWC = kept.apply(given, **controls).rgb_HWC
            np.testing.assert_array_equal(found_HWC, Engine.apply(engine, given, **controls).rgb_HWC)
    assert len(runs) == 4 + 8


def test_files_are_the_same_to_the_byte(
    engine: Engine, tmp_path: Path, image_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "in.png", Picture(image_HWC))
    kept = KeepingEngine(engine, tmp_path / "kept")
    kept.apply(Picture(image_HWC))
    runs = counted(kept, monkeypatch)
    how = Conversion(strength=0.3, output_format="webp")
    for name, one in (("kept", kept), ("plain", engine)):
        convert_folder(tmp_path / "in.png", tmp_path / f"out-{name}", one, how)
    assert runs == []
    assert (tmp_path / "out-kept/in.webp").read_bytes() == (tmp_path / "out-plain/in.webp").read_bytes()


def test_no_more_is_kept_than_allowed(engine: Engine, tmp_path: Path) -> None:
    pictures = [Picture(np.full((16, 16, 3), level, np.uint8)) for level in range(4)]
    one = 16 * 16 * 3 + 128  # with the header of the file
    kept = KeepingEngine(engine, tmp_path / "kept", most_bytes=2 * one)
    for picture in pictures:
        kept.apply(picture)
    assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) == 2 * one
    large = KeepingEngine(engine, tmp_path / "none", most_bytes=one // 2)
    large.apply(pictures[0])
    assert not (tmp_path / "none").exists()


def test_damaged_files_do_no_harm(engine: Engine, tmp_path: Path, image_HWC: np.ndarray) -> None:
    kept = KeepingEngine(engine, tmp_path / "kept")
    expected_HWC = kept.apply(Picture(image_HWC)).rgb_HWC
    (path,) = (tmp_path / "kept").iterdir()
    whole = path.read_bytes()
    unclosed, enormous = whole.replace(b"{", b"(", 1), whole.replace(b"'shape': (", b"'shape': (9999999999", 1)
    for damage in (b"", whole[:-5], b"no array", unclosed, enormous, b"PK\x03\x04" + whole):
        path.write_bytes(damage)
        np.testing.assert_array_equal(kept.apply(Picture(image_HWC)).rgb_HWC, expected_HWC)
