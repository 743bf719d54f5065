"""Super-resolution: learn to enlarge, first faithfully, then sharply.

The first phase minimises the Charbonnier difference to the truth, the second adds the adversarial game. Classic: Ledig
et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", 2017 (SRResNet, SRGAN).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

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
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.adversary import AdversarialGame, Shown, make_discriminator
from translate.trainers.base import Batch, SourceMaker, Term, Trainer, Trial, Update
from translate.trainers.config import TrainConfig, check_range, option_name
from translate.trainers.perception import Perception
from translate.trainers.translators import initialise

ENLARGERS = {"residual": ResidualSR, "span": SPAN, "compact": CompactSR, "large-kernel": LargeKernelSR}
"""Generators that correct bicubic enlargement, by the setting's name."""


@dataclass(frozen=True, kw_only=True)
class SuperResConfig(AdversarialConfig):
    """Settings of super-resolution."""

    scale: int = 4
    """How many times larger the result is, in width and in height."""
    adversarial_start: float = 0.6
    """Share of the budget after which the game begins, which makes results sharper and less faithful; 1: never."""
    fidelity_weight: float = 1.0
    """Weight of the difference to the truth, on the [-1, 1] range."""
    fidelity: Literal["charbonnier", "l2"] = "charbonnier"
    """Which difference; l2 (mean squared) is SRGAN's."""
    degradation: Literal["simple", "second-order"] = "simple"
    """How small pictures are spoilt: as --blur, --noise and --jpeg say, or twice in a row by everything that happens to
    files in the wild (Real-ESRGAN, 2021)."""
    sharpen_target: float = 0.0
    """Amount of unsharp masking of what the sharp end should be close to; 0.5 in Real-ESRGAN, and results are sharper
    than the truth."""
    blur: float = 0.0
    """Share of training pictures that are blurred before they are reduced; 0.5 suits photographs of unknown origin."""
    noise: float = 0.0
    """Share that gets noise after being reduced."""
    jpeg: float = 0.0
    """Share that is compressed as JPEG after being reduced."""
    generator: Literal["residual", "span", "compact", "large-kernel", "srresnet"] = "residual"
    """All but srresnet, the classic (2017), have no normalisation and can be tiled exactly. residual is after EDSR
    (2017); span (2024) and compact, a chain of convolutions, are made for speed; large-kernel (2024) sees far."""
    generator_width: int = 48
    """Channels of the generator; 64 in srresnet."""
    generator_blocks: int = 12
    """Blocks of the generator, of two convolutions in residual and large-kernel, three in span, one in compact; 16 in
    srresnet."""
    generator_unshuffle: int = 1
    """2 or 4: the generator works at that fraction of the input's size, which suits a --scale of 1 or 2."""
    detail_blocks: int = 0
    """Residual blocks of a branch that alone plays the game, so that the model can do both, faithful and sharp, and
    everything between; 0: the game changes the whole generator, which then can only do sharp."""
    # One choice more than elsewhere; the others are handed on.
    discriminator: Literal["patch", "projected", "projected+patch", "srgan"] = "patch"  # pyright: ignore[reportIncompatibleVariableOverride]
    """Who judges; srgan is the classic (2017). patch starts from nothing; projected looks through a classifier's
    features (Projected GAN, 2021; needs the extra features and 3 channels); or both together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "scale", 1, 8)
        check_range(self, "fidelity_weight", 0.0, 1e6)
        check_range(self, "sharpen_target", 0.0, 5.0)
        check_range(self, "detail_blocks", 0, 64)
        for name in ("adversarial_start", "blur", "noise", "jpeg"):
            check_range(self, name, 0.0, 1.0)
        for name in ("generator_width", "generator_blocks"):
            check_range(self, name, 1, 4096)
        self._check_generator()
        self._check_game()
        self._check_pictures()

    def _check_generator(self) -> None:
        if self.generator_unshuffle not in (1, 2, 4):
            raise ConfigError(f"--generator-unshuffle is {self.generator_unshuffle}; it must be 1, 2 or 4")
        if self.generator_unshuffle > 1 and self.generator == "srresnet":
            raise ConfigError("--generator-unshuffle does nothing for srresnet; leave it out")
        if self.detail_blocks and (self.generator == "srresnet" or self.adversarial_start == 1.0):
            reason = (
                "srresnet has no such branch" if self.generator == "srresnet" else "without the game none is learnt"
            )
            raise ConfigError(f"--detail-blocks is {self.detail_blocks}, but {reason}; make it 0")
        if self.image_size % self.scale:
            raise ConfigError(f"--image-size is {self.image_size}; it must be a multiple of --scale {self.scale}")
        if self.image_size % (self.scale * self.generator_unshuffle):
            raise ConfigError(
                f"--image-size is {self.image_size}; it must be a multiple of --scale times --generator-unshuffle, "
                f"{self.scale * self.generator_unshuffle}"
            )
        if self.generator == "srresnet" and self.scale not in (2, 4):
            raise ConfigError(f"--scale is {self.scale}; srresnet enlarges 2 or 4 times, use --generator residual")
        if self.checkpoint_activations and self.generator == "srresnet":
            raise ConfigError("--checkpoint-activations does nothing for srresnet; use --accumulate to save memory")
        if self.initialisation != "default" and self.generator in ENLARGERS:
            raise ConfigError(
                f"--initialisation is {self.initialisation}, but {self.generator} brings its own; leave it out"
            )

    def _check_game(self) -> None:
        if self.perceptual_weight and self.adversarial_start == 1.0:
            raise ConfigError(
                f"--perceptual-weight is {self.perceptual_weight:g}, which belongs to the sharp end, but "
                "--adversarial-start is 1: none is learnt; leave one of them out"
            )
        if self.discriminator == "srgan" and self.image_size < SRDiscriminator.smallest_size:
            raise ConfigError(
                f"--image-size is {self.image_size}; --discriminator srgan needs at least "
                f"{SRDiscriminator.smallest_size}"
            )
        if self.discriminator == "srgan":
            for name in ("norm", "batch_features"):
                name = f"discriminator_{name}"
                if getattr(self, name) != getattr(AdversarialConfig, name):
                    raise ConfigError(
                        f"{option_name(name)} is {getattr(self, name)}, but --discriminator srgan is what it is; "
                        "leave it out, or use --discriminator patch"
                    )

    def _check_pictures(self) -> None:
        if self.layout not in ("photos", "auto"):
            raise ConfigError(
                f"--layout is {self.layout}; super-resolution makes the small pictures itself, leave it out"
            )
        if self.degradation == "second-order":
            for name in ("blur", "noise", "jpeg"):
                if getattr(self, name):
                    raise ConfigError(
                        f"{option_name(name)} is {getattr(self, name)}, but --degradation second-order draws its own; "
                        "leave it out, or use --degradation simple"
                    )
        if self.jpeg and self.formats[0].channels != 3:
            raise ConfigError(f"--jpeg needs 3 channels, but --channels is {self.channels}; leave --jpeg out")
        if self.labels:
            raise ConfigError("--labels means nothing for super-resolution; leave it out")
        if self.formats[0] != self.formats[1]:
            raise ConfigError(
                f"--channels is {self.channels}; super-resolution keeps them, write for example --channels 3"
            )


_MODERN = SuperResConfig(
    layout="photos",
    framing="patch",
    image_size=128,
    batch_size=8,
    # Cheaper than residual with 12 blocks, and closer to the truth after equal seconds (docs/generators.md).
    generator="compact",
    generator_blocks=18,
    generator_lr=5e-4,
    discriminator_lr=2e-4,
    adam_beta1=0.9,
    detail_blocks=4,
    # Strong, since the branch for detail is all that it moves: at 0.005 hardly anything became sharper.
    adversarial_weight=0.05,
    feature_weight=0.5,
    discriminator_scales=1,
    metrics=("psnr_luma", "ssim", "swd"),
    best_by="swd",
)
_FIDELITY = replace(_MODERN, preset="fidelity", adversarial_start=1.0, detail_blocks=0, best_by="psnr_luma")


class SuperRes(Trainer):
    """A generator that enlarges and a discriminator that knows sharp pictures from enlarged ones.

    Args:
        config: the settings.
        task: what is being learnt; its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the networks.
    """

    config_class = SuperResConfig
    presets: ClassVar[Mapping[str, TrainConfig]] = {
        "modern": _MODERN,
        "fidelity": _FIDELITY,
        # A third of the work of a picture, and half of that of a training step.
        "fast": replace(_FIDELITY, preset="fast", generator="compact", generator_blocks=8),
        "robust": replace(_MODERN, preset="robust", degradation="second-order"),
        "classic": replace(
            _MODERN,
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
        super().__init__()
        self._config = config
        channels = config.formats[0].channels
        width, blocks = config.generator_width, config.generator_blocks
        if config.generator in ENLARGERS:
            self.generator: nn.Module = ENLARGERS[config.generator](
                channels,
                scale=config.scale,
                blocks=blocks,
                width=width,
                detail_blocks=config.detail_blocks,
                unshuffle=config.generator_unshuffle,
                checkpoint=config.checkpoint_activations,
            )
        else:
            self.generator = SRResNet(channels, channels, config.scale, blocks, width)
        if config.adversarial_start < 1.0:
            classic = config.discriminator == "srgan"
            self.discriminator = SRDiscriminator(channels) if classic else make_discriminator(config, 2 * channels)
        initialise(config, *self.children())
        self.perception = Perception() if config.perceptual_weight else None
        if config.adversarial_start < 1.0:
            judged = channels if config.discriminator == "srgan" else 2 * channels
            self.game = AdversarialGame(config, judged, self.discriminator, self._player)
        branch = f" and {config.detail_blocks} of detail" if config.detail_blocks else ""
        name = f"{type(self.generator).__name__} width {width}, {blocks} blocks{branch}"
        self.spec = replace(self.make_spec(task, self.generator, name), detail=config.detail_blocks > 0)

    @property
    def config(self) -> SuperResConfig:
        """The settings."""
        return self._config

    def source_maker(self) -> SourceMaker:
        """Reduce photographs by the scale, and spoil them as the settings say."""
        config = self.config

        def make(photo_BCHW: Tensor, generator: Generator) -> Tensor:
            if config.degradation == "second-order":
                return degrade_twice(photo_BCHW, generator, config.scale, bits=config.formats[0].bits)
            shares = (config.blur, config.noise, config.jpeg)
            return degrade(photo_BCHW, generator, config.scale, *shares, bits=config.formats[0].bits)

        return make

    def lr_share(self, share: float) -> float:
        """With a branch for detail, each phase has the whole schedule: what it learns is finished at its end."""
        start = self.config.adversarial_start
        if not self.config.detail_blocks:
            return share
        return share / start if share < start else (share - start) / (1.0 - start)

    def trials(self, batch: Batch) -> Sequence[Trial]:
        """Once the game is on: enlarged source and result, or the result alone."""
        if not self._playing(batch):
            return ()
        fake_BCHW, given_BCHW = self._make(batch, sharp=True), self._given(batch)
        given = [] if given_BCHW is None else [given_BCHW]
        shown = (torch.cat([*given, picture_BCHW], dim=1) for picture_BCHW in (batch.target_BCHW, fake_BCHW))
        return (Trial(partial(self.game.verdict, self.discriminator), *shown),)

    def step(self, batch: Batch, update: Update) -> None:
        """Fidelity alone, then with the game; one fake serves both players."""
        playing = self._playing(batch)
        fake_BCHW = self._make(batch, sharp=playing)
        target_BCHW = self._target(batch)
        terms = {"fidelity": Term(self.config.fidelity_weight, self._difference(fake_BCHW, target_BCHW))}
        if playing:
            # Photographs as they are, as in Real-ESRGAN: sharpened ones would teach the game halos.
            shown = Shown(batch.target_BCHW, fake_BCHW, self._given(batch))
            update("discriminator", self.game.judge_terms(self.discriminator, self.game.judged(shown), batch.step))
            if not self.game.generator_moves(batch.step, batch.share - self.config.adversarial_start):
                return
            terms |= self.game.player_terms(self.discriminator, self._player, shown, matched=len(fake_BCHW))
            if self.perception is not None:
                value = self.perception(fake_BCHW, target_BCHW)
                terms["perceptual"] = Term(self.config.perceptual_weight, value)
        update("generator", terms)

    @property
    def _player(self) -> nn.Module:
        """What the game moves: the branch for detail where there is one, the faithful picture stays as it is."""
        return self.generator.get_submodule("detail") if self.config.detail_blocks else self.generator

    def _playing(self, batch: Batch) -> bool:
        return hasattr(self, "discriminator") and batch.share >= self.config.adversarial_start

    def _make(self, batch: Batch, *, sharp: bool) -> Tensor:
        if sharp and self.config.detail_blocks:
            return self.generator(batch.source_BCHW, batch.source_BCHW.new_ones(1, 1))
        return self.generator(batch.source_BCHW)

    def _target(self, batch: Batch) -> Tensor:
        """What a result should be close to: sharpened for the sharp end, or where there is no other."""
        faithful = self.config.detail_blocks > 0 and not self._playing(batch)
        return batch.target_BCHW if faithful else sharpen(batch.target_BCHW, self.config.sharpen_target)

    def _given(self, batch: Batch) -> Tensor | None:
        """The enlarged source, so that sharp but wrong is told from sharp; SRGAN judges results alone."""
        if self.config.discriminator == "srgan":
            return None
        return F.interpolate(batch.source_BCHW, batch.target_BCHW.shape[-2:], mode="bicubic").clamp(-1.0, 1.0)

    def _difference(self, fake_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
        difference = charbonnier if self.config.fidelity == "charbonnier" else F.mse_loss
        return difference(fake_BCHW.float(), target_BCHW)
