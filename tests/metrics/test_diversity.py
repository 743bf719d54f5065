import pytest
import torch

from translate.metrics.diversity import mean_pairwise_difference


def test_mean_over_all_pairs_by_hand() -> None:
    # Greys 0, 0.25 and 1: differences 0.25, 1 and 0.75, a third of 2.
    pictures = torch.tensor([0.0, 0.25, 1.0]).view(3, 1, 1, 1).expand(3, 3, 4, 5)
    assert mean_pairwise_difference(pictures) == pytest.approx(2 / 3, abs=1e-6)


def test_equal_pictures_have_none() -> None:
    assert mean_pairwise_difference(torch.rand(1, 3, 4, 4).expand(4, -1, -1, -1)) == 0.0


def test_one_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2"):
        mean_pairwise_difference(torch.zeros(1, 3, 4, 4))
