"""SRGAN: the enlarging residual network and its judge.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", 2017. Every batch
normalisation became an affine instance normalisation: per-image statistics, so that training, export and batch size
agree.

Shape suffixes: B batch, C channels, H height, W width.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.patchgan import Verdict


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
    """Residual blocks at the small size, then doublings by pixel shuffle.

    in:  (B, channels, H, W), more than one pixel, nominally in [-1, 1].
    out: (B, out_channels, H * scale, W * scale), linear and not bounded.

    Args:
        scale: 2 or 4.
        blocks: residual blocks.
        width: channels inside.

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
    """Is this whole crop real? Eight convolutions and two dense layers.

    The last features are averaged to 6x6 places before the dense layers, so that crops of any size work; those of
    the paper, 96 pixels, have 6x6 anyway.

    in:  (B, channels, H, W), each side at least `smallest_size`.
    out: `Verdict` with one score (B, 1, 1, 1) and the eight features.

    Args:
        width: channels of the first layer; the last has 8 times as many.
    """

    smallest_size = 17
    """The smallest side whose last features, a sixteenth rounded up, are more than one place."""

    def __init__(self, channels: int = 3, width: int = 64):
        super().__init__()
        widths = [width * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        first = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.layers = nn.ModuleList([first])
        for number, (before, after) in enumerate(pairwise(widths)):
            conv = nn.Conv2d(before, after, 3, stride=1 if number % 2 else 2, padding=1, bias=False)
            self.layers.append(nn.Sequential(conv, nn.InstanceNorm2d(after, affine=True), nn.LeakyReLU(0.2)))
        self.head = nn.Sequential(nn.Linear(widths[-1] * 6 * 6, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1))

    def forward(self, x_BCHW: Tensor) -> Verdict:
        features: list[Tensor] = []
        for layer in self.layers:
            x_BCHW = layer(x_BCHW)
            features.append(x_BCHW)
        scores_B1 = self.head(F.adaptive_avg_pool2d(x_BCHW, 6).flatten(1))
        return Verdict([scores_B1[:, :, None, None]], features)
