"""GAN losses, each as two functions of the discriminator's scores.

A score is any real number; positive means real. The discriminator loss is the sum of its terms for real and fake
scores; recipes that use the mean of the two halve it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


def discriminator_cross_entropy(real_scores: Tensor, fake_scores: Tensor, real_label: float = 1.0) -> Tensor:
    """mean [-a log s(D(real)) - (1 - a) log(1 - s(D(real)))] - mean log(1 - s(D(fake))), s the sigmoid, a `real_label`.

    Goodfellow et al., "Generative Adversarial Nets", 2014, eq. 1, with scores before the sigmoid. Labels below 1 are
    one-sided label smoothing: Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.4. The optimal
    discriminator is then s(D) = a p_data / (p_data + p_model), which stays below 1. Smoothing the label 0 of the fakes
    as well would add b p_model to the numerator, which rewards the model where there are no data.

    Args:
        real_scores, fake_scores: any shape, unbounded; positive means real.
        real_label: target for real images, above 0 and at most 1; 0.9 is common.

    Returns:
        Scalar, at least 0; 2 ln 2 when all scores are 0.
    """
    # a softplus(-x) + (1 - a) softplus(x), since softplus(x) = softplus(-x) + x.
    real_losses = F.softplus(-real_scores) + (1.0 - real_label) * real_scores
    return real_losses.mean() + F.softplus(fake_scores).mean()


def generator_minimax(fake_scores: Tensor) -> Tensor:
    """mean log(1 - s(D(fake))) = -mean softplus(D(fake)), s the sigmoid.

    Goodfellow et al., "Generative Adversarial Nets", 2014, eq. 1; the discriminator loss is
    `discriminator_cross_entropy`. Its gradient, -s(D(fake)), vanishes where the discriminator rejects the fakes with
    confidence, as it does early in training. For comparison only.

    Args:
        fake_scores: any shape, unbounded; positive means real.

    Returns:
        Scalar, at most 0; lower when the fakes are classified as real.
    """
    return -F.softplus(fake_scores).mean()


def generator_non_saturating(fake_scores: Tensor) -> Tensor:
    """mean softplus(-D(fake)).

    Goodfellow et al., "Generative Adversarial Nets", 2014, section 3: its gradient is strong where the fakes are
    rejected. The discriminator loss is `discriminator_cross_entropy`.

    Args:
        fake_scores: any shape, unbounded; positive means real.

    Returns:
        Scalar, at least 0.
    """
    return F.softplus(-fake_scores).mean()


def generator_maximum_likelihood(fake_scores: Tensor) -> Tensor:
    """-mean exp(D(fake)).

    Goodfellow, "On Distinguishability Criteria for Estimating Generative Models", 2014, and "NIPS 2016 Tutorial:
    Generative Adversarial Networks", section 3.2.4: the optimal discriminator of `discriminator_cross_entropy` has
    exp(D) = p_data / p_model, and with D held fixed the gradient is that of KL(data, model). A few realistic fakes
    dominate it, so it is noisy. For comparison only.

    Args:
        fake_scores: any shape, unbounded; positive means real. Above 88 the result is infinite in float32.

    Returns:
        Scalar, below 0; lower when the fakes are classified as real.
    """
    return -fake_scores.exp().mean()


def discriminator_least_squares(real_scores: Tensor, fake_scores: Tensor, real_label: float = 1.0) -> Tensor:
    """mean (D(real) - a)^2 + mean D(fake)^2, a the `real_label`.

    Mao et al., "Least Squares Generative Adversarial Networks", 2017, eq. 9 without its factor 1/2.

    Args:
        real_scores, fake_scores: any shape, unbounded; 1 means real, 0 fake.
        real_label: target for real images; below 1 is one-sided label smoothing (Salimans et al., 2016).

    Returns:
        Scalar, at least 0; 1 when all scores are 0.
    """
    return (real_scores - real_label).square().mean() + fake_scores.square().mean()


def generator_least_squares(fake_scores: Tensor) -> Tensor:
    """mean (D(fake) - 1)^2.

    Mao et al., 2017, eq. 9 without its factor 1/2.

    Args:
        fake_scores: any shape, unbounded; 1 means real.

    Returns:
        Scalar, at least 0.
    """
    return (fake_scores - 1.0).square().mean()


def discriminator_hinge(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)).

    Lim and Ye, "Geometric GAN", 2017, eq. 12. Bounded gradients, no saturation.

    Args:
        real_scores, fake_scores: any shape, unbounded; positive means real.

    Returns:
        Scalar, at least 0; 2 when all scores are 0.
    """
    return F.relu(1.0 - real_scores).mean() + F.relu(1.0 + fake_scores).mean()


