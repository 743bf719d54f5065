"""The tree: every folder has its floor and its caption, imports go down, and inference needs no torch."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS = (
    ("errors", "machine", "signals", "threads", "tasks", "losses"),
    ("packages",),
    ("options", "files", "lock", "networks", "spec"),
    ("pictures", "metrics"),
    ("data", "inference", "html", "video", "credentials"),
    ("trainers", "conversion", "evaluation", "adding"),
    ("training",),
    ("monitoring",),
    ("export", "ui"),
    ("cli",),
)
"""From the ground up: the folders of `translate`, the files beside them, and `ui` and `export`. A subfolder belongs to
the folder it is in."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

WITHOUT_TORCH = (
    "errors", "spec", "files", "lock", "machine", "options", "signals", "threads", "html", "packages", "tasks",
    "pictures", "inference", "conversion", "cli", "ui", "video", "adding", "credentials",
)  # fmt: skip
LATER = ("torch", "gradio", "onnx", "jinja2", "markupsafe", "matplotlib", "cv2", "av", "fsspec", "ray", "c2pa",
         "cryptography")  # fmt: skip
"""Imported when they are needed, if ever."""
AT_ONCE = {"ui": ("gradio", "jinja2", "markupsafe", "fsspec"), "video": ("av",)}


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found: dict[str, Path] = {}
    for folder in ("translate", "ui", "export"):
        for path in (ROOT / folder).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def room_of(module: str) -> str:
    """`translate.pictures.metadata.xmp` -> `pictures`; empty for `translate` itself, which only names others."""
    top, _, rest = module.partition(".")
    return rest.split(".")[0] if top == "translate" else top


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, at once, later or for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield from [one for one in (name, name.rpartition(".")[0]) if one in MODULES][:1]


def test_every_folder_has_a_floor() -> None:
    assert {room_of(module) for module in MODULES} - {""} == set(FLOOR)


def test_imports_go_down() -> None:
    arrows = {
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imported(path)
        if (here := room_of(module)) and (there := room_of(other)) and here != there and FLOOR[there] >= FLOOR[here]
    }
    assert arrows == set()


@pytest.mark.parametrize("allowed", [(), *AT_ONCE.values()], ids=lambda names: "+".join(names) or "none")
def test_without_torch(allowed: tuple[str, ...]) -> None:
    """Also without the heavy packages that only some ever need; one process for all rooms that need the same."""
    blocked = [name for name in LATER if name not in allowed]
    rooms = {room for room in WITHOUT_TORCH if AT_ONCE.get(room, ()) == allowed}
    names = sorted(m for m in MODULES if room_of(m) in rooms and not m.endswith("__main__"))
    assert {room_of(name) for name in names} == rooms != set()
    code = (
        f"import sys, importlib; sys.modules.update(dict.fromkeys({blocked})); [*map(importlib.import_module, {names})]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def captions(document: str) -> list[tuple[str, str]]:
    """Folders and captions of the tree in a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    (tree,) = re.findall(r"^```\n(translate/ .*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    rows: list[tuple[str, str]] = []
    above: dict[int, str] = {}
    for line in tree.splitlines():
        match = re.fullmatch(r"( *)(\S+) +(\S.*)", line)
        assert match, line
        depth = len(match[1])
        above[depth] = match[2]
        rows.append(("".join(above[level] for level in sorted(above) if level <= depth), match[3]))
    return rows


def test_the_trees_in_the_documents_are_true() -> None:
    rows = captions("CONTRIBUTING.md")
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in MODULES.values()}
    assert {folder for folder, _ in rows if "*" not in folder} - {
        "checkpoints/",
        "examples/",
        "benchmarks/",
        "tools/",
        "tests/",
    } == folders
    assert captions("README.md") == rows
