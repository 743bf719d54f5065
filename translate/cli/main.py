"""The program `translate`: maps each command to a function, imported on demand so that help and errors are instant."""

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from translate import __version__
from translate.errors import TranslateError, nearest, one_line
from translate.files import FULL

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


@dataclass(frozen=True)
class Command:
    """A command: its function, `main(arguments) -> exit status`, and one line of help."""

    function: str
    """`module:function`."""
    summary: str


COMMANDS = {
    "convert": Command("translate.cli.convert:main", "convert a picture, a video or a folder with a model"),
    "models": Command("translate.cli.models:main", "list, add and remove models"),
    "info": Command("translate.cli.info:main", "print what a model file is: inputs, cost, licence, metrics, digests"),
    "bench": Command("translate.cli.bench:main", "measure how fast models run on this machine"),
    "demo": Command("translate.cli.demo:main", "convert the sample pictures of every shipped model"),
    "ui": Command("ui.command:main", "open the web interface in the browser"),
    "verify": Command("translate.cli.verify:main", "tell who made a picture, with what, and whether it was changed"),
    "data": Command("translate.cli.data:main", "check a folder of training pictures for problems"),
    "train": Command("translate.cli.train:main", "train a model on a folder of photographs"),
    "resume": Command("translate.cli.resume:main", "continue a training run"),
    "report": Command("translate.cli.report:main", "write an HTML report of a training run"),
    "evaluate": Command("translate.cli.evaluate:main", "evaluate a model on test pictures: metrics and an HTML page"),
    "export": Command("export.command:main", "export a trained model to one .onnx file"),
    "import": Command("export.import_command:main", "turn a model of another program into one .onnx file"),
}

_EXAMPLES = """\
Examples:
  translate models
  translate models add hf:OWNER/REPO/mine.onnx
  translate convert sketches photos --model sketch-to-photo
  translate convert in.png out.jpg --model my.onnx
  translate train sketch-to-photo --data photos --out runs/mine --max-time 2h
  translate resume runs/mine
  translate export runs/mine -o mine.onnx
  translate evaluate mine.onnx --data photos/test --train photos/train
  translate COMMAND --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the program's own arguments) and return the exit status.

    0 success, 1 some pictures failed, 2 invalid usage or input, 130 interrupted; `verify` has others.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - closed, as by `>&-`
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal, or a file in a code page, cannot hold is escaped: no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()  # here, where a closed pipe is handled, not when the interpreter exits
        return status
    except TranslateError as error:
        sys.stderr.write(f"translate: {one_line(str(error))}\n")
        return EXIT_USAGE
    except PermissionError as error:
        name = one_line(str(error.filename))
        sys.stderr.write(f"translate: {name}: permission denied; change its permissions or use another\n")
        return EXIT_USAGE
    except OSError as error:
        full = error.filename is None and FULL.get(error.errno or 0)
        if isinstance(error, BrokenPipeError) or full:
            # The reader (e.g. `| head`) is gone, or the disk is full; keep the interpreter's final flush from
            # reporting it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            return EXIT_BROKEN_PIPE
        if full:
            sys.stderr.write(f"translate: standard output: {error.strerror}; {full}\n")
            return EXIT_USAGE
        if error.filename is None or error.strerror is None:
            raise
        sys.stderr.write(f"translate: {one_line(f'{error.filename}: {error.strerror}')}; use another name or folder\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("translate: interrupted\n")
        return EXIT_INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        (sys.stdout if arguments else sys.stderr).write(_help())
        return 0 if arguments else EXIT_USAGE
    name, *rest = arguments
    if name == "--version":
        sys.stdout.write(f"translate {__version__}\n")
        return 0
    if name not in COMMANDS:
        raise TranslateError(f"unknown command '{name}'; {nearest(name, COMMANDS)}")
    module, function = COMMANDS[name].function.split(":")
    run: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    try:
        return run(rest)
    except SystemExit as end:  # raised by tyro after --help or a usage error
        return end.code if isinstance(end.code, int) else 0


def _help() -> str:
    commands = "".join(f"  {name:<9}{command.summary}\n" for name, command in COMMANDS.items())
    return f"Usage: translate COMMAND [OPTIONS]\n\nCommands:\n{commands}\n{_EXAMPLES}"


if __name__ == "__main__":
    sys.exit(main())
