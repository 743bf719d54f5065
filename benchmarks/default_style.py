"""Which style a sketch-to-photo model should have by default, by a rule.

    python benchmarks/default_style.py FILE.onnx --photos PHOTOS [--styles 48] [--limit 96]

PHOTOS has one sub-folder per label of the model. Lines are drawn from every k-th photograph, and each style gives all
of them its look: the mean style, and the styles with the numbers 1 to 48. Results in the mean style are greyer than
photographs, so the default is the style with the least KID among those whose results are as colourful; pass it to
`translate export --default-style`. Take training photographs, so that the test split stays unseen. Needs the extra
`features`.
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
    parser.add_argument("--limit", type=int, default=96, help="number of photographs")
    options = parser.parse_args()
    engine, scores = Engine(options.model, device="cpu"), PretrainedScores()
    paths = list_pictures(options.photos)
    paths = paths[:: -(-len(paths) // options.limit)]
    photos = [square(path) for path in paths]
    photos_BCHW = stacked(photos)
    labels = [path.relative_to(options.photos).parts[0] for path in paths]
    drawings = [Picture(draw_lines(flatten(photo))) for photo in photos]
    colourful = float(chroma(photos_BCHW).mean())
    print(f"{len(photos)} photographs, chroma {colourful:.4f}\n")
    print("| style | `kid_lite1` x 1,000 | chroma |\n|---|---|---|")
    suited: dict[int, float] = {}
    for number in range(options.styles + 1):
        # The mean style, whatever default the file has now.
        style = numbered_style(number, engine.spec) if number else (0.0,) * engine.spec.style_size
        pairs = zip(drawings, labels, strict=True)
        made_BCHW = stacked([engine.apply(drawing, label=label, style=style) for drawing, label in pairs])
        kid, colour = scores("kid_lite1", made_BCHW, photos_BCHW), float(chroma(made_BCHW).mean())
        print(f"| {number or 'mean'} | {1000 * kid:.1f} | {colour:.4f} |", flush=True)
        if colour >= colourful:
            suited[number] = kid
    if not suited:
        sys.exit("default_style: no style is as colourful as the photographs; try more --styles")
    print(f"\ndefault: {min(suited, key=suited.__getitem__)}")


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(f"default_style: {error}")
