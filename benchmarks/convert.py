"""How close `translate convert` comes to the lower limit of the machine, and whether its memory use is constant.

Lower limit: CPU seconds of a plain single-threaded `InferenceSession.run` on arrays in memory, plus plain Pillow
decoding and encoding of the same files, divided by the number of cores. It does not include checks, disk writes,
start-up, or the resizing for models with a fixed size; it is also printed with plain resizing. Actual: wall-clock
seconds of the real command on the folder, including start-up. Naive: a loop that opens a file with Pillow, runs the
model on all cores and saves the result, one file after the other.

    python benchmarks/convert.py --model sketch-to-photo
    python benchmarks/convert.py --model my.onnx --images folder --pictures 200
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from translate.conversion.folder import convert_folder
from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.inference.models import resolve, shipped
from translate.machine import cores

FEW = 10
"""The memory use is compared with that for this many times fewer pictures."""

LAUNCHER = """
import json, os, sys, time
began = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, used = os.wait4(child, 0)
print(json.dumps([time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss]))
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process that starts the one to be measured, whose peak memory would otherwise be at least that of this
one."""

SAVE_AS = {
    ".png": ("PNG", {"compress_level": 2}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": "4:4:4"}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": "4:4:4"}),
    ".webp": ("WEBP", {"quality": 92}),
}
"""What `translate.pictures.operations.write_picture` uses."""


@dataclass(frozen=True)
class Least:
    """CPU seconds to process each picture once."""

    decode: float = 0.0
    run: float = 0.0
    encode: float = 0.0
    resize: float = 0.0

    @property
    def total(self) -> float:
        """Everything except resizing."""
        return self.decode + self.run + self.encode


@dataclass(frozen=True)
class Took:
    """Resources used by a process."""

    wall: float
    cpu: float
    peak: int
    """Bytes."""


def bare_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4  # it warns that inputs with a default cannot be folded
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def reduced(image: Image.Image, engine: Engine) -> Image.Image:
    """The picture as model input."""
    height, width = engine.model_size(image.height, image.width)
    return image if (width, height) == image.size else image.resize((width, height))


def restored(result: Image.Image, full: Image.Image, engine: Engine) -> Image.Image:
    """The result at its final size."""
    size = (full.width * engine.spec.scale, full.height * engine.spec.scale)
    return result if result.size == size else result.resize(size)


def measure_least(files: list[Path], model: Path, engine: Engine) -> Least:
    session = bare_session(model, 1)
    name = session.get_inputs()[0].name
    decode = run = encode = resize = 0.0
    for number, path in enumerate(files):
        began = time.process_time()
        image = Image.open(path).convert("RGB")
        image.load()
        decode += time.process_time() - began
        began = time.process_time()
        image_NHWC = np.asarray(reduced(image, engine))[None]
        resize += time.process_time() - began
        if number == 0:
            session.run(None, {name: image_NHWC})  # the first run also allocates
        began = time.process_time()
        result_HWC = session.run(None, {name: image_NHWC})[0][0]
        run += time.process_time() - began
        began = time.process_time()
        result = restored(Image.fromarray(result_HWC), image, engine)
        resize += time.process_time() - began
        format_name, settings = SAVE_AS[path.suffix.lower()]
        began = time.process_time()
        result.save(io.BytesIO(), format_name, **settings)
        encode += time.process_time() - began
    return Least(decode, run, encode, resize)


def naive(folder: Path, out: Path, model: Path) -> None:
    """The obvious loop."""
    engine = Engine(model, threads=1, device="cpu")  # for its sizes alone
    session = bare_session(model, cores())
    name = session.get_inputs()[0].name
    out.mkdir()
    for path in folder.iterdir():
        image = Image.open(path).convert("RGB")
        result_NHWC = session.run(None, {name: np.asarray(reduced(image, engine))[None]})[0]
        format_name, settings = SAVE_AS[path.suffix.lower()]
        restored(Image.fromarray(result_NHWC[0]), image, engine).save(out / path.name, format_name, **settings)


def measure(command: Sequence[str]) -> Took:
    """Run a process to its end."""
    launched = [sys.executable, "-S", "-c", LAUNCHER, *command]
    # Compiled modules are kept, as in an installed package: compiling them anew would take 0.2 s of each start-up.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(launched, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}")
    wall, cpu, peak = json.loads(done.stdout)
    return Took(wall, cpu, peak * (1 if sys.platform == "darwin" else 1024))


def measure_command(folder: Path, out: Path, model: Path) -> Took:
    """The real command."""
    command = [sys.executable, "-m", "translate.cli", "convert", str(folder), str(out), "--model", str(model)]
    return measure([*command, "--device", "cpu", "--overwrite"])


def measure_naive(folder: Path, out: Path, model: Path) -> Took:
    """The loop, in a process of its own."""
    options = ["--model", str(model), "--images", str(folder), "--naive", str(out)]
    return measure([sys.executable, __file__, *options])


def fill(folder: Path, files: list[Path], count: int) -> Path:
    """Links to the files, repeated until there are enough."""
    folder.mkdir()
    for number in range(count):
        path = files[number % len(files)]
        (folder / f"{number:05}{path.suffix}").symlink_to(path.resolve())
    return folder


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", required=True, help="shipped model or .onnx file")
    parser.add_argument("--images", type=Path, help="folder of pictures; default: the model's shipped samples")
    parser.add_argument("--pictures", type=int, default=1000, help="in the folder; those of --images again and again")
    parser.add_argument("--rounds", type=int, default=3, help="alternated measurements; medians count")
    parser.add_argument("--naive", type=Path, help=argparse.SUPPRESS)
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
    if options.naive:
        naive(options.images, options.naive, model)
        return
    engine = Engine(model, threads=1, device="cpu")
    files = sorted(path for path in options.images.iterdir() if path.suffix.lower() in SAVE_AS)
    if not files:
        sys.exit(f"{options.images}: no pictures there; give --images FOLDER")
    count = options.pictures
    print(f"{engine.spec.name}: {count} pictures of {len(files)}, {cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'round':>5} {'least':>8} {'without start-up':>17} {'command':>8} {'naive':>8} {'ratio':>6}", flush=True)
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        few = measure_command(fill(home / "few", files, count // FEW), home / "few-out", model)
        folder = fill(home / "in", files, count)
        for number in range(options.rounds):
            least = measure_least(files, model, engine)
            limit = least.total / len(files) * count / cores()
            took = measure_command(folder, home / "out", model)
            inside = convert_folder(folder, home / "out", engine, existing="overwrite").seconds
            loop = measure_naive(folder, home / f"naive{number}", model)
            rows.append(
                {"limit": limit, "inside": inside, "wall": took.wall, "cpu": took.cpu, "peak": took.peak}
                | {"naive": loop.wall, "naive_peak": loop.peak}
            )
            print(
                f"{number + 1:>5} {limit:7.2f}s {inside:16.2f}s {took.wall:7.2f}s {loop.wall:7.2f}s "
                f"{limit / took.wall:6.2f}",
                flush=True,
            )
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    share = ", ".join(f"{part} {getattr(least, part) / least.total:.0%}" for part in ("decode", "run", "encode"))
    limit = middle["limit"]
    print(f"least work: {share}")
    print(f"limit/actual without start-up: {limit / middle['inside']:.2f}")
    print(
        f"limit/actual with start-up (the ratio that counts, {count} pictures): {limit / middle['wall']:.2f}; "
        f"CPU needed/used, which other programs on the machine disturb less: {limit * cores() / middle['cpu']:.2f}"
    )
    print(f"with bare resizing: {limit / middle['wall'] * (1 + least.resize / least.total):.2f}")
    print(f"naive loop/actual: {middle['naive'] / middle['wall']:.2f} of the seconds")
    print(
        f"peak memory: {middle['peak'] / 2**20:.0f} MiB, {middle['peak'] / few.peak:.2f} of that with {count // FEW} "
        f"pictures; naive loop {middle['naive_peak'] / 2**20:.0f} MiB"
    )


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(str(error))
