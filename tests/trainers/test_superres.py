"""Super-resolution: first faithful, then sharp.

Shape suffixes: B batch, C channels, H height, W width.
"""

from typing import Any

import pytest
import torch
from test_adversary import TINY, Calls, Judge, assert_players_keep_apart, batch_of, falls_to, pictures, recorded, total
from torch import Generator
from torch.nn import functional as F

from translate.data.degradation import degrade
from translate.data.second_order import degrade_twice
from translate.data.sharpening import sharpen
from translate.errors import ConfigError
from translate.losses.charbonnier import charbonnier
from translate.networks.patchgan import PatchGAN
from translate.networks.residual_sr import ResidualSR
from translate.networks.srgan import SRDiscriminator, SRResNet
from translate.tasks import TASKS
from translate.trainers.base import Batch, pixel_translator
from translate.trainers.config import config_from_json
from translate.trainers.superres import ENLARGERS, SuperRes, SuperResConfig

TASK = TASKS["super-resolution"]

CLASSIC = {
    "generator": "srresnet", "discriminator": "srgan", "discriminator_width": 32, "discriminator_layers": 3,
    "fidelity": "l2",
}  # fmt: skip


def made(**changes: Any) -> SuperRes:
    small = {"generator_width": 8, "generator_blocks": 2}
    return SuperRes(SuperResConfig.of(**(TINY | small | changes)), TASK)


def some_batch(scale: int = 4, channels: int = 3, **place: float) -> Batch:
    target_BCHW = F.interpolate(pictures(2, channels, 8, 8), 32, mode="bilinear")
    return batch_of(degrade(target_BCHW, Generator().manual_seed(0), scale), target_BCHW, **({"share": 0.9} | place))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_faithful_first_then_the_game_too() -> None:
    trainer = made(adversarial_start=0.5, fidelity_weight=7.0, adversarial_weight=0.5, feature_weight=3.0)
    calls = Calls(trainer.generator)
    first, second = (recorded(trainer, some_batch(share=share)) for share in (0.49, 0.5))
    assert first.players == ["generator"]
    assert first.weights("generator") == {"fidelity": 7.0}
    assert second.players == ["discriminator", "generator"]
    assert second.weights("discriminator") == {"game": 1.0}
    assert second.weights("generator") == {"fidelity": 7.0, "adversarial": 0.5, "features": 3.0}
    assert calls.sizes == [2, 2]


@pytest.mark.parametrize("share", [0.0, 0.99, 1.0])
def test_a_game_that_starts_at_one_never_starts(share: float) -> None:
    trainer = made(adversarial_start=1.0)
    assert not hasattr(trainer, "discriminator")
    assert trainer.networks_of("discriminator") == []
    assert recorded(trainer, some_batch(share=share)).players == ["generator"]


def test_step_by_hand() -> None:
    trainer = made()
    trainer.discriminator = judge = Judge()
    batch = some_batch()
    # The untrained network is bicubic enlargement.
    bicubic_BCHW = F.interpolate(batch.source_BCHW, scale_factor=4.0, mode="bicubic")
    given_BCHW = bicubic_BCHW.clamp(-1, 1)
    difference = (bicubic_BCHW - batch.target_BCHW).square()
    step = recorded(trainer, batch)
    assert step.value("generator", "fidelity") == pytest.approx((difference + 1e-6).sqrt().mean().item(), rel=1e-4)
    made_BCHW, real_BCHW = (torch.cat([given_BCHW, x_BCHW], dim=1) for x_BCHW in (bicubic_BCHW, batch.target_BCHW))
    torch.testing.assert_close(judge.seen[0], torch.cat([real_BCHW, made_BCHW]))
    torch.testing.assert_close(judge.seen[1], made_BCHW)
    assert step.value("generator", "adversarial") == pytest.approx(-made_BCHW.mean().item(), rel=1e-4, abs=1e-5)
    assert step.value("generator", "features") == pytest.approx((made_BCHW - real_BCHW).abs().mean().item(), rel=1e-3)


