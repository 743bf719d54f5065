"""Conditioning of the generator: class label, style, and amount of detail.

Shape suffixes: K batch or 1, L labels, S style, D condition (L + S, and 1 for detail), B batch, C channels, H height,
W width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def condition_vector(
    labels: int,
    style_size: int,
    label_K: Tensor | None,
    style_KS: Tensor | None,
    device: torch.device,
    detail: bool = False,
    detail_K: Tensor | None = None,
) -> Tensor | None:
    """(K, labels + style_size + detail): one-hot label, then style, then detail; None for an unconditional model.

    Args:
        labels, style_size: sizes of the two parts; 0 omits a part.
        label_K: int64; None means the first label.
        style_KS: float; None means the zero style.
        device: for the default values.
        detail: whether the model has a detail branch.
        detail_K: float, 0 to 1; None means 0, the most faithful output.
    """
    parts: list[Tensor] = []
    if labels:
        if label_K is None:
            rows = len(style_KS) if style_size and style_KS is not None else 1
            label_K = torch.zeros(rows, dtype=torch.int64, device=device)
        parts.append(F.one_hot(label_K, labels).float())
    if style_size:
        rows = len(parts[0]) if parts else 1
        parts.append(torch.zeros(rows, style_size, device=device) if style_KS is None else style_KS)
    if detail:
        rows = len(parts[0]) if parts else 1
        parts.append(torch.zeros(rows, 1, device=device) if detail_K is None else detail_K[:, None])
    return torch.cat(parts, dim=1) if parts else None


def label_planes(label_B: Tensor, labels: int, like_BCHW: Tensor) -> Tensor:
    """(B, labels, H, W): one-hot label planes, for discriminators."""
    one_hot_BL = F.one_hot(label_B, labels).to(like_BCHW)
    return one_hot_BL[:, :, None, None].expand(-1, -1, *like_BCHW.shape[-2:])
