"""State of adversarial training that is kept between steps. All of it is in buffers, so a resumed run restores it.

Shape suffixes: B batch, C channels, H height, W width, R reference batch, P parameters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from translate.losses.historical_average import historical_average
from translate.networks.running_stats import SyncedBuffers, finite_or, weight_of_part

EMA_WEIGHT = 0.01
"""Weight of a new batch in the EMAs of the scores (0.01 in LeCam, 2021)."""

ADAPTATION_IMAGES = 50_000
"""Images it takes at least for the augmentation probability to go from 0 to 1. 500,000 in ADA (2020), whose runs see 25
million images; a run of an evening sees a hundredth of that."""


def ema_weight(parts: int) -> float:
    """EMA weight of one of the parts of an accumulated batch, such that all parts together weigh `EMA_WEIGHT`."""
    return weight_of_part(EMA_WEIGHT, parts)


class ScoreEMA(SyncedBuffers):
    """Exponential moving averages of the scores of real and generated images.

    Args:
        weight: of the new scores.
    """

    real: Tensor
    fake: Tensor

    def __init__(self, weight: float = EMA_WEIGHT) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    @torch.no_grad()
    def update(self, real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> None:
        """Update the averages with these scores, one map per scale."""
        # Out of place, because the old tensors are still needed in the backward pass.
        self.real = finite_or(self.real.lerp(_mean(real_scores), self.weight), self.real)
        self.fake = finite_or(self.fake.lerp(_mean(fake_scores), self.weight), self.fake)


class AugmentationController(SyncedBuffers):
    """Adapts the augmentation probability to how much the discriminator overfits.

    Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020 (ADA), section 3.1: the mean sign
    of the scores of real images grows as the discriminator overfits. Above `target` the probability rises, below it
    falls.

    Args:
        target: for the mean sign, between -1 and 1; 0.6 in the paper.
        boundary: score above which an image is classified as real; None for losses without one, which use the midpoint
            between the mean scores of real and generated images.
        images: number of training images per call, over all processes.
        weight: of the new signs in their EMA.
    """

    probability: Tensor
    sign: Tensor

    def __init__(self, target: float, boundary: float | None, images: int, weight: float = EMA_WEIGHT):
        super().__init__()
        self.weight = weight
        self.max_change = images / ADAPTATION_IMAGES
        self.target = target
        self.boundary = boundary
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("sign", torch.zeros(()))

    @torch.no_grad()
    def update(self, real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> None:
        """Update with the scores of a batch of real and one of generated images, one map per scale."""
        signs = [
            (real - ((real.mean() + fake.mean()) / 2 if self.boundary is None else self.boundary)).sign()
            for real, fake in zip(real_scores, fake_scores, strict=True)
        ]
        self.sign = self.sign.lerp(_mean(signs), self.weight)
        change = (self.sign - self.target).sign() * self.max_change
        self.probability = (self.probability + change).clamp(0.0, 1.0)


class HistoricalAverage(nn.Module):
    """The mean of a network's past parameters, and the penalty for their distance from it.

    Args:
        network: gives the number of parameters; not stored.
    """

    mean_P: Tensor
    steps: Tensor

    def __init__(self, network: nn.Module):
        super().__init__()
        self.register_buffer("mean_P", torch.zeros(sum(weight.numel() for weight in network.parameters())))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, network: nn.Module) -> Tensor:
        """Add the current parameters to the mean and return their `historical_average`."""
        now_P = torch.cat([weight.reshape(-1) for weight in network.parameters()])
        self.steps = self.steps + 1
        self.mean_P = self.mean_P + (now_P.detach() - self.mean_P) / self.steps
        return historical_average(now_P, self.mean_P)


class ReferenceBatch(nn.Module):
    """The first real images seen by a discriminator, for `VirtualBatchNorm`.

    Args:
        size: number of images.
        channels, side: of the discriminator input.
    """

    pictures_RCHW: Tensor
    kept: Tensor

    def __init__(self, size: int, channels: int, side: int):
        super().__init__()
        self.register_buffer("pictures_RCHW", torch.zeros(size, channels, side, side))
        self.register_buffer("kept", torch.zeros((), dtype=torch.bool))
        self.taken = False
        """Whether the images are of the step that is not finished yet, and so differ between processes."""
        self._done = False
        self.register_load_state_dict_post_hook(_reset_done)

    @torch.no_grad()
    def keep(self, real_BCHW: Tensor) -> None:
        """Store these if there are none yet; if they are too few, as with several processes, they are repeated."""
        # Read from the device only once.
        if not self._done and not self.kept:
            places = torch.arange(len(self.pictures_RCHW), device=real_BCHW.device) % len(real_BCHW)
            self.pictures_RCHW.copy_(real_BCHW[places])
            self.kept.fill_(True)
            self.taken = True
        self._done = True


def _reset_done(batch: nn.Module, _: object) -> None:
    assert isinstance(batch, ReferenceBatch)
    batch._done = False


def _mean(scores: Sequence[Tensor]) -> Tensor:
    """Mean over the scales of the mean score, in float32."""
    return torch.stack([score.float().mean() for score in scores]).mean()
