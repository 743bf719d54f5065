"""The generators of picture-to-picture trainers, chosen and sized by settings."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from translate.errors import ConfigError
from translate.networks.classic_unet import ClassicUNet
from translate.networks.initialise import initialise_normal, initialise_xavier
from translate.networks.resnet import ResNet
from translate.networks.unet import UNet
from translate.trainers.adversarial_config import AdversarialConfig
from translate.trainers.config import TrainConfig, check_range


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(AdversarialConfig):
    """Settings of trainers whose generator returns a picture of the size it was given."""

    generator: Literal["unet", "classic-unet", "resnet"] = "unet"
    """unet is small and can be tiled exactly; classic-unet is pix2pix's (2017), resnet CycleGAN's (2017)."""
    generator_widths: tuple[int, ...] = (24, 48, 96, 160, 176)
    """Channels of the unet at 1/2, 1/4, 1/8, ... of the image size."""
    generator_blocks: int = 2
    """Residual blocks at the coarsest level of unet; 9 for the classic resnet."""
    generator_padding: Literal["zeros", "replicate"] = "zeros"
    """What unet takes to lie beyond the border of a picture: zeros, or the border repeated. Scenes want the second, or
    skies are painted by their distance from the top."""
    generator_upsampling: Literal["nearest", "bilinear"] = "nearest"
    """How unet enlarges inside. nearest, of older runs, leaves stripes and grids of a few pixels in flat areas."""
    generator_width: int = 64
    """Channels of the first layer of classic-unet and resnet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "generator_blocks", 1, 4096)
        check_range(self, "generator_width", 1, 4096)
        if self.initialisation != "default" and self.generator == "unet":
            raise ConfigError(
                f"--initialisation is {self.initialisation}, but unet brings its own; use --initialisation default"
            )
        if self.checkpoint_activations and self.generator == "classic-unet":
            raise ConfigError("--checkpoint-activations does nothing for classic-unet; use --accumulate to save memory")
        if not self.generator_widths or not all(1 <= width <= 4096 for width in self.generator_widths):
            found = " ".join(map(str, self.generator_widths)) or "empty"
            raise ConfigError(f"--generator-widths is {found}; it must be numbers between 1 and 4096")


def make_translator(
    config: TranslatorConfig,
    channels: tuple[int, int],
    *,
    condition_size: int = 0,
    residual: bool = False,
    antialias: bool = False,
) -> UNet | ClassicUNet | ResNet:
    """The generator the settings describe.

    Args:
        config: the settings.
        channels: of what goes in and of what comes out.
        condition_size: numbers it is told besides the picture; only unet listens.
        residual: start as the identity; only unet can, and only with equal channels.
        antialias: resnet with blur before every change of size (CUT's variant).

    Raises:
        ConfigError: the image size does not suit it, or it cannot be conditioned.
    """
    if condition_size and config.generator != "unet":
        raise ConfigError(
            f"--generator is {config.generator}, which takes no labels and no style; "
            "use --generator unet --initialisation default"
        )
    generator: UNet | ClassicUNet | ResNet
    if config.generator == "unet":
        generator = UNet(
            *channels,
            widths=config.generator_widths,
            blocks=config.generator_blocks,
            condition_size=condition_size,
            residual=residual and channels[0] == channels[1],
            padding=config.generator_padding,
            checkpoint=config.checkpoint_activations,
            upsampling=config.generator_upsampling,
        )
    elif config.generator == "classic-unet":
        generator = ClassicUNet(*channels, levels=classic_levels(config.image_size), width=config.generator_width)
    else:
        generator = ResNet(
            *channels,
            blocks=config.generator_blocks,
            width=config.generator_width,
            antialias=antialias,
            checkpoint=config.checkpoint_activations,
        )
    if config.image_size % generator.size_multiple:
        raise ConfigError(
            f"--image-size is {config.image_size}; this generator needs a multiple of {generator.size_multiple}"
        )
    return generator


def classic_levels(image_size: int) -> int:
    """Levels of pix2pix's U-Net for squares of this side: 8 at 256 (U-Net-256), 7 at 128 (U-Net-128)."""
    levels = 0
    while levels < 8 and image_size % 2 ** (levels + 1) == 0:
        levels += 1
    return max(levels, 5)


def initialise(config: TrainConfig, *networks: nn.Module) -> None:
    """Set initial weights as the settings say; `default` leaves what the networks chose themselves."""
    for network in networks:
        if config.initialisation == "normal":
            initialise_normal(network)
        elif config.initialisation == "xavier":
            initialise_xavier(network)


def describe(config: TranslatorConfig) -> str:
    """The architecture in words, for the model's contract."""
    if config.generator == "unet":
        words = f"UNet widths {config.generator_widths}, {config.generator_blocks} middle blocks"
        if config.generator_upsampling != "nearest":
            words += f", {config.generator_upsampling} upsampling"
        return f"{words}, {config.generator_padding} padding" if config.generator_padding != "zeros" else words
    if config.generator == "classic-unet":
        return f"pix2pix U-Net-{2 ** classic_levels(config.image_size)}, width {config.generator_width}"
    return f"ResNet-{config.generator_blocks}, width {config.generator_width}"
