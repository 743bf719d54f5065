"""CUT: fast unpaired translation in one direction, with a patchwise contrastive loss.

Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", 2020 (CUT and FastCUT): each patch of the
output must match the source patch at the same location better than the other patches of the source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from translate.errors import ConfigError
from translate.losses.patch_nce import patch_nce
from translate.networks.classic_unet import ClassicUNet
from translate.networks.patch_heads import PatchHeads
from translate.networks.squeezenet import SMALLEST
from translate.tasks import Task
from translate.trainers.adversarial import AdversarialGame, DiscriminatorInput, make_discriminator
from translate.trainers.adversarial_config import CLASSIC_UNPAIRED, SMALL_DATA
from translate.trainers.base import Batch, Term, Trainer, Trial, Update
from translate.trainers.config import TrainConfig, check_range
from translate.trainers.generators import TranslatorConfig, describe, initialise, make_translator
from translate.trainers.perceptual import PretrainedFeatures


@dataclass(frozen=True, kw_only=True)
class CUTConfig(TranslatorConfig):
    """Settings of CUT."""

    contrast_weight: float = 1.0
    """Weight of the PatchNCE loss between output and source: 1 in CUT, 10 in FastCUT."""
    identity_weight: float = 1.0
    """Weight of the PatchNCE identity loss, on translated target images: 1 in CUT, 0 in FastCUT."""
    flip_consistency: bool = False
    """Flip-equivariance augmentation: mirror the source half of the time, as in FastCUT."""
    patches: int = 256
    """Number of patches per image and layer in the PatchNCE loss."""
    contrast_features: Literal["generator", "lite1", "squeezenet"] = "generator"
    """Features that the PatchNCE loss compares. generator: those of the generator's own encoder, as in CUT; lite1 and
    squeezenet: those of a pretrained classifier, which needs the extra `features` and 3 channels."""
    temperature: float = 0.07
    """Temperature of the PatchNCE loss; lower is stricter."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("contrast_weight", "identity_weight"):
            check_range(self, name, 0.0, 1e6)
        check_range(self, "patches", 2, 65536)
        check_range(self, "temperature", 1e-3, 100.0)
        if self.networks.generator == "classic-unet":
            raise ConfigError("--generator is classic-unet, which PatchNCE does not support; use unet or resnet")
        if self.game.perceptual_weight:
            raise ConfigError(
                f"--perceptual-weight is {self.game.perceptual_weight:g}, but cut has no target image for its output; "
                "omit it"
            )
        if self.data.labels:
            raise ConfigError("--labels needs pairs; omit it, or train with pix2pix")
        if self.contrast_features != "generator":
            option = f"--contrast-features {self.contrast_features}"
            if {pixels.channels for pixels in self.data.formats} != {3}:
                raise ConfigError(
                    f"{option} needs colour images, but --channels is {self.data.channels}; use --contrast-features "
                    "generator"
                )
            if self.data.image_size < SMALLEST:
                raise ConfigError(f"--image-size is {self.data.image_size}; {option} needs at least {SMALLEST}")


_CLASSIC = CUTConfig.of(**{**CLASSIC_UNPAIRED, "initialisation": "xavier"})


class CUT(Trainer):
    """A generator, a discriminator, and MLP heads that project patch features.

    Args:
        config: the settings.
        task: its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the networks.
    """

    config_class = CUTConfig
    presets: ClassVar[Mapping[str, TrainConfig]] = {
        "modern": CUTConfig.of(
            generator_widths=(24, 48, 96, 160),
            generator_upsampling="bilinear",
            generator_lr=4e-4,
            discriminator_lr=8e-4,
            **SMALL_DATA,
        ),
        "classic": _CLASSIC,
        "fast-classic": _CLASSIC.replace(
            preset="fast-classic",
            contrast_weight=10.0,
            identity_weight=0.0,
            flip_consistency=True,
            lr_decay_start=0.75,
        ),
    }
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator", "heads"),
        "discriminator": ("discriminator",),
    }

    def __init__(self, config: CUTConfig, task: Task):
        super().__init__(task)
        self._config = config
        source, target = (pixels.channels for pixels in config.data.formats)
        if source != target:
            raise ConfigError(
                f"--channels is {config.data.channels}; cut needs the same number for input and target, for example 3"
            )
        generator = make_translator(config, (source, target), residual=True, antialias=True)
        assert not isinstance(generator, ClassicUNet)  # the settings have been checked
        self.generator = generator
        self.pretrained = (
            None if config.contrast_features == "generator" else PretrainedFeatures(config.contrast_features)
        )
        self.heads = PatchHeads((self.pretrained or generator).feature_channels)
        self.discriminator = make_discriminator(config, target)
        initialise(config.networks, self.generator, self.heads, self.discriminator)
        self.game = AdversarialGame(config, target, self.discriminator, self.generator)
        self.spec = self.make_spec(task, self.generator, describe(config))

    @property
    def config(self) -> CUTConfig:
        """The settings."""
        return self._config

    def step(self, batch: Batch, update: Update) -> None:
        """Update the discriminator, then the generator, with the same generated images."""
        source_BCHW = batch.source_BCHW
        mirrored = self.config.flip_consistency and bool(torch.rand(()) < 0.5)
        fake_BCHW = self.generator(source_BCHW.flip(-1) if mirrored else source_BCHW)
        inputs = DiscriminatorInput(batch.target_BCHW, fake_BCHW)
        update(
            "discriminator",
            self.game.discriminator_terms(self.discriminator, self.game.discriminator_input(inputs), batch.step),
        )
        if not self.game.updates_generator(batch.step, batch.share):
            return
        terms = self.game.generator_terms(self.discriminator, self.generator, inputs)
        terms["contrast"] = Term(self.config.contrast_weight, self._contrast(fake_BCHW, source_BCHW, mirrored))
        if self.config.identity_weight:
            same_BCHW = self.generator(batch.target_BCHW)
            terms["identity"] = Term(self.config.identity_weight, self._contrast(same_BCHW, batch.target_BCHW))
        update("generator", terms)

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """An unconditional discriminator."""
        return (
            Trial(
                partial(self.game.discriminate, self.discriminator),
                batch.target_BCHW,
                self.generator(batch.source_BCHW),
            ),
        )

    def _contrast(self, output_BCHW: Tensor, source_BCHW: Tensor, mirrored: bool = False) -> Tensor:
        """Mean of the PatchNCE loss over the layers; `mirrored`: the output is that of the mirrored source."""
        with torch.no_grad():
            keys, positions = self.heads(self._features(source_BCHW), None, self.config.patches)
        features = self._features(output_BCHW)
        features = [x_BCHW.flip(-1) for x_BCHW in features] if mirrored else features
        queries, _ = self.heads(features, positions, self.config.patches)
        losses = [
            patch_nce(query_BPD, key_BPD, self.config.temperature)
            for query_BPD, key_BPD in zip(queries, keys, strict=True)
        ]
        return torch.stack(losses).mean()

    def _features(self, x_BCHW: Tensor) -> list[Tensor]:
        return self.generator.features(x_BCHW) if self.pretrained is None else self.pretrained(x_BCHW)
