"""The verb `translate data`."""

import json
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from translate.errors import ConfigError, DataError, nearest
from translate.extras import require
from translate.images import WRITABLE
from translate.tasks import TASKS
from translate.usage import parse_options

if TYPE_CHECKING:
    from translate.data.check import Finding, Needs, Question, Split

_LAYOUTS = {
    "photos": "photographs (the task makes its own input from them)",
    "side-by-side": "pairs, two pictures side by side in every file",
    "two-folders": "two folders",
}


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Look at all pictures of a folder before training with them. Exit status 1: something should be mended."""

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Folder with the pictures. With subfolders train and val or test, these are compared with each other."""
    task: Annotated[str, tyro.conf.arg(metavar="TASK", help_behavior_hint="(required)")] = ""
    """What they are meant for; `translate train` lists the tasks."""
    layout: Literal["auto", "photos", "side-by-side", "two-folders"] = "auto"
    """How the folder holds the pictures: photographs alone, pairs in one file each, or a folder for either side."""
    folders: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="A B")] = None
    """Names of the two folders, what goes in and what should come out. Default: those of the task."""
    labels: bool = False
    """Subfolders are kinds (shoe, handbag)."""
    source_side: Literal["left", "right"] = "left"
    """Which half of a side-by-side file is what goes in."""
    channels: str = "3"
    """Channels and bits of the pictures, in and out, as in `translate train`."""
    val: Annotated[Path | None, tyro.conf.arg(metavar="DIR2")] = None
    """Folder with pictures to measure with, compared with DIR."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Write an overview of 48 pictures here."""
    json: bool = False
    """Print one JSON object in place of text."""

    def __post_init__(self) -> None:
        """Check what can be checked before the work starts.

        Raises:
            ConfigError: an option is missing or unknown.
        """
        if not self.task:
            raise ConfigError(f"--task is missing; choose one of: {', '.join(TASKS)}")
        if self.task not in TASKS:
            raise ConfigError(f"unknown task '{self.task}'; {nearest(self.task, TASKS)}")
        if self.sheet is not None and self.sheet.suffix.lower() not in WRITABLE:
            raise ConfigError(f"--sheet {self.sheet} is no picture's name; name it for example {self.sheet.stem}.png")


def main(argv: list[str]) -> int:
    """Run `translate data check DIR ...`; returns 0, or 1 if something should be mended."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(
            "usage: translate data check DIR --task TASK [OPTIONS]\n\n"
            "Look at all pictures of a folder before training with them.\n\n"
            "All options: translate data check --help\n"
        )
        return 0
    if argv[0] != "check":
        raise ConfigError(f"unknown word '{argv[0]}' after translate data; write: translate data check DIR --task TASK")
    return _check(parse_options(CheckOptions, argv[1:], "translate data check"))


def _check(options: CheckOptions) -> int:
    for folder in (options.data, *([options.val] if options.val else [])):
        if not folder.is_dir():
            raise DataError(f"{folder} is {'a file' if folder.is_file() else 'not there'}; name a folder with pictures")
    require("train", "cv2")  # reads TIFF and 16 bits
    from translate.data.check import Question, facts, find_faults, find_splits, needs_of
    from translate.data.contact_sheet import write_sheet
    from translate.data.formats import parse_channels

    needs = needs_of(TASKS[options.task])
    question = Question(
        needs=needs,
        layout=options.layout,
        folders=options.folders or needs.folders,
        labels=options.labels,
        source_side=options.source_side,
        formats=parse_channels(options.channels),
    )
    splits = _look_at(find_splits(options.data, options.val), question)
    found = find_faults(splits, needs)
    if options.sheet is not None:
        write_sheet(options.sheet, splits[0], question.formats)
    described = [facts(split, needs) for split in splits]
    if options.json:
        findings = [asdict(finding) for finding in found]
        answer = {"task": options.task, "square": needs.square, "splits": described, "findings": findings}
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        # Drawings would be learnt as photographs: the command that does so is no advice.
        advice = [] if any(finding.kind == "drawings" for finding in found) else _advise(options, splits)
        sys.stdout.write("\n".join([*_describe(described, needs), *_list_findings(found), *advice]))
        sys.stdout.write("\n")
    return 1 if found else 0


def _look_at(folders: dict[str, Path], question: "Question") -> "list[Split]":
    """Decode all pictures, with a progress bar on a terminal."""
    # Only here: rich takes a tenth of a second to import.
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    from translate.data.check import look

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    splits: list[Split] = []
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        for name, folder in folders.items():
            row = bar.add_task(f"Looking at {name or 'the pictures'}", total=None)
            splits.append(
                look(name, folder, question, lambda done, all, row=row: bar.update(row, completed=done, total=all))
            )
    return splits


def _describe(described: list[dict[str, Any]], needs: "Needs") -> list[str]:
    lines: list[str] = []
    if len(described) > 1:
        names = [split["split"] for split in described]
        lines += [f"{len(names)} splits, compared with each other: {', '.join(names)}", ""]
    for split in described:
        layout = _LAYOUTS[split["layout"]]
        if split["layout"] == "two-folders":
            layout = f"two folders of {'pairs' if split['paired'] else 'pictures that need not match'}"
        counts = ", ".join(f"{count} {name}" for name, count in split["counts"].items())
        lines += [f"{split['folder']}: {layout}", f"  {counts}"]
        lines += [f"  label {name}: {count}" for name, count in split["labels"].items()]
        lines += [*_size_lines(split["sizes"], needs.square), ""]
    return lines


def _size_lines(sizes: dict[str, dict[str, Any]], square: int) -> list[str]:
    rows: list[tuple[str, ...]] = [("", "smallest", "median", "largest", f"a side below {square}")]
    for name, table in sizes.items():
        if table["pictures"]:
            three = (f"{width} x {height}" for width, height in (table[k] for k in ("smallest", "median", "largest")))
            rows.append((name, *three, f"{table['below_square']} of {table['pictures']}"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [f"  {row[0]:<{widths[0]}}" + "".join(f"  {row[i]:>{widths[i]}}" for i in range(1, 5)) for row in rows]


def _list_findings(found: "list[Finding]") -> list[str]:
    lines = [f"{len(found)} thing{'' if len(found) == 1 else 's'} to mend:"] if found else ["Nothing to mend."]
    for number, finding in enumerate(found, 1):
        lines.append(f"{number}. {finding.text}")
        lines += [f"     {name}" for name in finding.names]
        if finding.count > len(finding.names):
            lines.append(f"     and {finding.count - len(finding.names)} more")
    return lines


def _advise(options: CheckOptions, splits: "list[Split]") -> list[str]:
    """The command that trains on what was looked at."""
    words = ["translate", "train", options.task, "--data", str(splits[0].folder)]
    # Not test: the best snapshot would be chosen by what must stay unseen until the end.
    if len(splits) > 1 and splits[1].name == "val":
        words += ["--val", str(splits[1].folder)]
    if options.layout != "auto":
        words += ["--layout", options.layout]
    if options.folders:
        words += ["--folders", *options.folders]
    if options.labels:
        words.append("--labels")
    if options.source_side == "right":
        words += ["--source-side", "right"]
    if options.channels != "3":
        words += ["--channels", options.channels]
    return [f"Next: {shlex.join([*words, '--out', 'runs/mine', '--max-time', '2h'])}"]
