"""Values by hand and gradients by finite differences."""

from math import exp, log

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from translate.losses.adversarial import GAMES, discriminator_hinge, generator_hinge, mean_over_scales
from translate.losses.charbonnier import charbonnier
from translate.losses.feature_matching import feature_matching
from translate.losses.gradient_penalty import zero_centred_penalty
from translate.losses.patch_nce import patch_nce
from translate.losses.style import kl_to_standard_normal


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [
        (numbers(0, 0), numbers(0, 0), 2.0),
        (numbers(1, 5), numbers(-1, -9), 0.0),
        (numbers(0.5, 2), numbers(-0.25, -3), 0.25 + 0.375),
        (numbers(-3), numbers(3, 1), 4.0 + 3.0),
    ],
)
def test_discriminator_hinge(real: Tensor, fake: Tensor, expected: float) -> None:
    assert discriminator_hinge(real, fake).item() == pytest.approx(expected)


def test_generator_hinge() -> None:
    assert generator_hinge(numbers(1, -4)).item() == pytest.approx(1.5)
    assert generator_hinge(torch.full((2, 1, 3, 3), -7.0)).item() == pytest.approx(7.0)


def test_feature_matching() -> None:
    fake = [numbers(1, 2), numbers(0, 0, 0, 4)]
    real = [numbers(0, 4), numbers(0, 0, 0, 0)]
    assert feature_matching(fake, real).item() == pytest.approx((1.5 + 1.0) / 2)
    assert feature_matching(fake, fake).item() == 0.0
    assert feature_matching(fake[:1], real[:1]).item() == pytest.approx(1.5)


def test_feature_matching_needs_as_many_layers() -> None:
    with pytest.raises(ValueError, match="zip"):
        feature_matching([numbers(1), numbers(2)], [numbers(1)])


def test_gradients() -> None:
    torch.manual_seed(0)
    # Spread away from the kinks of the hinge and of the absolute value, where no gradient is defined.
    scores = (0.4 * torch.randn(2, 1, 3, 3, dtype=torch.float64)).clamp(-0.9, 0.9).requires_grad_()
    others = (3.0 + torch.rand(2, 1, 3, 3, dtype=torch.float64)).requires_grad_()
    opposite = (-scores).detach().requires_grad_()
    assert torch.autograd.gradcheck(discriminator_hinge, (scores, opposite))
    assert torch.autograd.gradcheck(discriminator_hinge, (scores, others))
    assert torch.autograd.gradcheck(generator_hinge, (scores,))
    real = [others.detach(), others.detach()[:, :, :2]]
    assert torch.autograd.gradcheck(lambda a, b: feature_matching([a, b[:, :, :2]], real), (scores, opposite))


def test_no_gradient_into_real_features() -> None:
    fake, real = numbers(1, 2).requires_grad_(), numbers(0, 4).requires_grad_()
    feature_matching([fake], [real]).backward()
    assert fake.grad is not None
    assert fake.grad.tolist() == [0.5, -0.5]
    assert real.grad is None


def softplus(value: float) -> float:
    return log(1.0 + exp(value))


@pytest.mark.parametrize(
    ("name", "judge", "maker"),
    [
        ("hinge", (0 + 0.5) / 2 + (0 + 2) / 2, 0.5),
        ("least-squares", (1 + 0.25) / 2 + (4 + 1) / 2, (9 + 0) / 2),
        (
            "non-saturating",
            (softplus(-2) + softplus(-0.5) + softplus(-2) + softplus(1)) / 2,
            (softplus(2) + softplus(-1)) / 2,
        ),
        ("relativistic", (softplus(-4) + softplus(0.5)) / 2, (softplus(4) + softplus(-0.5)) / 2),
    ],
)
def test_games(name: str, judge: float, maker: float) -> None:
    real, fake = numbers(2, 0.5), numbers(-2, 1)
    assert GAMES[name].discriminator(real, fake).item() == pytest.approx(judge)
    assert GAMES[name].generator(real, fake).item() == pytest.approx(maker)


@pytest.mark.parametrize("name", GAMES)
def test_gradients_of_games(name: str) -> None:
    real, fake = numbers(0.3, -0.7, 2.1).requires_grad_(), numbers(-0.2, 0.6, -3.1).requires_grad_()
    for function in GAMES[name][:2]:
        assert gradcheck(function, (real, fake))


