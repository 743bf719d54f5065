"""Eight Gaussians on a ring: the library's own game, small enough to be played many times.

Points are pictures of two channels and one pixel. Several games, each with networks and chance of its own, are played
in one tensor, which takes hardly longer than one of them.

Shape suffixes: B points, S games, C channels, H height, W width, D features, M modes.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from translate.networks.minibatch_stddev import MinibatchStdDev
from translate.networks.patchgan import DiscriminatorOutput
from translate.trainers.adversarial import AdversarialGame, DiscriminatorInput
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.base import Term

GAMES = 5
MODES = 8
RADIUS = 2.0
SPREAD = 0.1
NOISE = 2
POINTS = 64
LEARNING_RATE = 1e-3
UNROLLED_LR = 0.03
WIDTH = 64


class Linear(nn.Module):
    """A linear layer for each game; x_SBD -> x_SBD."""

    def __init__(self, before: int, after: int):
        super().__init__()
        bound = before**-0.5
        self.weight = nn.Parameter(torch.empty(GAMES, before, after).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(GAMES, 1, after).uniform_(-bound, bound))

    def forward(self, x_SBD: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x_SBD, self.weight)


class Maker(nn.Module):
    """noise_SBD -> points of all games (B * S, 2, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Linear(NOISE, WIDTH), nn.ReLU(), Linear(WIDTH, WIDTH), nn.ReLU(), Linear(WIDTH, 2))

    def forward(self, noise_SBD: Tensor) -> Tensor:
        return self.layers(noise_SBD).transpose(0, 1).reshape(-1, 2, 1, 1)


class Judge(nn.Module):
    """Points of all games (B * S, 2, 1, 1) -> a score each."""

    def __init__(self, batch_features: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(Linear(2, WIDTH), nn.LeakyReLU(0.2))
        # Points of other games are no neighbours.
        self.spread = torch.vmap(MinibatchStdDev()) if batch_features else nn.Identity()
        self.score = nn.Sequential(Linear(WIDTH + batch_features, WIDTH), nn.LeakyReLU(0.2), Linear(WIDTH, 1))

    def forward(self, x_BCHW: Tensor) -> DiscriminatorOutput:
        features_SBD = self.features(x_BCHW.view(-1, GAMES, 2).transpose(0, 1))
        return DiscriminatorOutput([self.score(self.spread(features_SBD)).transpose(0, 1).flatten()], [])


class Outcome(NamedTuple):
    """Of every game."""

    modes: list[int]
    """Modes that at least a hundredth of the points made is near to."""
    good: list[float]
    """Share of the points made that is within three standard deviations of a mode."""


def ring(count: int) -> Tensor:
    """So many points of the data, (count, 2, 1, 1)."""
    middles_B2 = _middles()[torch.randint(MODES, (count,))]
    return (middles_B2 + SPREAD * torch.randn(count, 2)).view(-1, 2, 1, 1)


def play(steps: int, **changes: Any) -> Outcome:
    """So many steps of the generators, and what they make then."""
    torch.manual_seed(0)
    settings = {"adversarial": "non-saturating", "feature_weight": 0.0, "penalty_interval": 1, **changes}
    # Losses are means over all games: what is no Adam step must be as many times larger.
    config = AdversarialConfig.of(**settings, unrolled_lr=UNROLLED_LR * GAMES)
    maker, judge = Maker(), Judge(config.networks.discriminator_batch_features)
    game = AdversarialGame(config, 2, judge, maker)
    judging, making = (
        torch.optim.Adam(network.parameters(), LEARNING_RATE, betas=(0.5, 0.99), fused=True)
        for network in (judge, maker)
    )
    for step in range(steps):
        shown = DiscriminatorInput(ring(POINTS * GAMES), maker(torch.randn(GAMES, POINTS, NOISE)))
        _improve(judging, judge, game.discriminator_terms(judge, game.discriminator_input(shown), step))
        _improve(making, maker, game.generator_terms(judge, maker, shown))
    with torch.no_grad():
        return outcome(maker(torch.randn(GAMES, 1000, NOISE)))


def _improve(optimiser: torch.optim.Optimizer, network: nn.Module, terms: Mapping[str, Term]) -> None:
    total = torch.stack([term.weight * term.value for term in terms.values()]).sum()
    total.backward(inputs=list(network.parameters()))
    optimiser.step()
    optimiser.zero_grad()


def outcome(points_BCHW: Tensor) -> Outcome:
    """Which modes the points are near to."""
    distance_BSM = torch.cdist(points_BCHW.view(-1, GAMES, 2), _middles())
    near_BSM = (distance_BSM < 3 * SPREAD).float()
    return Outcome((near_BSM.mean(dim=0) > 0.01).sum(dim=1).tolist(), near_BSM.amax(dim=2).mean(dim=0).tolist())


def _middles() -> Tensor:
    angle_M = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack([angle_M.cos(), angle_M.sin()], dim=1)
