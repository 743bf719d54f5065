"""Picture -> distribution of style vectors, for translations with more than one answer.

Shape suffixes: B batch, C channels, H height, S style size, W width.
"""

from itertools import pairwise

from torch import Tensor, nn

from translate.networks.standard import Standard
from translate.networks.unet import ChannelNorm

LOGVAR_LIMIT = 6.0
"""Log variances stay between plus and minus this: standard deviations between 0.05 and 20,
in units of the spread."""


class StyleEncoder(nn.Module):
    """Strided convolutions, the mean over all places, one linear layer.

    Zhu et al., "Toward Multimodal Image-to-Image Translation", 2017 (BicycleGAN). No spatial statistics other than
    the mean over all places.

    What comes out is measured from the centre of all styles seen, in units of their spread: later, styles are drawn
    from a standard normal, and 0 stands for the middle. A penalty alone (Kullback-Leibler) would have to be so strong
    for this that the style says nothing.

    in:  (B, channels, H, W), each side at least 32, nominally in [-1, 1].
    out: mean_BS and logvar_BS, of a normal distribution with independent entries.

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
        self.standard = Standard(style_size)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        mean_BS, logvar_BS = self.head(self.layers(x_BCHW).mean(dim=(2, 3))).chunk(2, dim=1)
        # tanh has a gradient everywhere: a variance that ran away can come back, which a hard clamp forbids.
        logvar_BS = LOGVAR_LIMIT * (logvar_BS.float() / LOGVAR_LIMIT).tanh()
        return self.standard(mean_BS), logvar_BS - 2.0 * self.standard.spread_S.log()

    def follow(self, mean_BS: Tensor, logvar_BS: Tensor) -> None:
        """Move centre and spread towards those of the styles that `forward` has given for real pictures."""
        self.standard.follow(mean_BS, logvar_BS.exp())
