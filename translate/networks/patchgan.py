"""PatchGAN discriminator: is each patch of this picture real, given the source?

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class PatchGAN(nn.Module):
    """Convolutional discriminator that judges overlapping patches.

    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017 (pix2pix), with
    spectral normalisation (Miyato et al., 2018) in the place of batch statistics.

    in:  source_BCHW and target_BCHW, same size.
    out: scores_B1HW (positive means real), and the list of intermediate features for feature matching.

    Args:
        channels: source plus target channels.
        width: channels of the first layer; doubles with every layer up to 8 times.
        layers: strided layers; 3 gives patches of 70 pixels, 4 of 142.
    """

    def __init__(self, channels: int = 6, width: int = 32, layers: int = 4):
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(layers + 1)]
        strides = [2] * layers + [1]
        narrow = [channels, *widths[:-1]]
        self.convs = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, stride=stride, padding=1))
            for before, after, stride in zip(narrow, widths, strides, strict=True)
        )
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, source_BCHW: Tensor, target_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        x_BCHW = torch.cat([source_BCHW, target_BCHW], dim=1)
        features: list[Tensor] = []
        for conv in self.convs:
            x_BCHW = F.leaky_relu(conv(x_BCHW), 0.2)
            features.append(x_BCHW)
        return self.score(x_BCHW), features
