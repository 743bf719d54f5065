"""Optimisers for games: players who each step straight down their own loss can circle around the solution for ever.

Both look one step ahead, and both are Adam otherwise. All they remember is optimiser state beside Adam's.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_LAST = torch.channels_last


class Adam(torch.optim.Adam):
    """PyTorch's, at any order of the axes in memory, and faster on a CPU where that is channels last.

    PyTorch's fused kernel for CPUs makes contiguous copies of such weights, which take longer than the step itself, and
    pairs a gradient that lies in another order with the wrong weights (torch 2.15). The step knows no neighbours, so
    the kernel may as well see the axes in the order in which they lie; the same bits come out.
    """

    def _init_group(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, group: dict[str, Any], params_with_grad: list[Tensor], *lists: list[Tensor]
    ) -> bool:
        """PyTorch's: fills the lists, of weights, gradients, three moments and counts of steps."""
        has_complex = super()._init_group(group, params_with_grad, *lists)
        grads, *moments = (tensors for tensors in lists[:-1] if tensors)
        for number, weight in enumerate(params_with_grad):
            moved = [params_with_grad, *moments]  # in place, so they must not be copied
            last = weight.dim() == 4 and all(tensors[number].is_contiguous(memory_format=_LAST) for tensors in moved)
            grads[number] = grads[number].contiguous(memory_format=_LAST if last else torch.contiguous_format)
            for tensors in (grads, *moved) if last else ():
                tensors[number] = tensors[number].permute(0, 2, 3, 1)
        return has_complex


class AheadOfAdam(Adam, ABC):
    """Adam, whose every move is turned into another one by `moved`."""

    @abstractmethod
    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Where a parameter goes that Adam would move from `before` to `after`; notes what it has to in `state`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every parameter that has a gradient."""
        assert closure is None
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        before = [weight.clone() for weight in weights]
        super().step()
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(self.moved(old, weight, self.state[weight]))


class OptimisticAdam(AheadOfAdam):
    """Twice this move, less the last one: the next gradient is taken to be like this one.

    Daskalakis et al., "Training GANs with Optimism", 2018, algorithm 1.
    """

    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> Tensor:
        """`before` + 2 move - last move."""
        move = after - before
        last = state.get("last_move", torch.zeros_like(move))
        new = before + 2.0 * move - last
        # The flag by which the fused Adam skips a step; nothing waits for the device.
        skipped = getattr(self, "found_inf", None)
        if skipped is not None:
            new, move = torch.where(skipped > 0, before, new), torch.where(skipped > 0, last, move)
        state["last_move"] = move
        return new


class ExtraAdam(AheadOfAdam):
    """Looks where a step leads to, and takes the real step from where it began, with the gradient found there.

    Gidel et al., "A Variational Inequality Perspective on Generative Adversarial Networks", 2019, algorithm 4
    (ExtraAdam, each step on pictures of its own). All players must look in the same steps, or the game circles on, so
    whoever calls `step` says by `looking` which it is. A step that Adam skips leads nowhere: a look stays, a real step
    goes back.
    """

    looking: bool = True

    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> Tensor:
        """`after` when looking, else where the look began + move."""
        if self.looking:
            state["origin"] = before
            return after
        return state.get("origin", before) + (after - before)


OPTIMISERS: dict[str, type[torch.optim.Adam]] = {
    "adam": Adam,
    "optimistic": OptimisticAdam,
    "extra-gradient": ExtraAdam,
}
"""Every optimiser by the name it has on the command line."""
