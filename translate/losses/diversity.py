"""Diversity: different styles should give different pictures.

Shape suffixes: B batch, C channels, H height, W width, S style.
"""

from torch import Tensor


def diversity(
    first_BCHW: Tensor, second_BCHW: Tensor, first_BS: Tensor, second_BS: Tensor, limit: float = 0.3
) -> Tensor:
    """-mean over the batch of min(mean |first - second| / mean |first style - second style|, limit).

    Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", 2019, section 3; without the limit
    the mode-seeking loss of Mao et al., 2019. Differences are counted up to the limit, or noise would pay. No gradient
    flows into the styles, which would otherwise move together.

    Args:
        first_BCHW, second_BCHW: results from the same sources.
        first_BS, second_BS: the styles they were made with, different ones.
        limit: above 0, in units of the picture over units of the style.

    Returns:
        Scalar, between -limit and 0.
    """
    pictures_B = (first_BCHW - second_BCHW).abs().flatten(1).mean(dim=1)
    styles_B = (first_BS - second_BS).abs().mean(dim=1).detach()
    return -(pictures_B / styles_B).clamp_max(limit).mean()
