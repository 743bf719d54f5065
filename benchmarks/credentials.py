"""What content credentials cost a batch: pictures per second with them over pictures per second without, and bytes.

The same folder of small pictures is converted again and again, with and without in turn, so that whatever else the
machine does meanwhile hits both. Of each pair the ratio is taken, and of those the median; the same of CPU time, which
does not depend on others. The status is 1 if the rate is below `LEAST`.

    python benchmarks/credentials.py
    python benchmarks/credentials.py --model day-to-night --suffix .jpg --pictures 400
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from translate.conversion.folder import convert_folder
from translate.conversion.worker import Conversion
from translate.credentials.verify import verify
from translate.inference.engine import Engine
from translate.inference.models import resolve

LEAST = 0.8


def fill(folder: Path, count: int, side: int, suffix: str) -> Path:
    """Pictures of soft blots, each another, which compress like photographs."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        blots_HWC = random.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8)
        noise_HWC = random.normal(0, 3, (side, side, 3))
        soft_HWC = np.asarray(Image.fromarray(blots_HWC).resize((side, side), Image.Resampling.BICUBIC))
        picture_HWC = np.clip(soft_HWC + noise_HWC, 0, 255).astype(np.uint8)
        Image.fromarray(picture_HWC).save(folder / f"{number:04}{suffix}")
    return folder


def timed(source: Path, out: Path, engine: Engine, credentials: str) -> tuple[float, float]:
    """Seconds to convert all: by the clock, and of CPU time."""
    began, used = time.perf_counter(), time.process_time()
    summary = convert_folder(source, out, engine, Conversion(credentials=credentials), existing="overwrite")
    seconds = time.perf_counter() - began, time.process_time() - used
    if summary.failed:
        sys.exit(summary.failed[0].reason)
    return seconds


def mean_bytes(folder: Path, suffix: str) -> float:
    """Mean size of the results."""
    return statistics.mean(path.stat().st_size for path in folder.glob(f"*{suffix}"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", default="day-to-night", help="shipped model or .onnx file")
    parser.add_argument("--pictures", type=int, default=100, help="in the folder")
    parser.add_argument("--side", type=int, default=256, help="of the pictures, in pixels")
    parser.add_argument("--suffix", default=".png", choices=[".png", ".jpg", ".webp", ".tif", ".avif"])
    parser.add_argument("--rounds", type=int, default=15, help="pairs of measurements; their median counts")
    return parser.parse_args()


def main() -> None:
    options = parse()
    engine = Engine(resolve(options.model), threads=1, device="cpu")
    ratios: list[float] = []
    by_cpu: list[float] = []
    extra: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        source = fill(Path(place, "in"), options.pictures, options.side, options.suffix)
        outs = {credentials: Path(place, credentials) for credentials in ("off", "on")}
        for out in outs.values():
            timed(source, out, engine, out.name)  # the first run also loads and allocates
        for number in range(options.rounds):
            order = ("off", "on") if number % 2 == 0 else ("on", "off")
            took = {credentials: timed(source, outs[credentials], engine, credentials) for credentials in order}
            ratios.append(took["off"][0] / took["on"][0])
            by_cpu.append(took["off"][1] / took["on"][1])
            extra.append(1000 * (took["on"][1] - took["off"][1]) / options.pictures)
            rates = {credentials: options.pictures / seconds for credentials, (seconds, _) in took.items()}
            print(
                f"{rates['off']:6.1f} pictures/s without, {rates['on']:6.1f} with: {ratios[-1]:.3f}, "
                f"by CPU time {by_cpu[-1]:.3f}"
            )
        states = {verify(path).state for path in outs["on"].glob(f"*{options.suffix}")}
        if states != {"valid"}:
            sys.exit(f"states of the results: {', '.join(sorted(states))}")
        grown = mean_bytes(outs["on"], options.suffix) - mean_bytes(outs["off"], options.suffix)
    ratio = statistics.median(ratios)
    milliseconds = max(0.0, statistics.median(extra))
    print(
        f"{ratio:.2f} of the rate without, {statistics.median(by_cpu):.2f} by CPU time; "
        f"{milliseconds:.1f} ms of a core and {grown / 1000:.1f} KB a file"
    )
    sys.exit(ratio < LEAST)


if __name__ == "__main__":
    main()
