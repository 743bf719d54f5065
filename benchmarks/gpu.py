"""Everything that needs a GPU, measured in one command of at most nine minutes, into docs/gpu.md.

    make gpu                      # with what is installed
    make gpu WHEELS=folder        # installs what is missing from a folder of wheels first, without a network
    python benchmarks/gpu.py --out docs/gpu.md --minutes 9

Parts: the tests marked `gpu`; the training step against plain eager float32 (`benchmarks/train_step.py`), in bfloat16,
classic and modern, and compiled; `translate bench` and `translate convert` with CUDA against the CPU; peak memory of
the GPU. Each part has a limit of its own, runs in processes of its own, and does not end the others if it fails: the
page says which parts were skipped, failed or ran out of time.

    python benchmarks/gpu.py --pretend cpu --out /tmp/gpu.md

runs the same on the CPU with tiny sizes, to try the script. Such figures say nothing, and the page says so.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "onnxruntime-gpu", "onnxruntime", "numpy", "pillow", "tensorrt")
"""Whose versions are named; those of the parts are imported by the parts, since any may be missing."""

PRETEND = "PRETEND: made on the CPU with tiny sizes, to try the script. These figures say nothing about a GPU."


@dataclass
class Part:
    """One part of the page."""

    title: str
    share: float
    """Of the whole time."""
    needs: tuple[str, ...]
    """Packages."""
    run: "Callable[[Bench, Clock], Iterator[str]]"
    """Yields lines of the page as they are found."""


@dataclass
class Clock:
    """The time that a part may take."""

    ends: float

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()


class OutOfTimeError(Exception):
    """A part took longer than it may."""


class FailedError(Exception):
    """A process of a part ended with an error; the text is one line."""


@dataclass
class Bench:
    """What is measured where."""

    pretend: bool
    seconds: float
    """Of each measurement."""
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def device(self) -> str:
        """The device for `translate`."""
        return "cpu" if self.pretend else "cuda"

    def output(self, clock: Clock, *command: str) -> str:
        """What a process prints; it is killed with all its children when the time is over."""
        if clock.left <= 0:
            raise OutOfTimeError
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=self.environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=clock.left)
        except subprocess.TimeoutExpired:
            raise OutOfTimeError from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode:
            last = [line for line in printed.splitlines() if line.strip()][-1:] or ["nothing printed"]
            raise FailedError(f"exit status {process.returncode}: {last[0].strip()[:300]}")
        return printed


def tests(bench: Bench, clock: Clock) -> Iterator[str]:
    """The tests marked `gpu`."""
    marked = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()]
    chosen = ["--collect-only", marked[-1]] if bench.pretend else marked
    options = ["-m", "gpu", "-q", "-n", "0", "-p", "no:cacheprovider", *chosen]
    printed = bench.output(clock, sys.executable, "-m", "pytest", *options)
    yield f"`pytest -m gpu`: {printed.strip().splitlines()[-1].strip('= ')}"


def training(bench: Bench, clock: Clock) -> Iterator[str]:
    """Our step against the plain one."""
    yield "| task | preset | options | images/s over plain | peak memory over plain | model FLOPs over matrix rate |"
    yield "|---|---|---|---|---|---|"
    cases: list[tuple[str, str, list[str]]] = [
        ("sketch-to-photo", "modern", []),
        ("pix2pix", "classic", []),
        ("sketch-to-photo", "modern", ["--compile"]),
    ]
    small = ["--batch-size", "1", "--image-size", "64", "--rounds", "1"] if bench.pretend else ["--rounds", "3"]
    for task, preset, extra in cases[: 2 if bench.pretend else None]:
        ends = Clock(time.monotonic() + clock.left / (3 - cases.index((task, preset, extra))))
        options = ["--task", task, "--preset", preset, "--seconds", f"{bench.seconds:g}", *small, *extra]
        name = " ".join(extra) or "none"
        try:
            printed = bench.output(ends, sys.executable, "benchmarks/train_step.py", *options)
            if f"{preset}: {bench.device}" not in printed:
                raise FailedError("torch did not use the GPU")
        except (FailedError, OutOfTimeError) as error:
            yield f"| {task} | {preset} | {name} | {reason(error)} | | |"
            continue
        figures = [
            found[1] if (found := re.search(pattern, printed)) else ""
            for pattern in (r"median: ([\d.]+)", r"peak memory, ours/plain: (.+)", r"matrix product rate: ([\d.]+)")
        ]
        yield f"| {task} | {preset} | {name} | {' | '.join(figures)} |"


def models(bench: Bench, clock: Clock) -> Iterator[str]:
    """The shipped models on the GPU and on the CPU."""
    yield "| model | size | batch | images/s | over the CPU | of matrix rate |"
    yield "|---|---|---|---|---|---|"
    names = ("sketch-to-photo", "day-to-night", "super-resolution")
    for number, name in enumerate(names[: 1 if bench.pretend else None]):
        ends = Clock(time.monotonic() + clock.left / (len(names) - number))
        sizes = ["--sizes", "32", "--batches", "1"] if bench.pretend else ["--sizes", "256", "--batches", "1", "8"]
        options = ["bench", name, "--json", "--seconds", f"{bench.seconds / 3:g}", *sizes]
        found: dict[str, list[dict[str, float]]] = {}
        try:
            for device in (bench.device, "cpu"):
                command = [sys.executable, "-m", "translate.cli", *options, "--device", device]
                found[device] = json.loads(bench.output(ends, *command))["rows"]
        except (FailedError, OutOfTimeError) as error:
            yield f"| {name} | | | {reason(error)} | | |"
            continue
        for row, slow in zip(found[bench.device], found["cpu"], strict=True):
            over = row["images_per_second"] / slow["images_per_second"]
            yield (
                f"| {name} | {row['width']} x {row['height']} | {row['batch']} | {row['images_per_second']:.1f} | "
                f"{over:.2f} | {row['share_of_matrix_rate']:.2f} |"
            )


def conversion(bench: Bench, clock: Clock) -> Iterator[str]:
    """`translate convert` of a folder on both devices, and how much the results differ."""
    import numpy as np
    from PIL import Image

    count, side = (4, 40) if bench.pretend else (200, 512)
    model = "day-to-night"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "in")
        folder.mkdir()
        random = np.random.default_rng(0)
        for number in range(count):
            coarse_HWC = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(coarse_HWC).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number:04}.png")
        seconds: dict[str, float] = {}
        for place, device in (("gpu", bench.device), ("cpu", "cpu")):
            out = Path(temporary, place)
            options = ["convert", str(folder), str(out), "--model", model, "--device", device]
            began = time.monotonic()
            bench.output(clock, sys.executable, "-m", "translate.cli", *options)
            seconds[place] = time.monotonic() - began
        worst = 0
        for path in sorted(Path(temporary, "gpu").glob("*.png")):
            pair = [np.asarray(Image.open(Path(temporary, place, path.name)), int) for place in ("gpu", "cpu")]
            worst = max(worst, int(np.abs(pair[0] - pair[1]).max()))
    yield f"`translate convert`, {count} PNG of {side} x {side} pixels, {model}, with start-up:"
    yield ""
    times = f"{seconds['cpu'] / seconds['gpu']:.2f} times as fast"
    yield f"- {seconds['gpu']:.1f} s on the GPU, {seconds['cpu']:.1f} s on {os.cpu_count()} CPU cores: {times}"
    yield f"- largest difference between the results: {worst} of 255"


MEMORY = """
import sys, threading, subprocess, time
import numpy as np
from translate.inference.engine import Engine
device, side = sys.argv[1], int(sys.argv[2])
def used():
    if device == "cpu":
        return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])
