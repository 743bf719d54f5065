"""Picture -> distribution of style vectors, for translations with more than one answer.

Shape suffixes: B batch, C channels, H height, S style size, W width.
"""

from itertools import pairwise

from torch import Tensor, nn

from translate.networks.unet import ChannelNorm

LOGVAR_LIMIT = 6.0
"""Log variances stay between plus and minus this: standard deviations between 0.05 and 20."""


class StyleEncoder(nn.Module):
    """Strided convolutions, the mean over all places, one linear layer.

    Zhu et al., "Toward Multimodal Image-to-Image Translation", 2017 (BicycleGAN). No spatial statistics other than
    the mean over all places.

    in:  (B, channels, H, W), each side at least 32, nominally in [-1, 1].
    out: mean_BS, not bounded, and logvar_BS in [-6, 6], of a normal distribution with independent entries.

    Args:
        width: channels of the first layer; the third to fifth have 4 times as many.
        style_size: length of the style vector.
    """

    def __init__(self, channels: int = 3, width: int = 32, style_size: int = 8):
        super().__init__()
        widths = [channels, *(width * min(2**level, 4) for level in range(5))]
        layers = [
            nn.Sequential(nn.Conv2d(before, after, 4, stride=2, padding=1), ChannelNorm(after), nn.LeakyReLU(0.2))
            for before, after in pairwise(widths)
        ]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], 2 * style_size)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        mean_BS, logvar_BS = self.head(self.layers(x_BCHW).mean(dim=(2, 3))).chunk(2, dim=1)
        # tanh has a gradient everywhere: a variance that ran away can come back, which a hard clamp forbids.
        return mean_BS, LOGVAR_LIMIT * (logvar_BS / LOGVAR_LIMIT).tanh()
