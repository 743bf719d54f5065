import pytest
import torch

from translate.metrics.drawing import chroma, line_contrast


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
