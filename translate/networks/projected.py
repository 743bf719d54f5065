"""Projected discriminator: is this picture real, as seen through the features of a classifier that stays as it is?

Sauer et al., "Projected GANs Converge Faster", 2021: the maps of a pretrained network are mixed over channels and
scales by fixed random convolutions, so that no discriminator can lean on the deepest features alone, and a small one
looks at each.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from translate.networks.efficientnet_lite import TAP_CHANNELS, TAP_DEVIATIONS, EfficientNetLite1
from translate.networks.patchgan import PatchGAN, Verdict

MIXED = 64
"""Channels of every map after mixing."""

STRIDED = (2, 1, 0, 0)
"""Strided layers of the discriminator of each map, finest first: all but the coarsest score at 1/16 of the side."""

GIVEN_WIDTH = 32
"""Channels of what is said about the source, beside each map."""

SMALLEST = 64
"""Side of the smallest picture whose coarsest map is more than a pixel."""


class RandomMixing(nn.Module):
    """Mix maps over channels by random 1x1 convolutions, then from coarse to fine by random 3x3 convolutions.

    Section 3.2 of the paper. The convolutions are never trained; they are buffers, so a resumed run has the same.

    in:  maps (B, channels[i], H / 2**i, W / 2**i), finest first.
    out: as many maps with `MIXED` channels, of deviation near 1 over photographs.

    Args:
        channels: of each map.
        deviations: standard deviation of each map over photographs, by which it is divided.
    """

    def __init__(self, channels: Sequence[int], deviations: Sequence[float]):
        super().__init__()
        self.deviations = tuple(deviations)
        for number, width in enumerate(channels):
            self.register_buffer(f"across_{number}", _random_kernel(MIXED, width, 1))
            if number:
                self.register_buffer(f"down_{number}", _random_kernel(MIXED, MIXED, 3))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        across = [
            F.conv2d(x_BCHW / deviation, self.get_buffer(f"across_{number}"))
            for number, (x_BCHW, deviation) in enumerate(zip(maps, self.deviations, strict=True))
        ]
        mixed = [across[-1]]
        for number in range(len(maps) - 1, 0, -1):
            coarse_BCHW = F.conv2d(mixed[0], self.get_buffer(f"down_{number}"), padding=1)
            coarse_BCHW = F.interpolate(coarse_BCHW, across[number - 1].shape[-2:], mode="bilinear")
            # Halved in power, so that the sum is as large as each of the two.
            mixed.insert(0, (across[number - 1] + coarse_BCHW) * 0.5**0.5)
        return mixed


def _random_kernel(after: int, before: int, side: int) -> Tensor:
    """He et al., 2015, for a layer without activation: features keep their size."""
    return torch.randn(after, before, side, side) * (before * side * side) ** -0.5


class MapDiscriminator(nn.Module):
    """A small convolutional discriminator of one map.

    in:  x_BCHW, given_BCHW or None, of the same height and width.
    out: scores_B1HW.
    """

    def __init__(self, given_channels: int, strided: int):
        super().__init__()
        widths = [MIXED + given_channels, *[MIXED * 2] * (strided + 1)]
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(widths[0], widths[1], 3, padding=1))]
        layers += [spectral_norm(nn.Conv2d(width, width, 4, stride=2, padding=1)) for width in widths[2:]]
        self.layers = nn.ModuleList(layers)
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x_BCHW: Tensor, given_BCHW: Tensor | None) -> Tensor:
        if given_BCHW is not None:
            x_BCHW = torch.cat([x_BCHW, given_BCHW], dim=1)
        for layer in self.layers:
            x_BCHW = F.leaky_relu(layer(x_BCHW), 0.2)
        return self.score(x_BCHW)


class ProjectedDiscriminator(nn.Module):
    """Judges pictures by what a frozen EfficientNet-Lite1 sees in them, at four scales.

    in:  x_BCHW in [-1, 1], the last three channels red, green, blue; those before are what the picture was made from,
         in a conditional game. Sides at least `smallest_size`.
    out: `Verdict`: four maps of scores, finest first, then those of `beside`, and the features of `beside` alone: the
         classifier's own are compared by the perceptual distance.

    Args:
        features: the frozen network. It stays in float32 under autocast, which its folded weights need.
        given_channels: channels before the picture's own.
        beside: a PatchGAN that judges the same pictures for finer texture; its scales count like the other maps.
    """

    def __init__(self, features: EfficientNetLite1, given_channels: int = 0, beside: PatchGAN | None = None):
        super().__init__()
        self.features = features
        self.given_channels = given_channels
        self.mixing = RandomMixing(TAP_CHANNELS, TAP_DEVIATIONS)
        self.given: nn.ModuleList | None = None
        if given_channels:
            # To a quarter of the side, where the finest map lies.
            first = nn.Conv2d(given_channels, GIVEN_WIDTH, 4, stride=2, padding=1)
            second = nn.Conv2d(GIVEN_WIDTH, GIVEN_WIDTH, 4, stride=2, padding=1)
            self.given = nn.ModuleList([spectral_norm(first), spectral_norm(second)])
        width = GIVEN_WIDTH if given_channels else 0
        self.maps = nn.ModuleList(MapDiscriminator(width, strided) for strided in STRIDED)
        self.beside = beside

    @property
    def smallest_size(self) -> int:
        """The smallest picture side for which every scale gives a score."""
        return max(SMALLEST, self.beside.smallest_size if self.beside is not None else 0)

    def forward(self, x_BCHW: Tensor) -> Verdict:
        given_BCHW, picture_BCHW = x_BCHW.split([self.given_channels, 3], dim=1)
        with torch.autocast(x_BCHW.device.type, enabled=False):
            mixed = self.mixing(self.features.features(picture_BCHW.float()))
        given = self._given(given_BCHW, mixed)
        scores = [judge(x, y) for judge, x, y in zip(self.maps, mixed, given, strict=True)]
        if self.beside is None:
            return Verdict(scores, [])
        verdict = self.beside(x_BCHW)
        return Verdict([*scores, *verdict.scores], verdict.features)

    def _given(self, given_BCHW: Tensor, mixed: Sequence[Tensor]) -> list[Tensor] | list[None]:
        """What is said about the source beside each map."""
        if self.given is None:
            return [None] * len(mixed)
        for layer in self.given:
            given_BCHW = F.leaky_relu(layer(given_BCHW), 0.2)
        return [F.adaptive_avg_pool2d(given_BCHW, (x_BCHW.shape[2], x_BCHW.shape[3])) for x_BCHW in mixed]
