"""More models for a page that is open already: those of folders, which are looked at again from time to time."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from translate.errors import ConfigError, TranslateError
from translate.inference.engine import Device, Engine
from translate.inference.model_file import check_model
from translate.tasks import TASKS
from ui.model import Model, command_of, picture_files

Version = tuple[int, int]
"""Time and size of a file."""


class Registry:
    """Adds the models in folders to the models of the page.

    Models are only ever appended, so that an index means the same model as long as the page runs; a file that was
    written again takes its own place.

    Args:
        models: those of the page; changed in place.
        folders: where `.onnx` files may lie, or will.
        device: where they run.
    """

    def __init__(self, models: list[Model], folders: Sequence[Path], device: Device) -> None:
        self._models, self._folders = models, folders
        self._device: Device = device
        self._seen: dict[Path, Version] = {}
        self._turn = threading.Lock()

    def look(self) -> list[str]:
        """Take in what is new; returns a line for each new file that is no model of ours."""
        lines: list[str] = []
        with self._turn:
            for path in sorted(path for folder in self._folders for path in folder.glob("[!.]*.onnx")):
                try:
                    version = path.stat().st_mtime_ns, path.stat().st_size
                    if self._seen.get(path) == version:
                        continue
                    self._seen[path] = version
                    self._add(path)
                except (TranslateError, OSError) as error:
                    lines.append(f"skipped {path.name}: {str(error).removeprefix(f'{path}: ')}")
        return lines

    def _add(self, path: Path) -> None:
        check_model(path)
        engine = Engine(path, device=self._device)
        task = engine.spec.task
        if task not in TASKS:
            raise ConfigError(f"made for the unknown task '{task}'; update translate")
        place = next(
            (model.index for model in self._models if model.engine.path.resolve() == path.resolve()), len(self._models)
        )
        # A model without pictures of its own can be tried on those of another one for the same task.
        others = (model.samples for model in self._models if model.engine.spec.task == task and model.samples)
        samples = picture_files(path.parent / path.stem) or next(others, [])
        if place == len(self._models):
            self._models.append(Model(engine, samples, place, command_of(path, self._models)))
        else:
            self._models[place] = replace(self._models[place], engine=engine)
