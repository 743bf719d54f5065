"""The U-Net of pix2pix, for comparison with the paper and for images of one fixed size.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class ClassicUNet(nn.Module):
    """Encoder-decoder down to 1 / `size_multiple` of the resolution, with a skip connection at every level.

    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017 (pix2pix), with the layers of
    the authors' PyTorch code. Batch normalisation is replaced by affine instance normalisation, so that the result does
    not depend on the batch. Dropout is active in training only; the paper also uses it at test time.

    in:  (B, in_channels, H, W), H and W divisible by `size_multiple`, nominally in [-1, 1].
    out: (B, out_channels, H, W) in [-1, 1].

    Args:
        levels: number of downsampling steps; 8 in the paper's U-Net for 256 pixels.
        width: channels of the first level; doubles at every level, up to 8 times.
        dropout: probability in the (levels - 5) decoder levels after the innermost.
    """

    scale = 1
    receptive_field: int | None = None

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, levels: int = 8, width: int = 64, dropout: float = 0.5
    ):
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(levels)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, wide in enumerate(widths):
            outermost, innermost = level == 0, level == levels - 1
            narrow = in_channels if outermost else widths[level - 1]
            down: list[nn.Module] = [nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False)]
            if not outermost:
                down.insert(0, nn.LeakyReLU(0.2))
            # The innermost map may be a single pixel, which has no variance.
            if not outermost and not innermost:
                down.append(nn.InstanceNorm2d(wide, affine=True))
            self.downs.append(nn.Sequential(*down))

            joined = wide if innermost else 2 * wide
            narrow = out_channels if outermost else narrow
            up: list[nn.Module] = [
                nn.ReLU(),
                nn.ConvTranspose2d(joined, narrow, 4, stride=2, padding=1, bias=outermost),
                nn.Tanh() if outermost else nn.InstanceNorm2d(narrow, affine=True),
            ]
            if 4 <= level < levels - 1:
                up.append(nn.Dropout(dropout))
            self.ups.insert(0, nn.Sequential(*up))

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be divisible by this."""
        return 2 ** len(self.downs)

    def forward(self, x_BCHW: Tensor, condition_BD: None = None) -> Tensor:
        skips: list[Tensor] = []
        for down in self.downs:
            x_BCHW = down(x_BCHW)
            skips.append(x_BCHW)
        x_BCHW = self.ups[0](skips.pop())
        for up in self.ups[1:]:
            x_BCHW = up(torch.cat([skips.pop(), x_BCHW], dim=1))
        return x_BCHW
