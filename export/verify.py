"""Verifies an exported file: runs the same pictures through PyTorch, or another file, and through the file.

Shape suffixes: N batch, H height, W width, C channels, S style size.
"""

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.backends import Backend, ControlValues, backends, versions
from translate.errors import ModelError
from translate.files import atomic_path
from translate.inference.controls import graph_inputs, numbered_style
from translate.inference.engine import Engine
from translate.spec import ModelSpec

SIZES = (
    (16, 16), (17, 31), (64, 96), (131, 77), (97, 301), (256, 256), (255, 257), (320, 224), (1000, 16), (16, 1000),
    (40, 1000), (600, 600), (1000, 1000),
)  # fmt: skip
"""Approximate heights and widths of the results to compare; odd ones exercise the padding inside the graph. See
`affordable`."""

ALWAYS = 320 * 224
"""Sizes of at most this many pixels are compared whatever the network costs."""

MOST_GMACS = 60
"""Larger sizes are compared if the network needs at most this many billions of multiply-adds for them: about a second
each in PyTorch and in ONNX Runtime on two cores."""

BATCHES = ((5, (64, 96)), (2, (255, 257)))
"""Numbers of pictures in a batch, and the size of the results."""

LARGEST_DIFFERENCE = {255: 1, 65535: 257}
"""Maximum allowed difference of a value, by the maximum value: one 8-bit level. Floats may round differently, and
weights stored as float16 change a value by a fraction of a level: in the network of the shipped model by 15 of 65535,
compared to 1 with float32 weights."""

MIN_PSNR = {"fp16": 45.0, "int8": 35.0}
"""Lowest PSNR in dB, of any picture, against the float32 graph. Networks of this program have 50 to 75 dB in fp16
and 30 to 50 in int8, see docs/results.md."""

FLAT = 0.03
"""Results whose values differ by at most this share of the maximum may be of one colour in another precision."""

EMULATED = "half"
"""Name of the backend that stands for a device which computes in float16, see `export.half.to_half`."""

