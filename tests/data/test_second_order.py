"""Pictures spoilt twice: every step does what it says, each picture by itself, seeded.

Shape suffixes: B batch, C channels, H height, W width, K side of a kernel.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional as F

from translate.data import second_order
from translate.data.degradation import degrade, reduce_bicubic
from translate.data.second_order import (
    FIRST,
    KERNELS,
    SECOND,
    Stage,
    _compressed,
    _filtered,
    _gaussian,
    _noisy,
    _sinc,
    degrade_twice,
)
from translate.data.sharpening import _blurred, sharpen


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photo_BCHW() -> Tensor:  # noqa: N802 - a fixture's name is its value's name
    coarse_BCHW = torch.rand(8, 3, 12, 9, generator=seeded(1)) * 2 - 1
    return F.interpolate(coarse_BCHW, (72, 48), mode="bicubic").clamp(-1, 1)


@pytest.mark.parametrize(("scale", "channels", "bits"), [(1, 3, 8), (2, 1, 8), (4, 3, 16), (3, 4, 8)])
def test_size_and_levels(photo_BCHW: Tensor, scale: int, channels: int, bits: int) -> None:
    photo_BCHW = torch.cat([photo_BCHW, photo_BCHW[:, :1]], dim=1)[:, :channels]
    small_BCHW = degrade_twice(photo_BCHW, seeded(0), scale, bits=bits)
    assert small_BCHW.shape == (8, channels, 72 // scale, 48 // scale)
    assert small_BCHW.dtype == torch.float32
    assert small_BCHW.is_contiguous()
    assert small_BCHW.abs().max() <= 1.0
    levels_BCHW = (small_BCHW.double() + 1.0) * (2**bits - 1) / 2
    torch.testing.assert_close(levels_BCHW, levels_BCHW.round(), rtol=0, atol=0.01)


def test_sides_must_divide(photo_BCHW: Tensor) -> None:
    with pytest.raises(ValueError, match="divisible by 5"):
        degrade_twice(photo_BCHW, seeded(0), 5)


def test_seed_decides(photo_BCHW: Tensor) -> None:
    before = torch.get_rng_state()
    once, again, other = (degrade_twice(photo_BCHW, seeded(seed), 2) for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_picture_does_not_change_another(photo_BCHW: Tensor) -> None:
    changed_BCHW = photo_BCHW.clone()
    changed_BCHW[1:] = -changed_BCHW[1:]
    first, second = degrade_twice(photo_BCHW, seeded(3), 2)[0], degrade_twice(changed_BCHW, seeded(3), 2)[0]
    assert (first - second).abs().mean() < 0.5 / 255  # nearly always equal; a coefficient may round to its other side


def test_it_is_the_picture_and_spoilt_unlike_its_neighbours(photo_BCHW: Tensor) -> None:
    """Nearly every result is nearer to its own reduction than to any other's, by more or less."""
    many_BCHW = torch.cat([photo_BCHW] * 4)
    small_BCHW, plain_BCHW = degrade_twice(many_BCHW, seeded(0), 2), reduce_bicubic(many_BCHW, 2)
    error_BB = (small_BCHW[:, None] - plain_BCHW[None, :8]).square().mean(dim=(2, 3, 4))
    number_B = torch.arange(8).repeat(4)
    assert (error_BB.argmin(dim=1) == number_B).float().mean() > 0.9
    own_B = error_BB.gather(1, number_B[:, None])[:, 0]
    assert own_B.max() > 3 * own_B.min() > 0
    assert small_BCHW[0].ne(small_BCHW[8]).any()  # one picture, spoilt twice in two ways


def test_twice_spoils_more_than_once() -> None:
    coarse_BCHW = torch.rand(24, 3, 16, 16, generator=seeded(2)) * 2 - 1
    photo_BCHW = F.interpolate(coarse_BCHW, 64, mode="bicubic").clamp(-1, 1)
    clean_BCHW = reduce_bicubic(photo_BCHW, 2)
    once, twice = (
        (spoilt_BCHW - clean_BCHW).square().mean(dim=(1, 2, 3)).median()
        for spoilt_BCHW in (
            degrade(photo_BCHW, seeded(0), 2, blur=0.5, noise=0.5, jpeg=0.5),
            degrade_twice(photo_BCHW, seeded(0), 2),
        )
    )
    assert twice > 2 * once


