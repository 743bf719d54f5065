"""A compact U-Net without spatial statistics: the default generator.

Shape suffixes: B batch, C channels, D condition size, H height, W width.
"""

from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.checkpointing import run_block

Padding = Literal["zeros", "replicate"]
Upsampling = Literal["nearest", "bilinear"]


class ChannelNorm(nn.Module):
    """Divide every pixel's feature vector by its root mean square over the channels.

    x_BCHW -> x_BCHW. Unlike with batch or instance normalisation, no value depends on another pixel, so training,
    evaluation, export and tiling all agree. Karras et al., "Progressive Growing of GANs", 2018, eq. 2 (there called
    pixelwise feature vector normalisation), with a learned gain per channel.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW * torch.rsqrt(x_BCHW.square().mean(dim=1, keepdim=True) + 1e-6) * self.gain


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(norm(x))))), 3x3, same size and channels.

    The last convolution is initialised with zeros, so the block starts as the identity (Zhang et al., "Fixup
    Initialization", 2019).

    With a condition, norm(x) becomes norm(x) * (1 + gain) + shift, both linear in the condition (Perez et al.,
    "FiLM: Visual Reasoning with a General Conditioning Layer", 2018). They are initialised with zeros too.

    in:  x_BCHW, and condition_BD, or condition_1D for all images; None means zeros.
    out: (B, C, H, W).
    """

    def __init__(self, channels: int, condition_size: int = 0, padding: Padding = "zeros"):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)
        if condition_size:
            self.modulation = nn.Linear(condition_size, 2 * channels, bias=False)
            nn.init.zeros_(self.modulation.weight)

    def forward(self, x_BCHW: Tensor, condition_BD: Tensor | None = None) -> Tensor:
        normed_BCHW = self.norm(x_BCHW)
        if condition_BD is not None:
            gain_BC11, shift_BC11 = self.modulation(condition_BD)[:, :, None, None].chunk(2, dim=1)
            normed_BCHW = normed_BCHW * (1.0 + gain_BC11) + shift_BC11
        return x_BCHW + self.conv2(F.silu(self.conv1(F.silu(normed_BCHW))))


