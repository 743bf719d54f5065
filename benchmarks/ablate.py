"""Ablation study of adversarial training: one component of a preset switched at a time, at a small equal budget.

    python benchmarks/ablate.py --data PACKS [--out runs/ablation] [--only sketch-to-photo] [--switches preset lecam]

PACKS contains the folders things and daynight, as created by `benchmarks/models.py` in its --out. Every switch is
trained once per seed, with the same number of images, and measured on the test split. Finished runs are kept, and the
same command resumes an interrupted study. Tables and pictures are written to docs/experiments.md and
docs/experiments/; with --page from the finished runs only.
"""

import argparse
import dataclasses
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from switches import BEFORE, DEFAULTS, FEATURES_SAID, FOLLOWED, PRESETS, SIDE, SWITCHES, Preset, Switch
from train_step import random_batch

from translate.errors import TranslateError
from translate.pictures.operations import read_picture
from translate.tasks import TASKS
from translate.tasks.base import load_object
from translate.trainers.config import config_from_json
from translate.training.run import Run
from translate.training.snapshot import FILE_NAME, read_header

DOCS = Path(__file__).parent.parent / "docs"
ROWS = 3
"""Number of rows shown of a sample grid."""
GAP = 4
"""Pixels between two pictures of a grid."""
ACROSS = 5
"""Switches side by side."""
COST_STEPS = 8
"""Number of timed steps, of which the fastest counts."""
SPEED_ROUNDS, SPEED_STEPS = 3, 8
"""A round has as many steps as the interval of lazy gradient penalties."""


def folder_of(out: Path, preset: Preset, switch: Switch, seed: int) -> Path:
    return out / preset.name / f"{switch.name}-{seed}"


def switches_of(preset: Preset) -> list[Switch]:
    """The switches of a preset; the first one is the baseline."""
    switches = preset.switches or (DEFAULTS if preset.default else SWITCHES)
    return [one for one in switches if one.only in ("", preset.task)]


def train(folder: Path, preset: Preset, switch: Switch, seed: int, options: argparse.Namespace) -> str:
    """Train one run to its end; returns the error message, or an empty string."""
    command = command_of(folder, preset, switch, seed, options)
    command += ["--max-images", str(images_of(preset, switch, options)), "--validations", "1", "--sample-grids", "1"]
    if (folder / "snapshot.safetensors").exists():
        command.append("--resume")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def command_of(folder: Path, preset: Preset, switch: Switch, seed: int, options: argparse.Namespace) -> list[str]:
    """The command `translate train` without the budget."""
    data = options.data / preset.data
    command = [sys.executable, "-m", "translate.cli", "train", preset.task, *preset.options, *switch.options]
    command += ["--data", str(data / "train"), "--val", str(data / "test"), "--out", str(folder), "--seed", str(seed)]
    command += ["--metrics", *preset.metrics, "--best-by", preset.metrics[0]]
    if "--preset" not in switch.options and not preset.default:
        command += ["--preset", "modern"]
    if not preset.default and not preset.switches:
        command += [part for name, value in BEFORE.items() if name not in switch.options for part in (name, value)]
    return command


def images_of(preset: Preset, switch: Switch, options: argparse.Namespace) -> int:
    """Training images of a run: those of the preset, or as many as fit into its seconds."""
    if preset.images:
        return preset.images
    kept = options.out / preset.name / f"{switch.name}-cost.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(cpu_seconds(preset, switch, options)))
    return max(8, round(preset.seconds / json.loads(kept.read_text()) / 8) * 8)


