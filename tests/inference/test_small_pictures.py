"""Pictures of few pixels: every kind of model converts them to exactly its scale times their size."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model

from translate.conversion.huge import convert_huge
from translate.inference.engine import Engine
from translate.inference.models import shipped
from translate.pictures.operations import Picture, read_picture, write_picture

SIZES = [(1, 1), (1, 2), (3, 3), (7, 7), (8, 1), (7, 1000), (1000, 7), (1, 400)]
KINDS: dict[str, dict[str, Any]] = {
    "windows": {"receptive_field": 1},
    "whole": {},
    "scene": {"scene_size": 40},
    "sized": {"working_size": 64},
    "framed": {"working_size": 64, "content_share": 0.7},
    "far too small": {"min_size": 64},
}


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height + width).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plain", [INVERT, DOUBLE], ids=["x1", "x2"])
def test_every_kind_of_model(tmp_path: Path, kind: str, plain: Any) -> None:
    if kind == "scene" and plain is DOUBLE:
        pytest.skip("models for scenes do not enlarge")
    spec = dataclasses.replace(plain, **KINDS[kind])
    engine = Engine(save_model(tmp_path / "m.onnx", spec), device="cpu")
    for height, width in SIZES:
        for channels in (3, 4):
            picture = Picture.from_array(noise(height, width, channels))
            result = engine.apply(picture)
            assert result.rgb_HWC.shape == (height * spec.scale, width * spec.scale, 3)
            if plain is INVERT and channels == 3 and "size" not in kind and kind not in ("scene", "framed"):
                assert np.array_equal(result.rgb_HWC, 255 - picture.rgb_HWC)


@pytest.mark.parametrize("kind", KINDS)
def test_in_bands_as_in_memory(tmp_path: Path, kind: str) -> None:
    plain = INVERT if kind == "scene" else DOUBLE  # models for scenes do not enlarge
    engine = Engine(save_model(tmp_path / "m.onnx", dataclasses.replace(plain, **KINDS[kind])), device="cpu")
    for height, width in SIZES:
        picture = Picture(noise(height, width))
        write_picture(tmp_path / "in.png", picture)
        convert_huge(tmp_path / "in.png", tmp_path / "out.png", engine)
        found = read_picture(tmp_path / "out.png").rgb_HWC.astype(int)
        assert np.abs(found - engine.apply(picture).rgb_HWC).max() <= 3


@pytest.mark.parametrize("name", [model.name for model in shipped()])
def test_shipped_models(name: str) -> None:
    engine = Engine(name, device="cpu")
    for height, width in ((1, 1), (3, 5), (7, 40)):
        result = engine.apply(Picture(noise(height, width)))
        assert result.rgb_HWC.shape == (height * engine.spec.scale, width * engine.spec.scale, 3)


def test_a_batch_of_small_pictures(tmp_path: Path) -> None:
    engine = Engine(save_model(tmp_path / "m.onnx", INVERT), device="cpu")
    image_NHWC = np.stack([noise(2, 3), noise(2, 3) // 2])
    assert np.array_equal(engine(image_NHWC), 255 - image_NHWC)