class BilinearUpsampling(nn.Module):
    """Twice the height and width, bilinear with half-pixel centres: `F.interpolate(mode="bilinear")`.

    Computed as nearest-neighbour upsampling blurred by [1 2 1] / 4 along rows and columns, which is equivalent and
    faster in ONNX Runtime and in training. The blur has a double zero at the Nyquist frequency, so no blocks remain.

    (B, C, H, W) -> (B, C, 2H, 2W).
    """

    blur_33: Tensor

    def __init__(self):
        super().__init__()
        binomial = torch.tensor([0.25, 0.5, 0.25])
        # Not persistent: a constant, and the weights fit both kinds of upsampling.
        self.register_buffer("blur_33", binomial.outer(binomial), persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        channels = x_BCHW.shape[1]
        x_BCHW = F.pad(F.interpolate(x_BCHW, scale_factor=2.0, mode="nearest"), (1, 1, 1, 1), mode="replicate")
        return F.conv2d(x_BCHW, self.blur_33.expand(channels, 1, 3, 3), groups=channels)


class UNet(nn.Module):
    """Encoder-decoder with skip connections, at half resolution and below, with two layers at full resolution.

    in:  (B, in_channels, H, W), H and W divisible by `size_multiple`, nominally in [-1, 1], and if there is a
    condition (B, condition_size), or (1, condition_size) for all images; None means zeros.
    out: (B, out_channels, H, W), **not** bounded: the output is linear, and clamped when it is converted to pixels. A
    saturating output activation would have no gradient on photos with a white background.

    There are no transposed convolutions (Odena et al., "Deconvolution and Checkerboard Artifacts", 2016).
    Nearest-neighbour upsampling still has steps of 2, 4, 8, ... pixels wherever features change slowly, which become
    visible in the output; with bilinear upsampling there are almost none (`benchmarks/grid.py`).

    Args:
        widths: channels at 1/2, 1/4, 1/8, ... of the input resolution.
        blocks: residual blocks at the coarsest level.
        edge_width: channels of the two full-resolution layers.
        condition_size: length of the vector that modulates every residual block; 0 for none.
        residual: add the input to the output, and start as the identity.
        padding: of every 3x3 and 4x4 convolution. With zeros the network can infer the distance to the border, and
            paints skies by their distance from the top; with replicate padding it cannot.
        checkpoint: activation checkpointing of the residual blocks.
        upsampling: in the decoder; does not change the weights.

    Raises:
        ValueError: `residual` with different numbers of channels in and out.
    """

    scale = 1

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        widths: tuple[int, ...] = (24, 48, 96, 160, 176),
        blocks: int = 2,
        edge_width: int = 16,
        condition_size: int = 0,
        residual: bool = False,
        padding: Padding = "zeros",
        checkpoint: bool = False,
        upsampling: Upsampling = "nearest",
    ):
        super().__init__()
        if residual and in_channels != out_channels:
            raise ValueError(f"{in_channels} channels in, {out_channels} out; residual needs as many out as in")
        self.widths, self.blocks, self.residual, self.checkpoint = widths, blocks, residual, checkpoint
        self.upsampling = upsampling
        conv = partial(nn.Conv2d, padding=1, padding_mode=padding)
        block = partial(ResidualBlock, condition_size=condition_size, padding=padding)
        # A strided 4x4 stem uses every input pixel equally often, a strided 3x3 does not.
        self.stem = conv(in_channels, widths[0], 4, stride=2)
        self.downs = nn.ModuleList(conv(narrow, wide, 4, stride=2) for narrow, wide in pairwise(widths))
        self.encoder = nn.ModuleList(block(width) for width in widths[:-1])
        self.middle = nn.ModuleList(block(widths[-1]) for _ in range(blocks))
        self.ups = nn.ModuleList(conv(wide, narrow, 3) for narrow, wide in pairwise(widths))
        self.merges = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths[:-1])
        self.decoder = nn.ModuleList(block(width) for width in widths[:-1])
        self.enlarge = (
            BilinearUpsampling() if upsampling == "bilinear" else nn.Upsample(scale_factor=2.0, mode="nearest")
        )
        self.edge_up = conv(widths[0], edge_width, 3)
        self.edge_merge = conv(edge_width + in_channels, edge_width, 3)
        self.out = conv(edge_width, out_channels, 3)
        if residual:
            for parameter in self.out.parameters():
                nn.init.zeros_(parameter)

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be divisible by this."""
        return 2 ** len(self.widths)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the input square that one output pixel can depend on (an upper bound).

        Every 3x3 convolution at 1/s of the resolution adds 2s, every 4x4 stride-2 one that ends at 1/s adds
        3s/2, and every nearest-neighbour step from 1/s to 2/s at most s/2 of misalignment; a bilinear one sees s
        more.
        """
        levels = len(self.widths)
        strides = [2 ** (level + 1) for level in range(levels)]
        field = 1 + 2 * 2  # edge_merge and out, at full resolution
        field += 2 * strides[0]  # edge_up, before the last upsampling
        for level, stride in enumerate(strides):
            field += 3 * stride // 2 + stride // 2  # down to this level, and up from it
            field += stride if self.upsampling == "bilinear" else 0
            if level < levels - 1:
                field += 2 * 2 * stride * 2 + 2 * strides[level + 1]  # encoder and decoder block, then `ups`
            else:
                field += 2 * 2 * stride * self.blocks
        return field

    @property
    def feature_channels(self) -> list[int]:
        """Channels of each of `features`."""
        return list(self.widths)

    def features(self, x_BCHW: Tensor, condition_BD: Tensor | None = None) -> list[Tensor]:
        """Features of the encoder, for contrastive losses; arguments as for `forward`.

        Returns:
            (B, widths[level], H / 2**(level + 1), W / 2**(level + 1)), finest first: the skips, then the middle.
        """
        features_BCHW = self.stem(x_BCHW)
        skips: list[Tensor] = []
        for block, down in zip(self.encoder, self.downs, strict=True):
            skips.append(self._run(block, features_BCHW, condition_BD))
            features_BCHW = down(skips[-1])
        for block in self.middle:
            features_BCHW = self._run(block, features_BCHW, condition_BD)
        return [*skips, features_BCHW]

    def forward(self, x_BCHW: Tensor, condition_BD: Tensor | None = None) -> Tensor:
        *skips, features_BCHW = self.features(x_BCHW, condition_BD)
        levels = zip(reversed(self.ups), reversed(self.merges), reversed(self.decoder), reversed(skips), strict=True)
        for up, merge, block, skip_BCHW in levels:
            # Convolving before upsampling costs a quarter, for the same class of functions.
            features_BCHW = self.enlarge(up(features_BCHW))
            features_BCHW = self._run(block, merge(torch.cat([features_BCHW, skip_BCHW], dim=1)), condition_BD)
        features_BCHW = self.enlarge(F.silu(self.edge_up(features_BCHW)))
        features_BCHW = F.silu(self.edge_merge(torch.cat([features_BCHW, x_BCHW], dim=1)))
        result_BCHW = self.out(features_BCHW)
        return x_BCHW + result_BCHW if self.residual else result_BCHW

    def _run(self, block: nn.Module, x_BCHW: Tensor, condition_BD: Tensor | None) -> Tensor:
        return run_block(block, x_BCHW, condition_BD, checkpointed=self.checkpoint)
