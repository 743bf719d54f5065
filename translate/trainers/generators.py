"""The generators of the image-to-image trainers, built from settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import nn

from translate.errors import ConfigError
from translate.networks.classic_unet import ClassicUNet
from translate.networks.initialise import initialise_normal, initialise_xavier
from translate.networks.resnet import ResNet
from translate.networks.unet import UNet
from translate.trainers.adversarial_config import AdversarialConfig, DiscriminatorConfig
from translate.trainers.config import UNPREFIXED, NetworkConfig, check_range


@dataclass(frozen=True, kw_only=True)
class TranslatorNetworkConfig(DiscriminatorConfig):
    """What the two networks are; the generator keeps the image size."""

    generator: Literal["unet", "classic-unet", "resnet"] = "unet"
    """Generator. unet is small and can be tiled exactly; classic-unet is from pix2pix (2017), resnet from CycleGAN
    (2017)."""
    generator_widths: tuple[int, ...] = (24, 48, 96, 160, 176)
    """Channels of unet at 1/2, 1/4, 1/8, ... of the image size."""
    generator_blocks: int = 2
    """Residual blocks at the coarsest resolution of unet; 9 for the classic resnet."""
    generator_padding: Literal["zeros", "replicate"] = "zeros"
    """Padding of the convolutions in unet. Use replicate for scenes: with zeros, the network can infer the distance to
    the border and paints skies by it."""
    generator_upsampling: Literal["nearest", "bilinear"] = "nearest"
    """Upsampling in unet. nearest, as in older runs, leaves stripes and grids of a few pixels in flat areas."""
    generator_width: int = 64
    """Channels in the first layer of classic-unet and resnet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "generator_blocks", 1, 4096)
        check_range(self, "generator_width", 1, 4096)
        if self.initialisation != "default" and self.generator == "unet":
            raise ConfigError(
                f"--initialisation is {self.initialisation}, but unet has its own; use --initialisation default"
            )
        if not self.generator_widths or not all(1 <= width <= 4096 for width in self.generator_widths):
            found = " ".join(map(str, self.generator_widths)) or "empty"
            raise ConfigError(f"--generator-widths is {found}; it must be numbers between 1 and 4096")


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(AdversarialConfig):
    """Settings of trainers whose generator keeps the image size."""

    networks: Annotated[TranslatorNetworkConfig, UNPREFIXED] = TranslatorNetworkConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.machine.checkpoint_activations and self.networks.generator == "classic-unet":
            raise ConfigError("--checkpoint-activations has no effect on classic-unet; use --accumulate to save memory")


def make_translator(
    config: TranslatorConfig,
    channels: tuple[int, int],
    *,
    condition_size: int = 0,
    residual: bool = False,
    antialias: bool = False,
) -> UNet | ClassicUNet | ResNet:
    """Build the generator described by the settings.

    Args:
        config: the settings.
        channels: of input and output.
        condition_size: length of the condition vector; only unet supports one.
        residual: add the input to the output and start as the identity; only unet, and only with equal channels.
        antialias: resnet with antialiased down- and upsampling (as in CUT).

    Raises:
        ConfigError: the image size does not fit, or the generator cannot be conditioned.
    """
    networks = config.networks
    if condition_size and networks.generator != "unet":
        raise ConfigError(
            f"--generator is {networks.generator}, which supports neither labels nor styles; "
            "use --generator unet --initialisation default"
        )
    generator: UNet | ClassicUNet | ResNet
    if networks.generator == "unet":
        generator = UNet(
            *channels,
            widths=networks.generator_widths,
            blocks=networks.generator_blocks,
            condition_size=condition_size,
            residual=residual and channels[0] == channels[1],
            padding=networks.generator_padding,
            checkpoint=config.machine.checkpoint_activations,
            upsampling=networks.generator_upsampling,
        )
    elif networks.generator == "classic-unet":
        generator = ClassicUNet(
            *channels, levels=classic_levels(config.data.image_size), width=networks.generator_width
        )
    else:
        generator = ResNet(
            *channels,
            blocks=networks.generator_blocks,
            width=networks.generator_width,
            antialias=antialias,
            checkpoint=config.machine.checkpoint_activations,
        )
    if config.data.image_size % generator.size_multiple:
        raise ConfigError(
            f"--image-size is {config.data.image_size}; this generator needs a multiple of {generator.size_multiple}"
        )
    return generator


def classic_levels(image_size: int) -> int:
    """Number of levels of pix2pix's U-Net for this image size: 8 at 256 (U-Net-256), 7 at 128 (U-Net-128)."""
    levels = 0
    while levels < 8 and image_size % 2 ** (levels + 1) == 0:
        levels += 1
    return max(levels, 5)


def initialise(config: NetworkConfig, *networks: nn.Module) -> None:
    """Initialise weights as set in the config; `default` keeps the networks' own initialisation."""
    for network in networks:
        if config.initialisation == "normal":
            initialise_normal(network)
        elif config.initialisation == "xavier":
            initialise_xavier(network)


def describe(config: TranslatorConfig) -> str:
    """The architecture in words, for the model's spec."""
    networks = config.networks
    if networks.generator == "unet":
        words = f"UNet widths {networks.generator_widths}, {networks.generator_blocks} middle blocks"
        if networks.generator_upsampling != "nearest":
            words += f", {networks.generator_upsampling} upsampling"
        return f"{words}, {networks.generator_padding} padding" if networks.generator_padding != "zeros" else words
    if networks.generator == "classic-unet":
        return f"pix2pix U-Net-{2 ** classic_levels(config.data.image_size)}, width {networks.generator_width}"
    return f"ResNet-{networks.generator_blocks}, width {networks.generator_width}"
