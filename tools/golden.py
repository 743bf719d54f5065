"""Compare what the shipped models make of five samples each with results that are kept in tests/golden.

    python tools/golden.py [--write]

A model's result for the first five of its samples, in the order of their names, at its defaults; the central
128 x 128 pixels of each are kept. Prints the largest difference for each model, of 255, and how many values differ at
all; exit status 1 if one is above the tolerance. `--write` keeps the results of today instead: do so when a model was
replaced, never because a dependency moved them without knowing why.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from translate.inference.engine import Engine
from translate.inference.models import ShippedModel, shipped
from translate.pictures.operations import read_picture

KEPT = Path(__file__).resolve().parents[1] / "tests" / "golden"

SAMPLES = 5

SIDE = 128
"""Height and width of what is kept of a result, in pixels."""

TOLERANCE, SCENE_TOLERANCE = 1, 2
"""Of 255: rounding differs between processors. The second is for models with a scene size: the light of their small
results, and with it a difference there, is laid over the picture and multiplied by up to 2."""


def results(model: ShippedModel) -> Iterator[tuple[Path, np.ndarray]]:
    """Where a result is kept, and its centre as it is today, uint8 `(SIDE, SIDE, 3)`."""
    engine = Engine(model.file, device="cpu")
    for sample in itertools.islice(sorted(model.samples.iterdir()), SAMPLES):
        rgb_HWC = engine.apply(read_picture(sample), label=engine.spec.label_of(sample.name)).rgb_HWC
        top, left = ((length - SIDE) // 2 for length in rgb_HWC.shape[:2])
        yield KEPT / model.name / f"{sample.stem}.webp", rgb_HWC[top : top + SIDE, left : left + SIDE]


def allowed(model: ShippedModel) -> int:
    """The largest difference that says nothing, of 255."""
    return TOLERANCE if Engine(model.file, device="cpu").spec.scene_size is None else SCENE_TOLERANCE


def differences(model: ShippedModel) -> dict[str, np.ndarray]:
    """Absolute differences from what is kept, int16 `(SIDE, SIDE, 3)`, by the name of the sample."""
    found: dict[str, np.ndarray] = {}
    for path, rgb_HWC in results(model):
        with Image.open(path) as image:
            found[path.stem] = np.abs(np.asarray(image.convert("RGB"), np.int16) - rgb_HWC)
    return found


def write(model: ShippedModel) -> None:
    """Keep the results of today."""
    for path, rgb_HWC in results(model):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rgb_HWC).save(path, lossless=True, quality=100, method=6)


def main() -> int:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the results of today")
    options = parser.parse_args()
    moved = 0
    for model in shipped():
        if options.write:
            write(model)
        found = np.stack(list(differences(model).values()))
        moved += int(found.max() > allowed(model))
        print(f"{model.name}: largest difference {found.max()} of 255, {(found > 0).mean():.2%} of the values differ")
    print(f"{moved or 'none'} of the shipped models moved by more than is allowed")
    return int(moved > 0)


if __name__ == "__main__":
    sys.exit(main())
