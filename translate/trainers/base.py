"""What every trainer is: named networks, the contract of the model they make, and one step."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Protocol, TypeVar

import tyro
from torch import Tensor, nn

from translate.errors import ConfigError
from translate.spec import ModelSpec
from translate.usage import parse_duration, text_option

Config = TypeVar("Config", bound="TrainConfig")


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.12g}s"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings that every trainer has; the formula's own settings are added by the trainer's config."""

    max_seconds: Annotated[
        float | None, text_option("TIME", parse_duration, _seconds), tyro.conf.arg(name="max-time")
    ] = None
    """The whole run's budget, e.g. 20m or 1h30m, over all resumes. The learning rate follows the share used."""
    max_images: int | None = None
    """The whole run's budget in training images seen, in place of a time."""
    image_size: int = 256
    """Side in pixels of the squares the networks learn from."""
    batch_size: int = 4
    """Images a step. Few, and so more steps, suit a CPU and short budgets; a GPU is fed well by 16 to 32."""
    generator_lr: float = 2e-4
    """Adam step size of the generator (pix2pix, 2017)."""
    discriminator_lr: float = 4e-4
    """Adam step size of the discriminator; twice the generator's (TTUR, Heusel et al., 2017)."""
    lr_rampup_images: int = 200
    """The learning rate rises from zero over this many images."""
    lr_decay_start: float = 0.5
    """Share of the budget after which the learning rate falls linearly to zero."""
    ema_halflife_images: int = 4000
    """Half-life, in images, of the averaged generator, which is the one that is exported."""
    seed: int = 0
    """Of initial weights, order of the files, augmentation and drawing."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Number format of the convolutions; auto takes bfloat16 where the hardware has it."""
    workers: int = -1
    """Processes that load and augment photographs; -1 chooses by the machine."""
    snapshot_seconds: Annotated[
        float, text_option("TIME", parse_duration, _seconds), tyro.conf.arg(name="snapshot-time")
    ] = 300.0
    """Time between snapshots."""
    sample_grids: int = 24
    """How many sample grids are written over the whole budget."""

    def __post_init__(self) -> None:
        if self.max_seconds is not None and self.max_images is not None:
            raise ConfigError("--max-time and --max-images are both given; a run has one budget, leave one out")
        for name, low, high in (
            ("max_seconds", 1e-3, math.inf),
            ("max_images", 1, math.inf),
            ("image_size", 16, 4096),
            ("batch_size", 1, 65536),
            ("generator_lr", 0.0, 1.0),
            ("discriminator_lr", 0.0, 1.0),
            ("lr_rampup_images", 0, math.inf),
            ("lr_decay_start", 0.0, 1.0),
            ("ema_halflife_images", 1, math.inf),
            ("seed", 0, 2**31 - 1),
            ("workers", -1, 256),
            ("snapshot_seconds", 0.0, math.inf),
            ("sample_grids", 0, 10_000),
        ):
            check_range(self, name, low, high)


def check_range(config: object, name: str, low: float, high: float) -> None:
    """Raise ConfigError unless `config.name` is None or low <= it <= high."""
    value = getattr(config, name)
    if value is not None and not low <= value <= high:
        option = {"max_seconds": "max-time", "snapshot_seconds": "snapshot-time"}.get(name, name.replace("_", "-"))
        limits = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
        raise ConfigError(f"--{option} is {value:g}; it must be {limits}")


class Batch(NamedTuple):
    """Aligned pictures, float (B, C, H, W) in [-1, 1]."""

    source_BCHW: Tensor
    target_BCHW: Tensor


class Term(NamedTuple):
    """One summand of a loss."""

    weight: float
    value: Tensor
    """Scalar."""


class Update(Protocol):
    """What `fit` hands to `step`: improve one network by the weighted sum of the terms."""

    def __call__(self, network: str, terms: Mapping[str, Term]) -> None:
        """Backward for the named network's parameters only, optimiser step, logging by name."""
        ...


class Trainer(nn.Module, ABC):
    """Networks and the formula that trains them; no optimiser, device, file or log.

    Every child module is a network with an optimiser of its own, named by its attribute.
    """

    spec: ModelSpec

    @property
    @abstractmethod
    def config(self) -> TrainConfig:
        """The settings."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return dict(self.named_children())

    @abstractmethod
    def step(self, batch: Batch, update: Update) -> None:
        """One training step: compute loss terms and hand them to `update`, network by network."""

    @abstractmethod
    def learning_rates(self) -> dict[str, float]:
        """Peak learning rate of each network."""


def config_from_json(kind: type[Config], found: Mapping[str, object], origin: str) -> Config:
    """Rebuild a config from JSON, tuples included.

    Raises:
        ConfigError: a key this version does not know.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(found) - known)
    if unknown:
        raise ConfigError(
            f"{origin} has the setting {unknown[0]!r}, which this version does not know; update translate"
        )
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return kind(**values)  # pyright: ignore[reportArgumentType] - checked by __post_init__
