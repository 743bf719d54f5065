"""A table of shipped models beside those they replaced, for a page such as docs/results.md.

    git show COMMIT:checkpoints/NAME/model.onnx > old.onnx
    translate evaluate NAME --against old.onnx --data TEST [--train TRAIN ...] --out runs/NAME
    python benchmarks/old_and_new.py runs/NAME [runs/OTHER ...] [--out PAGE]

Both models of a pair were given the same pictures in the same run of `translate evaluate`. Distances are shown times
1,000 where the name says so.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marks import write_between

from translate.errors import ConfigError, TranslateError
from translate.metrics.table import METRICS

SHOWN = {
    "psnr_luma_db": 1, "ssim": 1, "perceptual": 1, "edge_agreement": 1, "gradient_correlation": 1,
    "kid_lite1": 1000, "kid_squeezenet": 1, "swd_mean_milli": 1,
}  # fmt: skip
"""Metrics in the order of the columns, with the factors by which they are shown."""
ARROWS = {"higher": " ↑", "lower": " ↓", "like the truth": ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", nargs="+", type=Path, help="folders written by translate evaluate --against")
    parser.add_argument("--out", type=Path, help="a page with the marks <!-- old and new --> and <!-- /old and new -->")
    options = parser.parse_args()
    text = table([_read(folder) for folder in options.evaluations])
    if options.out:
        write_between(options.out, "old and new", text)
    print(text)


def table(records: list[dict[str, Any]]) -> str:
    """Two lines for each pair, and one for each picture set that nothing was done to."""
    every = [found for record in records for found in _versions(record).values()]
    shown = {name: factor for name, factor in SHOWN.items() if any(name in metrics for metrics in every)}
    titles = [_title(name, factor) for name, factor in shown.items()]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for record in records:
        for version, metrics in _versions(record).items():
            cells = [_number(factor * metrics[name]) if name in metrics else "" for name, factor in shown.items()]
            lines.append(f"| {record['model']}, {version} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _read(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if not found["against"]:
        raise ConfigError(f"{folder} compares nothing; run translate evaluate with --against")
    return found


def _versions(record: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {"before": record["against"]["metrics"], "now": record["metrics"]}


def _title(name: str, factor: float) -> str:
    metric = METRICS[name]
    return metric.title + (f" x {factor:,}" if factor != 1 else "") + ARROWS[metric.better]


def _number(value: float) -> str:
    return f"{value:.4g}"


if __name__ == "__main__":
    try:
        main()
    except (TranslateError, OSError) as error:
        sys.exit(f"old_and_new: {error}")
