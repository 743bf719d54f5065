"""Keeping numbers standard normal that are later drawn from a standard normal.

Shape suffixes: B batch, S numbers.
"""

import torch
from torch import Tensor, nn

MEMORY = 0.01
"""Share by which one call of `follow` moves centre and spread."""

LEAST_SPREAD = 1e-3
"""What never varies is not magnified further."""


class Followed(nn.Module):
    """Buffers that follow what is seen in training; several processes average them after every step."""


class Standard(Followed):
    """Measures numbers from the centre of all seen before, in units of their spread.

    Batch normalisation's running statistics, used in training already: a batch of four says little about all.

    in:  value_BS.
    out: value_BS, standardised.
    """

    centre_S: Tensor
    spread_S: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("centre_S", torch.zeros(size))
        self.register_buffer("spread_S", torch.ones(size))

    def forward(self, value_BS: Tensor) -> Tensor:
        return (value_BS.float() - self.centre_S) / self.spread_S

    @torch.no_grad()
    def follow(self, value_BS: Tensor, variance_BS: Tensor | float = 0.0) -> None:
        """Move centre and spread towards those of standardised numbers, each with a variance of its own."""
        square_S = (value_BS.square() + variance_BS).mean(dim=0)
        # New tensors: the old ones are still wanted for the backward pass.
        self.centre_S = self.centre_S + MEMORY * self.spread_S * value_BS.mean(dim=0)
        self.spread_S = (self.spread_S * (1.0 + MEMORY * (square_S - 1.0)).sqrt()).clamp_min(LEAST_SPREAD)
