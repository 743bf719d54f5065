"""Weight initialisation of the classic papers.

Not for networks with zero-initialised layers (`UNet`, `ResidualSR`), which would be overwritten.
"""

from collections.abc import Callable

from torch import Tensor, nn

from translate.networks.virtual_batch_norm import VirtualBatchNorm

CONVS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
NORMS = (nn.InstanceNorm2d, nn.BatchNorm2d, VirtualBatchNorm)


def initialise_normal(network: nn.Module, std: float = 0.02) -> None:
    """Draw the weights of convolutions and linear layers from normal(0, std), those of norms from normal(1, std).

    In place; biases become 0. Radford et al., "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks", 2016 (DCGAN); the default of pix2pix and CycleGAN.
    """
    _initialise(network, lambda weight: nn.init.normal_(weight, 0.0, std), std)


def initialise_xavier(network: nn.Module, gain: float = 0.02) -> None:
    """Draw the weights of convolutions and linear layers from normal(0, gain * sqrt(2 / (fan_in + fan_out))).

    In place; weights of norms come from normal(1, gain), biases become 0. Glorot and Bengio, "Understanding the
    Difficulty of Training Deep Feedforward Neural Networks", 2010; the default of CUT.
    """
    _initialise(network, lambda weight: nn.init.xavier_normal_(weight, gain), gain)


def _initialise(network: nn.Module, fill: Callable[[Tensor], Tensor], spread: float) -> None:
    for module in network.modules():
        if not isinstance(module, CONVS + NORMS):
            continue
        # Parameters rather than `module.weight`, which spectral norm recomputes from its parameter.
        for name, parameter in module.named_parameters():
            if name == "bias":
                nn.init.zeros_(parameter)
            elif isinstance(module, CONVS):
                fill(parameter)
            else:
                nn.init.normal_(parameter, 1.0, spread)
