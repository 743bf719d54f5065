"""What half precision and 8 bits cost in quality, and save in bytes and time, for shipped models or files.

    python benchmarks/precision.py --images FOLDER [MODEL=FOLDER ...] [--models NAME ...] [--out docs/results.md]

Pictures are as the models are given them, so give each its own folder, e.g. `sketch-to-photo=drawings`; the folder
without a name is for all others. Every second picture calibrates int8, the others are compared with float32, each with
another label, style and detail. For fp16 they go through the emulation of a device that computes in float16, see
`export/half.py`; a CPU computes that file in float32. Times are CPU seconds of this process on one thread for an input
of 256 x 256 pixels, models in alternation. Prints a table, and with --out writes it between the marks in that file.
"""

import argparse
import contextlib
import io
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import onnx
import onnxruntime
from marks import write_between

from export.changed import Change
from export.inputs import model_inputs
from export.written import write_changed
from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.inference.models import resolve, shipped
from translate.spec import PARITY_SUFFIX

PICTURES = 32
"""Half to calibrate on, half to compare."""

SIDE = 256
ROUNDS = 7


@dataclass(frozen=True)
class Quality:
    """Against float32, over all pictures."""

    psnr_db: float
    worst_db: float
    largest: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", required=True, metavar="FOLDER|MODEL=FOLDER")
    parser.add_argument("--models", nargs="+", metavar="NAME|FILE.onnx", default=[model.name for model in shipped()])
    parser.add_argument("--out", type=Path, help="a Markdown file with the marks, e.g. docs/results.md")
    options = parser.parse_args()
    folders = {name: Path(folder) for name, _, folder in (text.rpartition("=") for text in options.images)}
    lines = [
        "| | precision | PSNR, dB ↑ | worst picture, dB ↑ | largest difference ↓ | MiB ↓ | CPU ms ↓ | CPU time ↓ |",
        "|---" * 8 + "|",
    ]
    for name in options.models:
        folder = folders.get(name) or folders.get("")
        if folder is None:
            sys.exit(f"precision: no folder for {name}; give one without a name, or {name}=FOLDER, with --images")
        lines += rows(name, folder)
        print("\n".join(lines[-3:]), file=sys.stderr, flush=True)
    text = f"{words(options.images)}\n\n" + "\n".join(lines) + "\n"
    if options.out:
        write_between(options.out, "precision", text)
    print(text)


def words(images: Sequence[str]) -> str:
    """What was measured, with what."""
    vnni = "vnni" in _text(Path("/proc/cpuinfo"))
    return (
        f"Measured by `python benchmarks/precision.py --images {' '.join(images)}` with ONNX Runtime "
        f"{onnxruntime.__version__}; pictures are compared with the results of the float32 graph, whose weights are "
        "stored in 16 bits, as shipped. CPU milliseconds on one thread for "
        f"{SIDE} x {SIDE} pixels, and the ratio to float32; this CPU {'has' if vnni else 'lacks'} VNNI, the "
        "instructions for products in 8 bits. fp16 is meant for GPUs: its quality is that of a device that computes in "
        "float16, emulated; its time is that of a CPU, which computes the same file in float32."
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def rows(name: str, folder: Path) -> list[str]:
    """Three lines of the table."""
    path = resolve(name)
    spec = Engine(path, device="cpu").spec
    pictures = model_inputs(folder, spec, PICTURES)
    compared, calibration = pictures[::2], pictures[1::2]
    files, qualities = [path], [Quality(math.inf, math.inf, 0)]
    with tempfile.TemporaryDirectory() as temporary:
        for precision in ("fp16", "int8"):
            files.append(Path(temporary) / f"{precision}.onnx")
            change = Change(precision=precision, calibration=calibration, min_psnr=0.0)
            with contextlib.redirect_stdout(io.StringIO()):
                write_changed(path, onnx.load(path), spec, compared, files[-1], change)
            qualities.append(quality(files[-1].with_suffix(PARITY_SUFFIX), "half" if precision == "fp16" else "cpu"))
        times = milliseconds(files)
        return [
            f"| {name if number == 0 else ''} | {precision} | {decibels(found.psnr_db)} | {decibels(found.worst_db)} "
            f"| {found.largest} | {file.stat().st_size / 2**20:.1f} | {time:.0f} | {time / times[0]:.2f} |"
            for number, (precision, found, file, time) in enumerate(
                zip(("float32", "fp16", "int8"), qualities, files, times, strict=True)
            )
        ]


def quality(report: Path, device: str) -> Quality:
    """From the parity report: the pictures one by one, without the batches."""
    every = json.loads(report.read_text(encoding="utf-8"))["rows"]
    found = [row for row in every if row["batch"] == 1 and row["device"] == device]
    return Quality(
        psnr(statistics.mean(row["squared"] for row in found)),
        psnr(max(row["squared"] for row in found)),
        max(row["largest"] for row in found),
    )


def psnr(squared: float) -> float:
    return 10 * math.log10(255**2 / squared) if squared else math.inf


def decibels(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else ""


def milliseconds(files: Sequence[Path]) -> list[float]:
    """Median CPU time for one picture, in alternation, so that all see the same load."""
    engines = [Engine(path, device="cpu", threads=1) for path in files]
    image_HWC = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, engines[0].spec.input_channels), np.uint8)
    found: list[list[float]] = [[] for _ in engines]
    for _ in range(ROUNDS + 1):
        for times, engine in zip(found, engines, strict=True):
            start = process_time()
            engine(image_HWC)
            times.append(1000.0 * (process_time() - start))
    return [statistics.median(times[1:]) for times in found]


if __name__ == "__main__":
    try:
        main()
    except (TranslateError, OSError) as error:
        sys.exit(f"precision: {error}")
