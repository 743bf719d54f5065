"""The Wasserstein game: how far is it from the fakes to the data?"""

from torch import Tensor


def critic_wasserstein(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean D(fake) - mean D(real).

    Arjovsky et al., "Wasserstein GAN", 2017, eq. 2. The negative of the earth mover's distance if D is the best
    function of slope 1 at most; `one_centred_penalty` holds it there (WGAN-GP). The generator lowers
    `generator_hinge`.

    Args:
        real_scores, fake_scores: any shape, unbounded; only differences mean anything.

    Returns:
        Scalar, unbounded.
    """
    return fake_scores.mean() - real_scores.mean()
