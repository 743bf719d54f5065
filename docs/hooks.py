"""Bring the documents outside `docs/` into the site: README, CONTRIBUTING, CHANGELOG, the cards and their pictures.

In the repository their links to one another go through `..`; in the site, where `docs/` is the root, they do not.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "checkpoints/**/*.md", "checkpoints/*/*.jpg",
           "screenshots/*.webp")  # fmt: skip
RENAMED = {"README.md": "about.md"}
"""MkDocs would make the index page of the site of a README beside `index.md`."""

_LINK = re.compile(r"(\]\()([^)\s#:]+)([)#])")


def _outside() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))]


def on_files(files: Files, config: Any) -> Files:
    """Add the documents from outside."""
    for name in _outside():
        files.append(File.generated(config, RENAMED.get(name, name), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between places in the repository into links between places in the site."""
    here = page.file.src_uri
    outside = {RENAMED.get(name, name): name for name in _outside()}
    folder = posixpath.dirname(outside.get(here, f"docs/{here}"))

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        place = PurePosixPath(target)
        target = str(place.relative_to("docs")) if place.parts[0] == "docs" else RENAMED.get(target, target)
        return link[1] + posixpath.relpath(target, posixpath.dirname(here) or ".") + link[3]

    return _LINK.sub(moved, markdown)