def test_srgan_judges_results_alone_by_squared_difference() -> None:
    trainer = made(**CLASSIC, feature_weight=0.0)
    trainer.discriminator = judge = Judge()
    batch = some_batch()
    with torch.no_grad():
        fake_BCHW = trainer.generator(batch.source_BCHW)
    step = recorded(trainer, batch)
    torch.testing.assert_close(judge.seen[0], torch.cat([batch.target_BCHW, fake_BCHW]))
    expected = (fake_BCHW - batch.target_BCHW).square().mean().item()
    assert step.value("generator", "fidelity") == pytest.approx(expected, rel=1e-4)


def test_detail_is_learnt_beside_a_faithful_end_that_stays() -> None:
    trainer = made(detail_blocks=1, adversarial_start=0.5, adversarial_weight=1.0)
    batch = some_batch()
    falls_to(trainer, batch._replace(share=0.4), "generator", "fidelity")
    with torch.no_grad():
        faithful_BCHW = trainer.generator(batch.source_BCHW)
        at_zero, at_one = (trainer.generator(batch.source_BCHW, torch.full((1, 1), share)) for share in (0.0, 1.0))
    assert torch.equal(at_zero, faithful_BCHW)
    assert torch.equal(at_one, faithful_BCHW)  # nothing learnt yet
    falls_to(trainer, batch._replace(share=0.6), "generator", "adversarial")
    with torch.no_grad():
        assert torch.equal(trainer.generator(batch.source_BCHW), faithful_BCHW)
        half, sharp = (trainer.generator(batch.source_BCHW, torch.full((1, 1), share)) for share in (0.5, 1.0))
    assert (sharp - faithful_BCHW).abs().mean() > 1e-3
    torch.testing.assert_close(half, (sharp + faithful_BCHW) / 2)
    assert trainer.spec.detail
    assert trainer.spec.architecture == "ResidualSR width 8, 2 blocks and 1 of detail"


def test_detail_is_a_knob_of_the_pixels() -> None:
    trainer = made(detail_blocks=1)
    torch.nn.init.normal_(trainer.generator.detail[-1].weight)
    translator = pixel_translator(trainer.generator, trainer.spec)
    image_NHWC = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    with torch.no_grad():
        nothing, zero, one = (translator(image_NHWC, detail=x) for x in (None, torch.zeros(1), torch.ones(1)))
    assert torch.equal(nothing, zero)
    assert not torch.equal(zero, one)


def test_every_phase_has_the_whole_schedule() -> None:
    trainer = made(detail_blocks=1, adversarial_start=0.6)
    assert [trainer.lr_share(share) for share in (0.0, 0.3, 0.6, 0.8, 1.0)] == pytest.approx([0, 0.5, 0, 0.5, 1])
    assert made(adversarial_start=0.6).lr_share(0.3) == 0.3


@pytest.mark.parametrize("options", [{}, CLASSIC, {"adversarial": "relativistic", "r1_weight": 1.0}])
def test_players_keep_apart(options: dict[str, Any]) -> None:
    assert_players_keep_apart(made(**options), some_batch())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"generator": "srresnet", "fidelity": "l2"},
        *({"generator": name} for name in ENLARGERS if name != "residual"),
    ],
    ids=lambda options: options.get("generator", "residual"),
)
def test_learns_one_batch_by_heart(options: dict[str, Any]) -> None:
    assert falls_to(made(adversarial_weight=0.005, **options), some_batch(), "generator", "fidelity") < 0.8


def test_networks_are_what_the_settings_say() -> None:
    modern, classic = made(), made(**CLASSIC)
    assert isinstance(modern.generator, ResidualSR)
    assert isinstance(modern.discriminator, PatchGAN)
    assert isinstance(classic.generator, SRResNet)
    assert isinstance(classic.discriminator, SRDiscriminator)
    assert modern.spec.architecture == "ResidualSR width 8, 2 blocks"
    for name, family in ENLARGERS.items():
        trainer = made(generator=name, generator_width=4, generator_blocks=3, detail_blocks=1)
        assert type(trainer.generator) is family
        assert trainer.spec.architecture == f"{family.__name__} width 4, 3 blocks and 1 of detail"
        assert trainer.spec.receptive_field == family(blocks=3, width=4, detail_blocks=1).receptive_field


