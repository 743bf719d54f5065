"""How near photographs made of drawings by people are to real photographs, for one model or several.

    python benchmarks/drawings.py sketch-to-photo other.onnx --drawings PACK/sketch --photos PACK/photo --label shoe

Prints KID on the features of EfficientNet-Lite1, times 1,000, and of SqueezeNet; less is better (needs the extra
`features`): every drawing in a style of its own, all in the default style, and the drawings themselves for comparison.
Drawings and photographs are fitted into squares of 256 pixels.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from translate.data.layouts import list_pictures
from translate.errors import TranslateError
from translate.inference.controls import numbered_style
from translate.inference.engine import Engine
from translate.inference.models import resolve
from translate.metrics.pretrained import PretrainedScores
from translate.pictures.operations import Picture, fit_size, flatten, read_picture, resize

SIDE = 256
METRICS = {"kid_lite1": 1000, "kid_squeezenet": 1}
"""With the factors by which they are shown."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME|FILE.onnx")
    parser.add_argument("--drawings", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--label", help="what the drawings show, for models with labels")
    options = parser.parse_args()
    drawings = [square(path) for path in list_pictures(options.drawings)]
    photos_BCHW = stacked([square(path) for path in list_pictures(options.photos)])
    scores = PretrainedScores()

    def row(name: str, pictures: Sequence[Picture]) -> None:
        made_BCHW = stacked(pictures)
        cells = [f"{factor * scores(metric, made_BCHW, photos_BCHW):.1f}" for metric, factor in METRICS.items()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    print(f"{len(drawings)} drawings, {len(photos_BCHW)} photographs\n")
    print("| | `kid_lite1` x 1,000 | `kid_squeezenet` |\n|---|---|---|")
    row("the drawings", drawings)
    for name in options.models:
        engine = Engine(resolve(name), device="cpu")
        label = {"label": options.label} if engine.spec.labels else {}
        row(name, [engine.apply(drawing, **label) for drawing in drawings])
        if engine.spec.style_size:
            styles = [numbered_style(number, engine.spec) for number in range(1, len(drawings) + 1)]
            pairs = zip(drawings, styles, strict=True)
            made = [engine.apply(drawing, style=style, **label) for drawing, style in pairs]
            row(f"{name}, each in another style", made)


def square(path: Path) -> Picture:
    """A picture, fitted into a white square."""
    rgb_HWC = flatten(read_picture(path))
    height, width = fit_size(*rgb_HWC.shape[:2], SIDE)
    square_HWC = resize(rgb_HWC, height, width)
    above, left = (SIDE - height) // 2, (SIDE - width) // 2
    padding = (above, SIDE - height - above), (left, SIDE - width - left), (0, 0)
    return Picture(np.pad(square_HWC, padding, constant_values=255))


def stacked(pictures: Sequence[Picture]) -> Tensor:
    """Pictures of one size as (B, C, H, W), 0 to 1."""
    return torch.stack([torch.from_numpy(flatten(picture)).permute(2, 0, 1) for picture in pictures]).float() / 255


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(f"drawings: {error}")
