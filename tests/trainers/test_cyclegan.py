"""CycleGAN: six passes, four judgements, there and back again.

Shape suffixes: B batch, C channels, H height, W width.
"""

from typing import Any

import pytest
import torch
from test_adversary import (
    TINY,
    Calls,
    Judge,
    Recorder,
    assert_players_keep_apart,
    batch_of,
    falls_to,
    pictures,
    recorded,
    total,
)
from test_networks import stirred
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.networks.pixels import PixelTranslator
from translate.tasks import TASKS
from translate.trainers.base import Batch, pixel_translator
from translate.trainers.cyclegan import CycleGAN, CycleGANConfig

TASK = TASKS["cyclegan"]


def made(**changes: Any) -> CycleGAN:
    unet = {"generator_widths": (8, 16), "generator_blocks": 1}
    return CycleGAN(CycleGANConfig.of(**(TINY | unet | changes)), TASK)


def some_batch(channels: tuple[int, int] = (3, 3), size: int = 2) -> Batch:
    return batch_of(pictures(size, channels[0], 32, 32), pictures(size, channels[1], 32, 32))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_step_judges_first_and_calls_the_generators_six_times() -> None:
    trainer = made(adversarial_weight=2.0, cycle_weight=7.0, identity_weight=3.0, discriminator_weight=0.5)
    calls = [Calls(network) for network in (trainer.generator, trainer.back_generator)]
    step = recorded(trainer, some_batch())
    assert step.players == ["discriminator", "generator"]
    assert step.weights("discriminator") == {"game": 0.5, "back_game": 0.5}
    assert step.weights("generator") == {
        "adversarial": 2.0, "back_adversarial": 2.0,
        "cycle": 7.0, "back_cycle": 7.0,
        "identity": 3.0, "back_identity": 3.0,
    }  # fmt: skip
    assert [call.sizes for call in calls] == [[2, 2, 2], [2, 2, 2]]


def test_step_by_hand() -> None:
    trainer = made(adversarial="least-squares")
    stirred(trainer.generator)
    stirred(trainer.back_generator)
    trainer.discriminator, trainer.back_discriminator = judge, back_judge = Judge(), Judge()
    batch = some_batch()
    source_BCHW, target_BCHW = batch.source_BCHW, batch.target_BCHW
    with torch.no_grad():
        there_BCHW, back_BCHW = trainer.generator(source_BCHW), trainer.back_generator(target_BCHW)
        expected = {
            "cycle": F.l1_loss(trainer.back_generator(there_BCHW), source_BCHW),
            "back_cycle": F.l1_loss(trainer.generator(back_BCHW), target_BCHW),
            "identity": F.l1_loss(trainer.generator(target_BCHW), target_BCHW),
            "back_identity": F.l1_loss(trainer.back_generator(source_BCHW), source_BCHW),
            "adversarial": (there_BCHW.mean((1, 2, 3)) - 1).square().mean(),
            "back_adversarial": (back_BCHW.mean((1, 2, 3)) - 1).square().mean(),
        }
        games = {
            "game": (target_BCHW.mean((1, 2, 3)) - 1).square().mean() + there_BCHW.mean((1, 2, 3)).square().mean(),
            "back_game": (source_BCHW.mean((1, 2, 3)) - 1).square().mean() + back_BCHW.mean((1, 2, 3)).square().mean(),
        }
    step = recorded(trainer, batch)
    for player, values in (("generator", expected), ("discriminator", games)):
        found = {name: term.value.item() for name, term in step.terms[player].items()}
        assert found == pytest.approx({name: value.item() for name, value in values.items()}, rel=1e-4)
    # Each judge sees the pictures of its own side: real and made, then made again for the generator.
    sides = ((judge, target_BCHW, there_BCHW), (back_judge, source_BCHW, back_BCHW))
    for one, real_BCHW, fake_BCHW in sides:
        torch.testing.assert_close(one.seen[0], torch.cat([real_BCHW, fake_BCHW]))
        torch.testing.assert_close(one.seen[1], fake_BCHW)


def test_nothing_is_matched_to_the_target() -> None:
    assert "features" not in recorded(made(feature_weight=10.0), some_batch()).terms["generator"]


def test_identity_can_be_left_out() -> None:
    trainer = made(identity_weight=0.0)
    calls = Calls(trainer.generator)
    assert "identity" not in recorded(trainer, some_batch()).terms["generator"]
    assert len(calls.sizes) == 2


def test_starts_as_the_identity() -> None:
    step = recorded(made(), some_batch())
    assert {step.value("generator", name) for name in ("cycle", "back_cycle", "identity", "back_identity")} == {0.0}


