"""pix2pix: what a step hands over, labels that decide, styles that differ.

Shape suffixes: B batch, C channels, D condition, H height, W width, S style, L labels.
"""

from typing import Any

import pytest
import torch
from test_adversary import (
    TINY,
    Calls,
    Judge,
    Learner,
    Recorder,
    assert_players_keep_apart,
    batch_of,
    falls_to,
    pictures,
    recorded,
    total,
)
from test_networks import stirred
from torch import Tensor
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.networks.pixels import signal_to_pixels
from translate.tasks import TASKS
from translate.trainers.base import Batch, pixel_translator
from translate.trainers.pix2pix import Pix2Pix, Pix2PixConfig

TASK = TASKS["pix2pix"]


def made(**changes: Any) -> Pix2Pix:
    unet = {"generator_widths": (8, 16), "generator_blocks": 1}
    return Pix2Pix(Pix2PixConfig.of(**(TINY | unet | changes)), TASK)


def some_batch(channels: tuple[int, int] = (3, 3), **place: float) -> Batch:
    return batch_of(pictures(2, channels[0], 32, 32), pictures(2, channels[1], 32, 32), **place)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


# --- one step


def test_step_judges_first_and_one_fake_serves_both() -> None:
    trainer = made(l1_weight=7.0, feature_weight=3.0, adversarial_weight=2.0, discriminator_weight=0.25)
    calls = Calls(trainer.generator)
    step = recorded(trainer, some_batch())
    assert step.players == ["discriminator", "generator"]
    assert step.weights("discriminator") == {"game": 0.25}
    assert step.weights("generator") == {"adversarial": 2.0, "features": 3.0, "l1": 7.0}
    assert calls.sizes == [2]


def test_step_by_hand() -> None:
    trainer = made()
    trainer.discriminator = judge = Judge()
    batch = some_batch()
    with torch.no_grad():
        fake_BCHW = trainer.generator(batch.source_BCHW)
    step = recorded(trainer, batch)
    real_B, made_B = (torch.cat([batch.source_BCHW, x_BCHW], 1).mean((1, 2, 3)) for x_BCHW in (batch[1], fake_BCHW))
    l1 = (fake_BCHW - batch.target_BCHW).abs().mean().item()
    assert step.value("generator", "l1") == pytest.approx(l1)
    # The judge's feature is what it sees: half of it is the source, which is the same on both sides.
    assert step.value("generator", "features") == pytest.approx(l1 / 2)
    assert step.value("generator", "adversarial") == pytest.approx(-made_B.mean().item(), abs=1e-6)
    hinge = F.relu(1 - real_B).mean() + F.relu(1 + made_B).mean()
    assert step.value("discriminator", "game") == pytest.approx(hinge.item(), rel=1e-5)
    assert all(torch.equal(seen_BCHW[:2, :3], batch.source_BCHW) for seen_BCHW in judge.seen)


def test_generator_plays_against_the_improved_judge() -> None:
    trainer = made()
    trainer.discriminator = judge = Judge(slope=1.0)
    batch = some_batch()
    with torch.no_grad():
        seen_BCHW = torch.cat([batch.source_BCHW, trainer.generator(batch.source_BCHW)], dim=1)

    class Improver(Recorder):
        def __call__(self, player: str, terms: Any) -> None:
            super().__call__(player, terms)
            judge.slope.data.fill_(5.0)

    step = Improver()
    trainer.step(batch, step)
    assert step.value("generator", "adversarial") == pytest.approx(-5.0 * seen_BCHW.mean().item(), rel=1e-4)


def test_warm_start_leaves_the_game_out() -> None:
    trainer = made(warm_start=0.25, style_size=2)
    assert recorded(trainer, some_batch(share=0.24)).players == ["generator"]
    assert list(recorded(trainer, some_batch(share=0.24)).terms["generator"]) == ["l1", "kl", "style"]
    assert recorded(trainer, some_batch(share=0.25)).players == ["discriminator", "generator"]
    assert recorded(made(warm_start=0.0), some_batch(share=0.0)).players == ["discriminator", "generator"]


def test_penalties_follow_the_step() -> None:
    trainer = made(r1_weight=10.0, penalty_interval=4)
    names = [list(recorded(trainer, some_batch(step=step)).terms["discriminator"]) for step in (3, 4)]
    assert names == [["game"], ["game", "r1"]]


