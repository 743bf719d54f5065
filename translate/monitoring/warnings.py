"""Warnings about common failures of GAN training, detected from a few diagnostics, and what to try.

A warning is one sentence and needs no knowledge of GANs. The thresholds are far from the values of healthy runs,
because a missed warning is better than a false one.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

Readings = Mapping[str, float]
"""What `Diagnostics` has measured, by name, without what could not be measured."""

REAL_RIGHT, HELD_OUT_RIGHT, FAKE_RIGHT = "judged_real", "judged_held_out", "judged_fake"
"""Discriminator accuracy, 0 to 1, on training images, on held-out real images and on generated images."""
DIVERSITY = "diversity"
"""Mean difference between generated images, relative to real images."""
NEAREST = "nearest"
"""Distance of generated images to the nearest training image, relative to held-out real images."""
AUGMENTATION = "augmentation"
"""Augmentation probability, 0 to 1, if it is adaptive."""

MAX_SWING = 0.7
"""Limit for the swing of an oscillating loss relative to its size; the runs of the shipped models had 0.68 at most."""

EARLY = 0.2
"""Fraction of the budget before which diagnostics of the outputs are not meaningful."""
EARLY_STEPS = 500
"""Optimiser steps before which they are not meaningful either, however small the budget is."""
FEW_PICTURES = 8
"""Held-out images below which diversity, distance to training images and held-out accuracy are chance."""


class TrainingWarning(NamedTuple):
    """A warning for the user."""

    name: str
    """One word."""
    text: str
    """What was found, with figures, and what to try."""


def memorising(found: Readings) -> str | None:
    """The discriminator overfits: it distinguishes training images from held-out real images.

    Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, figure 1 and section 3.
    """
    real, held_out = found.get(REAL_RIGHT, 0.0), found.get(HELD_OUT_RIGHT, 1.0)
    if real < 0.7 or real - held_out < 0.3:
        return None
    return (
        f"the discriminator overfits: it classifies {real:.0%} of the training images as real, but only "
        f"{held_out:.0%} of held-out real images; use more images, or try --discriminator-augmentation colour "
        "translation cutout with --adaptive-augmentation 0, or a smaller --discriminator-width"
    )


def outplayed(found: Readings) -> str | None:
    """The discriminator is almost perfect, so the generator gets hardly any gradient (Arjovsky and Bottou, 2017)."""
    real, fake = found.get(REAL_RIGHT, 0.0), found.get(FAKE_RIGHT, 0.0)
    if min(real, fake) < 0.99:
        return None
    return (
        f"the discriminator is too strong: it detects {fake:.1%} of the generated images, so the generator learns "
        "little; try a lower --discriminator-lr, --r1-weight 10, or --discriminator-augmentation colour translation "
        "cutout"
    )


def collapsed(found: Readings) -> str | None:
    """Mode collapse: the output is nearly the same for every input (Goodfellow, NIPS 2016 tutorial, section 5.1.1)."""
    diversity = found.get(DIVERSITY, 1.0)
    if diversity >= 0.4:
        return None
    return (
        f"mode collapse: generated images differ from each other only {diversity:.2f} times as much as real images do; "
        "go back to an earlier snapshot and try --discriminator-batch-features, --unrolled-steps 5, or --adversarial "
        "relativistic with --r1-weight 10 --r2-weight 10"
    )


def copying(found: Readings) -> str | None:
    """The generator reproduces training images."""
    nearest = found.get(NEAREST, 1.0)
    if nearest >= 0.4:
        return None
    return (
        "generated images are copies of training images: their distance to the nearest one is "
        f"{nearest:.2f} times that of held-out real images; use more images or a smaller generator, or stop earlier"
    )


def overstretched(found: Readings) -> str | None:
    """Adaptive augmentation is near its maximum, where it begins to leak into the outputs (Karras et al., 2020)."""
    strength = found.get(AUGMENTATION, 0.0)
    if strength < 0.85:
        return None
    return (
        f"too few images: adaptive augmentation now changes {strength:.0%} of the discriminator inputs, and will leak "
        "into the outputs; use more images or a smaller --discriminator-width"
    )


CHECKS: Mapping[str, Callable[[Readings], str | None]] = {
    "memorising": memorising,
    "outplayed": outplayed,
    "collapsed": collapsed,
    "copying": copying,
    "overstretched": overstretched,
}


def warnings_of(found: Readings) -> list[TrainingWarning]:
    """The warnings that apply."""
    texts = {name: check(found) for name, check in CHECKS.items()}
    return [TrainingWarning(name, text) for name, text in texts.items() if text]


class Trends:
    """Losses and gradient norms over the last lines of the log."""

    LINES = 24
    """Window length, and the number of lines needed before any warning: two minutes at one line per five seconds."""
    FIRST = 6
    """Number of lines whose median is the reference for later values."""
    PICTURES = 64
    """Training pictures that a value of an oscillating loss is the mean of, at least: a line of a slow training is a
    step or two, and losses of so few pictures swing by chance."""

    NAMES = ("vanishing", "exploding", "oscillating")

    def __init__(self, *, measured: bool = True) -> None:
        """`measured`: whether the size of the discriminator loss is meaningful, as for all GAN losses but wgan-gp."""
        self._measured = measured
        self._first: dict[str, list[float]] = {}
        self._last: dict[str, deque[float]] = {}
        self._images = 0
        self._lines: dict[str, list[float]] = {}
        """Losses of the lines since the last means."""
        self._means: dict[str, deque[float]] = {}

    def add(self, losses: Readings, gradients: Readings, images: int) -> None:
        """Add a line.

        Args:
            losses: means by `player.term`.
            gradients: norms by player, and at the generated images by game.
            images: how many training images the line is about.
        """
        for name, value in [*losses.items(), *((f"gradient {player}", norm) for player, norm in gradients.items())]:
            if not math.isfinite(value):
                continue
            first = self._first.setdefault(name, [])
            if len(first) < self.FIRST:
                first.append(value)
            self._last.setdefault(name, deque(maxlen=self.LINES)).append(value)
            if name in losses:
                self._lines.setdefault(name, []).append(value)
        self._images += images
        if self._images >= self.PICTURES:
            for name, values in self._lines.items():
                self._means.setdefault(name, deque(maxlen=self.LINES)).append(fmean(values))
            self._images, self._lines = 0, {}

    def warnings(self) -> list[TrainingWarning]:
        """The warnings that apply."""
        texts = zip(self.NAMES, (self._vanishing(), self._exploding(), self._oscillating()), strict=True)
        return [TrainingWarning(name, text) for name, text in texts if text]

    def _growth(self, name: str) -> float:
        """Median of the last lines relative to that of the first; 1 while there are too few."""
        values, first = self._last.get(name, ()), self._first.get(name, ())
        if len(values) < self.LINES or not median(first):
            return 1.0
        return median([*values][-self.FIRST :]) / median(first)

    def _vanishing(self) -> str | None:
        names = [name for name in self._last if name.startswith("gradient ") and name.endswith("game")]
        growth = min(map(self._growth, names), default=1.0)
        # Near an equilibrium the gradient is small too, but then the discriminator loss is not.
        if growth > 0.01 or not any(self._growth(name) < 0.25 for name in self._games()):
            return None
        return (
            f"the adversarial gradient has vanished: it has fallen to {growth:.2%} of its initial norm; try a lower "
            "--discriminator-lr, --discriminator-augmentation colour translation cutout, or another --adversarial if "
            "it is minimax"
        )

    def _games(self) -> list[str]:
        """Names of the discriminator losses, if their size is meaningful."""
        return [name for name in self._last if name.endswith("game") and "." in name and self._measured]

    def _exploding(self) -> str | None:
        grown = {player: self._growth(f"gradient {player}") for player in ("generator", "discriminator")}
        player, growth = max(grown.items(), key=lambda one: one[1])
        if growth < 100:
            return None
        return (
            f"the {player} gradient is exploding: it has grown {growth:.0f} times; go back to an earlier snapshot with "
            f"a lower --{player}-lr, or try --r1-weight 10"
        )

    def _oscillating(self) -> str | None:
        curves = {name: self._means.get(name, ()) for name in self._games()}
        swings = {name: _swing(values) for name, values in curves.items() if len(values) == self.LINES}
        name, swing = max(swings.items(), key=lambda one: one[1], default=("", 0.0))
        if swing < MAX_SWING:
            return None
        return (
            f"training oscillates: the loss {name} keeps swinging by {swing:.1f} times its size; try --r1-weight 10, "
            "--optimiser optimistic, or lower learning rates"
        )


def _swing(values: Sequence[float]) -> float:
    """Swing of a curve about its median, relative to its size; 0 if it does not oscillate.

    Distance from the 20th to the 80th percentile over the mean absolute value. A curve that only falls or rises crosses
    its median once, and pure noise has no autocorrelation.
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
