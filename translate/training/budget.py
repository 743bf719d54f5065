"""The budget of a run, its progress, and when this process stops."""

import re
from dataclasses import dataclass, field
from math import inf
from time import monotonic

from translate.options import parse_duration
from translate.trainers.config import TrainConfig


@dataclass(frozen=True)
class StopAfter:
    """When this process stops early: after a number of seconds or images of its own."""

    seconds: float = inf
    images: float = inf

    def __str__(self) -> str:
        """The text form that `parse` reads, or `never`."""
        if self == StopAfter():
            return "never"
        return f"{self.images:.0f}images" if self.images < inf else f"{self.seconds:.12g}s"

    @classmethod
    def parse(cls, text: str) -> "StopAfter":
        """`9m` or `500images`.

        Raises:
            ConfigError: anything else.
        """
        images = re.fullmatch(r"(\d+) ?images?", text)
        return cls(images=int(images[1])) if images else cls(seconds=parse_duration(text))


@dataclass
class Progress:
    """Progress of a run."""

    config: TrainConfig
    images_seen: int = 0
    steps: int = 0
    seconds_before: float = 0.0
    """Seconds used by earlier processes of this run."""
    images_before: int = 0
    seconds_here: float = 0.0
    """Seconds used by this process at the last `tick`; constant within a step."""
    _started: float = field(default_factory=monotonic)

    def tick(self) -> float:
        """Update and return `seconds_here`."""
        self.seconds_here = monotonic() - self._started
        return self.seconds_here

    @property
    def images_here(self) -> int:
        """Images seen by this process."""
        return self.images_seen - self.images_before

    @property
    def seconds_used(self) -> float:
        """Seconds used by the whole run."""
        return self.seconds_before + self.seconds_here

    @property
    def share(self) -> float:
        """Fraction of the budget used, 0 to 1."""
        if self.config.budget.max_images is not None:
            return min(self.images_seen / self.config.budget.max_images, 1.0)
        if self.config.budget.max_seconds is not None:
            return min(self.seconds_used / self.config.budget.max_seconds, 1.0)
        raise AssertionError("a run without a budget")

    def lr_factor(self, share: float) -> float:
        """Factor on the peak learning rate: linear warm-up, constant, then linear decay to zero.

        Args:
            share: position in the schedule, 0 to 1.
        """
        settings = self.config.optimisation
        rampup = min((self.images_seen + settings.batch_size) / max(settings.lr_rampup_images, 1), 1.0)
        decay = (1.0 - share) / max(1.0 - settings.lr_decay_start, 1e-8)
        return rampup * min(decay, 1.0)

    def restart_clock(self) -> None:
        """Count this process's seconds from now, without the time for imports and loading."""
        self._started = monotonic()
        self.seconds_here = 0.0
