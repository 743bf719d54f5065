"""CUT: fast unpaired translation, one way only, kept to its source by contrast between patches.

Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", 2020 (CUT and FastCUT): a patch of the
result must be recognisable, among the patches of the same picture, as made from the patch at its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from translate.errors import ConfigError
from translate.losses.patch_nce import patch_nce
from translate.networks.classic_unet import ClassicUNet
from translate.networks.patch_heads import PatchHeads
from translate.tasks import Task
from translate.trainers.adversarial_config import CLASSIC_UNPAIRED, SMALL_DATA
from translate.trainers.adversary import AdversarialGame, Shown, make_discriminator
from translate.trainers.base import Batch, Term, Trainer, Trial, Update
from translate.trainers.config import TrainConfig, check_range
from translate.trainers.translators import TranslatorConfig, describe, initialise, make_translator


@dataclass(frozen=True, kw_only=True)
class CUTConfig(TranslatorConfig):
    """Settings of CUT."""

    contrast_weight: float = 1.0
    """Weight of patches of the result belonging to those of the source: 1 in CUT, 10 in FastCUT."""
    identity_weight: float = 1.0
    """The same for targets, which are to stay what they are: 1 in CUT, 0 in FastCUT."""
    flip_consistency: bool = False
    """Contrast a mirrored source half of the time, as FastCUT does."""
    patches: int = 256
    """Patches compared in every picture and layer."""
    temperature: float = 0.07
    """Of the contrast; smaller is stricter."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("contrast_weight", "identity_weight"):
            check_range(self, name, 0.0, 1e6)
        check_range(self, "patches", 2, 65536)
        check_range(self, "temperature", 1e-3, 100.0)
        if self.generator == "classic-unet":
            raise ConfigError("--generator is classic-unet, whose layers cannot be contrasted; use unet or resnet")
        if self.perceptual_weight:
            raise ConfigError(
                f"--perceptual-weight is {self.perceptual_weight:g}, but cut has nothing that a result should look "
                "like; leave it out"
            )
        if self.labels:
            raise ConfigError("--labels needs pairs; leave it out, or train with pix2pix")


_CLASSIC = replace(CUTConfig(), **{**CLASSIC_UNPAIRED, "initialisation": "xavier"})


class CUT(Trainer):
    """One generator, a discriminator, and small heads that make patches comparable.

    Args:
        config: the settings.
        task: what is being learnt; its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the networks.
    """

    config_class = CUTConfig
    presets: ClassVar[Mapping[str, TrainConfig]] = {
        "modern": CUTConfig(
            generator_widths=(24, 48, 96, 160),
            generator_upsampling="bilinear",
            generator_lr=4e-4,
            discriminator_lr=8e-4,
            **SMALL_DATA,
        ),
        "classic": _CLASSIC,
        "fast-classic": replace(
            _CLASSIC,
            preset="fast-classic",
            contrast_weight=10.0,
            identity_weight=0.0,
            flip_consistency=True,
            lr_decay_start=0.75,
        ),
    }
    paired = False
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator", "heads"),
        "discriminator": ("discriminator",),
    }

    def __init__(self, config: CUTConfig, task: Task):
        super().__init__()
        self._config = config
        source, target = (pixels.channels for pixels in config.formats)
        if source != target:
            raise ConfigError(f"--channels is {config.channels}; cut needs as many channels in as out, for example 3")
        generator = make_translator(config, (source, target), residual=True, antialias=True)
        assert not isinstance(generator, ClassicUNet)  # the settings have been checked
        self.generator = generator
        self.heads = PatchHeads(self.generator.feature_channels)
        self.discriminator = make_discriminator(config, target)
        initialise(config, self.generator, self.heads, self.discriminator)
        self.game = AdversarialGame(config, target, self.discriminator, self.generator)
        self.spec = self.make_spec(task, self.generator, describe(config))

    @property
    def config(self) -> CUTConfig:
        """The settings."""
        return self._config

    def step(self, batch: Batch, update: Update) -> None:
        """Judge first, then the generator; one fake serves both."""
        source_BCHW = batch.source_BCHW
        mirrored = self.config.flip_consistency and bool(torch.rand(()) < 0.5)
        fake_BCHW = self.generator(source_BCHW.flip(-1) if mirrored else source_BCHW)
        shown = Shown(batch.target_BCHW, fake_BCHW)
        update("discriminator", self.game.judge_terms(self.discriminator, self.game.judged(shown), batch.step))
        if not self.game.generator_moves(batch.step, batch.share):
            return
        terms = self.game.player_terms(self.discriminator, self.generator, shown)
        terms["contrast"] = Term(self.config.contrast_weight, self._contrast(fake_BCHW, source_BCHW, mirrored))
        if self.config.identity_weight:
            same_BCHW = self.generator(batch.target_BCHW)
            terms["identity"] = Term(self.config.identity_weight, self._contrast(same_BCHW, batch.target_BCHW))
        update("generator", terms)

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """Pictures by themselves."""
        return (
            Trial(partial(self.game.verdict, self.discriminator), batch.target_BCHW, self.generator(batch.source_BCHW)),
        )

    def _contrast(self, made_BCHW: Tensor, origin_BCHW: Tensor, mirrored: bool = False) -> Tensor:
        """Mean over the layers of the contrast between patches of the same places, in a mirrored result too."""
        with torch.no_grad():
            keys, positions = self.heads(self.generator.features(origin_BCHW), None, self.config.patches)
        features = self.generator.features(made_BCHW)
        features = [x_BCHW.flip(-1) for x_BCHW in features] if mirrored else features
        queries, _ = self.heads(features, positions, self.config.patches)
        losses = [
            patch_nce(query_BPD, key_BPD, self.config.temperature)
            for query_BPD, key_BPD in zip(queries, keys, strict=True)
        ]
        return torch.stack(losses).mean()
