"""Cost of reading pictures in a separate process, as the page does, in milliseconds per picture.

    python benchmarks/isolated.py
    python benchmarks/isolated.py --side 2048 --count 50

The pictures are noise upon a ramp, which no format compresses well. Both ways take turns, so that other work on the
machine hits them alike.
"""

import argparse
import statistics
import time

import numpy as np

from translate.pictures.decoder import IN_PROCESS, Decoder
from translate.pictures.isolated import IsolatedDecoder
from translate.pictures.operations import Picture, encode


def picture(side: int) -> Picture:
    """A ramp with noise."""
    ramp_HW1 = np.add.outer(np.arange(side), np.arange(side))[..., None] * (200 / (2 * side))
    noise_HWC = np.random.default_rng(0).normal(0, 8, (side, side, 3))
    return Picture(np.clip(ramp_HW1 + 20 + noise_HWC, 0, 255).astype(np.uint8))


def milliseconds(decoder: Decoder, data: bytes) -> float:
    """How long one picture takes."""
    begun = time.perf_counter()
    decoder.decode(data, "picture")
    return 1000 * (time.perf_counter() - begun)


def main() -> None:
    """Print a line for each format, and last of all the two figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="height and width in pixels")
    parser.add_argument("--count", type=int, default=20, help="pictures of each format")
    options = parser.parse_args()
    isolated = IsolatedDecoder()
    made, figures = picture(options.side), list[str]()
    begun = time.perf_counter()
    isolated.count_pages(b"")
    print(f"a process starts in {1000 * (time.perf_counter() - begun):.0f} ms, once")
    for suffix in (".png", ".jpg"):
        data = encode(made, suffix)
        ways = (IN_PROCESS, isolated)
        pairs = [[milliseconds(way, data) for way in ways] for _ in range(options.count + 2)][2:]
        here, there = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{suffix[1:]:4} {len(data) / 1e6:.1f} MB: {here:.1f} ms in this process, {there:.1f} ms isolated")
        figures.append(f"{suffix[1:].upper()} {there:.0f} ms instead of {here:.0f} ms")
    isolated.close()
    print(f"{options.side} x {options.side} pixels: {', '.join(figures)}")


if __name__ == "__main__":
    main()
