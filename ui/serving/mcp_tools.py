"""Tools for language models: an MCP server of our own, in the same application as the page.

Gradio's own cannot be used behind a password: its tools call back over HTTP without one. Pictures go in and out as
base64; no tool takes or tells a path of the server. Specification: https://modelcontextprotocol.io/specification
"""

import base64
import shutil
from typing import Any, Literal

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ImageContent, TextContent

from translate.credentials.sign import media_type
from translate.errors import ImageError, TranslateError
from translate.pictures.formats import FORMATS, HEAD_BYTES, listed, recognise
from ui.serving.guard import SLACK_BYTES
from ui.serving.programs import Programs, Wanted
from ui.site import Site

PATH = "/mcp"


class Tools:
    """What language models can do here.

    Args:
        programs: the functions behind the tools.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    async def list_models(self) -> list[dict[str, Any]]:
        """List the models: name, what it does, its labels, and which controls it has."""
        return [
            {
                "name": entry["name"],
                **{key: entry["spec"][key] for key in ("task", "labels", "style_size", "detail", "scale", "licence")},
            }
            for entry in self._programs.models()
        ]

    async def translate_image(
        self,
        image_base64: str,
        model: str,
        label: str | None = None,
        style: str | int | None = None,
        detail: float | None = None,
        strength: float = 1.0,
        output_format: Literal["png", "jpg", "webp"] = "png",
    ) -> list[ImageContent | TextContent]:
        """Convert a picture with a model and return the result as an image.

        Args:
            image_base64: the picture file (PNG, JPEG, WebP and others), encoded as base64.
            model: a name from list_models.
            label: class label, for models that have labels.
            style: number of a style, 0 for the default, or its numbers with commas between them.
            detail: 0 (faithful) to 1 (sharp), for models that have it.
            strength: share of the result in a mixture with the picture, 0 to 1, for models that do not enlarge.
            output_format: format of the result.
        """
        try:
            data = _bytes(image_base64)
            controls = {"label": label, "style": style, "detail": detail, "strength": strength}
            wanted = Wanted.of({"model": model, **controls, "output_format": output_format})
            source = self._programs.new_source(f"picture{_suffix(data)}")
            source.write_bytes(data)
            async with self._programs.made(source, wanted) as (path, notes):
                result, kind = base64.b64encode(path.read_bytes()).decode(), media_type(path, path.name)
                shutil.rmtree(source.parent, ignore_errors=True)
        except TranslateError as error:
            raise ToolError(str(error)) from None
        image = ImageContent(type="image", data=result, mimeType=kind)
        return [image, *(TextContent(type="text", text=note) for note in notes)]


def server(site: Site, programs: Programs, *, any_host: bool) -> FastMCP:
    """The MCP server, at `PATH`: its routes are `streamable_http_app().routes`, and its sessions have to run.

    Args:
        site: what is on the page.
        programs: the functions behind the tools.
        any_host: whether requests may name any host: with a password, or where the page is for a network. Otherwise
            only names of this machine, so that no website can reach it through a browser by DNS rebinding.
    """
    mcp = FastMCP(
        "translate",
        instructions="Turns pictures into other pictures, e.g. drawings into photographs. Begin with list_models.",
        log_level="ERROR",
        stateless_http=True,
        json_response=True,
        streamable_http_path=PATH,
        max_request_body_size=site.limits.upload_bytes + SLACK_BYTES,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False) if any_host else None,
    )
    tools = Tools(programs)
    mcp.add_tool(tools.list_models)
    mcp.add_tool(tools.translate_image)
    return mcp


def _bytes(text: str) -> bytes:
    text = "".join(text.split())  # many programs break the lines
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except ValueError:  # also for letters that are not ASCII
        raise ImageError("image_base64: not base64; encode the bytes of the picture file") from None


def _suffix(data: bytes) -> str:
    kind = recognise(data[:HEAD_BYTES])
    if kind is None:
        raise ImageError(f"image_base64: not a picture that can be read; use {listed(FORMATS)}")
    return kind.suffixes[0]
