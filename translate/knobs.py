"""What may be chosen about a result: label, style and detail, as the graph takes them.

Array names carry their shape: S numbers of a style.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.errors import ConfigError, nearest
from translate.spec import ModelSpec

Label = str | int
"""Name of a kind that the model can make, or its number."""

Style = Sequence[float] | NDArray[Any]
"""The S numbers that choose among many results, standard normal; zeros are the middle."""


def graph_inputs(
    spec: ModelSpec, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
) -> dict[str, NDArray[Any]]:
    """Return the graph inputs that these choices mean: `label` int64 (1,), `style` float32 (1, S), `detail` (1,).

    Raises:
        ConfigError: the model has no labels, styles or detail, not this label, styles of another length, or detail
            is not in 0..1.
    """
    found: dict[str, NDArray[Any]] = {}
    if label is not None:
        found["label"] = np.array([_label_number(label, spec)])
    if style is not None:
        size = spec.style_size
        if not size:
            raise ConfigError(f"{spec.name} has one result for every picture and no styles; leave style out")
        style_S = np.asarray(style, np.float32)
        if style_S.shape != (size,):
            raise ConfigError(f"style has shape {style_S.shape}, {spec.name} takes ({size},); give {size} numbers")
        found["style"] = style_S[None]
    if detail is not None:
        if not spec.detail:
            raise ConfigError(f"{spec.name} has one sharpness and no detail to choose; leave detail out")
        if not 0.0 <= detail <= 1.0:  # nan is refused too
            raise ConfigError(f"detail is {detail}; give 0 (as faithful as can be) to 1 (as sharp as can be)")
        found["detail"] = np.array([detail], np.float32)
    return found


def numbered_style(number: int, spec: ModelSpec) -> NDArray[np.float32]:
    """The style (S,) that a number stands for: 0 the model's own, any other its own standard normal numbers."""
    if number == 0:
        return np.array(spec.default_style or (0.0,) * spec.style_size, np.float32)
    return np.random.default_rng(number).standard_normal(spec.style_size, np.float32)


def _label_number(label: Label, spec: ModelSpec) -> int:
    names = spec.labels
    if not names:
        raise ConfigError(f"{spec.name} makes one kind of picture and has no labels; leave label out")
    if isinstance(label, str):
        if label in names:
            return names.index(label)
    elif 0 <= label < len(names):
        return label
    raise ConfigError(f"{spec.name} has no label {label!r}; {nearest(str(label), names)}")
