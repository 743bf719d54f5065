"""Minibatch standard deviation for discriminators.

Shape suffixes: B batch, C channels.
"""

import torch
from torch import Tensor, nn


class MinibatchStdDev(nn.Module):
    """Adds one channel: the standard deviation over the batch, averaged over all features.

    Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018, section 3, after
    Salimans et al., 2016, section 3.2. Reveals mode collapse, which is not visible in a single image. Real and
    generated images must be in separate batches.

    in:  x_BC..., any spatial shape. out: the same with C + 1 channels.
    """

    def forward(self, x_BC: Tensor) -> Tensor:
        # The gradient of the square root is infinite at 0, where images are equal.
        spread = (x_BC.float().var(dim=0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([x_BC, spread.to(x_BC.dtype).expand(len(x_BC), 1, *x_BC.shape[2:])], dim=1)
