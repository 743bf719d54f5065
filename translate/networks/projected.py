"""Projected discriminator: works on the features of a frozen pretrained classifier.

Sauer et al., "Projected GANs Converge Faster", 2021: the feature maps of a pretrained network are mixed over channels
and scales by fixed random convolutions, so that no discriminator can rely on the deepest features alone, and each map
has a small discriminator.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from translate.networks.efficientnet_lite import TAP_CHANNELS, TAP_DEVIATIONS, EfficientNetLite1
from translate.networks.patchgan import DiscriminatorOutput, PatchGAN

MIXED = 64
"""Channels of every map after mixing."""

STRIDED = (2, 1, 0, 0)
"""Strided layers of the discriminator of each map, finest first: all but the coarsest have scores at 1/16 of the
side."""

GIVEN_WIDTH = 32
"""Channels of the source features that are concatenated to each map."""

SMALLEST = 64
"""Minimum side of an image, for which the coarsest map has more than one pixel."""


class RandomMixing(nn.Module):
    """Mix feature maps over channels by random 1x1 convolutions, then from coarse to fine by random 3x3 convolutions.

    Section 3.2 of the paper. The convolutions are not trained; they are buffers, so a resumed run has the same ones.

    in:  maps (B, channels[i], H / 2**i, W / 2**i), finest first.
    out: as many maps with `MIXED` channels, with a standard deviation near 1 over photos.

    Args:
        channels: of each map.
        deviations: standard deviation of each map over photos, for normalisation.
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
            # Scaled to preserve the variance.
            mixed.insert(0, (across[number - 1] + coarse_BCHW) * 0.5**0.5)
        return mixed


def _random_kernel(after: int, before: int, side: int) -> Tensor:
    """He et al., 2015, for a layer without activation, which preserves the variance."""
    return torch.randn(after, before, side, side) * (before * side * side) ** -0.5


class MapDiscriminator(nn.Module):
    """A small convolutional discriminator for one map.

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
    """Discriminator on the features of a frozen EfficientNet-Lite1, at four scales.

    in:  x_BCHW in [-1, 1], the last three channels RGB, preceded by the source if conditional. Sides at least
         `smallest_size`.
    out: `DiscriminatorOutput`: four maps of scores, finest first, then those of `beside`, and the features of `beside`
         only, because those of the classifier are covered by the perceptual loss.

    Args:
        features: the frozen network. It stays in float32 under autocast, which its folded weights need.
        given_channels: number of source channels.
        beside: an additional PatchGAN for fine texture; its scales count like the other maps.
    """

    def __init__(self, features: EfficientNetLite1, given_channels: int = 0, beside: PatchGAN | None = None):
        super().__init__()
        self.features = features
        self.given_channels = given_channels
        self.mixing = RandomMixing(TAP_CHANNELS, TAP_DEVIATIONS)
        self.given: nn.ModuleList | None = None
        if given_channels:
            # To a quarter of the side, the resolution of the finest map.
            first = nn.Conv2d(given_channels, GIVEN_WIDTH, 4, stride=2, padding=1)
            second = nn.Conv2d(GIVEN_WIDTH, GIVEN_WIDTH, 4, stride=2, padding=1)
            self.given = nn.ModuleList([spectral_norm(first), spectral_norm(second)])
        width = GIVEN_WIDTH if given_channels else 0
        self.maps = nn.ModuleList(MapDiscriminator(width, strided) for strided in STRIDED)
        self.beside = beside

    @property
    def smallest_size(self) -> int:
        """The smallest image side for which every scale gives a score."""
        return max(SMALLEST, self.beside.smallest_size if self.beside is not None else 0)

    def forward(self, x_BCHW: Tensor) -> DiscriminatorOutput:
        given_BCHW, picture_BCHW = x_BCHW.split([self.given_channels, 3], dim=1)
        with torch.autocast(x_BCHW.device.type, enabled=False):
            mixed = self.mixing(self.features.features(picture_BCHW.float()))
        given = self._given(given_BCHW, mixed)
        scores = [head(x, y) for head, x, y in zip(self.maps, mixed, given, strict=True)]
        if self.beside is None:
            return DiscriminatorOutput(scores, [])
        output = self.beside(x_BCHW)
        return DiscriminatorOutput([*scores, *output.scores], output.features)

    def _given(self, given_BCHW: Tensor, mixed: Sequence[Tensor]) -> list[Tensor] | list[None]:
        """Source features at the resolution of each map."""
        if self.given is None:
            return [None] * len(mixed)
        for layer in self.given:
            given_BCHW = F.leaky_relu(layer(given_BCHW), 0.2)
        return [F.adaptive_avg_pool2d(given_BCHW, (x_BCHW.shape[2], x_BCHW.shape[3])) for x_BCHW in mixed]
