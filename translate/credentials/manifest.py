"""What content credentials say of a result: the definition of a C2PA manifest (C2PA specification 2.2).

    c2pa.opened      the input, as the parent: its name, format and SHA-256, and its own credentials where it has some
    c2pa.edited      or c2pa.enhanced: by which model, with its SHA-256, when, and what that makes of the picture

Titles and thumbnails of the input may be private; there are no thumbnails at all, and a title only where metadata is
kept.
"""

import datetime
from dataclasses import dataclass
from typing import Any

from translate import __version__
from translate.tasks import TASKS, Task
from translate.tasks.base import SourceType

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""What the name of a digital source type begins with."""

INPUT = "input"
"""How the action refers to the ingredient; it does not appear in the file."""


@dataclass(frozen=True)
class Maker:
    """The model that results are made with."""

    model: str
    """Its name."""
    sha256: str
    """Of its file, hexadecimal."""
    task: str
    """A key of `translate.tasks.TASKS`, or a task that this version does not know."""

    @property
    def source_type(self) -> SourceType:
        """What kind of picture results are."""
        found = TASKS.get(self.task)
        return found.source_type if found else Task.source_type

    @property
    def source_address(self) -> str:
        """The same as an address, as metadata has it."""
        return VOCABULARY + self.source_type


def definition(maker: Maker) -> dict[str, Any]:
    """The manifest of a result, without its ingredient, which has the label `INPUT`."""
    enhances = maker.source_type == "algorithmicallyEnhanced"
    made = {
        "action": "c2pa.enhanced" if enhances else "c2pa.edited",
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "digitalSourceType": maker.source_address,
        "softwareAgent": {"name": "translate", "version": __version__},
        "parameters": {"model": maker.model, "modelSha256": maker.sha256, "task": maker.task},
    }
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [INPUT]}}
    return {
        "claim_generator_info": [{"name": "translate", "version": __version__}],
        "assertions": [{"label": "c2pa.actions.v2", "created": True, "data": {"actions": [opened, made]}}],
    }


def ingredient(title: str, media_type: str, sha256: str) -> dict[str, Any]:
    """The input of a result.

    Args:
        title: name of the file; empty: not told.
        media_type: such as `image/png`; empty: unknown.
        sha256: of the file, hexadecimal.
    """
    found = {
        "label": INPUT,
        "relationship": "parentOf",
        "title": title,
        "format": media_type,
        "metadata": {"sha256": sha256},
    }
    return {name: value for name, value in found.items() if value}