def cpu_seconds(preset: Preset, switch: Switch, options: argparse.Namespace) -> float:
    """CPU time per training image: the minimum over several steps, because the machine may be shared."""
    with tempfile.TemporaryDirectory() as folder:
        command = command_of(Path(folder) / "run", preset, switch, 0, options)
        command += ["--max-images", "8", "--validations", "0", "--sample-grids", "0", "--warm-start", "0"]
        if preset.task != "sketch-to-photo":
            del command[-2:]
        subprocess.run(command, capture_output=True, text=True, check=True)
        step = step_of(Path(folder) / "run")
        seconds: list[float] = []
        for number in range(COST_STEPS):
            began = time.process_time()
            step(number)
            seconds.append(time.process_time() - began)
        return min(seconds) / read_header(Path(folder) / "run" / FILE_NAME).config["batch_size"]


def measured(folder: Path, images: int) -> dict[str, Any] | None:
    """The figures of a finished run; `gradient` is the norm of the adversarial gradient at the generated images."""
    try:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    except OSError:
        return None
    last = [line for line in lines if line.get("event") == "validation" and line["images"] >= images]
    if not last:
        return None
    warnings = {line["name"]: line["lit"] for line in lines if line.get("event") == "warning"}
    progress = [line["gradients"] for line in lines if line.get("event") == "progress" and "gradients" in line]
    return {
        **last[-1]["metrics"],
        "warnings": sorted(name for name, lit in warnings.items() if lit),
        "gradient": statistics.median([found["game"] for found in progress if "game" in found] or [0.0]),
        "images": images,
    }


def speed(out: Path, preset: Preset, switch: Switch) -> float:
    """Steps per second relative to the first switch, in CPU time; measured alternately, once, and stored."""
    kept = out / preset.name / f"{switch.name}-speed.json"
    if not kept.exists():
        steps = [step_of(folder_of(out, preset, one, 0)) for one in (switches_of(preset)[0], switch)]
        ratios: list[float] = []
        for _ in range(SPEED_ROUNDS):
            seconds: list[float] = []
            for step in steps:
                began = time.process_time()
                for number in range(SPEED_STEPS):
                    step(number)
                seconds.append(time.process_time() - began)
            ratios.append(seconds[0] / seconds[1])
        kept.write_text(json.dumps(statistics.median(ratios[1:])))  # the first one is warm-up
    return json.loads(kept.read_text())


def step_of(folder: Path) -> Callable[[int], None]:
    """One training step with the settings of a finished run, on random images."""
    header = read_header(folder / FILE_NAME)
    trainer_class = load_object(header.trainer)
    torch.manual_seed(0)
    trainer = trainer_class(
        config_from_json(trainer_class.config_class, header.config, str(folder)), TASKS[header.task]
    )
    run = Run(trainer, dataclasses.replace(header, steps=0, images_seen=0, seconds_used=0.0), folder)
    batch = random_batch(trainer, run.fabric.device)

    def step(number: int) -> None:
        run.trainer.step(batch._replace(step=number), run.update)
        run.advance(len(batch.target_BCHW))

    return step


def table(out: Path, preset: Preset, found: dict[str, list[dict[str, float]]]) -> list[str]:
    """One line per switch, the closest to real images first."""
    switches = {one.name: one for one in switches_of(preset)}
    columns = ["switch", "options", *preset.metrics, "warnings"]
    if preset.seconds:
        columns[-1:] = ["pictures", "gradient of the game"]
    elif not preset.default:
        columns.insert(-1, "speed")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name in sorted(found, key=lambda name: statistics.mean(run[preset.metrics[0]] for run in found[name])):
        runs, switch = found[name], switches[name]
        cells = [spread([run[metric] for run in runs]) for metric in preset.metrics]
        warnings = sorted({name for run in runs for name in run["warnings"]})
        if preset.seconds:
            cells += [f"{runs[0]['images']:,}", f"{statistics.mean(run['gradient'] for run in runs):.2g}"]
        else:
            cells += [] if preset.default else [f"{speed(out, preset, switch):.2f}"]
            cells.append(", ".join(warnings))
        title = f"**{name}**" if name == next(iter(switches)) else name
        flags = f"`{' '.join(switch.options)}`" if switch.options else ""
        lines.append(f"| {title} | {flags} | {' | '.join(cells)} |")
    return lines


