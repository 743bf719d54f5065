"""pix2pix: learn a translation from aligned pairs of pictures.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, with the hinge game,
feature matching (pix2pixHD, 2018) and a generator without spatial statistics.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import ConfigError
from translate.losses.adversarial import discriminator_hinge, generator_hinge
from translate.losses.feature_matching import feature_matching
from translate.networks.patchgan import PatchGAN
from translate.networks.unet import UNet
from translate.spec import ModelSpec
from translate.tasks import Task
from translate.trainers.base import Batch, Term, TrainConfig, Trainer, Update, check_range


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(TrainConfig):
    """Settings of pix2pix."""

    adversarial_weight: float = 1.0
    """Weight of the adversarial term."""
    l1_weight: float = 10.0
    """Weight of the mean absolute difference to the truth, on the [-1, 1] range."""
    feature_weight: float = 10.0
    """Weight of feature matching (10 in pix2pixHD)."""
    generator_widths: tuple[int, ...] = (24, 48, 96, 160, 176)
    """Channels of the generator at 1/2, 1/4, 1/8, ... of the image size."""
    generator_blocks: int = 2
    """Residual blocks at the generator's coarsest level."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    discriminator_layers: int = 4
    """Strided layers of the discriminator; 3 judges patches of 70 pixels, 4 of 142."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("adversarial_weight", "l1_weight", "feature_weight"):
            check_range(self, name, 0.0, 1e6)
        for name in ("generator_blocks", "discriminator_width", "discriminator_layers"):
            check_range(self, name, 1, 4096)
        if not self.generator_widths or not all(1 <= width <= 4096 for width in self.generator_widths):
            found = " ".join(map(str, self.generator_widths)) or "empty"
            raise ConfigError(f"--generator-widths is {found}; it must be numbers between 1 and 4096")
        # The last two convolutions take one pixel each from what the strided ones leave.
        if self.image_size >> self.discriminator_layers < 3:
            most = (self.image_size // 3).bit_length() - 1
            raise ConfigError(
                f"--discriminator-layers is {self.discriminator_layers}; at --image-size {self.image_size} "
                f"it must be at most {most}"
            )


class Pix2Pix(Trainer):
    """A U-Net that translates and a PatchGAN that judges.

    Args:
        config: the settings.
        task: what is being learnt; its name goes into the spec.

    Raises:
        ConfigError: the image size does not suit the generator.
    """

    config_class = Pix2PixConfig

    def __init__(self, config: Pix2PixConfig, task: Task):
        super().__init__()
        self._config = config
        self.generator = UNet(3, 3, config.generator_widths, config.generator_blocks)
        self.discriminator = PatchGAN(6, config.discriminator_width, config.discriminator_layers)
        if config.image_size % self.generator.size_multiple:
            raise ConfigError(
                f"--image-size is {config.image_size}; this generator needs a multiple of "
                f"{self.generator.size_multiple}"
            )
        self.spec = ModelSpec(
            name=task.name,
            task=task.name,
            architecture=f"UNet(widths={config.generator_widths}, blocks={config.generator_blocks})",
            size_multiple=self.generator.size_multiple,
            receptive_field=self.generator.receptive_field,
            working_size=config.image_size,
        )

    @property
    def config(self) -> Pix2PixConfig:
        """The settings."""
        return self._config

    def learning_rates(self) -> dict[str, float]:
        """Peak learning rate of each network."""
        return {"generator": self.config.generator_lr, "discriminator": self.config.discriminator_lr}

    def step(self, batch: Batch, update: Update) -> None:
        """Judge first, then the generator against the improved judge; one fake serves both."""
        fake_BCHW = self.generator(batch.source_BCHW)
        update("discriminator", self.discriminator_terms(batch, fake_BCHW.detach()))
        update("generator", self.generator_terms(batch, fake_BCHW))

    def discriminator_terms(self, batch: Batch, fake_BCHW: Tensor) -> dict[str, Term]:
        """Tell real from fake."""
        real_scores, _ = self.discriminator(batch.source_BCHW, batch.target_BCHW)
        fake_scores, _ = self.discriminator(batch.source_BCHW, fake_BCHW)
        return {"game": Term(1.0, discriminator_hinge(real_scores, fake_scores))}

    def generator_terms(self, batch: Batch, fake_BCHW: Tensor) -> dict[str, Term]:
        """Be taken for real, look alike to the judge, and be close to the truth."""
        fake_scores, fake_features = self.discriminator(batch.source_BCHW, fake_BCHW)
        with torch.no_grad():
            _, real_features = self.discriminator(batch.source_BCHW, batch.target_BCHW)
        return {
            "adversarial": Term(self.config.adversarial_weight, generator_hinge(fake_scores)),
            "features": Term(self.config.feature_weight, feature_matching(fake_features, real_features)),
            "l1": Term(self.config.l1_weight, F.l1_loss(fake_BCHW, batch.target_BCHW)),
        }
