"""Shapes, gradients, receptive fields, and what must not differ between training, evaluation and tiles.

Shape suffixes: B batch, C channels, H height, W width.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from translate.networks.patchgan import PatchGAN
from translate.networks.pixels import PixelTranslator, pixels_to_signal, signal_to_pixels
from translate.networks.unet import ChannelNorm, ResidualBlock, UNet

NETWORKS: dict[str, Callable[[], UNet]] = {
    "one level": lambda: UNet(3, 3, (8,), 1, 4),
    "two levels": lambda: UNet(3, 3, (8, 12), 1, 4),
    "three levels, two blocks": lambda: UNet(3, 3, (4, 6, 8), 2, 4),
    "one channel in, two out": lambda: UNet(1, 2, (8, 8), 1, 4),
}


def stirred(network: nn.Module) -> nn.Module:
    """The network with every weight random: some start at zero, where nothing would be seen of them."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def unet(request: pytest.FixtureRequest) -> UNet:
    return stirred(request.param())


def pictures(network: UNet, batch: int, rows: int, columns: int) -> Tensor:
    return torch.rand(batch, network.stem.in_channels, rows, columns) * 2 - 1


def test_unet_shape(unet: UNet) -> None:
    step = unet.size_multiple
    result_BCHW = unet(pictures(unet, 2, 2 * step, 3 * step))
    assert result_BCHW.shape == (2, unet.out.out_channels, 2 * step, 3 * step)
    assert result_BCHW.isfinite().all()


def test_unet_every_parameter_learns(unet: UNet) -> None:
    step = unet.size_multiple
    unet(pictures(unet, 2, 2 * step, 2 * step)).square().mean().backward()
    idle = [name for name, value in unet.named_parameters() if value.grad is None or not value.grad.any()]
    assert idle == []


def test_residual_block_starts_as_the_identity() -> None:
    x_BCHW = torch.randn(1, 4, 5, 5)
    assert torch.equal(ResidualBlock(4)(x_BCHW), x_BCHW)


def test_channel_norm_by_hand() -> None:
    x_BCHW = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1)
    norm = ChannelNorm(2)
    norm.gain.data = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    root_mean_square = 12.5**0.5
    expected = torch.tensor([3.0, -8.0]).view(1, 2, 1, 1) / root_mean_square
    torch.testing.assert_close(norm(x_BCHW), expected)
    assert not norm(torch.zeros(1, 2, 1, 1)).any()


