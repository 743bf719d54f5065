"""What `--engine ray` costs: images a second of Ray against threads, on one machine at equal settings.

Both have as many single-threaded workers, convert the same pictures and must give the same bytes. Alternated; medians
count. What Ray takes before the first result (its own start and that of its processes) is reported separately: it
occurs once, or once in some thousands of pictures.

    python benchmarks/ray_data.py --model sketch-to-photo
    python benchmarks/ray_data.py --model my.onnx --images folder --count 400 --workers 1 2
"""

import argparse
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from translate.conversion.folder import Backend, convert_folder
from translate.conversion.manifest import FILE_NAME
from translate.conversion.ray_backend import RayBackend
from translate.conversion.resume import Result
from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.inference.models import resolve, shipped
from translate.pictures.operations import READABLE


def fill(folder: Path, files: list[Path], count: int) -> None:
    folder.mkdir()
    for number, path in enumerate(itertools.islice(itertools.cycle(files), count)):
        shutil.copyfile(path, folder / f"{number:05}{path.suffix}")


def measure(source: Path, out: Path, engine: Engine, workers: int, backend: Backend | None) -> tuple[float, float]:
    """Return images a second, after the first fifth, and seconds before the first result."""
    began = time.perf_counter()
    moments: list[float] = []

    def note(_: Result) -> None:
        moments.append(time.perf_counter())

    report = convert_folder(
        source, out, engine, existing="overwrite", workers=workers, on_progress=note, backend=backend
    )
    if report.failed:
        sys.exit(str(report.failed[0].reason))
    fifth = len(moments) // 5  # results of Ray come in blocks, those of the first one all at once
    return (len(moments) - fifth - 1) / (moments[-1] - moments[fifth]), moments[0] - began


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte."""
    names = {path.name for folder in (one, other) for path in folder.iterdir() if path.name != FILE_NAME}
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", required=True, help="shipped model or .onnx file")
    parser.add_argument("--images", type=Path, help="folder of pictures; default: the model's shipped samples")
    parser.add_argument("--count", type=int, default=300, help="how many, the pictures again and again")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="alternated measurements; medians count")
    options = parser.parse_args()
    if options.images is None:
        samples = [model.samples for model in shipped() if model.name == options.model]
        if not samples:
            parser.error(f"{options.model} is no shipped model and has no samples; give --images FOLDER")
        options.images = samples[0]
    return options


def main() -> None:
    options = parse()
    engine = Engine(resolve(options.model), threads=1, device="cpu")
    files = sorted(path for path in options.images.iterdir() if path.suffix.lower() in READABLE)
    print(f"{engine.spec.name}: {options.count} pictures")
    print(f"{'workers':>7} {'threads':>12} {'Ray':>12} {'Ray/threads':>12} {'first result of Ray after':>26}")
    with tempfile.TemporaryDirectory() as temporary:
        source, by_threads, by_ray = (Path(temporary, name) for name in ("in", "threads", "ray"))
        fill(source, files, options.count)
        for workers in options.workers:
            rows: list[tuple[float, float, float]] = []
            for _ in range(options.rounds):
                threads, _ = measure(source, by_threads, engine, workers, None)
                ray, first = measure(source, by_ray, engine, workers, RayBackend(device="cpu"))
                rows.append((threads, ray, first))
            if not same(by_threads, by_ray):
                sys.exit("threads and Ray gave different bytes")
            threads, ray, first = (statistics.median(column) for column in zip(*rows, strict=True))
            ratio = statistics.median(ray / threads for threads, ray, _ in rows)
            print(f"{workers:>7} {threads:8.1f} im/s {ray:8.1f} im/s {ratio:12.2f} {first:24.1f} s")
    print("results: the same bytes")


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(str(error))
