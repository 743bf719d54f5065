"""Picture -> the colours and the texture of what it shows: styles that nobody has to learn.

Shape suffixes: B batch, C channels, H height, W width, S style size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.standard import Standard

PAPER = 0.9
"""A pixel with every channel above this, of -1 to 1, is background and has no say."""

OPPONENT = ((0.25, 0.5, 0.25), (0.5, 0.0, -0.5), (-0.25, 0.5, -0.25))
"""YCoCg: brightness, orange against blue, green against magenta; nearly uncorrelated in photographs."""

PALE = 0.03
"""Colour differences beyond this, of -1 to 1, are measured in ever larger steps: most things are nearly grey and a few
are glaring, and as they are, random styles would be glaring far too often."""


def colour_style_size(channels: int) -> int:
    """Length of the style vector: the mean of each channel, the contrast, and the texture."""
    return channels + 2


class ColourStyle(nn.Module):
    """Mean brightness and colour, contrast and fineness of the texture, over all that is not background.

    Measured from the middle of all pictures seen, in units of their spread, so that 0 is the middle and standard
    normal numbers are colours and textures that occur. In place of a learned encoder (Zhu et al., "Toward Multimodal
    Image-to-Image Translation", 2017): the generator uses from the first step what it can read off directly, and
    needs no second set of results to be taught to.

    in:  (B, C, H, W), nominally in [-1, 1].
    out: style_BS, S = C + 2.
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        self.standard = Standard(colour_style_size(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.standard(_statistics(x_BCHW.detach().float()))

    def follow(self, style_BS: Tensor) -> None:
        """Move the middle and the units towards those of styles that `forward` has given."""
        self.standard.follow(style_BS)


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
    # The ratio, as roughness by itself says mostly how much contrast there is.
    return torch.cat([mean_BC, contrast_B1, (rough_B1 / contrast_B1).log()], dim=1)
