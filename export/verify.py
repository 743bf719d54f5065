"""Verifies an exported file: runs the same pictures through PyTorch and ONNX Runtime.

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

from translate.errors import ModelError
from translate.files import atomic_path
from translate.inference.engine import Engine
from translate.spec import ModelSpec

SIZES = ((256, 256), (255, 257), (64, 96), (131, 77), (97, 301), (320, 224))
"""Approximate heights and widths of the results to compare; odd ones exercise the padding inside the graph."""

LARGEST_DIFFERENCE = {255: 1, 65535: 257}
"""Maximum allowed difference of a value, by the maximum value: one 8-bit level. Floats may round differently, and
weights stored as float16 change a value by a fraction of a level: in the network of the shipped model by 15 of 65535,
compared to 1 with float32 weights."""

Pixels = NDArray[Any]
"""uint8 or uint16 array of pixels; the suffix of the variable gives its shape."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The comparison at one size."""

    batch: int
    height: int
    """Of the input."""
    width: int
    largest: int
    """Largest difference of any value."""
    share: float
    """Fraction of values that differ at all."""
    full: int = 255
    """Maximum value: 255 or 65535."""
    controls: str = ""
    """Optional inputs that were given, e.g. `label, style` or `detail 0.5`."""


def compare(translator: nn.Module, path: Path, pictures: Sequence[Pixels], spec: ModelSpec) -> list[Parity]:
    """Compare all `SIZES` with one picture each, then a batch of two, with and without controls.

    Args:
        translator: the PyTorch model, pixels (N, H, W, C) in and out, on the CPU.
        path: the exported file.
        pictures: real inputs (H, W, C) of the model's type and channels, resized to every size.
        spec: the model's spec.
    """
    engine = Engine(path, device="cpu")
    sizes = [(height // spec.scale, width // spec.scale) for height, width in SIZES]
    rows: list[Parity] = []
    for number, (height, width) in enumerate(sizes):
        image_NHWC = _resize(pictures[number % len(pictures)], height, width)[None]
        rows.append(_compare(translator, engine, image_NHWC, {}))
    height, width = sizes[1]
    two_NHWC = np.stack([_resize(pictures[number % len(pictures)], height, width) for number in range(2)])
    rows += [_compare(translator, engine, two_NHWC, chosen) for chosen in _control_settings(spec)]
    return rows


def _control_settings(spec: ModelSpec) -> list[dict[str, Any]]:
    """Settings to compare: none, then all controls: the last label, a random style, `detail` at its ends and middle."""
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
        given = {name: torch.from_numpy(value) for name, value in engine.controls(**chosen).items()}
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
        controls=", ".join(f"{name} {value:g}" if name == "detail" else name for name, value in chosen.items()),
    )


def _resize(image_HWC: Pixels, height: int, width: int) -> Pixels:
    """Nearest-neighbour resizing: works for any type and number of channels, and keeps real pixel values."""
    rows = np.arange(height) * image_HWC.shape[0] // height
    columns = np.arange(width) * image_HWC.shape[1] // width
    return image_HWC[rows][:, columns]


def table(rows: Sequence[Parity]) -> str:
    """The comparison as text, one line per size."""
    lines = ["parity, PyTorch vs. ONNX Runtime:", "  batch  height  width  largest difference  values that differ"]
    lines += [
        f"  {row.batch:>5}  {row.height:>6}  {row.width:>5}  {f'{row.largest} of {row.full}':>18}"
        f"  {100 * row.share:>16.4f} %  {row.controls}".rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def demand(rows: Sequence[Parity], path: Path) -> None:
    """Raise ModelError when any value differs by more than `LARGEST_DIFFERENCE`."""
    worst = max(rows, key=lambda row: row.largest)
    if worst.largest > LARGEST_DIFFERENCE[worst.full]:
        raise ModelError(
            f"{path} differs from the trained network by {worst.largest} of {worst.full} at "
            f"{worst.width}x{worst.height}, but at most {LARGEST_DIFFERENCE[worst.full]} is allowed; nothing was "
            "written, try --weights float32"
        )


def save_for_report(found: Any, path: Path) -> None:
    """Write results for `translate report` as JSON, atomically.

    Raises:
        ModelError: the file cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n")
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}; check the permissions of the folder") from None


def working_memory(path: Path, spec: ModelSpec) -> int:
    """Memory in bytes that the file needs per input pixel, measured in a separate process.

    Only the peak of a whole process can be read, so the difference between two sizes is used. Only Linux reports the
    peak without the memory of the parent process; elsewhere the default of the spec is returned.
    """
    if sys.platform != "linux":
        return ModelSpec.bytes_per_pixel
    # Results have about the same size for any scale.
    sides = [side // spec.scale for side in (128, 256, 768)]
    program = (
        "import sys, numpy, onnxruntime\n"
        "options = onnxruntime.SessionOptions()\n"
        "options.intra_op_num_threads = 1\n"
        "options.log_severity_level = 4\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], options, providers=['CPUExecutionProvider'])\n"
        "kinds = {'tensor(int64)': 'int64', 'tensor(float)': 'float32'}\n"
        "required = {one.name: numpy.zeros(one.shape, kinds[one.type]) for one in session.get_inputs()[1:]}\n"
        f"for side in {sides}:\n"
        f"    image = numpy.zeros((1, side, side, {spec.input_channels}), numpy.uint{spec.input_bits})\n"
        "    session.run(None, {'image': image, **required})\n"
        "    print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    _, small, large = (int(line) * 1024 for line in done.stdout.split())
    return max(64, (large - small) // (sides[2] ** 2 - sides[1] ** 2))
