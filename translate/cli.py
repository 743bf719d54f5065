"""The command `translate`: verb -> function, imported only when chosen, so that help and errors are instant."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from translate import __version__
from translate.errors import TranslateError, nearest

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


@dataclass(frozen=True)
class Verb:
    """A subcommand: where its `main(arguments) -> exit status` is, and one line of help."""

    function: str
    """`module:function`."""
    summary: str


VERBS = {
    "convert": Verb("translate.convert_command:main", "convert pictures and films with a model, one or a folder"),
    "models": Verb("translate.models_command:main", "list the models that come with the program"),
    "demo": Verb("translate.demo_command:main", "convert the sample pictures of every shipped model"),
    "ui": Verb("ui.command:main", "open the page in the browser"),
    "data": Verb("translate.data_command:main", "look at a folder of pictures before training with it"),
    "train": Verb("translate.trainers.command:main", "train a model on a folder of photographs"),
    "report": Verb("translate.report_command:main", "explain a training run in one HTML file"),
    "evaluate": Verb("translate.evaluate_command:main", "measure a model on test pictures: numbers and a page"),
    "export": Verb("export.command:main", "turn a trained model into one .onnx file"),
}

_EXAMPLES = """\
Examples:
  translate models
  translate convert sketches photos --model sketch-to-photo
  translate convert in.png out.jpg --model my.onnx
  translate train sketch-to-photo --data photos --out runs/mine --max-time 2h
  translate export runs/mine -o mine.onnx
  translate evaluate mine.onnx --data photos/test --train photos/train
  translate VERB --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the program's own arguments) and return the exit status.

    0 done, 1 some pictures failed, 2 wrong usage or input, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()  # here, where a closed pipe is expected, not at the interpreter's end
        return status
    except TranslateError as error:
        sys.stderr.write(f"translate: {error}\n")
        return EXIT_USAGE
    except PermissionError as error:
        sys.stderr.write(f"translate: {error.filename}: no right to use it; change its rights or name another\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("translate: interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone; the interpreter's own last flush must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_BROKEN_PIPE


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        (sys.stdout if arguments else sys.stderr).write(_help())
        return 0 if arguments else EXIT_USAGE
    name, *rest = arguments
    if name == "--version":
        sys.stdout.write(f"translate {__version__}\n")
        return 0
    if name not in VERBS:
        raise TranslateError(f"unknown verb '{name}'; {nearest(name, VERBS)}")
    module, function = VERBS[name].function.split(":")
    run: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    try:
        return run(rest)
    except SystemExit as end:  # tyro's way of ending after help or a usage error
        return end.code if isinstance(end.code, int) else 0


def _help() -> str:
    verbs = "".join(f"  {name:<9}{verb.summary}\n" for name, verb in VERBS.items())
    return f"Usage: translate VERB [OPTIONS]\n\nVerbs:\n{verbs}\n{_EXAMPLES}"


if __name__ == "__main__":
    sys.exit(main())
