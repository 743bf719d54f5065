"""For programs: the functions of the page by name, with typed arguments.

Gradio publishes them for `gradio_client` and in /gradio_api/openapi.json. Two are plain routes as well: the list of
models, and one request with a picture whose answer is the converted file.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr
from gradio import FileData
from gradio.events import api
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from translate.conversion.worker import Conversion
from translate.credentials.sign import media_type
from translate.errors import ConfigError, ImageError, TranslateError, nearest
from translate.inference.controls import style_from_text
from translate.inference.looks import matching_style
from translate.pictures.lines import draw_lines
from translate.pictures.operations import Picture, flatten, with_bits, write_picture
from ui import actions, files
from ui.model import Model
from ui.requests import checked
from ui.site import Site

Format = Literal["same", "png", "jpg", "webp", "avif", "tiff", "bmp"]


class Wanted(BaseModel):
    """What a program may ask for; what is left out is as in `translate convert`."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    model: str
    """A name from the list of models."""
    label: str | None = None
    style: str | None = None
    """The number of a style, or its numbers with commas between them."""
    detail: float | None = None
    strength: float = 1.0
    output_format: Format = "same"
    credentials: bool = True
    """Whether the result is to hold content credentials, where the server makes them."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Wanted":
        """Check the types.

        Raises:
            ConfigError: a value is missing, unknown or of another type; one line.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(map(str, first["loc"]))
            raise ConfigError(f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None

    def conversion(self, site: Site) -> Conversion:
        """As options of a conversion."""
        return Conversion(
            label=self.label or None,
            style=style_from_text(self.style) if self.style else None,
            detail=self.detail,
            strength=self.strength,
            output_format=self.output_format,
            credentials=site.signed(self.credentials),
            name=files.NAME,
        )


class Programs:
    """The functions.

    Args:
        site: what is on the page.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def publish(self, page: gr.Blocks) -> None:
        """Add the functions to the page's programming interface; call it before the page is served."""
        with page:
            api(self.models, api_name="models", queue=False)
            for function in (self.convert, self.style, self.sketch):
                api(function, api_name=function.__name__, concurrency_id="engine")

    def routes(self) -> list[BaseRoute]:
        """The routes, for the application that serves the page."""
        most = self._site.limits.upload_bytes
        return [
            Route("/api/models", checked(self._models_route, 0), methods=["GET"]),
            Route("/api/convert", checked(self._convert_route, most), methods=["POST"]),
        ]

    # --- published by Gradio, in its worker threads

    def models(self) -> list[dict[str, Any]]:
        """The models: `name`, and everything that the model file says of itself as `spec`."""
        return [{"name": model.command, "spec": json.loads(model.engine.spec.to_json())} for model in self._site.models]

    def convert(
        self,
        picture: FileData,
        model: str,
        label: str | None = None,
        style: str | None = None,
        detail: float | None = None,
        strength: float = 1.0,
        output_format: Format = "same",
        credentials: bool = True,
    ) -> FileData:
        """Convert a picture file with a model, as `translate convert` does.

        Args:
            picture: the file.
            model: a name from the list of models.
            label: class label, for models that have labels.
            style: the number of a style, or its numbers with commas between them, for models that have styles.
            detail: 0 (faithful) to 1 (sharp), for models that have it.
            strength: share of the result in a mixture with the picture, 0 to 1, for models that do not enlarge.
            output_format: format of the result.
            credentials: whether the result is to hold content credentials, where the server makes them.
        """
        with _said():
            controls: dict[str, Any] = {"label": label, "style": style, "detail": detail, "strength": strength}
            controls |= {"output_format": output_format, "credentials": credentials}
            wanted = Wanted.of({"model": model, **controls})
            source, engine = self._uploaded(picture), self.model(wanted.model).engine
            folder, most = files.new_folder(self._site.cache), self._site.limits.pixels
            path, _ = files.convert_file(engine, source, folder, wanted.conversion(self._site), most_pixels=most)
            return _as_file(path)

    def style(self, drawing: FileData, photo: FileData, model: str, label: str | None = None) -> list[float]:
        """The style that makes the photo of a drawing look like another photo.

        Args:
            drawing: a file with a line drawing.
            photo: a file with the photo whose look is wanted.
            model: a name from the list of models; its styles must be colours.
            label: class label, for models that have labels.
        """
        with _said():
            engine = self.model(model).engine
            pictures = [self._decoded(file, engine.max_pixels) for file in (drawing, photo)]
            found = matching_style(engine, *pictures, label=label or None)
            return [round(float(number), 2) for number in found]

    def sketch(self, photo: FileData) -> FileData:
        """The line drawing of a photo, as it is made for models that turn drawings into photos; a PNG file.

        Args:
            photo: the file.
        """
        with _said():
            source = self._uploaded(photo)
            lines = draw_lines(flatten(self._decoded(photo, min(each.engine.max_pixels for each in self._site.models))))
            path = files.new_folder(self._site.cache) / f"{source.stem}-sketch.png"
            write_picture(path, Picture(lines))
            return _as_file(path)

    # --- for routes and MCP, in the server's event loop

    def model(self, name: str) -> Model:
        """The model of this name.

        Raises:
            ConfigError: there is none.
        """
        for model in self._site.models:
            if model.command == name:
                return model
        raise ConfigError(f"there is no model {name!r}; {nearest(name, [each.command for each in self._site.models])}")

    @asynccontextmanager
    async def made(self, source: Path, wanted: Wanted) -> AsyncGenerator[tuple[Path, tuple[str, ...]]]:
        """Convert a file in a folder of its own, when it is its turn; the folder is deleted if that fails.

        Yields:
            the result, and notes for the user.

        Raises:
            TranslateError: it cannot be converted, or too many wait already (`Busy`).
        """
        try:
            engine, how = self.model(wanted.model).engine, wanted.conversion(self._site)
            most = self._site.limits.pixels
            async with self._site.line.turn():
                made = await asyncio.to_thread(
                    files.convert_file, engine, source, source.parent / "out", how, most_pixels=most
                )
            yield made
        except BaseException:
            shutil.rmtree(source.parent, ignore_errors=True)
            raise

    def new_source(self, name: str) -> Path:
        """Where to store a file that came from outside, in a new folder.

        Raises:
            ImageError: the name is not that of a picture.
        """
        safe = files.safe_name(name)
        return files.new_folder(self._site.cache) / safe

    # --- routes

    async def _models_route(self, _: Request) -> Response:
        return JSONResponse(self.models())

    async def _convert_route(self, request: Request) -> Response:
        async with request.form(max_files=1, max_fields=len(Wanted.model_fields), max_part_size=1000) as form:
            values = dict(form)
            picture = values.pop("picture", None)
            if not isinstance(picture, UploadFile):
                raise ConfigError("picture: missing; send the file as a field of a form")
            wanted = Wanted.of(values)
            source = self.new_source(picture.filename or "")
            await asyncio.to_thread(_store, picture, source)
        async with self.made(source, wanted) as (path, notes):
            headers = {"X-Notes": quote(" ".join(notes)), "Cache-Control": "no-store"}
            gone = BackgroundTask(shutil.rmtree, source.parent, ignore_errors=True)
            kind = media_type(path, path.name)
            return FileResponse(path, filename=path.name, media_type=kind, headers=headers, background=gone)

    # --- helpers

    def _uploaded(self, value: Any) -> Path:
        if not isinstance(value, Mapping) or not isinstance(value.get("path"), str):
            raise ImageError("not an uploaded file; upload it first")
        return actions.uploaded_file(value, self._site.cache)

    def _decoded(self, value: Any, most: int) -> Picture:
        path = self._uploaded(value)
        files.check_pixels(path, path.name, self._site.limits.pixels)
        return with_bits(files.READER.decode(path, path.name, max_pixels=most), 8)


def _store(upload: UploadFile, path: Path) -> None:
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file)
    except OSError as error:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise ImageError(f"{path.name}: cannot be stored ({error.strerror}); the disk may be full") from None


def _as_file(path: Path) -> Any:
    return {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}


@contextmanager
def _said() -> Generator[None]:
    """A `TranslateError` is told to the program; anything else is a bug and keeps its traceback."""
    try:
        yield
    except TranslateError as error:
        raise gr.Error(str(error), print_exception=False) from None
