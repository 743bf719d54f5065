"""Which style a sketch-to-photo model should have by default, by a rule instead of by taste.

    python benchmarks/default_style.py FILE.onnx --photos PHOTOS [--styles 48] [--limit 48]

PHOTOS has one sub-folder per label, for a model with labels. Lines are drawn from every k-th photograph, and each style
gives all of them its look: the mean style, and the styles with the numbers 1 to 48. The one with the least KID, so the
one whose results as a set are nearest to the photographs, is for `translate export --default-style`. Take training
photographs, so that the test split stays unseen. Needs the extra `features`.
"""

import argparse
import sys
from pathlib import Path

from drawings import square, stacked

from translate.data.layouts import list_pictures
from translate.errors import TranslateError
from translate.inference.controls import numbered_style
from translate.inference.engine import Engine
from translate.metrics.drawing import chroma
from translate.metrics.pretrained import PretrainedScores
from translate.pictures.lines import draw_lines
from translate.pictures.operations import Picture, flatten


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="FILE.onnx")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--styles", type=int, default=48)
    parser.add_argument("--limit", type=int, default=48, help="number of photographs")
    options = parser.parse_args()
    engine, scores = Engine(options.model, device="cpu"), PretrainedScores()
    paths = list_pictures(options.photos)
    paths = paths[:: -(-len(paths) // options.limit)]
    photos = [square(path) for path in paths]
    photos_BCHW = stacked(photos)
    labels = [path.relative_to(options.photos).parts[0] if engine.spec.labels else None for path in paths]
    drawings = [Picture(draw_lines(flatten(photo))) for photo in photos]
    print(f"{len(photos)} photographs, chroma {chroma(photos_BCHW).mean():.4f}\n")
    print("| style | `kid_lite1` x 1,000 | chroma |\n|---|---|---|")
    distances: dict[int, float] = {}
    for number in range(options.styles + 1):
        # The mean style, whatever default the file has now.
        style = numbered_style(number, engine.spec) if number else (0.0,) * engine.spec.style_size
        pairs = zip(drawings, labels, strict=True)
        made_BCHW = stacked([engine.apply(drawing, label=label, style=style) for drawing, label in pairs])
        distances[number] = scores("kid_lite1", made_BCHW, photos_BCHW)
        print(f"| {number or 'mean'} | {1000 * distances[number]:.1f} | {chroma(made_BCHW).mean():.4f} |", flush=True)
    print(f"\ndefault: {min(distances, key=distances.__getitem__)}")


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(f"default_style: {error}")
