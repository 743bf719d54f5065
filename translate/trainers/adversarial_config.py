"""Settings of the adversarial game, and what the recipes that go by a name have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from translate.errors import ConfigError
from translate.losses.adversarial import GAMES
from translate.networks.squeezenet import SMALLEST
from translate.trainers.config import TrainConfig, check_range, option_name

WEIGHTS = (
    "adversarial_weight", "feature_weight", "discriminator_weight", "gradient_penalty_weight", "r1_weight", "r2_weight",
    "negative_weight", "lecam_weight", "historical_weight", "perceptual_weight",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(TrainConfig):
    """Settings of trainers with a discriminator."""

    adversarial: Literal[
        "hinge", "minimax", "non-saturating", "maximum-likelihood", "least-squares", "wgan-gp", "relativistic"
    ] = "hinge"
    """The game: the generator makes pictures, the discriminator tells them from real ones, and this is what each is
    paid for. hinge is a good start. relativistic with --r1-weight and --r2-weight is the steadiest (R3GAN, 2024),
    wgan-gp likes --discriminator-norm none (2017). least-squares is CycleGAN's, non-saturating pix2pix's; minimax
    and maximum-likelihood are here to be compared with (Goodfellow, 2016)."""
    adversarial_weight: float = 1.0
    """Weight of the adversarial term for the generator."""
    feature_weight: float = 10.0
    """Weight of feature matching (10 in pix2pixHD, 2018) through the PatchGAN; only where pairs exist."""
    discriminator_weight: float = 1.0
    """Weight of the discriminator's loss; 0.5 in pix2pix and CycleGAN."""
    real_label: float = 1.0
    """What the discriminator should say of real pictures; 0.9 keeps it from being too sure, when its loss falls to
    nothing (one-sided label smoothing, Salimans et al., 2016). Not for hinge, wgan-gp and relativistic."""
    fake_label: float = 0.0
    """What it should say of made pictures; must stay 0."""
    r1_weight: float = 0.0
    """Gradient penalty on real pictures (Mescheder et al., 2018); 10 is a usual start when training is unstable."""
    r2_weight: float = 0.0
    """The same on made pictures; together with --adversarial relativistic as in R3GAN (Huang et al., 2024)."""
    penalty_interval: int = 8
    """Steps between these gradient penalties, whose weight is raised as much (lazy regularisation, StyleGAN2)."""
    gradient_penalty_weight: float = 10.0
    """Weight of the penalty that belongs to wgan-gp, in every step (Gulrajani et al., 2017)."""
    lecam_weight: float = 0.0
    """Weight of keeping the scores of real and made pictures from drifting apart, with few pictures; 0.1 to 0.5
    (LeCam, 2021)."""
    discriminator_augmentation: tuple[Literal["colour", "translation", "cutout"], ...] = ()
    """Changes of everything the discriminator sees, against memorising a few hundred pictures (DiffAugment, 2020)."""
    adaptive_augmentation: float = 0.0
    """Make these changes only as often as the discriminator needs them: so often that it is right about real
    pictures this much more often than wrong, 0.6 in the paper (ADA, 2020); 0: always."""
    negative_weight: float = 0.0
    """Weight of real pictures cut into tiles and put together wrongly, shown as made ones, so that the
    discriminator looks at how a whole is built; 0.3 is a start (Sinha et al., 2021)."""
    pool_size: int = 0
    """Made pictures kept to show the discriminators again later, so that they do not forget; 50 in CycleGAN."""
    discriminator_steps: int = 1
    """Steps of the discriminator for each of the generator, when it falls behind; 5 in wgan-gp."""
    discriminator_warmup: float = 0.0
    """Share of the budget, from the beginning of the game, in which the discriminator alone learns: an untrained one
    spoils a good generator. 0.05 when a run starts from a model file, which holds no discriminator."""
    unrolled_steps: int = 0
    """The generator looks so many steps of the discriminator ahead, when it makes the same few pictures again and
    again; each makes a step much slower (Metz et al., 2017)."""
    unrolled_lr: float = 0.01
    """Step size of these steps, which are plain gradient steps; too large, they say nothing of the real ones."""
    historical_weight: float = 0.0
    """Weight of both networks staying near the mean of what they have been, when the game goes in circles (Salimans
    et al., 2016)."""
    discriminator: Literal["patch", "projected", "projected+patch"] = "patch"
    """Who judges: patch starts from nothing and sees texture; projected looks through a classifier's features and knows
    things from the first step (Projected GAN, 2021; needs the extra features and 3 channels); or both together."""
    perceptual_weight: float = 0.0
    """Weight of looking alike to a classifier, SqueezeNet (LPIPS, 2018): results and truth where pairs exist, in
    super-resolution at the sharp end; in cyclegan a picture and what comes back of it. Needs the extra features and 3
    channels."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    discriminator_layers: int = 3
    """Strided layers of the discriminator; 3 judges patches of 70 pixels, 4 of 142."""
    discriminator_scales: int = 2
    """Discriminators, each at half the size of the one before (pix2pixHD, 2018)."""
    discriminator_norm: Literal[
        "spectral", "instance", "instance-affine", "reference-batch", "virtual-batch", "none"
    ] = "spectral"
    """What keeps the discriminator in bounds. instance and instance-affine belong to the classic recipes; the two of
    batches compare with a fixed batch of real pictures (Salimans et al., 2016); none leaves it to penalties."""
    discriminator_batch_features: bool = False
    """Let the discriminator see how much the pictures of a batch differ, when made ones come out all alike
    (minibatch standard deviation, Karras et al., 2018)."""

    def __post_init__(self) -> None:
        super().__post_init__()
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
            ("discriminator_width", 1, 4096),
            ("discriminator_layers", 1, 8),
            ("discriminator_scales", 1, 6),
        ):
            check_range(self, name, low, high)
        self._check_labels()
        self._check_together()
        self._check_features()

    def _check_labels(self) -> None:
        if self.fake_label:
            raise ConfigError(
                f"--fake-label is {self.fake_label:g}; it must be 0: otherwise the best discriminator praises what the "
                "generator makes already, wrong or not (Salimans et al., 2016); lower --real-label instead"
            )
        if self.real_label != 1.0 and not GAMES[self.adversarial].labelled:
            labelled = ", ".join(name for name, game in GAMES.items() if game.labelled)
            raise ConfigError(
                f"--real-label is {self.real_label:g}, but --adversarial {self.adversarial} has no labels; "
                f"leave it out, or use one of: {labelled}"
            )

    def _check_together(self) -> None:
        """Settings that do nothing, or wrong, without others."""
        if self.adaptive_augmentation and not self.discriminator_augmentation:
            raise ConfigError(
                "--adaptive-augmentation needs changes to make; add --discriminator-augmentation translation cutout, "
                "or make it 0"
            )
        if self.optimiser == "extra-gradient" and self.discriminator_steps > 1:
            raise ConfigError(
                "--optimiser extra-gradient looks ahead with both networks at once, but --discriminator-steps is "
                f"{self.discriminator_steps}; make it 1, or use --optimiser optimistic"
            )
        self.check_part(self.at_once)

    def _check_features(self) -> None:
        """What looks through a classifier of photographs."""
        used = [("--perceptual-weight", f"{self.perceptual_weight:g}", "0")] if self.perceptual_weight else []
        if self.projected:
            used.append(("--discriminator", self.discriminator, "patch"))
        for option, found, without in used:
            if self.formats[1].channels != 3:
                raise ConfigError(
                    f"{option} is {found}, which looks through a classifier of colour photographs, but --channels is "
                    f"{self.channels}; use {option} {without}"
                )
        if self.perceptual_weight and self.image_size < SMALLEST:
            raise ConfigError(f"--image-size is {self.image_size}; --perceptual-weight needs at least {SMALLEST}")
        if self.projected and self.references:
            raise ConfigError(
                f"--discriminator-norm {self.discriminator_norm} compares with a batch, which --discriminator "
                f"{self.discriminator} does not; use --discriminator-norm spectral"
            )

    @property
    def projected(self) -> bool:
        """Whether a discriminator looks through the features of EfficientNet-Lite1."""
        return self.discriminator.startswith("projected")

    def check_part(self, pictures: int) -> None:
        """See `TrainConfig`."""
        for name in ("discriminator_batch_features", "discriminator_norm"):
            if pictures < 2 and getattr(self, name) in (True, "reference-batch", "virtual-batch"):
                raise ConfigError(
                    f"{option_name(name)} compares pictures of a batch, which has only one; use --batch-size 2 or more "
                    "for each process and each part of --accumulate"
                )

    @property
    def at_once(self) -> int:
        """Pictures that go through the networks together, in all processes."""
        return self.batch_size // self.accumulate

    @property
    def references(self) -> int:
        """Pictures of the batch that the discriminator compares with; 0 if its norm needs none."""
        return self.at_once if self.discriminator_norm in ("reference-batch", "virtual-batch") else 0


SMALL_DATA: Mapping[str, Any] = {
    "discriminator_augmentation": ("translation", "cutout"),
    "adaptive_augmentation": 0.6,
}
"""Augmentation of what the discriminator sees in the modern presets, which are for hundreds of pictures: as much as it
takes, since always and from the start it held short trainings up (docs/experiments.md; long ones were not measured).
Not colour: it hides from the discriminator that a picture is too dark, which is what tells day from night."""

PROJECTED: Mapping[str, Any] = {
    "preset": "projected",
    "discriminator": "projected+patch",
    "discriminator_scales": 1,
    # Spectral norm leaves a PatchGAN's scores so small that, beside the others, nobody would hear it.
    "discriminator_norm": "instance-affine",
    "discriminator_augmentation": ("translation",),
    "adversarial_weight": 0.5,
    "feature_weight": 0.0,
    "perceptual_weight": 1.0,
}
"""The game through pretrained features. Without the adaptive augmentation of the modern presets: the features are not
learnt, and cannot learn pictures by heart; moved pictures are from Projected GAN's own recipe."""

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
