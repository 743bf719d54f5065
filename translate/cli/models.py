"""The command `translate models`."""

import sys
from dataclasses import dataclass

from translate.inference.models import shipped
from translate.options import parse_options


@dataclass(frozen=True)
class ModelsOptions:
    """List the shipped models: name, task, licence, summary."""


def main(argv: list[str]) -> int:
    """Print the table and return 0."""
    parse_options(ModelsOptions, argv, "translate models")
    rows = [("NAME", "TASK", "LICENCE", "SUMMARY")]
    rows += [(model.name, model.task, model.licence, model.summary) for model in shipped()]
    if len(rows) == 1:
        sys.stdout.write("No models are shipped with this version; train one with `translate train`.\n")
        return 0
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, task, licence, summary in rows:
        sys.stdout.write(f"{name:<{widths[0]}}  {task:<{widths[1]}}  {licence:<{widths[2]}}  {summary}\n")
    return 0
