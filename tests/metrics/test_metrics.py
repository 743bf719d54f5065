import os
from collections.abc import Callable
from math import isfinite, log10, pi
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from translate.errors import ModelError
from translate.metrics.drawing import chroma, line_contrast
from translate.metrics.fidelity import PSNR_CAP, _luma, psnr, psnr_luma, ssim
from translate.metrics.learned import Name, frechet_distance, kernel_distance, missing, perceptual_distance, score
from translate.metrics.wasserstein import (
    _halving,
    _pyramid,
    mean_distance,
    sliced_distance,
    sliced_wasserstein,
)


def _drawing() -> torch.Tensor:
    """One vertical line in the middle of a white 16 x 16 sheet."""
    sketch_B3HW = torch.ones(1, 3, 16, 16)
    sketch_B3HW[..., 8] = 0.0
    return sketch_B3HW


def test_line_contrast_by_hand() -> None:
    # A step at column 8: Sobel (normalised by 8) answers 0.5 in columns 7 and 8, so the 5-wide maximum is 0.5 in
    # columns 5 to 10. On the line it is 0.5; off it, 5 of 15 columns have 0.5: the ratio is 15 / 5. Sobel adds a
    # small constant under its root, hence the tolerance.
    result_B3HW = torch.zeros(1, 3, 16, 16)
    result_B3HW[..., 8:] = 1.0
    assert line_contrast(_drawing(), result_B3HW).item() == pytest.approx(3.0, abs=0.02)


def test_line_contrast_of_a_picture_that_ignores_the_drawing() -> None:
    noise_B3HW = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    sketch_B3HW = (
        (torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(1)) > 0.1).float().expand(-1, 3, -1, -1)
    )
    assert torch.allclose(line_contrast(sketch_B3HW, noise_B3HW), torch.ones(4), atol=0.03)


def test_line_contrast_without_lines_or_edges_is_one() -> None:
    assert line_contrast(torch.ones(1, 3, 16, 16), torch.rand(1, 3, 16, 16)).item() == 1.0


def test_chroma_by_hand() -> None:
    result_B3HW = torch.ones(2, 3, 4, 4)
    result_B3HW[1, :, :2] = torch.tensor([0.8, 0.5, 0.2])[:, None, None]
    assert chroma(result_B3HW).tolist() == pytest.approx([0.0, 0.6])


