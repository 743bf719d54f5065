"""What the tab "Batch" asks for: new jobs, uploads, how far they are, results.

Files are sent as they are, one request each, straight into the job's folder. A job belongs to the browser whose cookie
was there when it was made; for any other it does not exist.
"""

import asyncio
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from translate.conversion.plan import OutputFormat, make_plan
from translate.conversion.worker import Conversion
from translate.credentials.identity import OFF
from translate.credentials.sign import media_type
from translate.errors import ConfigError, DataError, TranslateError
from translate.inference.controls import style_from_text
from translate.options import command_line
from ui import actions, files, widgets
from ui.batch import uploads
from ui.batch.archive import Archive
from ui.batch.jobs import Job, JobStore, Options, owner_of
from ui.batch.worker import cleaned
from ui.refused import Refused
from ui.requests import checked
from ui.site import Site

COOKIE = "translate-batch"
"""The browser's secret. No script can read it, no other site sends it, and it is sent for `batch/` alone."""
COOKIE_SECONDS = 365 * 86400
SHOWN = 24
"""Number of results that are listed at once."""
TOUCH_SECONDS = 60.0
"""How often it is noted that an upload goes on; one that stands still is given up, see `RECEIVING_SECONDS`."""
_TITLE_LENGTH = 80
_SHOWN_TYPES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".mp4", ".webm")
"""Results that browsers show; others are downloaded."""


