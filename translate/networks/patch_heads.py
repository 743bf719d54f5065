"""Features at sampled positions -> normalised vectors for PatchNCE.

Shape suffixes: B batch, C channels, D vector length, H height, P positions, W width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchHeads(nn.Module):
    """A two-layer MLP for each layer of features.

    Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", 2020 (CUT).

    in:  features, one (B, C, H, W) per layer, and optionally positions, one int64 (P,) per layer with row-major
    indices. Without positions, `patches` different ones, or all if there are fewer, are sampled with torch's global
    generator, the same for all images of the batch.
    out: one float32 (B, P, D) per layer, normalised along D, and the positions used.

    Args:
        feature_channels: channels of each layer.
        width: D, length of the vectors.
    """

    def __init__(self, feature_channels: list[int], width: int = 256):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
            for channels in feature_channels
        )

    def forward(
        self, features: Sequence[Tensor], positions: Sequence[Tensor] | None = None, patches: int = 256
    ) -> tuple[list[Tensor], list[Tensor]]:
        if positions is None:
            positions = [_draw(layer_BCHW, patches) for layer_BCHW in features]
        vectors: list[Tensor] = []
        for head, layer_BCHW, positions_P in zip(self.heads, features, positions, strict=True):
            sampled_BPC = layer_BCHW.flatten(2)[:, :, positions_P].transpose(1, 2)
            vectors.append(F.normalize(head(sampled_BPC).float(), dim=2))
        return vectors, list(positions)


def _draw(layer_BCHW: Tensor, patches: int) -> Tensor:
    places = layer_BCHW.shape[2] * layer_BCHW.shape[3]
    return torch.randperm(places, device=layer_BCHW.device)[:patches]
