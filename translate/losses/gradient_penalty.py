"""Zero-centred gradient penalty: near the data the discriminator should be flat, or the game circles for ever.

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
        scores: what the discriminator answered to `pictures_BCHW`, one (B, ...) map of scores a scale. No score may
            depend on another picture of the batch.
        pictures_BCHW: any range; must require grad before the discriminator sees it.

    Returns:
        Scalar, at least 0.

    Raises:
        RuntimeError: the scores were not computed from `pictures_BCHW`, or these do not require grad.
    """
    # A picture's gradient comes from its own scores only, so one backward pass of the sum serves the whole batch.
    total = torch.stack([scale.reshape(len(scale), -1).mean(dim=1).sum() for scale in scores]).mean()
    (gradient_BCHW,) = torch.autograd.grad(total, pictures_BCHW, create_graph=True)
    return gradient_BCHW.square().flatten(1).sum(dim=1).mean()
