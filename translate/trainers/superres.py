"""Super-resolution: learn to upscale, first for fidelity, then for sharpness.

The first phase minimises the Charbonnier loss, the second adds the adversarial loss. Classic: Ledig
et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", 2017 (SRResNet, SRGAN).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from translate.data.degradation import degrade
from translate.data.second_order import degrade_twice
from translate.data.sharpening import sharpen
from translate.errors import ConfigError
from translate.losses.charbonnier import charbonnier
from translate.networks.compact_sr import CompactSR
from translate.networks.large_kernel_sr import LargeKernelSR
from translate.networks.residual_sr import ResidualSR
from translate.networks.span import SPAN
from translate.networks.srgan import SRDiscriminator, SRResNet
from translate.tasks import Task
from translate.trainers.adversarial import AdversarialGame, DiscriminatorInput, make_discriminator
from translate.trainers.adversarial_config import AdversarialConfig, DiscriminatorConfig
from translate.trainers.base import Batch, SourceMaker, Term, Trainer, Trial, Update
from translate.trainers.config import UNPREFIXED, TrainConfig, check_range, option_name
from translate.trainers.generators import initialise
from translate.trainers.perceptual import PerceptualLoss

ENLARGERS = {"residual": ResidualSR, "span": SPAN, "compact": CompactSR, "large-kernel": LargeKernelSR}
"""Generators that add a correction to bicubic upsampling, by the name of the setting."""


@dataclass(frozen=True, kw_only=True)
class SuperResNetworkConfig(DiscriminatorConfig):
    """What the two networks are."""

    generator: Literal["residual", "span", "compact", "large-kernel", "srresnet"] = "residual"
    """Generator. All but the classic srresnet (2017) have no normalisation and can be tiled exactly. residual is based
    on EDSR (2017); span (2024) and compact, plain 3x3 convolutions, are fast; large-kernel (2024) has the largest
    receptive field."""
    generator_width: int = 48
    """Channels of the generator; 64 in srresnet."""
    generator_blocks: int = 12
    """Blocks of the generator: two convolutions each in residual and large-kernel, three in span, one in compact.
    srresnet has 16 blocks."""
    generator_unshuffle: int = 1
    """Pixel unshuffle factor, 1, 2 or 4: the generator works at that fraction of the input size, which saves time with
    a --scale of 1 or 2."""
    detail_blocks: int = 0
    """Residual blocks of a separate detail branch, the only part trained with the adversarial loss, so that one model
    can produce faithful and sharp output and any blend; 0: the adversarial loss changes the whole generator."""
    # One more choice than in the base class; the others are passed on.
    discriminator: Literal["patch", "projected", "projected+patch", "srgan"] = "patch"  # pyright: ignore[reportIncompatibleVariableOverride]
    """Discriminator. srgan is the classic one (2017); patch is a PatchGAN trained from scratch; projected works on the
    features of a pretrained classifier (Projected GAN, 2021) and needs the extra `features` and 3 channels;
    projected+patch is both."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "detail_blocks", 0, 64)
        for name in ("generator_width", "generator_blocks"):
            check_range(self, name, 1, 4096)
        if self.generator_unshuffle not in (1, 2, 4):
            raise ConfigError(f"--generator-unshuffle is {self.generator_unshuffle}; it must be 1, 2 or 4")
        if self.generator_unshuffle > 1 and self.generator == "srresnet":
            raise ConfigError("--generator-unshuffle has no effect on srresnet; omit it")
        if self.initialisation != "default" and self.generator in ENLARGERS:
            raise ConfigError(f"--initialisation is {self.initialisation}, but {self.generator} has its own; omit it")
        for name in ("discriminator_norm", "discriminator_batch_features"):
            value = getattr(self, name)
            if self.discriminator == "srgan" and value != getattr(DiscriminatorConfig, name):
                raise ConfigError(
                    f"{option_name(name)} is {value}, but --discriminator srgan does not support it; omit it, or use "
                    "--discriminator patch"
                )


