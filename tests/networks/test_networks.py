"""The default generator and pixels: what must not differ between training, evaluation and tiles.

Shape suffixes: B batch, C channels, D condition size, H height, W width.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from translate.networks.pixels import PixelTranslator, pixels_to_signal, signal_to_pixels
from translate.networks.unet import BilinearUpsampling, ChannelNorm, Padding, ResidualBlock, UNet, Upsampling

NETWORKS: dict[str, Callable[[], UNet]] = {
    "one level": lambda: UNet(3, 3, (8,), 1, 4),
    "two levels": lambda: UNet(3, 3, (8, 12), 1, 4),
    "three levels, two blocks": lambda: UNet(3, 3, (4, 6, 8), 2, 4),
    "one channel in, two out": lambda: UNet(1, 2, (8, 8), 1, 4),
    "replicate padding": lambda: UNet(3, 3, (8, 12), 1, 4, padding="replicate"),
    "bilinear upsampling": lambda: UNet(3, 3, (4, 6, 8), 2, 4, upsampling="bilinear"),
    "bilinear upsampling, one level": lambda: UNet(3, 3, (8,), 1, 4, padding="replicate", upsampling="bilinear"),
}


def stirred(network: nn.Module) -> nn.Module:
    """The network with every weight random: some start at zero, where nothing would be seen of them."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def idle(network: nn.Module) -> list[str]:
    """Names of the parameters without a gradient."""
    return [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]


