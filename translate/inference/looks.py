"""The look of a photograph, as the style of a model whose styles are colours; without torch.

Array names carry their shape: H height, W width, C channels, S style size, K statistics. Pixels are uint8 in [0, 255]
or uint16 in [0, 65535].
"""

import numpy as np
from numpy.typing import NDArray

from translate.errors import ConfigError
from translate.inference.controls import Label
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, Pixels, fit_size, flatten, resize, white_of

Floats = NDArray[np.float32]

MOST = 2.5
"""Styles are kept within plus and minus this many standard deviations: models have seen few beyond."""

_PAPER = 0.9
_OPPONENT = np.array(((0.25, 0.5, 0.25), (0.5, 0.0, -0.5), (-0.25, 0.5, -0.25)), np.float32)
_PALE = 0.03
"""These three as in `translate.networks.colour_style`."""

_USUAL_SPREAD = np.array((0.5, 1.25, 0.8, 0.2, 0.5), np.float32)
"""How much the statistics differ between photographs of products: standard deviations, measured on 244 of them."""
_MEAN_PULL = 0.05
"""How strongly a style is pulled to the mean: settles what has hardly any effect, such as the texture of a smooth
thing."""
_STEP = 0.75
_ROUNDS = 2
_SIDE = 256
"""Longer side in pixels at which pictures are compared; texture depends on it."""


def colour_statistics(rgb_HWC: Pixels) -> Floats:
    """Brightness, orange-blue, green-magenta, contrast and texture of what is not white paper: (5,).

    The same numbers as `translate.networks.colour_style` computes before it standardises them.

    Args:
        rgb_HWC: (H, W, 3).
    """
    signal_HWC = rgb_HWC.astype(np.float32) * np.float32(2.0 / white_of(rgb_HWC)) - np.float32(1.0)
    shown_HW = (signal_HWC.min(axis=2) < _PAPER).astype(np.float32)
    shown_HW /= max(float(shown_HW.mean()), 1e-4)
    light_HW = signal_HWC.mean(axis=2)
    mean_C = _OPPONENT @ (shown_HW[..., None] * signal_HWC).mean(axis=(0, 1))
    mean_C[1:] = np.arcsinh(mean_C[1:] / _PALE)
    light = (shown_HW * light_HW).mean()
    contrast = np.sqrt(max(float((shown_HW * np.square(light_HW - light)).mean()), 1e-6))
    rough = max(float((shown_HW * np.abs(light_HW - _around(light_HW))).mean()), 1e-4)
    return np.array([*mean_C, contrast, np.log(rough / contrast)], np.float32)


def matching_style(engine: Engine, drawing: Picture, photo: Picture, *, label: Label | None = None) -> Floats:
    """Return the style (S,) that gives this drawing a look like that photograph's.

    Found by trying (Gauss-Newton): how the statistics of the result change with each number of the style. Takes
    `2 * (S + 1)` runs of the model.

    Args:
        engine: a model with `spec.colour_style`.
        drawing: the input of the model.
        photo: any photograph; white areas are ignored, as long as anything else is left.
        label: as for `Engine.apply`.

    Raises:
        ConfigError: the model's styles are not colours, or it lacks the label.
        ImageError: the drawing is too small, too large or too narrow for the model.
    """
    spec = engine.spec
    if not spec.colour_style:
        raise ConfigError(f"{spec.name} has no style made of colours; choose a model that has, or omit the photograph")
    sheet = Picture(_fitted(flatten(drawing)))
    wanted_K = colour_statistics(_fitted(flatten(photo)))

    def off_by(style_S: Floats) -> Floats:
        made = engine.apply(sheet, label=label, style=style_S)
        return (colour_statistics(made.rgb_HWC) - wanted_K) / _USUAL_SPREAD

    style_S = np.zeros(spec.style_size, np.float32)  # the mean style, which it is pulled to
    for _ in range(_ROUNDS):
        off_K = off_by(style_S)
        steps_SS = _STEP * np.eye(spec.style_size, dtype=np.float32)
        slope_KS = np.stack([(off_by(style_S + step_S) - off_K) / _STEP for step_S in steps_SS], axis=1)
        pull_SS = _MEAN_PULL * np.eye(spec.style_size, dtype=np.float32)
        change_S = np.linalg.solve(slope_KS.T @ slope_KS + pull_SS, slope_KS.T @ off_K + _MEAN_PULL * style_S)
        style_S = (style_S - change_S).clip(-MOST, MOST).astype(np.float32)
    return style_S


def _fitted(rgb_HWC: Pixels) -> Pixels:
    height, width = rgb_HWC.shape[:2]
    return resize(rgb_HWC, *fit_size(height, width, _SIDE))


def _around(light_HW: Floats) -> Floats:
    """Mean of each pixel and its neighbours; outside the picture there are none."""
    padded, count = np.pad(light_HW, 1), np.pad(np.ones_like(light_HW), 1)
    height, width = light_HW.shape
    parts = [(slice(y, y + height), slice(x, x + width)) for y in range(3) for x in range(3)]
    total_HW, count_HW = (sum((plane[part] for part in parts), np.zeros_like(light_HW)) for plane in (padded, count))
    return total_HW / count_HW