@pytest.mark.parametrize("generator", ENLARGERS)
def test_half_the_size_inside_for_twice_the_size(generator: str) -> None:
    trainer = made(generator=generator, scale=2, generator_unshuffle=2)
    assert (trainer.spec.scale, trainer.spec.size_multiple) == (2, 2)
    assert total(recorded(trainer, some_batch(2)).terms["generator"]).isfinite()
    with torch.no_grad():  # sides that do not divide are padded
        result_NHWC = pixel_translator(trainer.generator, trainer.spec)(torch.zeros(1, 5, 7, 3, dtype=torch.uint8))
    assert result_NHWC.shape == (1, 10, 14, 3)


def test_what_is_measured_and_exported_is_folded_and_the_same() -> None:
    trainer = made(generator="span", generator_blocks=1)
    torch.nn.init.normal_(trainer.generator.tail.weight, std=0.05)
    translator = pixel_translator(trainer.generator, trainer.spec)
    assert isinstance(translator.generator.head, torch.nn.Conv2d)
    assert trainer.generator.head.expand_MI.requires_grad  # and what is trained is not
    image_NHWC = torch.randint(0, 256, (1, 9, 9, 3), dtype=torch.uint8)
    with torch.no_grad():
        found_NHWC = translator(image_NHWC).int()
        translator.generator = trainer.generator
        assert (found_NHWC - translator(image_NHWC).int()).abs().max() <= 1


def test_settings_of_old_runs_mean_what_they_meant() -> None:
    saved = made().config.settings()
    del saved["generator_unshuffle"]
    assert config_from_json(SuperResConfig, saved, "the snapshot") == made().config
    assert "head.weight" in made().generator.state_dict()
    assert not any("bicubic" in name for name in made().generator.state_dict())


