"""CycleGAN: learn a translation and its inverse from two unpaired sets of images.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", 2017.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.spec import ModelSpec
from translate.tasks import Task
from translate.trainers.adversarial import AdversarialGame, DiscriminatorInput, make_discriminator
from translate.trainers.adversarial_config import CLASSIC_UNPAIRED, SMALL_DATA
from translate.trainers.base import Batch, Term, Trainer, Trial, Update
from translate.trainers.config import TrainConfig, check_range
from translate.trainers.generators import TranslatorConfig, describe, initialise, make_translator
from translate.trainers.perceptual import PerceptualLoss


@dataclass(frozen=True, kw_only=True)
class CycleGANConfig(TranslatorConfig):
    """Settings of CycleGAN."""

    cycle_weight: float = 10.0
    """Weight of the cycle-consistency loss, an L1 loss on the range [-1, 1]."""
    identity_weight: float = 5.0
    """Weight of the identity loss, which keeps images of the target domain unchanged and so preserves colours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cycle_weight", "identity_weight"):
            check_range(self, name, 0.0, 1e6)
        if (self.networks.projected or self.game.perceptual_weight) and self.data.formats[0].channels != 3:
            raise ConfigError(
                f"--channels is {self.data.channels}; with cyclegan, --discriminator projected and --perceptual-weight "
                "use classifiers of colour images on both domains; use 3 channels for both"
            )
        if self.data.labels:
            raise ConfigError("--labels needs pairs; omit it, or train with pix2pix")


class CycleGAN(Trainer):
    """Two generators, forward and back, and a discriminator per domain.

    Args:
        config: the settings.
        task: its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the networks.
    """

    config_class = CycleGANConfig
    presets: ClassVar[Mapping[str, TrainConfig]] = {
        # Half the paper's cycle weight, a tenth of its identity weight, twice its learning rate: these generators start
        # as the identity, where both losses are zero already and slow down learning.
        "modern": CycleGANConfig.of(
            generator_widths=(24, 48, 96, 160),
            generator_padding="replicate",
            generator_upsampling="bilinear",
            cycle_weight=5.0,
            identity_weight=0.5,
            generator_lr=4e-4,
            discriminator_lr=8e-4,
            **SMALL_DATA,
        ),
        "classic": CycleGANConfig.of(**CLASSIC_UNPAIRED, pool_size=50),
    }
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator", "back_generator"),
        "discriminator": ("discriminator", "back_discriminator"),
    }
    directions: ClassVar[Mapping[str, str]] = {"forward": "generator", "back": "back_generator"}

    def __init__(self, config: CycleGANConfig, task: Task):
        super().__init__(task)
        self._config = config
        source, target = (pixels.channels for pixels in config.data.formats)
        # Both start as the identity, so adversarial training needs no warm start.
        self.generator = make_translator(config, (source, target), residual=True)
        self.back_generator = make_translator(config, (target, source), residual=True)
        self.discriminator = make_discriminator(config, target)
        self.back_discriminator = make_discriminator(config, source)
        initialise(config.networks, self.generator, self.back_generator, self.discriminator, self.back_discriminator)
        self.game = AdversarialGame(config, target, self.discriminator, self.generator)
        self.back_game = AdversarialGame(config, source, self.back_discriminator, self.back_generator)
        self.perception = PerceptualLoss() if config.game.perceptual_weight else None
        self.spec = self.make_spec(task, self.generator, describe(config))

    @property
    def config(self) -> CycleGANConfig:
        """The settings."""
        return self._config

    def spec_of(self, direction: str) -> ModelSpec:
        """Spec of `forward` or `back`."""
        if direction == "forward":
            return self.spec
        spec = self.spec
        return dataclasses.replace(
            spec,
            name=f"{spec.name}-back",
            direction="back",
            input_channels=spec.output_channels,
            output_channels=spec.input_channels,
            input_bits=spec.output_bits,
            output_bits=spec.input_bits,
        )

    def step(self, batch: Batch, update: Update) -> None:
        """Update both discriminators, then both generators, with the same generated images."""
        there_BCHW = self.generator(batch.source_BCHW)
        back_BCHW = self.back_generator(batch.target_BCHW)
        update("discriminator", self._discriminator_terms(batch, there_BCHW, back_BCHW))
        if self.game.updates_generator(batch.step, batch.share):
            update("generator", self._generators(batch, there_BCHW, back_BCHW))

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """Two unconditional discriminators."""
        return (
            Trial(
                partial(self.game.discriminate, self.discriminator),
                batch.target_BCHW,
                self.generator(batch.source_BCHW),
            ),
            Trial(
                partial(self.back_game.discriminate, self.back_discriminator),
                batch.source_BCHW,
                self.back_generator(batch.target_BCHW),
            ),
        )

    def _discriminator_terms(self, batch: Batch, there_BCHW: Tensor, back_BCHW: Tensor) -> dict[str, Term]:
        inputs = self.game.discriminator_input(DiscriminatorInput(batch.target_BCHW, there_BCHW))
        back_inputs = self.back_game.discriminator_input(DiscriminatorInput(batch.source_BCHW, back_BCHW))
        return {
            **self.game.discriminator_terms(self.discriminator, inputs, batch.step),
            **_back(self.back_game.discriminator_terms(self.back_discriminator, back_inputs, batch.step)),
        }

    def _generators(self, batch: Batch, there_BCHW: Tensor, back_BCHW: Tensor) -> dict[str, Term]:
        source_BCHW, target_BCHW = batch.source_BCHW, batch.target_BCHW
        config = self.config
        inputs, back_inputs = DiscriminatorInput(target_BCHW, there_BCHW), DiscriminatorInput(source_BCHW, back_BCHW)
        returned_BCHW, back_returned_BCHW = self.back_generator(there_BCHW), self.generator(back_BCHW)
        terms = {
            **self.game.generator_terms(self.discriminator, self.generator, inputs),
            **_back(self.back_game.generator_terms(self.back_discriminator, self.back_generator, back_inputs)),
            "cycle": Term(config.cycle_weight, F.l1_loss(returned_BCHW, source_BCHW)),
            "back_cycle": Term(config.cycle_weight, F.l1_loss(back_returned_BCHW, target_BCHW)),
        }
        if self.perception is not None:
            weight = config.game.perceptual_weight
            terms["perceptual"] = Term(weight, self.perception(returned_BCHW, source_BCHW))
            terms["back_perceptual"] = Term(weight, self.perception(back_returned_BCHW, target_BCHW))
        if config.identity_weight and source_BCHW.shape == target_BCHW.shape:
            terms["identity"] = Term(config.identity_weight, F.l1_loss(self.generator(target_BCHW), target_BCHW))
            back = F.l1_loss(self.back_generator(source_BCHW), source_BCHW)
            terms["back_identity"] = Term(config.identity_weight, back)
        return terms


def _back(terms: Mapping[str, Term]) -> dict[str, Term]:
    return {f"back_{name}": term for name, term in terms.items()}
