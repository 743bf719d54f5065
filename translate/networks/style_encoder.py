"""Image -> distribution of style vectors, for multimodal translation.

Shape suffixes: B batch, C channels, H height, S style size, W width.
"""

from itertools import pairwise

from torch import Tensor, nn

from translate.networks.running_stats import MOMENTUM, RunningStats
from translate.networks.unet import ChannelNorm

LOGVAR_LIMIT = 6.0
"""Limit for the absolute log variance: standard deviations are between 0.05 and 20, in units of the spread."""


class StyleEncoder(nn.Module):
    """Strided convolutions, global average pooling, one linear layer.

    Zhu et al., "Toward Multimodal Image-to-Image Translation", 2017 (BicycleGAN). No spatial statistics other than
    the global average.

    The output is standardised with running statistics, because styles are later sampled from a standard normal, and 0
    is the mean style. A KL penalty alone would have to be so strong for this that the style carries no information.

    in:  (B, channels, H, W), each side at least 32, nominally in [-1, 1].
    out: mean_BS and logvar_BS, of a normal distribution with independent entries.

    Args:
        width: channels of the first layer; the third to fifth have 4 times as many.
        style_size: length of the style vector.
        momentum: of the running statistics.
    """

    def __init__(self, channels: int = 3, width: int = 32, style_size: int = 8, momentum: float = MOMENTUM):
        super().__init__()
        widths = [channels, *(width * min(2**level, 4) for level in range(5))]
        layers = [
            nn.Sequential(nn.Conv2d(before, after, 4, stride=2, padding=1), ChannelNorm(after), nn.LeakyReLU(0.2))
            for before, after in pairwise(widths)
        ]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], 2 * style_size)
        self.standard = RunningStats(style_size, momentum)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        mean_BS, logvar_BS = self.head(self.layers(x_BCHW).mean(dim=(2, 3))).chunk(2, dim=1)
        # Unlike a hard clamp, tanh has a gradient everywhere, so that an extreme variance can recover.
        logvar_BS = LOGVAR_LIMIT * (logvar_BS.float() / LOGVAR_LIMIT).tanh()
        return self.standard(mean_BS), logvar_BS - 2.0 * self.standard.spread_S.log()

    def update(self, mean_BS: Tensor, logvar_BS: Tensor) -> None:
        """Update the running statistics with styles returned by `forward` for real images."""
        self.standard.update(mean_BS, logvar_BS.exp())
