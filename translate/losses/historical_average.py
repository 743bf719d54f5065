"""Historical averaging: parameters should stay near their mean over the steps so far.

Shape suffixes: P parameters.
"""

from torch import Tensor


def historical_average(now_P: Tensor, mean_P: Tensor) -> Tensor:
    """Sum of (now - mean)^2 over all parameters.

    Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.3: parameters that oscillate around a
    solution have it near their mean. No gradient flows into `mean_P`.

    Args:
        now_P: all parameters of a network.
        mean_P: their mean over the steps so far.

    Returns:
        Scalar, at least 0.
    """
    return (now_P - mean_P.detach()).square().sum()
