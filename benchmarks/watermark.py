"""The invisible watermark: how much it changes pictures, in how many it is found after what, and what it costs.

    python benchmarks/watermark.py FOLDER
    python benchmarks/watermark.py FOLDER --most 50

FOLDER holds photographs, also in subfolders; every k-th is taken. Time is that of one core.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from translate.credentials.watermark import LEAST, check_watermark, right_bits, watermarked
from translate.pictures.operations import Picture, read_picture

Change = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Change:
    """Saving as JPEG."""

    def change(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return change


def cropped(image: Image.Image) -> Image.Image:
    """A tenth cut off at each side."""
    width, height = image.size
    return image.crop((width // 10, height // 10, width - width // 10, height - height // 10))


CHANGES: dict[str, Change] = {
    "as it is": lambda image: image,
    "JPEG 90": jpeg(90),
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "twice the size": lambda image: image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC),
    "a tenth cut off at each side": cropped,
    "brighter by a fifth": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "flipped": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=40, help="number of pictures")
    options = parser.parse_args()
    check_watermark()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    paths = paths[:: max(1, len(paths) // options.most)][: options.most]
    if not paths:
        sys.exit(f"{options.folder}: no .jpg or .png file; give a folder with photographs")
    found = dict.fromkeys(CHANGES, 0)
    wrongly, decibels, marking, reading = 0, list[float](), list[float](), list[float]()
    for path in paths:
        picture = read_picture(path)
        began = time.process_time()
        marked: Picture = watermarked(picture)
        marking.append(time.process_time() - began)
        began = time.process_time()
        wrongly += right_bits(picture.rgb_HWC) >= LEAST
        reading.append(time.process_time() - began)
        error_HWC = marked.rgb_HWC.astype(np.float64) - picture.rgb_HWC
        decibels.append(10 * np.log10(255**2 / np.mean(error_HWC**2)))
        for name, change in CHANGES.items():
            found[name] += right_bits(np.array(change(Image.fromarray(marked.rgb_HWC)))) >= LEAST
    print(f"{len(paths)} pictures; PSNR {statistics.mean(decibels):.1f} dB, lowest {min(decibels):.1f}")
    mark, read = (1e3 * statistics.median(seconds) for seconds in (marking, reading))
    print(f"CPU ms, median: marking {mark:.0f}, reading {read:.0f}")
    print(f"found without a watermark: {wrongly}")
    for name, count in found.items():
        print(f"| {name} | {count} of {len(paths)} |")


if __name__ == "__main__":
    main()
