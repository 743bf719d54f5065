"""The application around the page, and the server that runs it until it is told to stop."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio import processing_utils
from gradio.routes import App
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from translate import __version__
from translate.errors import TranslateError
from ui.serving import metrics
from ui.serving.accounts import Accounts
from ui.serving.guard import HEALTH, Guard
from ui.site import Site

STOP_SECONDS = 30.0
"""How long pictures in work may take when the server is stopped."""
_STILL_SECONDS = 0.5
_POLL_SECONDS = 0.05


class Application:
    """The page, Gradio's programming interface and our routes, all behind one `Guard`.

    Args:
        page: the page.
        routes: our own routes, which come before those of Gradio.
        site: what is on the page.
        looks: `theme`, `css_paths`, `i18n` and the like, for `gradio.mount_gradio_app`.
        accounts: who may use it; None: everyone.
        root_path: prefix of the public address, as `/tool`, without a slash at the end; empty: none.
        running: entered before the first request and left after the last, such as MCP's sessions.
    """

    def __init__(
        self,
        page: gr.Blocks,
        routes: Sequence[BaseRoute],
        site: Site,
        *,
        looks: dict[str, Any],
        accounts: Accounts | None,
        root_path: str,
        running: Sequence[AbstractAsyncContextManager[Any]],
    ) -> None:
        self._page, self._site, self._running = page, site, running
        own = [Route(HEALTH, self._health), Route("/metrics", self._metrics), *routes]
        outer = FastAPI(routes=own, lifespan=self._lifespan, openapi_url=None, exception_handlers=_HANDLERS)
        self._of_gradio = _mounted(outer, page, site, root_path, looks)
        self.guard = Guard(outer, own, accounts=accounts, root_path=root_path, upload_bytes=site.limits.upload_bytes)

    async def finish(self, seconds: float) -> bool:
        """Refuse new work, let what is in work or waits finish, and end what pages keep open; whether all finished."""
        self.guard.stopping = True
        finished = not self._busy() or await self._still(seconds)
        self._page.close(verbose=False)
        self._of_gradio.stop_event.set()
        return finished

    async def _still(self, seconds: float) -> bool:
        """Wait until nothing is in work: for a moment, as a page that is told of its picture still has to fetch it."""
        deadline, idle = time.monotonic() + seconds, 0.0
        while idle < _STILL_SECONDS:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
            idle = 0.0 if self._busy() else idle + _POLL_SECONDS
        return True

    def _busy(self) -> bool:
        queue = self._page._queue
        return bool(self.guard.running or len(queue) or any(job is not None for job in queue.active_jobs))

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncGenerator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for each in self._running:
                await stack.enter_async_context(each)
            yield

    async def _health(self, _: Request) -> Response:
        stopping = self.guard.stopping
        found = {
            "status": "stopping" if stopping else "ok",
            "version": __version__,
            "models": [model.command for model in self._site.models],
        }
        return JSONResponse(found, 503 if stopping else 200)

    async def _metrics(self, _: Request) -> Response:
        metrics.WAITING.set(len(self._page._queue) + self._site.line.waiting)
        return Response(metrics.text(), media_type=metrics.CONTENT_TYPE)


class Server:
    """An application on a port, in a thread of its own.

    Args:
        app: the application.
        host: address to listen on.
        port: port to listen on; it should be free.
    """

    def __init__(self, app: Application, host: str, port: int) -> None:
        config = uvicorn.Config(
            app.guard,
            host=host,
            port=port,
            interface="asgi3",
            ws="none",
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _Uvicorn(config, app)
        self._thread = threading.Thread(target=self._server.run, name="server", daemon=True)
        shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{port}/"

    def start(self) -> None:
        """Start, and return when it answers.

        Raises:
            TranslateError: it cannot.
        """
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise TranslateError(f"cannot serve at {self.address}; choose another --port (or --host)")
            time.sleep(0.01)

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Let pictures in work finish, but not longer than `seconds`, and stop; whether all finished."""
        self._server.seconds = seconds
        self._server.should_exit = True
        while not self._server.ended.wait(1):  # without a timeout, Windows would not notice Ctrl-C
            pass
        if self._server.finished:
            self._thread.join()  # which otherwise waits for what is in work
        return self._server.finished


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: Application) -> None:
        super().__init__(config)
        self._app, self.seconds, self.finished, self.ended = app, STOP_SECONDS, True, threading.Event()

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        try:
            self.finished = await self._app.finish(self.seconds)
            # What is cut off now are streams that pages keep open, or what was too slow: no error of this program.
            for name in ("uvicorn.error", "asyncio"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            await super().shutdown(sockets)
        finally:
            self.ended.set()


def _mounted(outer: FastAPI, page: gr.Blocks, site: Site, root_path: str, looks: dict[str, Any]) -> App:
    """Mount Gradio below all other routes."""
    # Gradio would fetch files for whoever names an address instead of a file. And only pages that it calls launched
    # refuse files of the server that were not uploaded: a mounted one copies whatever path a request names.
    processing_utils.async_ssrf_protected_download = _fetch_nothing
    page.has_launched = True
    gr.mount_gradio_app(
        outer,
        page,
        path="/",
        root_path=root_path,
        max_file_size=site.limits.upload_bytes,
        # Wherever the models lie; Gradio shows no other files outside of its cache.
        allowed_paths=site.sample_files(),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
        show_error=False,
        app_kwargs={"exception_handlers": _HANDLERS},
        **looks,
    )
    (mounted,) = [route.app for route in outer.routes if isinstance(route, Mount) and isinstance(route.app, App)]
    return mounted


async def _fetch_nothing(*_: Any, **__: Any) -> str:
    raise gr.Error("This server asks no other hosts for files; upload it.", print_exception=False)


def _left(_: Request, __: Exception) -> Response:
    """A browser that leaves in the middle of an upload is no error: no traceback in the terminal."""
    return Response(status_code=499)


_HANDLERS: dict[Any, Any] = {ClientDisconnect: _left}
