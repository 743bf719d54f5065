"""Styles read off the colours, and numbers kept standard normal."""

import math

import pytest
import torch

from translate.networks.colour_style import PALE, ColourStyle, colour_style_size
from translate.networks.running_stats import RunningStats


def flat(*colour: float, side: int = 8) -> torch.Tensor:
    return torch.tensor(colour).view(1, -1, 1, 1).expand(1, len(colour), side, side).clone()


def test_means_of_opponent_colours_by_hand() -> None:
    red = ColourStyle(3)(flat(1.0, -1.0, -1.0))[0]
    expected = torch.tensor([-0.5, math.asinh(1.0 / PALE), math.asinh(-0.5 / PALE)])
    torch.testing.assert_close(red[:3], expected, atol=1e-5, rtol=0)
    assert red[3] == pytest.approx(0.001)  # no contrast


def test_spread_and_texture_by_hand() -> None:
    stripes = flat(0.5, side=9)
    stripes[..., ::3] = -0.5  # of every three columns two are 0.5
    mean, contrast, texture = ColourStyle(1)(stripes)[0]
    assert mean == pytest.approx(1 / 6)
    assert contrast == pytest.approx((2 / 9) ** 0.5)
    # Averages of three columns are 1/6, of the first two 0, of the last two 0.5.
    rough = (0.5 + 2 * 2 / 3 + 5 * 1 / 3 + 0.0) / 9
    assert texture == pytest.approx(math.log(rough / (2 / 9) ** 0.5))


def test_background_has_no_say() -> None:
    thing = flat(-0.2, 0.1, 0.3, side=8)
    framed = flat(1.0, 1.0, 1.0, side=32)
    framed[..., 8:16, 8:16] = thing
    alone, inside = (ColourStyle(3)(picture)[0, :4] for picture in (thing, framed))
    torch.testing.assert_close(inside, alone, atol=1e-5, rtol=0)


def test_blank_paper_is_finite_and_sizes_are_told() -> None:
    for channels in (1, 3, 4):
        style_BS = ColourStyle(channels)(torch.ones(2, channels, 8, 8))
        assert style_BS.shape == (2, colour_style_size(channels))
        assert style_BS.isfinite().all()


def test_becomes_standard_normal() -> None:
    torch.manual_seed(0)
    standard = RunningStats(2)
    values = torch.randn(4000, 2) * torch.tensor([0.1, 20.0]) + torch.tensor([5.0, -3.0])
    for part in values.split(4):
        standard.update(standard(part))
    seen = standard(values)
    assert seen.mean(dim=0).abs().max() < 0.3
    assert seen.std(dim=0).sub(1.0).abs().max() < 0.3


def test_what_never_varies_stays_finite() -> None:
    standard = RunningStats(1)
    for _ in range(2000):
        standard.update(standard(torch.full((4, 1), 2.0)))
    assert standard(torch.full((1, 1), 2.0)).abs().item() < 1.0
