"""Scores by networks out of packages (extra `features`): how far a set of pictures is from another, and pairs.

`kid_lite1` and `kid_squeezenet` are computed as KID is, with features of other networks: their figures compare with
each other at equal picture sizes, never with a published KID or FID, which are of Inception's features.

Shape suffixes: B batch, C channels, H height, W width, N pictures, D features.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.errors import ModelError
from translate.losses.perceptual import perceptual_distance
from translate.metrics.fidelity import check_pairs
from translate.networks import pretrained
from translate.networks.efficientnet_lite import EfficientNetLite1
from translate.networks.squeezenet import SMALLEST, SqueezeNet

Name = Literal["kid_lite1", "kid_squeezenet", "perceptual"]

NETWORKS: dict[Name, pretrained.Name] = {
    "kid_lite1": "lite1",
    "kid_squeezenet": "squeezenet",
    "perceptual": "squeezenet",
}
"""Score -> the network it looks through."""

SETS: tuple[Name, ...] = ("kid_lite1", "kid_squeezenet")
"""Scores of sets; the other is of pairs."""

CHUNK = 16
"""Pictures passed through a network at once."""


def missing(name: Name) -> str | None:
    """Say in one line what the score lacks on this machine, or None if it can be computed."""
    reason = pretrained.missing(NETWORKS[name])
    return None if reason is None else f"{name} is not available here: {reason}"


def polynomial_mmd(first_ND: Tensor, second_ND: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x.y / D + 1)^3.

    Bińkowski et al., "Demystifying MMD GANs", 2018, section 4, over whole sets instead of random subsets. Unbiased:
    the mean over equal distributions is 0, so it may be below.

    Args:
        first_ND, second_ND: two sets of at least two feature vectors each.
    """
    first_ND, second_ND = first_ND.double(), second_ND.double()
    kernels = [_kernel(x_ND, x_ND) for x_ND in (first_ND, second_ND)]
    within = [(kernel.sum() - kernel.diagonal().sum()) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels]
    return float(within[0] + within[1] - 2.0 * _kernel(first_ND, second_ND).mean())


def _kernel(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return (x_ND @ y_MD.T / x_ND.shape[1] + 1.0) ** 3


class PretrainedScores:
    """Computes the scores; keeps the networks, and the features of true pictures, from one call to the next.

    Args:
        device: where to compute.
    """

    def __init__(self, device: torch.device | str = "cpu"):
        self._device = torch.device(device)
        self._networks: dict[str, EfficientNetLite1 | SqueezeNet] = {}
        self._truths: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, name: Name, result_B3HW: Tensor, truth_B3HW: Tensor) -> float:
        """A score; lower is better for all of them.

        Args:
            name: "kid_lite1", "kid_squeezenet" (two sets of at least two pictures, sizes may differ) or "perceptual"
                (pairs of equal size; the mean of `perceptual_distance` over SqueezeNet's seven layers).
            result_B3HW, truth_B3HW: red, green, blue, float, [0, 1].

        Raises:
            ModelError: the package is not installed or its file is damaged.
            ValueError: the shapes do not fit.
        """
        if (reason := missing(name)) is not None:
            raise ModelError(reason)
        network = self._network(NETWORKS[name])
        if name == "perceptual":
            return self._perceptual(network, result_B3HW, truth_B3HW)
        return polynomial_mmd(self._pooled(network, result_B3HW), self._pooled_truth(NETWORKS[name], truth_B3HW))

    def _network(self, name: pretrained.Name) -> EfficientNetLite1 | SqueezeNet:
        if name not in self._networks:
            make = pretrained.efficientnet_lite1 if name == "lite1" else pretrained.squeezenet
            self._networks[name] = make().to(self._device)
        return self._networks[name]

    def _pooled_truth(self, name: pretrained.Name, truth_B3HW: Tensor) -> Tensor:
        """Features of true pictures, which are mostly those of the call before."""
        kept = self._truths.get(name)
        if kept is None or not torch.equal(kept[0], truth_B3HW):
            kept = self._truths[name] = truth_B3HW, self._pooled(self._network(name), truth_B3HW)
        return kept[1]

    @torch.no_grad()
    def _pooled(self, network: EfficientNetLite1 | SqueezeNet, pictures_B3HW: Tensor) -> Tensor:
        return torch.cat([network.pooled(self._signal(chunk)) for chunk in pictures_B3HW.split(CHUNK)])

    @torch.no_grad()
    def _perceptual(self, network: EfficientNetLite1 | SqueezeNet, result_B3HW: Tensor, truth_B3HW: Tensor) -> float:
        check_pairs(result_B3HW, truth_B3HW)
        distances = [
            perceptual_distance(*(network.features(self._signal(x_B3HW)) for x_B3HW in pair))
            for pair in zip(result_B3HW.split(CHUNK), truth_B3HW.split(CHUNK), strict=True)
        ]
        return float(torch.cat(distances).mean())

    def _signal(self, pictures_B3HW: Tensor) -> Tensor:
        """Pictures in [0, 1] as the networks take them: enlarged where they are too small to see anything."""
        pictures_B3HW = pictures_B3HW.to(self._device).float().clamp(0.0, 1.0)
        size = [max(side, SMALLEST) for side in pictures_B3HW.shape[-2:]]
        if size != list(pictures_B3HW.shape[-2:]):
            pictures_B3HW = F.interpolate(pictures_B3HW, size, mode="bilinear", align_corners=False)
        return pictures_B3HW * 2.0 - 1.0
