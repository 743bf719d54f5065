"""Values by hand and gradients by finite differences."""

import pytest
import torch
from torch import Tensor

from translate.losses.adversarial import discriminator_hinge, generator_hinge
from translate.losses.feature_matching import feature_matching


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