@pytest.mark.parametrize(("scale", "channels"), [(1, 3), (2, 1), (4, 1), (8, 4)])
def test_scales_and_channels(scale: int, channels: int) -> None:
    trainer = made(scale=scale, channels=str(channels), discriminator_augmentation=("colour", "translation", "cutout"))
    batch = some_batch(scale, channels)
    assert batch.source_BCHW.shape == (2, channels, 32 // scale, 32 // scale)
    assert total(recorded(trainer, batch).terms["generator"]).isfinite()
    spec = trainer.spec
    assert (spec.scale, spec.input_channels, spec.output_channels) == (scale, channels, channels)
    image_NHWC = torch.zeros(1, 5, 7, channels, dtype=torch.uint8)
    with torch.no_grad():
        result_NHWC = pixel_translator(trainer.generator, trainer.spec)(image_NHWC)
    assert result_NHWC.shape == (1, 5 * scale, 7 * scale, channels)


def test_makes_its_own_sources_as_the_settings_say() -> None:
    photo_BCHW = pictures(2, 3, 32, 32)
    for spoilt in ({}, {"blur": 1.0, "noise": 1.0, "jpeg": 1.0}):
        trainer = made(**spoilt)
        assert trainer.spec.restores == bool(spoilt)
        source_BCHW = trainer.source_maker()(photo_BCHW, Generator().manual_seed(3))
        expected_BCHW = degrade(photo_BCHW, Generator().manual_seed(3), 4, **spoilt)
        assert torch.equal(source_BCHW, expected_BCHW)
        assert source_BCHW.shape == (2, 3, 8, 8)
    source_BCHW = made(degradation="second-order").source_maker()(photo_BCHW, Generator().manual_seed(3))
    assert torch.equal(source_BCHW, degrade_twice(photo_BCHW, Generator().manual_seed(3), 4))
    photo_BCHW = pictures(12, 3, 32, 32)
    trainer = made(degradation="second-order", clean_share=0.5)
    assert trainer.spec.restores
    source_BCHW = trainer.source_maker()(photo_BCHW, Generator().manual_seed(3))
    expected_BCHW, none_BCHW = (degrade_twice(photo_BCHW, Generator().manual_seed(3), 4, clean=x) for x in (0.5, 0.0))
    assert torch.equal(source_BCHW, expected_BCHW)
    assert not torch.equal(source_BCHW, none_BCHW)


def test_an_older_run_has_no_clean_pictures() -> None:
    saved = SuperRes.presets["robust"].settings()
    assert saved.pop("clean_share") == 0.1
    assert config_from_json(SuperResConfig, saved, "the snapshot").clean_share == 0.0


def test_learns_from_sharpened_targets_if_asked() -> None:
    plain, sharp = made(), made(sharpen_target=1.0)
    sharp.load_state_dict(plain.state_dict())
    batch = some_batch(share=0.1)
    by_hand = charbonnier(plain.generator(batch.source_BCHW), sharpen(batch.target_BCHW, 1.0))
    found = recorded(sharp, batch).terms["generator"]["fidelity"].value
    torch.testing.assert_close(found, by_hand)
    assert found != recorded(plain, batch).terms["generator"]["fidelity"].value


def test_the_faithful_end_and_the_discriminator_see_photographs_as_they_are() -> None:
    trainer = made(sharpen_target=1.0, detail_blocks=1, adversarial_start=0.5)
    faithful, batch = some_batch(share=0.1), some_batch(share=0.9)
    by_hand = charbonnier(trainer.generator(faithful.source_BCHW), faithful.target_BCHW)
    torch.testing.assert_close(recorded(trainer, faithful).terms["generator"]["fidelity"].value, by_hand)
    sharp = charbonnier(trainer._make(batch, sharp=True), sharpen(batch.target_BCHW, 1.0))
    torch.testing.assert_close(recorded(trainer, batch).terms["generator"]["fidelity"].value, sharp)
    assert torch.equal(trainer.trials(batch)[0].real_BCHW[:, 3:], batch.target_BCHW)


def test_classic_weights_on_request() -> None:
    trainer = made(generator="srresnet", generator_width=64, initialisation="normal")
    assert trainer.generator.body[0].layers[0].weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 3, "image_size": 48, "generator": "srresnet"}, "--scale is 3; srresnet supports 2 and 4"),
        ({"scale": 3}, "--image-size is 32; it must be a multiple of --scale 3"),
        ({"scale": 9}, "--scale is 9; it must be between 1 and 8"),
        ({"degradation": "second-order", "jpeg": 0.5}, "--jpeg is 0.5, but --degradation second-order sets its own"),
        ({"clean_share": 0.1}, "--clean-share is 0.1, but it is for --degradation second-order"),
        ({"sharpen_target": 9.0}, "--sharpen-target is 9; it must be between 0 and 5"),
        ({"labels": True}, "--labels has no effect on super-resolution"),
        ({"channels": "1:3"}, "--channels is 1:3, but super-resolution needs the same"),
        ({"channels": "3x16:3"}, "--channels is 3x16:3, but super-resolution needs the same"),
        ({"discriminator_scales": 3}, "--image-size is 32; .* needs at least 48"),
        ({"discriminator": "srgan", "image_size": 16}, "--image-size is 16; .* needs at least 17"),
        ({"initialisation": "normal"}, "--initialisation is normal, but residual has its own"),
        ({"generator": "span", "initialisation": "xavier"}, "--initialisation is xavier, but span has its own"),
        ({"generator_unshuffle": 3}, "--generator-unshuffle is 3; it must be 1, 2 or 4"),
        ({"generator_unshuffle": 4, "scale": 4, "image_size": 40}, "--image-size is 40; .* --generator-unshuffle, 16"),
        ({"generator": "srresnet", "generator_unshuffle": 2}, "--generator-unshuffle has no effect on srresnet"),
        ({"jpeg": 1.5}, "--jpeg is 1.5"),
        ({"adversarial_start": -0.1}, "--adversarial-start is -0.1"),
        ({"adversarial_start": 1.0, "detail_blocks": 2}, "--detail-blocks is 2, but without adversarial training"),
        ({"generator": "srresnet", "detail_blocks": 2}, "--detail-blocks is 2, but srresnet has no detail branch"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        made(**changes)
    assert "\n" not in str(error.value)
