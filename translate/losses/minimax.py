"""The minimax game: the generator raises the very loss that the discriminator lowers."""

from torch import Tensor
from torch.nn import functional as F


def generator_minimax(fake_scores: Tensor) -> Tensor:
    """mean log(1 - s(D(fake))) = -mean softplus(D(fake)), s the sigmoid.

    Goodfellow et al., "Generative Adversarial Nets", 2014, eq. 1; the discriminator's side is
    `discriminator_cross_entropy`. Its gradient, -s(D(fake)), vanishes where the fakes are found out with confidence,
    which is where learning should begin. Here to be compared with.

    Args:
        fake_scores: any shape, unbounded; positive means judged real.

    Returns:
        Scalar, at most 0; lower when the fakes are taken for real.
    """
    return -F.softplus(fake_scores).mean()
