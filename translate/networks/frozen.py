"""Frozen layers for pretrained networks.

Shape suffixes: B batch, C channels, H height, W width, O output channels, I input channels a group, K kernel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrozenConv2d(nn.Module):
    """A convolution whose weights are neither parameters nor part of the state dict.

    They are loaded from a package each time (`translate.networks.pretrained`), and so are not trained and not saved in
    snapshots. Gradients flow to the input.

    in:  x_BCHW. out: (B, O, H', W').

    Args:
        weight_OIKK, bias_O: values.
        stride, padding, groups: as for `nn.Conv2d`; "same-end" is TensorFlow's SAME padding: the output side is
            ceil(side / stride), and the larger half of an odd padding is at the bottom and right.
    """

    weight_OIKK: Tensor
    bias_O: Tensor

    def __init__(self, weight_OIKK: Tensor, bias_O: Tensor, stride: int = 1, padding: int | str = 0, groups: int = 1):
        super().__init__()
        self.register_buffer("weight_OIKK", weight_OIKK, persistent=False)
        self.register_buffer("bias_O", bias_O, persistent=False)
        self.stride, self.padding, self.groups = stride, padding, groups

    def forward(self, x_BCHW: Tensor) -> Tensor:
        padding = self.padding
        if padding == "same-end":
            kernel = self.weight_OIKK.shape[-1]
            padding = kernel // 2
            if self.stride > 1:
                rows, columns = (_missing(side, kernel, self.stride) for side in x_BCHW.shape[-2:])
                x_BCHW = F.pad(x_BCHW, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
                padding = 0
        assert isinstance(padding, int)
        return F.conv2d(x_BCHW, self.weight_OIKK, self.bias_O, self.stride, padding, groups=self.groups)


def _missing(side: int, kernel: int, stride: int) -> int:
    """Padding of `side` for ceil(side / stride) positions of the kernel."""
    return max((-(-side // stride) - 1) * stride + kernel - side, 0)


def fold_batch_norm(
    weight_OIKK: Tensor, gain_O: Tensor, shift_O: Tensor, mean_O: Tensor, variance_O: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution equal to a convolution without bias followed by BatchNorm."""
    factor_O = gain_O * torch.rsqrt(variance_O + epsilon)
    return weight_OIKK * factor_O[:, None, None, None], shift_O - mean_O * factor_O
