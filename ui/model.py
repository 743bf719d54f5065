"""A model on the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from translate.inference.engine import Engine
from translate.inference.models import ShippedModel, name_of, shipped
from translate.pictures.operations import READABLE


@dataclass(frozen=True)
class Model:
    """A model with its sample pictures."""

    engine: Engine
    samples: Sequence[Path]
    index: int
    """Its place among all models of the page."""
    command: str
    """What stands for it, see `command_of`."""

    @cached_property
    def bytes(self) -> int:
        """Size of its file when it was first shown; the file may be removed while the page runs."""
        try:
            return self.engine.path.stat().st_size
        except OSError:
            return 0

    @property
    def shipped(self) -> ShippedModel | None:
        """Its entry in the index of shipped models, or None."""
        return next((entry for entry in shipped() if entry.file == self.engine.path), None)

    @property
    def picture(self) -> Path | None:
        """A picture of what it can do: beside it, of its name or called contact_sheet; None if there is none."""
        path = self.engine.path
        named = [path.with_suffix(suffix) for suffix in (".jpg", ".png")]
        sheets = [path.parent / "contact_sheet.jpg"] if self.shipped else []
        return next((found for found in (*sheets, *named) if found.is_file()), None)


def models_of(engines: Sequence[tuple[Engine, Path]]) -> list[Model]:
    """The models of the page, in the order given, each with the pictures in its folder of samples."""
    models: list[Model] = []
    for index, (engine, samples) in enumerate(engines):
        models.append(Model(engine, picture_files(samples), index, command_of(engine.path, models)))
    return models


def command_of(path: Path, others: Sequence[Model]) -> str:
    """What `translate convert --model` takes: the name of the model, or the file, with as many of its folders as tell
    it from the other models of the page."""
    taken = {model.command for model in others}
    parts = path.absolute().parts
    names = [name_of(path) or path.name, *(Path(*parts[-count:]).as_posix() for count in range(2, len(parts) + 1))]
    return next((name for name in names if name not in taken), names[-1])


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures in a samples folder, sorted by name; none if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)
