"""Trading time for memory: compute a block's inner values again instead of keeping them."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, *inputs: Tensor | None, checkpointed: bool) -> Tensor:
    """block(*inputs), the same result and gradients either way.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.

    Args:
        block: without dropout, because random numbers would be drawn anew.
        inputs: what it is called with.
        checkpointed: keep only `inputs` for the backward pass. Without effect outside training.
    """
    if checkpointed and block.training and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return block(*inputs)
