"""Rules about the tree itself: who may import whom, what a reader is told, how large it is."""

import ast
import json
import re
from pathlib import Path

import pytest

from translate.cli import VERBS
from translate.trainers.command import main as train

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN = {
    "translate": ("ui", "export"),
    "ui": ("export", "torch"),
    "export": ("ui",),
    "translate/networks": ("translate.trainers", "translate.data", "translate.losses", "translate.tasks"),
    "translate/losses": ("translate.trainers", "translate.data", "translate.networks", "translate.tasks"),
    "translate/data": ("translate.trainers", "translate.networks", "translate.losses"),
    "translate/tasks": ("torch", "translate.trainers", "translate.networks", "translate.data"),
}


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in _imports(path)
        if any(name == bad or name.startswith(bad + ".") for bad in FORBIDDEN[folder])
        and name != "translate.networks.pixels"  # what pixels and signals are, everyone may ask
    ]
    assert not found


def test_only_one_place_knows_the_range() -> None:
    knowing = {
        str(path.relative_to(ROOT))
        for folder in ("translate", "export", "ui")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"127\.5|/ half - 1", path.read_text(encoding="utf-8"))
    }
    assert knowing == {"translate/networks/pixels.py"}


def test_the_readme_names_every_verb() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"translate {verb}" not in readme] == []


def test_every_link_of_the_documents_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "checkpoints").rglob("*.md")]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
        if not target.startswith("http") and not (document.parent / target).exists()
    ]
    assert not broken


def test_the_shipped_models_stay_small() -> None:
    files = [path for path in (ROOT / "checkpoints").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 24 * 2**20
    assert all(path.stat().st_size <= 8 * 2**20 for path in files)
    assert not [path for path in files if path.suffix == ".py"]
    entries = json.loads((ROOT / "checkpoints" / "index.json").read_text(encoding="utf-8"))["models"]
    assert {path.parent.name for path in files if path.suffix == ".onnx"} == {entry["name"] for entry in entries}


def test_train_without_a_task_shows_the_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert train([]) == 0
    assert "sketch-to-photo" in capsys.readouterr().out
