"""What the one-file HTML pages share: drawings in the page's own colours, pictures inside the page, numbers as text.

Filling in a page needs the extra `train`; importing this does not. Shape suffixes: H height, W width, C channels.
"""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from translate.images import Pixels, fit_size, resize

if TYPE_CHECKING:
    from markupsafe import Markup

# matplotlib wants colours; in the page they become variables, which differ in light and dark mode.
INK, FAINT = "#010203", "#040506"
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06", "#0a0b07", "#0a0b08")
_VARIABLES = {INK: "var(--soft)", FAINT: "var(--line)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)
}


def render(template: Path, filters: dict[str, Callable[..., Any]], **values: Any) -> str:
    """Fill in the template; names in it that are not given are bugs, and everything but `Markup` is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment: Any = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters.update(number=number, **filters)
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)


def drawing_settings(salt: str) -> Any:
    """Settings of matplotlib for a drawing that `svg_of` is to put into a page; equal salts give equal files."""
    return {"svg.fonttype": "none", "svg.hashsalt": salt, "text.parse_math": False, "font.size": 9}


def style_axes(axes: Any) -> None:
    """Faint lines, no frame."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.tick_params(colors=INK, length=0)


def svg_of(figure: Any) -> "Markup":
    """A matplotlib figure as an <svg> that is as wide as its place and takes its colours from the page."""
    from markupsafe import Markup

    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same names in every drawing
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', r'\1\2 role="img"', svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)


def picture_address(image_HWC: Pixels, longer: int, most: int) -> tuple[str, int, int]:
    """A picture as a JPEG data address of `most` bytes about: (address, height, width), no side above `longer`."""
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
