"""LeCam regularisation: scores of real images should stay near the average score of fakes, and vice versa."""

from torch import Tensor


def lecam(real_scores: Tensor, fake_scores: Tensor, real_ema: Tensor | float, fake_ema: Tensor | float) -> Tensor:
    """mean (D(real) - fake_ema)^2 + mean (D(fake) - real_ema)^2.

    Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", 2021. The scores of a discriminator
    that overfits on few images drift apart; this keeps them together.

    Args:
        real_scores, fake_scores: any shape, unbounded; positive means real.
        real_ema, fake_ema: scalars, EMAs of the scores.

    Returns:
        Scalar, at least 0.
    """
    return (real_scores - fake_ema).square().mean() + (fake_scores - real_ema).square().mean()
