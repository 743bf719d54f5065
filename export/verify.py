"""Does the exported file do what the network did? Same pictures through torch and ONNX Runtime.

Shape suffixes: N batch, H height, W width, C channels, S style size.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from translate.engine import Engine
from translate.errors import ModelError
from translate.files import atomic_path
from translate.spec import ModelSpec

SIZES = ((256, 256), (255, 257), (64, 96), (131, 77), (97, 301), (320, 224))
"""Heights and widths of the comparison, of the results, about; odd ones exercise the padding inside the graph."""

LARGEST_DIFFERENCE = {255: 1, 65535: 257}
"""Allowed difference of any value, by the largest value: one level of 8 bits. Float rounding may fall on the other side
of a half, and weights stored as float16 move a value by a fraction of a level: in the shipped model's network by 15 of
65535, where float32 weights leave 1."""

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the variable's suffix says its shape."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Comparison at one size."""

    batch: int
    height: int
    """Of the input."""
    width: int
    largest: int
    """Largest difference of any value."""
    share: float
    """Share of values that differ at all."""
    full: int = 255
    """Largest value there is: 255 or 65535."""
    knobs: str = ""
    """Which optional inputs were given, e.g. `label, style`, or `detail 0.5`."""


def compare(translator: nn.Module, path: Path, pictures: Sequence[Pixels], spec: ModelSpec) -> list[Parity]:
    """Run each of `SIZES` with one picture, once more with a batch of two, and that with every knob turned.

    Args:
        translator: the torch side, pixels (N, H, W, C) in and out, on the CPU.
        path: the exported file.
        pictures: real inputs (H, W, C) of the model's type and channels, resized to every size.
        spec: the model's contract.
    """
    engine = Engine(path, device="cpu")
    sizes = [(height // spec.scale, width // spec.scale) for height, width in SIZES]
    rows: list[Parity] = []
    for number, (height, width) in enumerate(sizes):
        image_NHWC = _resize(pictures[number % len(pictures)], height, width)[None]
        rows.append(_compare(translator, engine, image_NHWC, {}))
    height, width = sizes[1]
    two_NHWC = np.stack([_resize(pictures[number % len(pictures)], height, width) for number in range(2)])
    rows += [_compare(translator, engine, two_NHWC, chosen) for chosen in _turned(spec)]
    return rows


def _turned(spec: ModelSpec) -> list[dict[str, Any]]:
    """Knobs to give: none, then those the model has, the last label, any style, and `detail` at its ends and middle."""
    chosen: dict[str, Any] = {}
    if spec.labels:
        chosen["label"] = len(spec.labels) - 1
    if spec.style_size:
        chosen["style"] = np.random.default_rng(0).standard_normal(spec.style_size, np.float32)
    if spec.detail:
        return [{}, *({**chosen, "detail": detail} for detail in (0.0, 0.5, 1.0))]
    return [{}, chosen] if chosen else [{}]


def _compare(translator: nn.Module, engine: Engine, image_NHWC: Pixels, chosen: dict[str, Any]) -> Parity:
    with torch.inference_mode():
        given = {name: torch.from_numpy(value) for name, value in engine.knobs(**chosen).items()}
        expected_NHWC = translator(torch.from_numpy(image_NHWC), **given).numpy()
    found_NHWC = engine(image_NHWC, **chosen)
    difference_NHWC = np.abs(found_NHWC.astype(np.int32) - expected_NHWC)
    batch, height, width, _ = image_NHWC.shape
    return Parity(
        batch=batch,
        height=height,
        width=width,
        largest=int(difference_NHWC.max()),
        share=float((difference_NHWC > 0).mean()),
        full=2**engine.spec.output_bits - 1,
        knobs=", ".join(f"{name} {value:g}" if name == "detail" else name for name, value in chosen.items()),
    )


def _resize(image_HWC: Pixels, height: int, width: int) -> Pixels:
    """Take the nearest pixels: any type and number of channels, and a real picture's values stay what they are."""
    rows = np.arange(height) * image_HWC.shape[0] // height
    columns = np.arange(width) * image_HWC.shape[1] // width
    return image_HWC[rows][:, columns]


def table(rows: Sequence[Parity]) -> str:
    """The comparison as text, one line a size."""
    lines = ["parity, torch against ONNX Runtime:", "  batch  height  width  largest difference  values that differ"]
    lines += [
        f"  {row.batch:>5}  {row.height:>6}  {row.width:>5}  {f'{row.largest} of {row.full}':>18}"
        f"  {100 * row.share:>16.4f} %  {row.knobs}".rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def demand(rows: Sequence[Parity], path: Path) -> None:
    """Raise ModelError when any value differs by more than `LARGEST_DIFFERENCE`."""
    worst = max(rows, key=lambda row: row.largest)
    if worst.largest > LARGEST_DIFFERENCE[worst.full]:
        raise ModelError(
            f"{path} differs from the trained network by {worst.largest} of {worst.full} at "
            f"{worst.width}x{worst.height}, at most {LARGEST_DIFFERENCE[worst.full]} is allowed; nothing was written, "
            "try --weights float32"
        )


def save_for_report(found: Any, path: Path) -> None:
    """Write what `translate report` shows as JSON, whole or not at all.

    Raises:
        ModelError: the file cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n")
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}; give yourself the right to write there") from None


def working_memory(path: Path, spec: ModelSpec) -> int:
    """Bytes of memory that running the file needs per input pixel, measured in a process of its own.

    The peak of a process can only be read as a whole, so it is taken at two sizes and divided. Only Linux tells it
    in a way that does not count what the parent process has used; elsewhere the contract's default stands.
    """
    if sys.platform != "linux":
        return ModelSpec.bytes_per_pixel
    # Results of about one size, whatever the scale.
    sides = [side // spec.scale for side in (128, 256, 768)]
    program = (
        "import sys, numpy, onnxruntime\n"
        "options = onnxruntime.SessionOptions()\n"
        "options.intra_op_num_threads = 1\n"
        "options.log_severity_level = 4\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], options, providers=['CPUExecutionProvider'])\n"
        f"for side in {sides}:\n"
        f"    image = numpy.zeros((1, side, side, {spec.input_channels}), numpy.uint{spec.input_bits})\n"
        "    session.run(None, {'image': image})\n"
        "    print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    _, small, large = (int(line) * 1024 for line in done.stdout.split())
    return max(64, (large - small) // (sides[2] ** 2 - sides[1] ** 2))