@pytest.mark.parametrize("options", [{}, {"style_size": 2}, {"adversarial": "relativistic", "r1_weight": 1.0}])
def test_players_keep_apart(options: dict[str, Any]) -> None:
    assert_players_keep_apart(made(**options), some_batch())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"adversarial": "relativistic", "r1_weight": 1.0, "r2_weight": 1.0},
        {"discriminator_augmentation": ("colour", "translation", "cutout"), "discriminator_scales": 2},
        {"generator": "classic-unet", "generator_width": 8, "initialisation": "normal"},
        {"checkpoint_activations": True, "style_size": 2},
    ],
    ids=["plain", "relativistic", "augmented", "classic", "style"],
)
def test_learns_one_batch_by_heart(options: dict[str, Any]) -> None:
    smooth_BCHW = F.interpolate(pictures(2, 3, 4, 4), 32, mode="bilinear")
    batch = batch_of(smooth_BCHW, -smooth_BCHW.flip(1))
    assert falls_to(made(**options), batch, "generator", "l1") < 0.7


@pytest.mark.parametrize("channels", [(1, 3), (4, 1)])
def test_other_channels(channels: tuple[int, int]) -> None:
    trainer = made(channels=f"{channels[0]}:{channels[1]}", style_size=2)
    step = recorded(trainer, some_batch(channels))
    assert total(step.terms["generator"]).isfinite()
    assert (trainer.spec.input_channels, trainer.spec.output_channels) == channels
    image_NHWC = torch.zeros(1, 5, 7, channels[0], dtype=torch.uint8)
    assert pixel_translator(trainer.generator, trainer.spec)(image_NHWC).shape == (1, 5, 7, channels[1])


# --- labels

TWO = {"labels": True, "label_names": ("red", "blue")}


def test_judge_is_told_the_label() -> None:
    trainer = made(**TWO)
    trainer.discriminator = judge = Judge()
    batch = some_batch()._replace(label_B=torch.tensor([1, 0]))
    recorded(trainer, batch)
    for seen_BCHW in judge.seen:
        assert seen_BCHW.shape[1:] == (3 + 2 + 3, 32, 32)
        assert torch.equal(seen_BCHW[:2, :3], batch.source_BCHW)
        assert seen_BCHW[:2, 3:5].amax(dim=(2, 3)).tolist() == [[0, 1], [1, 0]]
        assert seen_BCHW[:2, 3:5].amin(dim=(2, 3)).tolist() == [[0, 1], [1, 0]]


def test_label_decides_what_is_made() -> None:
    trainer = made(**TWO)
    learner = Learner(trainer)
    source_BCHW, target_BCHW = red_and_blue(1)
    for number in range(120):
        trainer.step(Batch(source_BCHW, target_BCHW, torch.tensor([0, 1]), 0.5, number), learner)
    translator = pixel_translator(trainer.generator, trainer.spec).eval()
    assert (trainer.spec.labels, trainer.spec.style_size) == (("red", "blue"), 0)
    image_NHWC = signal_to_pixels(source_BCHW[:1])
    with torch.no_grad():
        red, blue = (translator(image_NHWC, torch.tensor([label])).float().mean((0, 1, 2)) for label in (0, 1))
        assert torch.equal(translator(image_NHWC), translator(image_NHWC, torch.tensor([0])))
    assert red[0] - red[2] > 60
    assert blue[2] - blue[0] > 60


def red_and_blue(each: int) -> tuple[Tensor, Tensor]:
    """The same grey source, wanted red and wanted blue."""
    red_BCHW = torch.tensor([0.8, -0.8, -0.8]).view(1, 3, 1, 1).expand(each, 3, 32, 32)
    return torch.zeros(2 * each, 3, 32, 32), torch.cat([red_BCHW, red_BCHW.flip(1)])


# --- styles


class Encoder(torch.nn.Module):
    """Reads the mean of the picture as the mean, and as the log variance what it is told."""

    def __init__(self, style_size: int, logvar: float):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(()))
        self.style_size, self.logvar = style_size, logvar

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        mean_BS = self.slope * x_BCHW.mean((1, 2, 3))[:, None].expand(-1, self.style_size)
        return mean_BS, torch.full_like(mean_BS, self.logvar)

    def update(self, mean_BS: Tensor, logvar_BS: Tensor) -> None:
        pass


