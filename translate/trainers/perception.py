"""How alike pictures look to a classifier, as a term of a loss."""

import torch
from torch import Tensor, nn

from translate.losses.perceptual import perceptual_distance
from translate.networks.pretrained import squeezenet


class Perception(nn.Module):
    """The mean of `perceptual_distance` over a batch, through SqueezeNet, in float32.

    in:  two of (B, 3, H, W) in [-1, 1], sides at least 32. out: scalar; gradients flow into the first alone.

    Raises:
        MissingExtra: the package with its weights is not installed.
        ModelError: they are damaged.
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