def blurred(picture_BCHW: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        picture_BCHW = F.avg_pool2d(F.pad(picture_BCHW, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return picture_BCHW


def random_pictures(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_psnr_by_hand() -> None:
    truth_BCHW = torch.zeros(3, 3, 4, 4)
    result_BCHW = torch.stack([truth_BCHW[0], truth_BCHW[0] + 0.1, truth_BCHW[0]])
    result_BCHW[2, 0, 0, 0] = 1.0
    assert psnr(result_BCHW, truth_BCHW).tolist() == pytest.approx([PSNR_CAP, 20.0, 10 * log10(48)])


def test_psnr_of_almost_equal_pictures_is_capped() -> None:
    assert psnr(torch.full((1, 1, 4, 4), 1e-6), torch.zeros(1, 1, 4, 4)).tolist() == [PSNR_CAP]


def test_psnr_luma_by_hand() -> None:
    truth_B3HW = torch.zeros(2, 3, 8, 8)
    result_B3HW = truth_B3HW.clone()
    result_B3HW[:, 1, 2:-2, 2:-2] = 0.2  # green only
    result_B3HW[1, :, :2] = 1.0  # in the border, which does not count
    expected = -20 * log10(0.2 * 128.553 / 255)
    assert psnr_luma(result_B3HW, truth_B3HW, 2).tolist() == pytest.approx([expected, expected], rel=1e-5)
    assert (psnr_luma(result_B3HW, truth_B3HW, 0) != psnr_luma(result_B3HW, truth_B3HW, 2)).all()


def test_luma_of_black_and_white() -> None:
    assert _luma(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(-1, 3, 1, 1)).flatten().tolist() == pytest.approx(
        [16 / 255, 235 / 255]
    )


@pytest.mark.parametrize(("channels", "border"), [(1, 0), (3, 4), (3, -1)])
def test_psnr_luma_refuses_what_it_cannot_shave(channels: int, border: int) -> None:
    picture_BCHW = torch.zeros(1, channels, 8, 12)
    with pytest.raises(ValueError, match="expected 3 channels"):
        psnr_luma(picture_BCHW, picture_BCHW, border)


def test_ssim_by_hand() -> None:
    # Flat pictures have no structure to differ in; what is left is the comparison of their means.
    result_BCHW = torch.tensor([0.5, 0.2, 0.0]).view(3, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    truth_BCHW = torch.tensor([0.5, 0.6, 1.0]).view(3, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    expected = [(2 * a * b + 1e-4) / (a * a + b * b + 1e-4) for a, b in ((0.5, 0.5), (0.2, 0.6), (0.0, 1.0))]
    assert ssim(result_BCHW, truth_BCHW).tolist() == pytest.approx(expected, abs=1e-4)


def test_ssim_one_number_a_picture() -> None:
    result_BCHW, truth_BCHW = random_pictures(3), random_pictures(3, seed=1)
    each = [ssim(result_BCHW[i : i + 1], truth_BCHW[i : i + 1]).item() for i in range(3)]
    assert ssim(result_BCHW, truth_BCHW).tolist() == pytest.approx(each, abs=1e-6)
    assert ssim(truth_BCHW, truth_BCHW).tolist() == pytest.approx([1.0] * 3)
    assert (ssim(blurred(truth_BCHW, 1), truth_BCHW) > ssim(blurred(truth_BCHW, 3), truth_BCHW)).all()


@pytest.mark.parametrize("metric", [psnr, ssim, perceptual_distance])
def test_pictures_are_paired(metric: Callable) -> None:
    with pytest.raises(ValueError, match="paired"):
        metric(random_pictures(2), random_pictures(1))


def test_sliced_distance_by_hand() -> None:
    # On a line every direction is +1 or -1: sorted, 0 1 4 and 2 2 6 differ by 2, 1 and 2.
    first_NK, second_NK = torch.tensor([[4.0], [0.0], [1.0]]), torch.tensor([[2.0], [6.0], [2.0]])
    assert sliced_distance(first_NK, second_NK, directions=5, generator=torch.Generator()) == pytest.approx(5 / 3)
    # In the plane, points moved by (3, 4): the mean of |5 cos| over all directions.
    cloud_NK = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    moved = sliced_distance(
        cloud_NK, cloud_NK + torch.tensor([3.0, 4.0]), directions=4000, generator=torch.Generator().manual_seed(0)
    )
    assert moved == pytest.approx(5 * 2 / pi, rel=0.05)


def test_sliced_wasserstein_levels() -> None:
    assert list(sliced_wasserstein(random_pictures(2, 64), random_pictures(2, 64, 1), directions=8)) == [64, 32, 16]
    wide_BCHW = torch.rand(2, 1, 50, 71)
    assert list(sliced_wasserstein(wide_BCHW, wide_BCHW, directions=8, smallest=8)) == [50, 25, 13]


def test_sliced_wasserstein_of_equal_sets_is_zero() -> None:
    picture_BCHW = random_pictures(4)
    assert sliced_wasserstein(picture_BCHW, picture_BCHW) == {32: 0.0, 16: 0.0}


def test_sliced_wasserstein_sees_brightness_and_contrast() -> None:
    truth_BCHW = random_pictures(8)
    same = sliced_wasserstein(truth_BCHW, truth_BCHW)
    darker = sliced_wasserstein(truth_BCHW - 0.3, truth_BCHW)
    coarsest = min(same)
    assert darker[coarsest] > 100.0  # thousandths of the truth's spread; the coarse level alone knows the mean
    assert all(darker[level] == pytest.approx(same[level], abs=1.0) for level in same if level != coarsest)
    flatter = sliced_wasserstein(0.5 * truth_BCHW, truth_BCHW)
    assert all(flatter[level] > 100.0 for level in flatter)


def test_sliced_wasserstein_is_seeded() -> None:
    first_BCHW, second_BCHW = random_pictures(4), blurred(random_pictures(4, seed=1), 1)
    there = sliced_wasserstein(first_BCHW, second_BCHW)
    assert sliced_wasserstein(first_BCHW, second_BCHW) == there
    assert sliced_wasserstein(first_BCHW, second_BCHW, seed=1) != there


def test_sliced_wasserstein_grows_with_blur() -> None:
    picture_BCHW = random_pictures(8)
    distances = [mean_distance(sliced_wasserstein(blurred(picture_BCHW, times), picture_BCHW)) for times in (0, 1, 3)]
    assert distances[0] < distances[1] < distances[2]


def test_sliced_wasserstein_of_unequal_counts() -> None:
    same = mean_distance(sliced_wasserstein(random_pictures(24), random_pictures(16, seed=1)))
    different = mean_distance(sliced_wasserstein(random_pictures(24), blurred(random_pictures(16, seed=1), 3)))
    assert 0.0 < 1.5 * same < different


def test_sliced_wasserstein_of_flat_pictures() -> None:
    flat_BCHW = torch.full((2, 3, 32, 32), 0.3)
    assert sliced_wasserstein(flat_BCHW, flat_BCHW) == {32: 0.0, 16: 0.0}
    assert isfinite(mean_distance(sliced_wasserstein(flat_BCHW, random_pictures(2))))


def test_sliced_wasserstein_refuses_unlike_and_small_pictures() -> None:
    with pytest.raises(ValueError, match="equal pictures"):
        sliced_wasserstein(random_pictures(1, 32), random_pictures(1, 64))
    with pytest.raises(ValueError, match="expected 7 to 8"):
        sliced_wasserstein(random_pictures(1, 8), random_pictures(1, 8))


def test_pyramid_adds_up_again() -> None:
    picture_BCHW = torch.rand(1, 2, 29, 40)
    fine, coarse = _pyramid(picture_BCHW, 14)
    up_H, up_W = _halving(29, fine)[1], _halving(40, fine)[1]
    torch.testing.assert_close(fine + up_H @ coarse @ up_W.T, picture_BCHW)
    # Halving keeps what is flat, doubling nearly so at the rim of an odd side.
    assert torch.allclose(_pyramid(torch.ones(1, 1, 29, 40), 14)[1], torch.ones(1))


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which torch looks for weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("lpips", "alexnet-owt-7be5be79.pth"),
        ("fid", "weights-inception-2015-12-05-6726825d.pth"),
        ("kid", "weights-inception-2015-12-05-6726825d.pth"),
    ],
)
def test_missing_weights_are_named(weights: Path, name: Name, file: str) -> None:
    message = missing(name)
    assert message is not None
    assert str(weights / file) in message
    assert f"/{file} as " in message
    assert "\n" not in message
    with pytest.raises(ModelError, match=file):
        score(name, random_pictures(2), random_pictures(2))
    assert not list(weights.iterdir())


def test_missing_package_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (weights / "weights-inception-2015-12-05-6726825d.pth").touch()
    monkeypatch.setattr("translate.metrics.learned.find_spec", lambda package: None)
    assert missing("fid") == "fid is not available here: install torchmetrics and install torch-fidelity"


def test_lpips_through_untrained_weights(weights: Path) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = torchvision.models.alexnet().state_dict()
    # The classifier is not used; one number, seen everywhere, keeps its 200 megabytes out of the file.
    state = {
        name: 0.05 * torch.randn(value.shape) if name.startswith("features") else torch.zeros(1).expand(value.shape)
        for name, value in shapes.items()
    }
    torch.save(state, weights / "alexnet-owt-7be5be79.pth")
    assert missing("lpips") is None
    truth_BCHW = random_pictures(2)
    assert score("lpips", truth_BCHW, truth_BCHW) == 0.0
    assert score("lpips", blurred(truth_BCHW, 1), truth_BCHW) > 0.0


def test_weights_that_are_code_are_refused(weights: Path) -> None:
    torch.save({"features.0.weight": Path("anything but a tensor")}, weights / "alexnet-owt-7be5be79.pth")
    with pytest.raises(UnpicklingError, match="weights_only"):
        score("lpips", random_pictures(1), random_pictures(1))
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


class Means(nn.Module):
    """Stands in for Inception: the mean of each channel."""

    num_features = 3

    def forward(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        assert pixels_B3HW.dtype == torch.uint8
        return pixels_B3HW.float().mean(dim=(2, 3)) / 255.0


def test_fid_by_hand() -> None:
    # Grey levels 0 and 2/255 against 4/255 and 6/255: variances are equal, means are 4/255 apart in each channel.
    levels_BCHW = torch.tensor([0.0, 2 / 255, 4 / 255, 6 / 255]).view(4, 1, 1, 1).expand(-1, 3, 8, 8)
    assert frechet_distance(levels_BCHW[:2], levels_BCHW[2:], Means()) == pytest.approx(3 * (4 / 255) ** 2, rel=1e-3)
    assert frechet_distance(levels_BCHW, levels_BCHW, Means()) == pytest.approx(0.0, abs=1e-6)


def test_kid_by_hand_and_repeatable() -> None:
    # Black against white: the cubic kernel is (x.y / 3 + 1)^3, which is 1 unless both are white, then 8.
    black_BCHW, white_BCHW = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    assert kernel_distance(black_BCHW, white_BCHW, Means()) == pytest.approx(1 + 8 - 2)
    before = torch.get_rng_state()
    first, again = (kernel_distance(random_pictures(5), random_pictures(3, seed=1), Means()) for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), before)
