"""The folder of added models: files come in whole and checked, with a record of where they are from."""

import datetime
import json
import re
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from translate.errors import ConfigError, ModelError, nearest
from translate.files import PROCESS, atomic_path, is_device, sha256_of
from translate.inference.engine import Engine
from translate.inference.model_file import check_model
from translate.inference.models import (
    NAME_PATTERN,
    RECORD_SUFFIX,
    AddedModel,
    added,
    shipped,
)
from translate.lock import held_soon
from translate.spec import METADATA_KEY, PARITY_SUFFIX, ModelSpec
from translate.tasks import TASKS

HELD_SECONDS = 30.0
"""How long to wait for another process that adds a model; the file is there already, so it takes a moment."""
ROOM_SECONDS = 86400.0
"""No download takes longer."""


@contextmanager
def workroom(folder: Path) -> Generator[Path]:
    """Yield a new hidden folder inside `folder`, which is created if missing; both are removed if nothing was added.

    What is made there is on the same disk, so that `keep` can move it into its place at once.

    Raises:
        ConfigError: the folder cannot be written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    room = folder / f".{PROCESS}{secrets.token_hex(4)}.part"
    _remove_old_rooms(folder)
    try:
        room.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}); choose another folder with --models-dir"
        ) from None
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        for path in missing:
            with suppress(OSError):  # it holds a model now
                path.rmdir()


def _remove_old_rooms(folder: Path) -> None:
    """Of processes that were killed: downloads of up to 2 GiB that nobody sees."""
    for room in folder.glob(f".{'[0-9a-f]' * 16}.part"):
        with suppress(OSError):
            if time.time() - room.stat().st_mtime > ROOM_SECONDS:
                shutil.rmtree(room)


def check_runs(path: Path, said: str) -> ModelSpec:
    """Check that a file is a model of ours which can be used; returns its description.

    Args:
        path: the file.
        said: what it is called in messages.

    Raises:
        ModelError: see `check_model`; or it is for an unknown task, or cannot translate a picture.
    """
    spec = check_model(path, said)
    if spec.task not in TASKS:
        raise ModelError(f"{said}: made for the unknown task '{spec.task}', expected one of {', '.join(TASKS)}; "
                         "update translate")  # fmt: skip
    side = min(max(spec.min_size, 16), 512)
    expected = (side * spec.scale, side * spec.scale, spec.output_channels)
    try:
        grey_HWC = np.full((side, side, spec.input_channels), 128, f"uint{spec.input_bits}")
        result_HWC = Engine(path, threads=1, device="cpu")(grey_HWC)
    except Exception as error:  # those of ONNX Runtime share no base class
        reason = " ".join(str(error).replace(str(path), said).split())[:200]
        raise ModelError(f"{said}: cannot translate a picture ({reason}); export it again") from None
    if result_HWC.shape != expected:
        raise ModelError(
            f"{said}: makes {result_HWC.shape} of a picture of {grey_HWC.shape}, expected {expected} as its "
            f"{METADATA_KEY} says; export it again"
        )
    return spec


def new_name(wanted: str, found: str, folder: Path) -> str:
    """The name for a new model.

    Args:
        wanted: `--name`; empty: it is derived from `found`.
        found: what the model, or its file, is called.
        folder: where it is to be kept.

    Raises:
        ConfigError: the name is not usable or not free.
    """
    name = wanted or re.sub(r"[^A-Za-z0-9._-]+", "-", found).strip("-._")[:64].rstrip("-._")
    if not NAME_PATTERN.fullmatch(name) or is_device(name) or name.lower().endswith(".onnx"):
        given = f"--name {wanted}" if wanted else f"the name {found!r}"
        raise ConfigError(
            f"{given} cannot be used; give --name with letters, digits, '-', '_' and '.' alone, at most 64, not ending "
            "in .onnx"
        )
    if name.lower() in {model.name.lower() for model in shipped()}:
        raise ConfigError(f"{name} is the name of a shipped model; choose another one with --name")
    taken = {path.name.lower() for path in folder.glob("*.onnx")} if folder.is_dir() else set[str]()
    if f"{name}.onnx".lower() in taken:
        raise ConfigError(
            f"{name} is the name of a model in {folder}; choose another one with --name, or first run "
            f"`translate models remove {name}`"
        )
    return name


def keep(path: Path, folder: Path, name: str, spec: ModelSpec, source: str) -> AddedModel:
    """Move a checked file into its place, with its parity report if that is beside it, and record what it is.

    Args:
        path: the file, in the `workroom` of `folder`.
        folder: the folder of models.
        name: from `new_name`.
        spec: what the file says.
        source: where it came from.

    Raises:
        ConfigError: it cannot be written, or another process has added a model of this name since `new_name`.
        DataError: another process adds a model and does not end.
    """
    target = folder / f"{name}.onnx"
    record = {
        "name": name,
        "task": spec.task,
        "sha256": sha256_of(path),
        "source": source,
        "licence": spec.licence,
        "added": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    report = path.with_suffix(PARITY_SUFFIX)
    with held_soon(folder, HELD_SECONDS):
        new_name(name, "", folder)  # minutes may have passed since it was free
        try:
            if report.is_file():
                report.replace(folder / f"{name}{PARITY_SUFFIX}")
            # Before the model: a record alone is no model, but a model alone would have an unknown source.
            with atomic_path(folder / f"{name}{RECORD_SUFFIX}") as temporary:
                temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            with atomic_path(target) as temporary:
                path.replace(temporary)
        except OSError as error:
            _remove_files(folder, name)
            raise ConfigError(
                f"{folder} cannot be written ({error.strerror}); choose another folder with --models-dir"
            ) from None
    return next(model for model in added(folder) if model.name == name)


def remove(name: str, folder: Path) -> Path:
    """Remove an added model with its record and its report; returns where it was.

    Raises:
        ConfigError: there is none of this name, it is shipped with the program, or something else has put it there.
    """
    if name in {model.name for model in shipped()}:
        raise ConfigError(f"{name} is shipped with the program and cannot be removed; only added models can be")
    models = {model.name: model for model in added(folder)}
    if name not in models:
        hint = nearest(name, models) if models else "`translate models` lists all"
        raise ConfigError(f"no model {name} has been added to {folder}; {hint}")
    if not models[name].source:
        raise ConfigError(
            f"{models[name].file} was not put there by `translate models add`; delete the file yourself if it is not "
            "needed"
        )
    _remove_files(folder, name)
    return models[name].file


def _remove_files(folder: Path, name: str) -> None:
    """The model first: what is left of an interrupted removal is no model."""
    for suffix in (".onnx", RECORD_SUFFIX, PARITY_SUFFIX):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)
