"""pix2pix beside sources without targets: what the discriminator sees, and what the generator learns from.

Shape suffixes: B batch, C channels, D condition, H height, S style, U unpaired, W width.
"""

from typing import Any

import pytest
import torch
from test_adversary import Judge, assert_players_keep_apart, pictures, recorded
from test_pix2pix import TWO, made, some_batch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.losses.edges import unmatched_edges
from translate.trainers.base import Batch, Unpaired
from translate.trainers.cyclegan import CycleGANConfig
from translate.trainers.pix2pix import Pix2PixConfig, rows_like


def batch(labels: tuple[int, int] = (0, 1), label: int = 1, **place: float) -> Batch:
    """Two pairs and one unpaired source."""
    unpaired = Unpaired(pictures(1, 3, 32, 32), torch.tensor([label]))
    return some_batch(**place)._replace(label_B=torch.tensor(labels), unpaired=unpaired)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_terms_by_hand() -> None:
    trainer = made(**TWO, adversarial_weight=3.0, unpaired_edge_weight=5.0)
    trainer.discriminator = judge = Judge()
    step_batch = batch()
    assert step_batch.unpaired is not None
    source_UCHW, label_U = step_batch.unpaired
    with torch.no_grad():
        paired_BCHW = trainer.generator(step_batch.source_BCHW, F.one_hot(step_batch.label_B, 2).float())
        loose_UCHW = trainer.generator(source_UCHW, F.one_hot(label_U, 2).float())
    step = recorded(trainer, step_batch)
    # Each result counts as much as without unpaired ones: the mean is over three, the weight for two.
    assert step.weights("generator") == {
        "adversarial": 3.0 * 3 / 2, "features": 10.0, "l1": 10.0, "unpaired_edges": 5.0 / 2,
    }  # fmt: skip
    l1 = (paired_BCHW - step_batch.target_BCHW).abs().mean().item()
    assert step.value("generator", "l1") == pytest.approx(l1, rel=1e-4)
    edges = unmatched_edges(source_UCHW, loose_UCHW).item()
    assert step.value("generator", "unpaired_edges") == pytest.approx(edges, rel=1e-4)
    real_BCHW, fake_BCHW = judge.seen[0].chunk(2)
    scores_B = fake_BCHW.mean(dim=(1, 2, 3))
    assert step.value("generator", "adversarial") == pytest.approx(-scores_B.mean().item(), abs=1e-5)
    hinge = F.relu(1 - real_BCHW.mean(dim=(1, 2, 3))).mean() + F.relu(1 + scores_B).mean()
    assert step.value("discriminator", "game") == pytest.approx(hinge.item(), rel=1e-4)


def test_discriminator_sees_their_results_and_real_images_without_a_source() -> None:
    trainer = made(**TWO)
    trainer.discriminator = judge = Judge()
    step_batch = batch(labels=(1, 0), label=0)
    recorded(trainer, step_batch)
    real_BCHW, fake_BCHW = judge.seen[0].chunk(2)
    for seen_BCHW in (real_BCHW, fake_BCHW):
        assert torch.equal(seen_BCHW[:2, :3], step_batch.source_BCHW)
        assert not seen_BCHW[2:, :3].any()
        assert seen_BCHW[:, 3:5].amax(dim=(2, 3)).tolist() == [[0, 1], [1, 0], [1, 0]]
    assert torch.equal(real_BCHW[:2, 5:], step_batch.target_BCHW)
    assert torch.equal(real_BCHW[2, 5:], step_batch.target_BCHW[1])  # the one with the same label
    assert len(judge.seen[1]) == 3


@pytest.mark.parametrize("pool_size", [0, 50])
def test_real_images_keep_their_own_label_if_none_has_the_same(pool_size: int) -> None:
    trainer = made(**TWO, pool_size=pool_size)
    trainer.discriminator = judge = Judge()
    recorded(trainer, batch(labels=(0, 0), label=1))
    real_BCHW, fake_BCHW = judge.seen[0].chunk(2)
    assert real_BCHW[2, 3:5].amax(dim=(1, 2)).tolist() == [1, 0]
    assert fake_BCHW[2, 3:5].amax(dim=(1, 2)).tolist() == [0, 1]


def test_rows_have_the_label_and_are_drawn_at_random() -> None:
    label_B = torch.tensor([0, 1, 0, 1, 1])
    rows_NU = torch.stack([rows_like(torch.tensor([0, 1]), label_B) for _ in range(100)])
    assert [sorted(set(rows_NU[:, place].tolist())) for place in (0, 1)] == [[0, 2], [1, 3, 4]]
    others = {int(rows_like(torch.tensor([2]), label_B)) for _ in range(100)}
    assert others == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("kind", "size"), [("colours", 5), ("learned", 2)])
def test_styles_are_those_of_images_of_the_batch(kind: str, size: int) -> None:
    trainer = made(**TWO, style_size=size, style_kind=kind)
    conditions: list[Tensor] = []
    trainer.generator.register_forward_hook(lambda _, inputs, result: conditions.append(inputs[1]))
    step = recorded(trainer, batch(labels=(1, 0), label=0))
    condition_BD = conditions[0]
    assert len(condition_BD) == (3 if kind == "colours" else 5)
    assert torch.equal(condition_BD[-1], condition_BD[1])
    assert not torch.equal(condition_BD[-1], condition_BD[0])
    assert step.terms["generator"]["unpaired_edges"].value.isfinite()
    assert len(conditions) == 1


def test_nothing_is_learnt_from_them_during_the_warm_start() -> None:
    trainer = made(warm_start=0.25, **TWO)
    assert list(recorded(trainer, batch(share=0.2)).terms["generator"]) == ["l1"]
    assert "unpaired_edges" in recorded(trainer, batch(share=0.3)).terms["generator"]


@pytest.mark.parametrize("options", [{}, {"style_size": 2}, {"adversarial": "relativistic", "r1_weight": 1.0}])
def test_players_keep_apart(options: dict[str, Any]) -> None:
    assert_players_keep_apart(made(**TWO, **options), batch())


def test_a_step_without_them_draws_no_more_random_numbers() -> None:
    trainer = made(**TWO)
    for unpaired, equal in ((None, True), (batch().unpaired, False)):
        torch.manual_seed(3)
        recorded(trainer, some_batch()._replace(label_B=torch.tensor([0, 1]), unpaired=unpaired))
        after = torch.rand(())
        torch.manual_seed(3)
        some_batch()
        torch.rand(2, 7), torch.rand(2, 7)  # the augmentation of the two players
        assert torch.equal(torch.rand(()), after) == equal


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Pix2PixConfig, {"unpaired_share": 0.0}, "--unpaired-share is 0; it must be above 0 and at most 1"),
        (Pix2PixConfig, {"unpaired_share": 1.5}, "--unpaired-share is 1.5"),
        (Pix2PixConfig, {"unpaired_label": "shoe"}, "--unpaired-label is for the pictures of --unpaired-sources"),
        (Pix2PixConfig, {"unpaired_edge_weight": -1.0}, "--unpaired-edge-weight is -1"),
        (CycleGANConfig, {"unpaired_sources": "drawings"}, "--unpaired-sources is for pix2pix and sketch-to-photo"),
    ],
)
def test_settings_that_do_not_go_together(kind: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        kind.of(**changes)
    assert "\n" not in str(error.value)
