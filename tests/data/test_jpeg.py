"""Compression without a file: what Pillow's files lose, for every picture by itself.

Shape suffixes: B batch, C channels, H height, W width.
"""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from translate.data.jpeg import compress


@pytest.fixture(scope="module")
def picture_B3HW() -> Tensor:  # noqa: N802 - a fixture's name is its value's name
    """Three pictures of whole levels, smooth with a little noise; the sides are no multiples of 16."""
    generator = torch.Generator().manual_seed(0)
    coarse_B3HW = torch.rand(3, 3, 9, 12, generator=generator)
    noise_B3HW = 0.02 * torch.randn(3, 3, 70, 93, generator=generator)
    picture_B3HW = F.interpolate(coarse_B3HW, (70, 93), mode="bicubic") + noise_B3HW
    return (picture_B3HW.clamp(0, 1) * 255).round() / 255


def pixels(picture_3HW: Tensor) -> np.ndarray:
    return (picture_3HW * 255).round().byte().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_near_pillow_s(picture_B3HW: Tensor, quality: int) -> None:
    ours_B3HW = compress(picture_B3HW, torch.full((3,), float(quality)))
    for original_3HW, ours_3HW in zip(picture_B3HW, ours_B3HW, strict=True):
        file = BytesIO()
        Image.fromarray(pixels(original_3HW)).save(file, "JPEG", quality=quality)
        theirs_HWC, original_HWC, ours_HWC = (
            array.astype(float) for array in (np.asarray(Image.open(file)), pixels(original_3HW), pixels(ours_3HW))
        )
        loss = np.abs(theirs_HWC - original_HWC).mean()
        assert loss > 1
        assert np.abs(ours_HWC - theirs_HWC).mean() < 0.25 * loss + 0.4  # levels, of rounding
        assert np.abs(ours_HWC - original_HWC).mean() == pytest.approx(loss, rel=0.1)


def test_each_by_itself_in_any_memory_format(picture_B3HW: Tensor) -> None:
    quality_B = torch.tensor([10.0, 50.0, 95.0])
    together_B3HW = compress(picture_B3HW, quality_B)
    for number in range(3):
        alone_13HW = compress(picture_B3HW[number : number + 1], quality_B[number : number + 1])
        # A coefficient may round to its other side.
        assert (alone_13HW[0] - together_B3HW[number]).abs().mean() < 0.1 / 255
    turned_B3HW = compress(picture_B3HW.contiguous(memory_format=torch.channels_last), quality_B)
    assert (turned_B3HW - together_B3HW).abs().mean() < 0.1 / 255
    errors = (together_B3HW - picture_B3HW).abs().mean(dim=(1, 2, 3)).tolist()
    assert errors == sorted(errors, reverse=True)


def test_one_colour_stays() -> None:
    flat_B3HW = torch.tensor([0.9, 0.2, 0.4]).view(1, 3, 1, 1).expand(1, 3, 5, 9)
    assert (compress(flat_B3HW, torch.tensor([95.0])) - flat_B3HW).abs().max() < 2.5 / 255
