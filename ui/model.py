"""A model on the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from translate.inference.engine import Engine
from translate.inference.models import shipped
from translate.pictures.operations import READABLE


@dataclass(frozen=True)
class Model:
    """A model with its sample pictures."""

    engine: Engine
    samples: Sequence[Path]
    index: int
    """Its place among all models of the page."""

    @property
    def for_compressed(self) -> bool:
        """Whether it has learnt to remove the traces of JPEG compression, as `super-resolution-robust`."""
        return self.engine.spec.scale > 1 and "robust" in self.engine.spec.name

    @property
    def command(self) -> str:
        """What `translate convert --model` takes: the name of a shipped model, or the file without its folder."""
        path = self.engine.path
        return next((entry.name for entry in shipped() if entry.file == path), path.name)


def models_of(engines: Sequence[tuple[Engine, Path]]) -> list[Model]:
    """The models of the page, in the order given, each with the pictures in its folder of samples."""
    return [Model(engine, picture_files(samples), index) for index, (engine, samples) in enumerate(engines)]


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures in a samples folder, sorted by name; none if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)
