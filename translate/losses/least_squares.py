"""The least-squares game: scores are drawn to labels, and a picture far on the right side is drawn back too."""

from torch import Tensor


def discriminator_least_squares(real_scores: Tensor, fake_scores: Tensor, real_label: float = 1.0) -> Tensor:
    """mean (D(real) - a)^2 + mean D(fake)^2, a the `real_label`.

    Mao et al., "Least Squares Generative Adversarial Networks", 2017, eq. 9 without its factor 1/2.

    Args:
        real_scores, fake_scores: any shape, unbounded; 1 means judged real, 0 judged fake.
        real_label: of real pictures; below 1 is one-sided smoothing (Salimans et al., 2016).

    Returns:
        Scalar, at least 0; 1 when the discriminator answers 0 to everything.
    """
    return (real_scores - real_label).square().mean() + fake_scores.square().mean()


def generator_least_squares(fake_scores: Tensor) -> Tensor:
    """mean (D(fake) - 1)^2.

    Mao et al., 2017, eq. 9 without its factor 1/2.

    Args:
        fake_scores: any shape, unbounded; 1 means judged real.

    Returns:
        Scalar, at least 0.
    """
    return (fake_scores - 1.0).square().mean()
