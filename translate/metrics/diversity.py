"""How different are several pictures of one thing?

Shape suffixes: K pictures, C channels, H height, W width.
"""

from torch import Tensor


def mean_pairwise_difference(picture_KCHW: Tensor) -> float:
    """Mean absolute difference of two of the pictures, over pixels, channels and all K (K - 1) / 2 pairs.

    The pixel-space counterpart of the diversity score of Zhu et al., "Toward Multimodal Image-to-Image Translation",
    2017, section 4, which averages LPIPS over pairs.

    Args:
        picture_KCHW: at least 2, range [0, 1].

    Returns:
        0 (all equal) to 1.

    Raises:
        ValueError: fewer than two pictures.
    """
    count = len(picture_KCHW)
    if count < 2:
        raise ValueError(f"found {count} pictures, expected 2 or more")
    differences = [
        float((picture_KCHW[first] - picture_KCHW[second]).abs().mean())
        for first in range(count)
        for second in range(first + 1, count)
    ]
    return sum(differences) / len(differences)
