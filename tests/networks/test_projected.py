"""The projected discriminator, what asks for it, and the perceptual term.

Shape suffixes: B batch, C channels, H height, W width.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_adversary import Recorder, batch_of, pictures, recorded
from test_networks import idle
from tiny_runs import SKETCHES, log_lines, new_run, options, settings, train

from translate.cli.main import main
from translate.errors import ConfigError
from translate.losses.perceptual import perceptual_distance
from translate.networks import pretrained
from translate.networks.patchgan import PatchGAN
from translate.networks.projected import MIXED, ProjectedDiscriminator, RandomMixing
from translate.tasks import TASKS
from translate.trainers.adversarial import make_discriminator
from translate.trainers.cut import CUTConfig
from translate.trainers.cyclegan import CycleGAN, CycleGANConfig
from translate.trainers.pix2pix import Pix2Pix, Pix2PixConfig
from translate.trainers.superres import SuperRes, SuperResConfig
from translate.training.start import start_from_run

PROJECTED: dict[str, Any] = {
    "discriminator": "projected+patch", "perceptual_weight": 1.0, "image_size": 64, "batch_size": 2
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def projected(given: int = 3, *, beside: bool = True) -> ProjectedDiscriminator:
    patch = PatchGAN(given + 3, 8, 2) if beside else None
    return ProjectedDiscriminator(pretrained.efficientnet_lite1(), given, patch)


# --- the network


def test_a_map_of_scores_for_each_scale() -> None:
    verdict = projected()(torch.rand(2, 6, 128, 128) * 2 - 1)
    assert [tuple(scores.shape) for scores in verdict.scores] == [(2, 1, side, side) for side in (8, 8, 8, 4, 30)]
    assert len(verdict.features) == 3  # of the PatchGAN
    alone = projected(0, beside=False)(torch.rand(2, 3, 64, 96) * 2 - 1)
    assert [tuple(scores.shape[2:]) for scores in alone.scores] == [(4, 6), (4, 6), (4, 6), (2, 3)]
    assert alone.features == []


def test_every_trained_parameter_learns_and_the_classifier_stays() -> None:
    network = projected()
    before = network.features.stem.weight_OIKK.clone()
    sum(scores.square().mean() for scores in network(torch.rand(2, 6, 64, 64) * 2 - 1).scores).backward()
    assert idle(network) == []
    assert torch.equal(network.features.stem.weight_OIKK, before)
    assert not any("features" in name for name in network.state_dict())


def test_the_random_mixing_is_part_of_a_snapshot() -> None:
    first, second = (RandomMixing((4, 5), (1.0, 2.0)) for _ in range(2))
    maps = [torch.rand(1, 4, 8, 8), torch.rand(1, 5, 4, 4)]
    assert not torch.equal(first(maps)[0], second(maps)[0])
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(first(maps), second(maps), strict=True))
    assert list(first.parameters()) == []


def test_mixing_keeps_features_at_their_size() -> None:
    maps = [torch.randn(4, 24, 64, 64) * 10.0, torch.randn(4, 40, 32, 32) * 3.0]
    for mixed in RandomMixing((24, 40), (10.0, 3.0))(maps):
        assert mixed.shape[1] == MIXED
        assert 0.7 < float(mixed.std()) < 1.4


def test_scores_depend_on_the_source_and_on_the_picture() -> None:
    network = projected(beside=False).eval()
    x_BCHW = torch.rand(1, 6, 64, 64) * 2 - 1
    other_source, other_picture = x_BCHW.clone(), x_BCHW.clone()
    other_source[:, :3], other_picture[:, 3:] = -1.0, -1.0
    with torch.no_grad():
        scores = network(x_BCHW).scores
        for other in (other_source, other_picture):
            assert all(not torch.allclose(one, two) for one, two in zip(scores, network(other).scores, strict=True))


def test_gradients_of_gradients_for_penalties() -> None:
    network = projected(0, beside=False)
    x_BCHW = (torch.rand(1, 3, 64, 64) * 2 - 1).requires_grad_()
    total = sum(scores.sum() for scores in network(x_BCHW).scores)
    (slope,) = torch.autograd.grad(total, x_BCHW, create_graph=True)
    slope.square().sum().backward()
    assert sum(parameter.grad.abs().sum() for parameter in network.parameters() if parameter.grad is not None) > 0


# --- the settings that ask for it


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": "1"}, "--discriminator is projected, which needs a classifier of colour images"),
        ({"channels": "3:4"}, "--discriminator is projected, which needs a classifier"),
        ({"discriminator_norm": "reference-batch"}, "--discriminator-norm reference-batch needs a reference batch"),
    ],
)
def test_pictures_the_classifier_does_not_know(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Pix2PixConfig.of(discriminator="projected", **changes)


def test_perceptual_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"--perceptual-weight is 2, which needs a classifier .* --channels is 1;"):
        Pix2PixConfig.of(perceptual_weight=2.0, channels="1")
    with pytest.raises(ConfigError, match="--image-size is 16; --perceptual-weight needs at least 32"):
        Pix2PixConfig.of(perceptual_weight=2.0, image_size=16)
    with pytest.raises(ConfigError, match="cut has no target image"):
        CUTConfig.of(perceptual_weight=2.0)


@pytest.mark.parametrize("choice", [{"discriminator": "projected"}, {"perceptual_weight": 1.0}])
def test_cyclegan_needs_colour_on_both_sides(choice: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"--channels is 1:3; .* use 3 channels for both"):
        CycleGANConfig.of(channels="1:3", **choice)
    Pix2PixConfig.of(channels="1:3", **choice)  # where the source is only what was given


def test_pictures_too_small_to_be_seen() -> None:
    config = Pix2PixConfig.of(discriminator="projected", image_size=32)
    with pytest.raises(ConfigError, match="--image-size is 32; --discriminator projected needs at least 64"):
        make_discriminator(config, 6)


def test_without_the_extra_nothing_is_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("translate.packages.find_spec", lambda module: None)
    out = tmp_path / "run"
    start = ["train", SKETCHES, "--data", str(photos), "--out", str(out)]
    for choice in ({"discriminator": "projected+patch"}, {"perceptual_weight": 1.0}):
        assert main([*start, *options(image_size=64, **choice)]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1
        assert said[0].endswith("pip install '.[features]'")
        assert not out.exists()
    assert main([*start, *options(max_images=2)]) == 0  # without them everything trains


# --- training


def test_a_run_and_its_resume(photos: Path, tmp_path: Path) -> None:
    config = settings(max_images=4, held_out=2, validations=1, metrics=("swd",), best_by="swd", **PROJECTED)
    run = new_run(tmp_path / "run", config)
    assert train(run, photos) == "done"
    line = log_lines(tmp_path / "run", "progress")[-1]
    assert {"generator.perceptual", "generator.adversarial", "discriminator.game"} <= line["losses"].keys()
    assert (tmp_path / "run" / "snapshot.safetensors").stat().st_size < 40e6  # the classifiers are not in it


def test_a_start_from_another_run_does_not_miss_the_classifiers(photos: Path, tmp_path: Path) -> None:
    first = new_run(tmp_path / "first", settings(max_images=2, **PROJECTED))
    train(first, photos)
    second = new_run(tmp_path / "second", settings(max_images=2, **PROJECTED))
    assert start_from_run(second.trainer, tmp_path / "first") == ""


def test_cyclegan_compares_what_comes_back() -> None:
    config = CycleGAN.presets["modern"].replace(**{**PROJECTED, "generator_widths": (8, 8)})
    assert isinstance(config, CycleGANConfig)
    trainer = CycleGAN(config, TASKS["cyclegan"])
    recorder = Recorder()
    trainer.step(batch_of(pictures(2, 3, 64, 64), pictures(2, 3, 64, 64)), recorder)
    assert {"perceptual", "back_perceptual"} <= recorder.terms["generator"].keys()
    assert recorder.value("generator", "perceptual") == pytest.approx(0.0, abs=1e-4)  # it begins as the identity


def test_pix2pix_perceptual_term_is_of_result_and_truth() -> None:
    config = Pix2PixConfig.of(**PROJECTED, generator_widths=(8, 8), warm_start=0.0)
    trainer = Pix2Pix(config, TASKS["pix2pix"])
    assert trainer.perception is not None
    batch, recorder = batch_of(pictures(2, 3, 64, 64), pictures(2, 3, 64, 64)), Recorder()
    fake_BCHW = trainer.generator(batch.source_BCHW)
    trainer.step(batch, recorder)
    value = recorder.value("generator", "perceptual")
    assert value == pytest.approx(trainer.perception(fake_BCHW, batch.target_BCHW).item())
    assert float(trainer.perception(batch.target_BCHW, batch.target_BCHW)) == 0.0


def test_the_sharp_end_of_super_resolution_looks_like_the_truth() -> None:
    changes = {**PROJECTED, "generator_width": 8, "generator_blocks": 1, "detail_blocks": 1, "adversarial_start": 0.5}
    trainer = SuperRes(SuperRes.presets["modern"].replace(**changes), TASKS["super-resolution"])
    small_BCHW, truth_BCHW = pictures(2, 3, 16, 16), pictures(2, 3, 64, 64)
    faithful, sharp = (
        recorded(trainer, batch_of(small_BCHW, truth_BCHW, share=share)).terms["generator"] for share in (0.4, 0.6)
    )
    assert "perceptual" not in faithful
    assert sharp["perceptual"].weight == 1.0
    assert sharp["perceptual"].value.requires_grad
    with pytest.raises(ConfigError, match="--perceptual-weight is 1, which is used in the adversarial phase only"):
        SuperResConfig.of(perceptual_weight=1.0, adversarial_start=1.0)


# --- the loss


def test_perceptual_distance_by_hand() -> None:
    first, second = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    first[0, :, 0] = torch.tensor([[3.0, 1.0], [0.0, 1.0]])  # vectors (3, 0) and (1, 1)
    second[0, :, 0] = torch.tensor([[0.0, 5.0], [2.0, 5.0]])  # at right angles: 2, and the same direction: 0
    value = perceptual_distance([first, first], [second, first])
    torch.testing.assert_close(value, torch.tensor([0.5]), atol=1e-5, rtol=0)


def test_perceptual_distance_gradient() -> None:
    x_BCHW = torch.rand(2, 3, 2, 2).double().requires_grad_()
    wanted_BCHW = torch.rand(2, 3, 2, 2).double().requires_grad_()
    perceptual_distance([x_BCHW], [wanted_BCHW]).sum().backward()
    assert x_BCHW.grad is not None
    assert wanted_BCHW.grad is None
    with pytest.raises(ValueError, match="zip"):
        perceptual_distance([x_BCHW], [])