def spread(values: list[float]) -> str:
    """Mean and spread over the seeds."""
    digits = 0 if max(map(abs, values)) > 1000 else 1 if max(map(abs, values)) > 10 else 3
    text = f"{statistics.mean(values):.{digits}f}"
    return f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


def picture(out: Path, preset: Preset, names: list[str]) -> Path | None:
    """Outputs of all switches for the same test images, for the first seed."""
    tiles: list[tuple[str, np.ndarray]] = []
    for name in names:
        grids = sorted((out / preset.name / f"{name}-0" / "samples").glob("*.png"))
        if not grids:
            continue
        columns = columns_of(read_picture(grids[-1]).rgb_HWC, preset.side)
        if not tiles:
            tiles = [("source", columns[0])]
            if len(columns) == 3:
                tiles.append(("truth", columns[2]))
        tiles.append((name, columns[1]))
    if not tiles:
        return None
    path = DOCS / "experiments" / f"{preset.name}.jpg"
    path.parent.mkdir(exist_ok=True)
    sheet(tiles, preset.side).save(path, quality=90)
    return path


def columns_of(grid_HWC: np.ndarray, side: int) -> list[np.ndarray]:
    """The columns of a sample grid: its first rows, side by side instead of below one another."""
    step = side + GAP
    count = (grid_HWC.shape[1] - GAP) // step
    chosen = [0, 1, count - 1] if count > 2 else [0, 1]  # results in other styles stand between
    cells = [[grid_HWC[GAP + row * step :, GAP + column * step :] for row in range(ROWS)] for column in chosen]
    return [np.concatenate([cell_HWC[:side, :side] for cell_HWC in column], axis=1) for column in cells]


def sheet(tiles: list[tuple[str, np.ndarray]], side: int) -> Image.Image:
    """All pictures with captions, `ACROSS` per line."""
    font = ImageFont.load_default(12)
    width, height = ROWS * side + GAP, side + 16 + GAP
    page = Image.new("RGB", (ACROSS * width + GAP, math.ceil(len(tiles) / ACROSS) * height + GAP), "white")
    draw = ImageDraw.Draw(page)
    for number, (caption, tile_HWC) in enumerate(tiles):
        left, top = GAP + number % ACROSS * width, GAP + number // ACROSS * height
        draw.text((left, top), caption, "black", font)
        page.paste(Image.fromarray(tile_HWC), (left, top + 16))
    return page


def section(preset: Preset, options: argparse.Namespace) -> list[str]:
    """Title, table and pictures of a preset; empty if none of its runs is finished."""
    found: dict[str, list[dict[str, float]]] = {}
    for switch in switches_of(preset):
        folders = [folder_of(options.out, preset, switch, seed) for seed in range(options.seeds)]
        if preset.seconds and not any((folder / FILE_NAME).exists() for folder in folders):
            continue
        images = images_of(preset, switch, options)
        runs = [run for folder in folders if (run := measured(folder, images))]
        if len(runs) == options.seeds or ((preset.default or preset.seconds) and runs):
            found[switch.name] = runs
    if not found:
        return []
    seeds = len(next(iter(found.values())))
    title = preset.task
    if preset.default:
        title = f"{preset.task}: the preset itself, before and now, {seeds} seeds"
    elif preset.seconds:
        title = f"{preset.task}, {preset.seconds:g} seconds of one core each, {seeds} seed{'s' * (seeds > 1)}"
    lines = ["", f"## {title}", "", *table(options.out, preset, found)]
    path = None if preset.default else picture(options.out, preset, list(found))
    if path:
        lines += ["", f"![results]({path.relative_to(DOCS).as_posix()})"]
        lines += ["", f"The first {ROWS} held-out pictures of the sample grids, seed 0."]
    return lines


