"""The ResNet generators of CycleGAN, CUT and pix2pixHD, with the names of their weights.

Shape suffixes: B batch, C channels, H height, W width.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.foreign.norms import Norm, Statistics, norm_layer, norm_of, title

_MOST_STEPS = 8
"""A picture of 256 pixels would be a single one then."""


class Block(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3 with reflection padding. Dropout is off, but keeps its place."""

    def __init__(self, channels: int, *, norm: Norm, bias: bool, dropout: bool, statistics: Statistics):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(channels, norm, statistics),
            nn.ReLU(),
            *([nn.Identity()] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(channels, norm, statistics),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv_block(x_BCHW)


class BlurDown(nn.Module):
    """Blur with the kernel `filt`, then keep every other pixel. Zhang, "Making Convolutional Networks Shift-Invariant
    Again", 2019.
    """

    filt: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", torch.zeros(channels, 1, 3, 3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        padded_BCHW = F.pad(x_BCHW, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded_BCHW, self.filt, stride=2, groups=self.filt.shape[0])


class BlurUp(nn.Module):
    """Double both sides with the kernel `filt`."""

    filt: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", torch.zeros(channels, 1, 4, 4))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        padded_BCHW = F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate")
        doubled_BCHW = F.conv_transpose2d(padded_BCHW, self.filt, stride=2, padding=2, groups=self.filt.shape[0])
        return doubled_BCHW[:, :, 1:-1, 1:-1]


class ResNet(nn.Module):
    """Downsampling, residual blocks, upsampling.

    Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, as in the authors'
    PyTorch code of CycleGAN (two downsampling steps; 6 or 9 blocks), of CUT (with antialiasing) and of pix2pixHD (Wang
    et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", 2018; the global
    generator: four steps).

    in:  (B, in_channels, H, W), H and W divisible by `size_multiple` and at least `min_size`, in [-1, 1].
    out: (B, out_channels, H, W) in [-1, 1].

    Args:
        width: channels at full resolution; twice as many after every downsampling step.
        steps: downsampling steps.
        blocks: residual blocks.
        blur_down, blur_up: antialiased down- and upsampling.
        norm: the normalisation between the convolutions.
        bias: whether the convolutions before a normalisation have a bias.
        dropout: whether the blocks were trained with dropout, which moves the names of their second convolution.
        statistics: of the batch normalisation.
    """

    scale = 1
    receptive_field: int | None = None
    working_size: int | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        steps: int,
        blocks: int,
        *,
        blur_down: bool,
        blur_up: bool,
        norm: Norm,
        bias: bool,
        dropout: bool,
        statistics: Statistics,
    ):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.size_multiple = 2**steps
        # Reflection needs two pixels at the lowest resolution; the graph pads smaller pictures to this.
        self.min_size = self.size_multiple + 1
        self.title = (
            f"ResNet, {blocks} blocks, {steps} downsampling steps{', antialiased' * blur_down}, width {width}, "
            f"{title(norm, statistics)}"
        )

        def tail(channels: int) -> list[nn.Module]:
            return [norm_layer(channels, norm, statistics), nn.ReLU()]

        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7, bias=bias), *tail(width)]
        for step in range(steps):
            narrow, wide = width * 2**step, width * 2 ** (step + 1)
            layers += [nn.Conv2d(narrow, wide, 3, 1 if blur_down else 2, 1, bias=bias), *tail(wide)]
            layers += [BlurDown(wide)] if blur_down else []
        deepest = width * 2**steps
        layers += [Block(deepest, norm=norm, bias=bias, dropout=dropout, statistics=statistics) for _ in range(blocks)]
        for step in reversed(range(steps)):
            narrow, wide = width * 2**step, width * 2 ** (step + 1)
            if blur_up:
                layers += [BlurUp(wide), nn.Conv2d(wide, narrow, 3, 1, 1, bias=bias)]
            else:
                layers.append(nn.ConvTranspose2d(wide, narrow, 3, 2, 1, output_padding=1, bias=bias))
            layers += tail(narrow)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x_BCHW: Tensor, condition_BD: None = None) -> Tensor:
        return self.model(x_BCHW)


def resnet_of(state: Mapping[str, Tensor], statistics: Statistics) -> ResNet | None:
    """The network whose weights `state` seems to be, judged by its names and shapes; None if they look different."""
    first = state.get("model.1.weight")
    blocks = _places(state, r"conv_block\..*")
    if first is None or first.ndim != 4 or not blocks:
        return None
    last = state[f"model.{_places(state, 'weight')[-1]}.weight"]
    blurred = _places(state, "filt")
    blur_down = any(place < blocks[0] for place in blurred)
    bias = "model.1.bias" in state
    steps = (blocks[0] - 4) // (4 if blur_down else 3)
    if last.ndim != 4 or not 1 <= steps <= _MOST_STEPS:
        return None
    return ResNet(
        first.shape[1],
        last.shape[0],
        first.shape[0],
        steps,
        len(blocks),
        blur_down=blur_down,
        blur_up=any(place > blocks[-1] for place in blurred),
        norm=norm_of(weights="model.2.weight" in state, bias=bias),
        bias=bias,
        dropout=f"model.{blocks[0]}.conv_block.6.weight" in state and _is_convolution(state, blocks[0], 6),
        statistics=statistics,
    )


def _places(state: Mapping[str, Tensor], rest: str) -> list[int]:
    """The numbers of the layers whose names end in this pattern, in order."""
    layer = re.compile(rf"model\.(0|[1-9][0-9]{{0,2}})\.{rest}")
    return sorted({int(found[1]) for name in state if (found := layer.fullmatch(name))})


def _is_convolution(state: Mapping[str, Tensor], block: int, place: int) -> bool:
    return state[f"model.{block}.conv_block.{place}.weight"].ndim == 4
