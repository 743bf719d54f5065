"""Write docs/results.md: shipped models compared with the classic recipes, on the same images and training time.

    python benchmarks/side_by_side.py [--runs runs/models] [--out docs]

Reads the output of `benchmarks/models.py` in --runs and the shipped models. Quality metrics come from the model files,
measured by `translate evaluate` on the test split; milliseconds are measured here, on the CPU, in alternation.
"""

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.spec import ModelSpec
from translate.training.snapshot import FILE_NAME, read_header

ROUNDS = 15
PHOTO = "super-resolution-photo"
SIDE = 256
PRECISION = "## Half precision and 8 bits"


@dataclass(frozen=True)
class Row:
    """One model of a table."""

    label: str
    model: str
    """Name of a shipped model, or file in --runs."""
    run: str = ""
    """Run folder in --runs, for the training time."""


@dataclass(frozen=True)
class Table:
    """The comparison for one task."""

    title: str
    metrics: dict[str, str]
    """Name in the file -> heading, with an arrow in the direction of better values."""
    rows: tuple[Row, ...]
    words: str


def _table(
    title: str, stem: str, others: dict[str, str], metrics: dict[str, str], words: str, also: tuple[Row, ...] = ()
) -> Table:
    rows = (Row("**shipped**", stem), *also, *(Row(label, f"{run}/{run}.onnx", run) for run, label in others.items()))
    return Table(title, metrics, rows, words)


