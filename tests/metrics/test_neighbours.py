import numpy as np
import pytest

from translate.metrics import neighbours
from translate.metrics.neighbours import nearest_neighbours


def test_nearest_row_and_distance_by_hand() -> None:
    known_ND = np.array([[0, 0], [30, 40], [255, 255]], np.uint8)
    asked_ND = np.array([[0, 0], [27, 36], [250, 255]], np.uint8)
    row_N, distance_N = nearest_neighbours(known_ND, asked_ND)
    assert row_N.tolist() == [0, 1, 2]
    # sqrt((9 + 16) / 2), sqrt(25 / 2)
    assert distance_N.tolist() == pytest.approx([0.0, 12.5**0.5, 12.5**0.5], abs=1e-9)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    known_ND, asked_ND = (random.integers(0, 256, (count, 48), dtype=np.uint8) for count in (23, 5))
    whole = nearest_neighbours(known_ND, asked_ND)
    monkeypatch.setattr(neighbours, "_ROWS", 4)
    for one, other in zip(whole, nearest_neighbours(known_ND, asked_ND), strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("known", [np.zeros((0, 4), np.uint8), np.zeros((2, 5), np.uint8)])
def test_nothing_known_or_other_lengths_are_refused(known: np.ndarray) -> None:
    with pytest.raises(ValueError, match="equal length"):
        nearest_neighbours(known, np.zeros((1, 4), np.uint8))
