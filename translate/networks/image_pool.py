"""Pool of earlier generated images for training the discriminator.

Shape suffixes: P pool size, B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from translate.networks.running_stats import finite_or


class ImagePool(nn.Module):
    """Returns each generated image or, with probability 1/2 once the pool is full, an older one.

    Shrivastava et al., "Learning from Simulated and Unsupervised Images", 2017, as used in CycleGAN. The pool is a
    buffer, so a resumed run restores it. Values that are not finite are not kept: what is there stays in their place.

    in:  fake_BCHW without gradient. out: the same shape. Uses torch's global CPU generator.

    Args:
        size: of the pool; 0 returns the input.
        channels, side: of the images.
    """

    pictures_PCHW: Tensor
    filled: Tensor

    def __init__(self, size: int, channels: int, side: int):
        super().__init__()
        self.size = size
        self.register_buffer("pictures_PCHW", torch.zeros(size, channels, side, side))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self._count: int | None = None
        self.register_load_state_dict_post_hook(_reset_count)

    def forward(self, fake_BCHW: Tensor) -> Tensor:
        if not self.size:
            return fake_BCHW
        result_BCHW = fake_BCHW.clone()
        # The fill level, read from the device once after loading and then counted here.
        count = int(self.filled) if self._count is None else self._count
        for number, fake_CHW in enumerate(fake_BCHW):
            if count < self.size:
                place = count
                count += 1
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                result_BCHW[number] = self.pictures_PCHW[place]
            else:
                continue
            self.pictures_PCHW[place] = finite_or(fake_CHW, self.pictures_PCHW[place])
        self._count = count
        self.filled.fill_(count)
        return result_BCHW


def _reset_count(pool: nn.Module, _: object) -> None:
    """The count is invalid after loading a state dict."""
    assert isinstance(pool, ImagePool)
    pool._count = None
