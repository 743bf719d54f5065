"""What a run has written about itself, line by line: the `log.jsonl` of `translate.trainers.journal`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.errors import DataError


@dataclass(frozen=True)
class Log:
    """What `log.jsonl` says, without what a killed process did in vain."""

    start: dict[str, Any]
    """Of the last process; empty in a log without one."""
    progress: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    rejected: list[str]
    """Files that were passed over, and why."""
    warnings: list[dict[str, Any]]
    """Lights that have burnt, each as it was last: `name`, `text`, `lit`, and at how many `images` it began."""

    @property
    def last(self) -> dict[str, Any]:
        """The newest line that knows how far the run is; empty at its beginning."""
        return max((*self.progress, *self.validation), key=lambda line: line["images"], default={})

    @property
    def bad_steps(self) -> int:
        """Steps without a finite loss, which were skipped."""
        return self.progress[-1]["bad_steps"] if self.progress else 0


def read_log(path: Path) -> Log:
    """Read a log. A process that goes on from a snapshot repeats what a killed one did after it; that is dropped.

    Lines that are cut off, as by a full disk, are left out.

    Raises:
        DataError: there is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise DataError(f"{path.parent} holds no {path.name}; name the --out folder of a run that has begun") from None
    bad_before = 0  # every process counts its own
    start, progress, validation, rejected = dict[str, Any](), list[Any](), list[Any](), list[str]()
    warnings = list[dict[str, Any]]()
    for line in map(json_object, text.splitlines()):
        event = line.get("event")
        if event == "start":
            start, first = line, line.get("images", 0)
            # Before the first snapshot there is nothing to go on from, and everything is repeated.
            for lines in (progress, validation, warnings):
                lines[:] = [kept for kept in lines if first and kept["images"] <= first]
            bad_before = progress[-1]["bad_steps"] if progress else 0
        elif event == "progress":
            progress.append({**line, "bad_steps": bad_before + line.get("bad_steps", 0)})
        elif event == "validation":
            validation.append(line)
        elif event == "warning":
            warnings.append(line)
        elif event == "rejected" and line["file"] not in rejected:
            rejected.append(line["file"])
    return Log(start, progress, validation, rejected, _lights(warnings))


def _lights(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every light that has burnt, as it was last, and when it last began."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        began = line["images"] if line["lit"] else found.get(line["name"], line)["images"]
        found[line["name"]] = {**line, "images": began}
    return sorted(found.values(), key=lambda light: not light["lit"])


def json_object(text: str) -> dict[str, Any]:
    """The object, or an empty one if it is something else or cut off."""
    found = json_value(text)
    return found if isinstance(found, dict) else {}


def json_value(text: str) -> Any:
    """What the text says, or None if it is cut off."""
    try:
        return json.loads(text)
    except ValueError:
        return None
