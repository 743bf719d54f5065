import pytest
import torch
from kornia.filters import sobel

from translate.metrics.gradient_correlation import gradient_correlation


def noise(seed: int) -> torch.Tensor:
    return torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(seed))


def test_equal_darker_and_inverted_pictures_keep_every_edge() -> None:
    picture_B3HW = noise(0)
    for changed_B3HW in (picture_B3HW, 0.3 * picture_B3HW, 1.0 - picture_B3HW):
        assert gradient_correlation(picture_B3HW, changed_B3HW).item() == pytest.approx(1.0, abs=1e-4)


def test_value_equals_numpy_s_correlation() -> None:
    first, second = noise(0), (noise(0) + noise(1)) / 2
    weight_311 = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    edges = [sobel((picture * weight_311).sum(1, keepdim=True)).flatten().double() for picture in (first, second)]
    expected = torch.corrcoef(torch.stack(edges))[0, 1].item()
    assert 0.1 < expected < 0.9
    assert gradient_correlation(first, second).item() == pytest.approx(expected, abs=1e-6)


def test_unrelated_pictures_are_near_zero() -> None:
    assert abs(gradient_correlation(noise(0), noise(1)).item()) < 0.15


def test_a_flat_picture_has_no_structure_to_keep() -> None:
    flat_B3HW = torch.full((1, 3, 24, 32), 0.5)
    assert gradient_correlation(noise(0), flat_B3HW).item() == 0.0
    assert gradient_correlation(flat_B3HW, flat_B3HW).item() == 0.0


def test_pictures_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="paired"):
        gradient_correlation(noise(0), noise(0)[..., :16])
