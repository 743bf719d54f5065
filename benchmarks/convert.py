"""How near `translate convert` comes to the least the machine's cores need.

Least: CPU seconds of a bare single-threaded `InferenceSession.run` on arrays already loaded, plus bare Pillow
decoding and encoding of the same files, summed and divided by the number of cores. Resizing, checks, disk
writes and start-up are not in it. Actual: wall seconds of the real command on the folder, start-up included.

    python benchmarks/convert.py --model sketch-to-photo
    python benchmarks/convert.py --model my.onnx --images folder --repeat 20
"""

import argparse
import io
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from translate.convert import convert_folder
from translate.engine import Engine, cores
from translate.errors import TranslateError
from translate.images import READABLE, fit_size
from translate.models import resolve, shipped

LEAST_SECONDS = 10
"""Without --repeat the folder is enlarged until the least work takes this long, as in a real batch."""

SAVE_AS = {
    ".png": ("PNG", {"compress_level": 2}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": "4:4:4"}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": "4:4:4"}),
    ".webp": ("WEBP", {"quality": 92}),
}
"""What `translate.images.write_picture` uses."""


@dataclass(frozen=True)
class Least:
    """CPU seconds for each picture once."""

    decode: float
    run: float
    encode: float

    @property
    def total(self) -> float:
        """All three."""
        return self.decode + self.run + self.encode


def measure_least(files: list[Path], model: Path, engine: Engine) -> Least:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it warns that inputs with a default cannot be folded
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    decode = run = encode = 0.0
    for number, path in enumerate(files):
        began = time.process_time()
        image = Image.open(path).convert("RGB")
        full_HWC = np.asarray(image)
        decode += time.process_time() - began
        size = full_HWC.shape[:2]
        if engine.spec.working_size is not None:
            height, width = fit_size(*size, engine.spec.working_size)
            full_HWC = np.asarray(image.resize((width, height)))
        if number == 0:
            session.run(None, {name: full_HWC[None]})  # the first run also allocates
        began = time.process_time()
        result_HWC = session.run(None, {name: full_HWC[None]})[0][0]
        run += time.process_time() - began
        result = Image.fromarray(result_HWC)
        if engine.spec.working_size is not None:
            result = result.resize((size[1] * engine.spec.scale, size[0] * engine.spec.scale))
        format_name, settings = SAVE_AS[path.suffix.lower()]
        began = time.process_time()
        result.save(io.BytesIO(), format_name, **settings)
        encode += time.process_time() - began
    return Least(decode, run, encode)


def measure_command(folder: Path, out: Path, model: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of the real command."""
    command = [sys.executable, "-m", "translate.cli", "convert", str(folder), str(out), "--model", str(model)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([*command, "--device", "cpu", "--overwrite"], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fill(folder: Path, files: list[Path], repeat: int) -> None:
    folder.mkdir()
    for number in range(repeat):
        for index, path in enumerate(files):
            shutil.copyfile(path, folder / f"{number:05}_{index:04}{path.suffix}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", required=True, help="shipped model or .onnx file")
    parser.add_argument("--images", type=Path, help="folder of pictures; default: the model's shipped samples")
    parser.add_argument("--repeat", type=int, help=f"copies of each picture; default: {LEAST_SECONDS} s of work")
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
    model = resolve(options.model)
    engine = Engine(model, threads=1, device="cpu")
    files = sorted(path for path in options.images.iterdir() if path.suffix.lower() in READABLE)
    if not files:
        sys.exit(f"{options.images}: no pictures there; give --images FOLDER")
    first = measure_least(files, model, engine)
    repeat = options.repeat or math.ceil(LEAST_SECONDS * cores() / first.total)
    count = repeat * len(files)
    load = os.getloadavg()[0]
    print(f"{engine.spec.name}: {count} pictures ({len(files)} x {repeat}), {cores()} cores, load {load:.1f}")
    print(f"{'round':>5} {'least':>8} {'without start-up':>17} {'command':>8} {'ratio':>6} {'CPU needed/used':>16}")
    rows: list[tuple[float, float, float, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "in")
        fill(folder, files, repeat)
        for number in range(options.rounds):
            least = measure_least(files, model, engine)
            wall, cpu = measure_command(folder, Path(temporary, "out"), model)
            inside = convert_folder(folder, Path(temporary, "out"), engine, existing="overwrite").seconds
            limit = least.total * repeat / cores()
            rows.append((limit, inside, wall, least.total * repeat / cpu))
            print(f"{number + 1:>5} {limit:7.2f}s {inside:16.2f}s {wall:7.2f}s {limit / wall:6.2f} {rows[-1][3]:16.2f}")
    limit, inside, wall, efficiency = (statistics.median(column) for column in zip(*rows, strict=True))
    share = ", ".join(f"{part} {getattr(first, part) / first.total:.0%}" for part in ("decode", "run", "encode"))
    print(f"least work: {share}")
    print(f"limit/actual without start-up: {limit / inside:.2f}")
    print(
        f"limit/actual with start-up (the ratio that counts, {count} pictures): {limit / wall:.2f}; "
        f"CPU needed/used, which other programs on the machine disturb less: {efficiency:.2f}"
    )


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(str(error))