def generator_hinge(fake_scores: Tensor) -> Tensor:
    """-mean D(fake).

    Lim and Ye, "Geometric GAN", 2017, eq. 13; also the generator loss of a Wasserstein GAN.

    Args:
        fake_scores: any shape, unbounded; positive means real.

    Returns:
        Scalar, unbounded; lower when the fakes are classified as real.
    """
    return -fake_scores.mean()


def critic_wasserstein(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean D(fake) - mean D(real).

    Arjovsky et al., "Wasserstein GAN", 2017, eq. 2. The negative earth mover's distance if D is the optimal 1-Lipschitz
    function; `one_centred_penalty` enforces this (WGAN-GP). The generator loss is `generator_hinge`.

    Args:
        real_scores, fake_scores: any shape, unbounded; only differences are meaningful.

    Returns:
        Scalar, unbounded.
    """
    return fake_scores.mean() - real_scores.mean()


def discriminator_relativistic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean softplus(-(D(real) - D(fake))): each real image should score higher than the fake it is paired with.

    Jolicoeur-Martineau, "The relativistic discriminator", 2019; Huang et al., "The GAN is dead; long live the GAN!",
    2024 (R3GAN), which shows that it needs the zero-centred penalty on real and on fake images.

    Args:
        real_scores, fake_scores: equal shapes, unbounded, paired element by element.

    Returns:
        Scalar, at least 0; ln 2 when all scores are equal.

    Raises:
        ValueError: the shapes differ.
    """
    # Broadcasting (B, 1) against (B,) would silently pair every real image with every fake.
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


class Game(NamedTuple):
    """Discriminator and generator loss. Both functions take (real_scores, fake_scores) and return a scalar."""

    discriminator: Callable[..., Tensor]
    """With `labelled`, also takes `real_label`."""
    generator: Callable[[Tensor, Tensor], Tensor]
    needs_real: bool = False
    """Whether the generator loss uses the real scores; if not, any tensor may be passed for them."""
    labelled: bool = False
    """Whether the discriminator has a target label for real images, which can be smoothed."""
    boundary: float | None = 0.0
    """Score above which an image is classified as real; None if only differences of scores are meaningful."""


def _of_fakes(generator: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Adapt a loss of the fake scores to the common signature."""
    return lambda real_scores, fake_scores: generator(fake_scores)


GAMES: dict[str, Game] = {
    "hinge": Game(discriminator_hinge, _of_fakes(generator_hinge)),
    "minimax": Game(discriminator_cross_entropy, _of_fakes(generator_minimax), labelled=True),
    "non-saturating": Game(discriminator_cross_entropy, _of_fakes(generator_non_saturating), labelled=True),
    "maximum-likelihood": Game(discriminator_cross_entropy, _of_fakes(generator_maximum_likelihood), labelled=True),
    "least-squares": Game(discriminator_least_squares, _of_fakes(generator_least_squares), labelled=True, boundary=0.5),
    "wgan-gp": Game(critic_wasserstein, _of_fakes(generator_hinge), boundary=None),
    "relativistic": Game(discriminator_relativistic, generator_relativistic, needs_real=True, boundary=None),
}
"""All GAN losses by their command-line name."""


def mean_over_scales(
    function: Callable[[Tensor, Tensor], Tensor], real: Sequence[Tensor], fake: Sequence[Tensor]
) -> Tensor:
    """Mean of a loss over the scales, so that all maps have the same weight whatever their size.

    Wang et al., "High-Resolution Image Synthesis ... with Conditional GANs", 2018 (pix2pixHD), eq. 3. Computed in
    float32, because a mean in bfloat16 has three digits.

    Args:
        function: `discriminator` or `generator` of a `Game`.
        real, fake: one map of scores per scale, equally many. A generator loss that does not need real scores ignores
            `real`: pass `fake` twice.

    Returns:
        Scalar, float32.
    """
    values = [
        function(real_scores.float(), fake_scores.float()) for real_scores, fake_scores in zip(real, fake, strict=True)
    ]
    return sum(values[1:], start=values[0]) / len(values)
