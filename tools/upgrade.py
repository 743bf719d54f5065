"""Try the newest versions that pyproject.toml allows, in a second environment, and print what moved.

    python tools/upgrade.py [--extras train,export,dev] [--venv .venv-upgrade] [--no-tests]

Installs without constraints.txt, lists the packages whose version differs from there, compares the results of the
shipped models with those that are kept (tools/golden.py) and runs the tests; exit status 1 if any of these is not as
before. To take the new versions, copy them into constraints.txt.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def pinned(text: str) -> dict[str, str]:
    """Versions by package, as constraints.txt states them."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A line for each package of `after` that is new or of another version."""
    changed = [name for name in sorted(after) if before.get(name) != after[name]]
    return [f"{name}: {before.get(name, 'not there')} -> {after[name]}" for name in changed]


def install(venv: Path, extras: str) -> dict[str, str]:
    """Make the environment anew; returns what it has, apart from this project."""
    wanted = f".[{extras}]" if extras else "."
    python = str(venv / "bin" / "python")
    for command in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
        ["pip", "install", "--quiet", "--upgrade", "--python", python, "--editable", wanted],
    ):
        subprocess.run([uv(), *command], cwd=ROOT, check=True)
    listed = subprocess.run(
        [uv(), "pip", "list", "--format", "json", "--python", python], cwd=ROOT, check=True, capture_output=True
    )
    found = {canonicalize_name(entry["name"]): entry["version"] for entry in json.loads(listed.stdout)}
    return {name: version for name, version in found.items() if name != "translate-app"}


def uv() -> str:
    """The program beside this Python."""
    return str(Path(sys.executable).with_name("uv"))


def main() -> int:
    """Print what moved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="train,export,dev", help="extras to install; empty: the base")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-upgrade")
    parser.add_argument("--no-tests", action="store_true", help="do not run the tests")
    options = parser.parse_args()
    lines = moved(pinned((ROOT / "constraints.txt").read_text(encoding="utf-8")), install(options.venv, options.extras))
    print("\n".join(lines))
    checks = [["tools/golden.py"]] if options.no_tests else [["tools/golden.py"], ["-m", "pytest", "-q"]]
    failed = [subprocess.run([options.venv / "bin" / "python", *check], cwd=ROOT).returncode for check in checks]
    verdict = "something moved, see above" if any(failed) else "results are as before"
    print(f"{len(lines) or 'no'} newer packages: {verdict}")
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
