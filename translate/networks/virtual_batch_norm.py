"""Batch normalisation with a fixed reference batch.

Shape suffixes: N reference images followed by those to score, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class VirtualBatchNorm(nn.Module):
    """Normalises every channel by the statistics of a reference batch, which comes first in the input.

    Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.7. With ordinary batch normalisation the
    output for one image depends on the others in its batch. Reference batch normalisation uses the statistics of the
    reference images only; virtual batch normalisation adds the image itself to them, against overfitting to the
    reference. The reference images are always normalised by their own statistics.

    in:  x_NCHW, of which the first `references` are the features of the reference batch.
    out: the same shape.

    Args:
        channels: of the features.
        references: size of the reference batch, at least 1.
        virtual: whether each image is added to the reference batch.
    """

    def __init__(self, channels: int, references: int, virtual: bool):
        super().__init__()
        self.references = references
        self.virtual = virtual
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        # In float32, because a variance in bfloat16 has three digits.
        precise_NCHW = x_NCHW.float()
        reference_variance, reference_mean = torch.var_mean(
            precise_NCHW[: self.references], dim=(0, 2, 3), correction=0, keepdim=True
        )
        mean, variance = reference_mean, reference_variance
        if self.virtual:
            own_variance, own_mean = torch.var_mean(precise_NCHW, dim=(2, 3), correction=0, keepdim=True)
            share_N111 = torch.full((len(x_NCHW), 1, 1, 1), 1.0 / (self.references + 1), device=x_NCHW.device)
            share_N111[: self.references] = 0.0
            # Combined mean and variance, without subtracting large squares.
            away = own_mean - reference_mean
            mean = reference_mean + share_N111 * away
            variance = reference_variance + share_N111 * (own_variance - reference_variance)
            variance = variance + share_N111 * (1.0 - share_N111) * away.square()
        outcome_NCHW = (precise_NCHW - mean) * (variance + EPSILON).rsqrt()
        return (outcome_NCHW * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x_NCHW.dtype)
