"""Who is measured: the model, another one, and the simplest answers, all alike.

Shape suffixes: H height, W width, C channels, N pictures, D numbers a picture.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from translate.data.reading import Pixels
from translate.errors import ConfigError
from translate.evaluation.cases import Kind, Sample, seed_of
from translate.inference.controls import numbered_style
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, bicubic

Role = Literal["model", "against", "variant", "baseline", "truth"]
"""`variant`: the model again with its controls turned."""

DETAILS = (0.0, 0.5, 1.0)
STYLES = 5


@dataclass
class Column:
    """One answer to every case, and what was measured of it."""

    name: str
    """In metrics.json."""
    title: str
    """On the page."""
    role: Role
    make: Callable[[Sample], Pixels] | None
    """None: the true pictures, which may not belong to the cases."""
    engine: Engine | None = None
    repeats_model: bool = False
    """Whether it gives the first column's answers, which need not be made again."""
    rows: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """Of every case, by metric."""
    frames: list[Pixels] = field(default_factory=list[Pixels])
    """Squares for the comparison of sets."""
    small: list[Pixels] = field(default_factory=list[Pixels])
    """For the classifier."""
    thumbnails: list[Pixels] = field(default_factory=list[Pixels])
    totals: dict[str, float] = field(default_factory=dict[str, float])


def run_engine(engine: Engine, sample: Sample, **controls: Any) -> Pixels:
    """The result for a case, with its label where the model has labels, uint8 (H, W, 3).

    Test pictures are as training pictures are: the model is measured, not what brings other pictures to it.
    """
    if engine.spec.labels and sample.case.label is not None:
        controls = {"label": sample.case.label, **controls}
    return engine.apply(Picture(sample.source_HWC), framing="off", **controls).rgb_HWC


def columns_for(
    engine: Engine,
    against: Engine | None,
    kind: Kind,
    *,
    drawing: bool,
    detail: float | None,
    brightness: float | None,
) -> list[Column]:
    """The columns of the tables, the model first and the truth last.

    Args:
        engine: the model.
        against: another one.
        kind: how the truth is known.
        drawing: whether drawings go in.
        detail: of the model and the other one.
        brightness: how many times as bright as the sources real pictures of the target are, where nothing is paired.

    Raises:
        ConfigError: a detail for a model without; another task or scale of the model to compare with.
    """
    chosen: dict[str, Any] = {} if detail is None else {"detail": detail}
    engine.controls(**chosen)
    columns = [Column("model", engine.spec.name, "model", lambda sample: run_engine(engine, sample, **chosen), engine)]
    if against is not None:
        _check_against(engine, against)
        other = against
        title = other.spec.name if other.spec.name != engine.spec.name else f"{other.spec.name} ({other.path.stem})"
        controls = chosen if other.spec.detail else {}
        columns.append(Column("against", title, "against", lambda sample: run_engine(other, sample, **controls), other))
    if engine.spec.detail:
        columns += [
            Column(
                f"detail_{level:g}",
                f"detail {level:g}",
                "variant",
                lambda sample, level=level: run_engine(engine, sample, detail=level),
                repeats_model=level == (detail or 0.0),
            )
            for level in DETAILS
        ]
    if engine.spec.style_size:
        columns.append(
            Column("styles", "each in another style", "variant", lambda sample: _in_any_style(engine, sample))
        )
    columns += _baselines(engine.spec.scale, kind, drawing, brightness)
    columns.append(Column("truth", "true pictures", "truth", None))
    return columns


def relit(source_HWC: Pixels, factor: float) -> Pixels:
    """Every value times the factor, up to white."""
    return (source_HWC * np.float32(factor)).round().clip(0, 255).astype(np.uint8)


def variants(engine: Engine, sample: Sample) -> list[tuple[str, Pixels]]:
    """The same picture with every label, some styles and some details, as far as the model has them."""
    spec = engine.spec
    found: list[tuple[str, dict[str, Any]]] = [(f"label {name}", {"label": name}) for name in spec.labels[:6]]
    if spec.style_size:
        found += [(f"style {n}", {"style": numbered_style(n, spec)}) for n in range(STYLES + 1)]
    found += [(f"detail {level:g}", {"detail": level}) for level in DETAILS if spec.detail]
    return [(title, run_engine(engine, sample, **controls)) for title, controls in found]


def _in_any_style(engine: Engine, sample: Sample) -> Pixels:
    """The result in a style that depends on the case's name: as a set, these are what the model can make."""
    number = 1 + seed_of(sample.case.name) % 9999
    return run_engine(engine, sample, style=numbered_style(number, engine.spec))


def _baselines(scale: int, kind: Kind, drawing: bool, brightness: float | None) -> list[Column]:
    """The simplest answers."""
    if kind == "enlarge":
        return [Column("bicubic", "bicubic", "baseline", lambda sample: _enlarged(sample.source_HWC, scale))]
    title = "the drawing itself" if drawing else "unchanged"
    columns = [Column("source", title, "baseline", lambda sample: sample.source_HWC)]
    if drawing:
        blank = Column("blank", "blank paper", "baseline", lambda sample: np.full_like(sample.source_HWC, 255))
        columns.append(blank)
    if brightness is not None:
        title = "as bright as the target"
        columns.append(Column("relit", title, "baseline", lambda sample: relit(sample.source_HWC, brightness)))
    return columns


def _enlarged(small_HWC: Pixels, scale: int) -> Pixels:
    height, width = small_HWC.shape[:2]
    return bicubic(small_HWC, height * scale, width * scale)


def _check_against(engine: Engine, against: Engine) -> None:
    mine, other = engine.spec, against.spec
    if mine.task != other.task:
        raise ConfigError(f"--against is for {other.task}, this model for {mine.task}; compare models of one task")
    if mine.scale != other.scale:
        raise ConfigError(f"--against enlarges {other.scale} times, this one {mine.scale} times; compare equal scales")
