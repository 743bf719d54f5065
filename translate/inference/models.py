"""Finds the file of a model by name or path, and verifies it.

Models with names are those that are shipped with the program and those in a folder of the user, see `user_folder`.
"""

import difflib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from translate.errors import ConfigError, ModelError
from translate.files import data_folder, sha256_of
from translate.inference.graph_file import read_metadata
from translate.inference.model_file import check_model
from translate.spec import ModelSpec

# Next to the package, both in a checkout and in an installed wheel.
INDEX_PATH = Path(__file__).resolve().parents[2] / "checkpoints" / "index.json"

FOLDER_VARIABLE = "TRANSLATE_MODELS"
"""Environment variable that names the folder of added models."""

RECORD_SUFFIX = ".added.json"
"""What is known of the added model `NAME.onnx` is in `NAME.added.json` beside it."""

NAME_PATTERN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
"""Names that are the same in every file system and shell."""


@dataclass(frozen=True)
class NamedModel:
    """A model with a name."""

    name: str
    task: str
    file: Path
    """Absolute path of the .onnx file."""
    sha256: str
    """SHA-256 of the file, hexadecimal; empty: none is recorded."""
    licence: str
    summary: str
    """One-line description."""


@dataclass(frozen=True)
class ShippedModel(NamedModel):
    """One entry of `checkpoints/index.json`."""

    former_names: Sequence[str] = ()
    """Names that `resolve` still understands, unless an added model has one of them."""

    @property
    def samples(self) -> Path:
        """Folder of pictures to try the model on."""
        return self.file.parent / "samples"


@dataclass(frozen=True)
class AddedModel(NamedModel):
    """A model in a folder of the user."""

    source: str = ""
    """Where it came from: an address or a path; empty: it was not put there by `translate models add`."""
    added: str = ""
    """The day, ISO 8601."""


def user_folder() -> Path:
    """The folder of added models, absolute; it need not exist. The variable `TRANSLATE_MODELS` names another one."""
    given = os.environ.get(FOLDER_VARIABLE)
    return (Path(given) if given else data_folder() / "models").absolute()


def checked_folder(folder: Path) -> Path:
    """The folder that `--models-dir` names, without links.

    Raises:
        ConfigError: there is none.
    """
    if not folder.is_dir():
        found = "is a file" if folder.is_file() else "does not exist"
        raise ConfigError(f"--models-dir {folder} {found}; give a folder with .onnx files")
    return folder.resolve()


def shipped(index_path: Path = INDEX_PATH) -> list[ShippedModel]:
    """Return the shipped models; none if there is no index."""
    if not index_path.exists():
        return []
    entries: list[dict[str, str]] = json.loads(index_path.read_text(encoding="utf-8"))["models"]
    return [ShippedModel(**{**entry, "file": index_path.parent / entry["file"]}) for entry in entries]  # pyright: ignore[reportArgumentType]


def added(models_dir: Path | None = None) -> list[AddedModel]:
    """Return the models in the user's folder, or in another one, sorted by name; none if there is no folder.

    Every `.onnx` file whose name is free is one, whoever put it there.
    """
    taken = {model.name for model in shipped()}
    files = _files(models_dir or user_folder())
    return [_added(path) for path in files if path.stem not in taken]


def known(models_dir: Path | None = None) -> list[NamedModel]:
    """Return the shipped and the added models."""
    return [*shipped(), *added(models_dir)]


def name_of(path: Path) -> str | None:
    """The name by which `resolve` finds a file, or None."""
    entries = shipped()
    for entry in entries:
        if entry.file == path:
            return entry.name
    free = path.stem not in {entry.name for entry in entries}
    in_folder = path.parent == user_folder() and path.suffix == ".onnx"
    return path.stem if in_folder and free and NAME_PATTERN.fullmatch(path.stem) else None


def resolve(
    name_or_path: str, index_path: Path = INDEX_PATH, *, models_dir: Path | None = None, foreign: bool = False
) -> Path:
    """Return the .onnx file for the name of a model, or for a path.

    Files with a recorded SHA-256 are compared with it; what is in others is checked, see
    `translate.inference.model_file.check_model`.

    Args:
        name_or_path: a name, or a path.
        index_path: the list of shipped models.
        models_dir: the folder of added models; default: the user's.
        foreign: accept files of whatever content by path, to say what they are.

    Raises:
        ModelError: no such name or file, the file was modified, or is not a model of ours.
    """
    model = find(name_or_path, models_dir, index_path) or _shipped_at(Path(name_or_path), index_path)
    path = _file_at(name_or_path, models_dir, index_path) if model is None else model.file
    if model and model.sha256:
        _check_recorded(model)
    elif not foreign:
        check_model(path)
    return path


def find(name: str, models_dir: Path | None = None, index_path: Path = INDEX_PATH) -> NamedModel | None:
    """The model with a name, or a shipped one that had it; None if there is none. Nothing is verified."""
    entries = shipped(index_path)
    for model in entries:
        if model.name == name:
            return model
    if not NAME_PATTERN.fullmatch(name) or name.lower().endswith(".onnx"):
        return None
    path = (models_dir or user_folder()) / f"{name}.onnx"
    if path.is_file():
        return _added(path)
    return next((model for model in entries if name in model.former_names), None)


def _shipped_at(path: Path, index_path: Path) -> NamedModel | None:
    """The shipped model that a path leads to."""
    absolute = path.absolute()
    return next((model for model in shipped(index_path) if model.file == absolute), None)


def _check_recorded(model: NamedModel) -> None:
    if model.file.is_file() and sha256_of(model.file) == model.sha256:
        return
    if isinstance(model, ShippedModel):
        raise ModelError(f"{model.file}: missing, or not the file shipped as {model.name}; reinstall the program")
    raise ModelError(
        f"{model.file}: not the file that was added as {model.name}, its SHA-256 differs from the recorded one; "
        f"run `translate models remove {model.name}` and add it again"
    )


def _file_at(name_or_path: str, models_dir: Path | None, index_path: Path) -> Path:
    """The file with a path.

    Raises:
        ModelError: there is none; the message lists the names.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = [model.name for model in shipped(index_path)]
    names += [file.stem for file in _files(models_dir or user_folder()) if file.stem not in names]
    listed = ", ".join(names) or "(no models are shipped yet)"
    if path.suffix.lower() == ".onnx" or len(path.parts) != 1:
        raise ModelError(f"{path}: no such file; give a .onnx file or one of: {listed}")
    nearest = difflib.get_close_matches(name_or_path, names, n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise ModelError(f"unknown model '{name_or_path}'; {hint}give a .onnx file or one of: {listed}")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.onnx") if NAME_PATTERN.fullmatch(path.stem))


def _added(path: Path) -> AddedModel:
    """A model in a folder, from its record, or from what its file says."""
    name = path.stem
    try:
        record = json.loads(path.with_name(f"{name}{RECORD_SUFFIX}").read_text(encoding="utf-8"))
        facts = {key: str(record[key]) for key in ("task", "sha256", "licence", "source", "added")}
        return AddedModel(name, file=path, summary=f"added {facts['added']} from {facts['source']}", **facts)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or not one of ours
        pass
    try:
        spec = ModelSpec.from_metadata(read_metadata(path), str(path))
        return AddedModel(name, spec.task, path, "", spec.licence, f"in {path.parent}")
    except (ModelError, OSError):
        return AddedModel(name, "?", path, "", "?", "cannot be used; `translate info` says what it is")