@pytest.mark.parametrize("name", GAMES)
def test_needs_real_tells_the_truth(name: str) -> None:
    real, fake = numbers(0.5, 2).requires_grad_(), numbers(-0.2, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(GAMES[name].generator(real, fake), real, allow_unused=True)
    assert (gradient is not None) == GAMES[name].needs_real


@pytest.mark.parametrize("name", GAMES)
def test_gradients_point_the_right_way(name: str) -> None:
    """The discriminator wants real up and fake down, the generator fake up."""
    real, fake = numbers(0.1).requires_grad_(), numbers(-0.2).requires_grad_()
    up, down = torch.autograd.grad(GAMES[name].discriminator(real, fake), (real, fake))
    (wanted,) = torch.autograd.grad(GAMES[name].generator(real, fake), fake)
    assert up < 0
    assert wanted < 0
    # Least squares is content with a fake at 0.
    assert (down < 0) if name == "least-squares" else (down > 0)


def test_relativistic_scores_are_paired() -> None:
    for function in GAMES["relativistic"][:2]:
        with pytest.raises(ValueError, match="paired"):
            function(torch.zeros(2, 1), torch.zeros(2))


def test_games_over_scales() -> None:
    real, fake = [numbers(1, 5), numbers(0)], [numbers(-1, -9), numbers(3)]
    assert mean_over_scales(discriminator_hinge, real, fake).item() == pytest.approx((0.0 + 5.0) / 2)
    assert mean_over_scales(GAMES["hinge"].generator, fake, fake).item() == pytest.approx((5.0 - 3.0) / 2)
    with pytest.raises(ValueError, match="zip"):
        mean_over_scales(discriminator_hinge, real, fake[:1])


@pytest.mark.parametrize("name", GAMES)
def test_games_over_scales_are_precise_under_autocast(name: str) -> None:
    torch.manual_seed(0)
    real, fake = ([torch.randn(2, 1, side, side).bfloat16() for side in (9, 5)] for _ in range(2))
    for function in GAMES[name][:2]:
        expected = mean_over_scales(function, [map.float() for map in real], [map.float() for map in fake])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = mean_over_scales(function, real, fake)
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_zero_centred_penalty_by_hand() -> None:
    # D(x) = mean of the maps 3 x and 5 times the mean of x^2: its gradient is that of 1/2 (3/4 sum x + 5/4 sum x^2).
    pictures_BCHW = torch.tensor([1.0, -2.0]).view(2, 1, 1, 1).repeat(1, 1, 2, 2).requires_grad_()
    scores = [3.0 * pictures_BCHW, 5.0 * pictures_BCHW.square().mean(dim=(1, 2, 3))]
    each = [4 * ((3 / 4 + 5 / 4 * 2 * x) / 2) ** 2 for x in (1.0, -2.0)]
    assert zero_centred_penalty(scores, pictures_BCHW).item() == pytest.approx(sum(each) / 2)


def test_zero_centred_penalty_does_not_depend_on_batch_or_patches() -> None:
    one = torch.randn(1, 1, 4, 4, dtype=torch.float64).requires_grad_()
    many = one.detach().repeat(3, 1, 1, 1).requires_grad_()
    alone = zero_centred_penalty([one.tanh().mean(dim=(1, 2, 3))], one)
    assert zero_centred_penalty([many.tanh()], many).item() == pytest.approx(alone.item())


def test_zero_centred_penalty_can_be_trained_on() -> None:
    torch.manual_seed(0)
    weight = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    pictures_BCHW = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)

    def penalty(weight: Tensor, pictures_BCHW: Tensor) -> Tensor:
        return zero_centred_penalty([torch.conv2d(pictures_BCHW, weight).tanh()], pictures_BCHW)

    assert gradcheck(penalty, (weight, pictures_BCHW))


def test_zero_centred_penalty_needs_the_pictures_gradient() -> None:
    pictures_BCHW, weight = torch.randn(2, 1, 4, 4), torch.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match="require"):
        zero_centred_penalty([pictures_BCHW * weight], pictures_BCHW)


def test_patch_nce_by_hand() -> None:
    query_BPD = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    # Lengths do not matter; each patch scores 1 with its own key and 0 with the other.
    assert patch_nce(query_BPD, 5 * query_BPD, temperature=0.5).item() == pytest.approx(log(1 + exp(-2)))
    assert patch_nce(query_BPD, query_BPD.flip(1), temperature=0.5).item() == pytest.approx(log(1 + exp(2)))
    assert patch_nce(torch.ones(2, 7, 3), torch.ones(2, 7, 3)).item() == pytest.approx(log(7))


def test_patch_nce_looks_at_one_picture_only() -> None:
    torch.manual_seed(0)
    query_BPD, key_BPD = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    each = [patch_nce(query_BPD[i : i + 1], key_BPD[i : i + 1]).item() for i in range(2)]
    assert patch_nce(query_BPD, key_BPD).item() == pytest.approx(sum(each) / 2)


def test_gradients_of_patch_nce() -> None:
    torch.manual_seed(0)
    query_BPD = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    key_BPD = torch.randn(2, 3, 4, dtype=torch.float64)
    assert gradcheck(lambda query: patch_nce(query, key_BPD), (query_BPD,))
    key_BPD.requires_grad_()
    patch_nce(query_BPD, key_BPD).backward()
    assert key_BPD.grad is None


def test_patch_nce_is_precise_under_autocast() -> None:
    torch.manual_seed(0)
    query_BPD, key_BPD = torch.randn(2, 2, 64, 32).bfloat16()
    expected = patch_nce(query_BPD.float(), key_BPD.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = patch_nce(query_BPD, key_BPD)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_patch_nce_patches_are_paired() -> None:
    with pytest.raises(ValueError, match="paired"):
        patch_nce(torch.ones(1, 3, 2), torch.ones(1, 4, 2))


def test_charbonnier() -> None:
    assert charbonnier(numbers(3, 1), numbers(0, 1), epsilon=4).item() == pytest.approx((5 + 4) / 2)
    assert charbonnier(numbers(1), numbers(1)).item() == pytest.approx(1e-3)
    # Defined where the absolute difference is not: at equality.
    same = numbers(1, 2).requires_grad_()
    assert gradcheck(lambda result: charbonnier(result, numbers(1, 3), epsilon=0.1), (same,))
    with pytest.raises(ValueError, match="paired"):
        charbonnier(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


def test_kl_to_standard_normal() -> None:
    mean_BS, logvar_BS = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, log(4)], [0.0, 0.0]])
    assert kl_to_standard_normal(mean_BS, logvar_BS).item() == pytest.approx((0.5 + 0.5 * (3 - log(4))) / 2)
    assert kl_to_standard_normal(torch.zeros(3, 8), torch.zeros(3, 8)).item() == 0.0
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert gradcheck(kl_to_standard_normal, inputs)