def test_style_terms_by_hand() -> None:
    trainer = made(style_size=3, style_kl_weight=0.5, style_recovery_weight=2.0)
    trainer.encoder = Encoder(3, logvar=-1.0)
    conditions: list[Tensor] = []
    trainer.generator.register_forward_hook(lambda _, inputs, result: conditions.append(inputs[1]))
    target_BCHW = torch.full((2, 3, 32, 32), 0.5)
    results = trainer.translate(batch_of(pictures(2, 3, 32, 32), target_BCHW))
    (condition_DS,) = conditions  # both halves in one pass
    assert condition_DS.shape == (4, 3)
    kl, style = results.style_terms["kl"], results.style_terms["style"]
    assert (kl.weight, style.weight) == (0.5, 2.0)
    assert kl.value.item() == pytest.approx(0.5 * 3 * (0.5**2 + torch.tensor(-1.0).exp().item() - 1.0 + 1.0))
    read_B1 = results.fake_BCHW[2:].mean((1, 2, 3))[:, None]
    assert style.value.item() == pytest.approx((read_B1 - condition_DS[2:]).abs().mean().item(), rel=1e-4)


def test_style_vectors_are_encoded_ones_then_standard_normal() -> None:
    trainer = made(style_size=2)
    trainer.encoder = Encoder(2, logvar=-30.0)
    conditions: list[Tensor] = []
    trainer.generator.register_forward_hook(lambda _, inputs, result: conditions.append(inputs[1]))
    target_BCHW = torch.cat([torch.full((1, 3, 32, 32), 0.5), torch.full((1, 3, 32, 32), -0.25)])
    for _ in range(100):
        trainer.translate(batch_of(pictures(2, 3, 32, 32), target_BCHW))
    encoded_NBS, random_NBS = torch.stack(conditions).chunk(2, dim=1)
    torch.testing.assert_close(encoded_NBS[:, :, 0], torch.tensor([0.5, -0.25]).expand(100, 2))
    assert random_NBS.mean().abs() < 0.15
    assert (random_NBS.std() - 1.0).abs() < 0.15


def test_style_step_shares_one_pass_and_compares_only_the_first_half() -> None:
    trainer = made(style_size=2)
    stirred(trainer.generator)  # or all styles would give the same
    calls = Calls(trainer.generator)
    results = trainer.translate(batch := some_batch())
    trainer.discriminator = judge = Judge()
    step = recorded(trainer, batch)
    assert step.weights("generator") == {
        "adversarial": 1.0, "features": 10.0, "l1": 10.0, "kl": 0.01, "style": 0.5,
    }  # fmt: skip
    assert calls.sizes == [4, 4]
    assert [len(seen_BCHW) for seen_BCHW in judge.seen] == [8, 4, 4]  # real and made; made; real, for its features
    l1 = trainer.closeness(batch, results)["l1"].value
    assert torch.equal(l1, F.l1_loss(results.fake_BCHW[:2], batch.target_BCHW))
    assert torch.equal(results.target_BCHW, torch.cat([batch.target_BCHW] * 2))
    assert torch.equal(results.given_BCHW, torch.cat([batch.source_BCHW] * 2))
    assert step.value("generator", "features") == pytest.approx(step.value("generator", "l1") / 2, rel=1e-4)


def test_reading_the_style_back_does_not_train_the_encoder() -> None:
    trainer = made(style_size=2)
    stirred(trainer)
    terms = recorded(trainer, some_batch()).terms["generator"]
    encoder, generator = list(trainer.encoder.parameters()), list(trainer.generator.parameters())

    def reached(name: str, weights: list[torch.nn.Parameter]) -> int:
        found = torch.autograd.grad(terms[name].value, weights, retain_graph=True, allow_unused=True)
        return sum(gradient is not None and bool(gradient.any()) for gradient in found)

    assert reached("style", encoder) == 0
    assert reached("style", generator) == len(generator)
    assert reached("kl", encoder) == len(encoder)
    assert reached("l1", encoder) == len(encoder)


@pytest.mark.parametrize(("kind", "size", "part"), [("learned", 2, "encoder"), ("colours", 5, "colours")])
def test_statistics_of_styles_follow_parts_as_fast_as_a_whole_batch(kind: str, size: int, part: str) -> None:
    found: list[dict[str, Tensor]] = []
    for parts in (1, 4):
        torch.manual_seed(0)
        trainer = made(style_kind=kind, style_size=size, batch_size=4, accumulate=parts)
        batch = some_batch()
        for _ in range(parts):
            trainer.translate(batch)
        found.append(trainer.get_submodule(f"{part}.standard").state_dict())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)


