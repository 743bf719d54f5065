"""Our training step compared with a plain one, measured alternately in one run: images/s and peak memory.

Plain: the same networks, losses and batch; eager float32, default memory format, default `Adam`, backward passes
through everything, no EMA. Ours: what `translate train` does for every batch, without sketch making and loading in both
cases. With --data, loading speed is compared with training speed. On a GPU also: model FLOPs per second relative to
the measured rate of bfloat16 matrix products.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --task pix2pix --preset classic --batch-size 16
    python benchmarks/train_step.py --task sketch-to-photo --data photos --cache /tmp/decoded

With --busy instead: our step on the CPU, on a quiet machine and next to one, two, ... busy processes, which the script
starts and stops itself: with one thread per core that waits actively or passively (OpenMP), with a single thread, and
with the choice of `translate train`. Every figure comes from a separate process, because OpenMP reads its variables
once.

    python benchmarks/train_step.py --busy
    python benchmarks/train_step.py --busy --neighbours 0 1 --image-size 64 --seconds 1 --rounds 1
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from translate.data.loading import batches
from translate.errors import TranslateError
from translate.machine import cores
from translate.tasks import TASKS
from translate.tasks.base import load_object
from translate.trainers.base import Batch, Term, Trainer
from translate.trainers.config import TrainConfig
from translate.training.allocator import keep_memory
from translate.training.batches import list_training_data, open_training_data
from translate.training.openmp import NUMBERS, POLICIES, busy_cores, choose
from translate.training.run import Run
from translate.training.snapshot import Header

Step = Callable[[Batch], None]


def make_trainer(options: argparse.Namespace) -> Trainer:
    torch.manual_seed(0)
    task = TASKS[options.task]
    trainer_class = load_object(task.trainer)
    changes = {name: getattr(options, name) for name in ("batch_size", "image_size", "cache") if getattr(options, name)}
    config: TrainConfig = trainer_class.presets[options.preset]
    return trainer_class(
        config.replace(max_images=10**9, compile=options.compile, **{**task.settings, **changes}), task
    )


def plain_step(options: argparse.Namespace) -> Step:
    trainer = make_trainer(options)
    trainer.to("cuda" if torch.cuda.is_available() else "cpu")
    config = trainer.config
    weights = {
        player: [weight for network in trainer.networks_of(player) for weight in network.parameters()]
        for player in trainer.players
    }
    optimizers = {
        player: torch.optim.Adam(found, lr=1e-5, betas=(config.optimisation.adam_beta1, config.optimisation.adam_beta2))
        for player, found in weights.items()
    }

    def update(player: str, terms: Mapping[str, Term]) -> None:
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        sum(term.weight * term.value for term in terms.values()).backward()
        optimizers[player].step()

    return lambda batch: trainer.step(batch, update)


def our_step(options: argparse.Namespace) -> tuple[Step, Run]:
    header = Header(task="", trainer="", config={}, data="", images_seen=0, steps=0, seconds_used=0.0)
    run = Run(make_trainer(options), header, Path(tempfile.gettempdir()))
    if run.fabric.device.type == "cpu":
        keep_memory()

    def step(batch: Batch) -> None:
        pictures = (x.contiguous(memory_format=torch.channels_last) for x in (batch.source_BCHW, batch.target_BCHW))
        with run.fabric.autocast():
            run.trainer.step(Batch(*pictures, *batch[2:]), run.update)
        run.advance(len(batch.target_BCHW))

    return step, run


def random_batch(trainer: Trainer, device: torch.device) -> Batch:
    """Progress in the middle of a run, where all phases are active."""
    config, generator = trainer.config, torch.Generator().manual_seed(0)
    count = config.optimisation.batch_size
    sides = (config.data.image_size // trainer.spec.scale, config.data.image_size)
    pictures = [
        torch.rand((count, pixels.channels, side, side), generator=generator).to(device) * 2 - 1
        for pixels, side in zip(config.data.formats, sides, strict=True)
    ]
    return Batch(*pictures, torch.zeros(count, dtype=torch.int64, device=device), share=0.99, step=1)


def images_per_second(step: Step, batch: Batch, seconds: float) -> float:
    images, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step(batch)
        images += len(batch.target_BCHW)
    if batch.target_BCHW.is_cuda:
        torch.cuda.synchronize()
    return images / (time.perf_counter() - began)


def loaded_per_second(run: Run, options: argparse.Namespace, seconds: float) -> float:
    """Images loaded, transferred and batched per second, with as many loader processes as in training."""
    task = TASKS[options.task]
    listings, _ = list_training_data(task, run.config, options.data, None)
    training_data = open_training_data(run.trainer, task, listings, Console(stderr=True))
    on_gpu = run.fabric.device.type == "cuda"
    workers = min(8, os.cpu_count() or 1)
    stream = batches(training_data.stream, run.config.optimisation.batch_size, 0, workers, pin=on_gpu)
    for _ in range(workers):  # wait until the processes have started
        next(stream)
    images, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        training_data.batch(next(stream), (0, images), run.fabric.device)
        images += run.config.optimisation.batch_size
    if on_gpu:
        torch.cuda.synchronize()
    return images / (time.perf_counter() - began)


def peak_bytes(side: str, options: argparse.Namespace) -> int:
    """Peak memory of three steps: allocated by torch on a GPU, otherwise the growth of a separate process."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    step = plain_step(options) if side == "plain" else our_step(options)[0]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = random_batch(make_trainer(options), device)
    for _ in range(3):
        step(batch)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def share_of_matrix_rate(step: Step, batch: Batch, speed: float) -> float:
    """Model FLOPs per second relative to a large bfloat16 matrix product."""
    with FlopCounterMode(display=False) as counter:
        step(batch)
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    rate = 20 * 2 * 8192**3 / (time.perf_counter() - began)
    return counter.get_total_flops() / len(batch.target_BCHW) * speed / rate


