"""The hinge game: what is on the right side by a margin of 1 counts no more."""

from torch import Tensor
from torch.nn import functional as F


def discriminator_hinge(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)).

    Lim and Ye, "Geometric GAN", 2017, eq. 12. Bounded gradients, no saturation.

    Args:
        real_scores, fake_scores: any shape, unbounded; positive means judged real.

    Returns:
        Scalar, at least 0; 2 when the discriminator answers 0 to everything.
    """
    return F.relu(1.0 - real_scores).mean() + F.relu(1.0 + fake_scores).mean()


def generator_hinge(fake_scores: Tensor) -> Tensor:
    """-mean D(fake).

    Lim and Ye, "Geometric GAN", 2017, eq. 13; the generator of a Wasserstein game has the same.

    Args:
        fake_scores: any shape, unbounded; positive means judged real.

    Returns:
        Scalar, unbounded; lower when the fakes are taken for real.
    """
    return -fake_scores.mean()
