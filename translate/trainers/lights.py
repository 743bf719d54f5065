"""Warning lights: what goes wrong in adversarial training, told from a few numbers, and what to try.

A light is one sentence for somebody who has never heard of such games. The limits are set far from what healthy runs
show, so that a light means something: it is better that one stays dark than that all of them burn.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

Readings = Mapping[str, float]
"""What `translate.trainers.watch.Watch` has measured, by name; a name that is missing was not to be had."""

JUDGED_REAL, JUDGED_HELD_OUT, JUDGED_FAKE = "judged_real", "judged_held_out", "judged_fake"
"""Shares, 0 to 1: of training pictures taken for real, of held-out ones taken for real, of results found out."""
DIVERSITY = "diversity"
"""How much results differ from one another, over how much real pictures do."""
NEAREST = "nearest"
"""How near results are to training pictures, over how near real pictures they have not learnt from are."""
AUGMENTATION = "augmentation"
"""Share of pictures, 0 to 1, that the discriminator is shown distorted, where a controller sets it."""

WAVES = 0.7
"""Waves of a loss, over its size; the shipped models' runs had 0.6 at most."""

EARLY = 0.2
"""Share of the budget before which results say nothing yet."""


class Light(NamedTuple):
    """Something that a user should know."""

    name: str
    """One word."""
    text: str
    """What is seen, with its figures, and what to try."""


def memorising(found: Readings) -> str | None:
    """The discriminator knows its pictures by heart: it tells them from others of their kind.

    Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, figure 1 and section 3.
    """
    real, held_out = found.get(JUDGED_REAL, 0.0), found.get(JUDGED_HELD_OUT, 1.0)
    if real < 0.7 or real - held_out < 0.3:
        return None
    return (
        f"the discriminator learns its pictures by heart: it takes {real:.0%} of them for real, but only "
        f"{held_out:.0%} of real pictures that it has not seen; more pictures help, or --discriminator-augmentation "
        "colour translation cutout with --adaptive-augmentation 0, or a smaller --discriminator-width"
    )


def outplayed(found: Readings) -> str | None:
    """The generator is found out always; what it is told then is hardly of use (Arjovsky and Bottou, 2017)."""
    real, fake = found.get(JUDGED_REAL, 0.0), found.get(JUDGED_FAKE, 0.0)
    if min(real, fake) < 0.99:
        return None
    return (
        f"the discriminator always wins: it finds out {fake:.1%} of what is made, from which the generator learns "
        "little; try a lower --discriminator-lr, --r1-weight 10, or --discriminator-augmentation colour translation "
        "cutout"
    )


def collapsed(found: Readings) -> str | None:
    """Whatever goes in, nearly the same comes out (Goodfellow, NIPS 2016 tutorial, section 5.1.1)."""
    diversity = found.get(DIVERSITY, 1.0)
    if diversity >= 0.4:
        return None
    return (
        f"results look alike: they differ {diversity:.2f} times as much as real pictures do; go back to an earlier "
        "snapshot and try --discriminator-batch-features, --unrolled-steps 5, or --adversarial relativistic with "
        "--r1-weight 10 --r2-weight 10"
    )


def copying(found: Readings) -> str | None:
    """Results are training pictures, remembered."""
    nearest = found.get(NEAREST, 1.0)
    if nearest >= 0.4:
        return None
    return (
        f"results are copies of training pictures: they lie {nearest:.2f} times as far from the nearest one as real "
        "pictures do that were not trained on; more pictures help, or a smaller generator, or stopping earlier"
    )


def overstretched(found: Readings) -> str | None:
    """The controller of the augmentation is at its end: distortions begin to leak into results (Karras 2020)."""
    strength = found.get(AUGMENTATION, 0.0)
    if strength < 0.85:
        return None
    return (
        f"there are too few pictures for this game: {strength:.0%} of those that the discriminator sees have to be "
        "distorted, and distortions will come to show in results; more pictures help, or a smaller "
        "--discriminator-width"
    )


OF_READINGS: Mapping[str, Callable[[Readings], str | None]] = {
    "memorising": memorising,
    "outplayed": outplayed,
    "collapsed": collapsed,
    "copying": copying,
    "overstretched": overstretched,
}


