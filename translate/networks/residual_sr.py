"""Super-resolution and restoration as a correction of bicubic enlargement: the default enlarging generator.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.checkpointing import run_block

BLOCK_GAIN = 0.3
"""Factor on the initial weights of every block's last convolution: a block adds little at first, or their sum would
explode; but more than nothing, or it is learnt late."""


class PlainResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3, same size and channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        _initialise(self.conv1, 1.0)
        _initialise(self.conv2, BLOCK_GAIN)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv2(F.relu(self.conv1(x_BCHW)))


class ResidualSR(nn.Module):
    """Bicubic enlargement plus what a residual network at the small size adds to it.

    Without any normalisation, after Lim et al., "Enhanced Deep Residual Networks for Single Image
    Super-Resolution", 2017 (EDSR). One pixel shuffle (Shi et al., 2016) whose convolution starts at zero: the
    untrained network is bicubic enlargement, and no checkerboard has to be unlearnt.

    With `detail_blocks` there is a second end: a branch that adds sharper texture to the finished picture, as much
    of it as the condition asks for. It is learnt on features that it cannot change, so the faithful end stays what it
    was, and everything between the two ends is a blend of them.

    in:  (B, channels, H, W), nominally in [-1, 1]; the condition (B or 1, 1), share of the detail to add, 0 to 1.
    out: (B, channels, H * scale, W * scale), linear and not bounded.

    Args:
        channels: of the input and of the output.
        scale: 1 to 8; 1 restores without enlarging.
        blocks: residual blocks.
        width: channels inside.
        detail_blocks: residual blocks of the branch; 0 leaves it out.
        checkpoint: compute the residual blocks again in the backward pass: slower, less memory.

    Raises:
        ValueError: another scale.
    """

    size_multiple = 1

    def __init__(
        self,
        channels: int = 3,
        scale: int = 4,
        blocks: int = 12,
        width: int = 48,
        detail_blocks: int = 0,
        checkpoint: bool = False,
    ):
        super().__init__()
        if not 1 <= scale <= 8:
            raise ValueError(f"scale is {scale}; it must be between 1 and 8")
        self.scale, self.checkpoint = scale, checkpoint
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(PlainResidualBlock(width) for _ in range(blocks))
        self.join = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, channels * scale**2, 3, padding=1)
        for conv, gain in ((self.head, 1.0), (self.join, 1.0), (self.tail, 0.0)):
            _initialise(conv, gain)
        self.detail = None
        if detail_blocks:
            last = nn.Conv2d(width, channels * scale**2, 3, padding=1)
            _initialise(last, 0.0)
            self.detail = nn.Sequential(*(PlainResidualBlock(width) for _ in range(detail_blocks)), last)

    @property
    def receptive_field(self) -> int:
        """Side in input pixels of the square that one output pixel depends on.

        Every 3x3 convolution adds 2; bicubic enlargement reaches 2 pixels either way, which is less.
        """
        detail_blocks = 0 if self.detail is None else len(self.detail) - 1
        return 1 + 2 * (2 * (len(self.blocks) + detail_blocks) + 3)

    def forward(self, x_BCHW: Tensor, condition_B1: Tensor | None = None) -> Tensor:
        start_BCHW = self.head(x_BCHW)
        features_BCHW = start_BCHW
        for block in self.blocks:
            features_BCHW = run_block(block, features_BCHW, checkpointed=self.checkpoint)
        features_BCHW = start_BCHW + self.join(features_BCHW)
        correction_BCHW = F.pixel_shuffle(self.tail(features_BCHW), self.scale)
        faithful_BCHW = F.interpolate(x_BCHW, scale_factor=float(self.scale), mode="bicubic") + correction_BCHW
        if self.detail is None or condition_B1 is None:
            return faithful_BCHW
        # Detached: what sharpens the picture must not move the faithful end.
        detail_BCHW = F.pixel_shuffle(self.detail(features_BCHW.detach()), self.scale)
        return faithful_BCHW.detach() + condition_B1[:, :, None, None] * detail_BCHW


@torch.no_grad()
def _initialise(conv: nn.Conv2d, gain: float) -> None:
    nn.init.kaiming_normal_(conv.weight).mul_(gain)
    assert conv.bias is not None
    conv.bias.zero_()
