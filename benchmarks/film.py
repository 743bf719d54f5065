"""Films: speed compared with a naive loop, and whether memory use is constant.

A synthetic clip is converted by `convert_folder` and by the naive loop: PyAV decodes a frame, a single-threaded Engine
converts it, PyAV encodes it, one after the other. Each runs in a separate process. Then clips of two lengths are
converted, to compare their peak memory.

    python benchmarks/film.py --model super-resolution
    python benchmarks/film.py --model my.onnx --frames 200 --workers 4
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from huge import peak_bytes

from translate.conversion.folder import convert_folder
from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.inference.models import resolve
from translate.machine import cores
from translate.pictures.operations import Picture

HEIGHT, WIDTH, RATE = 360, 640, 25


def make_film(path: Path, count: int) -> None:
    """A drifting pattern with some noise and without sound."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    random = np.random.default_rng(0)
    grain = random.integers(-9, 10, (HEIGHT, WIDTH, 1))
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(count):
            waves = [np.sin((rows * a + columns * b + 3 * number) / 40) for a, b in ((1, 2), (2, -1), (-1, 1))]
            picture = 128 + 90 * np.stack(waves, axis=-1) + np.roll(grain, number, axis=1)
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def naive(source: Path, target: Path, engine: Engine) -> None:
    """Decode, convert, encode, one after the other; the encoder is that of `translate`, on one thread."""
    scale = engine.spec.scale
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream: Any = made.add_stream("libx264", rate=RATE, options={"crf": "18", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH * scale, HEIGHT * scale, "yuv420p"
        given.streams.video[0].codec_context.thread_count = 1
        for frame in given.decode(video=0):
            picture = engine.apply(Picture(frame.to_ndarray(format="rgb24")))
            result = av.VideoFrame.from_ndarray(picture.rgb_HWC, format="rgb24")
            result.pts, result.time_base = frame.pts, frame.time_base
            made.mux(stream.encode(result))
        made.mux(stream.encode(None))


def convert_here(options: argparse.Namespace) -> None:
    """The measured process: convert, and print the resources used."""
    engine = Engine(resolve(options.model), threads=1, device=options.device)
    began, busy = time.perf_counter(), time.process_time()
    if options.how == "naive":
        naive(options.source, options.target, engine)
    else:
        report = convert_folder(options.source, options.target, engine, workers=options.workers)
        if report.failed:
            sys.exit(report.failed[0].reason)
    cpu = time.process_time() - busy
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": cpu, "peak": peak_bytes()}))


def measure(how: str, source: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--how", how, "--source", str(source), "--target", str(folder / f"{how}.mp4")]
    command += ["--model", options.model, "--workers", str(options.workers), "--device", options.device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{how}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", default="super-resolution", help="shipped model or .onnx file")
    parser.add_argument("--frames", type=int, default=100, help="of the clip whose speed is measured")
    parser.add_argument("--lengths", type=int, nargs=2, default=(100, 400), help="frames of the clips for memory")
    parser.add_argument("--memory-model", help="for memory; default: --model")
    parser.add_argument("--workers", type=int, default=cores(), help="frames in work at once")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--how", choices=("film", "naive"), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.how:
        convert_here(options)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"{options.model}, {WIDTH} x {HEIGHT}, {options.workers} workers, load {os.getloadavg()[0]:.1f}")
        source = folder / "clip.mp4"
        make_film(source, options.frames)
        speed: dict[str, float] = {}
        cpu: dict[str, float] = {}
        for how in ("naive", "film"):
            found = measure(how, source, folder, options)
            speed[how] = options.frames / found["seconds"]
            cpu[how] = found["cpu"]
            print(f"{how:<6} {speed[how]:8.2f} frames/s {cpu[how]:8.2f} s of CPU {found['peak'] / 2**20:6.0f} MiB")
        ratios = [speed["film"] / speed["naive"], cpu["naive"] / cpu["film"]]
        print(f"film / naive: {ratios[0]:.2f} of the speed")
        print(f"CPU naive / film, which other programs disturb less: {ratios[1]:.2f}", flush=True)
        options.model = options.memory_model or options.model
        peaks: list[float] = []
        for count in options.lengths:
            make_film(source, count)
            peaks.append(measure("film", source, folder, options)["peak"] / 2**20)
            print(f"{count:>5} frames: {peaks[-1]:.0f} MiB", flush=True)
        print(f"peak of {options.lengths[1]} / {options.lengths[0]} frames: {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(str(error))
