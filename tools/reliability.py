"""Check every promise of docs/reliability.md, and write its table anew.

    python tools/reliability.py [PART ...]

Promises stand in benchmarks/promises, a TOML file for each part: what a user is promised (`says`), and what shows it,
tests (`tests`: files or node ids) or a script (`command`, whose last line is the figure), or both. Tests of all parts
run together; scripts run one after the other. With names of parts, the rows of all others stay. Exit status 1 if a
promise is broken; its row then says so.
"""

import argparse
import datetime
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "promises"
PAGE = ROOT / "docs" / "reliability.md"

SECONDS = 1800
"""For a script that names no `timeout`."""

BROKEN = "**broken**"

HEAD = """# Reliability

What is promised, what shows it, and the figure measured. `make reliability` runs all of it and writes this table; the
tests are part of `make test` as well. [SECURITY.md](../SECURITY.md) says against whom, and what is not promised.

| Part | Promise | Shown by | Figure | Date |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Promise:
    """One row."""

    part: str
    says: str
    tests: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    timeout: float = SECONDS

    def row(self, figures: Sequence[str], date: str) -> str:
        """The line of the table."""
        shown = [f"`pytest {' '.join(self.tests)}`"] if self.tests else []
        shown += [f"`python {' '.join(self.command)}`"] if self.command else []
        cells = (self.part, self.says, "; ".join(shown), "; ".join(figures), date)
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def read(folder: Path = FOLDER) -> list[Promise]:
    """All promises, part by part.

    Raises:
        ValueError: a file is not as described above.
    """
    promises: list[Promise] = []
    for path in sorted(folder.glob("*.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        for entry in content["promise"]:
            if unknown := set(entry) - {"says", "tests", "command", "timeout"}:
                raise ValueError(f"{path.name}: unknown {', '.join(sorted(unknown))}")
            if not entry.get("tests") and not entry.get("command"):
                raise ValueError(f"{path.name}: nothing shows {entry['says']!r}; give tests or command")
            lists = {key: tuple(entry[key]) for key in ("tests", "command") if key in entry}
            promises.append(Promise(**{"part": content["title"], **entry, **lists}))
    return promises


def run_tests(tests: Iterable[str]) -> dict[str, Counter[str]]:
    """Outcomes (passed, skipped, failed) for each of these files and node ids."""
    wanted = sorted(set(tests))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        files = sorted({test.partition("::")[0] for test in wanted})
        subprocess.run([sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *files], cwd=ROOT)
        cases = list(ElementTree.parse(report).iter("testcase"))
    return {test: outcomes(test, cases) for test in wanted}


def outcomes(test: str, cases: Iterable[ElementTree.Element]) -> Counter[str]:
    """How the cases of a file or node id went."""
    path, _, name = test.partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    found: Counter[str] = Counter()
    for case in cases:
        function = case.get("name", "").partition("[")[0]
        if case.get("classname") == module and name in ("", function):
            kinds = {child.tag for child in case}
            found["failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"] += 1
    return found


def tests_figure(counts: Iterable[Counter[str]]) -> str:
    """What the tests of one promise came to."""
    each = list(counts)
    total = sum(each, Counter[str]())
    text = ", ".join(f"{total[kind]:,} {kind}" for kind in ("passed", "skipped", "failed") if total[kind])
    return text if total["passed"] and all(each) and not total["failed"] else f"{BROKEN}: {text or 'no test found'}"


def run_command(command: Sequence[str], timeout: float) -> str:
    """The last line that a script prints."""
    print("running", *command, flush=True)
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{BROKEN}: not done after {timeout:g} s"
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
        return f"{BROKEN}: exit status {done.returncode}"
    return lines[-1]


def kept_rows(text: str) -> dict[tuple[str, str], str]:
    """Rows of a page by part and promise."""
    rows = (line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Part "))
    cells = ((row, [cell.strip() for cell in row.strip("|").split("|")]) for row in rows)
    return {(part, says): row for row, (part, says, *_) in cells}


def main() -> int:
    """Check, print what is broken, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help="names of files in benchmarks/promises without .toml; default: all")
    parts = set(parser.parse_args().part)
    titles = {tomllib.loads((FOLDER / f"{part}.toml").read_text(encoding="utf-8"))["title"] for part in parts}
    promises = read()
    due = [promise for promise in promises if not parts or promise.part in titles]
    counts = run_tests(test for promise in due for test in promise.tests)
    today = datetime.date.today().isoformat()
    rows = kept_rows(PAGE.read_text(encoding="utf-8")) if parts and PAGE.exists() else {}
    for promise in due:
        figures = [tests_figure(counts[test] for test in promise.tests)] if promise.tests else []
        figures += [run_command(promise.command, promise.timeout)] if promise.command else []
        rows[promise.part, promise.says] = promise.row(figures, today)
    lines = [rows[promise.part, promise.says] for promise in promises if (promise.part, promise.says) in rows]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    broken = [line for line in lines if BROKEN in line]
    print("\n".join(broken), f"{len(lines) - len(broken)} of {len(promises)} promises hold: {PAGE}", sep="\n")
    return int(bool(broken) or len(lines) < len(promises))


if __name__ == "__main__":
    sys.exit(main())
