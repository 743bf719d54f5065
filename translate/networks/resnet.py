"""CycleGAN's generator: residual blocks at a quarter of the resolution.

Shape suffixes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.checkpointing import run_block


class BlurDown(nn.Module):
    """Blur with [1 2 1] / 4 in both directions, then keep every other pixel.

    (B, C, H, W) -> (B, C, H / 2, W / 2), H and W even. Zhang, "Making Convolutional Networks Shift-Invariant Again",
    2019.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # Averaging two neighbours twice is [1 1] * [1 1] = [1 2 1].
        neighbours_BCHW = F.avg_pool2d(F.pad(x_BCHW, (1, 1, 1, 1), mode="reflect"), 2, stride=1)
        return F.avg_pool2d(neighbours_BCHW, 2, stride=2)


class BlurUp(nn.Module):
    """Double both sides and blur with [1 3 3 1] / 4 in both directions, which is bilinear upsampling.

    (B, C, H, W) -> (B, C, 2 H, 2 W).
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.interpolate(x_BCHW, scale_factor=2.0, mode="bilinear", align_corners=False)


class InstanceResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3 with reflection padding, same size and channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + F.instance_norm(self.conv2(_norm_relu(self.conv1(x_BCHW))))


class ResNet(nn.Module):
    """Two downsampling steps, residual blocks, two upsampling steps.

    Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, as in Zhu et al.,
    "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", 2017 (CycleGAN). Instance
    normalisation uses statistics over the whole image. An image of a single colour has no variance, so every layer
    amplifies rounding errors, and the output is arbitrary.

    in:  (B, in_channels, H, W), H and W divisible by `size_multiple`, nominally in [-1, 1].
    out: (B, out_channels, H, W) in [-1, 1].

    Args:
        blocks: residual blocks, at least 1; the papers use 9 for 256 pixels and 6 for 128.
        width: channels at full resolution; twice and four times as many at the lower ones.
        antialias: antialiased down- and upsampling, as in Park et al., "Contrastive Learning for Unpaired
            Image-to-Image Translation", 2020 (CUT).
        checkpoint: activation checkpointing of the residual blocks.
    """

    scale = 1
    size_multiple = 8
    """The strides need 4, but a side of 4 leaves a single pixel, which cannot be padded by reflection or normalised."""
    receptive_field: int | None = None

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        blocks: int = 9,
        width: int = 64,
        antialias: bool = False,
        checkpoint: bool = False,
    ):
        super().__init__()
        self.checkpoint = checkpoint
        self.feature_channels = [in_channels, 2 * width, 4 * width] + [4 * width] * len({0, blocks // 2})
        """Channels of each of `features`."""
        stride = 1 if antialias else 2
        self.stem = nn.Conv2d(in_channels, width, 7, padding=3, padding_mode="reflect")
        self.downs = nn.ModuleList(
            nn.Conv2d(channels, 2 * channels, 3, stride=stride, padding=1) for channels in (width, 2 * width)
        )
        self.blur = BlurDown() if antialias else nn.Identity()
        self.blocks = nn.ModuleList(InstanceResidualBlock(4 * width) for _ in range(blocks))
        self.ups = nn.ModuleList(_up(channels, antialias) for channels in (4 * width, 2 * width))
        self.out = nn.Conv2d(width, out_channels, 7, padding=3, padding_mode="reflect")

    def features(self, x_BCHW: Tensor) -> list[Tensor]:
        """Features for PatchNCE; nothing is computed after the last one.

        Returns:
            The image, the outputs of the two downsampling convolutions, and those of the first and the middle residual
            block (the fifth of 9).
        """
        found = [x_BCHW]
        x_BCHW = _norm_relu(self.stem(x_BCHW))
        for down in self.downs:
            x_BCHW = down(x_BCHW)
            found.append(x_BCHW)
            x_BCHW = self.blur(_norm_relu(x_BCHW))
        middle = len(self.blocks) // 2
        for number, block in enumerate(self.blocks[: middle + 1]):
            x_BCHW = run_block(block, x_BCHW, checkpointed=self.checkpoint)
            if number in (0, middle):
                found.append(x_BCHW)
        return found

    def forward(self, x_BCHW: Tensor, condition_BD: None = None) -> Tensor:
        x_BCHW = _norm_relu(self.stem(x_BCHW))
        for down in self.downs:
            x_BCHW = self.blur(_norm_relu(down(x_BCHW)))
        for block in self.blocks:
            x_BCHW = run_block(block, x_BCHW, checkpointed=self.checkpoint)
        for up in self.ups:
            x_BCHW = _norm_relu(up(x_BCHW))
        return self.out(x_BCHW).tanh()


def _norm_relu(x_BCHW: Tensor) -> Tensor:
    return F.relu(F.instance_norm(x_BCHW))


def _up(channels: int, antialias: bool) -> nn.Module:
    if antialias:
        return nn.Sequential(BlurUp(), nn.Conv2d(channels, channels // 2, 3, padding=1))
    return nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)
