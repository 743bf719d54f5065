"""The non-saturating game: the generator makes its fakes likely to be called real."""

from torch import Tensor
from torch.nn import functional as F


def generator_non_saturating(fake_scores: Tensor) -> Tensor:
    """mean softplus(-D(fake)).

    Goodfellow et al., "Generative Adversarial Nets", 2014, section 3: a gradient that is strong where the fakes are
    found out. The discriminator's side is `discriminator_cross_entropy`.

    Args:
        fake_scores: any shape, unbounded; positive means judged real.

    Returns:
        Scalar, at least 0.
    """
    return F.softplus(-fake_scores).mean()
