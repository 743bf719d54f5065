"""Rules about the tree itself: who may import whom, what a reader is told, how large it is."""

import ast
import json
import re
from pathlib import Path

import pytest

from translate.cli.main import COMMANDS
from translate.cli.train import main as train

ROOT = Path(__file__).resolve().parents[2]

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
    assert [verb for verb in COMMANDS if f"translate {verb}" not in readme] == []


DOCUMENTS = sorted(
    path for where in ("*.md", "docs/**/*.md", "checkpoints/**/*.md", "examples/**/*.md") for path in ROOT.glob(where)
)


def _prose(document: Path) -> str:
    """The text without blocks of code."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(document: Path) -> set[str]:
    """What links to the headings of a document are called, both on GitHub and by MkDocs.

    A heading for which the two differ (`A - B`: `a---b` and `a-b`) has no anchor that works everywhere.
    """
    headings = re.findall(r"^#+ +(.+?) *$", _prose(document), flags=re.MULTILINE)
    kept = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"\s", "-", text) for text in kept} & {re.sub(r"[-\s]+", "-", text) for text in kept}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_the_documents_leads_somewhere(document: Path) -> None:
    broken: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(document)):
        place, _, anchor = link.partition("#")
        if place.startswith(("https://", "http://")):
            continue
        target = (document.parent / place).resolve() if place else document
        if not target.is_relative_to(ROOT) or not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_headings_of_a_document_differ() -> None:
    for document in DOCUMENTS:
        headings = re.findall(r"^#+ .+", _prose(document), flags=re.MULTILINE)
        if document.name != "CHANGELOG.md":  # every version has its "Added"
            assert len(headings) == len(set(headings)), document


def test_the_site_has_every_page() -> None:
    """Without MkDocs, which `make docs` needs: pages in its list that are not there, or the other way round."""
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    cards = {path.relative_to(ROOT).as_posix() for path in (ROOT / "checkpoints").rglob("*.md")}
    assert listed == pages | cards | {
        "about.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    }  # about.md: see docs/hooks.py


def test_the_site_has_every_picture() -> None:
    """Those that documents outside docs/ show."""
    hooks = ast.parse((ROOT / "docs" / "hooks.py").read_text(encoding="utf-8"))
    (patterns,) = (ast.literal_eval(node.value) for node in hooks.body
                   if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "OUTSIDE")  # fmt: skip
    brought = {path for pattern in patterns for path in ROOT.glob(pattern)}
    for document in filter(lambda path: path.suffix == ".md", brought):
        for name in re.findall(r"!\[[^]]*\]\(([^)\s]+)\)", _prose(document)):
            assert (document.parent / name).resolve() in brought, f"{document} shows {name}"


def test_the_reference_names_what_there_is() -> None:
    named = {
        name
        for page in (ROOT / "docs" / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    for name in named:
        path = ROOT / name.replace(".", "/")
        if not path.with_suffix(".py").is_file() and not (path / "__init__.py").is_file():
            home = path.parent / "__init__.py" if path.parent.is_dir() else path.parent.with_suffix(".py")
            text = home.read_text(encoding="utf-8")
            assert re.search(rf"^(class|def) {path.name}\b|^    \"{path.name}\",$", text, flags=re.MULTILINE), name
    for folder in ("networks", "losses", "metrics"):
        modules = {f"translate.{folder}.{path.stem}" for path in (ROOT / "translate" / folder).glob("[!_]*.py")}
        assert modules <= named


def test_the_shipped_models_stay_small() -> None:
    files = [path for path in (ROOT / "checkpoints").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40 * 2**20
    assert all(path.stat().st_size <= 16 * 2**20 for path in files)
    assert not [path for path in files if path.suffix == ".py"]
    entries = json.loads((ROOT / "checkpoints" / "index.json").read_text(encoding="utf-8"))["models"]
    assert {path.parent.name for path in files if path.suffix == ".onnx"} == {entry["name"] for entry in entries}


def test_train_without_a_task_shows_the_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert train([]) == 0
    assert "sketch-to-photo" in capsys.readouterr().out
