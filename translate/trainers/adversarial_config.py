"""Settings of adversarial training, and the defaults that named presets share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import tyro

from translate.errors import ConfigError
from translate.losses.adversarial import GAMES
from translate.networks.squeezenet import SMALLEST
from translate.trainers.config import UNPREFIXED, NetworkConfig, TrainConfig, check_range, option_name

OF_PATCHGAN = (
    "discriminator_width", "discriminator_layers", "discriminator_scales", "discriminator_norm",
    "discriminator_batch_features",
)  # fmt: skip
"""Settings that other discriminators do not have."""

WEIGHTS = (
    "adversarial_weight", "feature_weight", "discriminator_weight", "gradient_penalty_weight", "r1_weight", "r2_weight",
    "negative_weight", "lecam_weight", "historical_weight", "perceptual_weight",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GameConfig:
    """The GAN loss, its weight, and what keeps the game between generator and discriminator stable."""

    adversarial: Literal[
        "hinge", "minimax", "non-saturating", "maximum-likelihood", "least-squares", "wgan-gp", "relativistic"
    ] = "hinge"
    """The GAN loss. hinge is a good default; relativistic with --r1-weight and --r2-weight is the most stable (R3GAN,
    2024); wgan-gp (2017) works best with --discriminator-norm none. CycleGAN uses least-squares, pix2pix
    non-saturating. minimax and maximum-likelihood are for comparison only (Goodfellow, 2016)."""
    adversarial_weight: float = 1.0
    """Weight of the generator's adversarial loss."""
    feature_weight: float = 10.0
    """Weight of feature matching through the PatchGAN (10 in pix2pixHD, 2018); needs paired data."""
    discriminator_weight: float = 1.0
    """Weight of the discriminator loss; 0.5 in pix2pix and CycleGAN."""
    real_label: float = 1.0
    """Discriminator target for real images. 0.9 is one-sided label smoothing (Salimans et al., 2016), which helps when
    the discriminator loss falls to zero. Not for hinge, wgan-gp and relativistic."""
    r1_weight: float = 0.0
    """Weight of the R1 gradient penalty, on real images (Mescheder et al., 2018); try 10 if training is unstable."""
    r2_weight: float = 0.0
    """Weight of the R2 gradient penalty, on generated images; R3GAN uses it with --adversarial relativistic (Huang et
    al., 2024)."""
    penalty_interval: int = 8
    """Apply R1 and R2 every this many steps, with the weight scaled to match (lazy regularisation, StyleGAN2)."""
    gradient_penalty_weight: float = 10.0
    """Weight of the gradient penalty of wgan-gp, applied at every step (Gulrajani et al., 2017)."""
    lecam_weight: float = 0.0
    """Weight of LeCam regularisation, which keeps the scores of real and generated images close together on small data
    sets; try 0.1 to 0.5 (Tseng et al., 2021)."""
    discriminator_augmentation: tuple[Literal["colour", "translation", "cutout"], ...] = ()
    """Augmentation of all discriminator inputs, real and generated, against overfitting on a few hundred images
    (DiffAugment, 2020)."""
    adaptive_augmentation: float = 0.0
    """Apply that augmentation with an adaptive probability, which rises while the mean sign of the discriminator's
    scores of real images is above this target (0.6 in ADA, 2020). 0: always augment."""
    negative_weight: float = 0.0
    """Weight of real images with shuffled tiles as extra fakes, which makes the discriminator look at global
    structure; try 0.3 (negative data augmentation, Sinha et al., 2021)."""
    pool_size: int = 0
    """Number of earlier generated images kept to train the discriminator on again; 50 in CycleGAN."""
    discriminator_steps: int = 1
    """Discriminator steps per generator step; raise it if the discriminator falls behind. 5 in wgan-gp."""
    discriminator_warmup: float = 0.0
    """Fraction of the budget, from the start of adversarial training, in which only the discriminator is trained: an
    untrained one would damage a good generator. Try 0.05 if --start-from is a model file, which has none."""
    unrolled_steps: int = 0
    """Unroll the discriminator this many steps in the generator loss, against mode collapse; each one makes training
    much slower (Metz et al., 2017)."""
    unrolled_lr: float = 0.01
    """Learning rate of the unrolled steps, which are plain SGD; too large, and they no longer predict the real ones."""
    historical_weight: float = 0.0
    """Weight of historical averaging, which keeps both networks near the mean of their past parameters, against
    oscillation (Salimans et al., 2016)."""
    perceptual_weight: float = 0.0
    """Weight of the perceptual loss through SqueezeNet (LPIPS, 2018): between output and target for paired data, for
    super-resolution only in the adversarial phase; between an image and its cycle reconstruction for cyclegan. Needs
    the extra `features` and 3 channels."""

    def __post_init__(self) -> None:
        for name in WEIGHTS:
            check_range(self, name, 0.0, 1e6)
        for name, low, high in (
            ("real_label", 0.5, 1.0),
            ("penalty_interval", 1, 4096),
            ("adaptive_augmentation", 0.0, 0.99),
            ("pool_size", 0, 100_000),
            ("discriminator_steps", 1, 100),
            ("discriminator_warmup", 0.0, 1.0),
            ("unrolled_steps", 0, 100),
            ("unrolled_lr", 0.0, 100.0),
        ):
            check_range(self, name, low, high)
        if self.real_label != 1.0 and not GAMES[self.adversarial].labelled:
            labelled = ", ".join(name for name, game in GAMES.items() if game.labelled)
            raise ConfigError(
                f"--real-label is {self.real_label:g}, but --adversarial {self.adversarial} has no target labels; "
                f"omit it, or use one of: {labelled}"
            )
        if self.adaptive_augmentation and not self.discriminator_augmentation:
            raise ConfigError(
                "--adaptive-augmentation needs an augmentation; add --discriminator-augmentation translation cutout, "
                "or set it to 0"
            )


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(NetworkConfig):
    """What the discriminator is."""

    discriminator: Literal["patch", "projected", "projected+patch"] = "patch"
    """Discriminator. patch is a PatchGAN trained from scratch; projected works on the features of a pretrained
    classifier (Projected GAN, 2021) and needs the extra `features` and 3 channels; projected+patch is both."""
    discriminator_width: int = 32
    """Channels in the first layer of the discriminator."""
    discriminator_layers: int = 3
    """Strided layers of the discriminator; the receptive field is 70 pixels with 3 layers, 142 with 4."""
    discriminator_scales: int = 2
    """Number of discriminators, each on images of half the size of the previous one (pix2pixHD, 2018)."""
    discriminator_norm: Literal[
        "spectral", "instance", "instance-affine", "reference-batch", "virtual-batch", "none"
    ] = "spectral"
    """Normalisation in the discriminator. The classic recipes use instance and instance-affine; reference-batch and
    virtual-batch use the statistics of a fixed batch of real images (Salimans et al., 2016)."""
    reference_size: Annotated[int, tyro.conf.Suppress] = 0
    """Size of the reference batch of a resumed run, whatever --accumulate is now; 0: the images in one forward pass."""
    discriminator_batch_features: bool = False
    """Add minibatch standard deviation to the discriminator, against mode collapse (Karras et al., 2018)."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("discriminator_width", 1, 4096),
            ("discriminator_layers", 1, 8),
            ("discriminator_scales", 1, 6),
            ("reference_size", 0, 65536),
        ):
            check_range(self, name, low, high)

    @property
    def projected(self) -> bool:
        """Whether a discriminator works on the features of EfficientNet-Lite1."""
        return self.discriminator.startswith("projected")


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(TrainConfig):
    """Settings of trainers with a discriminator."""

    networks: Annotated[DiscriminatorConfig, UNPREFIXED] = DiscriminatorConfig()
    game: Annotated[GameConfig, UNPREFIXED] = GameConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimisation.optimiser == "extra-gradient" and self.game.discriminator_steps > 1:
            raise ConfigError(
                "--optimiser extra-gradient extrapolates both networks together, but --discriminator-steps is "
                f"{self.game.discriminator_steps}; set it to 1, or use --optimiser optimistic"
            )
        self.check_part(self.optimisation.at_once)
        self._check_features()

    def _check_features(self) -> None:
        """Everything that uses a pretrained classifier of photographs."""
        used = [("--perceptual-weight", f"{self.game.perceptual_weight:g}", "0")] if self.game.perceptual_weight else []
        if self.networks.projected:
            used.append(("--discriminator", self.networks.discriminator, "patch"))
        for option, found, without in used:
            if self.data.formats[1].channels != 3:
                raise ConfigError(
                    f"{option} is {found}, which needs a classifier of colour images, but --channels is "
                    f"{self.data.channels}; use {option} {without}"
                )
        if self.game.perceptual_weight and self.data.image_size < SMALLEST:
            raise ConfigError(f"--image-size is {self.data.image_size}; --perceptual-weight needs at least {SMALLEST}")
        if self.networks.projected and self.references:
            raise ConfigError(
                f"--discriminator-norm {self.networks.discriminator_norm} needs a reference batch, which "
                f"--discriminator {self.networks.discriminator} does not have; "
                f"{'use --discriminator-norm spectral' if 'patch' in self.networks.discriminator else 'omit it'}"
            )

    def check_used(self, start: Self) -> None:
        """Raise ConfigError for a setting other than in `start`, such as a preset, that the discriminator ignores."""
        kind = self.networks.discriminator
        ignored = () if "patch" in kind else OF_PATCHGAN
        if kind == "projected":
            ignored = (*ignored, "feature_weight")
        now, before = self.settings(), start.settings()
        for name in ignored:
            if now[name] != before[name]:
                raise ConfigError(
                    f"{option_name(name)} has no effect on --discriminator {kind}; omit it, or use --discriminator "
                    f"{'projected+patch' if kind == 'projected' else 'patch'}"
                )

    def check_part(self, pictures: int) -> None:
        """See `TrainConfig`."""
        for name in ("discriminator_batch_features", "discriminator_norm"):
            if pictures < 2 and getattr(self.networks, name) in (True, "reference-batch", "virtual-batch"):
                raise ConfigError(
                    f"{option_name(name)} needs batch statistics, but the batch has one image; use --batch-size 2 or "
                    "more per process and per accumulation step"
                )

    @property
    def references(self) -> int:
        """Size of the reference batch; 0 if the discriminator's norm needs none."""
        if self.networks.discriminator_norm not in ("reference-batch", "virtual-batch"):
            return 0
        return self.networks.reference_size or self.optimisation.at_once


