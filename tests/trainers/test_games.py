"""The adversarial games and the terms beside them: values by hand, gradients, and settings that do not go together."""

import math
from typing import Any

import pytest
import torch
from test_adversary import TINY
from tiny_runs import trainer_class
from torch import Tensor
from torch.autograd import gradcheck

from translate.cli.main import main
from translate.errors import ConfigError
from translate.losses.adversarial import GAMES, discriminator_cross_entropy, discriminator_least_squares
from translate.losses.diversity import diversity
from translate.losses.gradient_penalty import interpolate, one_centred_penalty
from translate.losses.historical_average import historical_average
from translate.losses.lecam import lecam
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.config import option_name
from translate.trainers.pix2pix import Pix2PixConfig
from translate.trainers.superres import SuperResConfig


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


REAL, FAKE = numbers(2, 0.5), numbers(-2, 1)
CROSS_ENTROPY = (softplus(-2) + softplus(-0.5) + softplus(-2) + softplus(1)) / 2


@pytest.mark.parametrize(
    ("name", "judge", "maker"),
    [
        ("minimax", CROSS_ENTROPY, -(softplus(-2) + softplus(1)) / 2),
        ("non-saturating", CROSS_ENTROPY, (softplus(2) + softplus(-1)) / 2),
        ("maximum-likelihood", CROSS_ENTROPY, -(math.exp(-2) + math.exp(1)) / 2),
        ("wgan-gp", -0.5 - 1.25, 0.5),
    ],
)
def test_games_by_hand(name: str, judge: float, maker: float) -> None:
    assert GAMES[name].discriminator(REAL, FAKE).item() == pytest.approx(judge)
    assert GAMES[name].generator(REAL, FAKE).item() == pytest.approx(maker)


def test_minimax_is_a_game_of_one_loss() -> None:
    """What the generator lowers is its part of what the discriminator raises."""
    fake = numbers(-0.3, 1.2).requires_grad_()
    (own,) = torch.autograd.grad(GAMES["minimax"].generator(fake, fake), fake)
    (other,) = torch.autograd.grad(GAMES["minimax"].discriminator(REAL, fake), fake)
    assert torch.equal(own, -other)


def test_smoothed_labels_by_hand() -> None:
    real = [0.9 * softplus(-x) + 0.1 * softplus(x) for x in (2.0, 0.5)]
    expected = (sum(real) + softplus(-2) + softplus(1)) / 2
    assert discriminator_cross_entropy(REAL, FAKE, 0.9).item() == pytest.approx(expected)
    expected = ((2 - 0.9) ** 2 + 0.4**2 + 4 + 1) / 2
    assert discriminator_least_squares(REAL, FAKE, 0.9).item() == pytest.approx(expected)


@pytest.mark.parametrize("label", [1.0, 0.9])
def test_best_classifier_of_smoothed_labels(label: float) -> None:
    """Where data and model have densities p and q, s(D) = a p / (p + q) is best: there the loss is level."""
    p, q = 0.3, 0.8
    score = torch.tensor(label * p / (p + q), dtype=torch.float64).logit().requires_grad_()
    away = torch.tensor(99.0, dtype=torch.float64)  # so that only the part of one side counts
    real = discriminator_cross_entropy(score, -away, label)
    fake = discriminator_cross_entropy(away, score, 1.0)
    (slope,) = torch.autograd.grad(p * real + q * fake, score)
    assert slope.item() == pytest.approx(0.0, abs=1e-12)


def test_one_centred_penalty_by_hand() -> None:
    # The score is 3 times the sum of 4 values: the gradient has the length 3 * 2.
    pictures_BCHW = torch.randn(2, 1, 2, 2).requires_grad_()
    assert one_centred_penalty([3 * pictures_BCHW.sum(dim=(1, 2, 3))], pictures_BCHW).item() == pytest.approx(25.0)
    assert one_centred_penalty([0.5 * pictures_BCHW.sum(dim=(1, 2, 3))], pictures_BCHW).item() == pytest.approx(0.0)
    # A discriminator that says nothing has a penalty of 1, and a gradient.
    weight = torch.zeros((), requires_grad=True)
    penalty = one_centred_penalty([weight * pictures_BCHW.sum(dim=(1, 2, 3))], pictures_BCHW)
    assert penalty.item() == pytest.approx(1.0, abs=1e-5)
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.isfinite()


def test_one_centred_penalty_can_be_trained_on() -> None:
    torch.manual_seed(0)
    weight = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    pictures_BCHW = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)

    def penalty(weight: Tensor, pictures_BCHW: Tensor) -> Tensor:
        return one_centred_penalty([torch.conv2d(pictures_BCHW, weight).tanh()], pictures_BCHW)

    assert gradcheck(penalty, (weight, pictures_BCHW))


def test_interpolate() -> None:
    real_BCHW, fake_BCHW = torch.full((3, 1, 1, 1), 8.0), torch.full((3, 1, 1, 1), 4.0)
    assert interpolate(real_BCHW, fake_BCHW, torch.tensor([0.0, 0.25, 1.0])).flatten().tolist() == [4.0, 5.0, 8.0]


def test_lecam() -> None:
    expected = ((2 + 1) ** 2 + (0.5 + 1) ** 2) / 2 + ((-2 - 3) ** 2 + (1 - 3) ** 2) / 2
    assert lecam(REAL, FAKE, real_ema=3.0, fake_ema=-1.0).item() == pytest.approx(expected)
    assert gradcheck(
        lambda a, b: lecam(a, b, 3.0, -1.0), (REAL.clone().requires_grad_(), FAKE.clone().requires_grad_())
    )


