"""A memory of made pictures, so that the discriminator does not forget what it has seen.

Shape suffixes: P pool size, B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Returns for every made picture that picture or, half of the time once it is full, an older one.

    Shrivastava et al., "Learning from Simulated and Unsupervised Images", 2017, as CycleGAN uses it. The pool is a
    buffer, so a resumed run goes on with it.

    in:  made_BCHW without gradient. out: the same shape. Randomness from torch's global generator on the CPU.

    Args:
        size: pictures kept; 0 returns what it is given.
        channels, side: of the pictures.
    """

    pictures_PCHW: Tensor
    filled: Tensor

    def __init__(self, size: int, channels: int, side: int):
        super().__init__()
        self.size = size
        self.register_buffer("pictures_PCHW", torch.zeros(size, channels, side, side))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self._count: int | None = None
        self.register_load_state_dict_post_hook(_forget_count)

    def forward(self, made_BCHW: Tensor) -> Tensor:
        if not self.size:
            return made_BCHW
        shown_BCHW = made_BCHW.clone()
        # How full it is, read from the device once after loading and then counted here.
        count = int(self.filled) if self._count is None else self._count
        for number, made_CHW in enumerate(made_BCHW):
            if count < self.size:
                self.pictures_PCHW[count] = made_CHW
                count += 1
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                shown_BCHW[number] = self.pictures_PCHW[place]
                self.pictures_PCHW[place] = made_CHW
        self._count = count
        self.filled.fill_(count)
        return shown_BCHW


def _forget_count(pool: nn.Module, _: object) -> None:
    """What was counted before other pictures were loaded says nothing about them."""
    assert isinstance(pool, ImagePool)
    pool._count = None
