"""Helpers for self-contained HTML pages: figures in the colours of the page, embedded pictures, formatted numbers.

Rendering a page needs the extra `train`; importing this module does not. Shape suffixes: H height, W width, C channels.
"""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from translate.files import as_text
from translate.pictures.operations import Pixels, fit_size, resize

if TYPE_CHECKING:
    from markupsafe import Markup

# Placeholder colours for matplotlib; in the page they become CSS variables, which differ in light and dark mode.
INK, FAINT = "#010203", "#040506"
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06", "#0a0b07", "#0a0b08")
_VARIABLES = {INK: "var(--soft)", FAINT: "var(--line)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)
}


def render(template: Path, filters: dict[str, Callable[..., Any]], **values: Any) -> str:
    """Render a template with the style that all our pages share, as `style`.

    Undefined names raise an error, and everything but `Markup` is escaped.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    style = Markup(Path(__file__).with_suffix(".css").read_text(encoding="utf-8"))
    environment: Any = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters.update(number=number, **filters)
    page = environment.from_string(template.read_text(encoding="utf-8")).render(style=style, **values)
    return as_text(page)


def drawing_settings(salt: str) -> Any:
    """Settings of matplotlib for a figure that is passed to `svg_of`; equal salts give reproducible files."""
    return {"svg.fonttype": "none", "svg.hashsalt": salt, "text.parse_math": False, "font.size": 9}


def style_axes(axes: Any) -> None:
    """Style axes with faint grid lines and no frame."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.tick_params(colors=INK, length=0)


def svg_of(figure: Any) -> "Markup":
    """A matplotlib figure as an <svg> element that fills its container and takes its colours from the page."""
    from markupsafe import Markup

    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # ids would be repeated in every figure
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', r'\1\2 role="img"', svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)


def picture_address(image_HWC: Pixels, longer: int, most: int) -> tuple[str, int, int]:
    """A picture as a JPEG data URL of about `most` bytes: (URL, height, width), with no side longer than `longer`."""
    height, width = image_HWC.shape[:2]
    if max(height, width) > longer:
        height, width = fit_size(height, width, longer)
    small_HWC = resize(image_HWC, height, width)
    data = b""
    for quality in (85, 65, 40, 15):
        file = io.BytesIO()
        Image.fromarray(small_HWC).save(file, "JPEG", quality=quality, optimize=True)
        data = file.getvalue()
        if len(data) <= most:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", height, width


def number(value: float) -> str:
    """1234567 -> 1,234,567; 0.123456 -> 0.1235."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