def test_historical_average() -> None:
    now, mean = numbers(1, 2, 5).requires_grad_(), numbers(1, 0, 6).requires_grad_()
    assert historical_average(now, mean).item() == pytest.approx(4.0 + 1.0)
    assert gradcheck(lambda now: historical_average(now, mean), (now,))
    historical_average(now, mean).backward()
    assert mean.grad is None


def test_diversity() -> None:
    first_BCHW, second_BCHW = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    second_BCHW[0] = 0.5
    second_BCHW[1] = -3.0
    first_BS, second_BS = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0, -4.0], [0.0, 0.0]])
    # 0.5 over a mean of 3, and 3 over 1, of which 0.3 counts.
    expected = -(0.5 / 3 + 0.3) / 2
    assert diversity(first_BCHW, second_BCHW, first_BS, second_BS).item() == pytest.approx(expected)
    second_BCHW.requires_grad_()
    second_BS.requires_grad_()
    diversity(first_BCHW, second_BCHW, first_BS, second_BS).backward()
    assert second_BS.grad is None
    assert second_BCHW.grad is not None
    assert (second_BCHW.grad[0] < 0).all()  # further away is better
    assert not second_BCHW.grad[1].any()  # far enough


def test_presets_augment_what_the_discriminator_sees_as_much_as_it_takes() -> None:
    for task in ("pix2pix", "cyclegan", "cut"):
        presets = trainer_class(task).presets
        assert presets["modern"].game.adaptive_augmentation == 0.6
        assert presets["modern"].game.discriminator_augmentation == ("translation", "cutout")
        assert presets["classic"].game.adaptive_augmentation == 0.0


NO_PAIR: list[tuple[type, dict[str, Any], str]] = [
    (AdversarialConfig, {"real_label": 0.9}, r"--adversarial hinge has no target labels; .*minimax"),
    (AdversarialConfig, {"real_label": 1.2, "adversarial": "minimax"}, "--real-label is 1.2; it must be between 0.5"),
    (AdversarialConfig, {"adaptive_augmentation": 0.6}, "add --discriminator-augmentation"),
    (AdversarialConfig, {"optimiser": "extra-gradient", "discriminator_steps": 2}, "--discriminator-steps is 2; set"),
    (AdversarialConfig, {"discriminator_batch_features": True, "batch_size": 1}, "use --batch-size 2 or more"),
    (
        AdversarialConfig,
        {"discriminator_norm": "virtual-batch", "accumulate": 2},
        "--discriminator-norm needs batch statistics",
    ),
    (AdversarialConfig, {"unrolled_steps": -1}, "--unrolled-steps is -1"),
    (AdversarialConfig, {"discriminator_steps": 0}, "--discriminator-steps is 0"),
    (AdversarialConfig, {"pool_size": -1}, "--pool-size is -1"),
    (AdversarialConfig, {"lecam_weight": -1.0}, "--lecam-weight is -1"),
    (Pix2PixConfig, {"diversity_weight": 1.0}, "--diversity-weight compares .*add --style-size 8"),
    (
        Pix2PixConfig,
        {"diversity_weight": 1.0, "style_size": 5, "style_kind": "colours"},
        "--diversity-weight compares",
    ),
    (
        SuperResConfig,
        {"discriminator": "srgan", "discriminator_norm": "virtual-batch"},
        "--discriminator srgan .*use --discriminator patch",
    ),
]


@pytest.mark.parametrize(("kind", "changes", "message"), NO_PAIR)
def test_settings_that_do_not_go_together(kind: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        kind.of(**(TINY | changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "discriminator", "other"),
    [
        ("super-resolution", "srgan", {"discriminator_width": 16}),
        ("super-resolution", "srgan", {"discriminator_layers": 2}),
        ("super-resolution", "srgan", {"discriminator_scales": 2}),
        ("pix2pix", "projected", {"discriminator_width": 16}),
        ("pix2pix", "projected", {"discriminator_norm": "none"}),
        ("pix2pix", "projected", {"discriminator_batch_features": True}),
        ("pix2pix", "projected", {"feature_weight": 3.0}),
    ],
)
def test_settings_that_the_discriminator_ignores(task: str, discriminator: str, other: dict[str, Any]) -> None:
    """Whatever the preset has is no fault of the user."""
    for each in trainer_class(task).presets.values():
        assert isinstance(each, AdversarialConfig)
        preset = each.replace(batch_size=2)
        config = preset.replace(discriminator=discriminator)
        config.check_used(preset)
        with pytest.raises(
            ConfigError, match=f"^{option_name(*other)} has no effect on --discriminator {discriminator}; omit"
        ):
            config.replace(**other).check_used(preset)
        beside = "projected+patch" if discriminator == "projected" else "patch"
        preset.replace(**other | {"discriminator": beside}).check_used(preset)


def test_every_setting_is_in_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "sketch-to-photo", "--help-all"]) == 0
    said = capsys.readouterr().out
    for name in (
        "adversarial", "real_label", "gradient_penalty_weight", "discriminator_steps", "unrolled_steps",
        "historical_weight", "pool_size", "lecam_weight", "adaptive_augmentation", "negative_weight",
        "diversity_weight", "discriminator_norm", "discriminator_batch_features", "optimiser", "r1_weight", "r2_weight",
    ):  # fmt: skip
        assert f"{option_name(name)} " in said or f"{option_name(name)}," in said
    together = " ".join(said.replace("│", " ").split())
    for name in (*GAMES, "reference-batch", "virtual-batch", "optimistic", "extra-gradient"):
        assert name in together
