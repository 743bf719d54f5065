"""Does the exported file do what the network did? Same pictures through torch and ONNX Runtime.

Shape suffixes: N batch, H height, W width, C channels.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from translate.engine import Engine
from translate.errors import ModelError
from translate.images import resize
from translate.spec import ModelSpec

SIZES = ((256, 256), (255, 257), (64, 96), (131, 77), (97, 301), (320, 224))
"""Heights and widths of the comparison; odd ones exercise the padding inside the graph."""

LARGEST_DIFFERENCE = 1
"""Allowed difference of any pixel, of 255: float rounding may fall on the other side of a half."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Comparison at one size."""

    batch: int
    height: int
    width: int
    largest: int
    """Largest difference of any value, of 255."""
    share: float
    """Share of values that differ at all."""


def compare(translator: nn.Module, path: Path, pictures: Sequence[Pixels]) -> list[Parity]:
    """Run each of `SIZES` with one picture, and one more time with a batch of two.

    Args:
        translator: the torch side, uint8 (N, H, W, C) in and out, on the CPU.
        path: the exported file.
        pictures: at least two real inputs, uint8 (H, W, C), resized to every size.
    """
    engine = Engine(path, device="cpu")
    plan = [(1, *size) for size in SIZES] + [(2, *SIZES[1])]
    rows: list[Parity] = []
    for number, (batch, height, width) in enumerate(plan):
        chosen = [pictures[(number + offset) % len(pictures)] for offset in range(batch)]
        image_NHWC = np.stack([resize(picture, height, width) for picture in chosen])
        with torch.inference_mode():
            expected = translator(torch.from_numpy(image_NHWC)).numpy()
        difference = np.abs(engine(image_NHWC).astype(np.int16) - expected)
        rows.append(
            Parity(
                batch=batch,
                height=height,
                width=width,
                largest=int(difference.max()),
                share=float((difference > 0).mean()),
            )
        )
    return rows


def table(rows: Sequence[Parity]) -> str:
    """The comparison as text, one line a size."""
    lines = ["parity, torch against ONNX Runtime:", "  batch  height  width  largest difference  values that differ"]
    lines += [
        f"  {row.batch:>5}  {row.height:>6}  {row.width:>5}  {row.largest:>11} of 255  {100 * row.share:>17.4f} %"
        for row in rows
    ]
    return "\n".join(lines)


def demand(rows: Sequence[Parity], path: Path) -> None:
    """Raise ModelError when any pixel differs by more than `LARGEST_DIFFERENCE`."""
    worst = max(rows, key=lambda row: row.largest)
    if worst.largest > LARGEST_DIFFERENCE:
        raise ModelError(
            f"{path} differs from the trained network by {worst.largest} of 255 at {worst.width}x{worst.height}, "
            f"at most {LARGEST_DIFFERENCE} is allowed; nothing was written, try --weights float32"
        )


def working_memory(path: Path, channels: int) -> int:
    """Bytes of memory that running the file needs per input pixel, measured in a process of its own.

    The peak of a process can only be read as a whole, so it is taken at two sizes and divided. Only Linux tells it
    in a way that does not count what the parent process has used; elsewhere the contract's default stands.
    """
    if sys.platform != "linux":
        return ModelSpec.bytes_per_pixel
    program = (
        "import sys, numpy, onnxruntime\n"
        "options = onnxruntime.SessionOptions()\n"
        "options.intra_op_num_threads = 1\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], options, providers=['CPUExecutionProvider'])\n"
        "for side in (128, 256, 768):\n"
        f"    session.run(None, {{'image': numpy.zeros((1, side, side, {channels}), numpy.uint8)}})\n"
        "    print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    _, small, large = (int(line) * 1024 for line in done.stdout.split())
    return max(64, (large - small) // (768**2 - 256**2))