SMALL_DATA: Mapping[str, Any] = {
    "discriminator_augmentation": ("translation", "cutout"),
    "adaptive_augmentation": 0.6,
}
"""Discriminator augmentation of the modern presets, which are for hundreds of images. Adaptive, because augmenting
always and from the start slowed down short runs (docs/experiments.md; long ones were not measured). Without colour,
which would hide from the discriminator that an image is too dark, and that is what tells day from night."""

PROJECTED: Mapping[str, Any] = {
    "preset": "projected",
    "discriminator": "projected+patch",
    "discriminator_scales": 1,
    # With spectral norm a PatchGAN's scores are too small to matter beside those of the projected discriminators.
    "discriminator_norm": "instance-affine",
    "discriminator_augmentation": ("translation",),
    "adversarial_weight": 0.5,
    "feature_weight": 0.0,
    "perceptual_weight": 1.0,
}
"""Adversarial training on pretrained features. Without the adaptive augmentation of the modern presets, because frozen
features cannot memorise images; translation comes from Projected GAN's own recipe."""

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
"""What the classic recipes of 2017 share: Adam with learning rate 2e-4 and betas (0.5, 0.999), batch size 1, linear
decay in the second half, normal initialisation with std 0.02, a 70x70 PatchGAN of width 64 with half the loss, no EMA,
flips only."""

CLASSIC_UNPAIRED: Mapping[str, object] = {
    **CLASSIC,
    "generator": "resnet",
    "generator_blocks": 9,
    "adversarial": "least-squares",
    "discriminator_norm": "instance",
}
"""What CycleGAN and CUT change: ResNet-9, least-squares loss, instance norm without affine parameters."""
