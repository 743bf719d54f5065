"""Small pictures from large ones: equal to Pillow's, in whole levels, seeded, and as strong as asked.

Shape suffixes: B batch, C channels, H height, W width.
"""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional as F

from translate.data.degradation import _compressed, degrade, reduce_bicubic
from translate.networks.pixels import pixels_to_signal, signal_to_pixels


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photo_BCHW() -> Tensor:  # noqa: N802 - a fixture's name is its value's name
    coarse_BCHW = torch.rand(8, 3, 12, 9, generator=seeded(1)) * 2 - 1
    fine_BCHW = 0.2 * torch.randn(8, 3, 72, 48, generator=seeded(2))
    return (F.interpolate(coarse_BCHW, (72, 48), mode="bicubic") + fine_BCHW).clamp(-1, 1)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_reduces_like_pillow(photo_BCHW: Tensor, scale: int) -> None:
    # Away from black and white: Pillow clips between its two passes, torch only at the end.
    pixels_BHWC = signal_to_pixels(0.6 * photo_BCHW)
    small_BHWC = signal_to_pixels(reduce_bicubic(pixels_to_signal(pixels_BHWC), scale)).numpy()
    for large_HWC, small_HWC in zip(pixels_BHWC.numpy(), small_BHWC, strict=True):
        theirs = Image.fromarray(large_HWC).resize((48 // scale, 72 // scale), Image.Resampling.BICUBIC)
        assert np.abs(small_HWC.astype(int) - np.asarray(theirs).astype(int)).max() <= 1


def test_reduces_like_pillow_in_floating_point(photo_BCHW: Tensor) -> None:
    pixels_1HWC = signal_to_pixels(photo_BCHW[:1])
    small_HWC = signal_to_pixels(reduce_bicubic(pixels_to_signal(pixels_1HWC), 4))[0].numpy()
    for channel in range(3):
        large = Image.fromarray(pixels_1HWC[0, :, :, channel].numpy().astype(np.float32))
        theirs_HW = np.asarray(large.resize((12, 18), Image.Resampling.BICUBIC)).clip(0, 255)
        assert np.abs(small_HWC[:, :, channel] - theirs_HW).max() <= 0.501


def test_whole_levels_within_range(photo_BCHW: Tensor) -> None:
    sharp_BCHW = photo_BCHW.sign()  # bicubic overshoots at its edges
    for small_BCHW in (reduce_bicubic(sharp_BCHW, 2), degrade(sharp_BCHW, seeded(0), 2, 1.0, 1.0, 1.0)):
        levels_BCHW = (small_BCHW + 1.0) * 127.5
        torch.testing.assert_close(levels_BCHW, levels_BCHW.round(), rtol=0, atol=1e-4)
        assert small_BCHW.min() >= -1.0
        assert small_BCHW.max() <= 1.0
        assert small_BCHW.dtype == torch.float32
        assert small_BCHW.is_contiguous()


def test_sides_must_divide(photo_BCHW: Tensor) -> None:
    with pytest.raises(ValueError, match="divisible by 5"):
        reduce_bicubic(photo_BCHW, 5)


def test_without_chances_it_is_the_plain_reduction(photo_BCHW: Tensor) -> None:
    assert torch.equal(degrade(photo_BCHW, seeded(0), 2), reduce_bicubic(photo_BCHW, 2))


def test_seed_decides(photo_BCHW: Tensor) -> None:
    before = torch.get_rng_state()
    once, again, other = (degrade(photo_BCHW, seeded(seed), 2, 0.5, 0.5, 0.5) for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["blur", "noise", "jpeg"])
def test_probability(photo_BCHW: Tensor, kind: str) -> None:
    many_BCHW = photo_BCHW.repeat(16, 1, 1, 1)[:, :, :16, :16]
    plain_BCHW = reduce_bicubic(many_BCHW, 1)
    for probability, low, high in ((1.0, 0.85, 1.0), (0.3, 0.15, 0.45)):
        changed_BCHW = degrade(many_BCHW, seeded(0), 1, **{kind: probability})
        share = (changed_BCHW != plain_BCHW).flatten(1).any(dim=1).float().mean()
        assert low <= share <= high  # a blur of sigma 0.2 may change nothing


def test_noise_is_as_strong_as_stated() -> None:
    grey_BCHW = torch.zeros(200, 1, 32, 32)
    deviation_B = (degrade(grey_BCHW, seeded(0), 1, noise=1.0) * 127.5).std(dim=(1, 2, 3))
    assert 0.9 < deviation_B.min() < 2.0
    assert 18.0 < deviation_B.max() < 21.0


def test_blur_smooths_and_keeps_the_mean(photo_BCHW: Tensor) -> None:
    blurred_BCHW = degrade(photo_BCHW, seeded(0), 1, blur=1.0)
    assert (blurred_BCHW.diff(dim=3).abs().mean(dim=(1, 2, 3)) < photo_BCHW.diff(dim=3).abs().mean(dim=(1, 2, 3))).all()
    torch.testing.assert_close(blurred_BCHW.mean(), photo_BCHW.mean(), rtol=0, atol=0.01)


def test_compression_is_near_pillow_s(photo_BCHW: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sides that do not divide by 16, quality 50: as far from the original as Pillow's, and near it."""
    monkeypatch.setattr("translate.data.degradation.QUALITY", (50.0, 50.0))
    small_BCHW = reduce_bicubic(photo_BCHW, 2)
    ours_BHWC = signal_to_pixels(_compressed(small_BCHW, seeded(0))).numpy().astype(float)
    for original_HWC, ours_HWC in zip(signal_to_pixels(small_BCHW).numpy(), ours_BHWC, strict=True):
        file = BytesIO()
        Image.fromarray(original_HWC).save(file, "JPEG", quality=50)
        theirs_HWC = np.asarray(Image.open(file)).astype(float)
        loss = np.abs(theirs_HWC - original_HWC).mean()
        assert np.abs(ours_HWC - original_HWC).mean() == pytest.approx(loss, rel=0.15)
        assert np.abs(ours_HWC - theirs_HWC).mean() < loss / 2


def test_jpeg_skips_what_is_not_colour(photo_BCHW: Tensor) -> None:
    grey_BCHW = photo_BCHW[:, :1]
    assert torch.equal(degrade(grey_BCHW, seeded(0), 2, jpeg=1.0), reduce_bicubic(grey_BCHW, 2))


def test_sixteen_bits_keep_what_eight_round_off(photo_BCHW: Tensor) -> None:
    for small_BCHW in (
        reduce_bicubic(photo_BCHW, 2, bits=16),
        degrade(photo_BCHW, seeded(0), 2, 0.5, 0.5, 0.5, bits=16),
    ):
        levels_BCHW = (small_BCHW.double() + 1.0) * 32767.5
        torch.testing.assert_close(levels_BCHW, levels_BCHW.round(), rtol=0, atol=0.01)
        assert len(small_BCHW.unique()) > 4096
    assert len(reduce_bicubic(photo_BCHW, 2).unique()) <= 256


def test_blur_asks_no_tensor_for_its_values(photo_BCHW: Tensor) -> None:
    """There are none on `meta`; on a GPU it would be waited for them."""
    assert degrade(photo_BCHW.to("meta"), seeded(0), 2, blur=0.5).shape == (8, 3, 36, 24)


@pytest.mark.gpu
def test_does_not_wait_for_the_device(photo_BCHW: Tensor) -> None:
    there_BCHW = photo_BCHW.cuda()
    degrade(there_BCHW, seeded(0), 2, 0.5, 0.5, 0.5)  # the first call fills kornia's tables
    torch.cuda.set_sync_debug_mode("error")
    try:
        degrade(there_BCHW, seeded(0), 2, 0.5, 0.5, 0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