def write_features_page(options: argparse.Namespace) -> None:
    """The section about pretrained features, at equal training time."""
    sections = [line for preset in PRESETS if preset.seconds for line in section(preset, options)]
    if not sections:
        return
    names = " ".join(preset.name for preset in PRESETS if preset.seconds)
    lines = [
        "# What pretrained features bring",
        "",
        f"Made by `python benchmarks/ablate.py --data PACKS --only {names}`,",
        "which trains every row for equal seconds of one core: a picture's cost is that of the fastest of some steps.",
        "Presets are `modern` where a row does not say otherwise. Measured on 64 test pictures of 128 pixels, by the",
        "averaged network.",
        "",
        "- `kid_lite1`, `kid_squeezenet`: distance from real pictures through a classifier; less is better. A row that",
        "  learns through one of the two is flattered by it and not by the other.",
        "- `perceptual`: distance from the truth through SqueezeNet; less is better.",
        "- `gradient of the game`: what reaches the results through the discriminator; L1 x 10 sends about 0.016.",
        "- Minutes show the beginning of a training, not its final result.",
    ]
    (DOCS / "features.md").write_text("\n".join([*lines, *sections, "", *FEATURES_SAID]) + "\n")


def write_page(options: argparse.Namespace) -> None:
    lines = [
        "# What each part of adversarial training does",
        "",
        "Made by `python benchmarks/ablate.py`: one part switched at a time in the `modern` presets of that time",
        "(`--discriminator-norm spectral --adaptive-augmentation 0 --generator-upsampling nearest`), with networks",
        f"half as wide, pictures of {SIDE} pixels, batches of 4, {options.seeds} seeds, measured on 64 pictures of the",
        "test split, evenly spread.",
        "",
        "- The budget is a minute on one core. It shows how a training begins and which options fail there,",
        "  not the result after a night.",
        "- Differences within the ± of the seeds mean nothing. The best of many rows is partly best by chance.",
        "- Learning rates are the preset's, for drawings three times as high: of three that were tried, the one where",
        "  `preset`, seed 0, was best on these pictures. No other row had a rate chosen for it.",
        "- The sentences below combine what these runs showed with what the papers say; only the tables are measured.",
        "- `swd` is the sliced Wasserstein distance of patches from real ones (x 1,000; less is better). Of the others",
        "  more is better: `ssim`, likeness to the true photograph; `edge_agreement`, edges on the drawn lines;",
        "  `structure`, how much of the source's edges is kept, which is 1 where nothing was changed.",
        "- `speed` is training steps per second relative to the preset, in processor time; a tenth is within chance.",
    ]
    sections = [line for preset in PRESETS if not preset.seconds for line in section(preset, options)]
    if not sections:  # no run for this page
        return
    lines += sections
    lines += ["", "## When to use which", "", *(f"- **{one.name}**: {one.when}" for one in SWITCHES)]
    lines += ["", "## What followed", "", *FOLLOWED]
    (DOCS / "experiments.md").write_text("\n".join(lines) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with things/ and daynight/")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="names of presets")
    parser.add_argument("--switches", nargs="*", default=[], help="names")
    parser.add_argument("--page", action="store_true", help="only write the page, of what is there")
    return parser.parse_args()


def main() -> None:
    options = parse()
    presets = [one for one in PRESETS if not options.page and (not options.only or one.name in options.only)]
    wanted = [(preset, switch) for preset in presets for switch in switches_of(preset)]
    for seed in range(options.seeds):  # all switches once, before any of them twice
        for preset, switch in wanted:
            folder = folder_of(options.out, preset, switch, seed)
            if options.switches and switch.name not in options.switches:
                continue
            images = images_of(preset, switch, options)
            if measured(folder, images):
                continue
            complaint = train(folder, preset, switch, seed, options)
            print(preset.name, switch.name, seed, complaint or measured(folder, images), flush=True)
    if options.page or not (options.only or options.switches):
        write_page(options)
        write_features_page(options)


if __name__ == "__main__":
    try:
        main()
    except TranslateError as error:
        sys.exit(str(error))
