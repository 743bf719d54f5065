"""The maximum-likelihood game: against the best discriminator, the generator lowers KL(data, model)."""

from torch import Tensor


def generator_maximum_likelihood(fake_scores: Tensor) -> Tensor:
    """-mean exp(D(fake)).

    Goodfellow, "On Distinguishability Criteria for Estimating Generative Models", 2014, and "NIPS 2016 Tutorial:
    Generative Adversarial Networks", section 3.2.4: the best discriminator of `discriminator_cross_entropy` has
    exp(D) = p_data / p_model, and with D held fixed the gradient is that of KL(data, model). A few fakes that look
    real decide all of it, so it is noisy. Here to be compared with.

    Args:
        fake_scores: any shape, unbounded; positive means judged real. Above 88 the result is infinite in float32.

    Returns:
        Scalar, below 0; lower when the fakes are taken for real.
    """
    return -fake_scores.exp().mean()
