"""The base class of all trainers: networks, players, the spec of the trained model, and one training step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn

from translate.data.framing import JITTER
from translate.networks.pixels import PixelTranslator
from translate.networks.reparameterised import fold
from translate.spec import ModelSpec
from translate.tasks import Task
from translate.trainers.config import TrainConfig

SourceMaker = Callable[[Tensor, Generator], Tensor]
"""(photo_BCHW in [-1, 1], random generator on the CPU) -> source_BCHW in [-1, 1]."""


class Unpaired(NamedTuple):
    """Sources without targets for one step; U of them."""

    source_UCHW: Tensor
    """Float, of the channels and the size of the other sources, in [-1, 1]."""
    label_U: Tensor
    """int64."""


class Batch(NamedTuple):
    """Images for one step, float (B, C, H, W) in [-1, 1], and the progress of the run."""

    source_BCHW: Tensor
    target_BCHW: Tensor
    """Aligned with the source for paired trainers; an unrelated image of the target domain for the others."""
    label_B: Tensor
    """int64 class labels of the targets; 0 without labels."""
    share: float = 0.0
    """Fraction of the run's budget used, 0 to 1, for training in phases."""
    step: int = 0
    """Index of this step, from 0."""
    unpaired: Unpaired | None = None
    """For trainers whose config has `learns_unpaired`."""


class Term(NamedTuple):
    """One term of a loss."""

    weight: float
    value: Tensor
    """Scalar."""


class Trial(NamedTuple):
    """Inputs of a discriminator for diagnostics."""

    discriminator: Callable[[Tensor], Any]
    """Returns a `translate.networks.patchgan.DiscriminatorOutput`."""
    real_BCHW: Tensor
    """Including the channels that a conditional discriminator also sees."""
    fake_BCHW: Tensor


class Update(Protocol):
    """Passed by `fit` to `step`: updates one player on the weighted sum of the terms."""

    def __call__(self, player: str, terms: Mapping[str, Term]) -> None:
        """Backward pass for the parameters of this player only, optimiser step, and logging of the terms by name."""
        ...


class Trainer(nn.Module, ABC):
    """Networks and their losses; no optimiser, device, file or log.

    Networks are child modules, named by their attribute. A player is one or more networks with a common loss and
    optimiser. All other state that must survive a resume is in buffers.
    """

    config_class: ClassVar[type[TrainConfig]]
    presets: ClassVar[Mapping[str, TrainConfig]]
    """Named sets of defaults; at least `modern` and `classic`."""
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator",),
        "discriminator": ("discriminator",),
    }
    """Which networks are updated together: player -> networks."""
    directions: ClassVar[Mapping[str, str]] = {"forward": "generator"}
    """The generators that can be exported: direction -> network. Each has an EMA."""
    spec: ModelSpec
    """Spec of the forward direction."""

    def __init__(self, task: Task):
        super().__init__()
        self.paired = task.paired

    @property
    @abstractmethod
    def config(self) -> TrainConfig:
        """The settings."""

    @abstractmethod
    def step(self, batch: Batch, update: Update) -> None:
        """One training step: compute the loss terms of each player and pass them to `update`."""

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """The inputs of each discriminator for a batch, without augmentation; for diagnostics, not for training."""
        return ()

    def networks_of(self, player: str) -> list[nn.Module]:
        """The networks of a player, as far as these settings create them."""
        networks = dict(self.named_children())
        return [networks[name] for name in self.players[player] if name in networks]

    def learning_rates(self) -> dict[str, float]:
        """Peak learning rate of each player."""
        return {
            name: self.config.optimisation.discriminator_lr
            if name == "discriminator"
            else self.config.optimisation.generator_lr
            for name in self.players
        }

    def lr_share(self, share: float) -> float:
        """Position in the learning rate schedule, 0 to 1, for trainers with a schedule per phase."""
        return share

    def source_maker(self) -> SourceMaker | None:
        """The function that makes a source from a photo, for trainers with their own; None: the task's function."""
        return None

    def spec_of(self, direction: str) -> ModelSpec:
        """Spec of one of the `directions`."""
        assert direction == "forward"
        return self.spec

    def make_spec(self, task: Task, generator: Any, architecture: str, style_size: int = 0) -> ModelSpec:
        """The spec, as far as it follows from networks and settings."""
        source, target = self.config.data.formats
        return ModelSpec(
            name=task.name,
            task=task.name,
            architecture=architecture,
            scale=generator.scale,
            input_channels=source.channels,
            output_channels=target.channels,
            input_bits=source.bits,
            output_bits=target.bits,
            size_multiple=generator.size_multiple,
            receptive_field=generator.receptive_field,
            # Whole objects on white were seen at one size only; scenes and patches at many.
            working_size=self.config.data.image_size if self.config.data.framing == "fit" else None,
            # Unpaired scenes were seen downscaled; at twice that size, the model would not recognise a street.
            scene_size=self._scene_size(),
            labels=self.config.data.label_names,
            style_size=style_size,
        )

    def _scene_size(self) -> int | None:
        source, target = self.config.data.formats
        if self.paired or self.config.data.framing != "crop" or (source.channels, target.channels) != (3, 3):
            return None
        return round(self.config.data.image_size * JITTER)


def pixel_translator(generator: nn.Module, spec: ModelSpec) -> PixelTranslator:
    """`generator` with pixels as input and output, as in the exported file: reparameterised kernels are folded."""
    return PixelTranslator(
        fold(generator),
        size_multiple=spec.size_multiple,
        scale=spec.scale,
        labels=len(spec.labels),
        style_size=spec.style_size,
        bits=(spec.input_bits, spec.output_bits),
        detail=spec.detail,
        default_style=spec.default_style,
    )


def full_detail(spec: ModelSpec, device: torch.device) -> Tensor | None:
    """The maximum of the `detail` control, which is what samples and validation use."""
    return torch.ones(1, device=device) if spec.detail else None
