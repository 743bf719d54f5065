"""Drawings made from photographs: range, determinism, and that the lines lie where the edges are.

Shape suffixes: B batch, H height, W width.
"""

import pytest
import torch
from kornia.filters import canny
from torch import Generator, Tensor
from torch.nn import functional as F

from translate.data import sketches
from translate.data.sketches import (
    SHARES,
    _ridges,
    draw_freehand,
    draw_machine_edges,
    draw_sketches,
    draw_soft_edges,
)

MARGIN = 14
"""Pixels a line may lie from its edge: smoothing, wobble, pen and softness together."""


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def disc(batch: int, side: int = 96) -> tuple[Tensor, Tensor]:
    """A dark disc on white, (B, 3, H, W) in [-1, 1], and every pixel's distance from its rim, (H, W)."""
    axis = torch.arange(side) - (side - 1) / 2
    from_rim_HW = (axis[:, None] ** 2 + axis[None, :] ** 2).sqrt() - side / 4
    photo_HW = torch.where(from_rim_HW > 0, 1.0, -0.8)
    return photo_HW.expand(batch, 3, -1, -1).contiguous(), from_rim_HW.abs()


@pytest.fixture(scope="module")
def noisy_B3HW() -> Tensor:  # noqa: N802 - a fixture's name is its value's name
    coarse_B3HW = torch.rand(6, 3, 8, 8, generator=seeded(1)) * 2 - 1
    return F.interpolate(coarse_B3HW, (64, 48), mode="bicubic").clamp(-1, 1)


def test_shape_range_and_three_equal_channels(noisy_B3HW: Tensor) -> None:
    sketch_B3HW = draw_sketches(noisy_B3HW, seeded(0))
    assert sketch_B3HW.shape == noisy_B3HW.shape
    assert sketch_B3HW.dtype == torch.float32
    assert sketch_B3HW.min() >= -1.0
    assert sketch_B3HW.max() == 1.0
    assert torch.equal(sketch_B3HW, sketch_B3HW[:, :1].expand(-1, 3, -1, -1))
    assert (sketch_B3HW < 0.5).flatten(1).any(dim=1).all()  # something is drawn everywhere


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels(noisy_B3HW: Tensor, channels: int) -> None:
    photo_BCHW = noisy_B3HW.repeat(1, 2, 1, 1)[:, :channels]
    seen_B3HW = noisy_B3HW if channels > 2 else noisy_B3HW[:, :1].expand(-1, 3, -1, -1)
    assert torch.equal(draw_sketches(photo_BCHW, seeded(0)), draw_sketches(seen_B3HW, seeded(0)))


