"""The relativistic game: is the real picture more real than the fake it is paired with?"""

from torch import Tensor
from torch.nn import functional as F


def discriminator_relativistic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean softplus(-(D(real) - D(fake))): real should score higher than the fake it is paired with.

    Jolicoeur-Martineau, "The relativistic discriminator", 2019; Huang et al., "The GAN is dead; long live the GAN!",
    2024 (R3GAN), which shows that it needs the zero-centred penalty on real and on fake pictures.

    Args:
        real_scores, fake_scores: equal shapes, unbounded, paired element by element.

    Returns:
        Scalar, at least 0; ln 2 when all scores are equal.

    Raises:
        ValueError: the shapes differ.
    """
    # Broadcasting (B, 1) against (B,) would pair every real picture with every fake without a word.
    if real_scores.shape != fake_scores.shape:
        raise ValueError(f"scores are paired: found {tuple(real_scores.shape)} and {tuple(fake_scores.shape)}")
    return F.softplus(fake_scores - real_scores).mean()


def generator_relativistic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean softplus(-(D(fake) - D(real))): the mirror of `discriminator_relativistic`.

    Args:
        real_scores, fake_scores: equal shapes, unbounded, paired element by element.

    Returns:
        Scalar, at least 0; ln 2 when all scores are equal.

    Raises:
        ValueError: the shapes differ.
    """
    return discriminator_relativistic(fake_scores, real_scores)
