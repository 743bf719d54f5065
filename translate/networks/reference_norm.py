"""Batch normalisation whose batch is always the same one.

Shape suffixes: N reference pictures followed by those to judge, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class ReferenceNorm(nn.Module):
    """Normalises every channel by the statistics of a reference batch, which comes first in the input.

    Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.7. Ordinary batch normalisation makes
    what is said of one picture depend on those beside it. Reference batch normalisation uses the reference pictures
    alone; virtual batch normalisation counts the picture itself as one more of them, so that the reference is not
    learnt by heart. The reference is always normalised by itself.

    in:  x_NCHW, of which the first `references` are the features of the reference batch.
    out: the same shape.

    Args:
        channels: of the features.
        references: pictures of the reference batch, at least 1.
        virtual: whether every picture counts among the references.
    """

    def __init__(self, channels: int, references: int, virtual: bool):
        super().__init__()
        self.references = references
        self.virtual = virtual
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        # In float32: a variance of bfloat16 keeps three digits.
        precise_NCHW = x_NCHW.float()
        reference_variance, reference_mean = torch.var_mean(
            precise_NCHW[: self.references], dim=(0, 2, 3), correction=0, keepdim=True
        )
        mean, variance = reference_mean, reference_variance
        if self.virtual:
            own_variance, own_mean = torch.var_mean(precise_NCHW, dim=(2, 3), correction=0, keepdim=True)
            share_N111 = torch.full((len(x_NCHW), 1, 1, 1), 1.0 / (self.references + 1), device=x_NCHW.device)
            share_N111[: self.references] = 0.0
            # Mean and variance of both together, without the difference of large squares.
            away = own_mean - reference_mean
            mean = reference_mean + share_N111 * away
            variance = reference_variance + share_N111 * (own_variance - reference_variance)
            variance = variance + share_N111 * (1.0 - share_N111) * away.square()
        outcome_NCHW = (precise_NCHW - mean) * (variance + EPSILON).rsqrt()
        return (outcome_NCHW * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x_NCHW.dtype)
