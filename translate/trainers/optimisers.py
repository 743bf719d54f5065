"""Optimisers for games: players who each step straight down their own loss can circle around the solution for ever.

Both look one step ahead, and both are Adam otherwise. All they remember is optimiser state beside Adam's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class AheadOfAdam(torch.optim.Adam):
    """Adam, whose every move is turned into another one by `moved`.

    `found_inf`, the flag by which the fused Adam skips a step, skips it here too, and nothing waits for the device.
    """

    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Where a parameter goes that Adam would move from `before` to `after`, and what is to be kept as `kept`."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every parameter that has a gradient."""
        assert closure is None
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        before = [weight.clone() for weight in weights]
        super().step()
        skipped = getattr(self, "found_inf", None)
        for weight, old in zip(weights, before, strict=True):
            state = self.state[weight]
            state.setdefault("kept", torch.zeros_like(weight))
            new, kept = self.moved(old, weight, state)
            if skipped is not None:
                new, kept = torch.where(skipped > 0, old, new), torch.where(skipped > 0, state["kept"], kept)
            weight.copy_(new)
            state["kept"].copy_(kept)


class OptimisticAdam(AheadOfAdam):
    """Twice this move, less the last one: the next gradient is taken to be like this one.

    Daskalakis et al., "Training GANs with Optimism", 2018, algorithm 1. `kept` is the last move of Adam.
    """

    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """`before` + 2 move - last move."""
        move = after - before
        return before + 2.0 * move - state["kept"], move


class ExtraAdam(AheadOfAdam):
    """Every second step is a real one: from where the last one began, with the gradient of where it led to.

    Gidel et al., "A Variational Inequality Perspective on Generative Adversarial Networks", 2019, algorithm 4
    (ExtraAdam, each step on pictures of its own). `kept` is where the look ahead began.
    """

    def moved(self, before: Tensor, after: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """`after` in odd steps, `kept` + move in even ones."""
        looking = state["step"] % 2 == 1
        return torch.where(looking, after, state["kept"] + (after - before)), torch.where(
            looking, before, state["kept"]
        )


OPTIMISERS: dict[str, type[torch.optim.Adam]] = {
    "adam": torch.optim.Adam,
    "optimistic": OptimisticAdam,
    "extra-gradient": ExtraAdam,
}
"""Every optimiser by the name it has on the command line."""