def steps_of(photo_BCHW: Tensor, monkeypatch: pytest.MonkeyPatch, **options: float) -> list[list[str]]:
    """The steps that each picture goes through."""
    steps: list[list[str]] = []

    def noted(name: str, step: Callable[..., Tensor]) -> None:
        def note(picture: Tensor, generator: Generator, *more: Any) -> Tensor:
            own = f"{name} {1 if more[0] is FIRST else 2}" if name == "round" else name
            if own == "round 1":
                steps.append([])
            steps[-1].append(own)
            return step(picture, generator, *more)

        monkeypatch.setattr(second_order, step.__name__, note)

    for name, step in (("round", second_order._round), ("jpeg", _compressed), ("reduce", second_order._reduced)):
        noted(name, step)
    degrade_twice(photo_BCHW, seeded(0), 2, **options)
    return steps


def test_two_rounds_whose_last_steps_come_in_either_order(photo_BCHW: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = steps_of(photo_BCHW.repeat(4, 1, 1, 1), monkeypatch)
    assert len(steps) == 32
    assert all(own[:3] == ["round 1", "jpeg", "round 2"] for own in steps)
    last = [own[3:] for own in steps]
    assert all(own in (["reduce", "jpeg"], ["jpeg", "reduce"]) for own in last)
    assert 8 <= last.count(["reduce", "jpeg"]) <= 24


def test_the_second_round_adds_to_the_first(photo_BCHW: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    many_BCHW = photo_BCHW.repeat(4, 1, 1, 1)
    clean_BCHW = reduce_bicubic(many_BCHW, 2)
    twice = (degrade_twice(many_BCHW, seeded(0), 2) - clean_BCHW).square().mean(dim=(1, 2, 3)).median()
    nothing = Stage(0.0, (0.2, 0.3), 0.0, 0.0, (1.0, 1.0), (0.0, 0.0), (0.0, 0.0))
    monkeypatch.setattr(second_order, "SECOND", nothing)
    once = (degrade_twice(many_BCHW, seeded(0), 2) - clean_BCHW).square().mean(dim=(1, 2, 3)).median()
    assert twice > 1.1 * once


def test_a_share_of_the_pictures_stays_clean(photo_BCHW: Tensor) -> None:
    many_BCHW = photo_BCHW.repeat(16, 1, 1, 1)
    clean_BCHW = reduce_bicubic(many_BCHW, 2)
    plain_BCHW, some_BCHW = (degrade_twice(many_BCHW, seeded(0), 2, clean=clean) for clean in (0.0, 0.25))
    spared_B = (some_BCHW == clean_BCHW).flatten(1).all(1)
    assert not (plain_BCHW == clean_BCHW).flatten(1).all(1).any()
    assert 0.15 < spared_B.float().mean() < 0.35
    assert torch.equal(degrade_twice(photo_BCHW, seeded(0), 2, clean=1.0), reduce_bicubic(photo_BCHW, 2))
    # The others are as they are without clean ones.
    assert torch.equal(some_BCHW[~spared_B], plain_BCHW[~spared_B])


def test_positions_stay(photo_BCHW: Tensor) -> None:
    """A dot in the middle is still there: nothing is shifted by a resize or a filter."""
    photo_BCHW = torch.full((40, 3, 64, 64), -1.0)
    photo_BCHW[..., 28:36, 28:36] = 1.0
    light_BHW = degrade_twice(photo_BCHW, seeded(0), 2).mean(dim=1) + 1.0
    axis = torch.arange(32) - 15.5
    for dim in (1, 2):
        centre_B = (light_BHW.sum(dim=dim) * axis).sum(dim=1) / light_BHW.sum(dim=(1, 2))
        assert centre_B.mean().abs() < 0.4
        assert centre_B.abs().median() < 0.6


@pytest.mark.parametrize("side", [7, 21])
def test_kernels_sum_to_one_and_are_symmetric(side: int) -> None:
    for seed in range(20):
        for kernel_KK in (_gaussian(side, seeded(seed), (0.2, 3.0)), _sinc(side, seeded(seed))):
            assert kernel_KK.shape == (side, side)
            assert kernel_KK.isfinite().all()
            assert kernel_KK.sum().item() == pytest.approx(1.0, abs=1e-5)
            torch.testing.assert_close(kernel_KK, kernel_KK.flip(0, 1))
    assert KERNELS == (7, 9, 11, 13, 15, 17, 19, 21)


@pytest.mark.parametrize("side", [7, 21])
def test_filtering_is_a_convolution(photo_BCHW: Tensor, side: int) -> None:
    kernel_KK = _gaussian(side, seeded(5), (0.5, 3.0))
    picture_13HW = photo_BCHW[:1, :, :33, :47]
    padded_31HW = F.pad(picture_13HW, (side // 2,) * 4, mode="replicate").transpose(0, 1)
    expected_13HW = F.conv2d(padded_31HW, kernel_KK[None, None]).transpose(0, 1)
    torch.testing.assert_close(_filtered(picture_13HW, kernel_KK), expected_13HW, rtol=0, atol=1e-5)


def test_gaussians_are_as_wide_as_stated_and_some_are_drawn_out() -> None:
    axis_K = torch.arange(21) - 10.0
    drawn_out = 0
    for seed in range(60):
        kernel_KK = _gaussian(21, seeded(seed), (1.5, 1.5))
        narrow, wide = kernel_KK.sum(dim=0) @ axis_K**2, kernel_KK.sum(dim=1) @ axis_K**2
        assert narrow.item() == pytest.approx(wide.item(), rel=1e-3)  # the limits leave it round
        kernel_KK = _gaussian(21, seeded(seed), (0.7, 2.5))
        moments_22 = torch.stack([axis_K[None, :].expand(21, 21).flatten(), axis_K[:, None].expand(21, 21).flatten()])
        shape = torch.linalg.eigvalsh((moments_22 * kernel_KK.flatten()) @ moments_22.T)
        drawn_out += bool(shape[1] > 1.3 * shape[0])
    assert 8 < drawn_out < 30


def test_noise_is_of_all_four_kinds() -> None:
    grey_13HW = torch.full((1, 3, 64, 64), 0.5)
    kinds: set[tuple[bool, bool]] = set()
    strengths: list[float] = []
    for seed in range(60):
        noise_3N = (_noisy(grey_13HW, seeded(seed), FIRST) - grey_13HW)[0].flatten(1)
        # Photons come in whole numbers: few different values; a Gaussian's are all different.
        kinds.add((len(noise_3N[0].unique()) < 200, bool((noise_3N[0] == noise_3N[1]).all())))
        strengths.append(noise_3N.std().item() * 255)
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}
    assert min(strengths) < 3
    assert 15 < max(strengths) < 35  # 128 photons of 256, three times as noisy: 34 levels


def test_second_round_is_milder() -> None:
    for name in ("sigma", "factor", "noise", "grains"):
        assert getattr(SECOND, name)[1] < getattr(FIRST, name)[1]
    assert SECOND.blur < FIRST.blur


def test_sharpening_steepens_edges_and_leaves_the_rest() -> None:
    photo_13HW = torch.full((1, 3, 96, 160), -0.5)
    photo_13HW[..., 80:] = 0.5
    photo_13HW = photo_13HW + 0.02 * torch.rand(1, 3, 96, 160, generator=seeded(0))
    sharp_13HW = sharpen(photo_13HW, 0.5)
    assert torch.equal(sharpen(photo_13HW, 0.0), photo_13HW)
    before, after = (picture[..., 80] - picture[..., 79] for picture in (photo_13HW, sharp_13HW))
    assert (after > 1.15 * before).all()
    torch.testing.assert_close(sharp_13HW[..., :20], photo_13HW[..., :20], rtol=0, atol=1e-4)
    assert sharpen(photo_13HW * 1.9, 4.0).abs().max() <= 1.0


def test_sharpening_s_blur_is_kornia_s(photo_BCHW: Tensor) -> None:
    theirs_BCHW = gaussian_blur2d(photo_BCHW, 51, (8.0, 8.0), border_type="replicate")
    torch.testing.assert_close(_blurred(photo_BCHW), theirs_BCHW, rtol=0, atol=1e-5)
    assert sharpen(photo_BCHW.to("meta"), 0.5).shape == photo_BCHW.shape


@pytest.mark.gpu
def test_does_not_wait_for_the_device(photo_BCHW: Tensor) -> None:
    there_BCHW = photo_BCHW.cuda()
    degrade_twice(there_BCHW, seeded(0), 2)  # the first call fills kornia's tables
    torch.cuda.set_sync_debug_mode("error")
    try:
        sharpen(degrade_twice(there_BCHW, seeded(0), 2), 0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
