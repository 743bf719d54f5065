"""Gradient penalties: how steep may the discriminator be, and where?

Zero-centred: near the data it should be flat, or the game circles for ever. One-centred: between data and fakes it
should have slope 1, so that its scores measure a distance.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def zero_centred_penalty(scores: Sequence[Tensor], pictures_BCHW: Tensor) -> Tensor:
    """Mean over the batch of |grad D(x)|^2, D(x) the mean over scales of the mean over the patches of one picture.

    Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, eq. 9 and 10 without the factor
    gamma / 2: R1 when the pictures are real, R2 when they are fake. The result can be differentiated again.

    Args:
        scores: what the discriminator answered to `pictures_BCHW`, one (B, ...) map of scores a scale. Where a score
            depends on other pictures of the batch too, the gradient is that of the sum of all scores.
        pictures_BCHW: any range; must require grad before the discriminator sees it.

    Returns:
        Scalar, at least 0.

    Raises:
        RuntimeError: the scores were not computed from `pictures_BCHW`, or these do not require grad.
    """
    return _squared_slopes(scores, pictures_BCHW).mean()


def one_centred_penalty(scores: Sequence[Tensor], pictures_BCHW: Tensor) -> Tensor:
    """Mean over the batch of (|grad D(x)| - 1)^2, D(x) as for `zero_centred_penalty`.

    Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, eq. 3, with the pictures from `between`. The
    result can be differentiated again.

    Args:
        scores, pictures_BCHW: as for `zero_centred_penalty`.

    Returns:
        Scalar, at least 0.

    Raises:
        RuntimeError: the scores were not computed from `pictures_BCHW`, or these do not require grad.
    """
    # The root's own slope is infinite at 0.
    slopes_B = (_squared_slopes(scores, pictures_BCHW) + 1e-12).sqrt()
    return (slopes_B - 1.0).square().mean()


def between(real_BCHW: Tensor, fake_BCHW: Tensor, share_B: Tensor) -> Tensor:
    """Pictures on the straight lines from the fakes (share 0) to the real ones (share 1), in float32.

    Gulrajani et al., 2017, algorithm 1, with shares uniform in [0, 1].
    """
    return fake_BCHW.float().lerp(real_BCHW.float(), share_B.view(-1, 1, 1, 1))


def _squared_slopes(scores: Sequence[Tensor], pictures_BCHW: Tensor) -> Tensor:
    """|grad D(x)|^2 of every picture, (B,)."""
    # A picture's gradient comes from its own scores only, so one backward pass of the sum serves the whole batch.
    total = torch.stack([scale.reshape(len(scale), -1).mean(dim=1).sum() for scale in scores]).mean()
    (gradient_BCHW,) = torch.autograd.grad(total, pictures_BCHW, create_graph=True)
    return gradient_BCHW.square().flatten(1).sum(dim=1)
