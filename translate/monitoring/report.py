"""Training report: log, samples and settings of a run as one HTML file.

Shape suffixes: H height, W width, C channels.
"""

import ast
import dataclasses
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from safetensors import SafetensorError, safe_open

from translate.errors import DataError, ImageError
from translate.files import atomic_path
from translate.html import INK, SERIES, drawing_settings, picture_address, render, style_axes, svg_of
from translate.metrics.table import trained_with
from translate.monitoring.log import Log, json_object, json_value, read_log
from translate.pictures.operations import flatten, read_picture
from translate.tasks import TASKS
from translate.tasks.base import load_object
from translate.trainers.config import TrainConfig, option_name

GRID_BYTES, STRIP_BYTES = 700_000, 90_000
"""Maximum size of an image in the report, so that the whole stays below 5 MB."""
STRIP = 8
LISTED = 50
"""Maximum number of skipped files to list."""
POINTS = 300
"""Maximum number of points of a curve; more are averaged."""

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""(images, value) by name."""


def write_report(run: Path, path: Path) -> int:
    """Write the report of the run in folder `run` to `path` atomically, and return its size in bytes.

    Raises:
        DataError: the folder has no log, or the file cannot be written.
    """
    log = read_log(run / "log.jsonl")
    config = json_object(_text(run / "config.json"))
    header = _header(run / "snapshot.safetensors")
    measured = _measured(log.validation)
    decided_by = header.get("best", {}).get("metric", config.get("best_by"))
    parity = json_value(_text(run / "parity.json"))
    page = render(
        Path(__file__).with_name("report.html"),
        {"duration": _duration, "value": _value},
        name=run.resolve().name,
        **_summary(log, config, header),
        measured=measured,
        headline=next((row for row in measured if row["name"] == decided_by), next(iter(measured), None)),
        charts=_charts(log, config),
        **_samples(run / "samples", config.get("image_size", 0)),
        warnings=log.warnings,
        rejected=log.rejected[:LISTED],
        rejected_count=len(log.rejected),
        bad_steps=log.bad_steps,
        settings=[(option_name(key), value, help) for key, value, help in _settings(config, header.get("task", ""))],
        machine=log.start.get("machine", {}),
        parity=parity if isinstance(parity, list) else [],
        quality=json_object(_text(run / "metrics.json")),
    )
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another file with -o") from None
    return len(page.encode())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # most files of a run are optional
        return ""


def _header(path: Path) -> dict[str, Any]:
    """The header of the run's snapshot; empty before the first one."""
    try:
        with safe_open(path, framework="numpy") as file:
            return json_object((file.metadata() or {}).get("translate.run", ""))
    except (OSError, SafetensorError):
        return {}


