"""Files of several pages: one page after another is converted, so that memory does not grow with their number."""

from collections.abc import Callable
from pathlib import Path

from translate.errors import DiskFull, ImageError
from translate.files import Finish, atomic_path, unwritable
from translate.pictures.pages import PageFile

ConvertPage = Callable[[Path, int], tuple[str, ...]]
"""Converts the page of this number (from 1) into a file of its own; returns notes for the user."""


def convert_pages(
    target: Path, pages: range, convert_page: ConvertPage, finish: Finish | None = None
) -> tuple[str, ...]:
    """Convert pages into one TIFF file, which is written atomically; returns notes for the user, without repetitions.

    Args:
        target: the result.
        pages: numbers of the pages, from 1.
        convert_page: converts one of them.
        finish: see `atomic_path`.

    Raises:
        ImageError: a page cannot be converted, or the disk refuses.
    """
    notes: list[str] = []
    try:
        with atomic_path(target, finish) as whole, PageFile(whole) as file:
            part = whole.with_name(f"{whole.stem}.page{whole.suffix}")
            for page in pages:
                try:
                    notes += convert_page(part, page)
                    file.add(part)
                except ImageError as error:
                    kind = DiskFull if isinstance(error, DiskFull) else ImageError
                    raise kind(f"{error} (page {page})".replace(str(part), str(target))) from None
                finally:
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(target, error) from None
    return tuple(dict.fromkeys(notes))


def page_note(count: int, target: Path, pages: str) -> tuple[str, ...]:
    """A note for the user if only one of several wanted pages is used: one line or none.

    Args:
        count: pages of the file.
        target: the result, of one page.
        pages: the option, see `translate.pictures.pages.chosen_pages`.
    """
    if count == 1 or (pages != "all" and "-" not in pages):
        return ()
    kind = target.suffix[1:].upper()
    return (
        f"has {count} pages, but {kind} holds only one; use --format tiff to keep all, or --pages to choose another",
    )
