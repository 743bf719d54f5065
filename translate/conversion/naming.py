"""Names of results: a template is filled in, and every name is unique and allowed."""

import os
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath

from translate.errors import ConfigError, nearest
from translate.files import is_device

FIELDS = ("stem", "model", "scale", "label", "style", "detail")
"""Fields allowed in a template: the picture's name without its suffix, the model and its settings."""

FORBIDDEN = '/\\:*?"<>|'
"""Characters that some file systems do not allow in names."""

LONGEST = 255
"""Bytes that a name may have on common file systems."""

_UNSUITABLE = re.compile(f"[{re.escape(FORBIDDEN)}\x00-\x1f]")

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
        ConfigError: unbalanced braces, an unknown field, no `{stem}`, a format that is none for text, or characters not
            allowed in file names.
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
    try:
        template.format(**dict.fromkeys(FIELDS, "x"))
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise ConfigError(f"--name {template} has a wrong format ({error}); use for example {{stem}}-large") from None


def result_names(
    names: Sequence[str], suffix_of: Callable[[str], str], template: str, fields: Callable[[str], Mapping[str, str]]
) -> list[str]:
    """Names for the results of the pictures in one folder; unique even on disks that ignore case or compose accents.

    If two pictures would get the same name, like `a.png` and `a.jpg` both converted to PNG, they stay distinguishable:
    `a.png`, which has that suffix already, and `a.jpg.png`. Otherwise a picture's name does not depend on the others.

    Args:
        names: file names, without folders.
        suffix_of: name -> suffix of its result, with the dot.
        template: see `check_template`.
        fields: name -> all template fields except `stem`.
    """
    found = [
        allowed_name(template.format(stem=PurePosixPath(name).stem, **_suitable(fields(name))), suffix_of(name))
        for name in names
    ]
    counts = Counter(key_of(result) for result in found)
    taken: set[str] = set()
    for number, (name, result) in enumerate(zip(names, found, strict=True)):
        plain = PurePosixPath(name).suffix == suffix_of(name)
        if counts[key_of(result)] > 1 and not (plain and key_of(result) not in taken):
            stem = PurePosixPath(result).stem + PurePosixPath(name).suffix
            found[number] = _free(stem, PurePosixPath(result).suffix, counts.keys() | taken)
        taken.add(key_of(found[number]))
    return found


def allowed_name(stem: str, ending: str = "", *, windows: bool = os.name == "nt") -> str:
    """`stem` + `ending` as a name that file systems accept; the same for the same name, for ever.

    What has more than `LONGEST` bytes is cut, and on Windows what it forbids is replaced; a digest of the whole name
    then keeps the name unique. `..` stays as it is.
    """
    whole = stem + ending
    suited, room = stem, LONGEST - len(_encoded(ending))
    if windows and whole != "..":
        suited = _UNSUITABLE.sub("_", stem)
        suited = f"_{suited}" if is_device(whole) else suited
        suited = suited if ending else suited.rstrip(". ")
    if suited == stem and len(_encoded(stem)) <= room:
        return whole
    mark = f"~{sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    # Characters that are cut in two, and bytes that are no text, are left out.
    return _encoded(suited)[: room - len(mark)].decode("utf-8", "ignore") + mark + ending


class ResultFolders:
    """Names for the folders of results: those of the pictures, unless two would be one folder on disks that ignore case
    or compose accents; the second one, such as `a` beside `A`, is then `a-2`."""

    def __init__(self) -> None:
        self._root = _Folder("")

    def of(self, folder: str) -> str:
        """The folder of the results of a folder; both are relative, with forward slashes."""
        place = self._root
        names: list[str] = []
        for part in folder.split("/"):
            if place.inside is None or place.taken is None:  # most folders have no others in them
                place.inside, place.taken = {}, set()
            below = place.inside.get(part)
            if below is None:
                name, number = allowed_name(part), 2
                while key_of(name) in place.taken:
                    name, number = allowed_name(part, f"-{number}"), number + 1
                place.taken.add(key_of(name))
                below = place.inside[part] = _Folder(name)
            names.append(below.name)
            place = below
        return "/".join(names)


@dataclass(slots=True)
class _Folder:
    """A folder of results."""

    name: str
    inside: "dict[str, _Folder] | None" = None
    """By the names of the folders of pictures."""
    taken: set[str] | None = None
    """Keys of their names."""


def with_number(name: str, number: int) -> str:
    """`a.png` -> `a-2.png`; folders in the path are kept."""
    path = PurePosixPath(name)
    return str(path.with_name(allowed_name(path.stem, f"-{number}{path.suffix}")))


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    number, name = 2, allowed_name(stem, suffix)
    while key_of(name) in taken:
        name, number = allowed_name(stem, f"-{number}{suffix}"), number + 1
    return name


def key_of(name: str) -> str:
    """Equal for names that are one on some disk: in upper and lower case, and however an accent is stored."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _suitable(fields: Mapping[str, str]) -> dict[str, str]:
    """Fields without what names cannot contain; the names of models and labels come from files."""
    return {name: _UNSUITABLE.sub("-", value) for name, value in fields.items()}


def _encoded(name: str) -> bytes:
    """A name in UTF-8; bytes that are no text stay as they are on disk."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, as Windows allows
        return name.encode("utf-8", "surrogatepass")
