"""The game that all trainers share: what each side is paid for, by hand, and what it may not see.

The other tests of trainers take from here: tiny settings, and what stands in for `fit` and for a discriminator.

Shape suffixes: B batch, C channels, H height, W width.
"""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from translate.errors import ConfigError
from translate.networks.patchgan import DiscriminatorOutput
from translate.trainers.adversarial import AdversarialGame, DiscriminatorInput, make_discriminator
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.base import Batch, Term, Trainer

TINY: dict[str, Any] = {
    "image_size": 32,
    "batch_size": 2,
    "discriminator_width": 8,
    "discriminator_layers": 2,
    "discriminator_scales": 1,
}
"""Settings of networks that take a hundredth of a second a step."""


class Recorder:
    """An `Update` that improves nobody and remembers who was handed what."""

    def __init__(self) -> None:
        self.players: list[str] = []
        self.terms: dict[str, dict[str, Term]] = {}

    def __call__(self, player: str, terms: Mapping[str, Term]) -> None:
        self.players.append(player)
        self.terms[player] = dict(terms)

    def weights(self, player: str) -> dict[str, float]:
        return {name: term.weight for name, term in self.terms[player].items()}

    def value(self, player: str, name: str) -> float:
        return self.terms[player][name].value.item()


class Learner(Recorder):
    """An `Update` that improves the players as `fit` does, at a fixed learning rate."""

    def __init__(self, trainer: Trainer, learning_rate: float = 2e-3):
        super().__init__()
        self.parameters = {
            player: [weight for network in trainer.networks_of(player) for weight in network.parameters()]
            for player in trainer.players
        }
        self.optimizers = {
            player: torch.optim.Adam(weights, learning_rate, betas=(0.5, 0.99))
            for player, weights in self.parameters.items()
            if weights
        }

    def __call__(self, player: str, terms: Mapping[str, Term]) -> None:
        super().__call__(player, terms)
        total(terms).backward(inputs=self.parameters[player])
        self.optimizers[player].step()
        self.optimizers[player].zero_grad()


def total(terms: Mapping[str, Term]) -> Tensor:
    return torch.stack([term.weight * term.value for term in terms.values()]).sum()


def recorded(trainer: Trainer, batch: Batch) -> Recorder:
    """What one step hands over."""
    recorder = Recorder()
    trainer.step(batch, recorder)
    return recorder


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape) * 2 - 1


def batch_of(source_BCHW: Tensor, target_BCHW: Tensor, *, share: float = 0.5, step: int = 0) -> Batch:
    return Batch(source_BCHW, target_BCHW, torch.zeros(len(target_BCHW), dtype=torch.int64), share, step)


class Calls:
    """The sizes of the batches that `network` was called with."""

    def __init__(self, network: nn.Module):
        self.sizes: list[int] = []
        network.register_forward_hook(lambda _, inputs, result: self.sizes.append(len(inputs[0])))


def assert_players_keep_apart(trainer: Trainer, batch: Batch) -> None:
    """The judges' terms do not reach the generators at all, and a backward pass fills the player's own gradients."""
    recorder = recorded(trainer, batch)
    own = {player: [w for n in trainer.networks_of(player) for w in n.parameters()] for player in trainer.players}
    judged = total(recorder.terms["discriminator"])
    reached = torch.autograd.grad(judged, own["generator"], retain_graph=True, allow_unused=True)
    assert all(gradient is None for gradient in reached)
    for player, other in (("discriminator", "generator"), ("generator", "discriminator")):
        trainer.zero_grad()
        total(recorder.terms[player]).backward(inputs=own[player])
        assert all(weight.grad is not None for weight in own[player])
        assert all(weight.grad is None for weight in own[other])