@contextmanager
def neighbours(count: int, seconds: float) -> Iterator[None]:
    """Start busy processes, which end after `seconds` at the latest."""
    # They end with this process too, however it ends: four that outlived it would spoil whatever is measured next.
    work = (
        f"import os, time; end = time.monotonic() + {seconds}\n"
        f"while time.monotonic() < end and os.getppid() == {os.getpid()}: sum(range(10**5))"
    )
    started = [subprocess.Popen([sys.executable, "-c", work]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def milliseconds_a_step(options: argparse.Namespace) -> float:
    """Median time of our step, in this process with its threads."""
    step, run = our_step(options)
    batch = random_batch(run.trainer, run.fabric.device)
    for _ in range(2):
        step(batch)
    found: list[float] = []
    end = time.perf_counter() + options.seconds
    while not found or time.perf_counter() < end:
        began = time.perf_counter()
        step(batch)
        found.append(1e3 * (time.perf_counter() - began))
    return statistics.median(found)


def compare_threads(options: argparse.Namespace) -> None:
    """A row per number of busy processes: active, passive, one thread, our choice; medians of alternating rounds."""
    clean = {name: value for name, value in os.environ.items() if name not in (*NUMBERS, *POLICIES)}
    clean["CUDA_VISIBLE_DEVICES"] = ""
    many = {"OMP_NUM_THREADS": str(cores())}
    ways: dict[str, dict[str, str]] = {
        "active": many,
        "passive": {**many, "OMP_WAIT_POLICY": "passive"},
        "one thread": {"OMP_NUM_THREADS": "1"},
    }
    command = [sys.executable, __file__, *sys.argv[1:], "--step-alone"]
    bound = options.rounds * 4 * (options.seconds + 120)
    print(f"{cores()} cores, load average before {os.getloadavg()[0]:.1f}; ms a step, and in units of one thread's")
    for count in options.neighbours:
        found: dict[str, list[float]] = {}
        with neighbours(count, bound):
            time.sleep(1.0)  # wait until they have started
            for _ in range(options.rounds):
                chosen = choose(0, clean, busy_cores)
                for name, variables in {**ways, "our choice": {**clean, **chosen.environment}}.items():
                    done = subprocess.run(command, check=True, capture_output=True, text=True, env=clean | variables)
                    found.setdefault(name, []).append(float(done.stdout.split()[-1]))
                print(f"{count} neighbours, our choice is {chosen.line}")
        medians = {name: statistics.median(values) for name, values in found.items()}
        row = (f"{name} {value:.0f} ({value / medians['one thread']:.2f})" for name, value in medians.items())
        print(f"{count} neighbours: {', '.join(row)}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="sketch-to-photo")
    parser.add_argument("--preset", default="modern")
    parser.add_argument("--batch-size", type=int, help="instead of the preset's")
    parser.add_argument("--image-size", type=int, help="instead of the preset's")
    parser.add_argument("--compile", action="store_true", help="compile our networks")
    parser.add_argument("--data", type=Path, help="also measure loading from this folder")
    parser.add_argument("--cache", default="", help="with --data: folder for a cache of decoded images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--busy", action="store_true", help="compare threads on a quiet and on a busy machine instead")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2 * cores()], help="with --busy: how many")
    parser.add_argument("--step-alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak-of", choices=("ours", "plain"), help=argparse.SUPPRESS)
    return parser.parse_args()


def peak_in_own_process(side: str) -> int:
    command = [sys.executable, __file__, *sys.argv[1:], "--peak-of", side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    options = parse()
    if options.peak_of:
        print(peak_bytes(options.peak_of, options))
        return
    if options.step_alone:
        print(milliseconds_a_step(options))
        return
    if options.busy:
        compare_threads(options)
        return
    peaks = {side: peak_in_own_process(side) for side in ("ours", "plain")}
    ours, run = our_step(options)
    plain = plain_step(options)
    batch = random_batch(run.trainer, run.fabric.device)
    for step in (ours, plain):
        step(batch)  # warm-up: allocation and choice of algorithms
    precision: Any = run.fabric.strategy.precision
    print(
        f"{options.task}, {options.preset}: {run.fabric.device}, ours in {precision.precision}, "
        f"targets {tuple(batch.target_BCHW.shape)}"
    )
    rows: list[tuple[float, float]] = []
    for number in range(options.rounds):
        rows.append((images_per_second(ours, batch, options.seconds), images_per_second(plain, batch, options.seconds)))
        print(f"round {number + 1}: ours {rows[-1][0]:.2f} images/s, plain {rows[-1][1]:.2f}")
    speed = statistics.median(ours for ours, _ in rows)
    print(f"images/s, ours/plain, median: {statistics.median(ours / plain for ours, plain in rows):.2f}")
    print(f"peak memory, ours/plain: {peaks['ours'] / peaks['plain']:.2f} ({peaks['ours'] / 2**20:.0f} MiB)")
    if batch.target_BCHW.is_cuda:
        print(f"model FLOPs/matrix product rate: {share_of_matrix_rate(ours, batch, speed):.2f}")
    if options.data:
        loaded = loaded_per_second(run, options, options.seconds)
        print(f"loading/step: {loaded / speed:.2f} ({loaded:.0f} images/s loaded)")


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(f"train_step: {error}")