@dataclass(frozen=True, kw_only=True)
class SuperResConfig(AdversarialConfig):
    """Settings of super-resolution."""

    scale: int = 4
    """Upscaling factor."""
    adversarial_start: float = 0.6
    """Fraction of the budget after which the adversarial loss is added, for sharper but less faithful output; 1:
    never."""
    fidelity_weight: float = 1.0
    """Weight of the pixel loss, on the range [-1, 1]."""
    fidelity: Literal["charbonnier", "l2"] = "charbonnier"
    """Pixel loss; SRGAN uses l2 (mean squared error)."""
    degradation: Literal["simple", "second-order"] = "simple"
    """Degradation of the low-resolution images. simple: as set by --blur, --noise and --jpeg; second-order: two rounds
    of random blur, resizing, noise and JPEG compression (Real-ESRGAN, 2021)."""
    clean_share: float = 0.0
    """Fraction of training images that are only downscaled with --degradation second-order, so that the model also
    keeps what is good; 0.1 in --preset robust."""
    sharpen_target: float = 0.0
    """Amount of unsharp masking of the targets, with --detail-blocks in the adversarial phase only; with 0.5, as in
    Real-ESRGAN, the output is sharper than the ground truth."""
    blur: float = 0.0
    """Fraction of training images blurred before downscaling; 0.5 suits photos of unknown origin."""
    noise: float = 0.0
    """Fraction of training images with noise added after downscaling."""
    jpeg: float = 0.0
    """Fraction of training images compressed as JPEG after downscaling."""
    networks: Annotated[SuperResNetworkConfig, UNPREFIXED] = SuperResNetworkConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "scale", 1, 8)
        check_range(self, "fidelity_weight", 0.0, 1e6)
        check_range(self, "sharpen_target", 0.0, 5.0)
        for name in ("adversarial_start", "clean_share", "blur", "noise", "jpeg"):
            check_range(self, name, 0.0, 1.0)
        self._check_generator()
        self._check_game()
        self._check_pictures()

    def _check_generator(self) -> None:
        if self.networks.detail_blocks and (self.networks.generator == "srresnet" or self.adversarial_start == 1.0):
            reason = (
                "srresnet has no detail branch"
                if self.networks.generator == "srresnet"
                else "without adversarial training the detail branch is not trained"
            )
            raise ConfigError(f"--detail-blocks is {self.networks.detail_blocks}, but {reason}; set it to 0")
        if self.data.image_size % self.scale:
            raise ConfigError(f"--image-size is {self.data.image_size}; it must be a multiple of --scale {self.scale}")
        if self.data.image_size % (self.scale * self.networks.generator_unshuffle):
            raise ConfigError(
                f"--image-size is {self.data.image_size}; it must be a multiple of --scale times "
                f"--generator-unshuffle, {self.scale * self.networks.generator_unshuffle}"
            )
        if self.networks.generator == "srresnet" and self.scale not in (2, 4):
            raise ConfigError(f"--scale is {self.scale}; srresnet supports 2 and 4, use --generator residual")
        if self.machine.checkpoint_activations and self.networks.generator == "srresnet":
            raise ConfigError("--checkpoint-activations has no effect on srresnet; use --accumulate to save memory")

    def _check_game(self) -> None:
        if self.game.perceptual_weight and self.adversarial_start == 1.0:
            raise ConfigError(
                f"--perceptual-weight is {self.game.perceptual_weight:g}, which is used in the adversarial phase only, "
                "but --adversarial-start is 1; omit one of them"
            )
        if self.networks.discriminator == "srgan" and self.data.image_size < SRDiscriminator.smallest_size:
            raise ConfigError(
                f"--image-size is {self.data.image_size}; --discriminator srgan needs at least "
                f"{SRDiscriminator.smallest_size}"
            )

    def _check_pictures(self) -> None:
        if self.data.layout not in ("photos", "auto"):
            raise ConfigError(
                f"--layout is {self.data.layout}, but super-resolution makes the low-resolution images itself; omit it"
            )
        if self.degradation == "second-order":
            for name in ("blur", "noise", "jpeg"):
                if getattr(self, name):
                    raise ConfigError(
                        f"{option_name(name)} is {getattr(self, name)}, but --degradation second-order sets its own; "
                        "omit it, or use --degradation simple"
                    )
        elif self.clean_share:
            raise ConfigError(
                f"--clean-share is {self.clean_share:g}, but it is for --degradation second-order; omit it, or use that"
            )
        if self.jpeg and self.data.formats[0].channels != 3:
            raise ConfigError(f"--jpeg needs 3 channels, but --channels is {self.data.channels}; omit --jpeg")
        if self.data.labels:
            raise ConfigError("--labels has no effect on super-resolution; omit it")
        if self.data.formats[0] != self.data.formats[1]:
            raise ConfigError(
                f"--channels is {self.data.channels}, but super-resolution needs the same for input and output; use "
                "for example --channels 3"
            )


