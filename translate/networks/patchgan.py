"""PatchGAN discriminator: classifies each patch of an image as real or fake.

Shape suffixes: B batch, C channels, H height, W width.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from translate.networks.minibatch_stddev import MinibatchStdDev
from translate.networks.virtual_batch_norm import VirtualBatchNorm

DiscriminatorNorm = Literal["spectral", "instance", "instance-affine", "reference-batch", "virtual-batch", "none"]


class DiscriminatorOutput(NamedTuple):
    """Output of a discriminator."""

    scores: list[Tensor]
    """One (B, 1, H, W) per scale, finest first, unbounded; positive means real."""
    features: list[Tensor]
    """Intermediate features (B, C, H, W) of all scales in order, for feature matching."""


class PatchDiscriminator(nn.Module):
    """A `PatchGAN` with a single scale.

    in:  x_BCHW.
    out: scores_B1HW and the list of features.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        layers: int,
        norm: DiscriminatorNorm,
        references: int = 0,
        batch_features: bool = False,
    ):
        super().__init__()
        self.references = references
        widths = [width * min(2**level, 8) for level in range(layers + 1)]
        seen = [channels, *widths[:-1]]
        seen[-1] += batch_features
        strides = [2] * layers + [1]
        convs = [
            nn.Conv2d(before, after, 4, stride=stride, padding=1)
            for before, after, stride in zip(seen, widths, strides, strict=True)
        ]
        score = nn.Conv2d(widths[-1], 1, 4, padding=1)
        norms: list[nn.Module] = [nn.Identity() for _ in convs]
        if norm == "spectral":
            convs, score = [spectral_norm(conv) for conv in convs], spectral_norm(score)
        elif norm != "none":
            # Not after the first layer, because colours and contrast are informative.
            norms[1:] = [_feature_norm(norm, one_width, references) for one_width in widths[1:]]
            if norm != "instance":
                for conv in convs[1:]:
                    conv.bias = None  # redundant: the norm subtracts the mean and adds its own bias
        self.convs, self.norms, self.score = nn.ModuleList(convs), nn.ModuleList(norms), score
        self.spread = MinibatchStdDev() if batch_features else None

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), 1):
            if self.spread is not None and number == len(self.convs):  # before the last hidden layer, which uses it
                parts = (x_BCHW[: self.references], x_BCHW[self.references :])
                x_BCHW = torch.cat([self.spread(part_BCHW) for part_BCHW in parts if len(part_BCHW)])
            x_BCHW = F.leaky_relu(norm(conv(x_BCHW)), 0.2)
            features.append(x_BCHW[self.references :])
        return self.score(features[-1]), features


def _feature_norm(norm: DiscriminatorNorm, channels: int, references: int) -> nn.Module:
    if norm in ("reference-batch", "virtual-batch"):
        return VirtualBatchNorm(channels, references, virtual=norm == "virtual-batch")
    return nn.InstanceNorm2d(channels, affine=norm == "instance-affine")


class PatchGAN(nn.Module):
    """Convolutional discriminator that scores overlapping patches, at one or more scales.

    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017 (pix2pix). Further scales
    are the same architecture with separate weights on the image, halved for each: Wang et al., "High-Resolution Image
    Synthesis ... with Conditional GANs", 2018 (pix2pixHD).

    in:  x_BCHW, the images to score, each side at least `smallest_size`. A conditional discriminator gets source and
    target concatenated. With `references`, that many reference images come first, which are not scored.
    out: `DiscriminatorOutput`.

    Args:
        channels: of the input; source plus target channels for a conditional discriminator.
        width: channels of the first layer; doubles at every layer, up to 8 times.
        layers: strided layers; the receptive field is 70 pixels with 3, 142 with 4.
        scales: number of scales.
        norm: "spectral" is spectral normalisation of the weights (Miyato et al., 2018). "instance" is instance
            normalisation as in CycleGAN's code, "instance-affine" as in pix2pix's code, with per-image instead of batch
            statistics. "reference-batch" and "virtual-batch" use the statistics of a fixed batch (`VirtualBatchNorm`).
            "none" is no normalisation.
        references: size of that fixed batch; 0 with the other norms.
        batch_features: use minibatch standard deviation (`MinibatchStdDev`).

    Raises:
        ValueError: an unknown norm.
    """

    def __init__(
        self,
        channels: int = 6,
        width: int = 32,
        layers: int = 3,
        scales: int = 1,
        norm: DiscriminatorNorm = "spectral",
        references: int = 0,
        batch_features: bool = False,
    ):
        super().__init__()
        if norm not in get_args(DiscriminatorNorm):
            raise ValueError(f"norm is {norm!r}; it must be one of {get_args(DiscriminatorNorm)}")
        self.layers = layers
        self.scales = nn.ModuleList(
            PatchDiscriminator(channels, width, layers, norm, references, batch_features) for _ in range(scales)
        )

    @property
    def smallest_size(self) -> int:
        """The smallest image side for which every scale gives a score."""
        # Each strided layer and each scale halves, rounding down; the last two convolutions take a pixel each, so
        # that features are never normalised over fewer than 2 x 2 pixels.
        return 3 * 2 ** (self.layers + len(self.scales) - 1)

    def forward(self, x_BCHW: Tensor) -> DiscriminatorOutput:
        output = DiscriminatorOutput([], [])
        for level, discriminator in enumerate(self.scales):
            if level > 0:
                x_BCHW = F.avg_pool2d(x_BCHW, 2)
            scores_B1HW, features = discriminator(x_BCHW)
            output.scores.append(scores_B1HW)
            output.features.extend(features)
        return output
