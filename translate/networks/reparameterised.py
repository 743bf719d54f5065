"""Reparameterised convolutions: trained as a product of kernels, exported as a single one.

Shape suffixes: B batch, O out channels, I in channels, M inner channels, K positions in a kernel, H height, W width.
"""

import copy
import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.precision import full_precision


class RepConv2d(nn.Module):
    """A 3x3 convolution with padding 1 whose kernel is the product 1x1 * 3x3 * 1x1 plus a parallel 1x1.

    Overparameterised, which changes the optimisation but not the class of functions: Ding et al.,
    "Diverse Branch Block", 2021; Zhang et al., "Edge-oriented Convolution Block for Real-time Super Resolution on
    Mobile Devices", 2021; Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", 2024.
    Unlike there, the kernels are multiplied in every forward pass, not the feature maps: a step costs little more than
    with a single convolution, and folding does not change the result at the borders.

    in:  (B, inputs, H, W).
    out: (B, outputs, H, W).

    Args:
        inputs, outputs: channels.
        expansion: inner channels, as a multiple of the outputs.
        gain: of the initial kernel; 1 preserves the variance with a ReLU (He et al., 2015).
        identity: initialise the parallel 1x1 as the identity, otherwise with zeros.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int = 2, gain: float = 1.0, identity: bool = False):
        super().__init__()
        inner = expansion * outputs
        # Kernel positions first, for one batched matrix product; and 3-D tensors have no channels-last format.
        self.expand_MI = nn.Parameter(torch.randn(inner, inputs) / math.sqrt(inputs))
        self.spatial_KMM = nn.Parameter(torch.randn(9, inner, inner) / math.sqrt(9 * inner))
        self.reduce_OM = nn.Parameter(torch.randn(outputs, inner) * (gain * math.sqrt(2 / inner)))
        self.skip_OI = nn.Parameter(torch.eye(outputs, inputs) if identity else torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def kernel(self) -> Tensor:
        """The combined kernel, (outputs, inputs, 3, 3), in float32 even under autocast."""
        with full_precision(self.bias.device):
            kernel_KOI = self.reduce_OM @ self.spatial_KMM @ self.expand_MI
            kernel_KOI = kernel_KOI + F.pad(self.skip_OI[None], (0, 0, 0, 0, 4, 4))
            return kernel_KOI.permute(1, 2, 0).unflatten(2, (3, 3)).contiguous()

    def forward(self, x_BIHW: Tensor) -> Tensor:
        return F.conv2d(x_BIHW, self.kernel(), self.bias, padding=1)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """An equivalent plain convolution."""
        kernel_OIHW = self.kernel()
        # On the meta device, so that no random numbers are drawn for weights that are replaced at once.
        conv = nn.Conv2d(kernel_OIHW.shape[1], kernel_OIHW.shape[0], 3, padding=1, device="meta")
        conv.weight, conv.bias = nn.Parameter(kernel_OIHW), nn.Parameter(self.bias.clone())
        return conv.train(self.training).requires_grad_(self.bias.requires_grad)

    @torch.no_grad()
    def load_exported(self, state: Mapping[str, Tensor]) -> None:
        """Load a plain convolution with `weight` (outputs, inputs, 3, 3) and `bias` from a file, for further training.

        Exact if there are at least as many inner channels as inputs. With fewer, a kernel folded from as few is
        restored up to rounding, and others are approximated in the positions around the centre.
        """
        kernel_KOI = state["weight"].flatten(2).permute(2, 0, 1)
        outputs = kernel_KOI.shape[1]
        around_KOI = torch.cat([kernel_KOI[:4], kernel_KOI[5:]])
        directions_II = torch.linalg.svd(around_KOI.flatten(0, 1), full_matrices=True).Vh
        known = min(len(self.expand_MI), len(directions_II))
        # The other inner channels keep their initial values: they do not affect the kernel yet, but get gradients.
        self.expand_MI[:known] = directions_II[:known]
        self.reduce_OM[:, :outputs] = torch.eye(outputs)
        self.spatial_KMM.zero_()
        self.spatial_KMM[:, :outputs, :known] = kernel_KOI @ directions_II[:known].T
        self.skip_OI.copy_(kernel_KOI[4] - (self.reduce_OM @ self.spatial_KMM[4] @ self.expand_MI))
        self.bias.copy_(state["bias"])


def fold(network: nn.Module) -> nn.Module:
    """`network` with every `RepConv2d` replaced by a plain convolution, for export and validation.

    Returns:
        A copy; `network` itself if it has none.
    """
    if not any(isinstance(module, RepConv2d) for module in network.modules()):
        return network
    if isinstance(network, RepConv2d):
        return network.folded()
    folded = copy.deepcopy(network)
    for parent in list(folded.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, RepConv2d):
                setattr(parent, name, cast(RepConv2d, child).folded())
    return folded
