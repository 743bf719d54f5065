"""Historical averaging: a player should stay near the mean of all it has been.

Shape suffixes: P parameters.
"""

from torch import Tensor


def historical_average(now_P: Tensor, mean_P: Tensor) -> Tensor:
    """Sum of (now - mean)^2 over all parameters.

    Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.3: players that circle around the
    solution have it near their mean. No gradient flows into `mean_P`.

    Args:
        now_P: all parameters of a player.
        mean_P: their mean over the steps so far.

    Returns:
        Scalar, at least 0.
    """
    return (now_P - mean_P.detach()).square().sum()
