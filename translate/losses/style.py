"""KL loss that keeps encoded styles close to the distribution they are sampled from.

Shape suffixes: B batch, S style.
"""

from torch import Tensor


def kl_to_standard_normal(mean_BS: Tensor, logvar_BS: Tensor) -> Tensor:
    """Mean over the batch of 1/2 sum (mean^2 + exp(logvar) - 1 - logvar): KL(N(mean, exp(logvar)) || N(0, 1)).

    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.

    Args:
        mean_BS: mean of every component, unbounded.
        logvar_BS: natural logarithm of its variance, unbounded.

    Returns:
        Scalar in nats, at least 0; 0 for the standard normal.
    """
    return 0.5 * (mean_BS.square() + logvar_BS.exp() - 1.0 - logvar_BS).sum(dim=1).mean()
