"""CycleGAN: learn a translation and its way back from two unpaired collections of pictures.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", 2017.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.spec import ModelSpec
from translate.tasks import Task
from translate.trainers.adversarial_config import CLASSIC_UNPAIRED, SMALL_DATA
from translate.trainers.adversary import AdversarialGame, Shown, make_discriminator
from translate.trainers.base import Batch, Term, Trainer, Trial, Update
from translate.trainers.config import TrainConfig, check_range
from translate.trainers.perception import Perception
from translate.trainers.translators import TranslatorConfig, describe, initialise, make_translator


@dataclass(frozen=True, kw_only=True)
class CycleGANConfig(TranslatorConfig):
    """Settings of CycleGAN."""

    cycle_weight: float = 10.0
    """Weight of coming back to the same picture there and back again, on the [-1, 1] range."""
    identity_weight: float = 5.0
    """Weight of leaving a picture alone that is of the wanted kind already; keeps colours where they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cycle_weight", "identity_weight"):
            check_range(self, name, 0.0, 1e6)
        if (self.projected or self.perceptual_weight) and self.formats[0].channels != 3:
            raise ConfigError(
                f"--channels is {self.channels}; --discriminator projected and --perceptual-weight look at both sides "
                "of cyclegan through classifiers of colour photographs, and need 3 channels on either"
            )
        if self.labels:
            raise ConfigError("--labels needs pairs; leave it out, or train with pix2pix")


class CycleGAN(Trainer):
    """Two generators, there and back, and a discriminator on either side.

    Args:
        config: the settings.
        task: what is being learnt; its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the networks.
    """

    config_class = CycleGANConfig
    presets: ClassVar[Mapping[str, TrainConfig]] = {
        # Half the paper's cycle weight, a tenth of its identity weight, twice its rate: these generators start as the
        # identity, where both terms are satisfied already and hold them back.
        "modern": CycleGANConfig(
            generator_widths=(24, 48, 96, 160),
            generator_padding="replicate",
            generator_upsampling="bilinear",
            cycle_weight=5.0,
            identity_weight=0.5,
            generator_lr=4e-4,
            discriminator_lr=8e-4,
            **SMALL_DATA,
        ),
        "classic": replace(CycleGANConfig(), **CLASSIC_UNPAIRED, pool_size=50),
    }
    paired = False
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator", "back_generator"),
        "discriminator": ("discriminator", "back_discriminator"),
    }
    directions: ClassVar[Mapping[str, str]] = {"forward": "generator", "back": "back_generator"}

    def __init__(self, config: CycleGANConfig, task: Task):
        super().__init__()
        self._config = config
        source, target = (pixels.channels for pixels in config.formats)
        # From the identity on: what can stay stays, and the game needs no warm start.
        self.generator = make_translator(config, (source, target), residual=True)
        self.back_generator = make_translator(config, (target, source), residual=True)
        self.discriminator = make_discriminator(config, target)
        self.back_discriminator = make_discriminator(config, source)
        initialise(config, self.generator, self.back_generator, self.discriminator, self.back_discriminator)
        self.game = AdversarialGame(config, target, self.discriminator, self.generator)
        self.back_game = AdversarialGame(config, source, self.back_discriminator, self.back_generator)
        self.perception = Perception() if config.perceptual_weight else None
        self.spec = self.make_spec(task, self.generator, describe(config))

    @property
    def config(self) -> CycleGANConfig:
        """The settings."""
        return self._config

    def spec_of(self, direction: str) -> ModelSpec:
        """Contract of `forward` or `back`."""
        if direction == "forward":
            return self.spec
        spec = self.spec
        return dataclasses.replace(
            spec,
            name=f"{spec.name}-back",
            input_channels=spec.output_channels,
            output_channels=spec.input_channels,
            input_bits=spec.output_bits,
            output_bits=spec.input_bits,
        )

    def step(self, batch: Batch, update: Update) -> None:
        """Both judges first, then both generators against the improved judges; one fake a side serves both."""
        there_BCHW = self.generator(batch.source_BCHW)
        back_BCHW = self.back_generator(batch.target_BCHW)
        update("discriminator", self._judges(batch, there_BCHW, back_BCHW))
        if self.game.generator_moves(batch.step, batch.share):
            update("generator", self._generators(batch, there_BCHW, back_BCHW))

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """Pictures by themselves, on either side."""
        return (
            Trial(partial(self.game.verdict, self.discriminator), batch.target_BCHW, self.generator(batch.source_BCHW)),
            Trial(
                partial(self.back_game.verdict, self.back_discriminator),
                batch.source_BCHW,
                self.back_generator(batch.target_BCHW),
            ),
        )

    def _judges(self, batch: Batch, there_BCHW: Tensor, back_BCHW: Tensor) -> dict[str, Term]:
        shown = self.game.judged(Shown(batch.target_BCHW, there_BCHW))
        back_shown = self.back_game.judged(Shown(batch.source_BCHW, back_BCHW))
        return {
            **self.game.judge_terms(self.discriminator, shown, batch.step),
            **_back(self.back_game.judge_terms(self.back_discriminator, back_shown, batch.step)),
        }

    def _generators(self, batch: Batch, there_BCHW: Tensor, back_BCHW: Tensor) -> dict[str, Term]:
        source_BCHW, target_BCHW = batch.source_BCHW, batch.target_BCHW
        config = self.config
        shown, back_shown = Shown(target_BCHW, there_BCHW), Shown(source_BCHW, back_BCHW)
        returned_BCHW, back_returned_BCHW = self.back_generator(there_BCHW), self.generator(back_BCHW)
        terms = {
            **self.game.player_terms(self.discriminator, self.generator, shown),
            **_back(self.back_game.player_terms(self.back_discriminator, self.back_generator, back_shown)),
            "cycle": Term(config.cycle_weight, F.l1_loss(returned_BCHW, source_BCHW)),
            "back_cycle": Term(config.cycle_weight, F.l1_loss(back_returned_BCHW, target_BCHW)),
        }
        if self.perception is not None:
            weight = config.perceptual_weight
            terms["perceptual"] = Term(weight, self.perception(returned_BCHW, source_BCHW))
            terms["back_perceptual"] = Term(weight, self.perception(back_returned_BCHW, target_BCHW))
        if config.identity_weight and source_BCHW.shape == target_BCHW.shape:
            terms["identity"] = Term(config.identity_weight, F.l1_loss(self.generator(target_BCHW), target_BCHW))
            back = F.l1_loss(self.back_generator(source_BCHW), source_BCHW)
            terms["back_identity"] = Term(config.identity_weight, back)
        return terms


def _back(terms: Mapping[str, Term]) -> dict[str, Term]:
    return {f"back_{name}": term for name, term in terms.items()}
