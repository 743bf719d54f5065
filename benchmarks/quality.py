"""Measure a sketch-to-photo model on drawings with known photographs, and draw a contact sheet.

    python benchmarks/quality.py MODEL --sketches shoes/test/edges --photos shoes/test/photo --sheet sheet.png

Pairs have the same file name without suffix. The sheet shows every k-th result by name, never a choice.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from kornia.metrics import psnr, ssim
from torchvision.utils import make_grid

from translate.data.layouts import list_pictures
from translate.engine import Engine
from translate.errors import DataError, TranslateError
from translate.images import Picture, flatten, read_picture, resize, write_picture
from translate.metrics.drawing import chroma, line_contrast


def unit(image_HWC: np.ndarray) -> torch.Tensor:
    """uint8 (H, W, 3) -> float (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)[None].float() / 255


def measure(sketch: torch.Tensor, result: torch.Tensor, photo: torch.Tensor) -> dict[str, float]:
    """Metrics of one picture; all (1, 3, H, W) in [0, 1]."""
    return {
        "psnr_db": float(psnr(result, photo, 1.0)),
        "ssim": float(ssim(result, photo, 11).mean()),
        "line_contrast": float(line_contrast(sketch, result)),
        "chroma": float(chroma(result)),
    }


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means by name; an infinite PSNR (equal pictures) does not occur on real data."""
    return {name: float(f"{sum(row[name] for row in rows) / len(rows):.5g}") for name in rows[0]}


def contact_sheet(pairs: list[tuple[np.ndarray, np.ndarray]], count: int, side: int) -> np.ndarray:
    """Every k-th pair, drawing above result, six pairs a row: uint8 (H, W, 3)."""
    step = len(pairs) / min(count, len(pairs))
    chosen = [pairs[math.floor(number * step)] for number in range(min(count, len(pairs)))]
    tiles = [torch.from_numpy(np.concatenate([resize(image, side, side) for image in pair])) for pair in chosen]
    grid_CHW = make_grid(torch.stack(tiles).permute(0, 3, 1, 2), nrow=6, padding=6, pad_value=200)
    return np.ascontiguousarray(grid_CHW.permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a shipped model, or a .onnx file")
    parser.add_argument("--sketches", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--sheet", type=Path, help="PNG to write: 24 pairs by fixed rule")
    parser.add_argument("--json", type=Path, help="file for the means, as `translate export --metrics` reads it")
    options = parser.parse_args()
    engine = Engine(options.model, device="cpu")
    photos = {path.stem: path for path in list_pictures(options.photos)}
    sketches = [path for path in list_pictures(options.sketches) if path.stem in photos]
    if not sketches:
        raise DataError(f"{options.sketches} and {options.photos} have no file names in common; give paired folders")
    rows: dict[str, list[dict[str, float]]] = {"model": [], "the drawing itself": [], "blank paper": [], "truth": []}
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for path in sketches:
        sketch_HWC = flatten(read_picture(path))
        photo_HWC = resize(flatten(read_picture(photos[path.stem])), *sketch_HWC.shape[:2])
        result_HWC = engine.apply(Picture(sketch_HWC)).rgb_HWC
        pairs.append((sketch_HWC, result_HWC))
        sketch, photo = unit(sketch_HWC), unit(photo_HWC)
        rows["model"].append(measure(sketch, unit(result_HWC), photo))
        rows["the drawing itself"].append(measure(sketch, sketch, photo))
        rows["blank paper"].append(measure(sketch, torch.ones_like(sketch), photo))
        rows["truth"].append({**measure(sketch, photo, photo), "psnr_db": math.inf})
    print(f"{engine.spec.name}: {len(sketches)} drawings from {options.sketches}")
    print(f"{'':<20}" + "".join(f"{name:>15}" for name in rows["model"][0]))
    for label, values in rows.items():
        print(f"{label:<20}" + "".join(f"{value:>15.3f}" for value in mean(values).values()))
    if options.json:
        options.json.write_text(json.dumps(mean(rows["model"]), indent=2) + "\n", encoding="utf-8")
    if options.sheet:
        write_picture(options.sheet, Picture(contact_sheet(pairs, 24, 160)))


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(f"quality: {error}")