def reach(network: UNet, *, rows: bool) -> tuple[int, int, int]:
    """Farthest input row (or column) before and after an output one that it depends on, and the widest span.

    Gradients in float64 with smooth activations: a true dependence is never exactly zero.
    """
    network = network.double()
    step = network.size_multiple
    length = (2 * network.receptive_field // step + 4) * step
    before = after = span = 0
    for offset in range(step):
        shape = (length, step) if rows else (step, length)
        x_BCHW = pictures(network, 1, *shape).double().requires_grad_()
        y_BCHW = network(x_BCHW)
        middle = length // 2 + offset
        (y_BCHW[:, :, middle] if rows else y_BCHW[:, :, :, middle]).sum().backward()
        touched = x_BCHW.grad[0].ne(0).any(dim=0).any(dim=1 if rows else 0).nonzero().flatten()
        first, last = int(touched[0]), int(touched[-1])
        before, after, span = max(before, middle - first), max(after, last - middle), max(span, last - first + 1)
    return before, after, span


@pytest.mark.parametrize("rows", [True, False], ids=["rows", "columns"])
def test_unet_receptive_field_is_a_tight_bound(unet: UNet, rows: bool) -> None:
    before, after, span = reach(unet, rows=rows)
    declared = unet.receptive_field
    assert span <= declared
    # A tile's margin is half of the field on either side, so no side may reach farther.
    assert max(before, after) <= declared // 2
    assert span >= declared // 2


def test_unet_changed_pixel_stays_within_the_field() -> None:
    unet = stirred(UNet(3, 3, (8, 12), 1, 4))
    side = 4 * unet.size_multiple * -(-unet.receptive_field // unet.size_multiple) // 2
    x_BCHW = pictures(unet, 1, side, side)
    changed_BCHW = x_BCHW.clone()
    row, column = side // 2 + 1, side // 2 - 2
    changed_BCHW[:, :, row, column] += 1.0
    with torch.no_grad():
        places = (unet(x_BCHW) != unet(changed_BCHW)).any(dim=1)[0].nonzero()
    assert len(places) > 100
    assert (places - torch.tensor([row, column])).abs().max() <= unet.receptive_field // 2


def test_unet_same_in_training_and_evaluation(unet: UNet) -> None:
    x_BCHW = pictures(unet, 2, 4 * unet.size_multiple, 4 * unet.size_multiple)
    with torch.no_grad():
        assert torch.equal(unet.train()(x_BCHW), unet.eval()(x_BCHW))


def test_unet_pictures_of_a_batch_do_not_meet(unet: UNet) -> None:
    x_BCHW = pictures(unet, 3, 4 * unet.size_multiple, 4 * unet.size_multiple)
    with torch.no_grad():
        torch.testing.assert_close(unet(x_BCHW)[1:2], unet(x_BCHW[1:2]), rtol=0, atol=1e-5)


def test_unet_tile_equals_whole() -> None:
    unet = stirred(UNet(3, 3, (8, 12), 1, 4)).eval()
    step = unet.size_multiple
    margin = -(-(unet.receptive_field // 2) // step) * step
    top, left, tile = 5 * step, 3 * step, 2 * margin + 8 * step
    x_BCHW = pictures(unet, 1, top + tile + 6 * step, left + tile + 4 * step)
    with torch.no_grad():
        whole_BCHW = unet(x_BCHW)[:, :, top : top + tile, left : left + tile]
        tile_BCHW = unet(x_BCHW[:, :, top : top + tile, left : left + tile])
    inner = slice(margin, tile - margin)
    torch.testing.assert_close(tile_BCHW[:, :, inner, inner], whole_BCHW[:, :, inner, inner], rtol=0, atol=1e-5)
    assert (tile_BCHW - whole_BCHW).abs().max() > 1e-3  # the border does differ, so the margin matters


@pytest.mark.parametrize(("layers", "patch", "scores"), [(1, 16, 30), (2, 34, 14), (3, 70, 6), (4, 142, 2)])
def test_patchgan_patch_and_shapes(layers: int, patch: int, scores: int) -> None:
    network = PatchGAN(6, 4, layers).double().eval()
    side = 64
    scores_B1HW, features = network(torch.rand(2, 3, side, side).double(), torch.rand(2, 3, side, side).double())
    assert scores_B1HW.shape == (2, 1, scores, scores)
    widths = [4 * min(2**level, 8) for level in range(layers + 1)]
    sides = [side // 2 ** (level + 1) for level in range(layers)]
    assert [tuple(feature.shape) for feature in features] == [
        (2, width, one_side, one_side) for width, one_side in zip(widths, [*sides, sides[-1] - 1], strict=True)
    ]
    source_BCHW = torch.rand(1, 3, 2 * patch, 2 * patch).double().requires_grad_()
    scores_B1HW, _ = network(source_BCHW, torch.rand(1, 3, 2 * patch, 2 * patch).double())
    middle = scores_B1HW.shape[-1] // 2
    scores_B1HW[0, 0, middle, middle].backward()
    touched = source_BCHW.grad[0].ne(0).any(dim=0)
    assert (int(touched.any(dim=0).sum()), int(touched.any(dim=1).sum())) == (patch, patch)


def test_patchgan_every_parameter_learns() -> None:
    network = PatchGAN(6, 4, 2)
    scores_B1HW, _ = network(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
    scores_B1HW.square().mean().backward()
    idle = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert idle == []


def test_patchgan_is_bounded_in_slope() -> None:
    """Spectral normalisation: a hundred times larger weights do not change the score."""
    network = PatchGAN(6, 4, 2).eval()
    source_BCHW, target_BCHW = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before_B1HW, _ = network(source_BCHW, target_BCHW)
        network.score.parametrizations.weight.original.mul_(100.0)
        after_B1HW, _ = network(source_BCHW, target_BCHW)
    torch.testing.assert_close(before_B1HW, after_B1HW, rtol=1e-4, atol=1e-5)


class Repeat(nn.Module):
    """A generator that insists on its size multiple and repeats every pixel `scale` times."""

    def __init__(self, multiple: int, scale: int = 1):
        super().__init__()
        self.multiple, self.scale = multiple, scale

    def forward(self, x_BCHW: Tensor) -> Tensor:
        assert x_BCHW.shape[2] % self.multiple == 0
        assert x_BCHW.shape[3] % self.multiple == 0
        return x_BCHW.repeat_interleave(self.scale, dim=2).repeat_interleave(self.scale, dim=3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 13), (8, 8), (16, 24), (17, 15)])
@pytest.mark.parametrize(("multiple", "scale"), [(1, 1), (8, 1), (4, 2)])
def test_pixel_translator_sizes(size: tuple[int, int], multiple: int, scale: int) -> None:
    image_NHWC = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    result_NHWC = PixelTranslator(Repeat(multiple, scale), multiple, scale)(image_NHWC)
    expected_NHWC = image_NHWC.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
    assert result_NHWC.dtype == torch.uint8
    assert torch.equal(result_NHWC, expected_NHWC)


def test_pixel_translator_with_the_default_family() -> None:
    unet = stirred(UNet(3, 3, (8, 8), 1, 4)).eval()
    image_NHWC = torch.randint(0, 256, (2, 5, 11, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert PixelTranslator(unet, unet.size_multiple)(image_NHWC).shape == image_NHWC.shape


def test_pixels_round_trip_exactly() -> None:
    pixels_BHWC = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(2, -1, -1, 3)
    signal_BCHW = pixels_to_signal(pixels_BHWC)
    assert signal_BCHW.shape == (2, 3, 16, 16)
    assert (float(signal_BCHW.min()), float(signal_BCHW.max())) == (-1.0, 1.0)
    assert torch.equal(signal_to_pixels(signal_BCHW), pixels_BHWC)


def test_signal_is_clamped_and_rounded() -> None:
    signal_BCHW = torch.tensor([-7.0, -1.001, -0.5, 0.0, 0.5, 1.001, 7.0]).view(1, 1, 1, 7)
    assert signal_to_pixels(signal_BCHW).flatten().tolist() == [0, 0, 64, 128, 191, 255, 255]