_MODERN = SuperResConfig.of(
    layout="photos",
    framing="patch",
    image_size=128,
    batch_size=8,
    # Cheaper than residual with 12 blocks, and more faithful after the same training time (docs/generators.md).
    generator="compact",
    generator_blocks=18,
    generator_lr=5e-4,
    discriminator_lr=2e-4,
    adam_beta1=0.9,
    detail_blocks=4,
    # High, because it only trains the detail branch: with 0.005 the output hardly became sharper.
    adversarial_weight=0.05,
    feature_weight=0.5,
    discriminator_scales=1,
    metrics=("psnr_luma", "ssim", "swd"),
    best_by="swd",
)
_FIDELITY = _MODERN.replace(preset="fidelity", adversarial_start=1.0, detail_blocks=0, best_by="psnr_luma")


class SuperRes(Trainer):
    """An upscaling generator and a discriminator.

    Args:
        config: the settings.
        task: its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the networks.
    """

    config_class = SuperResConfig
    presets: ClassVar[Mapping[str, TrainConfig]] = {
        "modern": _MODERN,
        "fidelity": _FIDELITY,
        # A third of the compute per image, and half of it per training step.
        "fast": _FIDELITY.replace(preset="fast", generator="compact", generator_blocks=8),
        "robust": _MODERN.replace(preset="robust", degradation="second-order", clean_share=0.1),
        "classic": _MODERN.replace(
            preset="classic",
            adversarial_start=0.83,
            lr_decay_start=1.0,
            image_size=96,
            batch_size=16,
            generator="srresnet",
            generator_width=64,
            generator_blocks=16,
            detail_blocks=0,
            discriminator="srgan",
            fidelity="l2",
            adversarial="non-saturating",
            adversarial_weight=1e-3,
            feature_weight=0.0,
            generator_lr=1e-4,
            discriminator_lr=1e-4,
            adam_beta2=0.999,
            lr_rampup_images=0,
            ema_halflife_images=0,
            augmentation="flip",
        ),
    }

    def __init__(self, config: SuperResConfig, task: Task):
        super().__init__(task)
        self._config = config
        channels = config.data.formats[0].channels
        width, blocks = config.networks.generator_width, config.networks.generator_blocks
        if config.networks.generator in ENLARGERS:
            self.generator: nn.Module = ENLARGERS[config.networks.generator](
                channels,
                scale=config.scale,
                blocks=blocks,
                width=width,
                detail_blocks=config.networks.detail_blocks,
                unshuffle=config.networks.generator_unshuffle,
                checkpoint=config.machine.checkpoint_activations,
            )
        else:
            self.generator = SRResNet(channels, channels, config.scale, blocks, width)
        if config.adversarial_start < 1.0:
            classic = config.networks.discriminator == "srgan"
            self.discriminator = SRDiscriminator(channels) if classic else make_discriminator(config, 2 * channels)
        initialise(config.networks, *self.children())
        self.perception = PerceptualLoss() if config.game.perceptual_weight else None
        if config.adversarial_start < 1.0:
            seen = channels if config.networks.discriminator == "srgan" else 2 * channels
            self.game = AdversarialGame(config, seen, self.discriminator, self._adversarial_part)
        branch = f" and {config.networks.detail_blocks} of detail" if config.networks.detail_blocks else ""
        name = f"{type(self.generator).__name__} width {width}, {blocks} blocks{branch}"
        self.spec = replace(
            self.make_spec(task, self.generator, name),
            detail=config.networks.detail_blocks > 0,
            restores=config.degradation == "second-order" or max(config.blur, config.noise, config.jpeg) > 0.0,
        )

    @property
    def config(self) -> SuperResConfig:
        """The settings."""
        return self._config

    def source_maker(self) -> SourceMaker:
        """Downscale and degrade photos as set in the config."""
        config = self.config

        def make(photo_BCHW: Tensor, generator: Generator) -> Tensor:
            if config.degradation == "second-order":
                bits, clean = config.data.formats[0].bits, config.clean_share
                return degrade_twice(photo_BCHW, generator, config.scale, clean=clean, bits=bits)
            shares = (config.blur, config.noise, config.jpeg)
            return degrade(photo_BCHW, generator, config.scale, *shares, bits=config.data.formats[0].bits)

        return make

    def lr_share(self, share: float) -> float:
        """With a detail branch, each phase has a full schedule, because what it trains is final at its end."""
        start = self.config.adversarial_start
        if not self.config.networks.detail_blocks:
            return share
        return share / start if share < start else (share - start) / (1.0 - start)

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """In the adversarial phase: upsampled source and output, or the output alone."""
        if not self._playing(batch):
            return ()
        fake_BCHW, given_BCHW = self._make(batch, sharp=True), self._given(batch)
        given = [] if given_BCHW is None else [given_BCHW]
        inputs = (torch.cat([*given, picture_BCHW], dim=1) for picture_BCHW in (batch.target_BCHW, fake_BCHW))
        return (Trial(partial(self.game.discriminate, self.discriminator), *inputs),)

    def step(self, batch: Batch, update: Update) -> None:
        """Pixel loss only, then adversarial training; both losses use the same generated images."""
        playing = self._playing(batch)
        fake_BCHW = self._make(batch, sharp=playing)
        target_BCHW = self._target(batch)
        terms = {"fidelity": Term(self.config.fidelity_weight, self._difference(fake_BCHW, target_BCHW))}
        if playing:
            # Unsharpened photos, as in Real-ESRGAN: sharpened ones would teach the generator halos.
            inputs = DiscriminatorInput(batch.target_BCHW, fake_BCHW, self._given(batch))
            update(
                "discriminator",
                self.game.discriminator_terms(self.discriminator, self.game.discriminator_input(inputs), batch.step),
            )
            if not self.game.updates_generator(batch.step, batch.share - self.config.adversarial_start):
                return
            part = self._adversarial_part
            terms |= self.game.generator_terms(self.discriminator, part, inputs, matched=len(fake_BCHW))
            if self.perception is not None:
                value = self.perception(fake_BCHW, target_BCHW)
                terms["perceptual"] = Term(self.config.game.perceptual_weight, value)
        update("generator", terms)

    @property
    def _adversarial_part(self) -> nn.Module:
        """The part trained with the adversarial loss: the detail branch if there is one, else the whole generator."""
        return self.generator.get_submodule("detail") if self.config.networks.detail_blocks else self.generator

    def _playing(self, batch: Batch) -> bool:
        return self.config.adversarial_start < 1.0 and batch.share >= self.config.adversarial_start

    def _make(self, batch: Batch, *, sharp: bool) -> Tensor:
        if sharp and self.config.networks.detail_blocks:
            return self.generator(batch.source_BCHW, batch.source_BCHW.new_ones(1, 1))
        return self.generator(batch.source_BCHW)

    def _target(self, batch: Batch) -> Tensor:
        """The target of the pixel loss: sharpened, except in the first phase of a model with a detail branch."""
        faithful = self.config.networks.detail_blocks > 0 and not self._playing(batch)
        return batch.target_BCHW if faithful else sharpen(batch.target_BCHW, self.config.sharpen_target)

    def _given(self, batch: Batch) -> Tensor | None:
        """The upsampled source, to detect output that is sharp but wrong; SRGAN's discriminator is unconditional."""
        if self.config.networks.discriminator == "srgan":
            return None
        return F.interpolate(batch.source_BCHW, batch.target_BCHW.shape[-2:], mode="bicubic").clamp(-1.0, 1.0)

    def _difference(self, fake_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
        difference = charbonnier if self.config.fidelity == "charbonnier" else F.mse_loss
        return difference(fake_BCHW.float(), target_BCHW)
