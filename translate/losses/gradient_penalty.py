"""Gradient penalties on the discriminator.

Zero-centred: zero gradient at the data, without which training may oscillate for ever. One-centred: gradient norm 1
between data and fakes, so that the scores measure a distance.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def zero_centred_penalty(scores: Sequence[Tensor], pictures_BCHW: Tensor) -> Tensor:
    """Mean over the batch of |grad D(x)|^2, D(x) the mean over scales of the mean over the patches of one image.

    Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, eq. 9 and 10 without the factor
    gamma / 2: R1 if the images are real, R2 if they are fake. The result can be differentiated again.

    Args:
        scores: of `pictures_BCHW`, one (B, ...) map per scale. If a score also depends on other images of the batch,
            the gradient is that of the sum of all scores.
        pictures_BCHW: any range; must require grad before the discriminator is called.

    Returns:
        Scalar, at least 0.

    Raises:
        RuntimeError: the scores were not computed from `pictures_BCHW`, or these do not require grad.
    """
    return _squared_norms(scores, pictures_BCHW).mean()


def one_centred_penalty(scores: Sequence[Tensor], pictures_BCHW: Tensor) -> Tensor:
    """Mean over the batch of (|grad D(x)| - 1)^2, D(x) as for `zero_centred_penalty`.

    Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, eq. 3, with the images from `interpolate`. The
    result can be differentiated again.

    Args:
        scores, pictures_BCHW: as for `zero_centred_penalty`.

    Returns:
        Scalar, at least 0.

    Raises:
        RuntimeError: the scores were not computed from `pictures_BCHW`, or these do not require grad.
    """
    # The gradient of the square root is infinite at 0.
    norm_B = (_squared_norms(scores, pictures_BCHW) + 1e-12).sqrt()
    return (norm_B - 1.0).square().mean()


def interpolate(real_BCHW: Tensor, fake_BCHW: Tensor, share_B: Tensor) -> Tensor:
    """Linear interpolation between fakes (share 0) and real images (share 1), in float32.

    Gulrajani et al., 2017, algorithm 1, with shares uniform in [0, 1].
    """
    return fake_BCHW.float().lerp(real_BCHW.float(), share_B.view(-1, 1, 1, 1))


def _squared_norms(scores: Sequence[Tensor], pictures_BCHW: Tensor) -> Tensor:
    """|grad D(x)|^2 of each image, (B,)."""
    # An image's gradient comes from its own scores only, so one backward pass of the sum is enough for the batch.
    total = torch.stack([scale.reshape(len(scale), -1).mean(dim=1).sum() for scale in scores]).mean()
    (gradient_BCHW,) = torch.autograd.grad(total, pictures_BCHW, create_graph=True)
    return gradient_BCHW.square().flatten(1).sum(dim=1)