def falls_to(trainer: Trainer, batch: Batch, player: str, name: str, steps: int = 40, **options: float) -> float:
    """The last value of a term over its first, learning one batch by heart."""
    learner = Learner(trainer, **options)
    first = math.nan
    for number in range(steps):
        trainer.step(batch._replace(step=number), learner)
        first = learner.value(player, name) if number == 0 else first
    assert all(weight.isfinite().all() for weight in trainer.parameters())
    return learner.value(player, name) / first


class Judge(nn.Module):
    """Scores a picture by `slope` times its mean over all channels; its only feature is the picture."""

    def __init__(self, slope: float = 1.0):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.seen: list[Tensor] = []

    def forward(self, x_BCHW: Tensor) -> DiscriminatorOutput:
        self.seen.append(x_BCHW.detach())
        return DiscriminatorOutput([self.slope * x_BCHW.mean(dim=(1, 2, 3), keepdim=True)], [x_BCHW])


def plain(value: float, batch: int = 2) -> Tensor:
    return torch.full((batch, 3, 4, 4), value)


def settings(**changes: Any) -> AdversarialConfig:
    return AdversarialConfig.of(**(TINY | changes))


def discriminator_terms(
    config: AdversarialConfig, judge: nn.Module, shown: DiscriminatorInput, step: int
) -> dict[str, Term]:
    return AdversarialGame(config, 3, judge, nn.Identity()).discriminator_terms(judge, shown, step)


def generator_terms(
    config: AdversarialConfig, judge: nn.Module, shown: DiscriminatorInput, *, matched: int = 0
) -> dict[str, Term]:
    return AdversarialGame(config, 3, judge, nn.Identity()).generator_terms(
        judge, nn.Identity(), shown, matched=matched
    )


def augment(config: AdversarialConfig, shown: DiscriminatorInput) -> tuple[Tensor, Tensor]:
    return AdversarialGame(config, 3, nn.Identity(), nn.Identity()).augment(shown)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


REAL, FAKE = 0.25, -0.5


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


BY_HAND = {
    "hinge": ((1 - REAL) + (1 + FAKE), -FAKE),
    "least-squares": ((REAL - 1) ** 2 + FAKE**2, (FAKE - 1) ** 2),
    "non-saturating": (softplus(-REAL) + softplus(FAKE), softplus(-FAKE)),
    "relativistic": (softplus(FAKE - REAL), softplus(REAL - FAKE)),
}


@pytest.mark.parametrize("game", BY_HAND)
def test_game_by_hand(game: str) -> None:
    config = settings(adversarial=game, discriminator_weight=0.5, adversarial_weight=3.0, feature_weight=0.0)
    shown = DiscriminatorInput(plain(REAL), plain(FAKE))
    judged, played = discriminator_terms(config, Judge(), shown, 0), generator_terms(config, Judge(), shown, matched=2)
    assert {name: term.weight for name, term in judged.items()} == {"game": 0.5}
    assert {name: term.weight for name, term in played.items()} == {"adversarial": 3.0}
    found = (judged["game"].value.item(), played["adversarial"].value.item())
    assert found == pytest.approx(BY_HAND[game])


def test_judge_sees_real_and_made_with_what_they_were_made_from_in_one_pass() -> None:
    judge = Judge()
    given_BCHW = pictures(2, 5, 4, 4)
    discriminator_terms(settings(), judge, DiscriminatorInput(plain(REAL), plain(FAKE), given_BCHW), 0)
    (seen_BCHW,) = judge.seen
    expected_BCHW = torch.cat([torch.cat([given_BCHW, plain(REAL)], dim=1), torch.cat([given_BCHW, plain(FAKE)], 1)])
    assert torch.equal(seen_BCHW, expected_BCHW)


@pytest.mark.parametrize(
    ("game", "feature_weight", "matched", "passes"),
    [("hinge", 0.0, 2, 1), ("hinge", 10.0, 0, 1), ("hinge", 10.0, 2, 2), ("relativistic", 0.0, 0, 2)],
)
def test_generator_looks_at_real_pictures_only_where_it_must(
    game: str, feature_weight: float, matched: int, passes: int
) -> None:
    judge = Judge()
    config = settings(adversarial=game, feature_weight=feature_weight)
    generator_terms(config, judge, DiscriminatorInput(plain(REAL), plain(FAKE)), matched=matched)
    assert len(judge.seen) == passes