def multiplications(network: nn.Module, side: int) -> float:
    """Multiply-accumulate operations of one square picture, in units of 10**9."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network.to("meta")(torch.zeros(1, 3, side, side))
    return counter.get_total_flops() / 2e9


def assert_same_when_checkpointed(plain: nn.Module, checkpointed: nn.Module, *inputs: Tensor) -> None:
    """Same output and gradients, although fewer values are kept for the backward pass."""
    checkpointed.load_state_dict(plain.state_dict())
    results, kept = [], []
    for network in (plain, checkpointed):
        sizes: list[int] = []

        def keep(saved: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(saved.numel())
            return saved

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            results.append(network.train()(*inputs))
        results[-1].square().mean().backward()
        kept.append(sum(sizes))
    assert kept[1] < kept[0]
    torch.testing.assert_close(results[1], results[0])
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)


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
    assert idle(unet) == []


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


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_unet_tile_equals_whole(upsampling: Upsampling) -> None:
    unet = stirred(UNet(3, 3, (8, 12), 1, 4, upsampling=upsampling)).eval()
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


def test_unet_costs_little_at_256_pixels() -> None:
    nearest, bilinear = (multiplications(UNet(upsampling=upsampling), 256) for upsampling in ("nearest", "bilinear"))
    assert nearest <= 6.0
    assert bilinear <= 1.01 * nearest


def test_bilinear_upsampling_is_torch_s() -> None:
    x_BCHW = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    expected_BCHW = F.interpolate(x_BCHW, scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(BilinearUpsampling().double()(x_BCHW), expected_BCHW)


def test_unet_has_the_same_weights_whichever_way_it_enlarges() -> None:
    nearest, bilinear = stirred(UNet(3, 3, (8, 12), 1, 4)), UNet(3, 3, (8, 12), 1, 4, upsampling="bilinear")
    bilinear.load_state_dict(nearest.state_dict())
    x_BCHW = pictures(nearest, 1, 16, 16)
    assert (bilinear(x_BCHW) - nearest(x_BCHW)).abs().max() > 1e-3


def test_unet_features() -> None:
    unet = stirred(UNet(3, 3, (4, 6, 8), 2, 4))
    features = unet.features(pictures(unet, 2, 16, 24))
    assert [tuple(layer.shape) for layer in features] == [(2, 4, 8, 12), (2, 6, 4, 6), (2, 8, 2, 3)]
    assert unet.feature_channels == [4, 6, 8]


def conditional(**options: bool) -> UNet:
    return UNet(3, 3, (4, 6), 1, 4, condition_size=5, **options)


def test_unet_condition_starts_without_effect_and_none_means_zeros() -> None:
    unet = conditional()
    x_BCHW, condition_BD = pictures(unet, 2, 8, 8), torch.randn(2, 5)
    assert torch.equal(unet(x_BCHW, condition_BD), unet(x_BCHW))
    stirred(unet)
    assert (unet(x_BCHW, condition_BD) - unet(x_BCHW)).abs().max() > 1e-3
    assert torch.equal(unet(x_BCHW, torch.zeros(2, 5)), unet(x_BCHW))


def test_unet_one_condition_serves_all_pictures() -> None:
    unet = stirred(conditional())
    x_BCHW, condition_1D = pictures(unet, 3, 8, 8), torch.randn(1, 5)
    torch.testing.assert_close(unet(x_BCHW, condition_1D), unet(x_BCHW, condition_1D.expand(3, -1)))


def test_unet_every_modulation_learns() -> None:
    unet = stirred(conditional())
    unet(pictures(unet, 2, 8, 8), torch.randn(2, 5)).square().mean().backward()
    assert idle(unet) == []


def test_unet_modulation_by_hand() -> None:
    block = ResidualBlock(1, condition_size=1)
    block.modulation.weight.data = torch.tensor([[2.0], [-5.0]])  # gain, shift
    for conv in (block.conv1, block.conv2):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)
    x_BCHW = torch.full((1, 1, 3, 3), 4.0)  # normalised to 1
    modulated = torch.tensor(1.0 * (1.0 + 2.0) - 5.0)
    expected = 4.0 + nn.functional.silu(nn.functional.silu(modulated))
    torch.testing.assert_close(block(x_BCHW, torch.ones(1, 1)), expected.expand(1, 1, 3, 3))


def test_unet_with_a_condition_traces_for_export() -> None:
    unet = stirred(conditional()).eval()
    free = torch.export.Dim.DYNAMIC
    shapes = {"x_BCHW": {0: free, 2: free, 3: free}, "condition_BD": None}
    x_BCHW, condition_1D = pictures(unet, 2, 8, 12), torch.randn(1, 5)
    program = torch.export.export(unet, (x_BCHW, condition_1D), dynamic_shapes=shapes)
    other_BCHW = pictures(unet, 3, 16, 8)
    torch.testing.assert_close(program.module()(other_BCHW, condition_1D), unet(other_BCHW, condition_1D))


def test_unet_residual_starts_as_the_identity() -> None:
    unet = UNet(3, 3, (4, 6), 1, 4, residual=True)
    x_BCHW = pictures(unet, 2, 8, 8)
    assert torch.equal(unet(x_BCHW), x_BCHW)
    assert not torch.equal(stirred(unet)(x_BCHW), x_BCHW)
    with pytest.raises(ValueError, match="1 channels in, 3 out"):
        UNet(1, 3, (4,), residual=True)


@pytest.mark.parametrize(("padding", "even"), [("zeros", False), ("replicate", True)])
def test_repeated_borders_do_not_tell_where_the_border_is(padding: Padding, even: bool) -> None:
    unet = stirred(UNet(3, 3, (4, 6), 1, 4, padding=padding))
    result_BCHW = unet(torch.full((1, 3, 16, 24), 0.3))
    assert torch.allclose(result_BCHW, result_BCHW[:, :, 8:9, 12:13], atol=1e-6) is even


def test_unet_checkpointing_changes_nothing() -> None:
    plain, checkpointed = stirred(conditional()), conditional(checkpoint=True)
    assert_same_when_checkpointed(plain, checkpointed, pictures(plain, 2, 8, 8), torch.randn(2, 5))


def test_unet_keeps_the_names_of_shipped_weights() -> None:
    names = {name.split(".")[0] for name in UNet().state_dict()}
    assert names == {
        "stem", "downs", "encoder", "middle", "ups", "merges", "decoder", "edge_up", "edge_merge", "out",
    }  # fmt: skip
    assert {name for name in UNet().state_dict() if name.startswith("middle.1.")} == {
        f"middle.1.{name}" for name in ("norm.gain", "conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")
    }


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
