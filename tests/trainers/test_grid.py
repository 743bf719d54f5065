"""Stripes and grids of a few pixels: which enlargement leaves them, how they are measured, which runs have them.

Shape suffixes: B batch, C channels, H height, W width.
"""

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from scripts import load_script
from torch import Tensor
from torch.nn import functional as F

from export.to_onnx import build_graph, write_model
from translate.inference.engine import Engine
from translate.networks.pixels import PixelTranslator
from translate.networks.unet import Padding, UNet
from translate.spec import ModelSpec
from translate.tasks import TASKS
from translate.tasks.base import load_object
from translate.trainers.config import config_from_json
from translate.trainers.cut import CUT
from translate.trainers.cyclegan import CycleGAN
from translate.trainers.generators import describe, make_translator
from translate.trainers.pix2pix import Pix2Pix, Pix2PixConfig


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script("benchmarks/grid.py")


def pair(**options: Any) -> tuple[UNet, UNet]:
    """A network that enlarges by nearest neighbours and one that does it bilinearly, with the same weights."""
    nearest, bilinear = UNet(**options), UNet(upsampling="bilinear", **options)
    bilinear.load_state_dict(nearest.state_dict())
    return nearest, bilinear


@torch.no_grad()
def inside(network: UNet, x_BCHW: Tensor) -> Tensor:
    return network(x_BCHW)[..., 16:-16, 16:-16]


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("seed", range(3))
def test_nearest_neighbours_leave_a_grid_on_smooth_pictures_and_bilinear_none(
    script: Any, seed: int, padding: Padding
) -> None:
    """Found over the seeds: 0.03 to 0.24 of the roughness with nearest, at most 0.005 with bilinear."""
    torch.manual_seed(seed)
    nearest, bilinear = pair(widths=(16, 32, 32), padding=padding)
    smooth_BCHW = script.smooth_pictures(8, 3, 128)
    assert script.grid(smooth_BCHW, 4) < 0.005
    assert script.grid(inside(nearest, smooth_BCHW), 4) > 0.02
    assert script.grid(inside(bilinear, smooth_BCHW), 4) < 0.01


def test_white_paper_shows_what_the_border_starts_and_nothing_else() -> None:
    """Without zeros beyond the border a constant picture stays constant, so padding starts what is seen there."""
    torch.manual_seed(0)
    white_BCHW = torch.ones(1, 3, 128, 128)
    for padding, flat in (("replicate", True), ("zeros", False)):
        for network in pair(widths=(16, 32, 32), padding=padding):
            spread = inside(network, white_BCHW).std(dim=(2, 3)).max().item()
            assert (spread < 1e-5) == flat


def test_grid_by_hand(script: Any) -> None:
    torch.manual_seed(0)
    noise_BCHW = torch.randn(4, 3, 256, 256)
    assert script.grid(noise_BCHW, 4) < 0.03  # chance
    assert script.grid(torch.zeros(1, 1, 16, 16), 2) == 0.0
    # Blocks of 4 in a ramp of squares: of 4 second differences two are nothing and two are all.
    blocks_BCHW = torch.arange(16.0).repeat_interleave(4).expand(1, 1, 64, 64)
    assert script.grid(blocks_BCHW, 4) == pytest.approx(2**0.5 / 2)
    assert script.grid(blocks_BCHW.mT, 4) == pytest.approx(2**0.5 / 2)
    assert script.grid(blocks_BCHW, 2) < 1e-6


@torch.no_grad()
def test_the_script_makes_a_finished_model_bilinear(script: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    nearest, bilinear = pair(widths=(8, 16))
    spec = ModelSpec(
        name="n", task="sketch-to-photo", architecture="", size_multiple=4, receptive_field=nearest.receptive_field,
        licence="CC0-1.0", training_data="none", working_size=256,
    )  # fmt: skip
    file, changed = tmp_path / "nearest.onnx", tmp_path / "changed.onnx"
    write_model(build_graph(nearest.eval(), spec, "float32"), spec, file)
    assert script.bilinear_inside(file, changed)
    onnx.checker.check_model(changed)
    image_NHWC = torch.randint(0, 256, (1, 64, 48, 3), dtype=torch.uint8)
    expected_NHWC, before_NHWC = (
        PixelTranslator(network, 4).eval()(image_NHWC).numpy().astype(int) for network in (bilinear, nearest)
    )
    found_NHWC = Engine(changed, device="cpu")(image_NHWC.numpy()).astype(int)
    assert abs(found_NHWC - expected_NHWC).max() <= 1
    assert abs(found_NHWC - before_NHWC).max() > 1
    write_model(build_graph(bilinear, spec, "float32"), spec, file)
    assert not script.bilinear_inside(file, changed)  # it is already


# --- which runs enlarge how


@pytest.mark.parametrize("trainer", [Pix2Pix, CycleGAN, CUT])
def test_modern_presets_are_bilinear(trainer: Any) -> None:
    config = trainer.presets["modern"]
    generator = make_translator(config, (3, 3))
    assert isinstance(generator, UNet)
    assert generator.upsampling == "bilinear"
    assert describe(config).endswith("bilinear upsampling") or "bilinear upsampling," in describe(config)


def test_every_task_of_the_default_generator_is_bilinear() -> None:
    for task in TASKS.values():
        config = load_object(task.trainer).presets["modern"]
        assert config.settings().get("generator_upsampling", "bilinear") == "bilinear", task.name


def test_an_older_run_enlarges_as_it_did() -> None:
    """Settings without the key give the network that was trained: bit by bit the arithmetic of that time."""
    config = config_from_json(
        Pix2PixConfig, {"generator_widths": [8, 16], "generator_blocks": 1, "image_size": 64}, "the snapshot"
    )
    assert describe(config) == "UNet widths (8, 16), 1 middle blocks"
    generator = make_translator(config, (3, 3))
    assert isinstance(generator, UNet)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in generator.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        x_BCHW = torch.rand(2, 3, 64, 64)
        skip_BCHW, middle_BCHW = generator.features(x_BCHW)
        up_BCHW = F.interpolate(generator.ups[0](middle_BCHW), scale_factor=2.0, mode="nearest")
        merged_BCHW = generator.decoder[0](generator.merges[0](torch.cat([up_BCHW, skip_BCHW], dim=1)))
        edge_BCHW = F.interpolate(F.silu(generator.edge_up(merged_BCHW)), scale_factor=2.0, mode="nearest")
        expected_BCHW = generator.out(F.silu(generator.edge_merge(torch.cat([edge_BCHW, x_BCHW], dim=1))))
        assert torch.equal(generator(x_BCHW), expected_BCHW)
