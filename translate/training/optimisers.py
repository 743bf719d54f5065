"""Optimisers for adversarial training, where plain gradient descent on both losses can oscillate for ever.

Both are variants of Adam with a lookahead step. Their additional state is optimiser state.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_LAST = torch.channels_last


class Adam(torch.optim.Adam):
    """PyTorch's Adam, correct for any memory format and faster for channels-last weights on a CPU.

    PyTorch's fused CPU kernel makes contiguous copies of such weights, which takes longer than the step itself, and
    pairs a gradient in another memory format with the wrong weights (torch 2.15). The step is elementwise, so the
    kernel can be given the axes in memory order, with bitwise equal results.
    """

    def _init_group(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, group: dict[str, Any], params_with_grad: list[Tensor], *lists: list[Tensor]
    ) -> bool:
        """Overrides PyTorch's method, which fills the lists of weights, gradients, three moments and step counts."""
        has_complex = super()._init_group(group, params_with_grad, *lists)
        grads, *moments = (tensors for tensors in lists[:-1] if tensors)
        for number, weight in enumerate(params_with_grad):
            in_place = [params_with_grad, *moments]  # must not be copied
            last = weight.dim() == 4 and all(tensors[number].is_contiguous(memory_format=_LAST) for tensors in in_place)
            grads[number] = grads[number].contiguous(memory_format=_LAST if last else torch.contiguous_format)
            for tensors in (grads, *in_place) if last else ():
                tensors[number] = tensors[number].permute(0, 2, 3, 1)
        return has_complex


class AheadOfAdam(Adam, ABC):
    """Adam with a correction of every update by `moved`."""

    @abstractmethod
    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> Tensor:
        """The new value of a parameter that Adam would change from `before` to `after`; may update `state`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        assert closure is None
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        before = [weight.clone() for weight in weights]
        super().step()
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(self.moved(old, weight, self.state[weight]))


class OptimisticAdam(AheadOfAdam):
    """Optimistic Adam: twice this update minus the last one, on the assumption that the next gradient is like this one.

    Daskalakis et al., "Training GANs with Optimism", 2018, algorithm 1.
    """

    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> Tensor:
        """`before` + 2 update - last update."""
        move = after - before
        last = state.get("last_move", torch.zeros_like(move))
        new = before + 2.0 * move - last
        # The flag with which the fused Adam skips a step, without synchronising with the device.
        skipped = getattr(self, "found_inf", None)
        if skipped is not None:
            new, move = torch.where(skipped > 0, before, new), torch.where(skipped > 0, last, move)
        state["last_move"] = move
        return new


class ExtraAdam(AheadOfAdam):
    """Extra-gradient: an extrapolation step, then an update of the original weights with the gradient found there.

    Gidel et al., "A Variational Inequality Perspective on Generative Adversarial Networks", 2019, algorithm 4
    (ExtraAdam, with a new batch for each step). All networks must extrapolate in the same steps, so the caller of
    `step` sets `extrapolating`. If Adam skips an extrapolation, the weights stay; if it skips an update, they return to
    the original weights.
    """

    extrapolating: bool = True

    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> Tensor:
        """`after` when extrapolating, otherwise the original value + update."""
        if self.extrapolating:
            state["origin"] = before
            return after
        return state.get("origin", before) + (after - before)


OPTIMISERS: dict[str, type[torch.optim.Adam]] = {
    "adam": Adam,
    "optimistic": OptimisticAdam,
    "extra-gradient": ExtraAdam,
}
"""All optimisers by their command-line name."""
