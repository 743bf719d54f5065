"""Standardisation with running statistics, for values that are later sampled from a standard normal.

Shape suffixes: B batch, S values.
"""

import torch
from torch import Tensor, nn

MOMENTUM = 0.01
"""Momentum of the running statistics: the weight of a new batch."""

LEAST_SPREAD = 1e-3
"""Minimum spread, for values that do not vary."""


class SyncedBuffers(nn.Module):
    """Buffers that are updated in training and averaged over all processes after every step."""


def weight_of_part(weight: float, parts: int) -> float:
    """Weight of one of the parts of an accumulated batch in a running mean, such that all together have `weight`."""
    return 1.0 - (1.0 - weight) ** (1 / parts)


def finite_or(new: Tensor, old: Tensor) -> Tensor:
    """`new` where it is a number, else `old`: a step that is skipped must not spoil those to come."""
    return torch.where(new.isfinite(), new, old)


class RunningStats(SyncedBuffers):
    """Standardises values with a running mean (centre) and standard deviation (spread).

    The running statistics of batch normalisation, but used in training, too, because small batches are unreliable.

    in:  value_BS.
    out: value_BS, standardised.

    Args:
        size: S.
        momentum: of the running statistics.
    """

    centre_S: Tensor
    spread_S: Tensor

    def __init__(self, size: int, momentum: float = MOMENTUM):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centre_S", torch.zeros(size))
        self.register_buffer("spread_S", torch.ones(size))

    def forward(self, value_BS: Tensor) -> Tensor:
        return (value_BS.float() - self.centre_S) / self.spread_S

    @torch.no_grad()
    def update(self, value_BS: Tensor, variance_BS: Tensor | float = 0.0) -> None:
        """Update centre and spread with standardised values, which may each have a variance."""
        square_S = (value_BS.square() + variance_BS).mean(dim=0)
        # Out of place, because the old tensors are still needed in the backward pass.
        centre_S = self.centre_S + self.momentum * self.spread_S * value_BS.mean(dim=0)
        spread_S = (self.spread_S * (1.0 + self.momentum * (square_S - 1.0)).sqrt()).clamp_min(LEAST_SPREAD)
        self.centre_S = finite_or(centre_S, self.centre_S)
        self.spread_S = finite_or(spread_S, self.spread_S)
