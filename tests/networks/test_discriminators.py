"""Judges and encoders: what they see, how many weights they have, how small a picture may be.

Shape suffixes: B batch, C channels, H height, W width.
"""

import pytest
import torch
from test_networks import idle, stirred
from torch import nn

from translate.networks.patchgan import DiscriminatorNorm, PatchGAN
from translate.networks.srgan import SRDiscriminator
from translate.networks.style_encoder import LOGVAR_LIMIT, StyleEncoder

NORMS: list[DiscriminatorNorm] = ["spectral", "instance", "instance-affine"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("layers", "patch", "scores"), [(1, 16, 30), (2, 34, 14), (3, 70, 6), (4, 142, 2)])
def test_patchgan_patch_and_shapes(layers: int, patch: int, scores: int) -> None:
    network = PatchGAN(6, 4, layers).double().eval()
    side = 64
    verdict = network(torch.rand(2, 6, side, side).double())
    assert [tuple(one.shape) for one in verdict.scores] == [(2, 1, scores, scores)]
    widths = [4 * min(2**level, 8) for level in range(layers + 1)]
    sides = [side // 2 ** (level + 1) for level in range(layers)]
    assert [tuple(feature.shape) for feature in verdict.features] == [
        (2, width, one_side, one_side) for width, one_side in zip(widths, [*sides, sides[-1] - 1], strict=True)
    ]
    x_BCHW = torch.rand(1, 6, 2 * patch, 2 * patch).double().requires_grad_()
    scores_B1HW = network(x_BCHW).scores[0]
    middle = scores_B1HW.shape[-1] // 2
    scores_B1HW[0, 0, middle, middle].backward()
    touched = x_BCHW.grad[0].ne(0).any(dim=0)
    assert (int(touched.any(dim=0).sum()), int(touched.any(dim=1).sum())) == (patch, patch)


@pytest.mark.parametrize("norm", NORMS)
def test_patchgan_every_parameter_learns(norm: DiscriminatorNorm) -> None:
    network = stirred(PatchGAN(6, 4, 2, scales=2, norm=norm))
    scores = network(torch.rand(2, 6, 32, 32)).scores
    sum(one.square().mean() for one in scores).backward()
    assert idle(network) == []


def test_patchgan_is_bounded_in_slope() -> None:
    """Spectral normalisation: a hundred times larger weights do not change the score."""
    network = PatchGAN(6, 4, 2).eval()
    x_BCHW = torch.rand(2, 6, 32, 32)
    with torch.no_grad():
        before_B1HW = network(x_BCHW).scores[0]
        network.scales[0].score.parametrizations.weight.original.mul_(100.0)
        after_B1HW = network(x_BCHW).scores[0]
    torch.testing.assert_close(before_B1HW, after_B1HW, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "norm", "expected"), [(6, "instance-affine", 2_768_705), (3, "instance", 2_764_737)]
)
def test_patchgan_has_as_many_weights_as_the_classics(channels: int, norm: DiscriminatorNorm, expected: int) -> None:
    assert parameters(PatchGAN(channels, 64, 3, norm=norm)) == expected


def test_patchgan_scales_judge_the_halved_picture_with_their_own_weights() -> None:
    network = PatchGAN(3, 4, 1, scales=3).eval()
    x_BCHW = torch.rand(2, 3, 40, 24)
    verdict = network(x_BCHW)
    halved_BCHW = nn.functional.avg_pool2d(x_BCHW, 2)
    scores_B1HW, features = network.scales[1](halved_BCHW)
    assert torch.equal(verdict.scores[1], scores_B1HW)
    assert torch.equal(verdict.features[2], features[0])
    assert [tuple(one.shape[2:]) for one in verdict.scores] == [(18, 10), (8, 4), (3, 1)]
    assert len(verdict.features) == 6
    assert not torch.equal(network.scales[0](halved_BCHW)[0], scores_B1HW)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("layers", "scales"), [(1, 1), (2, 1), (3, 1), (2, 2), (1, 3)])
