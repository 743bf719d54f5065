"""The U-Net of the classic pix2pix code, with the names of its weights.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from export.foreign.norms import Norm, Statistics, norm_layer, norm_of, title


class Skip(nn.Module):
    """A level below the outermost: what comes in beside what is made of it. (B, C, H, W) -> (B, 2 C, H, W)."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.cat([x_BCHW, self.model(x_BCHW)], dim=1)


class UNet(nn.Module):
    """Encoder-decoder with a skip connection at every level, without dropout.

    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, as in the authors' PyTorch
    code (`unet_128`, `unet_256` and deeper ones).

    in:  (B, in_channels, H, W), H and W divisible by `size_multiple`, in [-1, 1].
    out: (B, out_channels, H, W) in [-1, 1].

    Args:
        widths: channels of every level, from the outermost.
        norm: the normalisation between the convolutions.
        bias: whether the convolutions before a normalisation have a bias.
        statistics: of the batch normalisation.
    """

    scale = 1
    receptive_field: int | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: list[int],
        *,
        norm: Norm,
        bias: bool,
        statistics: Statistics,
    ):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.size_multiple = self.min_size = self.working_size = 2 ** len(widths)
        self.title = f"U-Net, {len(widths)} levels, width {widths[0]}, {title(norm, statistics)}"
        inner: nn.Module | None = None
        for narrow, wide in reversed(list(pairwise(widths))):
            down: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(narrow, wide, 4, 2, 1, bias=bias)]
            up: list[nn.Module] = [
                nn.ReLU(),
                nn.ConvTranspose2d(wide if inner is None else 2 * wide, narrow, 4, 2, 1, bias=bias),
                norm_layer(narrow, norm, statistics),
            ]
            if inner is not None:
                inner = Skip(*down, norm_layer(wide, norm, statistics), inner, *up)
            else:  # the innermost map may be a single pixel, which has no variance
                inner = Skip(*down, *up)
        assert inner is not None
        outermost = nn.Module()
        outermost.model = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 4, 2, 1, bias=bias),
            inner,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * widths[0], out_channels, 4, 2, 1),
            nn.Tanh(),
        )
        self.model = outermost

    def forward(self, x_BCHW: Tensor, condition_BD: None = None) -> Tensor:
        layers = self.model.model
        assert isinstance(layers, nn.Module)
        return layers(x_BCHW)


def unet_of(state: Mapping[str, Tensor], statistics: Statistics) -> UNet | None:
    """The network whose weights `state` seems to be, judged by its names and shapes; None if they look different."""
    first, last = state.get("model.model.0.weight"), state.get("model.model.3.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        return None
    widths, prefix = [first.shape[0]], "model.model.1."
    while (weight := state.get(f"{prefix}model.1.weight")) is not None and weight.ndim == 4:
        widths.append(weight.shape[0])
        prefix += "model.3."
    if len(widths) < 2:
        return None
    weights = any(name.endswith("model.4.weight") and weight.ndim == 1 for name, weight in state.items())
    bias = "model.model.0.bias" in state
    norm = norm_of(weights=weights, bias=bias)
    return UNet(first.shape[1], last.shape[1], widths, norm=norm, bias=bias, statistics=statistics)