def test_judges_are_shown_pooled_pictures_and_the_generators_new_ones() -> None:
    trainer = made(pool_size=1)
    trainer.discriminator = judge = Judge()
    shown = []
    for _ in range(12):
        batch = some_batch(size=1)
        with torch.no_grad():
            new_BCHW = trainer.generator(batch.source_BCHW)
        recorded(trainer, batch)
        judged_BCHW, played_BCHW = judge.seen[-2:]
        assert torch.equal(played_BCHW, new_BCHW)
        shown.append(torch.equal(judged_BCHW[1:], new_BCHW))
    assert shown[0]
    assert 0 < sum(shown) < 12


def test_pools_are_part_of_the_snapshot() -> None:
    trainer = made(pool_size=3)
    recorded(trainer, batch := some_batch())
    state = trainer.state_dict()
    assert state["game.pool.filled"] == state["back_game.pool.filled"] == 2
    torch.testing.assert_close(state["game.pool.pictures_PCHW"][:2], batch.source_BCHW)  # still the identity
    torch.testing.assert_close(state["back_game.pool.pictures_PCHW"][:2], batch.target_BCHW)


@pytest.mark.parametrize("options", [{}, {"pool_size": 1}, {"adversarial": "relativistic", "r1_weight": 1.0}])
def test_players_keep_apart(options: dict[str, Any]) -> None:
    trainer = made(**options)
    recorded(trainer, some_batch())
    assert_players_keep_apart(trainer, some_batch())


@pytest.mark.parametrize("generator", ["unet", "resnet"])
def test_learns_one_batch_by_heart(generator: str) -> None:
    """Away from the identity first, so that there is something to learn."""
    trainer = made(generator=generator, generator_width=8, pool_size=4, adversarial_weight=0.1, identity_weight=0.0)
    stirred(trainer.generator)
    stirred(trainer.back_generator)
    smooth_BCHW = F.interpolate(pictures(4, 3, 4, 4), 32, mode="bilinear")
    batch = batch_of(*smooth_BCHW.chunk(2))
    assert falls_to(trainer, batch, "generator", "cycle") < 0.75
    assert recorded(trainer, batch).value("generator", "back_cycle") < 0.5


@pytest.mark.parametrize("channels", [(1, 3), (4, 1)])
def test_other_channels_go_without_the_identity(channels: tuple[int, int]) -> None:
    trainer = made(channels=f"{channels[0]}:{channels[1]}", pool_size=2)
    step = recorded(trainer, some_batch(channels))
    assert list(step.terms["generator"]) == ["adversarial", "back_adversarial", "cycle", "back_cycle"]
    assert total(step.terms["generator"]).isfinite()
    for direction, (before, after) in {"forward": channels, "back": channels[::-1]}.items():
        spec = trainer.spec_of(direction)
        assert (spec.input_channels, spec.output_channels) == (before, after)
        translator: PixelTranslator = pixel_translator(trainer.get_submodule(trainer.directions[direction]), spec)
        assert translator(torch.zeros(1, 5, 7, before, dtype=torch.uint8)).shape == (1, 5, 7, after)


def test_back_direction_has_its_own_name_and_bits() -> None:
    forward, back = (made(channels="1x16:3").spec_of(direction) for direction in CycleGAN.directions)
    assert (forward.name, back.name) == ("cyclegan", "cyclegan-back")
    assert (forward.input_bits, forward.output_bits) == (16, 8) == (back.output_bits, back.input_bits)


def test_plays_against_the_improved_judges() -> None:
    trainer = made()
    trainer.discriminator, trainer.back_discriminator = judges = (Judge(), Judge())
    batch = some_batch()

    class Improver(Recorder):
        def __call__(self, player: str, terms: Any) -> None:
            super().__call__(player, terms)
            for judge in judges:
                judge.slope.data.fill_(0.0)

    step = Improver()
    trainer.step(batch, step)
    assert step.value("generator", "adversarial") == step.value("generator", "back_adversarial") == 0.0


def test_all_networks_belong_to_a_player() -> None:
    trainer = made(pool_size=2)
    weights = [id(w) for player in trainer.players for n in trainer.networks_of(player) for w in n.parameters()]
    assert len(set(weights)) == len(weights)
    assert set(weights) == {id(weight) for weight in trainer.parameters()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": True}, "--labels needs pairs; omit it, or train with pix2pix"),
        ({"image_size": 34}, "--image-size is 34; this generator needs a multiple of 4"),
        ({"discriminator_scales": 3}, "needs at least 48"),
        ({"initialisation": "xavier"}, "--initialisation is xavier, but unet has its own"),
        ({"cycle_weight": -1.0}, "--cycle-weight is -1"),
        ({"pool_size": -1}, "--pool-size is -1"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        made(**changes)
    assert "\n" not in str(error.value)