def _summary(log: Log, config: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    task = TASKS.get(header.get("task", ""))
    last = log.last
    speeds = [line["images_per_second"] for line in log.progress if "images_per_second" in line]
    return {
        "task": header.get("task", ""),
        "summary": task.summary if task else "Image-to-image translation",
        "method": header.get("trainer", "").rpartition(":")[2],
        "data": header.get("data", ""),
        "pictures": {"train": 0, "held_out": 0} | log.start.get("pictures", {}),
        "budget_seconds": config.get("max_seconds"),
        "budget_images": config.get("max_images"),
        "share": min(1.0, last.get("share", 0.0)),
        "images": last.get("images", 0),
        "seconds": last.get("seconds", 0.0),
        "speed": sum(speeds) / len(speeds) if speeds else 0.0,
    }


def _measured(validation: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """First, best and last value of each metric, and a verdict."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for line in validation for name in line["metrics"]):
        points = _points(validation, lambda line, name=name: line["metrics"].get(name))
        if not points:
            continue
        higher = trained_with(name).better == "higher"
        # The first value is that of the untrained networks: the baseline, never the best.
        best = (max if higher else min)(points[1:] or points, key=lambda point: point[1])
        start = points[0][1]
        verdicts = ("equal", "better", "worse")  # by 0, 1 and -1
        change = best[1] - start if higher else start - best[1]
        rows.append(
            {
                "name": name,
                "title": trained_with(name).title,
                "meaning": trained_with(name).text,
                "better": "higher" if higher else "lower",
                "start": start,
                "best": best[1],
                "images": best[0],
                "last": points[-1][1],
                "verdict": "the start" if len(points) == 1 else verdicts[(change > 0) - (change < 0)],
            }
        )
    return rows


def _points(
    lines: Sequence[Mapping[str, Any]], value_of: Callable[[Mapping[str, Any]], Any]
) -> list[tuple[float, float]]:
    """(images, value) of the lines that have a finite one."""
    found = [(line["images"], value_of(line)) for line in lines]
    return [(images, value) for images, value in found if isinstance(value, int | float) and math.isfinite(value)]


def _charts(log: Log, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups of charts: metrics, losses, optimisation."""
    progress = log.progress

    def curves(group: str, prefix: str = "") -> dict[str, list[tuple[float, float]]]:
        names = dict.fromkeys(name for line in progress for name in line.get(group, ()) if name.startswith(prefix))
        return {
            name.removeprefix(prefix): _points(progress, lambda line, name=name: line.get(group, {}).get(name))
            for name in names
        }

    metrics = [
        _chart(
            name,
            f"{trained_with(name).text} {trained_with(name).better.capitalize()} is better.",
            {name: _points(log.validation, lambda line, name=name: line["metrics"].get(name))},
            best=max if trained_with(name).better == "higher" else min,
        )
        for name in dict.fromkeys(name for line in log.validation for name in line["metrics"])
    ]
    players = dict.fromkeys(name.split(".")[0] for line in progress for name in line.get("losses", ()))
    losses = [
        _chart(f"Losses: {player}", "the terms it is trained to minimise", curves("losses", f"{player}."))
        for player in players
    ]
    rates = {
        player: _points(progress, lambda line, rate=rate: line.get("lr_factor", math.nan) * rate)
        for player, rate in ((player, config.get(f"{player}_lr")) for player in ("generator", "discriminator"))
        if isinstance(rate, float)
    }
    speeds = _points(progress, lambda line: line.get("images_per_second"))
    ratios = _points(progress, lambda line: line.get("gradient_ratio"))
    optimisation = [
        _chart(
            "Gradient norms",
            "of the parameters of each network; game: adversarial gradient at the generated images",
            curves("gradients"),
        ),
        _chart("Gradient ratio", "gradient norm of the generator over that of the discriminator", {"ratio": ratios}),
        _chart("Learning rate", "after warm-up and decay", rates),
        _chart("Speed", "training images per second", {"images/s": speeds}),
    ]
    groups = (("Validation metrics", metrics), ("Losses", losses), ("Optimisation", optimisation))
    return [{"title": title, "charts": drawn} for title, charts in groups if (drawn := [c for c in charts if c])]


def _chart(
    title: str, text: str, curves: Curves, best: Callable[..., tuple[float, float]] | None = None
) -> dict[str, Any] | None:
    """A chart in the colours of the page, or None if there is nothing to draw."""
    curves = {name: points for name, points in curves.items() if points}
    if not curves:
        return None
    with mpl.rc_context(drawing_settings(title)):
        figure = Figure(figsize=(4.6, 2.5), layout="constrained")
        axes = figure.subplots()
        for number, (name, points) in enumerate(curves.items()):
            images, values = zip(*_thin(points), strict=True)
            # After eight curves the colours repeat with dashes.
            style = "-" if number < len(SERIES) else "--"
            marker = "o" if len(points) < (40 if best else 3) else ""  # a single point has no line
            axes.plot(images, values, style, color=SERIES[number % 8], lw=1.6, label=name, marker=marker, ms=3)
            if best:
                where, value = best(points[1:] or points, key=lambda point: point[1])
                axes.plot(where, value, "o", ms=9, mfc="none", mec=SERIES[1], mew=1.8, label=f"best: {value:.4g}")
        style_axes(axes)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("training images seen", color=INK)
        figure.legend(loc="outside upper left", ncols=3, frameon=False, labelcolor=INK, handlelength=1.2)
        return {"title": title, "text": text, "svg": svg_of(figure)}


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS` points, each the mean of its neighbours."""
    size = math.ceil(len(points) / POINTS)
    groups = [points[first : first + size] for first in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _samples(folder: Path, side: int) -> dict[str, Any]:
    """The first, middle and last grid, and the first two rows of up to `STRIP` grids."""
    paths = sorted(path for path in folder.glob("*.png") if path.stem.isdigit())

    def spread(count: int) -> list[Path]:
        count = min(count, len(paths))
        return [paths[round(number * (len(paths) - 1) / max(1, count - 1))] for number in range(count)]

    grids = [_embed(path, 1400, GRID_BYTES) for path in spread(3)]
    rows = 4 + 2 * (side + 4)
    strip = [_embed(path, 420, STRIP_BYTES, rows) for path in spread(STRIP)] if len(paths) > 3 else []
    return {"grids": [grid for grid in grids if grid], "strip": [grid for grid in strip if grid]}


def _embed(path: Path, longer: int, most: int, rows: int | None = None) -> dict[str, Any] | None:
    """A grid, or its first `rows` of pixels, as a JPEG data URL of at most `most` bytes; None if it is unreadable."""
    try:
        image_HWC = flatten(read_picture(path))[:rows]
    except ImageError:  # being deleted, or truncated by a full disk
        return None
    address, height, width = picture_address(image_HWC, longer, most)
    return {"images": int(path.stem), "width": width, "height": height, "address": address}


def _settings(config: Mapping[str, Any], task: str) -> list[tuple[str, Any, str]]:
    """(field, value, help) of every setting."""
    kind = load_object(TASKS[task].trainer).config_class if task in TASKS else TrainConfig
    groups = [type(value) for value in vars(kind()).values() if dataclasses.is_dataclass(value)]
    helps: dict[str, str] = {}
    for owner in [owner for one in (kind, *groups) for owner in reversed(one.__mro__[:-1])]:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(help))):
                    helps[name] = " ".join(help.split())
                case _:
                    pass
    return [(name, value, helps.get(name, "")) for name, value in config.items()]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _value(value: Any) -> str:
    """A setting as text."""
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
