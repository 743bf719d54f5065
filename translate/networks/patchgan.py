"""PatchGAN discriminator: is each patch of these pictures real?

Shape suffixes: B batch, C channels, H height, W width.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from translate.networks.batch_spread import BatchSpread
from translate.networks.reference_norm import ReferenceNorm

JudgeNorm = Literal["spectral", "instance", "instance-affine", "reference-batch", "virtual-batch", "none"]


class Verdict(NamedTuple):
    """What a discriminator says."""

    scores: list[Tensor]
    """One (B, 1, H, W) a scale, finest first, unbounded; positive means real."""
    features: list[Tensor]
    """Intermediate features (B, C, H, W) of all scales in order, for feature matching."""


class PatchJudge(nn.Module):
    """A `PatchGAN` of one scale.

    in:  x_BCHW.
    out: scores_B1HW and the list of features.
    """

    def __init__(
        self, channels: int, width: int, layers: int, norm: JudgeNorm, references: int = 0, batch_features: bool = False
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
            # Not after the first layer: colours and contrast are evidence too.
            norms[1:] = [_feature_norm(norm, one_width, references) for one_width in widths[1:]]
            if norm != "instance":
                for conv in convs[1:]:
                    conv.bias = None  # the norm subtracts the mean and adds its own shift
        self.convs, self.norms, self.score = nn.ModuleList(convs), nn.ModuleList(norms), score
        self.spread = BatchSpread() if batch_features else None

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), 1):
            if self.spread is not None and number == len(self.convs):  # one layer is left to make something of it
                parts = (x_BCHW[: self.references], x_BCHW[self.references :])
                x_BCHW = torch.cat([self.spread(part_BCHW) for part_BCHW in parts if len(part_BCHW)])
            x_BCHW = F.leaky_relu(norm(conv(x_BCHW)), 0.2)
            features.append(x_BCHW[self.references :])
        return self.score(features[-1]), features


def _feature_norm(norm: JudgeNorm, channels: int, references: int) -> nn.Module:
    if norm in ("reference-batch", "virtual-batch"):
        return ReferenceNorm(channels, references, virtual=norm == "virtual-batch")
    return nn.InstanceNorm2d(channels, affine=norm == "instance-affine")


class PatchGAN(nn.Module):
    """Convolutional discriminator that judges overlapping patches, at one or more scales.

    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017 (pix2pix). More scales
    are the same architecture with its own weights on the picture halved once more: Wang et al., "High-Resolution
    Image Synthesis ... with Conditional GANs", 2018 (pix2pixHD).

    in:  x_BCHW, the pictures to judge, each side at least `smallest_size`. A conditional game concatenates source
    and target to one tensor. With `references`, so many more pictures come first, which are not judged.
    out: `Verdict`.

    Args:
        channels: of the input; source plus target channels in a conditional game.
        width: channels of the first layer; doubles with every layer up to 8 times.
        layers: strided layers; 3 gives patches of 70 pixels, 4 of 142.
        scales: how many sizes of the picture are judged.
        norm: "spectral" divides the weights by their largest singular value and leaves the features alone (Miyato
            et al., 2018). "instance" normalises features as CycleGAN's code does, "instance-affine" as pix2pix's
            code does, with per-image statistics in the place of batch statistics. "reference-batch" and
            "virtual-batch" normalise by a fixed batch (`ReferenceNorm`). "none" leaves all as it is.
        references: pictures of that fixed batch; 0 with the other norms.
        batch_features: also judge how much the pictures of the batch differ (`BatchSpread`).

    Raises:
        ValueError: an unknown norm.
    """

    def __init__(
        self,
        channels: int = 6,
        width: int = 32,
        layers: int = 3,
        scales: int = 1,
        norm: JudgeNorm = "spectral",
        references: int = 0,
        batch_features: bool = False,
    ):
        super().__init__()
        if norm not in get_args(JudgeNorm):
            raise ValueError(f"norm is {norm!r}; it must be one of {get_args(JudgeNorm)}")
        self.layers = layers
        self.scales = nn.ModuleList(
            PatchJudge(channels, width, layers, norm, references, batch_features) for _ in range(scales)
        )

    @property
    def smallest_size(self) -> int:
        """The smallest picture side for which every scale gives a score."""
        # Each strided layer and each scale halves, rounding down; the last two convolutions take a pixel each, so
        # that features are never normalised over fewer than two by two places.
        return 3 * 2 ** (self.layers + len(self.scales) - 1)

    def forward(self, x_BCHW: Tensor) -> Verdict:
        verdict = Verdict([], [])
        for level, judge in enumerate(self.scales):
            if level > 0:
                x_BCHW = F.avg_pool2d(x_BCHW, 2)
            scores_B1HW, features = judge(x_BCHW)
            verdict.scores.append(scores_B1HW)
            verdict.features.extend(features)
        return verdict
