"""Base class of the upscaling generators: bicubic upsampling plus a correction, with an optional detail branch.

Shape suffixes: B batch, C channels, H height, W width.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.precision import full_precision

BLOCK_GAIN = 0.3
"""Factor on the initial weights of the last convolution of every block: small, so that the sum over the blocks does not
explode, but not zero, which would delay learning."""


class PlainResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3, same size and channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        initialise_conv(self.conv1, 1.0)
        initialise_conv(self.conv2, BLOCK_GAIN)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv2(F.relu(self.conv1(x_BCHW)))


class Bicubic(nn.Module):
    """Bicubic upsampling by an integer factor, as a convolution and a pixel shuffle.

    Equal to `F.interpolate(x_BCHW, scale_factor=scale, mode="bicubic")` (Keys, "Cubic Convolution Interpolation for
    Digital Image Processing", 1981, with a = -0.75 and replicate padding): each of the scale x scale output pixels of
    an input pixel is a fixed weighted sum of 5 x 5 neighbours. Runtimes are slower at the resize operator.

    in:  (B, channels, H, W), float32.
    out: (B, channels, H * scale, W * scale); `phases` returns it before the shuffle, (B, channels * scale**2, H, W).
    """

    reach = 2
    """Radius in pixels of the neighbourhood that an output pixel depends on."""

    def __init__(self, channels: int, scale: int):
        super().__init__()
        self.channels, self.scale = channels, scale
        taps_S5 = torch.stack([_cubic_taps(scale, phase) for phase in range(scale)])
        kernel_PHW = torch.einsum("yh,xw->yxhw", taps_S5, taps_S5).reshape(scale**2, 5, 5)
        # A constant, so not part of the state dict.
        self.register_buffer("kernel", kernel_PHW.repeat(channels, 1, 1)[:, None].float(), persistent=False)

    def phases(self, x_BCHW: Tensor) -> Tensor:
        """The upsampled image before the pixel shuffle."""
        padded_BCHW = F.pad(x_BCHW, (self.reach,) * 4, mode="replicate")
        assert isinstance(self.kernel, Tensor)
        # bfloat16 is coarser than 8-bit levels.
        with full_precision(x_BCHW.device):
            return F.conv2d(padded_BCHW, self.kernel, groups=self.channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW if self.scale == 1 else F.pixel_shuffle(self.phases(x_BCHW), self.scale)


def _cubic_taps(scale: int, phase: int) -> Tensor:
    """Weights (5,), float64, of the pixels at -2 ... 2 for one of the `scale` positions within a pixel."""
    a = -0.75
    place = (phase + 0.5) / scale - 0.5
    distance_5 = (torch.arange(-2, 3, dtype=torch.float64) - place).abs()
    near_5 = ((a + 2) * distance_5 - (a + 3)) * distance_5**2 + 1
    far_5 = a * (((distance_5 - 5) * distance_5 + 8) * distance_5 - 4)
    return torch.where(distance_5 <= 1, near_5, torch.where(distance_5 < 2, far_5, 0.0))


class Enlarger(nn.Module, ABC):
    """Bicubic upsampling plus a correction by a network at low resolution.

    A single pixel shuffle (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", 2016) whose convolution is initialised with zeros: the untrained network is bicubic
    upsampling, without checkerboard artifacts. There are no spatial statistics, so the receptive field is bounded.
    Subclasses create their layers, call `add_ends` last and implement `features` and `reach`.

    With `detail_blocks` there is a detail branch, which adds sharper texture to the output, scaled by the condition. It
    is trained on detached features, so the faithful output does not change, and intermediate values of the condition
    interpolate linearly.

    With `unshuffle` above 1 the network works at a fraction of the input size with more channels, which is cheaper for
    small scales (Wang et al., "Real-ESRGAN", 2021, section 3.3). The input sides must then be divisible by it.

    in:  (B, channels, H, W), nominally in [-1, 1]; the condition (B or 1, 1), amount of detail, 0 to 1.
    out: (B, channels, H * scale, W * scale), linear and unbounded.
    """

    scale: int
    size_multiple: int
    unshuffle: int
    tail: nn.Conv2d
    detail: nn.Sequential | None

    def __init__(self, scale: int, unshuffle: int):
        super().__init__()
        if not 1 <= scale <= 8:
            raise ValueError(f"scale is {scale}; it must be between 1 and 8")
        if unshuffle not in (1, 2, 4):
            raise ValueError(f"unshuffle is {unshuffle}; it must be 1, 2 or 4")
        self.scale, self.unshuffle, self.size_multiple = scale, unshuffle, unshuffle

    def add_ends(self, channels: int, width: int, detail_blocks: int) -> None:
        """Create the last convolution and, with `detail_blocks`, the detail branch; `width`: channels of `features`."""
        out = channels * (self.scale * self.unshuffle) ** 2
        self.bicubic = Bicubic(channels, self.scale)
        self.tail = nn.Conv2d(width, out, 3, padding=1)
        initialise_conv(self.tail, 0.0)
        self.detail = None
        if detail_blocks:
            last = nn.Conv2d(width, out, 3, padding=1)
            initialise_conv(last, 0.0)
            self.detail = nn.Sequential(*(PlainResidualBlock(width) for _ in range(detail_blocks)), last)

    @abstractmethod
    def features(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels * unshuffle**2, H, W) -> (B, width, H, W)."""

    @property
    @abstractmethod
    def reach(self) -> int:
        """Radius in pixels of the neighbourhood that a feature depends on."""

    @property
    def receptive_field(self) -> int:
        """Side in input pixels of the square that one output pixel depends on; an upper bound with `unshuffle`."""
        detail_blocks = 0 if self.detail is None else len(self.detail) - 1
        reach = self.reach + 2 * detail_blocks + 1
        # With unshuffle, a pixel also depends on its whole cell.
        return 1 + 2 * max(reach * self.unshuffle + self.unshuffle - 1, Bicubic.reach)

    def forward(self, x_BCHW: Tensor, condition_B1: Tensor | None = None) -> Tensor:
        small_BCHW = x_BCHW if self.unshuffle == 1 else F.pixel_unshuffle(x_BCHW, self.unshuffle)
        features_BCHW = self.features(small_BCHW)
        if self.unshuffle == 1 and self.scale > 1:  # add before the shuffle, where runtimes fuse the addition
            phases_BCHW = self.bicubic.phases(x_BCHW) + self.tail(features_BCHW)
            faithful_BCHW = F.pixel_shuffle(phases_BCHW, self.scale)
        else:
            faithful_BCHW = self.bicubic(x_BCHW) + self._shuffled(self.tail(features_BCHW))
        if self.detail is None or condition_B1 is None:
            return faithful_BCHW
        # Detached, so that training the detail branch does not change the faithful output.
        detail_BCHW = self._shuffled(self.detail(features_BCHW.detach()))
        return faithful_BCHW.detach() + condition_B1[:, :, None, None] * detail_BCHW

    def _shuffled(self, x_BCHW: Tensor) -> Tensor:
        return F.pixel_shuffle(x_BCHW, self.scale * self.unshuffle)


@torch.no_grad()
def initialise_conv(conv: nn.Conv2d, gain: float) -> None:
    """Kaiming initialisation (He et al., 2015) times `gain`, zero bias. In place."""
    nn.init.kaiming_normal_(conv.weight).mul_(gain)
    assert conv.bias is not None
    conv.bias.zero_()