def test_feature_matching_counts_the_first_pictures_only() -> None:
    real_BCHW = torch.cat([plain(0.25, 1), plain(0.5, 1)])
    fake_BCHW = torch.cat([plain(0.75, 1), plain(-0.5, 1)])
    shown = DiscriminatorInput(real_BCHW, fake_BCHW)
    first = generator_terms(settings(feature_weight=7.0), Judge(), shown, matched=1)["features"]
    both = generator_terms(settings(feature_weight=7.0), Judge(), shown, matched=2)["features"]
    assert first.weight == 7.0
    assert first.value.item() == pytest.approx(0.5)
    assert both.value.item() == pytest.approx((0.5 + 1.0) / 2)


def test_generator_is_not_paid_through_real_pictures() -> None:
    real_BCHW, fake_BCHW = plain(REAL).requires_grad_(), plain(FAKE).requires_grad_()
    config = settings(adversarial="relativistic")
    total(generator_terms(config, Judge(), DiscriminatorInput(real_BCHW, fake_BCHW), matched=2)).backward()
    assert real_BCHW.grad is None
    assert fake_BCHW.grad is not None
    assert fake_BCHW.grad.ne(0).all()


# --- gradient penalties


def test_penalties_come_every_interval_and_weigh_as_much_more() -> None:
    config = settings(r1_weight=6.0, r2_weight=2.0, penalty_interval=4)
    shown = DiscriminatorInput(plain(REAL), plain(FAKE))
    weights = [
        {name: term.weight for name, term in discriminator_terms(config, Judge(), shown, n).items()} for n in range(9)
    ]
    due = {"game": 1.0, "r1": 6.0 / 2 * 4, "r2": 2.0 / 2 * 4}
    assert weights == [due if n % 4 == 0 else {"game": 1.0} for n in range(9)]
    assert list(discriminator_terms(settings(r2_weight=1.0), Judge(), shown, 0)) == ["game", "r2"]
    assert list(discriminator_terms(settings(), Judge(), shown, 0)) == ["game"]


def test_penalty_by_hand() -> None:
    judge = Judge(slope=6.0)
    shown = DiscriminatorInput(plain(REAL), plain(FAKE), plain(0.0))
    terms = discriminator_terms(settings(r1_weight=1.0, r2_weight=1.0), judge, shown, 0)
    # The score is the slope times the mean of 96 values, so the gradient at each of them is slope / 96.
    for name in ("r1", "r2"):
        assert terms[name].value.item() == pytest.approx(6.0**2 / 96)
    (slope_gradient,) = torch.autograd.grad(terms["r1"].value, judge.slope)
    assert slope_gradient.item() == pytest.approx(2 * 6.0 / 96)
    _, penalised_real_BCHW, penalised_fake_BCHW = judge.seen
    assert torch.equal(penalised_real_BCHW[:, 3:], plain(REAL))
    assert torch.equal(penalised_fake_BCHW[:, 3:], plain(FAKE))


