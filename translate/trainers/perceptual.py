"""Perceptual loss through a pretrained classifier."""

import torch
from torch import Tensor, nn

from translate.losses.perceptual import perceptual_distance
from translate.networks.pretrained import squeezenet


class PerceptualLoss(nn.Module):
    """Mean of `perceptual_distance` over a batch, on features of SqueezeNet, in float32.

    in:  two of (B, 3, H, W) in [-1, 1], sides at least 32. out: scalar; gradients flow into the first input only.

    Raises:
        MissingExtra: the package with the weights is not installed.
        ModelError: the weights are damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = squeezenet()

    def forward(self, fake_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(fake_BCHW.device.type, enabled=False):
            with torch.no_grad():
                wanted = self.network.features(truth_BCHW.float())
            return perceptual_distance(self.network.features(fake_BCHW.float()), wanted).mean()