TABLES = (
    _table(
        "Super-resolution, 4 times", "super-resolution",
        {"sr-modern": "modern, faithful part", "sr-classic": "classic (SRResNet)"},
        {"set5_psnr_luma_db": "Set5, dB ↑", "set14_psnr_luma_db": "Set14, dB ↑", "ssim": "SSIM ↑"},
        "PSNR of the luma, borders of 4 pixels shaved, Pillow's bicubic reduction, as published tables have it. "
        "Published, trained on 91 to 291 pictures: bicubic 28.42 / 26.00, SRCNN 30.48 / 27.49, VDSR 31.35 / 28.01, "
        "LapSRN 31.54 / 28.19, MemNet 31.74 / 28.26, IDN 31.82 / 28.25; on 800 pictures and more: SRResNet 31.92 / "
        "28.39, IMDN 32.21 / 28.58, EDSR 32.46 / 28.80.",
        also=(Row("**shipped**, free for any use", "super-resolution-free"),),
    ),
    _table(
        "Super-resolution, 2 times", "super-resolution-x2", {},
        {"set5_psnr_luma_db": "Set5, dB ↑", "set14_psnr_luma_db": "Set14, dB ↑", "ssim": "SSIM ↑"},
        "Measured as above, borders of 2 pixels shaved. Bicubic: 33.66 / 30.24 as published.",
        also=(Row("**shipped**, free for any use", "super-resolution-x2-free"),),
    ),
    _table(
        "Sketch to photo", "sketch-to-photo",
        {"sketch-128": "first step, 128 px", "sketch-classic": "classic (U-Net), 128 px"},
        {
            "swd_mean_milli": "SWD ↓", "styles_swd_mean_milli": "SWD, each in another style ↓", "ssim": "SSIM ↑",
            "edge_agreement": "edge agreement ↑", "chroma": "chroma",
        },
        "Drawings made from the test photographs of shoes and handbags, the same for all models. Models with styles "
        "give all things one style unless they are asked for others, and real things are not all of one: the second "
        "column is the one to compare with a model without styles.",
    ),
    _table(
        "Day to night", "day-to-night",
        {"streets-modern": "modern, 128 px", "streets-classic": "classic (ResNet-9), 128 px"},
        {"swd_mean_milli": "SWD ↓", "gradient_correlation": "structure kept ↑", "target_share": "taken for night ↑"},
        "Test streets and squares by day, other places than those trained on. A dark blur is near to night as well: "
        "SWD says something only together with the structure that is kept (1 is every edge). The shipped model was "
        "chosen by KID, see *Before and now*; by SWD, shorter trainings are nearer to night.",
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/models"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    parts = ["# Results\n\nWritten by `python benchmarks/side_by_side.py` from what `make models` has measured.\n"]
    parts += [section(table, options.runs) for table in TABLES]
    parts += [spoilt(options.runs / PHOTO / f"{PHOTO}-evaluation" / "metrics.json")]
    parts += [kept(options.out / "results.md")]
    (options.out / "results.md").write_text("\n".join(parts), encoding="utf-8")


def kept(page: Path) -> str:
    """The section that `benchmarks/precision.py` has written into the page before."""
    _, _, text = page.read_text(encoding="utf-8").partition(PRECISION) if page.is_file() else ("", "", "")
    return PRECISION + (text or "\n\n<!-- precision -->\n<!-- /precision -->\n")


def section(table: Table, runs: Path) -> str:
    """Heading, table and contact sheet of one task."""
    engines = [(row, _engine(row, runs)) for row in table.rows]
    engines = [(row, engine) for row, engine in engines if engine is not None]
    times = milliseconds([engine for _, engine in engines])
    headings = ["", *table.metrics.values(), "trained", "parameters", f"GMAC at {SIDE}x{SIDE}", "CPU ms", "MiB"]
    lines = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    for (row, engine), time in zip(engines, times, strict=True):
        spec = engine.spec
        quality = [f"{spec.metrics[name]:.4g}" if name in spec.metrics else "" for name in table.metrics]
        size = f"{engine.path.stat().st_size / 2**20:.1f}"
        cost = [
            _trained(row, runs),
            _millions(spec),
            f"{spec.gmacs_256:.3g}" if spec.gmacs_256 else "",
            f"{time:.0f}",
            size,
        ]
        lines.append("| " + " | ".join([row.label, *quality, *cost]) + " |")
    sheet = next((engines[0][1].path.parent).glob("contact_sheet.*"))
    place = f"../checkpoints/{sheet.parent.name}/{sheet.name}"
    picture = f"\n![Every k-th picture of the test split by file name: input above, result below]({place})\n"
    return f"## {table.title}\n\n{table.words}\n\n" + "\n".join(lines) + f"\n{picture}"


def spoilt(record: Path) -> str:
    """Heading, table and contact sheet for blurred and re-compressed pictures."""
    found = json.loads(record.read_text(encoding="utf-8"))
    rows = {"bicubic": found["baselines"]["bicubic"], found["against"]["model"]: found["against"]["metrics"]}
    rows[found["model"]] = found["metrics"]
    names = {"psnr_luma_db": "dB ↑", "ssim": "SSIM ↑", "swd_mean_milli": "SWD ↓"}
    lines = ["| | " + " | ".join(names.values()) + " |", "|---" * (len(names) + 1) + "|"]
    for label, metrics in rows.items():
        lines.append(f"| {label} | " + " | ".join(f"{metrics[name]:.4g}" for name in names) + " |")
    words = (
        "The same test pictures, after reduction slightly blurred, made noisy and saved as JPEG of quality 40 "
        "(`translate evaluate --spoil`), as photographs from the web often are."
    )
    picture = f"![Re-compressed pictures above, enlarged ones below](../checkpoints/{PHOTO}/contact_sheet.jpg)\n"
    return "\n\n".join(["## Re-compressed photographs, 4 times", words, "\n".join(lines), picture])


def milliseconds(engines: list[Engine]) -> list[float]:
    """Median time per picture for each model, alternating between models so that all see the same load."""
    image_HWC = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    found: list[list[float]] = [[] for _ in engines]
    for _ in range(ROUNDS + 1):
        for times, engine in zip(found, engines, strict=True):
            start = perf_counter()
            engine(image_HWC)
            times.append(1000.0 * (perf_counter() - start))
    return [statistics.median(times[1:]) for times in found]


def _engine(row: Row, runs: Path) -> Engine | None:
    """The model, or None if that stage has not been run."""
    if not row.run:
        return Engine(row.model, device="cpu")
    path = runs / row.model
    if not path.is_file():
        print(f"skipped: {path} (see benchmarks/models.py)", file=sys.stderr)
        return None
    return Engine(path, device="cpu")


def _trained(row: Row, runs: Path) -> str:
    if not row.run:
        return "see its card"
    header = read_header(runs / row.run / FILE_NAME)
    return f"{header.seconds_used / 60:.0f} min, {header.images_seen:,} images"


def _millions(spec: ModelSpec) -> str:
    return f"{spec.parameters / 1e6:.2f} M" if spec.parameters else ""


if __name__ == "__main__":
    try:
        main()
    except (TranslateError, OSError) as error:
        sys.exit(f"side_by_side: {error}")
