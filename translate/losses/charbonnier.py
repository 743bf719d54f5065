"""Charbonnier loss: a smooth L1 loss."""

from torch import Tensor


def charbonnier(result: Tensor, truth: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean sqrt((result - truth)^2 + epsilon^2).

    Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", 2017, eq. 4. Like L1 for
    differences well above `epsilon`, like L2 below it.

    Args:
        result, truth: equal shapes, any range.
        epsilon: above 0, in units of the signal.

    Returns:
        Scalar, at least `epsilon`.

    Raises:
        ValueError: the shapes differ.
    """
    if result.shape != truth.shape:
        raise ValueError(f"images are paired: found {tuple(result.shape)} and {tuple(truth.shape)}")
    return ((result - truth).square() + epsilon**2).sqrt().mean()
