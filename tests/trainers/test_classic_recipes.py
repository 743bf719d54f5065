"""Presets: the classic ones are the papers', the modern ones keep what all of them promise.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from test_adversary import Recorder, recorded
from test_networks import multiplications, stirred
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from translate.errors import ConfigError
from translate.networks.classic_unet import ClassicUNet
from translate.networks.patchgan import PatchGAN
from translate.networks.reparameterised import fold
from translate.networks.resnet import BlurDown, ResNet
from translate.networks.srgan import SRDiscriminator, SRResNet
from translate.tasks import TASKS
from translate.tasks.base import load_object
from translate.trainers.base import Batch, Trainer
from translate.trainers.cut import CUT
from translate.trainers.cyclegan import CycleGAN
from translate.trainers.pix2pix import Pix2Pix
from translate.trainers.superres import SuperRes

TRAINERS: dict[str, Any] = {"pix2pix": Pix2Pix, "cyclegan": CycleGAN, "cut": CUT, "super-resolution": SuperRes}
TRANSLATORS = ["pix2pix", "cyclegan", "cut"]
CLASSICS = [("pix2pix", "classic"), ("cyclegan", "classic"), ("cut", "classic"), ("cut", "fast-classic")]

ADAM_OF_2017 = {
    "generator_lr": 2e-4,
    "discriminator_lr": 2e-4,
    "adam_beta1": 0.5,
    "adam_beta2": 0.999,
    "lr_rampup_images": 0,
    "ema_halflife_images": 0,
    "batch_size": 1,
    "discriminator_weight": 0.5,
    "discriminator_augmentation": (),
    "discriminator_width": 64,
    "discriminator_layers": 3,
    "discriminator_scales": 1,
    "feature_weight": 0.0,
    "adversarial_weight": 1.0,
    "r1_weight": 0.0,
    "r2_weight": 0.0,
    "image_size": 256,
}
UNPAIRED_OF_2017 = {"generator_blocks": 9, "adversarial": "least-squares", "discriminator_norm": "instance"}
RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("pix2pix", "classic"): {
        **ADAM_OF_2017, "generator": "classic-unet", "adversarial": "non-saturating", "l1_weight": 100.0,
        "discriminator_norm": "instance-affine", "lr_decay_start": 0.5, "initialisation": "normal", "warm_start": 0.0,
        "style_size": 0,
    },
    ("cyclegan", "classic"): {
        **ADAM_OF_2017, **UNPAIRED_OF_2017, "generator": "resnet", "cycle_weight": 10.0, "identity_weight": 0.5 * 10.0,
        "pool_size": 50, "lr_decay_start": 0.5, "initialisation": "normal",
    },
    ("cut", "classic"): {
        **ADAM_OF_2017, **UNPAIRED_OF_2017, "generator": "resnet", "contrast_weight": 1.0, "identity_weight": 1.0,
        "flip_consistency": False, "patches": 256, "temperature": 0.07, "lr_decay_start": 0.5,
        "initialisation": "xavier",
    },
    ("cut", "fast-classic"): {
        **ADAM_OF_2017, **UNPAIRED_OF_2017, "generator": "resnet", "contrast_weight": 10.0, "identity_weight": 0.0,
        "flip_consistency": True, "patches": 256, "temperature": 0.07, "lr_decay_start": 0.75,
        "initialisation": "xavier",
    },
    ("super-resolution", "classic"): {
        "generator": "srresnet", "generator_width": 64, "generator_blocks": 16, "discriminator": "srgan", "scale": 4,
        "fidelity": "l2", "fidelity_weight": 1.0, "adversarial": "non-saturating", "adversarial_weight": 1e-3,
        "feature_weight": 0.0, "discriminator_weight": 1.0, "generator_lr": 1e-4, "discriminator_lr": 1e-4,
        "adam_beta1": 0.9, "adam_beta2": 0.999, "image_size": 96, "batch_size": 16, "framing": "patch",
        "lr_rampup_images": 0, "ema_halflife_images": 0, "blur": 0.0, "noise": 0.0, "jpeg": 0.0,
        "discriminator_augmentation": (),
    },
}  # fmt: skip


def built(name: str, preset: str) -> Trainer:
    """With initial weights; kept for all tests of this file, which must not change them."""
    return _built(name, preset)


@cache
def _built(name: str, preset: str) -> Trainer:
    torch.manual_seed(0)
    return TRAINERS[name](TRAINERS[name].presets[preset], TASKS[name])


@pytest.fixture(scope="module", autouse=True)
def _forget() -> Iterator[None]:
    yield
    _built.cache_clear()


def millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


# --- classic


@pytest.mark.parametrize(("name", "preset"), RECIPES, ids=lambda one: one)
def test_classic_settings_are_the_papers(name: str, preset: str) -> None:
    config = TRAINERS[name].presets[preset]
    assert config.preset == preset
    assert {setting: config.settings()[setting] for setting in RECIPES[name, preset]} == RECIPES[name, preset]


@pytest.mark.parametrize(
    ("name", "preset", "generator", "discriminator"),
    [
        ("pix2pix", "classic", (ClassicUNet, 54.414), (PatchGAN, 2.769)),
        ("cyclegan", "classic", (ResNet, 11.378), (PatchGAN, 2.765)),
        ("cut", "classic", (ResNet, 11.378), (PatchGAN, 2.765)),
        ("super-resolution", "classic", (SRResNet, 1.55), (SRDiscriminator, 23.564)),
    ],
)
def test_classic_networks_are_the_papers(name: str, preset: str, generator: Any, discriminator: Any) -> None:
    trainer = built(name, preset)
    for network, (kind, weights) in ((trainer.generator, generator), (trainer.discriminator, discriminator)):
        assert type(network) is kind
        assert millions(network) == pytest.approx(weights, abs=0.005)


def test_cyclegan_has_the_same_networks_on_the_way_back() -> None:
    trainer = built("cyclegan", "classic")
    assert millions(trainer.back_generator) == millions(trainer.generator)
    assert millions(trainer.back_discriminator) == millions(trainer.discriminator)
    for game in (trainer.game, trainer.back_game):
        assert game.pool.pictures_PCHW.shape == (50, 3, 256, 256)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_classic_weights_start_at_normal_002(name: str) -> None:
    trainer = built(name, "classic")
    for player in trainer.players:
        for network in trainer.networks_of(player):
            convs = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
            large = [conv for conv in convs if conv.weight.numel() > 50_000]
            assert len(large) >= 3
            for conv in large:
                assert conv.weight.std().item() == pytest.approx(0.02, rel=0.03)
                assert conv.weight.mean().item() == pytest.approx(0.0, abs=5e-4)
            assert not any(conv.bias.any() for conv in convs if conv.bias is not None)


def test_classic_cut_starts_at_xavier_002() -> None:
    trainer = built("cut", "classic")
    block = trainer.generator.blocks[0].conv1.weight
    assert block.std().item() == pytest.approx(0.02 * (2 / (2 * 256 * 9)) ** 0.5, rel=0.03)
    assert trainer.heads.heads[0][2].weight.std().item() == pytest.approx(0.02 * (2 / 512) ** 0.5, rel=0.03)
    assert isinstance(trainer.generator.blur, BlurDown)


@pytest.mark.parametrize(
    ("name", "side", "generator", "discriminator"),
    [
        ("pix2pix", 32, {"adversarial": 1.0, "l1": 100.0}, {"game": 0.5}),
        (
            "cyclegan", 32,
            {"adversarial": 1.0, "back_adversarial": 1.0, "cycle": 10.0, "back_cycle": 10.0,
             "identity": 5.0, "back_identity": 5.0},
            {"game": 0.5, "back_game": 0.5},
        ),
        ("cut", 32, {"adversarial": 1.0, "contrast": 1.0, "identity": 1.0}, {"game": 0.5}),
        ("super-resolution", 32, {"fidelity": 1.0, "adversarial": 1e-3}, {"game": 1.0}),
    ],
)  # fmt: skip
def test_classic_losses_are_the_papers(
    name: str, side: int, generator: dict[str, float], discriminator: dict[str, float]
) -> None:
    step = small_step(name, "classic", side)
    assert step.players == ["discriminator", "generator"]
    assert step.weights("generator") == generator
    assert step.weights("discriminator") == discriminator


def small_step(name: str, preset: str, side: int) -> Recorder:
    """The preset's formula on its networks made narrow."""
    config = TRAINERS[name].presets[preset]
    changes = {"image_size": side, "generator_width": 4, "discriminator_width": 4, "generator_blocks": 2}
    values = {setting: config.settings()[setting] for setting in RECIPES[name, preset]} | changes
    trainer = TRAINERS[name](TRAINERS[name].config_class.of(**values), TASKS[name])
    scale = trainer.spec.scale
    source_BCHW, target_BCHW = torch.rand(1, 3, side // scale, side // scale), torch.rand(1, 3, side, side)
    return recorded(trainer, Batch(source_BCHW, target_BCHW, torch.zeros(1, dtype=torch.int64), 0.9))


@pytest.mark.parametrize(("name", "preset"), CLASSICS)
def test_classic_learning_rates_are_equal(name: str, preset: str) -> None:
    trainer = TRAINERS[name].__new__(TRAINERS[name])
    nn.Module.__init__(trainer)
    trainer._config = TRAINERS[name].presets[preset]
    assert trainer.learning_rates() == {"generator": 2e-4, "discriminator": 2e-4}


# --- modern


@pytest.mark.parametrize("name", TRAINERS)
def test_modern_generators_know_no_spatial_statistics_and_no_checkerboard(name: str) -> None:
    trainer = built(name, "modern")
    for network in (trainer.get_submodule(name) for name in trainer.directions.values()):
        assert network.receptive_field is not None
        kinds = {type(module).__name__ for module in network.modules()}
        assert not {kind for kind in kinds if kind.startswith(("BatchNorm", "InstanceNorm", "GroupNorm", "Dropout"))}
        assert not {kind for kind in kinds if kind.startswith("ConvTranspose")}


@pytest.mark.parametrize("name", TRAINERS)
def test_modern_generators_do_not_see_far_away(name: str) -> None:
    trainer = TRAINERS[name](TRAINERS[name].presets["modern"], TASKS[name])
    generator = stirred(trainer.generator).eval()
    multiple, scale = generator.size_multiple, generator.scale
    height = max(multiple, 8)
    width = (generator.receptive_field // multiple + 2) * multiple
    x_BCHW = torch.rand(1, 3, height, width)
    changed_BCHW = x_BCHW.clone()
    changed_BCHW[:, :, :, 0] = 1.0
    with torch.no_grad():
        difference_W = (generator(x_BCHW) - generator(changed_BCHW)).abs().amax(dim=(0, 1, 2))
    reach = (generator.receptive_field // 2 + 1) * scale
    assert difference_W[:scale].any()
    assert not difference_W[reach:].any()


@pytest.mark.parametrize("name", TRAINERS)
def test_modern_generators_cost_at_most_6_gmac_at_256_pixels(name: str) -> None:
    with torch.device("meta"):
        generator = TRAINERS[name](TRAINERS[name].presets["modern"], TASKS[name]).generator
        x_BCHW = torch.zeros(1, 3, 256 // generator.scale, 256 // generator.scale)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            assert generator(x_BCHW).shape == (1, 3, 256, 256)
    assert 0.1e9 < counter.get_total_flops() / 2 <= 6e9


@pytest.mark.parametrize("name", TRAINERS)
def test_modern_game(name: str) -> None:
    trainer = built(name, "modern")
    config = trainer.config
    norm = "instance-affine" if name == "pix2pix" else "spectral"
    assert (config.preset, config.game.adversarial, config.networks.discriminator_norm) == ("modern", "hinge", norm)
    assert config.optimisation.ema_halflife_images > 0
    convs = [module for module in trainer.discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert {torch.nn.utils.parametrize.is_parametrized(conv, "weight") for conv in convs} == {norm == "spectral"}
    if name in TRANSLATORS:
        assert len(trainer.discriminator.scales) >= 2
        rates = trainer.learning_rates()
        assert rates["discriminator"] == 2 * rates["generator"] > 0


def _multiplications(config: Any) -> float:
    """Of the generator, as it is exported, for a picture of 64 pixels."""
    return multiplications(fold(SuperRes(config, TASKS["super-resolution"]).generator), 64)


def test_super_resolution_presets_differ_as_promised() -> None:
    presets = SuperRes.presets
    assert presets["fidelity"].adversarial_start == 1.0
    assert presets["modern"].adversarial_start < 1.0
    fast = presets["fast"]
    assert (fast.networks.generator, fast.adversarial_start, fast.networks.detail_blocks) == ("compact", 1.0, 0)
    assert 2 * _multiplications(fast) < _multiplications(presets["fidelity"])
    robust = presets["robust"]
    assert (robust.degradation, presets["modern"].degradation) == ("second-order", "simple")
    assert {robust.blur, robust.noise, robust.jpeg} == {0.0}
    assert {presets["modern"].blur, presets["modern"].noise, presets["modern"].jpeg} == {0.0}


# --- all presets


@pytest.mark.parametrize("name", TRAINERS)
def test_presets_know_their_names_and_every_task_can_start_from_them(name: str) -> None:
    presets = TRAINERS[name].presets
    assert {"modern", "classic"} <= presets.keys()
    assert all(config.preset == key for key, config in presets.items())
    assert all(type(config) is TRAINERS[name].config_class for config in presets.values())
    assert load_object(TASKS[name].trainer) is TRAINERS[name]


@pytest.mark.parametrize(("size", "levels"), [(256, 8), (128, 7), (512, 8), (96, 5)], ids=lambda number: str(number))
def test_classic_unet_has_as_many_levels_as_the_size_allows(size: int, levels: int) -> None:
    with torch.device("meta"):
        trainer = Pix2Pix(classic_pix2pix(image_size=size), TASKS["pix2pix"])
    assert len(trainer.generator.downs) == levels


def classic_pix2pix(**changes: Any) -> Any:
    return Pix2Pix.config_class.of(**(RECIPES["pix2pix", "classic"] | changes))


def test_classic_unet_of_an_unsuitable_size() -> None:
    with pytest.raises(ConfigError, match="--image-size is 72; this generator needs a multiple of 32"):
        Pix2Pix(classic_pix2pix(image_size=72), TASKS["pix2pix"])
