"""Super-resolution with large kernels on part of the channels.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.checkpointing import run_block
from translate.networks.enlarger import BLOCK_GAIN, Enlarger, initialise_conv
from translate.networks.reparameterised import RepConv2d

PARTIAL = 16
"""Number of channels with the large kernel."""

KERNEL = 13
"""Side of the large kernel in pixels."""


class LargeKernelBlock(nn.Module):
    """x + 1x1(large(3x3(relu(3x3(x))))): `large` is applied to the first channels only; same size."""

    def __init__(self, channels: int):
        super().__init__()
        self.partial = min(PARTIAL, channels)
        self.conv1 = RepConv2d(channels, channels)
        self.conv2 = RepConv2d(channels, channels)
        self.large = nn.Conv2d(self.partial, self.partial, KERNEL, padding=KERNEL // 2)
        self.join = nn.Conv2d(channels, channels, 1)
        initialise_conv(self.large, 1.0)
        initialise_conv(self.join, BLOCK_GAIN)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        found_BCHW = self.conv2(F.relu(self.conv1(x_BCHW)))
        rest = found_BCHW.shape[1] - self.partial
        near_BCHW, kept_BCHW = found_BCHW.split([self.partial, rest], dim=1)
        return x_BCHW + self.join(torch.cat([self.large(near_BCHW), kept_BCHW], dim=1))


class LargeKernelSR(Enlarger):
    """Residual blocks with a large kernel on part of the channels.

    Based on Lee et al., "Partial Large Kernel CNNs for Efficient Super-Resolution", 2024 (PLKSR), without its
    elementwise attention and with narrower blocks. Inputs, outputs and the detail branch as in `Enlarger`.

    Args:
        channels: of input and output.
        scale: 1 to 8; 1 for restoration without upscaling.
        blocks: residual blocks.
        width: hidden channels; 16 of them, or all if there are fewer, have the large kernel.
        detail_blocks: residual blocks of the detail branch; 0 for none.
        unshuffle: 1, 2 or 4, see `Enlarger`.
        checkpoint: activation checkpointing of the blocks.

    Raises:
        ValueError: another scale or unshuffle.
    """

    def __init__(
        self,
        channels: int = 3,
        scale: int = 4,
        blocks: int = 5,
        width: int = 48,
        detail_blocks: int = 0,
        unshuffle: int = 1,
        checkpoint: bool = False,
    ):
        super().__init__(scale, unshuffle)
        self.checkpoint = checkpoint
        self.head = RepConv2d(channels * unshuffle**2, width)
        self.blocks = nn.ModuleList(LargeKernelBlock(width) for _ in range(blocks))
        self.add_ends(channels, width, detail_blocks)

    @property
    def reach(self) -> int:
        """Radius in pixels of the neighbourhood that a feature depends on."""
        return 1 + len(self.blocks) * (2 + KERNEL // 2)

    def features(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels * unshuffle**2, H, W) -> (B, width, H, W)."""
        start_BCHW = features_BCHW = self.head(x_BCHW)
        for block in self.blocks:
            features_BCHW = run_block(block, features_BCHW, checkpointed=self.checkpoint)
        return start_BCHW + features_BCHW