def test_patchgan_smallest_size_is_tight(layers: int, scales: int, norm: DiscriminatorNorm) -> None:
    network = PatchGAN(3, 4, layers, scales, norm)
    side = network.smallest_size
    assert network(torch.rand(1, 3, side, side)).scores[-1].shape == (1, 1, 1, 1)
    with pytest.raises(RuntimeError, match="Kernel size"):
        network(torch.rand(1, 3, side, side - 1))


@pytest.mark.parametrize("norm", NORMS)
def test_patchgan_pictures_of_a_batch_do_not_meet(norm: DiscriminatorNorm) -> None:
    network = PatchGAN(3, 4, 2, norm=norm).train()
    x_BCHW = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        for _ in range(30):  # the power iteration of the spectral norm, which runs in training, settles
            network(x_BCHW)
        torch.testing.assert_close(network(x_BCHW).scores[0][:1], network(x_BCHW[:1]).scores[0], rtol=1e-3, atol=1e-4)


def test_patchgan_unknown_norm() -> None:
    with pytest.raises(ValueError, match="norm is 'batch'"):
        PatchGAN(norm="batch")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("rows", "columns"), [(96, 96), (17, 40)])
def test_sr_discriminator_judges_crops_of_any_size(rows: int, columns: int) -> None:
    network = SRDiscriminator(3, 2)
    verdict = network(torch.rand(2, 3, rows, columns))
    assert [tuple(one.shape) for one in verdict.scores] == [(2, 1, 1, 1)]
    assert [feature.shape[1] for feature in verdict.features] == [2, 2, 4, 4, 8, 8, 16, 16]
    assert verdict.features[-1].shape[2:] == (-(-rows // 16), -(-columns // 16))
    verdict.scores[0].square().mean().backward()
    assert idle(network) == []


def test_sr_discriminator_smallest_size_is_tight() -> None:
    network = SRDiscriminator(3, 2)
    side = network.smallest_size
    network(torch.rand(1, 3, side, side))
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        network(torch.rand(1, 3, side - 1, side - 1))


@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (40, 70)])
def test_style_encoder(rows: int, columns: int) -> None:
    network = stirred(StyleEncoder(3, 4, style_size=5))
    x_BCHW = torch.rand(2, 3, rows, columns)
    mean_BS, logvar_BS = network(x_BCHW)
    assert mean_BS.shape == logvar_BS.shape == (2, 5)
    (mean_BS + logvar_BS).square().mean().backward()
    assert idle(network) == []
    torch.testing.assert_close(network(x_BCHW[:1])[0], mean_BS[:1])


def test_style_encoder_centres_and_scales_what_it_has_seen() -> None:
    torch.manual_seed(0)
    network = stirred(StyleEncoder(3, 4, style_size=2))
    network.head.bias.data.copy_(torch.tensor([3.0, -0.5, -1.0, 2.0]))
    network.head.weight.data.mul_(20.0)
    pictures_BCHW = torch.rand(64, 3, 32, 32) * torch.linspace(0.1, 3.0, 64).view(-1, 1, 1, 1)
    with torch.no_grad():
        for _ in range(10):
            for part_BCHW in pictures_BCHW.split(1):
                network.update(*network(part_BCHW))
        mean_BS, logvar_BS = network(pictures_BCHW)
    assert mean_BS.mean(dim=0).abs().max() < 0.5
    total_S = (mean_BS.square() + logvar_BS.exp()).mean(dim=0)
    assert total_S.min() > 0.6
    assert total_S.max() < 1.6


def test_style_encoder_variance_is_bounded_softly() -> None:
    network = StyleEncoder(3, 4, style_size=1)
    network.head.bias.data.fill_(25.0)
    _, logvar_BS = network(torch.rand(1, 3, 32, 32))
    assert 0.99 * LOGVAR_LIMIT < logvar_BS.item() <= LOGVAR_LIMIT
    logvar_BS.sum().backward()
    assert float(network.head.bias.grad[1]) > 0
