"""Does fine-tuning pay off? Compares a shipped model, a run from scratch, and the same run started from the model.

    python benchmarks/fine_tune.py --data FOLDER --start-from sketch-to-photo [--count 100] [--minutes 10]

Of the photos in FOLDER, evenly spread, --count are used for training and --held-out others for validation. For a model
with class labels they are in sub-folders with the names of the labels, or --kind gives the label of all. Both runs have
the same budget and networks. All figures are for the EMA generator, with style 0 and the label of the image. Finished
runs are kept: the same command prints the table again. Everything after -- is passed to both runs, for example
`-- --image-size 128`.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

from translate.data.layouts import list_pictures
from translate.inference.models import resolve
from translate.tasks import TASKS
from translate.trainers.config import Metric, option_name
from translate.training.exported import Exported, read_exported

WANTED = ("swd", "ssim", "kid_lite1")
"""Metrics, as far as this version supports them."""


def spread(data: Path, out: Path, count: int, held_out: int, kind: str) -> None:
    """Copy pictures to `out`/train and `out`/val, evenly spread over the sorted files, none into both."""
    files = list_pictures(data)
    if len(files) < count + held_out:
        sys.exit(f"{data} contains {len(files)} pictures; --count {count} and --held-out {held_out} need more")
    chosen = [files[number * len(files) // (count + held_out)] for number in range(count + held_out)]
    held = {(2 * number + 1) * len(chosen) // (2 * held_out) for number in range(held_out)}
    for number, path in enumerate(chosen):
        below = Path(kind, f"{number:05}-{path.name}") if kind else path.relative_to(data)
        target = out / ("val" if number in held else "train") / below
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def same_networks(found: Exported, data: Path) -> list[str]:
    """Options for a run from scratch with the networks of the model; a single class needs no label."""
    settings = dict(found.settings)
    settings.pop("label_names", None)
    if settings.pop("labels", False) and len([one for one in data.iterdir() if one.is_dir()]) > 1:
        settings["labels"] = True
    arguments: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            arguments += [option_name(name)] if value else []
        else:
            arguments += [option_name(name), *map(str, value if isinstance(value, tuple) else [value])]
    return arguments


def train(out: Path, folder: str, task: str, options: argparse.Namespace, more: list[str]) -> list[dict[str, Any]]:
    """Train one run unless it exists; returns its validations in order."""
    log = out / folder / "log.jsonl"
    if not log.exists():
        metrics = [name for name in WANTED if name in get_args(Metric) and (TASKS[task].source_maker or name != "ssim")]
        command = [sys.executable, "-m", "translate.cli", "train", task, "--out", str(log.parent)]
        command += ["--data", str(out / "train"), "--val", str(out / "val"), "--max-time", f"{options.minutes}m"]
        command += ["--metrics", *metrics, "--best-by", "swd", "--validations", "4", *more, *options.more]
        subprocess.run(command, check=True)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["event"] == "validation"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with photos")
    parser.add_argument("--start-from", required=True, help="name of a shipped model, or a .onnx file")
    parser.add_argument("--count", type=int, default=100, help="number of training photos")
    parser.add_argument("--held-out", type=int, default=64, help="number of validation photos")
    parser.add_argument("--minutes", type=float, default=10.0, help="budget of each run")
    parser.add_argument("--kind", default="", help="label of all photos, for a model with class labels")
    parser.add_argument("--out", type=Path, default=Path("runs/fine-tune"), help="folder for data and runs")
    parser.add_argument("more", nargs="*", help="options of translate train for both runs, after --")
    options = parser.parse_args()
    found = read_exported(resolve(options.start_from))
    task = found.spec.task
    if not (options.out / "val").exists():
        spread(options.data, options.out, options.count, options.held_out, options.kind)
    nothing = train(options.out, "nothing", task, options, same_networks(found, options.out / "train"))
    tuned = train(options.out, "tuned", task, options, ["--start-from", options.start_from])
    rows = {"as shipped": tuned[0], "from nothing": nothing[-1], "fine-tuned": tuned[-1]}
    names = list(tuned[-1]["metrics"])
    print(f"| {options.count} pictures, {options.minutes:g} minutes | images seen | " + " | ".join(names) + " |")
    print("|---|" + "---|" * (1 + len(names)))
    for title, line in rows.items():
        print(f"| {title} | {line['images']} | " + " | ".join(f"{line['metrics'][name]:.4g}" for name in names) + " |")


if __name__ == "__main__":
    main()