JUDGED = ("cpu", EMULATED)
"""Backends whose results decide whether a file is written; a GPU rounds in its own ways, whatever the file says."""

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
    mean: float
    """Mean absolute difference of all values, in levels."""
    share: float
    """Fraction of values that differ at all."""
    full: int = 255
    """Maximum value: 255 or 65535."""
    controls: str = ""
    """Optional inputs that were given, e.g. `label, style` or `detail 0.5`."""
    device: str = "cpu"
    """What ran the file, see `export.backends.Backend.name`, or `EMULATED`."""
    squared: float = 0.0
    """Mean squared difference of all values, in squared levels."""
    blank: bool = False
    """Whether a result is of one colour where it should not be: values were lost, or too large for the precision."""
    picture: int = 0
    """Which of the pictures it was, from 1, as they are; 0: pictures at a size that was made up."""

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio; infinite for equal results."""
        return 10 * math.log10(self.full**2 / self.squared) if self.squared else math.inf


def affordable(spec: ModelSpec) -> list[tuple[int, int]]:
    """Those of `SIZES` that are compared: up to `ALWAYS` pixels all, larger ones up to `MOST_GMACS`.

    Larger ones are left out if the cost of the network is unknown (`gmacs_256` 0).
    """
    gmacs_per_pixel = spec.gmacs_256 / 256**2 / spec.scale**2  # of the result
    return [
        (height, width)
        for height, width in SIZES
        if height * width <= ALWAYS
        # A model with a working size sees no larger picture: it is reduced to that before.
        or (spec.working_size is None and 0 < gmacs_per_pixel * height * width <= MOST_GMACS)
    ]


def compare(
    translator: nn.Module,
    path: Path,
    pictures: Sequence[Pixels],
    spec: ModelSpec,
    sizes: Sequence[tuple[int, int]] | None = None,
    fixed: Mapping[str, NDArray[Any]] | None = None,
) -> list[Parity]:
    """Compare all sizes with one picture each, then `BATCHES`; the last of these with and without controls.

    Args:
        translator: the PyTorch model, pixels (N, H, W, C) in and out, on the CPU.
        path: the exported file.
        pictures: real inputs (H, W, C) of the model's type and channels, resized to every size.
        spec: the spec of the file.
        sizes: heights and widths of the results; None: see `affordable`.
        fixed: inputs of the network that are built into the file.
    """

    def network(image_NHWC: Pixels, controls: ControlValues) -> Pixels:
        given = {**(fixed or {}), **graph_inputs(spec, **controls)}
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(value) for name, value in given.items()}
            return translator(torch.from_numpy(image_NHWC), **tensors).numpy()

    *batches, last = BATCHES
    runs: list[tuple[int, tuple[int, int], ControlValues]] = [
        *((1, size, {}) for size in (affordable(spec) if sizes is None else sizes)),
        *((*batch, {}) for batch in batches),
        *((*last, controls) for controls in _control_settings(spec)),
    ]
    found = backends(path)
    rows: list[Parity] = []
    for number, (batch, size, controls) in enumerate(runs):
        able = [one for one in found if not one.few_sizes or batch > 1]
        rows += _compare(network, able, _batch(pictures, number, batch, size, spec), controls)
    return rows


def compare_files(
    original: Path, path: Path, pictures: Sequence[Pixels], given: ControlValues, emulated: Path | None = None
) -> list[Parity]:
    """Compare a file with the one it was made from: every picture as it is, each with other controls, then `BATCHES`.

    Args:
        original: a file of the same network.
        path: the file to compare with it.
        pictures: inputs (H, W, C) of the model's type and channels.
        given: controls of the original that are built into the other one, or are its defaults.
        emulated: the graph that stands for `EMULATED`, if it is to be compared too.
    """
    before, found = Engine(original, device="cpu"), backends(path)
    spec = Engine(path, device="cpu").spec
    if emulated is not None:
        engine = Engine(emulated, device="cpu")
        found.append(Backend(EMULATED, lambda image_NHWC, controls: engine(image_NHWC, **controls)))

    def reference(image_NHWC: Pixels, controls: ControlValues) -> Pixels:
        return before(image_NHWC, **{**given, **controls})

    rows: list[Parity] = []
    for number, image_HWC in enumerate(pictures):
        able = [one for one in found if not one.few_sizes or number == 0]
        rows += _compare(reference, able, image_HWC[None], varied_controls(spec, number), number + 1)
    for number, (batch, size) in enumerate(BATCHES):
        image_NHWC = _batch(pictures, 0, batch, size, spec)
        rows += _compare(reference, found, image_NHWC, varied_controls(spec, number) if number else {})
    return rows


def varied_controls(spec: ModelSpec, number: int) -> dict[str, Any]:
    """ControlValues that differ from picture to picture: the next label, another style, `detail` 0, 0.5 or 1."""
    chosen: dict[str, Any] = {}
    if spec.labels:
        chosen["label"] = number % len(spec.labels)
    if spec.style_size:
        chosen["style"] = numbered_style(number, spec)
    if spec.detail:
        chosen["detail"] = number % 3 / 2
    return chosen


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


def _batch(pictures: Sequence[Pixels], first: int, count: int, size: tuple[int, int], spec: ModelSpec) -> Pixels:
    """Inputs (N, H, W, C) for results of a size: so many pictures from the `first` on."""
    height, width = (max(side // spec.scale, spec.min_size) for side in size)
    chosen = [pictures[(first + more) % len(pictures)] for more in range(count)]
    return np.stack([_resize(image_HWC, height, width) for image_HWC in chosen])


def _compare(
    reference: Callable[[Pixels, ControlValues], Pixels],
    able: Sequence[Backend],
    image_NHWC: Pixels,
    controls: ControlValues,
    picture: int = 0,
) -> list[Parity]:
    """Run one batch through the reference and every backend: a row for each that does not fail."""
    expected_NHWC = reference(image_NHWC, controls)
    batch, height, width, _ = image_NHWC.shape
    rows: list[Parity] = []
    for backend in able:
        found_NHWC = backend.run(image_NHWC, controls)
        if found_NHWC is None:
            continue
        full = int(np.iinfo(found_NHWC.dtype).max)
        difference_NHWC = np.abs(found_NHWC.astype(np.int32) - expected_NHWC)
        rows.append(
            Parity(
                batch=batch,
                height=height,
                width=width,
                largest=int(difference_NHWC.max()),
                mean=float(difference_NHWC.mean()),
                share=float((difference_NHWC > 0).mean()),
                full=full,
                controls=", ".join(f"{name} {one:g}" if name == "detail" else name for name, one in controls.items()),
                device=backend.name,
                squared=float(np.square(difference_NHWC, dtype=np.float64).mean()),
                blank=bool(np.ptp(found_NHWC) == 0 and np.ptp(expected_NHWC) > FLAT * full),
                picture=picture,
            )
        )
    return rows


def _resize(image_HWC: Pixels, height: int, width: int) -> Pixels:
    """Nearest-neighbour resizing: works for any type and number of channels, and keeps real pixel values."""
    rows = np.arange(height) * image_HWC.shape[0] // height
    columns = np.arange(width) * image_HWC.shape[1] // width
    return image_HWC[rows][:, columns]


def table(rows: Sequence[Parity], what: str = "PyTorch vs. ONNX Runtime", *, lossy: bool = False) -> str:
    """The comparison as text, one line per size; for `lossy` precisions with the PSNR."""
    lines = [
        f"parity, {what}:",
        f"  batch  height  width  largest difference  mean difference  {'PSNR' if lossy else 'values that differ'}",
    ]
    for row in rows:
        picture = f"picture {row.picture}" if row.picture else ""
        notes = ", ".join(filter(None, (f"on {row.device}", picture, row.controls)))
        last = f"{row.psnr_db:>8.2f} dB" if lossy else f"{100 * row.share:>16.4f} %"
        lines.append(
            f"  {row.batch:>5}  {row.height:>6}  {row.width:>5}  {f'{row.largest} of {row.full}':>18}"
            f"  {row.mean:>15.6f}  {last}  {notes}"
        )
    return "\n".join(lines)


def demand(rows: Sequence[Parity], path: Path, reference: str = "trained network") -> None:
    """Raise ModelError when any value differs by more than `LARGEST_DIFFERENCE` on the CPU."""
    worst = max(_judged(rows), key=lambda row: row.largest)
    if worst.largest > LARGEST_DIFFERENCE[worst.full]:
        raise ModelError(
            f"{path} differs from the {reference} by {worst.largest} of {worst.full} at "
            f"{worst.width}x{worst.height}, but at most {LARGEST_DIFFERENCE[worst.full]} is allowed; nothing was "
            "written, try --weights float32"
        )


def demand_psnr(rows: Sequence[Parity], path: Path, precision: str, least_db: float) -> None:
    """Raise ModelError when a picture has a lower PSNR than `least_db`, or is of one colour where it should not be."""
    worst = min(_judged(rows), key=lambda row: (not row.blank, row.psnr_db))
    if worst.blank or worst.psnr_db < least_db:
        lost = "is of one colour, because values were lost or too large, and " if worst.blank else ""
        hint = "more or other pictures for --calibrate, or --precision fp16" if precision == "int8" else "float32"
        raise ModelError(
            f"{path} in {precision} {lost}has a PSNR of {worst.psnr_db:.1f} dB against float32 at "
            f"{worst.width}x{worst.height} (largest difference {worst.largest} of {worst.full}, mean "
            f"{worst.mean:.3f}), but --min-psnr is {least_db:g}; nothing was written, try {hint}"
        )


def report(rows: Sequence[Parity], weights_sha256: str, **facts: Any) -> dict[str, Any]:
    """What is written beside an exported file, see docs/deploy.md.

    Args:
        rows: the result of `compare` or `compare_files`.
        weights_sha256: digest of the weights that were compared, see `ModelSpec.weights_sha256`.
        facts: what else there is to say, instead of or in addition to the rest.
    """
    return {
        "weights_sha256": weights_sha256,
        "versions": versions_compared(),
        "allowed": LARGEST_DIFFERENCE[rows[0].full],
        **summary(rows),
        **facts,
        "rows": [dataclasses.asdict(row) for row in rows],
    }


def versions_compared() -> dict[str, str]:
    """Versions of torch and of the programs that a file is run by."""
    return {"torch": str(torch.__version__), **versions()}


def summary(rows: Sequence[Parity]) -> dict[str, Any]:
    """The comparison in a few numbers, those of the `JUDGED`: the only ones that a file is judged by."""
    judged = _judged(rows)
    values = [row.batch * row.height * row.width for row in judged]
    psnr_db = min(row.psnr_db for row in judged)
    return {
        "largest": max(row.largest for row in judged),
        "full": judged[0].full,
        "mean": float(np.average([row.mean for row in judged], weights=values)),
        "share": float(np.average([row.share for row in judged], weights=values)),
        "psnr_db": round(psnr_db, 2) if math.isfinite(psnr_db) else None,
        "sizes": sorted({f"{row.width}x{row.height}" for row in judged}, key=_pixels),
        "batches": sorted({row.batch for row in judged}),
        "devices": sorted({row.device for row in rows}),
    }


def _judged(rows: Sequence[Parity]) -> list[Parity]:
    return [row for row in rows if row.device in JUDGED]


def _pixels(size: str) -> tuple[int, str]:
    width, height = size.split("x")
    return int(width) * int(height), size


def as_json(found: Any) -> str:
    """Results as they are written to a file."""
    return json.dumps(found, indent=1) + "\n"


def save_for_report(found: Any, path: Path) -> None:
    """Write results as JSON, atomically.

    Raises:
        ModelError: the file cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(as_json(found), encoding="utf-8", newline="\n")
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}; check the permissions of the folder") from None


def working_memory(path: Path, spec: ModelSpec) -> int:
    """Memory in bytes that the file needs per input pixel, measured in a separate process.

    Only the peak of a whole process can be read, so the difference between two sizes is used. Only Linux reports the
    peak without the memory of the parent process; elsewhere the default of the spec is returned, and where the network
    cannot be run at these sizes.
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
        "    peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:'))\n"
        "    print(peak, flush=True)\n"  # a system that is out of memory ends the process without warning
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    measured = [(side**2, int(line) * 1024) for side, line in zip(sides, done.stdout.split(), strict=False)]
    if len(measured) < 2:  # of three: the largest may need more memory than there is
        return ModelSpec.bytes_per_pixel
    (fewer, small), (more, large) = measured[-2:]
    return max(64, (large - small) // (more - fewer))
