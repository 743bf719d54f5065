"""Every shipped model is what its index entry and its card say, and works on its samples."""

from pathlib import Path

import numpy as np
import pytest
import torch

from translate.cli.main import main
from translate.errors import ConfigError
from translate.inference.engine import Engine
from translate.inference.models import ShippedModel, resolve, shipped
from translate.metrics.drawing import chroma, line_contrast
from translate.pictures.operations import read_picture
from translate.tasks import TASKS

MODELS = {model.name: model for model in shipped()}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request: pytest.FixtureRequest) -> ShippedModel:
    return request.param


def test_the_index_agrees_with_the_file(model: ShippedModel) -> None:
    spec = Engine(resolve(model.name), device="cpu").spec
    assert (spec.name, spec.task, spec.licence) == (model.name, model.task, model.licence)
    assert model.task in TASKS
    assert spec.weights_sha256
    assert spec.training_data != "unknown"
    assert spec.metrics


def test_knobs_are_offered_only_where_the_model_has_them(model: ShippedModel) -> None:
    engine = Engine(model.file, device="cpu")
    offered = (
        ({"label": "x"}, engine.spec.labels),
        ({"style": [0.0]}, engine.spec.style_size),
        ({"detail": 0.0}, engine.spec.detail),
    )
    for chosen, there in offered:
        if not there:
            with pytest.raises(ConfigError, match=f"{model.name} .*; omit"):
                engine.controls(**chosen)


def test_the_card_says_terms_data_commands_and_every_metric(model: ShippedModel) -> None:
    card = (model.file.parent / "card.md").read_text(encoding="utf-8")
    spec = Engine(model.file, device="cpu").spec
    assert model.licence in card
    task = TASKS[model.task]
    assert any(f"translate train {name} " in card for name in (task.name, task.back))
    assert "translate export" in card
    for name, value in spec.metrics.items():
        assert name in card
        assert f"{value:.5g}" in card, f"the card does not give {name} = {value:.5g}"


def test_demo_converts_every_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path)]) == 0
    for model in MODELS.values():
        samples = {path.name for path in model.samples.iterdir()}
        assert {path.name for path in (tmp_path / model.name).glob("[!.]*")} == samples
        assert len(samples) >= 6
    assert capsys.readouterr().out.count("images/s") == len(MODELS)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.task == "sketch-to-photo"])
def test_photos_follow_the_drawings_and_are_in_colour(name: str) -> None:
    engine = Engine(name, device="cpu")
    for path in sorted(MODELS[name].samples.iterdir()):
        drawing = read_picture(path)
        result = engine.apply(drawing, label=engine.spec.label_of(path.name))
        sketch, photo = (_unit(picture.rgb_HWC) for picture in (drawing, result))
        assert line_contrast(sketch, photo).item() > 1.5, path.name
        assert chroma(photo).item() > 0.02, path.name
        # Drawings are outlines on white: a photograph fills them.
        assert (photo < 0.9).float().mean() > 2 * (sketch < 0.5).float().mean(), path.name


def test_batches_and_single_pictures_agree(model: ShippedModel) -> None:
    engine = Engine(model.file, device="cpu")
    image_NHWC = np.random.default_rng(0).integers(0, 256, (2, 75, 130, 3), dtype=np.uint8)
    batch = engine(image_NHWC).astype(int)
    single = np.stack([engine(image_HWC) for image_HWC in image_NHWC]).astype(int)
    assert abs(batch - single).max() <= 1


def _unit(image_HWC: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)[None].float() / 255
