"""A memory of made pictures.

Shape suffixes: P pool size, B batch, C channels, H height, W width.
"""

import pytest
import torch
from torch import Tensor

from translate.networks.image_pool import ImagePool


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def numbered(first: int, count: int) -> Tensor:
    """Pictures filled with their number."""
    return torch.arange(first, first + count).float().view(-1, 1, 1, 1).expand(-1, 2, 4, 4).contiguous()


def numbers(pictures_BCHW: Tensor) -> list[int]:
    assert torch.equal(pictures_BCHW.amin(dim=(1, 2, 3)), pictures_BCHW.amax(dim=(1, 2, 3)))
    return pictures_BCHW[:, 0, 0, 0].int().tolist()


def test_size_zero_returns_what_it_is_given() -> None:
    pool = ImagePool(0, 2, 4)
    made_BCHW = numbered(0, 3)
    before = torch.get_rng_state()
    assert torch.equal(pool(made_BCHW), made_BCHW)
    assert torch.equal(torch.get_rng_state(), before)
    assert pool.filled.item() == 0


def test_fills_first_and_keeps_what_it_was_given() -> None:
    pool = ImagePool(4, 2, 4)
    assert numbers(pool(numbered(1, 3))) == [1, 2, 3]
    assert pool.filled.item() == 3
    assert numbers(pool(numbered(4, 1))) == [4]
    assert numbers(pool.pictures_PCHW) == [1, 2, 3, 4]
    assert pool.filled.item() == 4


def test_returns_older_ones_half_of_the_time_and_keeps_the_new_in_their_place() -> None:
    pool = ImagePool(10, 2, 4)
    pool(numbered(0, 10))
    held = set(range(10))
    older = 0
    for number in range(10, 1010):
        (shown,) = numbers(pool(numbered(number, 1)))
        assert shown == number or shown in held
        if shown != number:
            older += 1
            held = held - {shown} | {number}
        assert set(numbers(pool.pictures_PCHW)) == held
    assert 450 < older < 550
    assert pool.filled.item() == 10


def test_a_batch_larger_than_the_pool() -> None:
    pool = ImagePool(2, 2, 4)
    shown = numbers(pool(numbered(0, 40)))
    assert shown[:2] == [0, 1]
    assert any(number != place for place, number in enumerate(shown))
    # Every picture leaves once at most: it is in the pool no more.
    assert len(set(shown) | set(numbers(pool.pictures_PCHW))) == 40


def test_input_is_not_changed_and_what_is_kept_is_a_copy() -> None:
    pool = ImagePool(2, 2, 4)
    for first in range(0, 40, 4):
        made_BCHW = numbered(first, 4)
        pool(made_BCHW)
        assert torch.equal(made_BCHW, numbered(first, 4))
        made_BCHW.fill_(-1)
    assert min(numbers(pool.pictures_PCHW)) >= 0


def test_state_survives_a_snapshot() -> None:
    half_full = ImagePool(4, 2, 4)
    half_full(numbered(1, 2))
    restored = ImagePool(4, 2, 4)
    restored(numbered(50, 4))  # used before: what it counted itself must not outlive the state it is given
    restored.load_state_dict(half_full.state_dict())
    for first in range(3, 43, 4):
        torch.manual_seed(first)
        expected = numbers(half_full(numbered(first, 4)))
        torch.manual_seed(first)
        assert numbers(restored(numbered(first, 4))) == expected
    assert torch.equal(restored.pictures_PCHW, half_full.pictures_PCHW)
    assert restored.filled.item() == half_full.filled.item() == 4


def test_takes_pictures_of_another_precision() -> None:
    pool = ImagePool(1, 2, 4)
    for first in range(20):
        assert pool(numbered(first, 1).bfloat16()).dtype == torch.bfloat16


def test_what_is_not_finite_is_not_kept() -> None:
    pool = ImagePool(4, 2, 4)
    pool(numbered(1, 3))
    for spoilt in (float("nan"), float("inf")):
        for first in range(4, 44, 4):
            made_BCHW = numbered(first, 4)
            made_BCHW[1] = spoilt
            pool(made_BCHW)
            assert pool.pictures_PCHW.isfinite().all()
    assert pool.filled.item() == 4
