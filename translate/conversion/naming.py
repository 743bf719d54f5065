"""Names of results: a template is filled in, and every name is unique."""

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from translate.errors import ConfigError, nearest

FIELDS = ("stem", "model", "scale", "label", "style", "detail")
"""Fields allowed in a template: the picture's name without its suffix, the model and its settings."""

FORBIDDEN = '/\\:*?"<>|'
"""Characters that some file systems do not allow in names."""

VIDEO_INPUTS = {".mp4": ".mp4", ".m4v": ".mp4", ".avi": ".mp4", ".mov": ".mov", ".mkv": ".mkv", ".webm": ".webm"}
"""Suffix (lower case) of each video format that can be read -> suffix of its result by default."""

VIDEO_OUTPUTS = set(VIDEO_INPUTS.values())
"""Suffixes of the video formats that can be written."""


def is_video(name: str) -> bool:
    """Whether a file is a video, judging by its name."""
    return PurePosixPath(name).suffix.lower() in VIDEO_INPUTS


def video_suffix(name: str, output_format: str) -> str:
    """Suffix of the result of a video; picture formats have no effect on it."""
    if f".{output_format}" in VIDEO_OUTPUTS:
        return f".{output_format}"
    suffix = PurePosixPath(name).suffix
    return suffix if suffix.lower() in VIDEO_OUTPUTS else VIDEO_INPUTS[suffix.lower()]


def check_template(template: str) -> None:
    """Reject a template that cannot name files.

    Raises:
        ConfigError: unbalanced braces, an unknown field, no `{stem}`, or characters not allowed in file names.
    """
    try:
        parts = [(text, field) for text, field, *_ in string.Formatter().parse(template)]
    except ValueError as error:
        raise ConfigError(f"--name {template} has wrong braces ({error}); use for example {{stem}}-large") from None
    fields = [field for _, field in parts if field is not None]
    for field in fields:
        if field not in FIELDS:
            raise ConfigError(f"--name {template} has the unknown field {{{field}}}; {nearest(field, FIELDS)}")
    if "stem" not in fields:
        raise ConfigError(f"--name {template} gives every picture the same name; add {{stem}} to it")
    if any(character in FORBIDDEN for text, _ in parts for character in text):
        raise ConfigError(f"--name {template} contains one of {FORBIDDEN}; remove it")


def result_names(
    names: Sequence[str], suffix_of: Callable[[str], str], template: str, fields: Callable[[str], Mapping[str, str]]
) -> list[str]:
    """Names for the results of the pictures in one folder; unique even on case-insensitive file systems.

    If two pictures would get the same name, like `a.png` and `a.jpg` both converted to PNG, they stay distinguishable:
    `a.png`, which has that suffix already, and `a.jpg.png`. Otherwise a picture's name does not depend on the others.

    Args:
        names: file names, without folders.
        suffix_of: name -> suffix of its result, with the dot.
        template: see `check_template`.
        fields: name -> all template fields except `stem`.
    """
    found = [template.format(stem=PurePosixPath(name).stem, **fields(name)) + suffix_of(name) for name in names]
    counts = Counter(result.casefold() for result in found)
    taken: set[str] = set()
    for number, (name, result) in enumerate(zip(names, found, strict=True)):
        plain = PurePosixPath(name).suffix == suffix_of(name)
        if counts[result.casefold()] > 1 and not (plain and result.casefold() not in taken):
            stem = PurePosixPath(result).stem + PurePosixPath(name).suffix
            found[number] = _free(stem, PurePosixPath(result).suffix, counts.keys() | taken)
        taken.add(found[number].casefold())
    return found


def with_number(name: str, number: int) -> str:
    """`a.png` -> `a-2.png`; folders in the path are kept."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}"))


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    number, name = 2, stem + suffix
    while name.casefold() in taken:
        name, number = f"{stem}-{number}{suffix}", number + 1
    return name
