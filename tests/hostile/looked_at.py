"""A process of its own that looks at every bomb, as the page does: one JSON line each, and the peak of its memory.

A limit of the operating system keeps a test that fails from taking the whole machine.
"""

import json
import resource
import sys

import bombs

from translate.errors import ImageError, TooLarge
from translate.pictures.decoder import IN_PROCESS
from translate.pictures.plugins import opener

MOST_PIXELS = 100_000_000
LIMIT_BYTES = 6 << 30


def look(data: bytes, name: str) -> str:
    """What is said of a file: how it is refused, or the size of what was read."""
    try:
        stated = IN_PROCESS.stated(data, name, 1000)
        total = stated.frames * sum(height * width for height, width in stated.sides)
        if total > MOST_PIXELS:
            return f"too large: {total} pixels"
        picture = IN_PROCESS.decode(data, name, max_pixels=MOST_PIXELS)
        if stated.frames > 1 and stated.frames <= 10:
            IN_PROCESS.survey(data, name)
        return f"read: {picture.width} x {picture.height}, {stated.pages} pages, {stated.frames} frames"
    except TooLarge as error:
        return f"too large: {error}"
    except ImageError as error:
        return f"refused: {error}"


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    for kind in ("PNG", "JPEG", "TIFF", "WebP"):
        opener(kind, "")
    look(bombs.tiff(4, 4), "warm.tif")
    for name, make in bombs.PICTURES.items():
        data = make()
        before = peak()
        said = look(data, name)
        sys.stdout.write(json.dumps({"name": name, "said": said, "grown": peak() - before}) + "\n")


if __name__ == "__main__":
    main()
