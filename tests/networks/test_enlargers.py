"""What all generators that correct bicubic enlargement have in common, and kernels learnt as products.

Shape suffixes: B batch, C channels, H height, W width, O out channels, I in channels.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_export import SPEC, shaken
from test_networks import assert_same_when_checkpointed, idle, multiplications, stirred
from torch import nn
from torch.nn import functional as F

from export.to_onnx import build_graph, write_model
from export.verify import compare, demand
from translate.networks.compact_sr import CompactSR
from translate.networks.enlarger import Bicubic, Enlarger
from translate.networks.large_kernel_sr import LargeKernelSR
from translate.networks.reparameterised import RepConv2d, fold
from translate.networks.residual_sr import ResidualSR
from translate.networks.span import SPAN
from translate.trainers.base import pixel_translator

FAMILIES: list[type[Any]] = [ResidualSR, SPAN, CompactSR, LargeKernelSR]
FOLDED = FAMILIES[1:]

families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
folded_families = pytest.mark.parametrize("family", FOLDED, ids=lambda family: family.__name__)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("scale", range(1, 9))
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 5)], ids=str)
def test_bicubic_is_the_operator_of_that_name(scale: int, size: tuple[int, int]) -> None:
    x_BCHW = torch.rand(2, 3, *size)
    expected_BCHW = F.interpolate(x_BCHW, scale_factor=float(scale), mode="bicubic")
    torch.testing.assert_close(Bicubic(3, scale)(x_BCHW), expected_BCHW, rtol=0, atol=2e-6)


def test_bicubic_is_not_rounded_by_autocast_and_not_part_of_the_state() -> None:
    x_BCHW = torch.rand(1, 3, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found_BCHW = Bicubic(3, 4)(x_BCHW)
    assert found_BCHW.dtype == torch.float32
    torch.testing.assert_close(found_BCHW, Bicubic(3, 4)(x_BCHW), rtol=0, atol=0)
    assert Bicubic(3, 4).state_dict() == {}


@families
@pytest.mark.parametrize(("scale", "unshuffle"), [(1, 1), (2, 1), (3, 1), (8, 1), (1, 2), (2, 2), (2, 4)])
def test_untrained_is_bicubic_enlargement(family: type[Enlarger], scale: int, unshuffle: int) -> None:
    network = family(2, scale, blocks=1, width=4, detail_blocks=1, unshuffle=unshuffle)
    assert (network.scale, network.size_multiple) == (scale, unshuffle)
    x_BCHW = torch.rand(2, 2, 4 * unshuffle, 8)
    enlarged_BCHW = F.interpolate(x_BCHW, scale_factor=float(scale), mode="bicubic")
    torch.testing.assert_close(network(x_BCHW), enlarged_BCHW, rtol=0, atol=2e-6)
    torch.testing.assert_close(network(x_BCHW, torch.ones(1, 1)), enlarged_BCHW, rtol=0, atol=2e-6)


@families
def test_scales_and_fractions_that_there_are_not(family: type[Enlarger]) -> None:
    for scale in (0, 9):
        with pytest.raises(ValueError, match=f"scale is {scale}"):
            family(scale=scale)
    with pytest.raises(ValueError, match="unshuffle is 3"):
        family(unshuffle=3)


@families
@pytest.mark.parametrize("channels", [1, 4])
def test_every_parameter_learns(family: type[Enlarger], channels: int) -> None:
    network = stirred(family(channels, 3, blocks=3, width=6, detail_blocks=1))
    x_BCHW = torch.rand(2, channels, 6, 8)
    result_BCHW = network(x_BCHW)
    assert result_BCHW.shape == (2, channels, 18, 24)
    (result_BCHW + network(x_BCHW, torch.ones(1, 1))).square().mean().backward()
    assert idle(network) == []


@families
def test_detail_cannot_move_the_faithful_end(family: type[Enlarger]) -> None:
    network = stirred(family(3, 2, blocks=1, width=4, detail_blocks=1))
    x_BCHW = torch.rand(1, 3, 6, 6)
    network(x_BCHW, torch.ones(1, 1)).square().mean().backward()
    assert all(name.startswith("detail.") == (value.grad is not None) for name, value in network.named_parameters())
    with torch.no_grad():
        none, zero, half, one = (
            network(x_BCHW, share) for share in (None, *(torch.full((1, 1), share) for share in (0.0, 0.5, 1.0)))
        )
    assert torch.equal(none, zero)
    torch.testing.assert_close(half, (zero + one) / 2)


def _touched(network: Enlarger, middle: int, side: int) -> list[list[int]]:
    """First and last row and column of the input that output pixel (middle, middle) depends on."""
    x_BCHW = torch.rand(1, 1, side, side).double().requires_grad_()
    (gradient_BCHW,) = torch.autograd.grad(network(x_BCHW)[0, 0, middle, middle], x_BCHW)
    places = gradient_BCHW[0, 0].ne(0).nonzero()
    return [places.min(dim=0).values.tolist(), places.max(dim=0).values.tolist()]


@families
@pytest.mark.parametrize(("scale", "blocks"), [(1, 1), (2, 2), (3, 1)])
def test_receptive_field_is_exact(family: type[Enlarger], scale: int, blocks: int) -> None:
    network = stirred(family(1, scale, blocks, width=4)).double()
    assert isinstance(network, Enlarger)
    centre, reach = network.receptive_field + 1, network.receptive_field // 2
    for phase in range(scale):
        first, last = _touched(network, centre * scale + phase, 2 * centre + 1)
        assert (first, last) == ([centre - reach] * 2, [centre + reach] * 2)


@families
def test_receptive_field_of_unshuffled_pixels_is_the_least_bound(family: type[Enlarger]) -> None:
    network = stirred(family(1, 2, 1, width=4, unshuffle=2)).double()
    assert isinstance(network, Enlarger)
    reach = network.receptive_field // 2
    centre = 2 * (reach // 2 + 1)
    found = [_touched(network, (centre + place) * 2, 2 * centre + 4) for place in (0, 1)]
    before = max(centre + place - first[0] for place, (first, _) in enumerate(found))
    after = max(last[0] - centre - place for place, (_, last) in enumerate(found))
    assert (before, after) == (reach, reach)


@families
def test_pictures_of_a_batch_do_not_meet(family: type[Enlarger]) -> None:
    network = stirred(family(3, 2, blocks=1, width=4))
    x_BCHW = torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(network(x_BCHW)[:1], network(x_BCHW[:1]))


@families
def test_checkpointing_changes_nothing(family: type[Enlarger]) -> None:
    plain = stirred(family(3, 2, blocks=2, width=4))
    assert_same_when_checkpointed(plain, family(3, 2, blocks=2, width=4, checkpoint=True), torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("network", "most"),
    [
        (SPAN(), 28.1),
        (SPAN(width=32), 12.9),
        (CompactSR(blocks=18), 26.1),
        (CompactSR(), 12.5),
        (LargeKernelSR(), 30.1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_work_of_a_picture_of_256_pixels(network: nn.Module, most: float) -> None:
    assert 0.9 * most < multiplications(fold(network), 256) <= most


# --- kernels learnt as products


def test_kernel_is_the_three_layers_and_the_one_beside_in_one() -> None:
    conv = stirred(RepConv2d(3, 4, expansion=2))
    x_BCHW = torch.rand(2, 3, 5, 7)
    inner = F.conv2d(x_BCHW, conv.expand_MI[:, :, None, None])
    spatial_OIHW = conv.spatial_KMM.permute(1, 2, 0).unflatten(2, (3, 3))
    inner = F.conv2d(F.conv2d(inner, spatial_OIHW, padding=1), conv.reduce_OM[:, :, None, None])
    expected_BCHW = inner + F.conv2d(x_BCHW, conv.skip_OI[:, :, None, None], conv.bias)
    torch.testing.assert_close(conv(x_BCHW), expected_BCHW, rtol=0, atol=1e-5)
    torch.testing.assert_close(conv.folded()(x_BCHW), expected_BCHW, rtol=0, atol=1e-5)


def test_kernel_is_multiplied_in_float32_under_autocast() -> None:
    conv = RepConv2d(8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv.kernel(), RepConv2d.kernel(conv))
        assert conv.kernel().dtype == torch.float32
        assert conv(torch.rand(1, 8, 4, 4)).dtype == torch.bfloat16
        inside = conv.kernel()
    assert torch.equal(inside, conv.kernel())


@pytest.mark.parametrize("identity", [False, True])
def test_initial_kernel_has_the_spread_asked_for(identity: bool) -> None:
    conv = RepConv2d(48, 48, gain=0.5, identity=identity)
    kernel_OIHW = conv.kernel().detach()
    if identity:
        kernel_OIHW = kernel_OIHW.clone()
        kernel_OIHW[:, :, 1, 1] -= torch.eye(48)
    assert kernel_OIHW.std().item() == pytest.approx(0.5 * (2 / (9 * 48)) ** 0.5, rel=0.1)
    assert not conv.bias.any()


@folded_families
def test_folded_is_the_same(family: type[Enlarger]) -> None:
    network = stirred(family(3, 4, blocks=3, width=8, detail_blocks=1)).eval().requires_grad_(False)
    x_BCHW = torch.rand(2, 3, 11, 7) * 2 - 1
    network.tail.weight.mul_(0.5 / network(x_BCHW).std())  # signals as they are
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    folded = fold(network)
    assert torch.equal(drawn, torch.get_rng_state())
    assert not any(isinstance(module, RepConv2d) for module in folded.modules())
    assert not any(module.training for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert sum(p.numel() for p in folded.parameters()) < sum(p.numel() for p in network.parameters())
    torch.testing.assert_close(folded(x_BCHW), network(x_BCHW), rtol=0, atol=1e-5)
    sharp = torch.ones(1, 1)
    torch.testing.assert_close(folded(x_BCHW, sharp), network(x_BCHW, sharp), rtol=1e-5, atol=1e-5)
    # The one that is being trained stays as it was.
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 8), (48, 12)])
def test_what_was_folded_is_got_back(inputs: int, outputs: int) -> None:
    """From the kernel in a file, also where there are fewer inner channels than inputs; and it learns further."""
    learnt, fresh = RepConv2d(inputs, outputs, gain=0.7), RepConv2d(inputs, outputs)
    with torch.no_grad():
        learnt.skip_OI.normal_()
        learnt.bias.normal_()
    fresh.load_exported(learnt.folded().state_dict())
    x_BIHW = torch.rand(1, inputs, 6, 6)
    torch.testing.assert_close(fresh(x_BIHW), learnt(x_BIHW), rtol=1e-4, atol=1e-4)
    fresh(x_BIHW).square().mean().backward()
    assert idle(fresh) == []


def test_nothing_to_fold_is_not_copied() -> None:
    network = ResidualSR(blocks=1, width=4)
    assert fold(network) is network
    assert isinstance(fold(RepConv2d(2, 3)), nn.Conv2d)


@folded_families
def test_exported_folded_and_equal(family: type[Enlarger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.backends.find_spec", lambda name: None)  # OpenVINO is not what files are judged by
    network = shaken(family(3, 2, blocks=1, width=8, detail_blocks=1, unshuffle=2))
    spec = dataclasses.replace(
        SPEC, size_multiple=2, scale=2, receptive_field=network.receptive_field, detail=True, name=family.__name__
    )
    graph = build_graph(network, spec, "float32")
    assert not [node for node in graph.graph.node if node.op_type in ("Resize", "MatMul", "Einsum")]
    path = tmp_path / "model.onnx"
    write_model(graph, spec, path)
    picture_HWC = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    rows = compare(pixel_translator(network, spec).eval(), path, [picture_HWC], spec, [(16, 16), (131, 77), (16, 1000)])
    demand(rows, path)
    # And the network as it was trained, not only its folded copy.
    image_NHWC = torch.from_numpy(picture_HWC)[None]
    with torch.inference_mode():
        translator = pixel_translator(network, spec)
        folded_NHWC = translator(image_NHWC).int()
        translator.generator = network
        assert (translator(image_NHWC).int() - folded_NHWC).abs().max() <= 1
