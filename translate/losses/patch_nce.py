"""PatchNCE: contrastive loss between patches of the output and patches of the source.

Shape suffixes: B batch, P patches of one image, D features of one patch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def patch_nce(query_BPD: Tensor, key_BPD: Tensor, temperature: float = 0.07) -> Tensor:
    """Mean over all patches of -log softmax(q_i . k_j / temperature) at j = i, j over the patches of the same image.

    Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", 2020 (CUT), eq. 3 and 4. Features are
    normalised to length 1. Computed in float32 at least, also under autocast, because the temperature amplifies the
    rounding of bfloat16. No gradient flows into `key_BPD`.

    Args:
        query_BPD: features of the output.
        key_BPD: features of the source at the same positions, equal shape.
        temperature: above 0; lower is stricter.

    Returns:
        Scalar, at least 0; log P if all patches are equal.

    Raises:
        ValueError: the shapes differ.
    """
    if query_BPD.shape != key_BPD.shape:
        raise ValueError(f"patches are paired: found {tuple(query_BPD.shape)} and {tuple(key_BPD.shape)}")
    precise = torch.promote_types(query_BPD.dtype, torch.float32)
    own_BP = torch.arange(query_BPD.shape[1], device=query_BPD.device).expand(query_BPD.shape[:2])
    with torch.autocast(query_BPD.device.type, enabled=False):
        query_BPD = F.normalize(query_BPD.to(precise), dim=2)
        key_BPD = F.normalize(key_BPD.detach().to(precise), dim=2)
        logits_BPP = query_BPD @ key_BPD.transpose(1, 2) / temperature
        return F.cross_entropy(logits_BPP.flatten(0, 1), own_BP.flatten())
