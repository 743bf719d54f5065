"""Super-resolution with a chain of plain 3x3 convolutions.

Shape suffixes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.checkpointing import run_block
from translate.networks.enlarger import BLOCK_GAIN, Enlarger
from translate.networks.reparameterised import RepConv2d

SLOPE = 0.1
"""Negative slope of the leaky ReLU, which runtimes fuse into the convolution."""


class ConvBlock(nn.Module):
    """leaky_relu(conv(x)), 3x3, same size and channels; initialised near the identity, like a residual block."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = RepConv2d(channels, channels, gain=BLOCK_GAIN, identity=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(x_BCHW), SLOPE)


class CompactSR(Enlarger):
    """A chain of convolutions with the skip connections folded into their kernels.

    The architecture is the compact network of Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution
    with Pure Synthetic Data", 2021. Residual connections are part of the kernels, as in Ding et al., "RepVGG: Making
    VGG-style ConvNets Great Again", 2021, so that inference only needs convolutions. Inputs, outputs and the detail
    branch as in `Enlarger`.

    Args:
        channels: of input and output.
        scale: 1 to 8; 1 for restoration without upscaling.
        blocks: convolutions between the first and the last.
        width: hidden channels.
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
        blocks: int = 8,
        width: int = 48,
        detail_blocks: int = 0,
        unshuffle: int = 1,
        checkpoint: bool = False,
    ):
        super().__init__(scale, unshuffle)
        self.checkpoint = checkpoint
        self.head = RepConv2d(channels * unshuffle**2, width)
        self.blocks = nn.ModuleList(ConvBlock(width) for _ in range(blocks))
        self.add_ends(channels, width, detail_blocks)

    @property
    def reach(self) -> int:
        """Radius in pixels of the neighbourhood that a feature depends on."""
        return len(self.blocks) + 1

    def features(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels * unshuffle**2, H, W) -> (B, width, H, W)."""
        features_BCHW = F.leaky_relu(self.head(x_BCHW), SLOPE)
        for block in self.blocks:
            features_BCHW = run_block(block, features_BCHW, checkpointed=self.checkpoint)
        return features_BCHW