def lights_of(found: Readings) -> list[Light]:
    """The lights that burn."""
    texts = {name: light(found) for name, light in OF_READINGS.items()}
    return [Light(name, text) for name, text in texts.items() if text]


class Trends:
    """The log's last lines: gradients and losses as they move."""

    LINES = 24
    """Looked at, and needed before anything is said: two minutes, a line each five seconds."""
    FIRST = 6
    """Lines whose median is the level that later gradients are compared with."""

    NAMES = ("vanishing", "exploding", "oscillating")

    def __init__(self, *, measured: bool = True) -> None:
        """`measured`: whether the size of a game's loss means something, 2 ln 2, 2 or 1 at a draw; not of wgan-gp's."""
        self._measured = measured
        self._first: dict[str, list[float]] = {}
        self._last: dict[str, deque[float]] = {}

    def add(self, losses: Readings, gradients: Readings) -> None:
        """Take a line: means by `player.term`, and norms of gradients by player, and by game what it sends back."""
        for name, value in [*losses.items(), *((f"gradient {player}", norm) for player, norm in gradients.items())]:
            if not math.isfinite(value):
                continue
            first = self._first.setdefault(name, [])
            if len(first) < self.FIRST:
                first.append(value)
            self._last.setdefault(name, deque(maxlen=self.LINES)).append(value)

    def lights(self) -> list[Light]:
        """The lights that burn."""
        texts = zip(self.NAMES, (self._vanishing(), self._exploding(), self._oscillating()), strict=True)
        return [Light(name, text) for name, text in texts if text]

    def _growth(self, name: str) -> float:
        """Level of the last lines over that of the first; 1 while there are too few."""
        values, first = self._last.get(name, ()), self._first.get(name, ())
        if len(values) < self.LINES or not median(first):
            return 1.0
        return median([*values][-self.FIRST :]) / median(first)

    def _vanishing(self) -> str | None:
        told = [self._growth(name) for name in self._last if name.startswith("gradient ") and name.endswith("game")]
        growth = min(told, default=1.0)
        # Where both are content the gradient is small too, but then the discriminator has not won.
        if growth > 0.01 or not any(self._growth(name) < 0.25 for name in self._games()):
            return None
        return (
            "the generator is hardly told anything by the discriminator any more: the gradient that comes from there "
            f"has fallen to {growth:.2%} of what it was; try a lower --discriminator-lr, "
            "--discriminator-augmentation colour translation cutout, or, if it is minimax, another --adversarial"
        )

    def _games(self) -> list[str]:
        """Names of losses of games, if their size says who is winning."""
        return [name for name in self._last if name.endswith("game") and "." in name and self._measured]

    def _exploding(self) -> str | None:
        grown = {player: self._growth(f"gradient {player}") for player in ("generator", "discriminator")}
        player, growth = max(grown.items(), key=lambda one: one[1])
        if growth < 100:
            return None
        return (
            f"the gradient of the {player} has grown {growth:.0f} times: the game is getting out of hand; go back to "
            f"an earlier snapshot with a lower --{player}-lr, or try --r1-weight 10"
        )

    def _oscillating(self) -> str | None:
        swings = {name: _swing([*values]) for name in self._games() if len(values := self._last[name]) == self.LINES}
        name, swing = max(swings.items(), key=lambda one: one[1], default=("", 0.0))
        if swing < WAVES:
            return None
        return (
            f"the players chase each other in circles: the loss {name} swings by {swing:.1f} times its size again and "
            "again; try --r1-weight 10, --optimiser optimistic, or lower learning rates"
        )


def _swing(values: Sequence[float]) -> float:
    """How far a curve goes up and down about its middle, over its size; 0 where it does not go in waves.

    From the 20th to the 80th percentile over the mean size. A curve that only falls or rises crosses its middle once,
    and in mere noise a value says nothing about the next.
    """
    ordered, middle = sorted(values), median(values)
    away = [value - middle for value in values]
    crossings = sum((one > 0) != (other > 0) for one, other in pairwise(away))
    squares = sum(value**2 for value in away)
    follows = sum(one * other for one, other in pairwise(away)) / squares if squares else 0.0
    if crossings < len(values) // 6 or follows < 0.3:
        return 0.0
    size = sum(map(abs, values)) / len(values)
    return (ordered[-1 - len(values) // 5] - ordered[len(values) // 5]) / size if size else 0.0
