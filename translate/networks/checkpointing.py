"""Activation checkpointing: recompute a block's activations in the backward pass instead of storing them."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, *inputs: Tensor | None, checkpointed: bool) -> Tensor:
    """block(*inputs), with the same result and gradients either way.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.

    Args:
        block: without dropout, which would be different when recomputed.
        inputs: its arguments.
        checkpointed: store only `inputs` for the backward pass. No effect outside training.
    """
    if checkpointed and block.training and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return block(*inputs)
