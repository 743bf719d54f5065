"""The audit sees vulnerabilities, licences that are not free, and libraries under the GPL inside wheels."""

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scripts import load_script

audit = load_script("tools/audit.py")
HOLE = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}


def test_a_vulnerability_is_a_line_unless_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = [{"name": "a", "version": "1.0", "vulns": [HOLE]}, {"name": "b", "version": "2", "vulns": []}]
    assert audit.known(packages) == (["a 1.0: PYSEC-1, mended in 1.1"], "")
    monkeypatch.setattr(audit, "ACCEPTED", {"CVE-1": "only on Windows 3.1"})
    assert audit.known(packages) == ([], "")


def test_without_the_service_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, unknown = audit.known([{"name": "a", "skip_reason": "not found"}])
    assert (lines, unknown) == ([], "the service with the vulnerabilities knows none of the packages")

    def silent(*_: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("pip-audit", options["timeout"])

    monkeypatch.setattr(subprocess, "run", silent)
    assert audit.vulnerabilities() == ([], "the service with the vulnerabilities does not answer")


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("GNU Lesser General Public License v3 or later (LGPLv3+)", True),
        ("Apache Software License; BSD License", True),
        ("GPL-3.0 OR MIT", True),
        ("GNU General Public License v3 (GPLv3)", False),
        ("MIT AND GPL-2.0", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
        ("UNKNOWN", False),
    ],
)
def test_free(licence: str, free: bool) -> None:
    assert audit.is_free(licence) is free


def test_gpl_inside_wheels_is_found_outside_the_base() -> None:
    parts, base = audit.gpl_parts(), audit.base_packages()
    assert parts["av"] == ["x264", "x265"]
    assert {"numpy", "pillow", "pyvips-binary", "starlette"} <= base
    assert not base & {"av", "pillow-heif", "torch"}


def test_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(audit, "vulnerabilities", lambda: ([], ""))
    monkeypatch.setattr(audit, "licences", lambda: {"numpy": "MIT", "rich": "Proprietary"})
    monkeypatch.setattr(audit, "gpl_parts", lambda: {"numpy": ["gsl"]})
    assert audit.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert "rich: the licence Proprietary is not known as free" in lines
    assert "numpy: comes with a plain install and holds gsl" in lines
    assert lines[-1].endswith("2 complaints")


def test_every_package_of_this_environment_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = audit.licences()
    assert len(stated) > len(list(importlib.metadata.distributions())) / 2
    assert {name for name, text in stated.items() if not audit.is_free(text) and "NVIDIA" not in text} == set()
    assert json.dumps(stated)
