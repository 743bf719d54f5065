import pytest
import torch

from translate.metrics.edge_agreement import TOLERANCE, edge_agreement, strong_edges


def paper(side: int = 32) -> torch.Tensor:
    return torch.ones(1, 3, side, side)


def step(column: int, side: int = 32) -> torch.Tensor:
    """Black left of the column, white from it on."""
    picture_B3HW = paper(side)
    picture_B3HW[..., :column] = 0.0
    return picture_B3HW


def line(column: int, side: int = 32) -> torch.Tensor:
    sketch_B3HW = paper(side)
    sketch_B3HW[..., column] = 0.0
    return sketch_B3HW


def test_one_edge_along_the_line_is_perfect() -> None:
    assert edge_agreement(line(16), step(16)).item() == pytest.approx(1.0, abs=1e-6)


def test_an_edge_counts_within_the_tolerance_and_no_further() -> None:
    (edge,) = strong_edges(step(16))[0, 0, 16].nonzero().flatten().tolist()
    assert edge_agreement(line(edge + TOLERANCE), step(16)).item() == pytest.approx(1.0, abs=1e-6)
    assert edge_agreement(line(edge + TOLERANCE + 1), step(16)).item() == 0.0


def test_half_of_the_lines_drawn_by_hand() -> None:
    # Two lines far apart and one edge: precision 1, recall 1/2, so F = 2 * 1 * 0.5 / 1.5.
    sketch_B3HW = line(16)
    sketch_B3HW[..., 28] = 0.0
    assert edge_agreement(sketch_B3HW, step(16)).item() == pytest.approx(2 / 3, abs=1e-6)


def test_weak_steps_are_no_edges() -> None:
    assert strong_edges(1.0 - 0.08 * step(16)).sum() == 0
    assert strong_edges(1.0 - 0.3 * step(16)).sum() == 32


def test_paper_without_lines_agrees_only_with_a_picture_without_edges() -> None:
    sketch_B3HW, result_B3HW = torch.cat([paper(), paper(), line(9)]), torch.cat([paper(), step(9), paper()])
    assert edge_agreement(sketch_B3HW, result_B3HW).tolist() == [1.0, 0.0, 0.0]


def test_pictures_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="paired"):
        edge_agreement(paper(32), paper(16))
