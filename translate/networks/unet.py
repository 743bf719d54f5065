"""A compact U-Net without spatial statistics: the default generator.

Shape suffixes: B batch, C channels, H height, W width.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(nn.Module):
    """Divide every pixel's feature vector by its root mean square over the channels.

    x_BCHW -> x_BCHW. Unlike batch or instance normalisation no value depends on another pixel, so training,
    evaluation, export and tiles all agree. Karras et al., "Progressive Growing of GANs", 2018, eq. 2
    (there called pixelwise feature vector normalisation), with a learned gain per channel.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW * torch.rsqrt(x_BCHW.square().mean(dim=1, keepdim=True) + 1e-6) * self.gain


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(norm(x))))), 3x3, same size and channels.

    The last convolution starts at zero, so the block starts as the identity (Zhang et al., "Fixup
    Initialization", 2019).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv2(F.silu(self.conv1(F.silu(self.norm(x_BCHW)))))


class UNet(nn.Module):
    """Encoder-decoder with skip connections, half resolution inside, full resolution in the last two layers.

    in:  (B, in_channels, H, W), H and W divisible by `size_multiple`, nominally in [-1, 1].
    out: (B, out_channels, H, W), **not** bounded: the output is linear and is clamped where signals become
    pixels. A saturating output activation has no gradient where it saturates, and photographs on white
    paper push it there.

    Upsampling is nearest-neighbour followed by a convolution, which leaves no checkerboard (Odena et al.,
    "Deconvolution and Checkerboard Artifacts", 2016).

    Args:
        widths: channels at 1/2, 1/4, 1/8, ... of the input resolution.
        blocks: residual blocks at the coarsest level.
        edge_width: channels of the two full-resolution layers.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        widths: tuple[int, ...] = (24, 48, 96, 160, 176),
        blocks: int = 2,
        edge_width: int = 16,
    ):
        super().__init__()
        self.widths, self.blocks = widths, blocks
        # A strided 4x4 stem sees every input pixel equally often, a strided 3x3 does not.
        self.stem = nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(narrow, wide, 4, stride=2, padding=1) for narrow, wide in pairwise(widths))
        self.encoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.middle = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(blocks)))
        self.ups = nn.ModuleList(nn.Conv2d(wide, narrow, 3, padding=1) for narrow, wide in pairwise(widths))
        self.merges = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths[:-1])
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.edge_up = nn.Conv2d(widths[0], edge_width, 3, padding=1)
        self.edge_merge = nn.Conv2d(edge_width + in_channels, edge_width, 3, padding=1)
        self.out = nn.Conv2d(edge_width, out_channels, 3, padding=1)

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be divisible by this."""
        return 2 ** len(self.widths)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the input square that one output pixel can depend on (an upper bound).

        Every 3x3 convolution at 1/s of the resolution adds 2s, every 4x4 stride-2 one that ends at 1/s adds
        3s/2, and every nearest-neighbour step from 1/s to 2/s at most s/2 of misalignment.
        """
        levels = len(self.widths)
        strides = [2 ** (level + 1) for level in range(levels)]
        field = 1 + 2 * 2  # edge_merge and out, at full resolution
        field += 2 * strides[0]  # edge_up, before the last upsampling
        for level, stride in enumerate(strides):
            field += 3 * stride // 2 + stride // 2  # down to this level, and up from it
            if level < levels - 1:
                field += 2 * 2 * stride * 2 + 2 * strides[level + 1]  # encoder and decoder block, then `ups`
            else:
                field += 2 * 2 * stride * self.blocks
        return field

    def forward(self, x_BCHW: Tensor) -> Tensor:
        features_BCHW = self.stem(x_BCHW)
        skips: list[Tensor] = []
        for block, down in zip(self.encoder, self.downs, strict=True):
            features_BCHW = block(features_BCHW)
            skips.append(features_BCHW)
            features_BCHW = down(features_BCHW)
        features_BCHW = self.middle(features_BCHW)
        levels = zip(reversed(self.ups), reversed(self.merges), reversed(self.decoder), reversed(skips), strict=True)
        for up, merge, block, skip_BCHW in levels:
            # Convolving before the enlargement costs a quarter and gives the same family of functions.
            features_BCHW = F.interpolate(up(features_BCHW), scale_factor=2.0, mode="nearest")
            features_BCHW = block(merge(torch.cat([features_BCHW, skip_BCHW], dim=1)))
        features_BCHW = F.interpolate(F.silu(self.edge_up(features_BCHW)), scale_factor=2.0, mode="nearest")
        features_BCHW = F.silu(self.edge_merge(torch.cat([features_BCHW, x_BCHW], dim=1)))
        return self.out(features_BCHW)
