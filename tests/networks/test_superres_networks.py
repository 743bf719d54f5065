"""Generators that enlarge.

Shape suffixes: B batch, C channels, H height, W width.
"""

import pytest
import torch
from test_networks import assert_same_when_checkpointed, idle, multiplications, stirred
from torch.nn import functional as F

from translate.networks.residual_sr import ResidualSR
from translate.networks.srgan import SRResNet


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("scale", [2, 4])
def test_srresnet_shape_and_learning(scale: int) -> None:
    network = stirred(SRResNet(3, 2, scale, blocks=1, width=4))
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 2, 5 * scale, 7 * scale)
    result_BCHW = network(torch.rand(2, 3, 8, 6), None)
    assert result_BCHW.shape == (2, 2, 8 * scale, 6 * scale)
    result_BCHW.square().mean().backward()
    assert idle(network) == []
    assert (network.scale, network.size_multiple, network.receptive_field) == (scale, 1, None)


def test_srresnet_pictures_of_a_batch_do_not_meet() -> None:
    network = stirred(SRResNet(3, 3, 2, blocks=1, width=4)).train()
    x_BCHW = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(network(x_BCHW)[:1], network(x_BCHW[:1]), rtol=0, atol=1e-4)


def test_srresnet_has_as_many_weights_as_published() -> None:
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in SRResNet().parameters())
    assert abs(found - 1.55e6) < 0.01e6


def test_srresnet_other_scales() -> None:
    with pytest.raises(ValueError, match="scale is 3"):
        SRResNet(scale=3)


@pytest.mark.parametrize("scale", range(1, 9))
def test_residual_sr_starts_as_bicubic_enlargement(scale: int) -> None:
    network = ResidualSR(2, scale, blocks=1, width=4)
    x_BCHW = torch.rand(2, 2, 5, 7)
    enlarged_BCHW = F.interpolate(x_BCHW, size=(5 * scale, 7 * scale), mode="bicubic")
    torch.testing.assert_close(network(x_BCHW), enlarged_BCHW)
    if scale == 1:
        assert torch.equal(network(x_BCHW), x_BCHW)


def test_residual_sr_other_scales() -> None:
    for scale in (0, 9):
        with pytest.raises(ValueError, match=f"scale is {scale}"):
            ResidualSR(scale=scale)


def test_residual_sr_every_parameter_learns() -> None:
    network = stirred(ResidualSR(3, 3, blocks=2, width=4))
    network(torch.rand(1, 3, 6, 8), None).square().mean().backward()
    assert idle(network) == []


@pytest.mark.parametrize(("scale", "blocks"), [(1, 0), (1, 2), (2, 1), (3, 0), (4, 2)])
def test_residual_sr_receptive_field_is_exact(scale: int, blocks: int) -> None:
    network = stirred(ResidualSR(1, scale, blocks, width=4)).double()
    side = 2 * network.receptive_field + 1
    x_BCHW = torch.rand(1, 1, side, side).double().requires_grad_()
    for phase in range(scale):
        place = side // 2 * scale + phase
        (gradient_BCHW,) = torch.autograd.grad(network(x_BCHW)[0, 0, place, place], x_BCHW)
        touched = gradient_BCHW[0, 0].ne(0).nonzero()
        reach = network.receptive_field // 2
        assert touched.min(dim=0).values.tolist() == [side // 2 - reach] * 2
        assert touched.max(dim=0).values.tolist() == [side // 2 + reach] * 2


def test_residual_sr_is_small_and_costs_little() -> None:
    network = ResidualSR()
    assert sum(parameter.numel() for parameter in network.parameters()) <= 1.2e6
    assert multiplications(network, 64) <= 6.0


def test_residual_sr_pictures_of_a_batch_do_not_meet() -> None:
    network = stirred(ResidualSR(3, 2, blocks=1, width=4))
    x_BCHW = torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(network(x_BCHW)[:1], network(x_BCHW[:1]))


def test_residual_sr_checkpointing_changes_nothing() -> None:
    plain = stirred(ResidualSR(3, 2, blocks=2, width=4))
    checkpointed = ResidualSR(3, 2, blocks=2, width=4, checkpoint=True)
    assert_same_when_checkpointed(plain, checkpointed, torch.rand(1, 3, 8, 8))
