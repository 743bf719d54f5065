"""Edges without a partner, by hand.

Shape suffixes: B batch, C channels, H height, W width.
"""

import pytest
import torch
from torch import Tensor

from translate.losses.edges import REACH, STRONG, unmatched_edges

SIDE = 64
WHOLE = STRONG / 2
"""Half the height of a step that counts as a whole edge."""


def steps(*columns: int, height: float = STRONG, channels: int = 3) -> Tensor:
    """Vertical steps, up and down in turn, before these columns; each is an edge of two columns."""
    row_W = torch.zeros(SIDE)
    for number, column in enumerate(columns):
        row_W[column:] += height if number % 2 == 0 else -height
    return row_W.expand(1, channels, SIDE, SIDE)


def loss(source_BCHW: Tensor, result_BCHW: Tensor) -> float:
    return unmatched_edges(source_BCHW, result_BCHW).item()


def test_by_hand() -> None:
    assert round(REACH * SIDE) == 1
    assert loss(steps(20), steps(20)) == pytest.approx(0.0, abs=1e-6)
    assert loss(steps(20), steps(21)) == pytest.approx(0.0, abs=1e-6)
    assert loss(steps(20), steps(22)) == pytest.approx(0.5)  # one of the two columns is near
    assert loss(steps(20), steps(23)) == pytest.approx(1.0)
    assert loss(steps(20), steps()) == pytest.approx(1.0)
    assert loss(steps(), steps(20)) == pytest.approx(1.0)
    # Of two edges of the result one is right: P = 1/2, R = 1; and the other way round.
    assert loss(steps(20), steps(20, 40)) == pytest.approx(0.25)
    assert loss(steps(20, 40), steps(20)) == pytest.approx(0.25)
    # Half the height is a quarter of an edge: P = 1, R = 1/4.
    assert loss(steps(20), steps(20, height=WHOLE)) == pytest.approx(0.375)
    assert loss(steps(20), steps(20, height=1.0)) == pytest.approx(0.0, abs=1e-6)


def test_mean_over_the_batch_and_other_channels() -> None:
    source_BCHW = steps(20, channels=1).expand(2, -1, -1, -1)
    assert loss(source_BCHW, torch.cat([steps(20), steps(40)])) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="images of one size expected"):
        unmatched_edges(source_BCHW, torch.zeros(2, 3, 8, 8))


def test_gradient_reaches_the_result_only() -> None:
    torch.manual_seed(0)
    source_BCHW = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    result_BCHW = (0.05 * torch.randn(2, 3, 8, 8, dtype=torch.float64)).requires_grad_()
    unmatched_edges(source_BCHW, result_BCHW).backward()
    assert source_BCHW.grad is None
    assert result_BCHW.grad is not None
    assert torch.autograd.gradcheck(lambda x_BCHW: unmatched_edges(source_BCHW.detach(), x_BCHW), (result_BCHW,))
