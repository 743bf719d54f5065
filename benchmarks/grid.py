"""Measures stripes and grid artifacts of a few pixels in the outputs of models for smooth images.

    python benchmarks/grid.py sketch-to-photo runs/new/model.onnx

In a smooth image all rows are alike. If every second or fourth row of the output is rougher than its neighbours, the
network's own grid is visible. Roughness is the squared second difference; `grid` is the fraction of it that repeats
every 2 or 4 pixels, 0 to 1, and `rough` its root mean square in levels of 255: below one level, it is mostly rounding.
Each file is measured unchanged and, if it contains nearest-neighbour upsampling, with bilinear upsampling instead and
the same weights.
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from translate.inference.engine import Engine
from translate.inference.models import resolve

SIDE = 256
"""Height and width of the images in pixels."""
MARGIN = 32
"""Pixels ignored along every border, where padding is most visible."""


def smooth_pictures(count: int, channels: int, side: int) -> Tensor:
    """Sums of waves longer than 32 pixels: (count, channels, side, side), range [-1, 1]."""
    waves = 6
    frequency_2BCW = (torch.rand(2, count, channels, waves) * 2 - 1) / 45
    phase_BCW11 = torch.rand(count, channels, waves, 1, 1)
    place = torch.arange(side, dtype=torch.float32)
    rows, columns = (axis[..., None, None] for axis in frequency_2BCW)
    turns = rows * place[:, None] + columns * place + phase_BCW11
    return (turns * math.tau).cos().mean(dim=2)


def grid(picture_BCHW: Tensor, period: int) -> float:
    """Fraction of the roughness that repeats every `period` pixels, along rows or columns, whichever is larger.

    Fourier coefficients of the squared second difference at the multiples of one cycle a period, the largest of
    them over the mean. 0: every row is as rough as any other; 1: all roughness is in one of `period` rows. A flat
    picture has none.
    """
    shares: list[float] = []
    for axis in (2, 3):
        rough_N = picture_BCHW.double().diff(n=2, dim=axis).square().movedim(axis, -1).flatten(0, 2).mean(dim=0)
        phases = rough_N[: len(rough_N) // period * period].view(-1, period).mean(dim=0)
        waves = torch.fft.rfft(phases).abs()
        shares.append((waves[1:].max() / waves[0].clamp_min(1e-300)).item())
    return max(shares)


def bilinear_inside(path: Path, changed: Path) -> bool:
    """Write the model with bilinear instead of nearest-neighbour upsampling; False if it has none."""
    model = onnx.load(path)
    found = False
    # Bilinear upsampling is exported as nearest-neighbour upsampling, padding and a blur, which stays unchanged.
    padded = {name for node in model.graph.node if node.op_type == "Pad" for name in node.input}
    for node in model.graph.node:
        modes = {attribute.name: attribute.s for attribute in node.attribute}
        if node.op_type == "Resize" and modes.get("mode") == b"nearest" and node.output[0] not in padded:
            del node.attribute[:]
            node.attribute.extend(
                onnx.helper.make_attribute(name, value)
                for name, value in (("mode", "linear"), ("coordinate_transformation_mode", "half_pixel"))
            )
            found = True
    onnx.save(model, changed)
    return found


def results(engine: Engine, pictures_BCHW: Tensor) -> Tensor:
    """Outputs of the model without the border, each with another style if it has styles; float32, 0 to 255."""
    made: list[Tensor] = []
    for number, picture_CHW in enumerate(pictures_BCHW):
        image_HWC = ((picture_CHW.permute(1, 2, 0) + 1) * 127.5).round().numpy().astype(np.uint8)
        size = engine.spec.style_size
        style = np.random.default_rng(number).standard_normal(size).tolist() if size else None
        made.append(torch.from_numpy(np.asarray(engine(image_HWC, style=style))).permute(2, 0, 1).float())
    margin = MARGIN * engine.spec.scale
    return torch.stack(made)[..., margin:-margin, margin:-margin]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names of shipped models, or files")
    parser.add_argument("--count", type=int, default=8, help="pictures of each kind")
    options = parser.parse_args()
    torch.manual_seed(0)
    kinds = {
        "smooth": smooth_pictures(options.count, 3, SIDE),
        "white": torch.ones(options.count, 3, SIDE, SIDE),
        "grey": torch.zeros(options.count, 3, SIDE, SIDE),
    }
    print(f"{'model':40} {'input':8} grid of 2    of 4   rough")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            path = resolve(name)
            changed = Path(folder) / "bilinear.onnx"
            engines = {name: Engine(path, device="cpu")}
            if bilinear_inside(path, changed):
                engines[f"{name}, bilinear"] = Engine(changed, device="cpu")
            for title, engine in engines.items():
                for kind, pictures_BCHW in kinds.items():
                    result_BCHW = results(engine, pictures_BCHW)
                    rough = max(result_BCHW.diff(n=2, dim=axis).square().mean().sqrt().item() for axis in (2, 3))
                    grids = f"{grid(result_BCHW, 2):9.3f} {grid(result_BCHW, 4):7.3f}"
                    print(f"{title:40} {kind:8} {grids} {rough:7.2f}")


if __name__ == "__main__":
    main()
