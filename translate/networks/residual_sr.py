"""Super-resolution and restoration with a residual network.

Shape suffixes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn

from translate.networks.checkpointing import run_block
from translate.networks.enlarger import Enlarger, PlainResidualBlock, initialise_conv


class ResidualSR(Enlarger):
    """Bicubic upsampling plus a correction by a residual network at low resolution.

    Without normalisation, as in Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017
    (EDSR). Inputs, outputs and the detail branch as in `Enlarger`.

    Args:
        channels: of input and output.
        scale: 1 to 8; 1 for restoration without upscaling.
        blocks: residual blocks.
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
        blocks: int = 12,
        width: int = 48,
        detail_blocks: int = 0,
        unshuffle: int = 1,
        checkpoint: bool = False,
    ):
        super().__init__(scale, unshuffle)
        self.checkpoint = checkpoint
        self.head = nn.Conv2d(channels * unshuffle**2, width, 3, padding=1)
        self.blocks = nn.ModuleList(PlainResidualBlock(width) for _ in range(blocks))
        self.join = nn.Conv2d(width, width, 3, padding=1)
        for conv in (self.head, self.join):
            initialise_conv(conv, 1.0)
        self.add_ends(channels, width, detail_blocks)

    @property
    def reach(self) -> int:
        """Radius in pixels of the neighbourhood that a feature depends on."""
        return 2 * len(self.blocks) + 2

    def features(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels * unshuffle**2, H, W) -> (B, width, H, W)."""
        start_BCHW = self.head(x_BCHW)
        features_BCHW = start_BCHW
        for block in self.blocks:
            features_BCHW = run_block(block, features_BCHW, checkpointed=self.checkpoint)
        return start_BCHW + self.join(features_BCHW)
