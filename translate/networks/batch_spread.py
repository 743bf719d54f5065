"""Letting a discriminator see how much the pictures of a batch differ.

Shape suffixes: B batch, C channels.
"""

import torch
from torch import Tensor, nn


class BatchSpread(nn.Module):
    """Adds one channel: the standard deviation over the batch, averaged over all features.

    Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018, section 3, after
    Salimans et al., 2016, section 3.2. Fakes that all look alike give themselves away, which no single one of them
    does. Real pictures and fakes must be judged in batches of their own.

    in:  x_BC..., any number of places. out: the same with C + 1 channels.
    """

    def forward(self, x_BC: Tensor) -> Tensor:
        # The root's own slope is infinite at 0, where pictures are equal.
        spread = (x_BC.float().var(dim=0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([x_BC, spread.to(x_BC.dtype).expand(len(x_BC), 1, *x_BC.shape[2:])], dim=1)
