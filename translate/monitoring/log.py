"""Reads the log of a run, the `log.jsonl` written by `translate.monitoring.logger`; reading needs no torch."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate import __version__
from translate.errors import DataError

if TYPE_CHECKING:
    import torch


_NUMBER = (int, float)
_NEEDED: Mapping[str, Mapping[str, Any]] = {
    "start": {},
    "progress": {"images": _NUMBER},
    "validation": {"images": _NUMBER, "metrics": dict},
    "warning": {"images": _NUMBER, "name": str, "text": str, "lit": bool},
    "rejected": {"file": str},
}
"""What a line of each event has, and of which type."""
_POSSIBLE: Mapping[str, Any] = {
    **dict.fromkeys(("images", "bad_steps", "share", "seconds", "images_per_second"), _NUMBER),
    **dict.fromkeys(("losses", "pictures", "machine"), dict),
}


@dataclass(frozen=True)
class Log:
    """The contents of `log.jsonl`, without work that a killed process lost."""

    start: dict[str, Any]
    """The start line of the last process; empty if there is none."""
    progress: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    rejected: list[str]
    """Files that were skipped, and why."""
    warnings: list[dict[str, Any]]
    """The latest state of each warning: `name`, `text`, `lit` (active), and the `images` at which it began."""

    @property
    def last(self) -> dict[str, Any]:
        """The newest line with the progress of the run; empty at its beginning."""
        return max((*self.progress, *self.validation), key=lambda line: line["images"], default={})

    @property
    def bad_steps(self) -> int:
        """Number of steps that were skipped because the loss or gradient was not finite."""
        return self.progress[-1]["bad_steps"] if self.progress else 0


def read_log(path: Path) -> Log:
    """Read a log. A resumed run repeats the steps that a killed process made after the snapshot; those are dropped.

    Truncated lines, as left by a full disk, and others that are not as they were written, are ignored.

    Raises:
        DataError: there is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise DataError(f"{path.parent} has no {path.name}; give the --out folder of a run that has started") from None
    bad_before = 0  # each process counts its own
    start, progress, validation, rejected = dict[str, Any](), list[Any](), list[Any](), list[str]()
    warnings = list[dict[str, Any]]()
    for line in map(json_object, text.splitlines()):
        event = line.get("event")
        if not _is_sound(line):
            continue
        if event == "start":
            start, first = line, line.get("images", 0)
            # Without a snapshot there is nothing to resume, and everything is repeated.
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
    return Log(start, progress, validation, rejected, _latest_warnings(warnings))


def append_line(path: Path, text: str) -> None:
    """Append a line, which never becomes part of one that a kill or a full disk has left incomplete.

    Raises:
        OSError: the disk refuses.
    """
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        torn = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * torn + text.encode() + b"\n")


def _is_sound(line: Mapping[str, Any]) -> bool:
    event = line.get("event")
    needed = _NEEDED.get(event, {}) if isinstance(event, str) else {}
    return all(isinstance(line.get(name), kind) for name, kind in needed.items()) and all(
        isinstance(line[name], kind) for name, kind in _POSSIBLE.items() if name in line
    )


def _latest_warnings(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The latest state of each warning, and when it last began; active ones first."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        began = line["images"] if line["lit"] else found.get(line["name"], line)["images"]
        found[line["name"]] = {**line, "images": began}
    return sorted(found.values(), key=lambda warning: not warning["lit"])


def json_object(text: str) -> dict[str, Any]:
    """The parsed object, or an empty one if the text is something else or truncated."""
    found = json_value(text)
    return found if isinstance(found, dict) else {}


def json_value(text: str) -> Any:
    """The parsed value, or None if the text is truncated."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def machine_facts(device: "torch.device", processes: int) -> dict[str, Any]:
    """Device, cores and versions, as JSON values; nothing that identifies the computer or its user."""
    import torch

    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else "CPU",
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "system": platform.system(),
        "python": platform.python_version(),
        "translate": __version__,
        **{name: version(name) for name in ("torch", "torchvision", "kornia", "albumentations")},
    }
