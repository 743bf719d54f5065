"""The adversarial part that all trainers share: which discriminator, which game, and what each side is paid for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from translate.data.differentiable import draw
from translate.errors import ConfigError
from translate.losses.adversarial import GAMES, game_over_scales
from translate.losses.feature_matching import feature_matching
from translate.losses.gradient_penalty import zero_centred_penalty
from translate.networks.patchgan import PatchGAN
from translate.trainers.base import Term
from translate.trainers.config import TrainConfig, check_range


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(TrainConfig):
    """Settings of trainers with a discriminator."""

    adversarial: Literal["hinge", "least-squares", "non-saturating", "relativistic"] = "hinge"
    """The game between generator and discriminator."""
    adversarial_weight: float = 1.0
    """Weight of the adversarial term for the generator."""
    feature_weight: float = 10.0
    """Weight of feature matching (10 in pix2pixHD, 2018); only where pairs exist."""
    discriminator_weight: float = 1.0
    """Weight of the discriminator's loss; 0.5 in pix2pix and CycleGAN."""
    r1_weight: float = 0.0
    """Gradient penalty on real pictures (Mescheder et al., 2018); 10 is a usual start when training is unstable."""
    r2_weight: float = 0.0
    """The same on made pictures; together with --adversarial relativistic as in R3GAN (Huang et al., 2024)."""
    penalty_interval: int = 8
    """Steps between gradient penalties, whose weight is raised as much (lazy regularisation, StyleGAN2)."""
    discriminator_augmentation: tuple[Literal["colour", "translation", "cutout"], ...] = ()
    """Changes of everything the discriminator sees, against memorising a few hundred pictures (DiffAugment, 2020)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    discriminator_layers: int = 3
    """Strided layers of the discriminator; 3 judges patches of 70 pixels, 4 of 142."""
    discriminator_scales: int = 2
    """Discriminators, each at half the size of the one before (pix2pixHD, 2018)."""
    discriminator_norm: Literal["spectral", "instance", "instance-affine"] = "spectral"
    """What keeps the discriminator in bounds; the two others belong to the classic recipes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("adversarial_weight", "feature_weight", "discriminator_weight", "r1_weight", "r2_weight"):
            check_range(self, name, 0.0, 1e6)
        for name in ("discriminator_width", "penalty_interval"):
            check_range(self, name, 1, 4096)
        check_range(self, "discriminator_layers", 1, 8)
        check_range(self, "discriminator_scales", 1, 6)


def make_discriminator(config: AdversarialConfig, channels: int) -> PatchGAN:
    """The discriminator the settings describe, for pictures of `channels` channels with all they are given beside.

    Raises:
        ConfigError: the pictures are too small for it.
    """
    discriminator = PatchGAN(
        channels,
        config.discriminator_width,
        config.discriminator_layers,
        config.discriminator_scales,
        config.discriminator_norm,
    )
    if config.image_size < discriminator.smallest_size:
        raise ConfigError(
            f"--image-size is {config.image_size}; a discriminator of {config.discriminator_layers} layers at "
            f"{config.discriminator_scales} scales needs at least {discriminator.smallest_size}, "
            "or lower --discriminator-layers or --discriminator-scales"
        )
    return discriminator


class Shown(NamedTuple):
    """What a discriminator is shown: real and made pictures, and what both were made from."""

    real_BCHW: Tensor
    fake_BCHW: Tensor
    given_BCHW: Tensor | None = None
    """Source and label planes; None when it judges pictures by themselves."""

    def joined(self, config: AdversarialConfig) -> tuple[Tensor, Tensor]:
        """Real and fake with what is given, all augmented alike, ready to be judged."""
        count, _, height, width = self.real_BCHW.shape
        augmentation = draw(config.discriminator_augmentation, count, height, width, self.real_BCHW.device)
        if self.given_BCHW is None:
            return augmentation(self.real_BCHW), augmentation(self.fake_BCHW)
        given_BCHW = self.given_BCHW.to(self.real_BCHW.dtype)
        real = augmentation(self.real_BCHW, given_BCHW)
        fake = augmentation(self.fake_BCHW.to(self.real_BCHW.dtype), given_BCHW)
        return torch.cat(real, dim=1), torch.cat(fake, dim=1)


