"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import nn


class EMA:
    """A copy of `network` whose weights are the exponential moving average.

    Args:
        network: the network in training.
        halflife_images: half-life of the average, in images. Early in a run it is shortened to a tenth of the images
            seen, so that the initial weights are soon forgotten (Karras et al., "Analyzing and Improving the Training
            Dynamics of Diffusion Models", 2024, and StyleGAN2's ramp). 0: no average, always the latest weights.
    """

    def __init__(self, network: nn.Module, halflife_images: int):
        self.halflife_images = halflife_images
        self._trained = network
        self._average = None if halflife_images == 0 else _at_rest(network)

    @property
    def network(self) -> nn.Module:
        """The average, in evaluation mode and without gradients.

        Without averaging a copy made on demand, to save memory during training.
        """
        return _at_rest(self._trained) if self._average is None else self._average

    @torch.no_grad()
    def update(self, network: nn.Module, batch_size: int, images_seen: int) -> None:
        """Update the average with the weights of `network` after a step of `batch_size` images."""
        if self._average is None:
            return
        halflife = min(self.halflife_images, images_seen / 10)
        keep = 0.5 ** (batch_size / max(halflife, 1e-8))
        # All tensors in one call, because a loop would launch a GPU kernel for each.
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
            list(self._average.parameters()), list(network.parameters()), 1.0 - keep
        )


def _at_rest(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).eval().requires_grad_(False)
