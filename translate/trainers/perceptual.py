"""Losses through a pretrained classifier."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.losses.perceptual import perceptual_distance
from translate.networks.efficientnet_lite import TAP_CHANNELS as LITE1_CHANNELS
from translate.networks.pretrained import efficientnet_lite1, squeezenet
from translate.networks.squeezenet import TAP_CHANNELS as SQUEEZENET_CHANNELS


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


class PretrainedFeatures(nn.Module):
    """Features of a frozen classifier for contrastive losses, in float32.

    in:  (B, 3, H, W) in [-1, 1], sides at least 32. out: one (B, C, h, w) per layer, finest first, with a root mean
    square of 1 over the channels at each position; gradients flow into the input.

    Args:
        name: EfficientNet-Lite1 or SqueezeNet.

    Raises:
        MissingExtra: the package with the weights is not installed.
        ModelError: the weights are damaged.
    """

    def __init__(self, name: Literal["lite1", "squeezenet"]):
        super().__init__()
        self.network = efficientnet_lite1() if name == "lite1" else squeezenet()
        self.feature_channels: list[int] = list(LITE1_CHANNELS if name == "lite1" else SQUEEZENET_CHANNELS)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """See the class."""
        with torch.autocast(x_BCHW.device.type, enabled=False):
            maps = self.network.features(x_BCHW.float())
            return [F.normalize(map_BCHW, dim=1) * map_BCHW.shape[1] ** 0.5 for map_BCHW in maps]
