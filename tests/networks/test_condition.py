"""Labels and styles as numbers for the generator and planes for the discriminator.

Shape suffixes: B batch, C channels, H height, W width.
"""

import torch

from translate.networks.condition import condition_vector, label_planes

CPU = torch.device("cpu")


def test_label_then_style() -> None:
    found = condition_vector(3, 2, torch.tensor([2, 0]), torch.tensor([[0.5, -1.0], [2.0, 3.0]]), CPU)
    assert found is not None
    assert found.tolist() == [[0, 0, 1, 0.5, -1.0], [1, 0, 0, 2.0, 3.0]]
    assert found.dtype == torch.float32


def test_neither_is_nothing() -> None:
    assert condition_vector(0, 0, torch.tensor([0]), None, CPU) is None


def test_one_part_alone() -> None:
    labels = condition_vector(2, 0, torch.tensor([1]), torch.rand(1, 5), CPU)
    styles = condition_vector(0, 2, torch.tensor([1]), torch.tensor([[4.0, 5.0]]), CPU)
    assert labels is not None
    assert styles is not None
    assert (labels.tolist(), styles.tolist()) == ([[0, 1]], [[4, 5]])


def test_missing_parts_are_the_first_label_and_the_zero_style() -> None:
    nothing = condition_vector(2, 3, None, None, CPU)
    assert nothing is not None
    assert nothing.tolist() == [[1, 0, 0, 0, 0]]
    no_style = condition_vector(2, 3, torch.tensor([1, 0]), None, CPU)
    assert no_style is not None
    assert no_style.tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    no_label = condition_vector(2, 1, None, torch.tensor([[5.0], [6.0], [7.0]]), CPU)
    assert no_label is not None
    assert no_label.tolist() == [[1, 0, 5], [1, 0, 6], [1, 0, 7]]


def test_gradients_reach_the_style() -> None:
    style_BS = torch.rand(2, 3, requires_grad=True)
    found = condition_vector(2, 3, torch.tensor([0, 1]), style_BS, CPU)
    assert found is not None
    found.sum().backward()
    assert torch.equal(style_BS.grad, torch.ones(2, 3))


def test_label_planes() -> None:
    like_BCHW = torch.rand(2, 5, 3, 4, dtype=torch.float64)
    planes_BLHW = label_planes(torch.tensor([2, 0]), 3, like_BCHW)
    assert planes_BLHW.shape == (2, 3, 3, 4)
    assert planes_BLHW.dtype == torch.float64
    assert planes_BLHW.flatten(2).amin(dim=2).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert planes_BLHW.flatten(2).amax(dim=2).tolist() == [[0, 0, 1], [1, 0, 0]]
