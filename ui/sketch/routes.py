"""What the sketch canvas asks for: a photo for a drawing, while it is drawn, and files.

These requests do not go through Gradio, whose queue takes a second for what takes a tenth here. Nothing is kept: a
request holds all that it needs, and its answer is sent to whoever asked, so users cannot see each other's pictures.
"""

import asyncio
import base64
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from translate.conversion.worker import Conversion
from translate.credentials.identity import OFF
from translate.errors import ImageError
from translate.inference.controls import numbered_style, style_from_text
from translate.inference.engine import Engine
from translate.inference.looks import matching_style
from translate.pictures.lines import draw_lines, is_drawing
from translate.pictures.operations import Picture, encode, fit_size, flatten, resize, with_bits
from ui import files
from ui.requests import checked
from ui.serving import metrics
from ui.site import Site

MAX_SHEET_BYTES = 8 * 1000**2
"""Maximum size of a drawing that is sent while it is drawn; usual ones have some kilobytes."""
MAX_SHEET_PIXELS = 1024 * 1024
OPENED_SIDE = 1024
"""Longer side in pixels at which an opened picture is shown on the sheet."""
MAX_TABS = 1000
"""Number of browser tabs whose newest drawing is known."""


class Studio:
    """The requests of all sketch canvases."""

    def __init__(self, site: Site) -> None:
        self._site, self._models, self._cache, self._limits = site, site.models, site.cache, site.limits
        self._line, self._precedence = site.line, site.precedence
        self._newest: OrderedDict[str, int] = OrderedDict()
        # Drawings do not wait for other work, and it does not for them: a large picture of another tab makes drawing
        # slower, but does not stop it. Nor are they refused when many wait, as of each tab only the newest does.
        self._turn = asyncio.Semaphore(site.limits.at_once)

    def routes(self) -> list[BaseRoute]:
        """The routes, for the application that serves the page."""
        most = self._limits.upload_bytes
        return [
            Route("/sketch/live/{tab}/{number:number}", checked(self._live, MAX_SHEET_BYTES), methods=["POST"]),
            Route("/sketch/picture", checked(self._picture, most), methods=["POST"]),
            Route("/sketch/look", checked(self._look, most), methods=["POST"]),
            Route("/sketch/file", checked(self._file, most), methods=["POST"]),
            Route("/sketch/sample/{model:number}/{number:number}", checked(self._sample, 0), methods=["GET"]),
        ]

    async def _live(self, request: Request) -> Response:
        """Drawing -> photo as a JPEG; 204 if the same tab has sent a newer one meanwhile."""
        tab, number = request.path_params["tab"][:64], request.path_params["number"]
        body = await request.body()
        self._newest[tab] = max(number, self._newest.get(tab, 0))
        self._newest.move_to_end(tab)
        while len(self._newest) > MAX_TABS:
            self._newest.popitem(last=False)
        engine, chosen = self._engine(request), self._chosen(request)
        async with self._turn:
            if number < self._newest.get(tab, number) or await request.is_disconnected():
                return Response(status_code=204)
            with self._precedence.drawing():
                photo = await asyncio.to_thread(_photo, engine, body, chosen)
        return Response(photo, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def _picture(self, request: Request) -> Response:
        """Picture of any kind -> what can be put on the sheet: itself, and its lines."""
        body, name = await request.body(), files.safe_name(request.query_params.get("name", ""))
        engine = self._engine(request)
        async with self._line.turn():
            found = await asyncio.to_thread(_opened, engine, body, name, self._limits.pixels)
        return JSONResponse(found)

    async def _look(self, request: Request) -> Response:
        """Drawing and photograph -> the style that makes the drawing look like the photograph."""
        async with request.form(max_files=2, max_fields=0, max_part_size=self._limits.upload_bytes) as form:
            parts = [form.get(name) for name in ("drawing", "photo")]
            drawing, photo = [await part.read() if isinstance(part, UploadFile) else b"" for part in parts]
            name = parts[1].filename if isinstance(parts[1], UploadFile) else None
        engine, label = self._engine(request), request.query_params.get("label")
        async with self._line.turn():
            style = await asyncio.to_thread(
                _matching, engine, drawing, photo, name or "The photo", label, self._limits.pixels
            )
        return JSONResponse({"style": style})

    async def _file(self, request: Request) -> Response:
        """File -> the file that `translate convert` makes of it."""
        query, engine = request.query_params, self._engine(request)
        body, name = await request.body(), files.safe_name(query.get("name", ""))
        how = Conversion(
            label=query.get("label"),
            style=style_from_text(query["style"]) if query.get("style") else None,
            output_format=files.output_format(query.get("format", "same")),
            credentials=self._site.signed(query.get("credentials") != OFF),
            name=files.NAME,
        )
        folder = files.new_folder(self._cache)
        try:
            async with self._line.turn():
                path, notes = await asyncio.to_thread(_converted, engine, body, folder, name, how, self._limits.pixels)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        headers = {"X-Name": quote(path.name), "X-Notes": quote(" ".join(notes)), "Cache-Control": "no-store"}
        gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(path, media_type="application/octet-stream", headers=headers, background=gone)

    async def _sample(self, request: Request) -> Response:
        model, number = request.path_params["model"], request.path_params["number"]
        if model >= len(self._models) or number >= len(self._models[model].samples):
            raise HTTPException(404)
        return FileResponse(self._models[model].samples[number])

    def _engine(self, request: Request) -> Engine:
        index = request.query_params.get("model", "0")
        if not index.isdecimal() or len(index) > 9 or int(index) >= len(self._models):
            raise HTTPException(400)
        return self._models[int(index)].engine

    def _chosen(self, request: Request) -> dict[str, Any]:
        """Label and style, as keyword arguments of `Engine.apply`."""
        query, spec = request.query_params, self._engine(request).spec
        found: dict[str, Any] = {"label": query.get("label")}
        if query.get("style"):
            style = style_from_text(query["style"])
            found["style"] = numbered_style(style, spec) if isinstance(style, int) else style
        return found


def _photo(engine: Engine, body: bytes, chosen: dict[str, Any]) -> bytes:
    with metrics.counted(engine.spec.name):
        sheet = files.READER.decode(body, "The drawing", max_pixels=min(MAX_SHEET_PIXELS, engine.max_pixels))
        return encode(engine.apply(Picture(flatten(sheet)), **chosen), ".jpg")


def _opened(engine: Engine, body: bytes, name: str, most: int) -> dict[str, Any]:
    files.check_pixels(body, name, most)
    picture = with_bits(files.READER.decode(body, name, max_pixels=engine.max_pixels), 8)
    rgb_HWC = flatten(picture)
    if max(rgb_HWC.shape) > OPENED_SIDE:
        rgb_HWC = resize(rgb_HWC, *fit_size(picture.height, picture.width, OPENED_SIDE))
    return {
        "drawing": is_drawing(rgb_HWC),
        "picture": _as_address(Picture(rgb_HWC)),
        "lines": _as_address(Picture(draw_lines(rgb_HWC))),
    }


def _as_address(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(encode(picture, '.png')).decode()}"


def _matching(engine: Engine, drawing: bytes, photo: bytes, name: str, label: str | None, most: int) -> list[float]:
    sheet = files.READER.decode(drawing, "The drawing", max_pixels=min(MAX_SHEET_PIXELS, engine.max_pixels))
    files.check_pixels(photo, name, most)
    liked = files.READER.decode(photo, name, max_pixels=engine.max_pixels)
    return [round(float(number), 2) for number in matching_style(engine, sheet, liked, label=label)]


def _converted(
    engine: Engine, body: bytes, folder: Path, name: str, how: Conversion, most: int
) -> tuple[Path, tuple[str, ...]]:
    source = folder / "in" / name
    source.parent.mkdir()
    try:
        source.write_bytes(body)
    except OSError as error:
        raise ImageError(f"{name}: cannot be stored ({error.strerror}); the disk may be full") from None
    return files.convert_file(engine, source, folder / "out", how, most_pixels=most)
