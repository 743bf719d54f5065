"""What every trainer is: networks, who plays together, the contract of the model they make, and one step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Generator, Tensor, nn

from translate.data.framing import JITTER
from translate.networks.pixels import PixelTranslator
from translate.networks.reparameterised import fold
from translate.spec import ModelSpec
from translate.tasks import Task
from translate.trainers.config import TrainConfig

SourceMaker = Callable[[Tensor, Generator], Tensor]
"""(photo_BCHW in [-1, 1], randomness on the CPU) -> source_BCHW in [-1, 1]."""


class Batch(NamedTuple):
    """Pictures for one step, float (B, C, H, W) in [-1, 1], and where in the run it happens."""

    source_BCHW: Tensor
    target_BCHW: Tensor
    """Aligned with the source for trainers of pairs; any other picture of that side for the others."""
    label_B: Tensor
    """int64, which of the labels the target shows; 0 without labels."""
    share: float = 0.0
    """Share of the run's budget used, 0 to 1, for formulas with phases."""
    step: int = 0
    """Steps before this one."""


class Term(NamedTuple):
    """One summand of a loss."""

    weight: float
    value: Tensor
    """Scalar."""


class Trial(NamedTuple):
    """What a discriminator is asked to tell apart."""

    discriminator: Callable[[Tensor], Any]
    """Answers with a `translate.networks.patchgan.Verdict`."""
    real_BCHW: Tensor
    """With what the pictures were made from, if it is shown that too."""
    fake_BCHW: Tensor


class Update(Protocol):
    """What `fit` hands to `step`: improve one player by the weighted sum of the terms."""

    def __call__(self, player: str, terms: Mapping[str, Term]) -> None:
        """Backward for the named player's parameters only, optimiser step, logging by name."""
        ...


class Trainer(nn.Module, ABC):
    """Networks and the formula that trains them; no optimiser, device, file or log.

    Networks are child modules, named by their attribute. A player is one or more networks that one optimiser
    improves by one loss. Everything else that must survive a resume is a buffer.
    """

    config_class: ClassVar[type[TrainConfig]]
    presets: ClassVar[Mapping[str, TrainConfig]]
    """Starting points by name; `modern` and `classic` at least."""
    paired: ClassVar[bool] = True
    """Whether source and target must show the same thing."""
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator",),
        "discriminator": ("discriminator",),
    }
    """Who is improved together: player -> its networks."""
    directions: ClassVar[Mapping[str, str]] = {"forward": "generator"}
    """What can be exported: direction -> network. These are averaged too."""
    spec: ModelSpec
    """Contract of the forward direction."""

    @property
    @abstractmethod
    def config(self) -> TrainConfig:
        """The settings."""

    @abstractmethod
    def step(self, batch: Batch, update: Update) -> None:
        """One training step: compute loss terms and hand them to `update`, player by player."""

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """What each discriminator would be asked about a batch, undistorted; nothing is learnt by it."""
        return ()

    def networks_of(self, player: str) -> list[nn.Module]:
        """The networks of a player that exist under these settings."""
        return [self.get_submodule(name) for name in self.players[player] if hasattr(self, name)]

    def learning_rates(self) -> dict[str, float]:
        """Peak learning rate of each player."""
        return {
            name: self.config.discriminator_lr if name == "discriminator" else self.config.generator_lr
            for name in self.players
        }

    def lr_share(self, share: float) -> float:
        """Share of its way, 0 to 1, that the learning rate has gone, for trainers whose phases each have their own."""
        return share

    def source_maker(self) -> SourceMaker | None:
        """What makes the source of a photograph, for trainers that bring their own; None leaves it to the task."""
        return None

    def spec_of(self, direction: str) -> ModelSpec:
        """Contract of one of the `directions`."""
        assert direction == "forward"
        return self.spec

    def make_spec(self, task: Task, generator: Any, architecture: str, style_size: int = 0) -> ModelSpec:
        """The contract as far as networks and settings know it."""
        source, target = self.config.formats
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
            # Whole things on white are known at one size only; scenes and patches are learnt at many.
            working_size=self.config.image_size if self.config.framing == "fit" else None,
            # Unpaired scenes are learnt reduced, and a street seen twice as large is not known to be one.
            scene_size=self._scene_size(),
            labels=self.config.label_names,
            style_size=style_size,
        )

    def _scene_size(self) -> int | None:
        source, target = self.config.formats
        if self.paired or self.config.framing != "crop" or (source.channels, target.channels) != (3, 3):
            return None
        return round(self.config.image_size * JITTER)


def pixel_translator(generator: nn.Module, spec: ModelSpec) -> PixelTranslator:
    """`generator` with pixels in and out, as `spec` promises and as it is exported: its kernels folded."""
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
