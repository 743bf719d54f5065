"""Pictures larger than memory: resources for the conversion, and whether windows change the result.

First at a size that fits in memory (--whole-side): converted in bands (`translate.conversion.huge`) and by the naive
loop (decode, run whole, encode), each in a separate process; prints the ratios of time and memory, and the difference
of the two results. Then a large picture in bands. If that would take more than --most-minutes, its height is reduced,
because memory use depends on the width.

    python benchmarks/huge.py --model super-resolution --side 5000
    python benchmarks/huge.py --model day-to-night --side 20000 --format tif --photo holiday.jpg
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from translate.conversion.huge import STREAMING_BYTES, convert_huge
from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.inference.models import resolve
from translate.pictures.libvips import vips
from translate.pictures.operations import read_picture, write_picture

SAVE_AS: dict[str, dict[str, Any]] = {
    "png": {"compression": 2, "filter": "all"},
    "jpg": {"Q": 92, "subsample_mode": "off"},
    "tif": {"compression": "deflate", "predictor": "horizontal", "bigtiff": True},
}


def make_picture(path: Path, height: int, width: int, photo: Path | None) -> None:
    """Write a picture without holding it in memory: the enlarged centre of a photo, or clouds, with some noise."""
    image = vips().Image
    if photo is None:
        grey = image.perlin(width, height, cell_size=max(16, width // 40), seed=0).linear(90, 128)
        fine = image.perlin(width, height, cell_size=16, seed=1).linear(30, 0)
        made = (grey + fine).bandjoin([grey * 0.7 + 40, 255 - grey - fine])
    else:
        rgb_HWC = read_picture(photo).rgb_HWC
        factor = max(height / rgb_HWC.shape[0], width / rgb_HWC.shape[1])
        made = image.new_from_array(rgb_HWC).resize(factor, kernel="cubic").gravity("centre", width, height)
    grain = image.gaussnoise(512, 512, mean=0, sigma=6, seed=2)
    grain = grain.replicate(-(-width // 512), -(-height // 512)).crop(0, 0, width, height)
    made = (made + grain).cast("uchar").copy(interpretation="srgb")
    getattr(made, {"png": "pngsave", "jpg": "jpegsave", "tif": "tiffsave"}[path.suffix[1:]])(
        str(path), **SAVE_AS[path.suffix[1:]]
    )


def convert_here(options: argparse.Namespace) -> None:
    """The measured process: convert, and print the resources used."""
    tile = 0 if options.how == "naive" else options.tile
    engine = Engine(resolve(options.model), threads=options.threads, device=options.device, tile=tile)
    start = peak_bytes()
    began = time.perf_counter()
    if options.how == "naive":
        write_picture(options.target, engine.apply(read_picture(options.source)))
    else:
        convert_huge(options.source, options.target, engine, memory_bytes=options.memory << 20)
    print(json.dumps({"seconds": time.perf_counter() - began, "start": start, "peak": peak_bytes()}))


def peak_bytes() -> int:
    """Peak memory of this process."""
    try:
        # Unlike getrusage, this does not include the memory of the parent at the time of the fork.
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(how: str, source: Path, target: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--how", how, "--source", str(source), "--target", str(target)]
    command += ["--model", options.model, "--threads", str(options.threads), "--memory", str(options.memory)]
    command += ["--device", options.device] + ([] if options.tile is None else ["--tile", str(options.tile)])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{how}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def show(name: str, height: int, width: int, found: dict[str, Any]) -> None:
    speed = height * width / 1e6 / found["seconds"]
    size = f"{width} x {height}"
    print(f"{name:<10} {size:>15} {found['seconds']:>9.1f} {speed:>9.3f} {found['peak'] / 2**20:>9.0f}", flush=True)


def fit(folder: Path, options: argparse.Namespace) -> float:
    """Convert the picture that fits in memory both ways; returns pixels per second in bands."""
    side = options.whole_side
    source = folder / f"whole.{options.format}"
    make_picture(source, side, side, options.photo)
    bands = measure("bands", source, folder / "bands.png", options)
    show("in bands", side, side, bands)
    naive = measure("naive", source, folder / "naive.png", options)
    show("naive", side, side, naive)
    time_ratio, memory_ratio = (bands[what] / naive[what] for what in ("seconds", "peak"))
    print(f"in bands / naive: {time_ratio:.2f} of the seconds, {memory_ratio:.2f} of the memory")
    print(compare(folder / "bands.png", folder / "naive.png"), flush=True)
    return side**2 / bands["seconds"]


def compare(found: Path, expected: Path) -> str:
    """The difference of two results for one picture."""
    images = [read_picture(path).rgb_HWC.astype(np.int16) for path in (found, expected)]
    difference_HW = np.abs(images[0] - images[1]).max(axis=2)
    return f"largest difference {difference_HW.max()} of 255, in {(difference_HW > 0).mean():.4%} of the pixels"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", default="super-resolution", help="shipped model or .onnx file")
    parser.add_argument("--side", type=int, default=5000, help="pixels a side of the large picture")
    parser.add_argument("--whole-side", type=int, default=1250, help="of the one that fits in memory")
    parser.add_argument("--format", choices=SAVE_AS, default="png")
    parser.add_argument("--photo", type=Path, help="photograph to enlarge; default: clouds")
    parser.add_argument("--folder", type=Path, help="for the files, as large as the pictures; default: a temporary one")
    parser.add_argument("--most-minutes", type=float, default=10.0, help="a smaller picture if it would take longer")
    parser.add_argument("--memory", type=int, default=STREAMING_BYTES >> 20, help="MiB for bands and the model")
    parser.add_argument("--tile", type=int, help="longest side of windows")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--how", choices=("bands", "naive"), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.how:
        convert_here(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        print(f"{options.model}, {options.format}, {options.threads} threads, load {os.getloadavg()[0]:.1f}")
        print(f"{'':<10} {'pixels':>15} {'seconds':>9} {'MPixel/s':>9} {'peak MiB':>9}", flush=True)
        width = height = options.side
        most = 60 * options.most_minutes * fit(folder, options) / width
        if height > most:
            minutes = height / most * options.most_minutes
            height = max(int(most), min(height, options.whole_side))
            print(f"{width} x {width} pixels would take about {minutes:.0f} minutes; {width} x {height} instead")
        source, target = folder / f"huge.{options.format}", folder / f"huge-out.{options.format}"
        make_picture(source, height, width, options.photo)
        huge = measure("bands", source, target, options)
        show("in bands", height, width, huge)
        image = vips().Image.new_from_file(str(target), access="sequential")
        sizes = " -> ".join(f"{path.stat().st_size / 2**20:.0f} MiB" for path in (source, target))
        print(
            f"result {image.width} x {image.height}; files {sizes}; {huge['start'] / 2**20:.0f} MiB before the picture"
        )


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(str(error))