def test_seed_decides(noisy_B3HW: Tensor) -> None:
    before = noisy_B3HW.clone()
    once, again, other = (draw_sketches(noisy_B3HW, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(noisy_B3HW, before)


def test_torch_s_own_randomness_is_left_alone(noisy_B3HW: Tensor) -> None:
    before = torch.get_rng_state()
    draw_sketches(noisy_B3HW, seeded(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("level", [1.0, 0.0, -1.0])
def test_flat_photo_gives_blank_paper(level: float) -> None:
    sketch_B3HW = draw_sketches(torch.full((8, 3, 64, 64), level), seeded(0))
    assert (sketch_B3HW == 1.0).all()


def test_nearly_white_noise_gives_blank_paper() -> None:
    photo_B3HW = 1.0 - 0.01 * torch.rand(8, 3, 64, 64, generator=seeded(2))
    assert (draw_sketches(photo_B3HW, seeded(0)) == 1.0).all()


def test_one_picture_does_not_change_another(noisy_B3HW: Tensor) -> None:
    """Equal randomness, other neighbours: the drawing stays."""
    changed_B3HW = noisy_B3HW.clone()
    changed_B3HW[1:] = -changed_B3HW[1:].flip(2)
    drawn, drawn_beside_others = draw_sketches(noisy_B3HW, seeded(0)), draw_sketches(changed_B3HW, seeded(0))
    torch.testing.assert_close(drawn[0], drawn_beside_others[0], rtol=0, atol=1e-6)


def test_lines_lie_on_the_rim() -> None:
    photo_B3HW, from_rim_HW = disc(24)
    ink_BHW = draw_machine_edges(photo_B3HW, seeded(0))[:, 0] < 0.9
    assert not (ink_BHW & (from_rim_HW > MARGIN)).any()
    near = ink_BHW.flatten(1).float().mean(dim=1)
    assert (near > 0.002).float().mean() > 0.9  # gaps may empty a drawing, but rarely
    # Some part of the rim is found within two pixels in nearly every drawing.
    on_rim = (ink_BHW & (from_rim_HW < 2.5)).flatten(1).any(dim=1)
    assert on_rim.float().mean() > 0.9


def test_lines_differ_in_width_and_darkness() -> None:
    photo_B3HW, _ = disc(64)
    sketch_BHW = draw_machine_edges(photo_B3HW, seeded(5))[:, 0]
    drawn = sketch_BHW[(sketch_BHW < 0.9).flatten(1).sum(dim=1) > 60]
    assert len(drawn) > 50
    amount = (drawn < 0.0).flatten(1).sum(dim=1).float()
    assert amount.quantile(0.9) > 2.0 * amount.quantile(0.1)
    darkest = drawn.flatten(1).amin(dim=1)
    black = (darkest < -0.99).float().mean()
    assert 0.3 < black < 0.9
    assert darkest.max() > -0.6


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (16, 16)])
def test_small_and_odd_sizes(size: tuple[int, int]) -> None:
    photo_B3HW = torch.rand(4, 3, *size, generator=seeded(6)) * 2 - 1
    sketch_B3HW = draw_sketches(photo_B3HW, seeded(0))
    assert sketch_B3HW.shape == photo_B3HW.shape
    assert sketch_B3HW.isfinite().all()
    assert sketch_B3HW.min() >= -1.0


def test_asks_no_tensor_for_its_values(noisy_B3HW: Tensor) -> None:
    """There are none on `meta`; on a GPU it would be waited for them."""
    assert draw_sketches(noisy_B3HW.to("meta"), seeded(0)).shape == noisy_B3HW.shape


@pytest.mark.gpu
def test_does_not_wait_for_the_device(noisy_B3HW: Tensor) -> None:
    there_B3HW = noisy_B3HW.cuda()
    draw_sketches(there_B3HW, seeded(0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        draw_sketches(there_B3HW, seeded(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_ridges_are_kornia_s(noisy_B3HW: Tensor) -> None:
    grey_B1HW = (noisy_B3HW[:, :1] * 8).round() / 8  # with equal neighbours
    theirs_B1HW, _ = canny(grey_B1HW, 1e-4, 0.5, kernel_size=1, hysteresis=False)
    torch.testing.assert_close(_ridges(grey_B1HW), theirs_B1HW, rtol=0, atol=1e-6)


def test_extremes_are_finite() -> None:
    checker_HW = (torch.arange(64)[:, None] + torch.arange(64)[None, :]) % 2 * 2.0 - 1.0
    steps_HW = (torch.arange(64) > 32).float().expand(64, -1) * 2 - 1
    photo_B3HW = torch.stack([checker_HW, steps_HW, -steps_HW]).unsqueeze(1).expand(-1, 3, -1, -1).contiguous()
    assert draw_sketches(photo_B3HW, seeded(0)).isfinite().all()


# --- the three ways of drawing


def test_the_ways_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each picture is drawn in one way, and each way has its share."""
    photo_B3HW, _ = disc(600, side=16)
    for number, name in enumerate(("draw_machine_edges", "draw_soft_edges", "draw_freehand")):
        monkeypatch.setattr(sketches, name, lambda photo, generator, number=number: torch.full_like(photo, number))
    # The tuple of functions is looked up when called, so that the marks above are what is put together.
    marks_B = draw_sketches(photo_B3HW, seeded(0))[:, 0, 0, 0]
    shares = [float((marks_B == number).float().mean()) for number in range(3)]
    assert shares == pytest.approx(SHARES, abs=0.06)


def test_soft_edges_are_wide_closed_and_soft() -> None:
    photo_B3HW, from_rim_HW = disc(16, side=128)
    sketch_BHW = draw_soft_edges(photo_B3HW, seeded(0))[:, 0]
    darkest = sketch_BHW.flatten(1).amin(dim=1)[:, None]
    on_rim = sketch_BHW[:, from_rim_HW < 0.5]
    assert (on_rim < darkest + 0.35 * (1.0 - darkest)).all()  # all the way round
    assert (sketch_BHW[:, from_rim_HW > 10] == 1.0).all()
    between = ((sketch_BHW < 0.95) & (sketch_BHW > darkest[..., None] + 0.05)).flatten(1).float().mean(dim=1)
    assert (between > 0.005).all()  # no hard rim
    wide = (sketch_BHW < (1.0 + darkest[..., None]) / 2).flatten(1).sum(dim=1)
    assert (wide > 2 * (from_rim_HW < 0.5).sum()).all()


def test_freehand_follows_the_outline_out_of_proportion() -> None:
    photo_B3HW, from_rim_HW = disc(32, side=128)
    ink_BHW = draw_freehand(photo_B3HW, seeded(0))[:, 0] < 0.5
    assert not (ink_BHW & (from_rim_HW > 30)).any()
    distance = torch.stack([from_rim_HW[ink_HW].mean() for ink_HW in ink_BHW if ink_HW.any()])
    assert len(distance) > 28
    assert 1.0 < distance.median() < 8.0  # a few hundredths of the side off
    assert distance.std() > 0.5  # each by another hand


def test_freehand_lines_are_few_thin_and_open() -> None:
    """Of a disc full of fine texture people draw the outline, and not all of it."""
    photo_B3HW, from_rim_HW = disc(48, side=128)
    texture_B3HW = torch.rand(photo_B3HW.shape, generator=seeded(3)) * 1.6 - 1.0
    photo_B3HW = torch.where(photo_B3HW < 0, texture_B3HW, photo_B3HW)
    freehand, machine = (
        (draw(photo_B3HW, seeded(0))[:, 0] < 0.5).flatten(1).float().mean(dim=1)
        for draw in (draw_freehand, draw_machine_edges)
    )
    rim = (from_rim_HW < 0.5).float().mean()
    assert freehand.median() < machine.median()
    assert freehand.max() < 14 * rim
    assert freehand.min() < 0.8 * freehand.median()


def test_freehand_goes_over_some_lines_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same hand without the second stroke draws less in many pictures, and never more."""
    photo_B3HW, _ = disc(32, side=128)
    with_BHW = draw_freehand(photo_B3HW, seeded(0))[:, 0]
    chance = sketches._chance

    def never(like: Tensor, generator: Generator, probability: float) -> Tensor:
        drawn = chance(like, generator, probability)
        calls.append(probability)
        return drawn * 0.0 if len(calls) == 1 else drawn

    calls: list[float] = []
    monkeypatch.setattr(sketches, "_chance", never)
    without_BHW = draw_freehand(photo_B3HW, seeded(0))[:, 0]
    assert (with_BHW <= without_BHW).all()
    assert 0.2 < (with_BHW < without_BHW).flatten(1).any(dim=1).float().mean() < 0.8


@pytest.mark.parametrize("side", [64, 256])
def test_lengths_are_in_proportion_to_the_side(side: int) -> None:
    photo_B3HW, _ = disc(24, side=side)
    for draw in (draw_freehand, draw_soft_edges):
        share = (draw(photo_B3HW, seeded(0))[:, 0] < 0.0).flatten(1).float().mean()
        assert 0.008 < share < 0.12
