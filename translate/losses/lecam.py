"""LeCam: scores of real pictures should stay near those that fakes usually get, and the other way round."""

from torch import Tensor


def lecam(real_scores: Tensor, fake_scores: Tensor, usual_real: Tensor | float, usual_fake: Tensor | float) -> Tensor:
    """mean (D(real) - usual_fake)^2 + mean (D(fake) - usual_real)^2.

    Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", 2021. A discriminator that
    knows few pictures by heart gives scores that lie ever further apart; this holds them together.

    Args:
        real_scores, fake_scores: any shape, unbounded; positive means judged real.
        usual_real, usual_fake: scalars, slow averages of the scores so far.

    Returns:
        Scalar, at least 0.
    """
    return (real_scores - usual_fake).square().mean() + (fake_scores - usual_real).square().mean()
