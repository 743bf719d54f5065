"""Normalisation as the classic code applies it at test time."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Statistics = Literal["picture", "running"]
"""picture: of each picture alone, which is what the classic code does unless it is told `--eval`, since it leaves its
networks in training mode and translates one picture at a time. running: the averages of the training."""


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of a batch of one, whatever the size of the batch, or with running statistics.

    in, out: (B, C, H, W); with `picture`, H * W must be more than 1.
    """

    def __init__(self, channels: int, statistics: Statistics):
        super().__init__(channels)
        self.statistics = statistics

    def forward(self, input: Tensor) -> Tensor:
        if self.statistics == "picture":
            return F.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)
        mean, variance = self.running_mean, self.running_var
        return F.batch_norm(input, mean, variance, self.weight, self.bias, training=False, eps=self.eps)


def norm(channels: int, *, batch: bool, statistics: Statistics) -> nn.Module:
    """The layer between two convolutions; instance normalisation has neither weights nor running statistics."""
    return BatchNorm(channels, statistics) if batch else nn.InstanceNorm2d(channels)


def title(*, batch: bool, statistics: Statistics) -> str:
    """The normalisation in words."""
    if not batch:
        return "instance normalisation"
    return f"batch normalisation by {'each picture' if statistics == 'picture' else 'running statistics'}"
