"""Texts that benchmarks write into a page, between two marks."""

from pathlib import Path

from translate.errors import ConfigError


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what is between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ConfigError: the page lacks the marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ConfigError(f"{page} has no {begin} ... {end} to write between")
    page.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
