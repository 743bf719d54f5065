"""The command `translate bench`."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import tyro

from translate.errors import ConfigError
from translate.inference.bench import Cell, measure
from translate.inference.devices import Device
from translate.inference.graph_file import read_metadata
from translate.inference.models import resolve
from translate.machine import MOST_THREADS, cores
from translate.options import parse_options
from translate.spec import ModelSpec


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
@dataclass(frozen=True)
class BenchOptions:
    """Measure how fast models run on this machine: milliseconds, images and megapixels of results per second, and the
    share of the rate at which it multiplies matrices. All models are measured in turn, and the figures are medians."""

    models: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="FILE.onnx|NAME", help_behavior_hint="(required)")
    ]
    """One or more .onnx files, such as the same model in several precisions, or names of models."""
    sizes: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="SIDE|WIDTHxHEIGHT", help_behavior_hint="(default: by the model)")
    ] = ()
    """Sizes of the inputs in pixels, such as 256 or 640x360. Without it, the size that a model works at;
    256 and 512 for models that work at any size, or 128 and 256 if they enlarge."""
    batches: tuple[int, ...] = (1,)
    """Numbers of pictures per run."""
    threads: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT", help_behavior_hint="(default: all cores)")] = ()
    """Numbers of CPU threads per run."""
    device: Device = "auto"
    """Where to run; see `translate convert`."""
    seconds: float = 2.0
    """Time to measure each row of the table for."""
    json: bool = False
    """Print everything as one JSON object."""

    def __post_init__(self) -> None:
        """Validate the options.

        Raises:
            ConfigError: one is out of range.
        """
        if not self.models:
            raise ConfigError("no model is given; give an .onnx file or the name of a model, see `translate models`")
        for number in self.batches:
            if number < 1:
                raise ConfigError(f"--batches {number} is out of range; give 1 or more")
        for number in self.threads:
            if not 1 <= number <= MOST_THREADS:
                raise ConfigError(f"--threads {number} is out of range; give 1 to {MOST_THREADS}")
        if not 0 < self.seconds <= 3600:  # also rejects NaN
            raise ConfigError(f"--seconds {self.seconds:g} is out of range; give more than 0, at most 3600")
        for size in self.sizes:
            _size(size)


def main(argv: list[str]) -> int:
    """Measure, print a table and return 0.

    Raises:
        ModelError: a model is unusable, or the device did not start.
        ImageError: a size does not fit in memory.
    """
    options = parse_options(BenchOptions, argv, "translate bench")
    found = measure(list(_cells(options)), options.device, options.seconds)
    rows = [one.facts for one in found]
    if options.json:
        sys.stdout.write(json.dumps({"cores": cores(), "rows": rows}, indent=1) + "\n")
        return 0
    sys.stdout.write(f"device: {rows[0]['device']} ({rows[0]['device_why']})\n")
    rates = {row["threads"]: row["matrix_gmacs_per_second"] for row in rows}
    said = ", ".join(f"{rate:.0f} with {threads} threads" for threads, rate in rates.items())
    sys.stdout.write(f"matrix product, GMAC/s: {said}\n\n")
    sys.stdout.writelines(_table(rows))
    return 0


def _cells(options: BenchOptions) -> Iterator[Cell]:
    for name in options.models:
        path = resolve(name)
        sizes = options.sizes or _usual_sizes(path)
        for threads, size, batch in product(options.threads or (cores(),), sizes, options.batches):
            width, height = _size(size)
            yield Cell(path, height, width, batch, threads)


def _usual_sizes(path: Path) -> Sequence[str]:
    spec = ModelSpec.from_metadata(read_metadata(path), str(path))
    side = spec.working_size or spec.scene_size
    return [str(side)] if side else ["128", "256"] if spec.scale > 1 else ["256", "512"]


def _size(text: str) -> tuple[int, int]:
    """Width and height."""
    found = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if found is None:
        raise ConfigError(f"--sizes {text!r} is no size; give a side such as 256, or WIDTHxHEIGHT such as 640x360")
    return int(found[1]), int(found[2] or found[1])


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines of aligned columns; the file and its precision are named where there are several."""
    several = len({row["file"] for row in rows}) > 1
    named = ("model", "file", "precision") if several else ("model",)
    table = [
        [*named, "width x height", "batch", "threads", "ms", "images/s", "megapixels/s", "of matrix rate"],
        *(
            [
                *(Path(row[name]).name for name in named),
                f"{row['width']} x {row['height']}",
                str(row["batch"]),
                str(row["threads"]),
                f"{row['ms']:.1f}",
                f"{row['images_per_second']:.1f}",
                f"{row['megapixels_per_second']:.2f}",
                "unknown" if row["share_of_matrix_rate"] is None else f"{row['share_of_matrix_rate']:.2f}",
            ]
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
