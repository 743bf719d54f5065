"""Super-resolution with parameter-free attention.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.checkpointing import run_block
from translate.networks.enlarger import Enlarger, initialise_conv
from translate.networks.reparameterised import RepConv2d

GAIN = 2.0
"""Factor on the initial weights of the last convolution of every block, to compensate for the attention."""


class AttentionBlock(nn.Module):
    """(f(x) + x) * (sigmoid(f(x)) - 1/2), with f three 3x3 convolutions with SiLU between; same size and channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = RepConv2d(channels, channels)
        self.conv2 = RepConv2d(channels, channels)
        self.conv3 = RepConv2d(channels, channels, gain=GAIN)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        found_BCHW = self.conv3(F.silu(self.conv2(F.silu(self.conv1(x_BCHW)))))
        return (found_BCHW + x_BCHW) * (torch.sigmoid(found_BCHW) - 0.5)


class SPAN(Enlarger):
    """Blocks whose output is weighted by its own magnitude.

    Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", 2024. The outputs of the head,
    of the first, the last but one and, after another convolution, the last block are joined by a 1x1 convolution.
    Unlike there, the output is a correction of bicubic upsampling. Inputs, outputs and the detail branch as in
    `Enlarger`.

    Args:
        channels: of input and output.
        scale: 1 to 8; 1 for restoration without upscaling.
        blocks: at least 1; the paper has 6.
        width: hidden channels; the paper has 48 or 52.
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
        blocks: int = 6,
        width: int = 48,
        detail_blocks: int = 0,
        unshuffle: int = 1,
        checkpoint: bool = False,
    ):
        super().__init__(scale, unshuffle)
        self.checkpoint = checkpoint
        self.head = RepConv2d(channels * unshuffle**2, width)
        self.blocks = nn.ModuleList(AttentionBlock(width) for _ in range(blocks))
        self.last = RepConv2d(width, width)
        # Blocks whose outputs go directly to the join: the first and the last but one.
        self.direct = sorted({1, max(blocks - 1, 1)})
        self.join = nn.Conv2d((2 + len(self.direct)) * width, width, 1)
        initialise_conv(self.join, 1.0)
        self.add_ends(channels, width, detail_blocks)

    @property
    def reach(self) -> int:
        """Radius in pixels of the neighbourhood that a feature depends on."""
        return 3 * len(self.blocks) + 2

    def features(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels * unshuffle**2, H, W) -> (B, width, H, W)."""
        found = [self.head(x_BCHW)]
        for block in self.blocks:
            found.append(run_block(block, found[-1], checkpointed=self.checkpoint))
        return self.join(torch.cat([found[0], self.last(found[-1]), *(found[n] for n in self.direct)], dim=1))