def spread_of_styles(**options: Any) -> tuple[float, Pix2Pix]:
    """Standard deviation of the mean red over random styles, after learning that grey may become red or blue."""
    torch.manual_seed(0)
    trainer = made(style_size=2, batch_size=4, warm_start=0.5, **options)
    learner = Learner(trainer)
    source_BCHW, target_BCHW = red_and_blue(2)
    for number in range(170):
        trainer.step(batch_of(source_BCHW, target_BCHW, share=0.0 if number < 150 else 0.9, step=number), learner)
    translator = pixel_translator(trainer.generator, trainer.spec).eval()
    image_NHWC = signal_to_pixels(source_BCHW[:1]).expand(64, -1, -1, -1)
    with torch.no_grad():
        result_NHWC = translator(image_NHWC, style=torch.randn(64, 2)).float() / 127.5
    return result_NHWC[..., 0].mean((1, 2)).std().item(), trainer


def test_styles_make_different_results() -> None:
    spread, trainer = spread_of_styles(style_kl_weight=0.003)
    assert spread > 0.03
    assert trainer.spec.style_size == 2
    with torch.no_grad():
        zero_BCHW = trainer.generator(torch.zeros(1, 3, 32, 32), torch.zeros(1, 2))
    assert zero_BCHW.isfinite().all()


@pytest.mark.slow
def test_styles_that_need_not_be_readable_and_must_say_nothing_are_ignored() -> None:
    """What the test above would find if styles did not work."""
    spread, _ = spread_of_styles(style_kl_weight=10.0, style_recovery_weight=0.0)
    assert spread < 0.005


def test_colours_as_styles_reach_the_result() -> None:
    torch.manual_seed(0)
    trainer = made(style_size=5, style_kind="colours", warm_start=1.0, generator_lr=2e-3)
    learner = Learner(trainer)
    source_BCHW, target_BCHW = red_and_blue(2)
    for number in range(150):
        trainer.step(batch_of(source_BCHW, target_BCHW, step=number), learner)
    with torch.no_grad():
        style_BS = trainer.colours(target_BCHW)
        there_BCHW, swapped_BCHW = (trainer.generator(source_BCHW, x) for x in (style_BS, style_BS.flip(0)))
    kept = (there_BCHW - target_BCHW).abs().mean()
    assert kept < 0.5 * (there_BCHW.flip(0) - target_BCHW).abs().mean()
    assert (swapped_BCHW - target_BCHW.flip(0)).abs().mean() < 2 * kept
    assert [len(trainer.networks_of(player)) for player in ("generator", "discriminator")] == [1, 1]
    assert trainer.spec.style_size == 5


def test_labels_and_styles_together() -> None:
    trainer = made(**TWO, style_size=3)
    step = recorded(trainer, some_batch()._replace(label_B=torch.tensor([0, 1])))
    assert total(step.terms["generator"]).isfinite()
    translator = pixel_translator(trainer.generator, trainer.spec)
    assert translator(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.tensor([0, 1]), torch.zeros(2, 3)).shape[0] == 2


def test_encoder_is_there_only_with_styles() -> None:
    assert len(made().networks_of("generator")) == 1
    assert len(made(style_size=1).networks_of("generator")) == 2


# --- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 30}, "--image-size is 30; this generator needs a multiple of 4"),
        ({"discriminator_layers": 4}, "needs at least 48"),
        ({"style_size": 2, "image_size": 16}, "--image-size is 16; .*32"),
        ({"generator": "resnet", "style_size": 2}, "--generator is resnet, which supports neither labels nor styles"),
        ({"generator": "classic-unet", **TWO}, "--generator is classic-unet, which supports neither labels"),
        ({"initialisation": "normal"}, "--initialisation is normal, but unet has its own"),
        ({"generator_widths": ()}, "--generator-widths is empty"),
        ({"warm_start": 1.5}, "--warm-start is 1.5; it must be between 0 and 1"),
        ({"style_size": -1}, "--style-size is -1"),
        ({"style_size": 8, "style_kind": "colours"}, "--style-size is 8; --style-kind colours needs 5"),
        ({"l1_weight": -1.0}, "--l1-weight is -1"),
        ({"generator_blocks": 0}, "--generator-blocks is 0"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        made(**changes)
    assert "\n" not in str(error.value)
