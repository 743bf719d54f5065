"""The discriminator's augmentation: what each kind does, that source and target go together, and gradients.

Shape suffixes: B batch, C channels, H height, W width.
"""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from translate.networks.diff_augment import Kind, draw

KINDS: list[Kind] = ["colour", "translation", "cutout"]


def pictures(batch: int = 4, channels: int = 3, height: int = 16, width: int = 24) -> Tensor:
    """In [-1, 1] without any 0, so that 0 marks what was moved in or cut."""
    random = torch.Generator().manual_seed(0)
    picture_BCHW = torch.rand(batch, channels, height, width, generator=random) * 0.9 + 0.1
    return picture_BCHW * torch.where(torch.rand(picture_BCHW.shape, generator=random) < 0.5, -1.0, 1.0)


def test_no_kinds_change_nothing() -> None:
    picture_BCHW = pictures()
    augmentation = draw([], 4, 16, 24)
    assert torch.equal(augmentation(picture_BCHW), picture_BCHW)
    source_BCHW, target_BCHW = augmentation(picture_BCHW, -picture_BCHW)
    assert torch.equal(target_BCHW, picture_BCHW)
    assert torch.equal(source_BCHW, -picture_BCHW)


def test_seed_decides_and_kinds_do_not_disturb_each_other() -> None:
    outcomes = []
    for seed, kinds in ((1, KINDS), (1, KINDS), (2, KINDS), (1, KINDS[1:2])):
        torch.manual_seed(seed)
        outcomes.append(draw(kinds, 4, 16, 24))
    once, again, other, alone = outcomes
    assert torch.equal(once(pictures()), again(pictures()))
    assert not torch.equal(once(pictures()), other(pictures()))
    assert torch.equal(once.row_B1H1, alone.row_B1H1)


def test_colour_by_hand() -> None:
    torch.manual_seed(3)
    augmentation = draw(["colour"], 2, 1, 2)
    assert augmentation.colour_3B111 is not None
    brightness, saturation, contrast = augmentation.colour_3B111[:, 1].flatten().tolist()
    # Two pixels: (1, 0, -1) with mean 0 and (0.6, 0.6, 0.6).
    picture_BCHW = torch.tensor([[1.0, 0.6], [0.0, 0.6], [-1.0, 0.6]]).view(1, 3, 1, 2).repeat(2, 1, 1, 1)
    mean = brightness + 0.3
    # Each pixel is its grey plus its colour; the first one's colour is (1, 0, -1), the second one has none.
    expected_CW = torch.tensor(
        [[mean + contrast * (saturation * colour - 0.3), mean + contrast * 0.3] for colour in (1, 0, -1)]
    )
    torch.testing.assert_close(augmentation(picture_BCHW)[1, :, 0], expected_CW)


def test_colour_ranges() -> None:
    torch.manual_seed(0)
    colour_3B111 = draw(["colour"], 4000, 1, 1).colour_3B111
    assert colour_3B111 is not None
    for values, low, high in zip(colour_3B111.flatten(1), (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high


def test_colour_leaves_the_source_alone() -> None:
    source_BCHW, target_BCHW = draw(["colour"], 4, 16, 24)(pictures(), pictures())
    assert torch.equal(source_BCHW, pictures())
    assert not torch.equal(target_BCHW, pictures())


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_channel_count(channels: int) -> None:
    source_BCHW, target_BCHW = draw(KINDS, 4, 16, 24)(pictures(), pictures(channels=channels))
    assert target_BCHW.shape == (4, 3, 16, 24)
    assert source_BCHW.shape == (4, channels, 16, 24)


def test_translation_moves_whole_pixels() -> None:
    torch.manual_seed(0)
    picture_BCHW = pictures(batch=64)
    moved_BCHW = draw(["translation"], 64, 16, 24)(picture_BCHW)
    seen = set()
    for before, after in zip(picture_BCHW, moved_BCHW, strict=True):
        inside_HW = after[0] != 0
        rows, columns = inside_HW.any(dim=1).nonzero().flatten(), inside_HW.any(dim=0).nonzero().flatten()
        height, width = len(rows), len(columns)
        assert inside_HW.sum() == height * width
        # What moved in at the bottom is the top of the picture, and so on.
        down, right = (16 - height) * (1 if rows[0] > 0 else -1), (24 - width) * (1 if columns[0] > 0 else -1)
        expected = torch.roll(before, (down, right), (1, 2)) * inside_HW
        assert torch.equal(after, expected)
        seen.add((down, right))
    assert {down for down, _ in seen} == set(range(-2, 3))
    assert {right for _, right in seen} == set(range(-3, 4))


def test_cutout_is_half_a_side() -> None:
    torch.manual_seed(0)
    picture_BCHW = pictures(batch=256)
    cut_BCHW = draw(["cutout"], 256, 16, 24)(picture_BCHW)
    hole_BHW = (cut_BCHW == 0).all(dim=1)
    assert torch.equal(cut_BCHW, picture_BCHW * ~hole_BHW[:, None])
    heights, widths = hole_BHW.any(dim=2).sum(dim=1), hole_BHW.any(dim=1).sum(dim=1)
    assert torch.equal(hole_BHW.sum(dim=(1, 2)), heights * widths)
    assert (heights.min(), heights.max()) == (4, 8)  # half of it may lie outside
    assert (widths.min(), widths.max()) == (6, 12)
    assert hole_BHW.any(dim=0).all()


def test_source_and_target_move_alike() -> None:
    torch.manual_seed(0)
    source_BCHW, target_BCHW = draw(["translation", "cutout"], 4, 16, 24)(pictures(), pictures()[:, :1])
    assert torch.equal(source_BCHW, target_BCHW[:, :1])


def test_odd_and_tiny_sizes() -> None:
    for height, width in ((1, 1), (3, 5), (17, 9)):
        picture_BCHW = pictures(2, 3, height, width)
        assert draw(KINDS, 2, height, width)(picture_BCHW).shape == picture_BCHW.shape


def test_another_size_is_refused() -> None:
    augmentation = draw(["translation"], 4, 16, 24)
    with pytest.raises(ValueError, match="drawn for 4 of 16 x 24"):
        augmentation(pictures(width=32))
    with pytest.raises(ValueError, match="drawn for 4 of 16 x 24"):
        augmentation(pictures(batch=2))


def test_gradients() -> None:
    torch.manual_seed(0)
    augmentation = draw(KINDS, 2, 4, 5)
    picture_BCHW = pictures(2, 2, 4, 5).double().requires_grad_()
    assert gradcheck(augmentation, (picture_BCHW,))
    assert torch.autograd.gradgradcheck(lambda x: augmentation(x).square(), (picture_BCHW,))


@pytest.mark.gpu
def test_does_not_wait_for_the_device() -> None:
    picture_BCHW = pictures().cuda()
    torch.manual_seed(0)
    expected_BCHW = draw(KINDS, 4, 16, 24)(pictures())
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.manual_seed(0)
        augmented_BCHW = draw(KINDS, 4, 16, 24, "cuda")(picture_BCHW)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(augmented_BCHW.cpu(), expected_BCHW)
