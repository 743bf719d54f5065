"""The adversarial games, each as two functions of scores.

A score is any real number; positive means judged real. The discriminator's loss is the plain sum of its part on real
and its part on fake scores; recipes that call for the mean of the two halve it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Game(NamedTuple):
    """What each player lowers. Both functions take (real_scores, fake_scores) and return a scalar."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    needs_real: bool
    """Whether the generator's loss looks at the real scores; if not, anything may be passed for them."""


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

    Lim and Ye, "Geometric GAN", 2017, eq. 13.

    Args:
        fake_scores: any shape, unbounded; positive means judged real.

    Returns:
        Scalar, unbounded; lower when the fakes are taken for real.
    """
    return -fake_scores.mean()


def discriminator_least_squares(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean (D(real) - 1)^2 + mean D(fake)^2.

    Mao et al., "Least Squares Generative Adversarial Networks", 2017, eq. 9 without its factor 1/2.

    Args:
        real_scores, fake_scores: any shape, unbounded; 1 means judged real, 0 judged fake.

    Returns:
        Scalar, at least 0; 1 when the discriminator answers 0 to everything.
    """
    return (real_scores - 1.0).square().mean() + fake_scores.square().mean()


def generator_least_squares(fake_scores: Tensor) -> Tensor:
    """mean (D(fake) - 1)^2.

    Mao et al., 2017, eq. 9 without its factor 1/2.

    Args:
        fake_scores: any shape, unbounded; 1 means judged real.

    Returns:
        Scalar, at least 0.
    """
    return (fake_scores - 1.0).square().mean()


def discriminator_non_saturating(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean softplus(-D(real)) + mean softplus(D(fake)): cross-entropy of the two classes.

    Goodfellow et al., "Generative Adversarial Nets", 2014, eq. 1, with scores before the sigmoid.

    Args:
        real_scores, fake_scores: any shape, unbounded; positive means judged real.

    Returns:
        Scalar, at least 0; 2 ln 2 when the discriminator answers 0 to everything.
    """
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def generator_non_saturating(fake_scores: Tensor) -> Tensor:
    """mean softplus(-D(fake)).

    Goodfellow et al., 2014, section 3: a gradient that is strong where the fakes are found out.

    Args:
        fake_scores: any shape, unbounded; positive means judged real.

    Returns:
        Scalar, at least 0.
    """
    return F.softplus(-fake_scores).mean()


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


def _of_fakes(generator: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Give a loss of the fake scores alone the signature that all games share."""
    return lambda real_scores, fake_scores: generator(fake_scores)


GAMES: dict[str, Game] = {
    "hinge": Game(discriminator_hinge, _of_fakes(generator_hinge), needs_real=False),
    "least-squares": Game(discriminator_least_squares, _of_fakes(generator_least_squares), needs_real=False),
    "non-saturating": Game(discriminator_non_saturating, _of_fakes(generator_non_saturating), needs_real=False),
    "relativistic": Game(discriminator_relativistic, generator_relativistic, needs_real=True),
}
"""Every game by the name it has on the command line."""


def game_over_scales(
    function: Callable[[Tensor, Tensor], Tensor], real: Sequence[Tensor], fake: Sequence[Tensor]
) -> Tensor:
    """Mean over the scales of one player's loss, so that a large map counts no more than a small one.

    Wang et al., "High-Resolution Image Synthesis ... with Conditional GANs", 2018 (pix2pixHD), eq. 3. Computed in
    float32: a mean of bfloat16 keeps three digits.

    Args:
        function: `discriminator` or `generator` of a `Game`.
        real, fake: one map of scores a scale, equally many. A generator that needs no real scores ignores `real`:
            pass `fake` twice.

    Returns:
        Scalar, float32.
    """
    values = [
        function(real_scores.float(), fake_scores.float()) for real_scores, fake_scores in zip(real, fake, strict=True)
    ]
    return sum(values[1:], start=values[0]) / len(values)
