"""Image -> statistics of its colours and texture, as a style that need not be learnt.

Shape suffixes: B batch, C channels, H height, W width, S style size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.running_stats import MOMENTUM, RunningStats

PAPER = 0.9
"""Pixels with every channel above this, of -1 to 1, count as background and are ignored."""

OPPONENT = ((0.25, 0.5, 0.25), (0.5, 0.0, -0.5), (-0.25, 0.5, -0.25))
"""YCoCg: brightness, orange-blue, green-magenta; nearly uncorrelated in photos."""

PALE = 0.03
"""Colour differences above this, of -1 to 1, are compressed logarithmically: most objects are nearly grey and a few are
very saturated, so without compression random styles would be very saturated far too often."""


def colour_style_size(channels: int) -> int:
    """Length of the style vector: the mean of each channel, the contrast, and the texture."""
    return channels + 2


class ColourStyle(nn.Module):
    """Mean brightness and colour, contrast, and fineness of the texture, over all foreground pixels.

    Standardised with running statistics of the training images, so that 0 is the mean and standard normal styles give
    realistic colours and textures. Replaces a learned encoder (Zhu et al., "Toward Multimodal Image-to-Image
    Translation", 2017): the style is meaningful from the first step, and no second set of outputs with random styles is
    needed in training.

    in:  (B, C, H, W), nominally in [-1, 1].
    out: style_BS, S = C + 2.

    Args:
        channels: C.
        momentum: of the running statistics.
    """

    def __init__(self, channels: int = 3, momentum: float = MOMENTUM):
        super().__init__()
        self.standard = RunningStats(colour_style_size(channels), momentum)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.standard(_statistics(x_BCHW.detach().float()))

    def update(self, style_BS: Tensor) -> None:
        """Update the running statistics with styles returned by `forward`."""
        self.standard.update(style_BS)


def _statistics(x_BCHW: Tensor) -> Tensor:
    shown_B1HW = (x_BCHW.amin(dim=1, keepdim=True) < PAPER).float()
    shown_B1HW = shown_B1HW / shown_B1HW.mean(dim=(2, 3), keepdim=True).clamp_min(1e-4)
    mean_BC = (shown_B1HW * x_BCHW).mean(dim=(2, 3))
    light_B1HW = x_BCHW.mean(dim=1, keepdim=True)
    if x_BCHW.shape[1] == 3:
        # Not a matrix product, which autocast would round to 16 bits.
        mean_BC = (mean_BC[:, None] * mean_BC.new_tensor(OPPONENT)).sum(dim=2)
        mean_BC = torch.cat([mean_BC[:, :1], torch.asinh(mean_BC[:, 1:] / PALE)], dim=1)
    light_B11 = (shown_B1HW * light_B1HW).mean(dim=(2, 3), keepdim=True)
    contrast_B1 = (shown_B1HW * (light_B1HW - light_B11).square()).mean(dim=(2, 3)).clamp_min(1e-6).sqrt()
    around_B1HW = F.avg_pool2d(light_B1HW, 3, stride=1, padding=1, count_include_pad=False)
    rough_B1 = (shown_B1HW * (light_B1HW - around_B1HW).abs()).mean(dim=(2, 3)).clamp_min(1e-4)
    # The ratio, because roughness alone is mostly a measure of contrast.
    return torch.cat([mean_BC, contrast_B1, (rough_B1 / contrast_B1).log()], dim=1)
