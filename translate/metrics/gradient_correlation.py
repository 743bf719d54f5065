"""Is the structure of the source still there, whatever became of its colours? Needs no true picture.

Shape suffixes: B batch, H height, W width, P pixels.
"""

from kornia.filters import sobel
from torch import Tensor

from translate.metrics.fidelity import check_pairs

_LUMA = (0.299, 0.587, 0.114)
"""BT.601."""


def gradient_correlation(source_B3HW: Tensor, result_B3HW: Tensor) -> Tensor:
    """Pearson correlation, over the pixels of a picture, of the Sobel gradient magnitudes of both lumas.

    Args:
        source_B3HW, result_B3HW: equal shapes, range [0, 1].

    Returns:
        (B,), -1 to 1: 1 where every edge is kept at its relative strength, about 0 where the edges have nothing to do
        with each other or one of the pictures has none.

    Raises:
        ValueError: the shapes differ.
    """
    check_pairs(source_B3HW, result_B3HW)
    first_BP, second_BP = _centred_gradient(source_B3HW), _centred_gradient(result_B3HW)
    # Sobel's own constant under the root leaves flat pictures a spread of rounding errors.
    spread_B = (first_BP.square().sum(dim=1) * second_BP.square().sum(dim=1)).sqrt()
    flat_B = (first_BP.abs().amax(dim=1) < 1e-6) | (second_BP.abs().amax(dim=1) < 1e-6)
    correlation_B = (first_BP * second_BP).sum(dim=1) / spread_B.clamp_min(1e-300)
    return correlation_B.masked_fill(flat_B, 0.0).clamp(-1.0, 1.0).float()


def _centred_gradient(picture_B3HW: Tensor) -> Tensor:
    """Gradient magnitudes of the luma less their mean, (B, P), in float64: sums over a million pixels."""
    weight_311 = picture_B3HW.new_tensor(_LUMA).view(3, 1, 1)
    gradient_BP = sobel((picture_B3HW * weight_311).sum(dim=1, keepdim=True)).flatten(1).double()
    return gradient_BP - gradient_BP.mean(dim=1, keepdim=True)