def test_penalties_of_real_networks_train_the_judge_in_float32() -> None:
    config = settings(r1_weight=1.0, r2_weight=1.0, discriminator_scales=2)
    discriminator = make_discriminator(config, 3)
    shown = DiscriminatorInput(pictures(2, 3, 32, 32), pictures(2, 3, 32, 32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = discriminator_terms(config, discriminator, shown, 0)
    assert terms["r1"].value.dtype == terms["r2"].value.dtype == torch.float32
    assert terms["r1"].value.item() > 0
    total(terms).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in discriminator.parameters())


# --- augmentation


def test_real_and_made_and_given_are_augmented_alike() -> None:
    config = settings(discriminator_augmentation=("colour", "translation", "cutout"))
    same_BCHW = pictures(4, 3, 32, 32)
    real_BCHW, fake_BCHW = augment(config, DiscriminatorInput(same_BCHW, same_BCHW, same_BCHW))
    assert torch.equal(real_BCHW, fake_BCHW)
    assert not torch.equal(real_BCHW[:, 3:], same_BCHW)
    config = settings(discriminator_augmentation=("translation", "cutout"))
    real_BCHW, fake_BCHW = augment(config, DiscriminatorInput(same_BCHW, same_BCHW, same_BCHW))
    assert torch.equal(real_BCHW[:, :3], real_BCHW[:, 3:])
    assert torch.equal(fake_BCHW[:, :3], fake_BCHW[:, 3:])
    real_BCHW, fake_BCHW = augment(config, DiscriminatorInput(same_BCHW, same_BCHW))
    assert torch.equal(real_BCHW, fake_BCHW)
    assert not torch.equal(real_BCHW, same_BCHW)


def test_both_players_judge_augmented_pictures_and_the_generator_learns_through_it() -> None:
    config = settings(discriminator_augmentation=("translation",))
    # What is moved in from outside is 0, so an augmented mean is smaller than the plain one.
    shown = DiscriminatorInput(torch.full((8, 1, 32, 32), 1.0), torch.full((8, 1, 32, 32), 1.0, requires_grad=True))
    judge = Judge()
    generator_terms(config, judge, shown)["adversarial"].value.backward()
    assert shown.fake_BCHW.grad is not None
    moved_out_BCHW = shown.fake_BCHW.grad.eq(0)
    assert 0 < moved_out_BCHW.sum() < moved_out_BCHW.numel() / 2
    discriminator_terms(config, judge, shown._replace(fake_BCHW=shown.fake_BCHW.detach()), 0)
    assert all(seen_BCHW.eq(0).any() for seen_BCHW in judge.seen)


def test_no_augmentation_unless_asked_for() -> None:
    same_BCHW = pictures(2, 3, 32, 32)
    real_BCHW, fake_BCHW = augment(settings(), DiscriminatorInput(same_BCHW, -same_BCHW))
    assert torch.equal(real_BCHW, same_BCHW)
    assert torch.equal(fake_BCHW, -same_BCHW)


# --- settings


def test_discriminator_is_what_the_settings_say() -> None:
    discriminator = make_discriminator(settings(discriminator_scales=2, discriminator_layers=1), 5)
    verdict = discriminator(pictures(1, 5, 32, 32))
    assert [len(score_B1HW) for score_B1HW in verdict.scores] == [1, 1]
    assert [tuple(feature_BCHW.shape[1:]) for feature_BCHW in verdict.features] == [
        (8, 16, 16), (16, 15, 15), (8, 8, 8), (16, 7, 7),
    ]  # fmt: skip
    assert make_discriminator(settings(discriminator_norm="instance"), 3).state_dict().keys() != (
        make_discriminator(settings(), 3).state_dict().keys()
    )


def test_pictures_too_small_for_the_discriminator() -> None:
    with pytest.raises(ConfigError, match=r"--image-size is 32; .*3 layers and 2 scales needs at least 48") as error:
        make_discriminator(settings(discriminator_layers=3, discriminator_scales=2), 3)
    assert "\n" not in str(error.value)
    make_discriminator(settings(discriminator_layers=3, discriminator_scales=2, image_size=48), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_weight": -1.0}, "--feature-weight is -1; it must be between 0"),
        ({"r1_weight": -0.5}, "--r1-weight is -0.5"),
        ({"penalty_interval": 0}, "--penalty-interval is 0; it must be between 1"),
        ({"discriminator_scales": 0}, "--discriminator-scales is 0"),
        ({"discriminator_layers": 9}, "--discriminator-layers is 9"),
        ({"discriminator_width": 0}, "--discriminator-width is 0"),
    ],
)
def test_settings_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        settings(**changes)
    assert "\n" not in str(error.value)