before = used()
engine = Engine("super-resolution", device=device)
peak, done = [0.0], threading.Event()
def watch():
    while not done.wait(0.1):
        peak[0] = max(peak[0], used())
watcher = threading.Thread(target=watch)
watcher.start()
for _ in range(3):
    engine(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))
peak[0] = max(peak[0], used())
done.set()
watcher.join()
print(f"{peak[0] - before:.0f}")
"""


def memory(bench: Bench, clock: Clock) -> Iterator[str]:
    """Memory of the GPU that inference takes."""
    side = 32 if bench.pretend else 512
    printed = bench.output(clock, sys.executable, "-c", MEMORY, bench.device, str(side))
    yield f"`super-resolution` on pictures of {side} x {side} pixels: {printed.strip()} MiB of the device's memory."


PARTS = (
    Part("Tests", 0.2, ("torch", "kornia", "onnx", "pytest", "pytest_timeout", "xdist"), tests),
    Part("Training step", 0.45, ("torch", "torchvision", "kornia", "lightning_fabric", "safetensors"), training),
    Part("Models", 0.15, ("onnxruntime", "PIL", "rich", "tyro"), models),
    Part("Folder conversion", 0.12, ("onnxruntime", "PIL", "pyvips", "rich", "tyro"), conversion),
    Part("Memory", 0.08, ("onnxruntime", "PIL", "pyvips"), memory),
)


def reason(error: Exception) -> str:
    """Why there is no figure, as a cell of a table."""
    return "ran out of time" if isinstance(error, OutOfTimeError) else f"failed: {str(error).replace('|', '/')}"


def missing(part: Part) -> list[str]:
    """Packages that a part needs and that are not installed."""
    return [name for name in part.needs if importlib.util.find_spec(name) is None]


def run_part(part: Part, bench: Bench, seconds: float) -> list[str]:
    """The lines about a part, also if it ends early."""
    lines: list[str] = []
    if absent := missing(part):
        return [f"Skipped: {', '.join(absent)} is not installed."]
    try:
        for line in part.run(bench, Clock(time.monotonic() + seconds)):
            lines.append(line)
            print(line, flush=True)
    except (FailedError, OutOfTimeError) as error:
        lines += ["", f"Ended early: {reason(error)}."]
    except Exception as error:  # a fault of one part must not end the others
        lines += ["", f"Ended early: {type(error).__name__}: {' '.join(str(error).split())[:300]}."]
    return lines


def machine(bench: Bench) -> Iterator[str]:
    """The GPU, its driver, and the versions of what is measured."""
    if bench.pretend:
        yield f"**{PRETEND}**"
        yield ""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        said = "no NVIDIA GPU found"
    yield f"- GPU: {said}"
    yield f"- {os.cpu_count()} CPU cores, Python {platform.python_version()}"
    versions: list[str] = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    yield f"- {', '.join(versions)}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gpu.md")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything together")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--parts", nargs="+", choices=[part.title for part in PARTS], help="only these")
    parser.add_argument("--pretend", choices=("cpu",), help="try the script without a GPU, with tiny sizes")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if not options.pretend and not shutil.which("nvidia-smi"):
        sys.exit("gpu: no NVIDIA GPU found; run this on a machine that has one, or try it with --pretend cpu")
    bench = Bench(bool(options.pretend), options.seconds)
    bench.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    parts = [part for part in PARTS if not options.parts or part.title in options.parts]
    ends = time.monotonic() + 60 * options.minutes
    page = ["# On a GPU", "", "Made by `make gpu` (`benchmarks/gpu.py`); do not edit.", "", *machine(bench)]
    for number, part in enumerate(parts):
        print(f"## {part.title}", flush=True)
        # What earlier parts did not need is shared by the later ones.
        share = part.share / sum(later.share for later in parts[number:])
        page += ["", f"## {part.title}", "", *run_part(part, bench, share * (ends - time.monotonic()))]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text("\n".join(page) + "\n", encoding="utf-8")  # also if the next part is cut off
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
