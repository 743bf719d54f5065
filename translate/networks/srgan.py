"""SRGAN: residual generator and discriminator.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", 2017. Batch
normalisation is replaced by affine instance normalisation, so that the result does not depend on the batch.

Shape suffixes: B batch, C channels, H height, W width.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.patchgan import DiscriminatorOutput


class SRBlock(nn.Module):
    """x + norm(conv(act(norm(conv(x))))), 3x3, same size and channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.layers(x_BCHW)


class SRResNet(nn.Module):
    """Residual blocks at low resolution, then upsampling by pixel shuffle.

    in:  (B, channels, H, W), more than one pixel, nominally in [-1, 1].
    out: (B, out_channels, H * scale, W * scale), linear and unbounded.

    Args:
        scale: 2 or 4.
        blocks: residual blocks.
        width: hidden channels.

    Raises:
        ValueError: another scale.
    """

    size_multiple = 1
    receptive_field: int | None = None

    def __init__(self, channels: int = 3, out_channels: int = 3, scale: int = 4, blocks: int = 16, width: int = 64):
        super().__init__()
        if scale not in (2, 4):
            raise ValueError(f"scale is {scale}; it must be 2 or 4")
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(
            *(SRBlock(width) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.InstanceNorm2d(width, affine=True),
        )
        doublings = [
            nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())
            for _ in range(scale // 2)
        ]
        self.tail = nn.Sequential(*doublings, nn.Conv2d(width, out_channels, 9, padding=4))

    def forward(self, x_BCHW: Tensor, condition_BD: None = None) -> Tensor:
        x_BCHW = self.head(x_BCHW)
        return self.tail(x_BCHW + self.body(x_BCHW))


class SRDiscriminator(nn.Module):
    """Classifies a whole crop as real or fake: eight convolutions and two linear layers.

    The last features are pooled to 6x6 before the linear layers, so that crops of any size work; for the paper's 96
    pixels they are 6x6 anyway.

    in:  (B, channels, H, W), each side at least `smallest_size`.
    out: `DiscriminatorOutput` with one score (B, 1, 1, 1) and the eight features.

    Args:
        width: channels of the first layer; the last has 8 times as many.
    """

    smallest_size = 17
    """The smallest side whose last features, a sixteenth rounded up, are larger than one pixel."""

    def __init__(self, channels: int = 3, width: int = 64):
        super().__init__()
        widths = [width * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        first = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.layers = nn.ModuleList([first])
        for number, (before, after) in enumerate(pairwise(widths)):
            conv = nn.Conv2d(before, after, 3, stride=1 if number % 2 else 2, padding=1, bias=False)
            self.layers.append(nn.Sequential(conv, nn.InstanceNorm2d(after, affine=True), nn.LeakyReLU(0.2)))
        self.head = nn.Sequential(nn.Linear(widths[-1] * 6 * 6, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1))

    def forward(self, x_BCHW: Tensor) -> DiscriminatorOutput:
        features: list[Tensor] = []
        for layer in self.layers:
            x_BCHW = layer(x_BCHW)
            features.append(x_BCHW)
        scores_B1 = self.head(F.adaptive_avg_pool2d(x_BCHW, 6).flatten(1))
        return DiscriminatorOutput([scores_B1[:, :, None, None]], features)
