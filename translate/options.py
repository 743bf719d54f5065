"""Command-line options from a dataclass, with usage errors in one line."""

import contextlib
import dataclasses
import io
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from translate.errors import ConfigError

Options = TypeVar("Options")

CONFIG = (tyro.conf.HelptextFromCommentsOff,)
"""Every option has a docstring. Looking for comments, in the source of each class, would take half of the time."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_options(kind: type[Options], argv: list[str], prog: str, default: Options | None = None) -> Options:
    """Build `kind` from the arguments; `--help` prints and exits as usual.

    Args:
        kind: a dataclass whose docstrings are the help texts.
        argv: the arguments.
        prog: the command as the user typed it, e.g. `translate convert`.
        default: where options that are not given take their values from.

    Raises:
        ConfigError: tyro's complaint, on one line.
    """
    if not {"-h", "--help"}.isdisjoint(argv):
        _join_lines_of_help(kind)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            if default is None:
                return tyro.cli(kind, args=argv, prog=prog, config=CONFIG)
            return tyro.cli(kind, args=argv, prog=prog, default=default, config=CONFIG)
    except SystemExit as end:
        if not end.code:
            raise
    raise ConfigError(f"{_one_line(complaint.getvalue())}; see {prog} --help")


def parse_duration(text: str) -> float:
    """`90s`, `20m`, `1h30m`, `2d` or plain seconds -> seconds.

    Raises:
        ConfigError: anything else.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    raise ConfigError(f"{text!r} is not a duration; write for example 90s, 20m or 1h30m")


def text_option(metavar: str, parse: Callable[[str], Any], show: Callable[[Any], str]) -> Any:
    """Annotation of a field whose text on the command line is read by `parse` and shown by `show`."""

    def read(texts: list[str]) -> Any:
        try:
            return parse(texts[0])
        except ConfigError as error:
            raise ValueError(str(error)) from None  # what tyro reports as a usage error

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: value is not None,
        str_from_instance=lambda value: [show(value)],
    )


def command_line(words: Sequence[str], *, windows: bool = os.name == "nt") -> str:
    """Words as they have to be typed: those with spaces and the like in quotation marks."""
    return subprocess.list2cmdline(words) if windows else shlex.join(words)


def quoted(path: Path) -> str:
    """A path as it has to be typed in a command, where it must not look like an option."""
    text = str(path)
    return command_line([f".{os.sep}{text}" if text.startswith("-") else text])


def short_help(whole: str, wanted: Collection[str], last: str) -> str:
    """The help that `parse_options` prints, with some of its options only.

    Args:
        whole: what it printed.
        wanted: names of the options to keep, without dashes.
        last: a line to end with.
    """
    kept: list[str] = []
    keeping = True
    for line in whole.splitlines():
        match = re.match(r"[│ ] {1,2}(?:-\w, )?--([\w-]+)", line)  # a frame, or blanks where the terminal has none
        if match:
            keeping = match[1] in wanted
        elif not re.match(r"[│ ] ", line):  # text or choices of the same option are indented
            keeping = True
        if keeping:
            kept.append(line)
    return "\n".join([*kept, last])


def _join_lines_of_help(kind: type[Any]) -> None:
    """Give the fields their docstrings as help in one line: tyro keeps most line breaks of the source."""
    import docstring_parser  # needed for --help only

    texts = {
        entry.arg_name: entry.description
        for parent in reversed(kind.__mro__[:-1])
        for entry in docstring_parser.parse_from_object(parent).params
    }
    types = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(inner := types[field.name]) and isinstance(inner, type):
            _join_lines_of_help(inner)
        if text := texts.get(field.name):
            field.metadata = MappingProxyType({**field.metadata, "help": " ".join(text.split())})


def _one_line(boxed: str) -> str:
    """tyro's framed text -> its sentence, and the option it suggests."""
    untitled = "\n".join(boxed.strip().splitlines()[1:])
    parts = re.split(r"^[\W_]*[-─]{8,}[\W_]*$", untitled, flags=re.MULTILINE)
    paragraphs = [" ".join(part.replace("│", " ").split()) for part in parts]
    said, *hints = [part for part in paragraphs if part] or ["wrong usage"]
    meant = [hint for hint in hints if hint.startswith("Perhaps you meant")]
    option = re.search(r"--[\w-]+", meant[0]) if meant else None
    return said.rstrip(".") + (f"; did you mean {option[0]}?" if option else "")
