"""What results are called: a template filled in, and no two alike."""

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from translate.errors import ConfigError, nearest

FIELDS = ("stem", "model", "scale", "label", "style", "detail")
"""What `{...}` in a template may name: the picture's name without its suffix, and what it is made with."""

FORBIDDEN = '/\\:*?"<>|'
"""Characters that some file system has another use for."""


FILMS = {".mp4": ".mp4", ".m4v": ".mp4", ".avi": ".mp4", ".mov": ".mov", ".mkv": ".mkv", ".webm": ".webm"}
"""Suffixes (lower case) of the films we read, and of what they become by themselves."""

FILM_RESULTS = set(FILMS.values())
"""Suffixes of the films we write."""


def is_film(name: str) -> bool:
    """Tell by its name whether a file is a film."""
    return PurePosixPath(name).suffix.lower() in FILMS


def suffix_of_film(name: str, output_format: str) -> str:
    """Suffix of the result of a film; a format of pictures does not change it."""
    if f".{output_format}" in FILM_RESULTS:
        return f".{output_format}"
    suffix = PurePosixPath(name).suffix
    return suffix if suffix.lower() in FILM_RESULTS else FILMS[suffix.lower()]


def check_template(template: str) -> None:
    """Refuse a template that cannot name files.

    Raises:
        ConfigError: braces that do not match, an unknown field, `{stem}` missing, or characters no file can have.
    """
    try:
        parts = [(text, field) for text, field, *_ in string.Formatter().parse(template)]
    except ValueError as error:
        raise ConfigError(f"--name {template} has wrong braces ({error}); write for example {{stem}}-large") from None
    fields = [field for _, field in parts if field is not None]
    for field in fields:
        if field not in FIELDS:
            raise ConfigError(f"--name {template} has {{{field}}}, which does not exist; {nearest(field, FIELDS)}")
    if "stem" not in fields:
        raise ConfigError(f"--name {template} gives all pictures one name; put {{stem}} into it")
    if any(character in FORBIDDEN for text, _ in parts for character in text):
        raise ConfigError(f"--name {template} holds one of {FORBIDDEN}; leave it out")


def result_names(
    names: Sequence[str], suffix_of: Callable[[str], str], template: str, facts: Callable[[str], Mapping[str, str]]
) -> list[str]:
    """Names for the results of pictures of one folder, all different, also where a disk ignores upper and lower case.

    Two pictures that would get one name, `a.png` and `a.jpg` both made PNG, keep what tells them apart: `a.png`, which
    has that suffix already, and `a.jpg.png`. A picture's name does not depend on others in any other way.

    Args:
        names: file names, without folders.
        suffix_of: name -> suffix of its result, with the dot.
        template: see `check_template`.
        facts: name -> the fields but `stem`.
    """
    found = [template.format(stem=PurePosixPath(name).stem, **facts(name)) + suffix_of(name) for name in names]
    counts = Counter(result.casefold() for result in found)
    taken: set[str] = set()
    for number, (name, result) in enumerate(zip(names, found, strict=True)):
        plain = PurePosixPath(name).suffix == suffix_of(name)
        if counts[result.casefold()] > 1 and not (plain and result.casefold() not in taken):
            stem = PurePosixPath(result).stem + PurePosixPath(name).suffix
            found[number] = _free(stem, PurePosixPath(result).suffix, counts.keys() | taken)
        taken.add(found[number].casefold())
    return found


def numbered(name: str, number: int) -> str:
    """`a.png` -> `a-2.png`; folders in front are kept."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}"))


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    number, name = 2, stem + suffix
    while name.casefold() in taken:
        name, number = f"{stem}-{number}{suffix}", number + 1
    return name
