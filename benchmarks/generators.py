"""Cost and quality of the super-resolution generators, as a table.

    python benchmarks/generators.py
    python benchmarks/generators.py residual:48:12 span:48:6 --train-seconds 900 --data photographs --test sr_test/test

Names are generator:width:blocks. Cost: the exported graph in ONNX Runtime with one thread, alternating between all
candidates, for an output of 1024 x 1024; compared with the rate of a large matrix product on the same core. Without the
detail branch, as in the preset `fidelity`.

Training: the same crops in the same order with the preset's settings, for equal CPU time on one core. Because the
machine may be shared, wall-clock time is not used: the training step of every candidate is timed alternately in CPU
seconds of this process, and each candidate gets as many images as fit. The last columns are the CPU time actually used
and the luma PSNR for each sub-folder of --test, measured on the exported file as in `translate evaluate`.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy are imported

import numpy as np
import onnxruntime
import torch

from export.cost import gmacs, parameters
from export.to_onnx import build_graph, write_model
from translate.errors import TranslateError
from translate.evaluation.cases import Question, find_cases, read_case
from translate.evaluation.measure import measure_picture
from translate.evaluation.methods import run_engine
from translate.inference.engine import Engine
from translate.tasks import TASKS
from translate.trainers.base import pixel_translator
from translate.trainers.superres import SuperRes, SuperResConfig
from translate.training.batches import TrainingData, list_training_data, open_training_data
from translate.training.budget import StopAfter
from translate.training.fit import fit
from translate.training.run import Run
from translate.training.snapshot import Header

CANDIDATES = (
    "residual:48:12", "residual:48:7", "span:48:6", "span:32:6", "compact:48:18", "compact:48:8", "large-kernel:48:5",
)  # fmt: skip
TASK = TASKS["super-resolution"]
RESULT_SIDE = 1024
MEGAPIXELS = RESULT_SIDE**2 / 1e6
ROUNDS = 7
CALIBRATION_STEPS = 8


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    configs = {name: configured(name, options) for name in options.candidates}
    costs = cost_columns(configs, options.scale)
    if not options.train_seconds:
        print(markdown(costs))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    first = next(iter(configs.values()))
    listings, _ = list_training_data(TASK, first, options.data, None)
    seconds = step_seconds(configs, open_training_data(SuperRes(first, TASK), TASK, listings))
    rows: list[dict[str, str]] = []
    for name, config in configs.items():
        images = int(options.train_seconds / seconds[name]) * config.optimisation.batch_size
        config = config.replace(max_images=images)
        torch.manual_seed(config.seed)
        run = new_run(config, options.out / name.replace(":", "-"))
        used = process_time()
        ended = fit(run, open_training_data(run.trainer, TASK, listings), StopAfter())
        used = process_time() - used
        if ended != "done":
            sys.exit(f"generators: {name} was not trained to its end ({ended})")
        rows.append({"step, CPU ms": f"{1000 * seconds[name]:.0f}", "images": f"{images:,}", "CPU s": f"{used:.0f}"})
        rows[-1] |= {f"{group}, dB": f"{value:.2f}" for group, value in quality(run, options.test).items()}
        print(name, rows[-1], file=sys.stderr, flush=True)
    print(markdown([{**cost, **row} for cost, row in zip(costs, rows, strict=True)]))


def configured(name: str, options: argparse.Namespace) -> SuperResConfig:
    """The preset with this generator and the options applied."""
    generator, width, blocks, *unshuffle = name.split(":")
    preset = SuperRes.presets["fidelity"]
    assert isinstance(preset, SuperResConfig)
    changes = {
        name: getattr(options, name)
        for name in ("image_size", "batch_size", "generator_lr", "ema_halflife_images", "lr_decay_start")
        if getattr(options, name) is not None
    }
    return preset.replace(
        generator=generator,
        generator_width=int(width),
        generator_blocks=int(blocks),
        generator_unshuffle=int(unshuffle[0]) if unshuffle else 1,
        scale=options.scale,
        device="cpu",
        workers=1,
        cache=str(options.out / "cache") if options.train_seconds else "",
        max_images=10**9,
        held_out=0,
        validations=0,
        sample_grids=0,
        snapshot_seconds=1e9,
        **changes,
    )


def cost_columns(configs: dict[str, SuperResConfig], scale: int) -> list[dict[str, str]]:
    """Size, multiply-adds and time of every candidate, alternating with a matrix product."""
    rows: list[dict[str, str]] = []
    sessions: list[onnxruntime.InferenceSession] = []
    work: list[float] = []
    for name, config in configs.items():
        trainer = SuperRes(config, TASK)
        # Non-zero weights: the runtime could remove a convolution with zeros.
        torch.nn.init.normal_(trainer.generator.get_submodule("tail").get_parameter("weight"), std=0.01)
        translator = pixel_translator(trainer.generator, trainer.spec).eval()
        work.append(gmacs(translator, trainer.spec))
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.log_severity_level = 1, 3
        graph = build_graph(trainer.generator, trainer.spec, "float32").SerializeToString()
        sessions.append(onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"]))
        learnt, used = parameters(trainer.generator), parameters(translator.generator)
        rows.append({"": name, "learnt": f"{learnt / 1e3:.0f} K", "used": f"{used / 1e3:.0f} K"})
        rows[-1]["GMAC at 256x256"] = f"{work[-1]:.3g}"
    side = RESULT_SIDE // scale
    image_NHWC = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    rates, clock, cpu = [], [[] for _ in sessions], [[] for _ in sessions]
    for _ in range(ROUNDS + 1):
        rates.append(matrix_rate())
        for number, session in enumerate(sessions):
            began, used = perf_counter(), process_time()
            session.run(["translated"], {"image": image_NHWC})
            cpu[number].append(process_time() - used)
            clock[number].append(perf_counter() - began)
    for number, row in enumerate(rows):
        taken = statistics.median(cpu[number][1:])
        rate = 2e9 * work[number] * (side / 256) ** 2 / taken
        row["ms"] = f"{1000 * statistics.median(clock[number][1:]):.0f}"
        row["CPU s a megapixel"] = f"{taken / MEGAPIXELS:.3f}"
        row["of matrix rate"] = f"{rate / statistics.median(rates[1:]):.2f}"
    print(f"matrix product: {statistics.median(rates[1:]) / 1e9:.0f} GFLOP/s", file=sys.stderr)
    return rows


def matrix_rate() -> float:
    """Operations per CPU second of a large float32 matrix product."""
    a = torch.ones(1024, 1024)
    used = process_time()
    for _ in range(4):
        torch.mm(a, a)
    return 4 * 2 * 1024**3 / (process_time() - used)


def new_run(config: SuperResConfig, folder: Path) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    header = Header(task=TASK.name, trainer=TASK.trainer, config=config.settings(), data="", images_seen=0,
                    steps=0, seconds_used=0.0)  # fmt: skip
    return Run(SuperRes(config, TASK), header, folder)


def step_seconds(configs: dict[str, SuperResConfig], training_data: TrainingData) -> dict[str, float]:
    """CPU seconds of one training step of every candidate: median of alternating rounds."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: new_run(config, Path(folder)) for name, config in configs.items()}
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS + 1):
            for name, run in runs.items():
                raw = training_data.stream.plain(run.config.optimisation.batch_size)
                used = process_time()
                for _ in range(CALIBRATION_STEPS):
                    batch = training_data.batch(raw, (0, run.progress.steps), run.fabric.device)
                    with run.fabric.autocast():
                        run.trainer.step(batch, run.update)
                    run.advance(run.config.optimisation.batch_size)
                found[name].append((process_time() - used) / CALIBRATION_STEPS)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def quality(run: Run, test: Path) -> dict[str, float]:
    """Mean luma PSNR in dB of the exported EMA generator, for every sub-folder of the test images."""
    path = run.folder / "model.onnx"
    spec = run.trainer.spec
    write_model(build_graph(run.generator, spec, "float16"), spec, path)
    engine = Engine(path, device="cpu")
    data = find_cases(Question(data=test), spec)
    found: dict[str, list[float]] = {}
    for case in data.cases:
        sample = read_case(case, data, spec)
        measured = measure_picture(sample, run_engine(engine, sample), kind=data.kind, drawing=False, scale=spec.scale)
        found.setdefault(case.group or "all", []).append(measured["psnr_luma_db"])
    return {group: statistics.mean(values) for group, values in sorted(found.items(), reverse=True)}


def markdown(rows: list[dict[str, str]]) -> str:
    def lines() -> Iterator[str]:
        yield "| " + " | ".join(rows[0]) + " |"
        yield "|---" * len(rows[0]) + "|"
        for row in rows:
            yield "| " + " | ".join(row.values()) + " |"

    return "\n".join(lines())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="*", default=CANDIDATES, metavar="GENERATOR:WIDTH:BLOCKS[:UNSHUFFLE]")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--train-seconds", type=float, default=0.0, help="CPU seconds per training run; 0: no training")
    parser.add_argument("--data", type=Path, help="folder of training photos")
    parser.add_argument("--test", type=Path, help="folder of high-resolution test images, one sub-folder per set")
    parser.add_argument("--out", type=Path, default=Path("runs/generators"))
    parser.add_argument("--image-size", type=int, help="instead of the preset's, as the following")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--generator-lr", type=float)
    parser.add_argument("--ema-halflife-images", type=int)
    parser.add_argument("--lr-decay-start", type=float)
    options = parser.parse_args()
    if options.train_seconds and not (options.data and options.test):
        parser.error("--train-seconds needs --data and --test")
    return options


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(f"generators: {error}")