def judge_terms(config: AdversarialConfig, discriminator: nn.Module, shown: Shown, step: int) -> dict[str, Term]:
    """What the discriminator is paid for: telling real from fake. `fake_BCHW` must be detached."""
    real_BCHW, fake_BCHW = shown.joined(config)
    # One pass over both: larger matrices, and spectral norm takes one power iteration a step.
    verdict = discriminator(torch.cat([real_BCHW, fake_BCHW]))
    real_scores, fake_scores = _halves(verdict.scores, len(real_BCHW))
    loss = game_over_scales(GAMES[config.adversarial].discriminator, real_scores, fake_scores)
    terms = {"game": Term(config.discriminator_weight, loss)}
    if step % config.penalty_interval == 0:
        for name, weight, judged_BCHW in (("r1", config.r1_weight, real_BCHW), ("r2", config.r2_weight, fake_BCHW)):
            if weight:
                terms[name] = Term(weight / 2 * config.penalty_interval, _penalty(discriminator, judged_BCHW))
    return terms


def _penalty(discriminator: nn.Module, judged_BCHW: Tensor) -> Tensor:
    """In float32: squared gradients of a 16-bit pass are mostly rounding."""
    with torch.autocast(judged_BCHW.device.type, enabled=False):
        judged_BCHW = judged_BCHW.detach().float().requires_grad_()
        # `forward`: what --compile makes of the call cannot be differentiated twice.
        return zero_centred_penalty(discriminator.forward(judged_BCHW).scores, judged_BCHW)


def player_terms(
    config: AdversarialConfig, discriminator: nn.Module, shown: Shown, *, matched: int = 0
) -> dict[str, Term]:
    """What the generator is paid for: being taken for real.

    Args:
        config, discriminator, shown: as for `judge_terms`, but gradients flow through `fake_BCHW`.
        matched: the first so many pictures of the batch are also to look like their real ones to the discriminator
            (feature matching); 0 where nothing is paired.
    """
    game = GAMES[config.adversarial]
    matched = matched if config.feature_weight else 0
    real_BCHW, fake_BCHW = shown.joined(config)
    fake = discriminator(fake_BCHW)
    real_scores, real_features = fake.scores, fake.features  # not looked at, unless:
    if game.needs_real or matched:
        with torch.no_grad():
            real_scores, real_features = discriminator(real_BCHW)
    terms = {
        "adversarial": Term(config.adversarial_weight, game_over_scales(game.generator, real_scores, fake.scores)),
    }
    if matched:
        value = feature_matching([x[:matched] for x in fake.features], [x[:matched] for x in real_features])
        terms["features"] = Term(config.feature_weight, value)
    return terms


def _halves(scores: Sequence[Tensor], count: int) -> tuple[list[Tensor], list[Tensor]]:
    return [score[:count] for score in scores], [score[count:] for score in scores]


SMALL_DATA = ("translation", "cutout")
"""Augmentation of what the discriminator sees in the modern presets, which are for hundreds of pictures. Not colour:
it hides from the discriminator that a picture is too dark, which is the very thing that tells day from night."""

CLASSIC: Mapping[str, object] = {
    "preset": "classic",
    "adversarial": "non-saturating",
    "feature_weight": 0.0,
    "discriminator_weight": 0.5,
    "discriminator_augmentation": (),
    "discriminator_width": 64,
    "discriminator_layers": 3,
    "discriminator_scales": 1,
    "discriminator_norm": "instance-affine",
    "generator_lr": 2e-4,
    "discriminator_lr": 2e-4,
    "adam_beta1": 0.5,
    "adam_beta2": 0.999,
    "lr_rampup_images": 0,
    "lr_decay_start": 0.5,
    "ema_halflife_images": 0,
    "batch_size": 1,
    "initialisation": "normal",
    "augmentation": "flip",
}
"""What the classic recipes of 2017 have in common: Adam 2e-4 (0.5, 0.999), batch 1, linear decay in the second half,
normal initialisation of 0.02, a 70x70 PatchGAN of width 64 whose loss is halved, no average, flips only."""

CLASSIC_UNPAIRED: Mapping[str, object] = {
    **CLASSIC,
    "generator": "resnet",
    "generator_blocks": 9,
    "adversarial": "least-squares",
    "discriminator_norm": "instance",
}
"""What CycleGAN and CUT change of it: ResNet-9, the least-squares game, instance norm without gain and offset."""
