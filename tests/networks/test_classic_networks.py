"""Generators of the classic papers, what CUT takes from them, and how their weights start.

Shape suffixes: B batch, C channels, D vector length, H height, P places, W width.
"""

import math
from collections.abc import Callable

import pytest
import torch
from test_networks import assert_same_when_checkpointed, idle, stirred
from torch import nn
from torch.nn import functional as F

from translate.networks.classic_unet import ClassicUNet
from translate.networks.initialise import initialise_normal, initialise_xavier
from translate.networks.patch_heads import PatchHeads
from translate.networks.patchgan import PatchGAN
from translate.networks.resnet import BlurDown, BlurUp, ResNet

GENERATORS: dict[str, Callable[[], ClassicUNet | ResNet]] = {
    "U-Net": lambda: ClassicUNet(2, 3, levels=6, width=2, dropout=0.0),
    "shallow U-Net": lambda: ClassicUNet(2, 3, levels=2, width=2),
    "ResNet": lambda: ResNet(2, 3, blocks=2, width=4),
    "ResNet, blurred": lambda: ResNet(2, 3, blocks=2, width=4, antialias=True),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=GENERATORS.values(), ids=GENERATORS.keys())
def generator(request: pytest.FixtureRequest) -> ClassicUNet | ResNet:
    return stirred(request.param()).train()


def test_shape_and_range(generator: ClassicUNet | ResNet) -> None:
    step = generator.size_multiple
    for rows, columns in ((step, step), (2 * step, 3 * step)):
        result_BCHW = generator(torch.rand(1, 2, rows, columns), None)
        assert result_BCHW.shape == (1, 3, rows, columns)
        assert result_BCHW.abs().max() <= 1.0
    assert (generator.scale, generator.receptive_field) == (1, None)


def test_every_parameter_learns_at_batch_one_and_the_smallest_size(generator: ClassicUNet | ResNet) -> None:
    step = generator.size_multiple
    generator(torch.rand(1, 2, step, step)).square().mean().backward()
    assert idle(generator) == []


def test_pictures_of_a_batch_do_not_meet(generator: ClassicUNet | ResNet) -> None:
    x_BCHW = torch.rand(2, 2, 2 * generator.size_multiple, generator.size_multiple)
    with torch.no_grad():
        torch.testing.assert_close(generator(x_BCHW)[:1], generator(x_BCHW[:1]), rtol=0, atol=1e-4)
        torch.testing.assert_close(generator.eval()(x_BCHW), generator.train()(x_BCHW))


@pytest.mark.parametrize(
    ("network", "millions"), [(ClassicUNet, 54.414), (ResNet, 11.378), (lambda: ResNet(antialias=True), 11.378)]
)
def test_as_many_weights_as_published(network: Callable[[], nn.Module], millions: float) -> None:
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in network().parameters()) / 1e6
    assert math.isclose(found, millions, rel_tol=1e-3)


def test_classic_unet_drops_out_in_three_levels_while_training() -> None:
    with torch.device("meta"):
        ups = ClassicUNet().ups
    assert [any(isinstance(layer, nn.Dropout) for layer in up) for up in ups] == [False, *[True] * 3, *[False] * 4]
    network = ClassicUNet(3, 3, levels=6, width=2)
    x_BCHW = torch.rand(1, 3, 64, 64)
    assert not torch.equal(network(x_BCHW), network(x_BCHW))
    assert torch.equal(network.eval()(x_BCHW), network(x_BCHW))


@pytest.mark.parametrize("antialias", [False, True])
def test_resnet_features(antialias: bool) -> None:
    network = ResNet(2, 3, blocks=9, width=2, antialias=antialias)
    x_BCHW = torch.rand(1, 2, 16, 24)
    called: list[int] = []
    for number, block in enumerate(network.blocks):
        block.register_forward_hook(lambda *_, number=number: called.append(number))
    features = network.features(x_BCHW)
    assert called == [0, 1, 2, 3, 4]  # nothing after the last that is needed
    halved = [(16, 24), (8, 12)] if antialias else [(8, 12), (4, 6)]
    assert [tuple(layer.shape[2:]) for layer in features] == [(16, 24), *halved, (4, 6), (4, 6)]
    assert [layer.shape[1] for layer in features] == network.feature_channels
    assert torch.equal(features[0], x_BCHW)


def test_resnet_features_of_a_single_block() -> None:
    network = ResNet(3, 3, blocks=1, width=2)
    assert [layer.shape[1] for layer in network.features(torch.rand(1, 3, 8, 8))] == network.feature_channels


