"""How close a picture is to the one true answer, pixel by pixel and structure by structure.

Shape suffixes: B batch, C channels, H height, W width.
"""

from torch import Tensor

PSNR_CAP = 100.0
"""Decibels given to pictures that are equal or differ by less, so that one of them leaves a mean finite."""


def psnr(result_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio: -10 log10(mean squared difference), over all channels of one picture.

    Args:
        result_BCHW, truth_BCHW: equal shapes, range [0, 1].

    Returns:
        (B,), decibels, 0 to `PSNR_CAP`; more is closer.

    Raises:
        ValueError: the shapes differ.
    """
    # Imported late: torchmetrics brings everything it has along, which takes seconds.
    from torchmetrics.functional.image import peak_signal_noise_ratio

    check_pairs(result_BCHW, truth_BCHW)
    decibels_B = peak_signal_noise_ratio(result_BCHW, truth_BCHW, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return decibels_B.clamp(max=PSNR_CAP)


def ssim(result_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Structural similarity in Gaussian windows of 11 pixels (sigma 1.5), mean over places and channels.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, eq. 13 with K1 =
    0.01 and K2 = 0.03.

    Args:
        result_BCHW, truth_BCHW: equal shapes, range [0, 1], sides at least 11.

    Returns:
        (B,), -1 to 1; 1 for equal pictures.

    Raises:
        ValueError: the shapes differ.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    check_pairs(result_BCHW, truth_BCHW)
    similarity = structural_similarity_index_measure(result_BCHW, truth_BCHW, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor)  # a tuple only if more than the number is asked for
    return similarity.reshape(-1)


def psnr_luma(result_B3HW: Tensor, truth_B3HW: Tensor, border: int) -> Tensor:
    """PSNR of the BT.601 luma alone, Y = (65.481 R + 128.553 G + 24.966 B + 16) / 255, without the rim.

    The figure that tables of super-resolution publish; nothing is rounded here, so give pictures as files hold them.

    Args:
        result_B3HW, truth_B3HW: red, green, blue, equal shapes, range [0, 1].
        border: pixels shaved off each side, customarily the scale; less than half of the shorter side.

    Returns:
        (B,), decibels, 0 to `PSNR_CAP`; more is closer.

    Raises:
        ValueError: the shapes differ, the channels are not three, or nothing is left within the border.
    """
    check_pairs(result_B3HW, truth_B3HW)
    _, channels, height, width = result_B3HW.shape
    if channels != 3 or border < 0 or 2 * border >= min(height, width):
        raise ValueError(f"found {tuple(result_B3HW.shape)} and border {border}, expected 3 channels and pixels left")
    inside = (slice(None), slice(None), slice(border, height - border), slice(border, width - border))
    return psnr(_luma(result_B3HW[inside]), _luma(truth_B3HW[inside]))


def _luma(picture_B3HW: Tensor) -> Tensor:
    """BT.601 luma, (B, 1, H, W), 16/255 (black) to 235/255 (white)."""
    weight_311 = picture_B3HW.new_tensor([65.481, 128.553, 24.966]).view(3, 1, 1)
    return ((picture_B3HW * weight_311).sum(dim=1, keepdim=True) + 16.0) / 255.0


def check_pairs(result_BCHW: Tensor, truth_BCHW: Tensor) -> None:
    """Raise ValueError unless the shapes are equal."""
    # Broadcasting would compare one truth to all results, or grey to colour, without a word.
    if result_BCHW.shape != truth_BCHW.shape:
        raise ValueError(f"pictures are paired: found {tuple(result_BCHW.shape)} and {tuple(truth_BCHW.shape)}")
