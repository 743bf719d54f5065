"""Structural similarity at five sizes. Shape suffixes: B batch, C channels, H height, W width."""

from torch import Tensor

from translate.metrics.fidelity import check_pairs

LEAST_SIDE = 176
"""Sides of the pictures must be at least this, so that the window of 11 pixels fits after four halvings."""


def ms_ssim(result_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Multi-scale structural similarity: the contrast and structure terms of five sizes, luminance of the last.

    Wang, Simoncelli and Bovik, "Multiscale Structural Similarity for Image Quality Assessment", 2003, eq. 7 with its
    exponents 0.0448, 0.2856, 0.3001, 0.2363 and 0.1333; terms below 0 count as 0, or their powers would not be real.

    Args:
        result_BCHW, truth_BCHW: equal shapes, range [0, 1], sides at least `LEAST_SIDE`.

    Returns:
        (B,), 0 to 1; 1 for equal pictures.

    Raises:
        ValueError: the shapes differ or a side is too short.
    """
    # Imported late: torchmetrics brings everything it has along, which takes seconds.
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    check_pairs(result_BCHW, truth_BCHW)
    if min(result_BCHW.shape[-2:]) < LEAST_SIDE:
        raise ValueError(f"found {tuple(result_BCHW.shape)}, expected sides of {LEAST_SIDE} at least")
    similarity = multiscale_structural_similarity_index_measure(
        result_BCHW, truth_BCHW, data_range=1.0, reduction="none", normalize="relu"
    )
    return similarity.reshape(-1)
