"""The remedies for a game that goes wrong, each by itself.

Shape suffixes: B batch, C channels, H height, W width.
"""

from typing import Any

import pytest
import torch
from test_adversary import Judge, pictures, plain, recorded, settings
from test_adversary import batch_of as adversarial_batch
from test_networks import idle, stirred
from tiny_runs import settings as run_settings
from tiny_runs import trainer_class
from torch import Tensor, nn

from translate.losses.adversarial import discriminator_cross_entropy
from translate.networks.diff_augment import GRID, draw, jigsaw
from translate.networks.minibatch_stddev import MinibatchStdDev
from translate.networks.patchgan import DiscriminatorNorm, PatchGAN
from translate.networks.virtual_batch_norm import VirtualBatchNorm
from translate.tasks import TASKS
from translate.trainers.adversarial import AdversarialGame, DiscriminatorInput, make_discriminator
from translate.trainers.adversarial_state import (
    ADAPTATION_IMAGES,
    EMA_WEIGHT,
    AugmentationController,
    HistoricalAverage,
    ReferenceBatch,
    ScoreEMA,
)
from translate.training.optimisers import OPTIMISERS, ExtraAdam


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


REAL, FAKE = 0.25, -0.5


def game_of(judge: nn.Module | None = None, *, generator: nn.Module | None = None, **changes: Any) -> AdversarialGame:
    return AdversarialGame(settings(**changes), 3, judge or Judge(), generator or nn.Identity())


# --- norms


