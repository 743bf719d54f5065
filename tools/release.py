"""Build a release of the last commit: wheel, sdist, SBOM and checksums in dist/, tried in a fresh environment.

    python tools/release.py [--out dist]

Wheel and sdist are built twice, in two folders, and have to be the same bytes; anybody can build them again from the
same commit. The wheel is then installed with the versions of constraints.txt in an environment of its own, where the
command has to work and the shipped models have to give the results that are kept (tools/golden.py). The SBOM
(CycloneDX) lists what that environment holds. Nothing is uploaded. Exit status 1, and nothing in dist/, if any of it
fails.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent


class ReleaseError(Exception):
    """What is not as a release must be."""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command prints.

    Raises:
        ReleaseError: its exit status is not 0.
    """
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def committed(root: Path) -> tuple[str, str]:
    """The last commit and its time in seconds, of a tree in which nothing is changed.

    Raises:
        ReleaseError: something is, or this is no repository.
    """
    if changed := run("git", "status", "--porcelain", "--untracked-files=no", cwd=root):
        raise ReleaseError(f"commit or put away first:\n{changed.rstrip()}")
    commit, seconds = run("git", "log", "-1", "--format=%H %ct", cwd=root).split()
    return commit, seconds


def build(root: Path, commit: str, seconds: str, out: Path) -> dict[str, bytes]:
    """Wheel and sdist of a commit, by the names of the files. `out`: an empty folder; the sources go there as well."""
    source = out / "source"
    source.mkdir()
    archive = out / "source.tar"
    run("git", "archive", "--output", archive, commit, cwd=root)
    shutil.unpack_archive(archive, source, filter="data")
    command = ["build", "--quiet", "--no-create-gitignore", "--build-constraints", "constraints.txt"]
    run(PROGRAMS / "uv", *command, "--out-dir", out / "built", cwd=source, SOURCE_DATE_EPOCH=seconds)
    return {path.name: path.read_bytes() for path in sorted((out / "built").iterdir())}


def same(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    """Compare two builds.

    Raises:
        ReleaseError: they differ, or one of the two files is missing.
    """
    if {Path(name).suffix for name in first} != {".whl", ".gz"}:
        raise ReleaseError(f"expected a wheel and an sdist, found {', '.join(first) or 'nothing'}")
    if differing := [name for name in first if first[name] != second.get(name)]:
        raise ReleaseError(f"two builds differ: {', '.join(differing)}")


def install(wheel: Path, venv: Path) -> Path:
    """A fresh environment with the wheel alone; returns its Python."""
    run(PROGRAMS / "uv", "venv", "--quiet", "--python", sys.executable, venv, cwd=ROOT)
    python = venv / "bin" / "python"
    command = ["pip", "install", "--quiet", "--python", python, "--constraint", "constraints.txt"]
    run(PROGRAMS / "uv", *command, wheel, cwd=ROOT)
    return python


def try_out(python: Path, folder: Path) -> None:
    """Use what is installed as a user would, far from the sources. Raises ReleaseError."""
    translate = python.with_name("translate")
    run(translate, "--help", cwd=folder)
    run(translate, "demo", "--out", folder / "demo", cwd=folder)
    run(python, "-P", ROOT / "tools" / "golden.py", cwd=folder, PYTHONPATH="")


def main() -> int:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="emptied first")
    out = parser.parse_args().out
    try:
        with tempfile.TemporaryDirectory() as folder:
            release(Path(folder), out)
    except ReleaseError as error:
        print(f"no release: {error}")
        return 1
    return 0


def release(work: Path, out: Path) -> None:
    """All steps, in a temporary folder; `out` is touched at the end. Raises ReleaseError."""
    commit, seconds = committed(ROOT)
    builds: list[dict[str, bytes]] = []
    for name in ("first", "second"):
        (work / name).mkdir()
        builds.append(build(ROOT, commit, seconds, work / name))
    same(*builds)
    files = builds[0]
    print(f"built twice from {commit[:12]}, the same bytes: {', '.join(files)}")
    wheel = next(path for path in (work / "first" / "built").iterdir() if path.suffix == ".whl")
    python = install(wheel, work / "venv")
    try_out(python, work)
    print("installed in a fresh environment: the command works, the shipped models give the results that are kept")
    sbom = "-".join(wheel.name.split("-")[:2]) + ".cdx.json"
    # Not in the extra dev: it brings a parser that every process of Ray would import, for 3 seconds.
    program = ["tool", "run", "--quiet", "--from", "cyclonedx-bom", "--constraints", ROOT / "constraints.txt"]
    command = ["environment", "--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--output-file"]
    run(PROGRAMS / "uv", *program, "cyclonedx-py", *command, work / sbom, python, cwd=work, SOURCE_DATE_EPOCH=seconds)
    files[sbom] = (work / sbom).read_bytes()
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    files["SHA256SUMS"] = "".join(sums).encode()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    print(f"two builds, the same bytes; tried in a fresh environment; in {out}: {', '.join(files)}")


if __name__ == "__main__":
    sys.exit(main())
