"""How a training is going, for the page: numbers, curves, warnings and samples, from the files of its run."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.errors import DataError
from translate.metrics.table import trained_with
from translate.monitoring.log import Log, read_log
from ui.refused import Refused
from ui.training.plan import Plan
from ui.training.runs import Run, Runs, parity_of

POINTS = 200
"""Maximum number of points of a curve; more are averaged."""

Points = list[tuple[float, float]]
"""(training pictures seen, value)."""


class Progress:
    """Reads logs; several pages that look at the same run share one reading."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[tuple[int, int], Log]] = {}
        self._turn = threading.Lock()

    def of(self, run: Run, runs: Runs) -> dict[str, Any]:
        """All that the page shows of a run, as JSON values."""
        log = self._log(run.folder / "log.jsonl")
        last = log.last
        files = runs.exported(run)
        return {
            **summary(run),
            "stopping": run.stopping,
            "message": run.message,
            "share": min(1.0, last.get("share", 0.0)),
            "images": last.get("images", 0),
            "seconds": last.get("seconds", 0.0),
            "seconds_left": _seconds_left(run.plan, log) if run.state == "running" else None,
            "learns_from": log.start.get("pictures", {}),
            "metrics": _metrics(log),
            "losses": _losses(log),
            "warnings": [{"text": one["text"], "now": one["lit"]} for one in log.warnings],
            "skipped": len(log.rejected),
            "samples": samples(run),
            "exported": [
                {"file": path.name, "bytes": path.stat().st_size, "parity": parity_of(run, path)} for path in files
            ],
        }

    def _log(self, path: Path) -> Log:
        try:
            found = path.stat()
            version = found.st_mtime_ns, found.st_size
            with self._turn:
                if self._read.get(path, (None,))[0] != version:
                    self._read[path] = version, read_log(path)
                return self._read[path][1]
        except (OSError, DataError):  # it has just been started
            return Log({}, [], [], [], [])


def summary(run: Run) -> dict[str, Any]:
    """A run in a list."""
    plan = run.plan
    return {
        "name": run.name,
        "state": run.state,
        "started": run.started,
        "task": plan.task,
        "folder": plan.folder,
        "preset": plan.preset,
        "minutes": plan.minutes,
        "pictures": plan.pictures,
    }


def samples(run: Run) -> list[int]:
    """The grids of samples: after how many training pictures each was made."""
    return sorted(int(path.stem) for path in (run.folder / "samples").glob("*.png") if path.stem.isdecimal())


def sample_file(run: Run, number: int) -> Path:
    """The file of a grid.

    Raises:
        Refused: there is none.
    """
    path = run.folder / "samples" / f"{number:09d}.png"
    if not path.is_file():
        raise Refused("train.no_samples", name=run.name)
    return path


def _seconds_left(plan: Plan, log: Log) -> float | None:
    share = log.last.get("share", 0.0)
    if plan.minutes is not None:
        return 60 * plan.minutes * (1.0 - share)
    speeds = [line["images_per_second"] for line in log.progress[-12:] if line.get("images_per_second")]
    return (plan.pictures or 0) * (1.0 - share) * len(speeds) / sum(speeds) if speeds else None


def _metrics(log: Log) -> list[dict[str, Any]]:
    """A chart for each metric on held-out pictures."""
    charts: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for line in log.validation for name in line["metrics"]):
        about = trained_with(name)
        curve = _points(log.validation, lambda line, name=name: line["metrics"].get(name))
        if curve:
            chart = {"title": about.title, "text": about.text, "better": about.better, "curves": {name: curve}}
            charts.append({"name": name, **chart})
    return charts


def _losses(log: Log) -> list[dict[str, Any]]:
    """A chart for each network in training: `{"name": "generator", "curves": {"l1": points}}`."""
    charts: dict[str, dict[str, Points]] = {}
    for name in dict.fromkeys(name for line in log.progress for name in line.get("losses", ())):
        player, _, term = name.partition(".")
        curve = _points(log.progress, lambda line, name=name: line.get("losses", {}).get(name))
        if curve:
            charts.setdefault(player, {})[term or player] = curve
    return [{"name": player, "curves": curves} for player, curves in charts.items()]


def _points(lines: Sequence[Mapping[str, Any]], value_of: Callable[[Mapping[str, Any]], Any]) -> Points:
    """The lines that have a finite value, at most `POINTS`: each then is the mean of its neighbours."""
    found = [(line["images"], value_of(line)) for line in lines]
    finite = [(x, y) for x, y in found if isinstance(y, int | float) and math.isfinite(y)]
    size = max(1, math.ceil(len(finite) / POINTS))
    groups = [finite[first : first + size] for first in range(0, len(finite), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
