"""The page of an evaluation: numbers, how they are spread, and pictures chosen by fixed rules."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from translate.evaluation.measure import means
from translate.evaluation.memorisation import Neighbour
from translate.evaluation.methods import Column
from translate.evaluation.run import Survey
from translate.html import INK, SERIES, drawing_settings, render, style_axes, svg_of
from translate.metrics.table import Better, metric, ordered
from translate.spec import ModelSpec

EXTREMES = 5
"""Worst and best cases shown."""

MAIN = {"enlarge": "psnr_luma_db", "pairs": "ssim", "photographs": "ssim", "unpaired": "gradient_correlation"}
"""What decides which cases are the worst and the best."""


def write_page(
    path: Path,
    survey: Survey,
    spec: ModelSpec,
    *,
    data: str,
    date: str,
    file_bytes: int,
    neighbours: Sequence[Neighbour],
    notes: Sequence[str],
) -> None:
    """Write the page as one file that needs nothing else.

    Raises:
        OSError: as the file system says.
    """
    page = render(
        Path(__file__).with_name("page.html"),
        {},
        name=spec.name,
        task=spec.task,
        pictures=len(survey.cases),
        data=data,
        date=date,
        wide=spec.scale > 1,
        facts=_facts(spec, file_bytes),
        direction=[("Goes in", survey.data.direction["in"]), ("Should come out", survey.data.direction["out"])],
        terms=[("Licence", spec.licence), ("Learnt from", spec.training_data)],
        tables=_tables(survey),
        charts=_charts(survey),
        galleries=_galleries(survey),
        varied=survey.varied,
        neighbours=neighbours,
        notes=notes,
        skipped=survey.skipped,
    )
    path.write_text(page, encoding="utf-8")


def _facts(spec: ModelSpec, file_bytes: int) -> list[tuple[str, str]]:
    facts = [("Architecture", spec.architecture), ("File", f"{file_bytes / 2**20:.1f} MiB")]
    if spec.parameters:
        facts.append(("Learnt numbers", f"{spec.parameters / 1e6:.2f} million"))
    if spec.gmacs_256:
        facts.append(("Work", f"{spec.gmacs_256:.3g} billion multiplications for a picture of 256 x 256"))
    if spec.scale > 1:
        facts.append(("Enlarges", f"{spec.scale} times"))
    if spec.labels:
        facts.append(("Labels", ", ".join(spec.labels)))
    if spec.style_size:
        facts.append(("Style numbers", str(spec.style_size)))
    return facts


def _tables(survey: Survey) -> list[dict[str, Any]]:
    """All pictures together, then each sub-folder."""
    tables = [_table("", survey.columns, [column.totals for column in survey.columns])]
    for group, totals in group_totals(survey).items():
        tables.append(_table(group, survey.columns, [totals.get(column.name, {}) for column in survey.columns]))
    return tables


def group_totals(survey: Survey) -> dict[str, dict[str, dict[str, float]]]:
    """Means of each sub-folder by column, where there is more than one: {group: {column: {metric: number}}}."""
    groups = sorted({case.group for case in survey.cases})
    if len(groups) < 2:
        return {}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for group in groups:
        chosen = [number for number, case in enumerate(survey.cases) if case.group == group]
        rows = {column.name: [column.rows[number] for number in chosen if column.rows] for column in survey.columns}
        found[group or "."] = {name: totals for name, found_rows in rows.items() if (totals := means(found_rows))}
    return found


def _table(title: str, columns: Sequence[Column], totals: Sequence[dict[str, float]]) -> dict[str, Any]:
    used = [number for number, total in enumerate(totals) if total]
    rows: list[dict[str, Any]] = []
    for name in ordered({name for total in totals for name in total}):
        words = metric(name)
        texts = {n: f"{totals[n][name]:#.4g}".rstrip(".") if name in totals[n] else "" for n in used}
        best = _best(words.better, {n: text for n, text in texts.items() if text}, columns)
        cells = [
            {"text": texts[n], "best": n == best and columns[n].role in ("model", "against", "variant")} for n in used
        ]
        rows.append({"name": name, "words": words, "cells": cells})
    return {"title": title, "columns": [columns[n].title for n in used], "rows": rows}


def _best(better: Better, texts: dict[int, str], columns: Sequence[Column]) -> int | None:
    """The column that is better than every other as far as digits are shown; of equals none."""
    # A column that repeats the model is the same answer, not another one.
    compared = {
        n: float(text) * (1.0 if better == "higher" else -1.0)
        for n, text in texts.items()
        if columns[n].role != "truth" and not columns[n].repeats_model
    }
    if better == "like the truth" or len(compared) < 2:
        return None
    first, second = sorted(compared, key=lambda n: compared[n], reverse=True)[:2]
    return first if compared[first] > compared[second] else None


def _charts(survey: Survey) -> list[dict[str, Any]]:
    compared = [column for column in survey.columns if column.role in ("model", "against")]
    names = ordered({name for column in compared for row in column.rows for name in row})
    drawn: list[dict[str, Any]] = []
    for name in names:
        series = {column.title: [row[name] for row in column.rows if name in row] for column in compared}
        series = {title: values for title, values in series.items() if len(values) > 1}
        if series:
            drawn.append({"title": metric(name).title, "name": name, "svg": _histogram(name, series)})
    return drawn


def _histogram(name: str, series: dict[str, list[float]]) -> Any:
    """How many pictures have which value, one outline for each model."""
    together = np.concatenate([np.asarray(values) for values in series.values()])
    edges = np.histogram_bin_edges(together, bins=min(24, max(6, len(together) // 4)))
    with mpl.rc_context(drawing_settings(name)):
        figure = Figure(figsize=(4.6, 2.4), layout="constrained")
        axes = figure.subplots()
        for number, (title, values) in enumerate(series.items()):
            colour = SERIES[number]
            heights, _ = np.histogram(values, edges)
            axes.stairs(heights, edges, color=colour, lw=1.6, label=title)
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.18)
            axes.axvline(float(np.mean(values)), color=colour, lw=1.4, ls="--")
        style_axes(axes)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylabel("pictures", color=INK)
        if len(series) > 1:
            figure.legend(loc="outside upper left", ncols=2, frameon=False, labelcolor=INK, handlelength=1.2)
        return svg_of(figure)


def _galleries(survey: Survey) -> list[dict[str, Any]]:
    """Rows of pictures: by rule, the worst, the best."""
    main = MAIN[survey.data.kind]
    rows = survey.columns[0].rows
    ranked = sorted((n for n, row in enumerate(rows) if main in row), key=lambda n: rows[n][main])
    few = min(EXTREMES, len(ranked) // 2)
    title = metric(main).title
    sections = [
        ("By rule", "Every k-th test picture by name, none picked by hand.", survey.by_rule),
        ("The worst", f"Those with the lowest {title}.", ranked[:few]),
        ("The best", f"Those with the highest {title}.", ranked[::-1][:few]),
    ]
    return [
        {
            "title": heading,
            "text": text,
            "rows": [
                {
                    "name": survey.cases[n].name,
                    "label": survey.cases[n].label,
                    "value": f"{title} {rows[n][main]:.4g}" if main in rows[n] else "",
                    "shots": survey.shots_of(n),
                }
                for n in chosen
            ],
        }
        for heading, text, chosen in sections
        if chosen
    ]
