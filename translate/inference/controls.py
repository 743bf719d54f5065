"""The controls of a model (label, style and detail) as inputs of the ONNX graph.

Array names carry their shape: S style size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.errors import ConfigError, nearest
from translate.spec import ModelSpec

Label = str | int
"""Class label: its name or its index."""

Style = Sequence[float] | NDArray[Any]
"""Style vector of S standard normal numbers; zeros are the mean style."""


def graph_inputs(
    spec: ModelSpec, *, label: Label | None = None, style: Style | None = None, detail: float | None = None
) -> dict[str, NDArray[Any]]:
    """Return the graph inputs for these controls: `label` int64 (1,), `style` float32 (1, S), `detail` float32 (1,).

    Raises:
        ConfigError: the model lacks the control or the label, the style vector has the wrong length, or detail is not
            in 0..1.
    """
    found: dict[str, NDArray[Any]] = {}
    if label is not None:
        found["label"] = np.array([_label_number(label, spec)])
    if style is not None:
        size = spec.style_size
        if not size:
            raise ConfigError(f"{spec.name} was trained without styles; omit the style")
        style_S = np.asarray(style, np.float32)
        if style_S.shape != (size,):
            raise ConfigError(f"style has shape {style_S.shape}, but {spec.name} takes ({size},); give {size} numbers")
        found["style"] = style_S[None]
    if detail is not None:
        if not spec.detail:
            raise ConfigError(f"{spec.name} has no detail control; omit the detail")
        if not 0.0 <= detail <= 1.0:  # also rejects NaN
            raise ConfigError(f"detail is {detail}; give 0 (most faithful) to 1 (sharpest)")
        found["detail"] = np.array([detail], np.float32)
    return found


def check_strength(strength: float, spec: ModelSpec) -> None:
    """Reject a strength that is not in 0..1, or below 1 where results are larger than pictures.

    Raises:
        ConfigError: it is not possible.
    """
    if not 0.0 <= strength <= 1.0:  # also rejects NaN
        raise ConfigError(f"strength is {strength:g}; give 0 (the picture as it was) to 1 (the result)")
    if strength < 1.0 and spec.scale > 1:
        raise ConfigError(f"{spec.name} makes pictures larger, so results cannot be mixed with them; omit the strength")


def default_inputs(spec: ModelSpec) -> dict[str, NDArray[Any]]:
    """The graph inputs for all controls that a model has, with their default values, see `graph_inputs`."""
    controls: dict[str, NDArray[Any]] = {}
    if spec.labels:
        controls["label"] = np.zeros(1, np.int64)
    if spec.style_size:
        controls["style"] = numbered_style(0, spec)[None]
    if spec.detail:
        controls["detail"] = np.zeros(1, np.float32)
    return controls


def numbered_style(number: int, spec: ModelSpec) -> NDArray[np.float32]:
    """The style vector (S,) for a style number: 0 is the model's default, any other seeds standard normal numbers.

    Raises:
        ConfigError: the number is negative.
    """
    if number < 0:
        raise ConfigError(f"style is {number}; give a whole number from 0, or the numbers of a style vector")
    if number == 0:
        return np.array(spec.default_style or (0.0,) * spec.style_size, np.float32)
    return np.random.default_rng(number).standard_normal(spec.style_size, np.float32)


def style_from_text(text: str) -> int | tuple[float, ...]:
    """Read a style as it is typed: `42` is the number of a style, `0.5,-1,0` a style vector.

    Raises:
        ConfigError: neither.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) < 2 or not np.isfinite(numbers).all():
        raise ConfigError(
            f"style is {text!r}; give a whole number, or the numbers of a style vector with commas between them"
        )
    return numbers


def style_as_text(style: int | Sequence[float]) -> str:
    """The inverse of `style_from_text`."""
    return str(style) if isinstance(style, int) else ",".join(f"{number:g}" for number in style)


def _label_number(label: Label, spec: ModelSpec) -> int:
    names = spec.labels
    if not names:
        raise ConfigError(f"{spec.name} was trained without labels; omit the label")
    if isinstance(label, str):
        if label in names:
            return names.index(label)
    elif 0 <= label < len(names):
        return label
    raise ConfigError(f"{spec.name} has no label {label!r}; {nearest(str(label), names)}")
