"""Our Adam moves weights whatever the order of their axes in memory, without copying them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from translate.training.optimisers import Adam

SHAPES = ((4, 3, 3, 3), (6, 4, 1, 1), (1, 5, 4, 2), (3, 1, 2, 2), (5,), (2, 7))


def weights(layout: torch.memory_format) -> list[nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=random) for shape in SHAPES]
    return [nn.Parameter(x.to(memory_format=layout) if x.dim() == 4 else x) for x in made]


def moved(kind: type[torch.optim.Adam], layout: torch.memory_format, **how: bool) -> list[Tensor]:
    """Weights and moments after four steps, the second of them skipped, with gradients of both layouts."""
    random, parameters = torch.Generator().manual_seed(1), weights(layout)
    optimiser: Any = kind(parameters, lr=0.1, betas=(0.5, 0.99), **how)
    for number, gradients in enumerate((layout, layout, torch.contiguous_format, torch.channels_last)):
        for weight in parameters[:-1]:  # the last one never gets a gradient
            gradient = torch.randn(weight.shape, generator=random)
            weight.grad = gradient.to(memory_format=gradients) if gradient.dim() == 4 else gradient
        if how["fused"]:
            optimiser.found_inf, optimiser.grad_scale = torch.tensor(float(number == 1)), None
        if how["fused"] or number != 1:
            optimiser.step()
    assert [weight.stride() for weight in parameters] == [weight.stride() for weight in weights(layout)]
    state = [tensor for weight in parameters for tensor in optimiser.state[weight].values()]
    return [tensor.detach() for tensor in (*parameters, *state)]


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_same_as_the_plain_one(layout: torch.memory_format, amsgrad: bool) -> None:
    """Which looks at elements by their indices; PyTorch's fused one would fail here."""
    plain = moved(torch.optim.Adam, layout, fused=False, foreach=False, amsgrad=amsgrad)
    ours = moved(Adam, layout, fused=True, amsgrad=amsgrad)
    assert len(plain) == len(ours) == len(SHAPES) + (4 if amsgrad else 3) * (len(SHAPES) - 1)
    for one, other in zip(plain, ours, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    changed = [not torch.equal(after, before) for after, before in zip(ours, weights(layout), strict=False)]
    assert changed == [True] * 5 + [False]


def test_nothing_is_copied_into_another_order() -> None:
    parameters = weights(torch.channels_last)
    optimiser = Adam(parameters, lr=0.1, fused=True)
    for weight in parameters:
        weight.grad = torch.ones_like(weight)
    optimiser.step()
    with torch.profiler.profile() as profile:
        optimiser.step()
    calls = {event.key for event in profile.key_averages()}
    assert "aten::_fused_adam_" in calls
    assert not calls & {"aten::clone", "aten::contiguous"}
