import pytest
import torch
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

from translate.metrics.multiscale import LEAST_SIDE, ms_ssim


def noise(seed: int, side: int = LEAST_SIDE) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_equal_pictures_have_one() -> None:
    assert ms_ssim(noise(0), noise(0)).item() == pytest.approx(1.0, abs=1e-6)


def test_value_equals_that_of_torchmetrics_and_pictures_are_apart() -> None:
    first, second = torch.cat([noise(0), noise(2)]), torch.cat([(noise(0) + noise(1)) / 2, noise(2)])
    found_B = ms_ssim(first, second)
    other = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0, normalize="relu")
    assert found_B[0].item() == pytest.approx(other(first[:1], second[:1]).item(), abs=1e-6)
    assert found_B[1].item() == pytest.approx(1.0, abs=1e-6)
    assert 0.1 < found_B[0].item() < 0.9


def test_too_small_and_unequal_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="sides of"):
        ms_ssim(noise(0, LEAST_SIDE - 1), noise(0, LEAST_SIDE - 1))
    with pytest.raises(ValueError, match="paired"):
        ms_ssim(noise(0), noise(0)[:, :1])
