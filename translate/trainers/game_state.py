"""What the adversarial game remembers from step to step. All of it is buffers, so a resumed run goes on with it.

Shape suffixes: B batch, C channels, H height, W width, R reference batch, P parameters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from translate.losses.historical_average import historical_average
from translate.networks.standard import Followed

MEMORY = 0.01
"""Share by which one step moves what is usual (0.01 in LeCam, 2021)."""

ADAPTATION_IMAGES = 50_000
"""Images over which augmentation goes from never to always, at most. 500,000 in ADA (2020), whose runs see 25 million;
those of an evening see a hundredth of that."""


def memory_of(parts: int) -> float:
    """Share by which one of so many parts of a batch moves what is usual: all together as much as one whole batch."""
    return 1.0 - (1.0 - MEMORY) ** (1 / parts)


class UsualScores(Followed):
    """Slow averages of the scores of real and of made pictures.

    Args:
        memory: share by which new scores move them.
    """

    real: Tensor
    fake: Tensor

    def __init__(self, memory: float = MEMORY) -> None:
        super().__init__()
        self.memory = memory
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    @torch.no_grad()
    def follow(self, real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> None:
        """Move the averages towards these scores, one map a scale."""
        # New tensors: the old ones are still wanted for the backward pass.
        self.real = self.real.lerp(_mean(real_scores), self.memory)
        self.fake = self.fake.lerp(_mean(fake_scores), self.memory)


class AugmentationController(Followed):
    """The probability of augmentation that keeps a discriminator just unsure enough of real pictures.

    Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020 (ADA), section 3.1: the mean sign
    of the scores of real pictures grows when they are known by heart. Above `target` the probability rises, else it
    falls.

    Args:
        target: of the mean sign, between -1 and 1; 0.6 in the paper.
        boundary: the score above which a picture is judged real; None where a game has none: halfway between what is
            said of real and of made pictures.
        images: training pictures that one call stands for, those of other processes included.
        memory: share by which the signs of new scores move their mean.
    """

    probability: Tensor
    sign: Tensor

    def __init__(self, target: float, boundary: float | None, images: int, memory: float = MEMORY):
        super().__init__()
        self.memory = memory
        self.most = images / ADAPTATION_IMAGES
        self.target = target
        self.boundary = boundary
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("sign", torch.zeros(()))

    @torch.no_grad()
    def follow(self, real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> None:
        """Take note of the scores of a batch of real and of made pictures, one map a scale."""
        signs = [
            (real - ((real.mean() + fake.mean()) / 2 if self.boundary is None else self.boundary)).sign()
            for real, fake in zip(real_scores, fake_scores, strict=True)
        ]
        self.sign = self.sign.lerp(_mean(signs), self.memory)
        change = (self.sign - self.target).sign() * self.most
        self.probability = (self.probability + change).clamp(0.0, 1.0)


class Past(nn.Module):
    """The mean of all that a network's parameters have been, and how far they are from it.

    Args:
        network: whose parameters; not kept.
    """

    mean_P: Tensor
    steps: Tensor

    def __init__(self, network: nn.Module):
        super().__init__()
        self.register_buffer("mean_P", torch.zeros(sum(weight.numel() for weight in network.parameters())))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, network: nn.Module) -> Tensor:
        """`historical_average` of the network as it is now, which counts from now on."""
        now_P = torch.cat([weight.reshape(-1) for weight in network.parameters()])
        self.steps = self.steps + 1
        self.mean_P = self.mean_P + (now_P.detach() - self.mean_P) / self.steps
        return historical_average(now_P, self.mean_P)


class ReferenceBatch(nn.Module):
    """The first real pictures that a discriminator was shown, for `ReferenceNorm`.

    Args:
        size: how many are kept.
        channels, side: of what the discriminator sees.
    """

    pictures_RCHW: Tensor
    kept: Tensor

    def __init__(self, size: int, channels: int, side: int):
        super().__init__()
        self.register_buffer("pictures_RCHW", torch.zeros(size, channels, side, side))
        self.register_buffer("kept", torch.zeros((), dtype=torch.bool))
        self._done = False
        self.register_load_state_dict_post_hook(_look_again)

    @torch.no_grad()
    def keep(self, real_BCHW: Tensor) -> None:
        """Keep these if there are none yet; fewer than wanted, as with several processes, are repeated."""
        # The buffer is read from the device once.
        if not self._done and not self.kept:
            places = torch.arange(len(self.pictures_RCHW), device=real_BCHW.device) % len(real_BCHW)
            self.pictures_RCHW.copy_(real_BCHW[places])
            self.kept.fill_(True)
        self._done = True


def _look_again(batch: nn.Module, _: object) -> None:
    assert isinstance(batch, ReferenceBatch)
    batch._done = False


def _mean(scores: Sequence[Tensor]) -> Tensor:
    """Mean over the scales of the mean score, in float32."""
    return torch.stack([score.float().mean() for score in scores]).mean()
