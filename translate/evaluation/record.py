"""The figures of an evaluation as JSON and as a plain table."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from translate.evaluation.page import group_totals
from translate.evaluation.run import Survey
from translate.metrics.table import ordered
from translate.spec import ModelSpec

DIGITS = 6

SETS = "swd_mean_milli"
"""How far two sets are apart."""


def flat(totals: Mapping[str, float]) -> dict[str, float]:
    """Finite numbers of so many digits, by name, as `translate export --metrics` reads them."""
    return {name: rounded(totals[name]) for name in ordered(set(totals)) if math.isfinite(totals[name])}


def summary(survey: Survey) -> dict[str, float]:
    """The model's numbers by name; of enlarged pictures also each sub-folder's, as tables publish them; of a model with
    styles also how far its results, each in another style, are from the true pictures as a set."""
    model = survey.columns[0]
    found = flat(model.totals)
    if survey.data.kind == "enlarge":
        for group, by_column in group_totals(survey).items():
            found |= {f"{group}_psnr_luma_db": flat(by_column[model.name])["psnr_luma_db"]}
    found |= {
        f"styles_{SETS}": flat(column.totals)[SETS]
        for column in survey.columns
        if column.name == "styles" and SETS in column.totals
    }
    return found


def rounded(value: float) -> float:
    """To `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def record(survey: Survey, spec: ModelSpec, **facts: Any) -> str:
    """Everything as JSON.

    Args:
        survey: what was measured.
        spec: of the model; its facts are repeated.
        facts: further entries.
    """
    columns = {column.name: column for column in survey.columns}
    against = columns.get("against")
    variants = [column for column in survey.columns if column.role == "variant"]
    others = [column for column in survey.columns if column.role in ("baseline", "truth")]
    model = survey.columns[0]
    entries = {
        "model": spec.name,
        "pictures": len(survey.cases),
        "direction": survey.data.direction,
        "metrics": flat(model.totals),
        "sets": {
            group: {name: flat(totals) for name, totals in by_column.items()}
            | {"pictures": sum(case.group == group or (group == "." and not case.group) for case in survey.cases)}
            for group, by_column in group_totals(survey).items()
        },
        "against": against and {"model": against.title, "metrics": flat(against.totals)},
        "variants": {column.name: flat(column.totals) for column in variants},
        "baselines": {column.name: flat(column.totals) for column in others},
        "skipped": {"count": len(survey.skipped), "reasons": survey.skipped},
        "spec": dataclasses.asdict(spec),
        **facts,
        "each": [
            {"name": case.name, **({"label": case.label} if case.label else {}), **flat(row)}
            for case, row in zip(survey.cases, model.rows, strict=True)
        ],
    }
    return json.dumps(entries, indent=2, allow_nan=False) + "\n"


def plain_tables(survey: Survey) -> list[str]:
    """Lines of a table of all pictures and one of each sub-folder."""
    totals = {column.name: column.totals for column in survey.columns}
    titles = {column.name: column.title for column in survey.columns}
    lines = _table(totals, titles)
    for group, by_column in group_totals(survey).items():
        count = sum(case.group == group or (group == "." and not case.group) for case in survey.cases)
        lines += ["", f"{group} ({count} pictures)", *_table(by_column, titles)]
    return lines


def _table(totals: Mapping[str, Mapping[str, float]], titles: Mapping[str, str]) -> list[str]:
    used = [name for name, numbers in totals.items() if numbers]
    metrics = ordered({metric for name in used for metric in totals[name]})
    rows: list[Sequence[str]] = [["", *(titles[name] for name in used)]]
    for metric in metrics:
        rows.append([metric, *(f"{totals[n][metric]:.5g}" if metric in totals[n] else "" for n in used)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(used) + 1)]
    return [
        (f"{row[0]:<{widths[0]}}" + "".join(f"  {row[i]:>{widths[i]}}" for i in range(1, len(row)))).rstrip()
        for row in rows
    ]
