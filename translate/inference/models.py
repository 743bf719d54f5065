"""Finds the file of a model by name or path and verifies it."""

import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from translate.errors import ModelError

# Next to the package, both in a checkout and in an installed wheel.
INDEX_PATH = Path(__file__).resolve().parents[2] / "checkpoints" / "index.json"


@dataclass(frozen=True)
class ShippedModel:
    """One entry of `checkpoints/index.json`."""

    name: str
    task: str
    file: Path
    """Absolute path of the .onnx file."""
    sha256: str
    """SHA-256 of the file, hexadecimal."""
    licence: str
    summary: str
    """One-line description."""

    @property
    def samples(self) -> Path:
        """Folder of pictures to try the model on."""
        return self.file.parent / "samples"


def shipped(index_path: Path = INDEX_PATH) -> list[ShippedModel]:
    """Return the shipped models; none if there is no index."""
    if not index_path.exists():
        return []
    entries: list[dict[str, str]] = json.loads(index_path.read_text(encoding="utf-8"))["models"]
    return [ShippedModel(**{**entry, "file": index_path.parent / entry["file"]}) for entry in entries]  # pyright: ignore[reportArgumentType]


def resolve(name_or_path: str, index_path: Path = INDEX_PATH) -> Path:
    """Return the .onnx file for the name of a shipped model, or for a path; checks the SHA-256 of shipped files.

    Raises:
        ModelError: no such name or file, or the shipped file was modified.
    """
    path = Path(name_or_path)
    if path.suffix.lower() == ".onnx" or len(path.parts) != 1:
        if not path.is_file():
            raise ModelError(f"{path}: no such file; give a .onnx file or one of: {_names(index_path)}")
        return path
    models = {model.name: model for model in shipped(index_path)}
    if name_or_path not in models:
        nearest = difflib.get_close_matches(name_or_path, models, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        raise ModelError(f"unknown model '{name_or_path}'; {hint}give a .onnx file or one of: {_names(index_path)}")
    model = models[name_or_path]
    if not model.file.is_file() or _sha256(model.file) != model.sha256:
        raise ModelError(f"{model.file}: missing, or not the file shipped as {model.name}; reinstall the program")
    return model.file


def _names(index_path: Path) -> str:
    return ", ".join(model.name for model in shipped(index_path)) or "(no models are shipped yet)"


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