def test_virtual_batch_by_hand() -> None:
    """The statistics of a picture are those of the references and itself together."""
    norm = VirtualBatchNorm(3, 4, virtual=True)
    reference_BCHW, example_BCHW = pictures(4, 3, 8, 8), 3 * pictures(1, 3, 8, 8) + 1
    together_BCHW = torch.cat([reference_BCHW, example_BCHW])
    variance, mean = torch.var_mean(together_BCHW, dim=(0, 2, 3), correction=0, keepdim=True)
    expected_BCHW = (example_BCHW - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(norm(together_BCHW)[4:], expected_BCHW)


@pytest.mark.parametrize("virtual", [True, False])
def test_the_reference_is_normalised_by_itself(virtual: bool) -> None:
    reference_BCHW, example_BCHW = 2 * pictures(4, 3, 8, 8) + 1, pictures(2, 3, 8, 8)
    expected_BCHW = nn.functional.batch_norm(reference_BCHW, None, None, training=True)
    outcome_BCHW = VirtualBatchNorm(3, 4, virtual)(torch.cat([reference_BCHW, example_BCHW]))
    torch.testing.assert_close(outcome_BCHW[:4], expected_BCHW)
    if not virtual:
        again_BCHW = VirtualBatchNorm(3, 4, virtual)(torch.cat([reference_BCHW, reference_BCHW]))
        torch.testing.assert_close(again_BCHW[4:], expected_BCHW)


@pytest.mark.parametrize("norm", ["reference-batch", "virtual-batch"])
@pytest.mark.parametrize("batch_features", [False, True])
def test_judge_with_a_reference_batch(norm: DiscriminatorNorm, batch_features: bool) -> None:
    network = stirred(PatchGAN(3, 4, 2, scales=2, norm=norm, references=4, batch_features=batch_features))
    reference_BCHW, pictures_BCHW = pictures(4, 3, 32, 32), pictures(3, 3, 32, 32)
    verdict = network(torch.cat([reference_BCHW, pictures_BCHW]))
    assert {len(one) for one in (*verdict.scores, *verdict.features)} == {3}
    torch.stack([one.square().mean() for one in verdict.scores]).sum().backward()
    assert idle(network) == []
    other_BCHW = torch.cat([reference_BCHW, pictures_BCHW[:1], pictures(2, 3, 32, 32)])
    same = torch.equal(network(other_BCHW).scores[0][0], verdict.scores[0][0])
    assert same == (not batch_features)  # the neighbours of a picture count only where they are meant to


def test_reference_is_the_first_real_batch_for_ever() -> None:
    first_BCHW, second_BCHW = pictures(2, 3, 8, 8), pictures(2, 3, 8, 8)
    reference = ReferenceBatch(4, 3, 8)
    reference.keep(first_BCHW)
    reference.keep(second_BCHW)
    assert torch.equal(reference.pictures_RCHW, torch.cat([first_BCHW, first_BCHW]))
    restored = ReferenceBatch(4, 3, 8)
    restored.keep(second_BCHW)
    restored.load_state_dict(reference.state_dict())
    restored.keep(second_BCHW)
    assert torch.equal(restored.pictures_RCHW, reference.pictures_RCHW)
    restored.load_state_dict(ReferenceBatch(4, 3, 8).state_dict())
    restored.keep(second_BCHW)
    assert torch.equal(restored.pictures_RCHW, torch.cat([second_BCHW, second_BCHW]))


def test_batch_spread_by_hand() -> None:
    x_BCHW = torch.zeros(2, 3, 4, 4)
    x_BCHW[0, 0] = 6.0  # a standard deviation of 3 in one channel of three
    outcome_BCHW = MinibatchStdDev()(x_BCHW)
    assert torch.equal(outcome_BCHW[:, :3], x_BCHW)
    torch.testing.assert_close(outcome_BCHW[:, 3], torch.full((2, 4, 4), 1.0), atol=1e-3, rtol=0)
    same_BCHW = plain(0.5).requires_grad_()
    MinibatchStdDev()(same_BCHW).sum().backward()
    assert same_BCHW.grad is not None
    assert same_BCHW.grad.isfinite().all()


def test_batch_features_tell_pictures_that_are_all_alike() -> None:
    judge = make_discriminator(settings(discriminator_batch_features=True, discriminator_norm="none"), 3)
    one_BCHW = pictures(1, 3, 32, 32)
    alone = [score[:1] for score in judge(one_BCHW.expand(2, -1, -1, -1)).scores]
    beside = [score[:1] for score in judge(torch.cat([one_BCHW, -one_BCHW])).scores]
    assert not torch.equal(alone[0], beside[0])


def test_batch_features_never_see_real_and_made_together() -> None:
    judge = Judge()
    game = game_of(judge, discriminator_batch_features=True, negative_weight=0.5)
    game.discriminator_terms(judge, DiscriminatorInput(plain(REAL), plain(FAKE)), 0)
    assert [len(seen_BCHW) for seen_BCHW in judge.seen] == [2, 2, 2]


# --- what the discriminator is shown


def test_pool_keeps_pictures_with_what_they_were_made_from() -> None:
    game = game_of(pool_size=2, image_size=16)
    # Pool of 3 channels here: 1 given and 2 made, filled with one number each.
    for number in range(40):
        made_BCHW = torch.full((1, 2, 16, 16), float(number))
        shown = game.discriminator_input(
            DiscriminatorInput(made_BCHW, made_BCHW.requires_grad_(), made_BCHW[:, :1].detach())
        )
        real_BCHW, fake_BCHW = game.augment(shown)
        assert not fake_BCHW.requires_grad
        assert fake_BCHW.amin() == fake_BCHW.amax()
        assert real_BCHW.amin() == real_BCHW.amax() == number
    assert game.pool is not None
    assert game.pool.pictures_PCHW.amin() > 0


def test_jigsaw_moves_every_tile_and_loses_none() -> None:
    numbered_HW = torch.arange(GRID * GRID).view(GRID, GRID).repeat_interleave(3, 0).repeat_interleave(3, 1)
    picture_BCHW = nn.functional.pad(numbered_HW, (0, 1, 0, 2), value=-1)[None, None]
    mixed_BCHW = jigsaw(picture_BCHW)
    inside = (..., slice(GRID * 3), slice(GRID * 3))
    assert sorted(mixed_BCHW[inside].flatten().tolist()) == sorted(numbered_HW.flatten().tolist())
    assert (mixed_BCHW[inside] != numbered_HW).all()
    assert (mixed_BCHW == -1).sum() == (picture_BCHW == -1).sum()


def test_negative_pictures_are_judged_as_made_ones_with_their_own_source() -> None:
    judge = Judge()
    given_BCHW, real_BCHW = pictures(2, 1, 16, 16), pictures(2, 3, 16, 16)
    shown = DiscriminatorInput(real_BCHW, plain(FAKE).mean() + torch.zeros_like(real_BCHW), given_BCHW)
    terms = game_of(judge, negative_weight=0.4).discriminator_terms(judge, shown, 0)
    (seen_BCHW,) = judge.seen
    negative_BCHW = seen_BCHW[4:]
    assert torch.equal(negative_BCHW[:, :1], given_BCHW)
    assert not torch.equal(negative_BCHW[:, 1:], real_BCHW)
    assert torch.equal(negative_BCHW[:, 1:].flatten(2).sort().values, real_BCHW.flatten(2).sort().values)
    assert terms["negative"].weight == 0.4


def test_augmentation_by_chance() -> None:
    kinds = ("colour", "translation", "cutout")
    same_BCHW = pictures(200, 3, 16, 16)
    never, always, half = (draw(kinds, 200, 16, 16, probability=torch.tensor(p)) for p in (0.0, 1.0, 0.5))
    torch.testing.assert_close(never(same_BCHW), same_BCHW)
    assert (always(same_BCHW) != same_BCHW).flatten(1).any(dim=1).float().mean() > 0.99
    touched = ((half(same_BCHW) - same_BCHW).abs() > 1e-5).flatten(1).any(dim=1).float().mean().item()
    assert 0.8 < touched < 0.95  # each kind by itself: 7 pictures in 8
    torch.manual_seed(5)
    whole_BCHW = draw(kinds, 200, 16, 16)(same_BCHW)
    torch.manual_seed(5)
    assert torch.equal(draw(kinds, 200, 16, 16, probability=torch.tensor(1.0))(same_BCHW), whole_BCHW)


def test_augmentation_controller_holds_the_sign_at_its_target() -> None:
    """A discriminator that is sure of every real picture it sees unaugmented, and of no augmented one."""
    controller = AugmentationController(0.6, boundary=0.5, images=100)
    certain, unsure = [torch.full((100, 1, 2, 2), 0.7)], [torch.zeros(100, 1, 2, 2)]
    for _ in range(2 * ADAPTATION_IMAGES // 100):
        controller.update(certain, unsure)
    assert controller.probability.item() == 1.0
    for _ in range(4 * ADAPTATION_IMAGES // 100):
        right_B = torch.rand(100) > controller.probability
        controller.update([torch.where(right_B, 0.7, 0.3)], unsure)
    assert controller.probability.item() == pytest.approx(0.2, abs=0.1)  # 0.8 right, 0.2 wrong


def test_scores_without_a_line_of_their_own_are_parted_halfway() -> None:
    controller = AugmentationController(0.6, boundary=None, images=1, weight=1.0)
    real, made = torch.tensor([7.0, 9.0, 9.0, 3.0]), torch.tensor([1.0, 3.0, 3.0, 5.0])  # halfway: 5
    controller.update([real.view(4, 1, 1, 1)], [made.view(4, 1, 1, 1)])
    assert controller.sign.item() == 0.5


def test_parts_of_a_batch_move_what_is_usual_as_the_whole_does() -> None:
    controller = game_of(
        adaptive_augmentation=0.6, discriminator_augmentation=("cutout",), batch_size=32, accumulate=4
    ).controller
    assert controller is not None
    assert (1 - controller.weight) ** 4 == pytest.approx(1 - EMA_WEIGHT)
    wrong, right = [torch.full((2, 1, 1, 1), -1.0)], [torch.full((2, 1, 1, 1), 1.0)]
    controller.update(wrong, right)  # a quarter of it in one of four processes
    controller.sign.fill_(1.0)
    controller.update(right, wrong)
    assert controller.probability.item() == pytest.approx(8 / ADAPTATION_IMAGES)


# --- what has to be remembered


def test_usual_scores_are_slow_averages() -> None:
    usual = ScoreEMA()
    for _ in range(1000):
        usual.update([torch.full((2, 1, 3, 3), 2.0), torch.full((2, 1, 1, 1), 4.0)], [torch.full((2, 1, 1, 1), -1.0)])
    assert usual.real.item() == pytest.approx(3.0, rel=1e-3)
    assert usual.fake.item() == pytest.approx(-1.0, rel=1e-3)


def test_lecam_uses_what_was_usual_before() -> None:
    judge = Judge()
    game = game_of(judge, lecam_weight=0.3)
    shown = DiscriminatorInput(plain(REAL), plain(FAKE))
    first, second = (game.discriminator_terms(judge, shown, number)["lecam"] for number in range(2))
    assert (first.weight, first.value.item()) == (0.3, pytest.approx(REAL**2 + FAKE**2))
    expected = (REAL - 0.01 * FAKE) ** 2 + (FAKE - 0.01 * REAL) ** 2
    assert second.value.item() == pytest.approx(expected)


def test_smoothed_labels_reach_the_discriminator() -> None:
    judge, shown = Judge(), DiscriminatorInput(plain(REAL), plain(FAKE))
    scores = [[score] for score in (judge(plain(REAL)).scores[0], judge(plain(FAKE)).scores[0])]
    for label in (1.0, 0.9):
        game = game_of(judge, adversarial="non-saturating", real_label=label)
        expected = discriminator_cross_entropy(scores[0][0], scores[1][0], real_label=label)
        assert game.discriminator_terms(judge, shown, 0)["game"].value.item() == pytest.approx(expected.item())


def test_past_is_the_mean_of_all_steps() -> None:
    network = nn.Linear(1, 1, bias=False)
    past = HistoricalAverage(network)
    distances: list[float] = []
    for value in (1.0, 3.0, 8.0):
        network.weight.data.fill_(value)
        distances.append(past(network).item())
    assert distances == [0.0, pytest.approx(1.0), pytest.approx(16.0)]  # means of 1, 2 and 4


def test_history_pulls_both_networks() -> None:
    judge, generator = Judge(), nn.Conv2d(3, 3, 1)
    game = game_of(judge, generator=generator, historical_weight=2.0)
    shown = DiscriminatorInput(plain(REAL), plain(FAKE))
    for _ in range(2):
        judged, played = game.discriminator_terms(judge, shown, 0), game.generator_terms(judge, generator, shown)
        judge.slope.data.add_(1.0)
        generator.bias.data.add_(1.0)
    assert judged["history"].weight == played["history"].weight == 2.0
    assert judged["history"].value.item() == pytest.approx(0.25)
    assert played["history"].value.item() == pytest.approx(3 * 0.25)


def test_history_leaves_the_faithful_picture_alone() -> None:
    changes = {"historical_weight": 1.0, "adversarial_start": 0.0, "detail_blocks": 1}
    trainer = trainer_class("super-resolution")(run_settings("super-resolution", **changes), TASKS["super-resolution"])
    side, scale = trainer.config.data.image_size, trainer.config.scale
    source_BCHW, target_BCHW = pictures(2, 3, side // scale, side // scale), pictures(2, 3, side, side)
    terms = recorded(trainer, adversarial_batch(source_BCHW, target_BCHW)).terms["generator"]
    sum(term.weight * term.value for term in terms.values()).backward()
    moved = {name for name, weight in trainer.generator.named_parameters() if weight.grad is not None}
    assert moved
    assert all(name.startswith("detail.") for name in moved)


def test_nothing_is_remembered_unless_asked_for() -> None:
    assert not game_of().state_dict()
    everything = game_of(
        pool_size=1, lecam_weight=1.0, adaptive_augmentation=0.6, historical_weight=1.0,
        discriminator_augmentation=("cutout",), discriminator_norm="virtual-batch",
    )  # fmt: skip
    assert {name.split(".")[0] for name in everything.state_dict()} == {
        "pool", "usual", "controller", "past_discriminator", "past_generator", "reference",
    }  # fmt: skip


# --- looking ahead


def test_unrolled_by_hand() -> None:
    """The slope s of the judge after one step on the Wasserstein loss is s + lr (real - fake)."""
    judge = Judge(slope=2.0)
    fake_BCHW = plain(FAKE).requires_grad_()
    game = game_of(judge, adversarial="wgan-gp", unrolled_steps=3, unrolled_lr=0.1, feature_weight=0.0)
    paid = game.generator_terms(judge, nn.Identity(), DiscriminatorInput(plain(REAL), fake_BCHW))["adversarial"].value
    slope = 2.0 + 3 * 0.1 * (REAL - FAKE)
    assert paid.item() == pytest.approx(-slope * FAKE)
    paid.backward()
    assert fake_BCHW.grad is not None
    # Through the score, and through what the judge would learn from these fakes.
    assert fake_BCHW.grad.sum().item() == pytest.approx(-slope + 3 * 0.1 * FAKE)
    assert judge.slope.item() == 2.0


@pytest.mark.parametrize("changes", [{}, {"discriminator_norm": "virtual-batch"}, {"adversarial": "relativistic"}])
def test_unrolling_leaves_the_discriminator_as_it_is(changes: dict[str, Any]) -> None:
    config = settings(**changes)
    judge = make_discriminator(config, 3)
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    shown = DiscriminatorInput(pictures(2, 3, 32, 32), pictures(2, 3, 32, 32).requires_grad_())

    def gradient(steps: int) -> Tensor:
        game = game_of(judge, unrolled_steps=steps, **changes)
        value = game.generator_terms(judge, nn.Identity(), shown, matched=2)["adversarial"].value
        return torch.autograd.grad(value, shown.fake_BCHW)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        ahead_BCHW = gradient(2)
    assert ahead_BCHW.dtype == torch.float32
    for name, value in judge.state_dict().items():
        assert torch.equal(value, before[name])
    assert not torch.allclose(ahead_BCHW, gradient(0), rtol=1e-3, atol=1e-7)


def test_discriminator_moves_more_often() -> None:
    trainer = trainer_class("cut")(run_settings("cut", discriminator_steps=3), TASKS["cut"])
    batches = [adversarial_batch(pictures(2, 3, 32, 32), pictures(2, 3, 32, 32), step=number) for number in range(6)]
    moves = [recorded(trainer, batch).players for batch in batches]
    assert moves == 2 * [["discriminator"], ["discriminator"], ["discriminator", "generator"]]


@pytest.mark.parametrize("name", ["optimistic", "extra-gradient"])
def test_a_step_that_is_not_finite_changes_nothing_for_good(name: str) -> None:
    def walk(*, bad: bool) -> Tensor:
        weight = nn.Parameter(torch.ones(3))
        optimiser: Any = OPTIMISERS[name]([weight], lr=0.1, fused=True)
        for number, slope in enumerate((1.0, 2.0, float("nan"), float("nan"), -1.0, 3.0)):
            if slope != slope and not bad:
                continue
            weight.grad = torch.full((3,), slope)
            optimiser.found_inf, optimiser.grad_scale = torch.tensor(float(slope != slope)), None
            optimiser.extrapolating = number % 2 == 0
            optimiser.step()
        return weight.detach()

    assert torch.equal(walk(bad=True), walk(bad=False))


def test_a_look_and_its_move_bear_the_same_penalties() -> None:
    judge = Judge()
    for optimiser, expected in (("adam", [0, 2, 4]), ("extra-gradient", [0, 1, 4, 5])):
        game = game_of(judge, optimiser=optimiser, r1_weight=1.0, penalty_interval=2)
        shown = DiscriminatorInput(plain(REAL), plain(FAKE))
        assert [step for step in range(6) if "r1" in game.discriminator_terms(judge, shown, step)] == expected


def test_only_what_comes_through_the_game_is_listened_to() -> None:
    judge, made_BCHW = Judge(), plain(FAKE).requires_grad_()
    game = game_of(judge)
    terms = game.generator_terms(judge, nn.Identity(), DiscriminatorInput(plain(REAL), made_BCHW))
    (through_BCHW,) = torch.autograd.grad(terms["adversarial"].value, made_BCHW, retain_graph=True)
    assert game.result_gradient is not None
    assert through_BCHW.any()
    game.result_gradient = None  # as whoever has read it does
    (terms["adversarial"].value + 100.0 * made_BCHW.square().sum()).backward()
    assert game.result_gradient.item() == pytest.approx(through_BCHW.norm().item())


def test_a_look_without_a_step_before_is_adam() -> None:
    """As for a discriminator that enters the game in an odd step."""
    one, other = (nn.Parameter(torch.ones(2)) for _ in range(2))
    late = ExtraAdam([one], lr=0.1)
    late.extrapolating = False
    for weight, optimiser in ((one, late), (other, torch.optim.Adam([other], lr=0.1))):
        weight.grad = torch.ones(2)
        optimiser.step()
    assert torch.equal(one, other)


def test_diversity_compares_two_results_of_one_source() -> None:
    config = run_settings("pix2pix", style_size=3, diversity_weight=8.0)
    trainer = trainer_class("pix2pix")(config, TASKS["pix2pix"])
    stirred(trainer.generator)
    batch = adversarial_batch(pictures(2, 3, 32, 32), pictures(2, 3, 32, 32))
    term = recorded(trainer, batch).terms["generator"]["diversity"]
    assert term.weight == 8.0
    assert -0.3 <= term.value.item() < 0.0
    term.value.backward()
    assert any(weight.grad.any() for weight in trainer.generator.parameters() if weight.grad is not None)
    # The encoder is not paid for moving its styles apart.
    assert not any(weight.grad.any() for weight in trainer.encoder.parameters() if weight.grad is not None)
