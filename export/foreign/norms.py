"""Normalisation as the classic code applies it at test time."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Statistics = Literal["picture", "running"]
"""picture: of each picture alone, which is what the classic code does unless it is told `--eval`, since it leaves its
networks in training mode and translates one picture at a time. running: the averages of the training."""

Norm = Literal["batch", "instance", "none"]
"""As `--norm` of the classic code."""


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


def norm_of(*, weights: bool, bias: bool) -> Norm:
    """The normalisation of a network of the classic code, where only instance normalisation and none lack weights.

    Args:
        weights: whether it has weights.
        bias: whether the convolutions before it have a bias, which the classic code leaves out where there is none.
    """
    return "batch" if weights else "instance" if bias else "none"


def norm_layer(channels: int, norm: Norm, statistics: Statistics) -> nn.Module:
    """The layer between two convolutions; only batch normalisation has weights and running statistics."""
    if norm == "batch":
        return BatchNorm(channels, statistics)
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.Identity()


def title(norm: Norm, statistics: Statistics) -> str:
    """The normalisation in words."""
    if norm != "batch":
        return f"{'instance' if norm == 'instance' else 'no'} normalisation"
    return f"batch normalisation by {'each picture' if statistics == 'picture' else 'running statistics'}"
