"""Diversity loss: different styles should give different outputs.

Shape suffixes: B batch, C channels, H height, W width, S style.
"""

from torch import Tensor


def diversity(
    first_BCHW: Tensor, second_BCHW: Tensor, first_BS: Tensor, second_BS: Tensor, limit: float = 0.3
) -> Tensor:
    """-mean over the batch of min(mean |first - second| / mean |first style - second style|, limit).

    Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", 2019, section 3; without the limit
    it is the mode-seeking loss of Mao et al., 2019. Without a limit, adding noise would lower the loss. No gradient
    flows into the styles, which would otherwise move closer together.

    Args:
        first_BCHW, second_BCHW: outputs for the same sources.
        first_BS, second_BS: their styles, which differ.
        limit: above 0, in units of the image over units of the style.

    Returns:
        Scalar, between -limit and 0.
    """
    pictures_B = (first_BCHW - second_BCHW).abs().flatten(1).mean(dim=1)
    styles_B = (first_BS - second_BS).abs().mean(dim=1).detach()
    return -(pictures_B / styles_B).clamp_max(limit).mean()
