"""The adversarial games, each as two functions of scores.

A score is any real number; positive means judged real. The discriminator's loss is the plain sum of its part on real
and its part on fake scores; recipes that call for the mean of the two halve it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from translate.losses.cross_entropy import discriminator_cross_entropy
from translate.losses.hinge import discriminator_hinge, generator_hinge
from translate.losses.least_squares import discriminator_least_squares, generator_least_squares
from translate.losses.maximum_likelihood import generator_maximum_likelihood
from translate.losses.minimax import generator_minimax
from translate.losses.non_saturating import generator_non_saturating
from translate.losses.relativistic import discriminator_relativistic, generator_relativistic
from translate.losses.wasserstein import critic_wasserstein


class Game(NamedTuple):
    """What each player lowers. Both functions take (real_scores, fake_scores) and return a scalar."""

    discriminator: Callable[..., Tensor]
    """With `labelled`, also takes `real_label`."""
    generator: Callable[[Tensor, Tensor], Tensor]
    needs_real: bool = False
    """Whether the generator's loss looks at the real scores; if not, anything may be passed for them."""
    labelled: bool = False
    """Whether real pictures have a label, which can be smoothed."""
    boundary: float | None = 0.0
    """Score above which a picture is judged real; None if only differences of scores mean anything."""


def _of_fakes(generator: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Give a loss of the fake scores alone the signature that all games share."""
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
