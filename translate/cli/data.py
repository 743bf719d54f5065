"""The command `translate data`."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from translate.errors import ConfigError, DataError, nearest, one_line
from translate.options import command_line, parse_options
from translate.pictures.operations import WRITABLE
from translate.tasks import TASKS, Task

if TYPE_CHECKING:
    from translate.data.check import Finding, Question, Split

_LAYOUTS = {
    "photos": "photographs (the task generates its input from them)",
    "side-by-side": "pairs, both pictures side by side in one file",
    "two-folders": "two folders",
}


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Check a folder of training pictures for problems. Exit status 1: problems were found."""

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Folder of pictures. If it has subfolders train and val or test, they are compared with each other."""
    task: Annotated[str, tyro.conf.arg(metavar="TASK", help_behavior_hint="(required)")] = ""
    """Task to train for; `translate train` lists them."""
    layout: Literal["auto", "photos", "side-by-side", "two-folders"] = "auto"
    """Dataset layout: photographs only, input/target pairs side by side in one file, or one folder per domain."""
    folders: Annotated[
        tuple[str, str] | None, tyro.conf.arg(metavar="A B", help_behavior_hint="(default: those of the task)")
    ] = None
    """Names of the input and target folders."""
    labels: bool = False
    """Use subfolder names as class labels (shoe, handbag)."""
    source_side: Literal["left", "right"] = "left"
    """Which half of a side-by-side file is the input."""
    channels: str = "3"
    """Channels and bit depth of input and target, as in `translate train`."""
    val: Annotated[Path | None, tyro.conf.arg(metavar="DIR2", help_behavior_hint="(default: none)")] = None
    """Folder of validation pictures to compare with DIR."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png", help_behavior_hint="(default: none)")] = None
    """Write a contact sheet of 48 pictures to this file."""
    json: bool = False
    """Print one JSON object instead of text."""

    def __post_init__(self) -> None:
        """Validate the options before any work starts.

        Raises:
            ConfigError: an option is missing or unknown.
        """
        if not self.task:
            raise ConfigError(f"--task is missing; choose one of: {', '.join(TASKS)}")
        if self.task not in TASKS:
            raise ConfigError(f"unknown task '{self.task}'; {nearest(self.task, TASKS)}")
        if self.sheet is not None and self.sheet.suffix.lower() not in WRITABLE:
            raise ConfigError(f"--sheet {self.sheet} is not a picture file name; use for example {self.sheet.stem}.png")


def main(argv: list[str]) -> int:
    """Run `translate data check DIR ...`; returns 0, or 1 if problems were found."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(
            "usage: translate data check DIR --task TASK [OPTIONS]\n\n"
            "Check a folder of training pictures for problems.\n\n"
            "All options: translate data check --help\n"
        )
        return 0
    if argv[0] != "check":
        raise ConfigError(f"unknown subcommand '{argv[0]}'; use: translate data check DIR --task TASK")
    return _check(parse_options(CheckOptions, argv[1:], "translate data check"))


def _check(options: CheckOptions) -> int:
    for folder in (options.data, *([options.val] if options.val else [])):
        if not folder.is_dir():
            raise DataError(
                f"{folder} {'is a file' if folder.is_file() else 'does not exist'}; give a folder of pictures"
            )
    from translate.data.check import Question, facts, find_faults, find_splits
    from translate.data.contact_sheet import write_sheet
    from translate.data.reading import parse_channels

    task = TASKS[options.task]
    question = Question(
        task=task,
        layout=options.layout,
        folders=options.folders or task.folders,
        labels=options.labels,
        source_side=options.source_side,
        formats=parse_channels(options.channels),
    )
    splits = _look_at(find_splits(options.data, options.val), question)
    found = find_faults(splits, task)
    if options.sheet is not None:
        write_sheet(options.sheet, splits[0], question.formats)
    described = [facts(split, task) for split in splits]
    if options.json:
        findings = [asdict(finding) for finding in found]
        answer = {"task": options.task, "square": task.image_size, "splits": described, "findings": findings}
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        # With findings, the next step is what they say, not training.
        advice = [] if found else _advise(options, splits)
        sys.stdout.write("\n".join([*_describe(described, task), *_list_findings(found), *advice]))
        sys.stdout.write("\n")
    return 1 if found else 0


def _look_at(folders: dict[str, Path], question: "Question") -> "list[Split]":
    """Decode all pictures, with a progress bar on a terminal."""
    # Imported here because rich takes a tenth of a second.
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    from translate.data.check import look

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    splits: list[Split] = []
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        for name, folder in folders.items():
            row = bar.add_task(f"Checking {name or 'pictures'}", total=None)
            splits.append(
                look(name, folder, question, lambda done, all, row=row: bar.update(row, completed=done, total=all))
            )
    return splits


def _describe(described: list[dict[str, Any]], task: Task) -> list[str]:
    lines: list[str] = []
    if len(described) > 1:
        names = [split["split"] for split in described]
        lines += [f"{len(names)} splits, compared with each other: {', '.join(names)}", ""]
    for split in described:
        layout = _LAYOUTS[split["layout"]]
        if split["layout"] == "two-folders":
            layout = f"two folders of {'pairs' if split['paired'] else 'unpaired pictures'}"
        counts = ", ".join(f"{count} {name}" for name, count in split["counts"].items())
        lines += [f"{split['folder']}: {layout}", f"  {counts}"]
        lines += [f"  label {name}: {count}" for name, count in split["labels"].items()]
        lines += [f"  note: {reason}" for reason in (*split["left_out"], *split["notes"])]
        lines += [*_size_lines(split["sizes"], task.image_size), ""]
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
    lines = [f"{len(found)} problem{'' if len(found) == 1 else 's'} found:"] if found else ["No problems found."]
    for number, finding in enumerate(found, 1):
        lines.append(f"{number}. {finding.text}")
        lines += [f"     {one_line(name)}" for name in finding.names]
        if finding.count > len(finding.names):
            lines.append(f"     and {finding.count - len(finding.names)} more")
    return lines


def _advise(options: CheckOptions, splits: "list[Split]") -> list[str]:
    """The command that trains on these pictures."""
    words = ["translate", "train", options.task, "--data", str(splits[0].folder)]
    # Not test: it must stay unseen, and --val is used to choose the best snapshot.
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
    return [f"Next: {command_line([*words, '--out', 'runs/mine', '--max-time', '2h'])}"]
