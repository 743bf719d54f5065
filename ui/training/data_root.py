"""The folders that may be trained on: those below one folder, which nothing leads out of."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from translate.errors import ConfigError
from translate.pictures.operations import READABLE
from ui.refused import Refused

DEEPEST = 6
"""Levels below the root that are listed."""
MOST_FOLDERS = 500
"""Maximum number of folders listed."""


@dataclass(frozen=True)
class Folder:
    """A folder to choose."""

    name: str
    """Its path below the root, with slashes; `.` is the root itself."""
    pictures: int
    """Number of picture files in it and below."""


class DataRoot:
    """A folder whose subfolders may be chosen in the browser.

    Raises:
        ConfigError: it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            found = "is a file" if folder.is_file() else "does not exist"
            raise ConfigError(f"--data-root {folder} {found}; give the folder that holds your folders of pictures")
        self.path = Path(os.path.realpath(folder))

    def folders(self) -> list[Folder]:
        """The folders with pictures in or below them, by name, at most `MOST_FOLDERS`; links are not followed."""
        counts: dict[Path, int] = {}
        for folder, pictures in _walk(self.path, DEEPEST):
            if not pictures:
                continue
            for parent in (folder, *folder.parents):
                counts[parent] = counts.get(parent, 0) + pictures
                if parent == self.path:
                    break
        found = [Folder(path.relative_to(self.path).as_posix(), count) for path, count in counts.items()]
        return sorted(found, key=lambda folder: folder.name)[:MOST_FOLDERS]

    def resolve(self, name: str) -> Path:
        """The folder of this name, which lies below the root with all that it holds.

        Raises:
            Refused: there is no such folder below the root, or a link in it leads out of the root.
        """
        parts = PurePosixPath(name).parts
        path = self.path.joinpath(*parts)
        # The name comes from the browser. A link is refused wherever it leads: the list has none.
        if ".." in parts or "\0" in name or os.path.realpath(path) != str(path) or not path.is_relative_to(self.path):
            raise Refused("train.no_choice", value=name)
        # Not `Path.is_dir`, which fails for a name that no disk takes.
        if not os.path.isdir(path):  # noqa: PTH112
            raise Refused("train.no_folder", name=name)
        for link in _links(path):
            if not Path(os.path.realpath(link)).is_relative_to(self.path):
                shown = link.relative_to(self.path).as_posix()
                raise Refused("train.link", name=shown)
        return path


def _walk(root: Path, levels: int) -> Iterator[tuple[Path, int]]:
    """Each folder, links and hidden ones left out, with the number of pictures that lie directly in it."""
    waiting = [(root, levels)]
    while waiting:
        folder, left = waiting.pop()
        pictures = 0
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not _is_text(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if left:
                            waiting.append((folder / entry.name, left - 1))
                    elif Path(entry.name).suffix.lower() in READABLE or entry.name.endswith(".npy"):
                        pictures += 1
        except OSError:  # no permission, or just deleted: nothing to choose there
            continue
        yield folder, pictures


def _links(folder: Path) -> Iterator[Path]:
    """All links in a folder and below, without following them."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            if path.is_symlink():
                yield path


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