class Batches:
    """The requests of the tab "Batch"."""

    def __init__(self, site: Site, store: JobStore) -> None:
        self._site, self._store = site, store
        self._slow = asyncio.Lock()  # one thumbnail at a time

    def routes(self) -> list[BaseRoute]:
        """The routes, for the application that serves the page."""
        job = "/batch/jobs/{job}"
        return [
            Route("/batch/jobs", checked(self._list, 0), methods=["GET"]),
            Route("/batch/jobs", checked(self._add, 0), methods=["POST"]),
            Route(f"{job}/files", checked(self._receive, uploads.MOST_BYTES), methods=["POST"]),
            Route(f"{job}/begin", checked(self._begin, 0), methods=["POST"]),
            Route(f"{job}/stop", checked(self._changing(self._store.stop), 0), methods=["POST"]),
            Route(f"{job}/go-on", checked(self._changing(self._store.go_on), 0), methods=["POST"]),
            Route(f"{job}/delete", checked(self._changing(self._store.delete), 0), methods=["POST"]),
            Route(f"{job}/results", checked(self._results, 0), methods=["GET"]),
            Route(f"{job}/result", checked(self._result, 0), methods=["GET"]),
            Route(f"{job}/thumbnail", checked(self._thumbnail, 0), methods=["GET"]),
            Route(f"{job}/zip", checked(self._zip, 0), methods=["GET"]),
        ]

    async def _list(self, request: Request) -> Response:
        """The jobs of this browser, and whether this server works on them; the browser gets its secret here."""
        token = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        works = await asyncio.to_thread(self._store.lock)
        found = [_shown(job) for job in await asyncio.to_thread(self._store.of, owner_of(token))]
        answer = JSONResponse({"works": works, "jobs": found}, headers={"Cache-Control": "no-store"})
        secure = request.url.scheme == "https"
        # Without a path the browser takes the folder of this address, also behind a proxy that adds one.
        answer.set_cookie(
            COOKIE, token, max_age=COOKIE_SECONDS, path=None, secure=secure, httponly=True, samesite="strict"
        )
        return answer

    async def _add(self, request: Request) -> Response:
        """Choices -> a new job without files."""
        self._check_works()
        query, number = request.query_params, request.query_params.get("model", "")
        if not number.isdecimal() or len(number) > 9 or int(number) >= len(self._site.models):
            raise HTTPException(400)
        model = self._site.models[int(number)]
        engine = model.engine
        how = replace(_chosen(query), credentials=self._site.signed(query.get("credentials") != OFF))
        how.check(engine)
        options = Options(model=engine.path.resolve(), command=model.command, how=how)
        title = " ".join(query.get("title", "").split())[:_TITLE_LENGTH]
        job = await asyncio.to_thread(self._store.add, self._owner(request), title, options)
        return JSONResponse({"id": job.id})

    async def _receive(self, request: Request) -> Response:
        """One file; its body is the file as it is."""
        self._check_works()
        job = self._job(request)
        name = uploads.checked_name(request.query_params.get("name", ""))
        length = int(request.headers["content-length"])
        await asyncio.to_thread(self._check_room, job, name, length)
        path = uploads.free_place(job.input, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            due = time.monotonic() + TOUCH_SECONDS
            with path.open("xb") as file:
                async for chunk in request.stream():
                    await asyncio.to_thread(file.write, chunk)
                    if time.monotonic() >= due:
                        await asyncio.to_thread(self._store.touch, job.id)
                        due = time.monotonic() + TOUCH_SECONDS
            await asyncio.to_thread(uploads.check_file, path, name)
            if (changed := request.query_params.get("modified", "")).isdecimal():
                when = int(changed[:15]) * 10**6
                os.utime(path, ns=(when, when))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise Refused("batch.not_stored", name=name, reason=error.strerror) from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Response(status_code=204)

    async def _begin(self, request: Request) -> Response:
        """All files are there."""
        self._check_works()
        job = self._job(request)
        try:
            plan = await asyncio.to_thread(make_plan, job.source, job.output, job.options.how.output_format)
        except TranslateError as error:
            await asyncio.to_thread(self._store.delete, job.id)
            raise DataError(cleaned(str(error), job)) from None
        await asyncio.to_thread(self._store.begin, job.id, plan.count)
        return Response(status_code=204)

    def _changing(self, change: Callable[[str], Any]) -> Callable[[Request], Any]:
        async def changed(request: Request) -> Response:
            self._check_works()
            await asyncio.to_thread(change, self._job(request).id)
            return Response(status_code=204)

        return changed

    async def _results(self, request: Request) -> Response:
        """The names of some of the results."""
        first = request.query_params.get("from", "0")
        found = await asyncio.to_thread(uploads.results, self._job(request))
        start = int(first[:9]) if first.isdecimal() else 0
        names = [entry.target for entry in found[start : start + SHOWN]]
        return JSONResponse({"total": len(found), "names": names}, headers={"Cache-Control": "no-store"})

    async def _result(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        path = uploads.result_file(self._job(request), name)
        if path is None:
            raise HTTPException(404)
        how = "inline" if path.suffix.lower() in _SHOWN_TYPES else "attachment"
        kind = media_type(path, path.name) or None  # not all systems know those of newer formats
        return FileResponse(path, filename=path.name, media_type=kind, content_disposition_type=how, headers=_private())

    async def _thumbnail(self, request: Request) -> Response:
        job, name = self._job(request), request.query_params.get("name", "")
        async with self._slow:
            path = await asyncio.to_thread(uploads.thumbnail, job, name)
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers=_private())

    async def _zip(self, request: Request) -> Response:
        """All results, and the record of how they were made."""
        job = self._job(request)
        archive = Archive(await asyncio.to_thread(uploads.archive_entries, job))
        title = _plain(re.sub(r"\.zip$", "", job.title, flags=re.IGNORECASE)) or "pictures"
        name = f"{title}-{_plain(Path(job.options.command).stem)}.zip"
        headers = {
            "Content-Disposition": f"attachment; filename*=utf-8''{quote(name)}",
            "Content-Length": str(archive.size),
            **_private(),
        }
        return StreamingResponse(archive.chunks(), media_type="application/zip", headers=headers)

    def _owner(self, request: Request) -> str:
        token = request.cookies.get(COOKIE)
        if not token:
            raise HTTPException(403)
        return owner_of(token)

    def _job(self, request: Request) -> Job:
        job = self._store.find(request.path_params["job"], self._owner(request))
        if job is None:
            raise HTTPException(404)
        return job

    def _check_works(self) -> None:
        if not self._store.lock():
            raise Refused("batch.elsewhere")

    def _check_room(self, job: Job, name: str, length: int) -> None:
        """Count a file that is to be received, before its first byte is written.

        Raises:
            Refused: it cannot be taken.
        """
        if job.state != "receiving":
            raise HTTPException(409)
        if job.total and ".zip" in (Path(name).suffix.lower(), job.source.suffix.lower()):
            raise Refused("batch.one_archive")
        free = shutil.disk_usage(job.input).free - uploads.KEPT_FREE_BYTES
        if length > free:
            raise Refused("batch.no_room", name=name)
        if not self._store.reserve(job.id, length, uploads.MOST_FILES, uploads.MOST_BYTES):
            most, gigabytes = uploads.MOST_FILES, uploads.MOST_BYTES >> 30
            raise Refused("batch.too_much", name=name, files=most, gigabytes=gigabytes)


def _chosen(query: Mapping[str, str]) -> Conversion:
    """The controls as `translate convert` would be given them: what is left alone is not given.

    Raises:
        ConfigError: a number is none, or out of range.
    """
    style = style_from_text(query["style"]) if query.get("style") else None
    if isinstance(style, int) and not 0 <= style < actions.STYLE_COUNT:
        raise ConfigError(f"the style is {style}; give a whole number from 0 to {actions.STYLE_COUNT - 1}")
    output_format = query.get("format", "same")
    if output_format not in [value for _, value in files.OUTPUT_FORMATS]:
        raise HTTPException(400)
    return Conversion(
        label=query.get("label") or None,
        style=style,
        detail=_number(query, "detail"),
        strength=1.0 if (strength := _number(query, "strength")) is None else strength,
        output_format=cast("OutputFormat", output_format),
    )


def _number(query: Mapping[str, str], name: str) -> float | None:
    if not query.get(name):
        return None
    try:
        return float(query[name])
    except ValueError:
        raise ConfigError(f"{name} is {query[name]!r}; give a number") from None


def _shown(job: Job) -> dict[str, Any]:
    """A job as the page shows it."""
    archive = job.title if job.title.lower().endswith(".zip") else "pictures"
    return {
        "id": job.id,
        "state": job.state,
        "created": job.created,
        "title": job.title,
        "model": widgets.title(Path(job.options.command).stem),
        "format": job.options.how.output_format,
        "command": command_line(["translate", "convert", archive, "results", *job.options.words()], windows=False),
        "total": job.total,
        "message": job.message,
        **asdict(job.progress),
    }


def _private() -> dict[str, str]:
    return {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}


def _plain(text: str) -> str:
    return re.sub(r"[^\w.()+-]+", "-", text).strip("-.")
