"""Errors that are shown to the user.

Every message is one line: what was found, what was expected, what to do next. The command line prints it without a
traceback and exits with status 2. Any other exception is a bug and keeps its traceback; if it concerns one picture of a
conversion, that picture fails and the traceback goes to a file (`translate.conversion.faults`).

    TranslateError
    ├── ImageError      a picture cannot be read, is too large or too small, or cannot be written
    │   ├── TooLarge    it has more pixels than the limit of the reader
    │   └── DiskFull    no result can be written any more
    ├── ModelError      a model is unknown, damaged, or has no ModelSpec
    ├── DataError       a folder of training or input pictures is missing, empty or unusable
    ├── ConfigError     an option is out of range, unknown, or contradicts another
    ├── SnapshotError   a training snapshot is missing, damaged or of another version
    └── MissingExtra    an optional group of packages is not installed
"""

import difflib
import re
from collections.abc import Iterable
from importlib.util import find_spec


class TranslateError(Exception):
    """Base class of all errors that are shown to the user as one line."""


class ImageError(TranslateError):
    """A picture cannot be read, is too large or too small for the operation, or cannot be written."""


class TooLarge(ImageError):  # noqa: N818 - a kind of ImageError
    """A picture has more pixels than the limit of the reader; none were decoded.

    height, width: of the picture, in pixels.
    """

    def __init__(self, message: str, height: int, width: int) -> None:
        super().__init__(message)
        self.height, self.width = height, width


class DiskFull(ImageError):  # noqa: N818 - a kind of ImageError
    """A result cannot be written because its disk is full or read-only, which concerns all others too."""


class ModelError(TranslateError):
    """A model is unknown, damaged, or was not written by `translate export`."""


class DataError(TranslateError):
    """A folder of pictures is missing, empty or unusable."""


class ConfigError(TranslateError):
    """An option is out of range, unknown, or contradicts another one."""


class SnapshotError(TranslateError):
    """A training snapshot is missing, damaged, or belongs to another version or trainer."""


class MissingExtra(TranslateError):  # noqa: N818 - already descriptive
    """An optional group of packages (e.g. `train`, `export`) is needed but not installed."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return `did you mean X?`, or the whole list if nothing is similar."""
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(choices)}"


def one_line(text: str) -> str:
    """`text` with its control characters escaped: names of files may contain line breaks, or codes for the terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)


def message_of(error: Exception, most: int | None = None) -> str:
    """What an error of a library says, with single spaces instead of line breaks; `most`: characters of it."""
    return " ".join(str(error).split())[:most]


def require(extra: str, *modules: str) -> None:
    """Check that the top-level `modules` of the optional group `extra` are installed, without importing them.

    Raises:
        MissingExtra: one is missing; the message says how to install the group.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} not installed; in the source folder run: pip install '.[{extra}]'")