def test_resnet_checkpointing_changes_nothing() -> None:
    plain, checkpointed = ResNet(3, 3, blocks=2, width=4), ResNet(3, 3, blocks=2, width=4, checkpoint=True)
    assert_same_when_checkpointed(plain, checkpointed, torch.rand(1, 3, 16, 16))


def test_blur_down_by_hand() -> None:
    x_BCHW = torch.tensor([1.0, 2.0, 4.0, 8.0]).repeat(1, 1, 4, 1)
    # Mirrored at the left: 2 1 2 around the first, 2 4 8 around the third.
    expected = torch.tensor([(2 + 2 * 1 + 2) / 4, (2 + 2 * 4 + 8) / 4]).repeat(1, 1, 2, 1)
    torch.testing.assert_close(BlurDown()(x_BCHW), expected)


def test_blur_up_by_hand() -> None:
    x_BCHW = torch.tensor([0.0, 4.0]).repeat(1, 1, 2, 1)
    torch.testing.assert_close(BlurUp()(x_BCHW), torch.tensor([0.0, 1.0, 3.0, 4.0]).repeat(1, 1, 4, 1))


def test_patch_heads() -> None:
    heads = PatchHeads([2, 3], width=4)
    features = [torch.rand(2, 2, 6, 5), torch.rand(2, 3, 2, 3)]
    vectors, positions = heads(features, patches=10)
    assert [tuple(layer_BPD.shape) for layer_BPD in vectors] == [(2, 10, 4), (2, 6, 4)]
    assert all(len(set(layer_P.tolist())) == len(layer_P) for layer_P in positions)
    assert all(torch.allclose(layer_BPD.norm(dim=2), torch.ones(())) for layer_BPD in vectors)
    again, same_positions = heads(features, positions)
    assert all(torch.equal(one, other) for one, other in zip(positions, same_positions, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(vectors, again, strict=True))
    sum(layer_BPD[..., 0].sum() for layer_BPD in vectors).backward()
    assert idle(heads) == []


def test_patch_heads_take_the_same_place_from_every_picture() -> None:
    heads = PatchHeads([2], width=4)
    layer_BCHW = torch.rand(2, 2, 3, 4)
    (vectors_BPD,), _ = heads([layer_BCHW], [torch.tensor([7])])  # row 1, column 3
    expected_BD = F.normalize(heads.heads[0](layer_BCHW[:, :, 1, 3]), dim=1)
    torch.testing.assert_close(vectors_BPD[:, 0], expected_BD)


def test_patch_heads_are_of_length_one_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (vectors_BPD,), _ = PatchHeads([2])([torch.rand(1, 2, 6, 6)])
    assert vectors_BPD.dtype == torch.float32
    torch.testing.assert_close(vectors_BPD.norm(dim=2), torch.ones(1, 36), rtol=0, atol=1e-6)


def test_patch_heads_draw_from_the_global_generator() -> None:
    heads, features = PatchHeads([2]), [torch.rand(1, 2, 20, 20)]
    torch.manual_seed(1)
    _, (first_P,) = heads(features)
    _, (second_P,) = heads(features)
    torch.manual_seed(1)
    _, (again_P,) = heads(features)
    assert torch.equal(first_P, again_P)
    assert not torch.equal(first_P, second_P)


def test_initialise_normal() -> None:
    network = PatchGAN(3, 32, 3, norm="instance-affine")
    initialise_normal(network, std=0.05)
    judge = network.scales[0]
    assert math.isclose(judge.convs[2].weight.std().item(), 0.05, rel_tol=0.05)
    assert math.isclose(judge.norms[3].weight.mean().item(), 1.0, rel_tol=0.05)
    assert math.isclose(judge.norms[3].weight.std().item(), 0.05, rel_tol=0.2)
    assert not judge.convs[0].bias.any()
    assert not judge.norms[3].bias.any()


def test_initialise_reaches_behind_a_spectral_norm() -> None:
    network = PatchGAN(3, 16, 2)
    initialise_normal(network, std=0.05)
    found = network.scales[0].convs[2].parametrizations.weight.original.std().item()
    assert math.isclose(found, 0.05, rel_tol=0.05)


def test_initialise_xavier() -> None:
    layer = nn.Linear(300, 100)
    initialise_xavier(layer, gain=0.02)
    assert math.isclose(layer.weight.std().item(), 0.02 * math.sqrt(2 / 400), rel_tol=0.05)
    assert not layer.bias.any()
