"""Errors meant for the person at the keyboard.

Every message is one line: what was found, what was expected, what to do next. The command line prints it
without a traceback and ends with exit status 2. Anything that is not a `TranslateError` is a bug and keeps
its traceback.

    TranslateError
    ├── ImageError      a picture cannot be read, is too large or too small, or cannot be written
    │   └── TooLarge    it has more pixels than the reader was to decode
    ├── ModelError      a model is unknown, damaged, or carries no ModelSpec
    ├── DataError       a folder of training or input pictures is missing, empty or unusable
    ├── ConfigError     an option is out of range, unknown, or contradicts another
    ├── SnapshotError   a training snapshot is missing, damaged or of another version
    └── MissingExtra    an optional group of packages is not installed
"""

import difflib
from collections.abc import Iterable


class TranslateError(Exception):
    """Base of all errors that are shown to the user as one line."""


class ImageError(TranslateError):
    """A picture cannot be read, is too large or too small for the work, or cannot be written."""


class TooLarge(ImageError):  # noqa: N818 - one kind of ImageError
    """A picture has more pixels than the reader was to decode; nothing of it was.

    height, width: of the picture, in pixels.
    """

    def __init__(self, message: str, height: int, width: int) -> None:
        super().__init__(message)
        self.height, self.width = height, width


class ModelError(TranslateError):
    """A model is unknown, damaged, or was not written by `translate export`."""


class DataError(TranslateError):
    """A folder of pictures is missing, empty or unusable."""


class ConfigError(TranslateError):
    """An option is out of range, unknown, or contradicts another one."""


class SnapshotError(TranslateError):
    """A training snapshot is missing, damaged, or belongs to another version or trainer."""


class MissingExtra(TranslateError):  # noqa: N818 - reads as what it is: an extra is missing
    """An optional group of packages (`train`, `export`) is needed and not installed."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """`did you mean X?`, or the whole list when nothing is near."""
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(choices)}"
