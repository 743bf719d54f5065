"""The type of a task, and what it names: objects imported when they are needed."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something a user asks for by name, e.g. `sketch-to-photo`."""

    name: str
    """Name on the command line, in model files and in the index of shipped models."""
    summary: str
    """One line for people who have never heard of GANs."""
    trainer: str
    """`module:Class` of the trainer, imported only when training starts."""
    paired: bool
    """Whether source and target must show the same thing."""
    makes_source: bool = False
    """Whether the source is made from the target, so that photographs alone will do."""
    image_size: int = 256
    """Side in pixels of the squares that are learnt from, as the default preset has it."""
    framing: Literal["fit", "crop", "patch"] = "crop"
    """How a square is made of a picture: all of it with white around, a cut-out of it reduced, or as it is."""
    folders: tuple[str, str] = ("source", "target")
    """Names of the folders of sources and targets, where the data has two."""
    source_maker: str = ""
    """`module:function` that makes the training input from photographs:
    (photo_BCHW float in [-1, 1], torch.Generator) -> source_BCHW float in [-1, 1]. Empty where pairs are given
    or the trainer makes it."""
    test_source_maker: str = ""
    """The same for `translate evaluate`, where it is another one: what is measured stays comparable when training
    draws in more ways."""
    back: str = ""
    """Name of the task that the way back solves, where a run learns both ways and the way back has a name."""
    data_hint: str
    """What --data expects, for the help and the errors."""
    content_share: float = 0.0
    """Longer side of what training pictures show over the longer side of the picture, where models know things at one
    size and their files do not say it; 0: unknown."""
    draws_input: bool = False
    """Whether the page offers a canvas to draw the input on."""
    input_label: str
    """What the input is called on the page, e.g. `Sketch`."""
    output_label: str
    """What the result is called on the page, e.g. `Photo`."""

    @property
    def settings(self) -> Mapping[str, object]:
        """Trainer settings that follow from what is being learnt."""
        return {"framing": self.framing, "folders": self.folders}


def load_object(path: str) -> Any:
    """`module:name` -> the object."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)
