"""What every request passes before anything else sees it: the page, Gradio's routes, our own and MCP alike."""

import re
from collections.abc import Sequence
from time import perf_counter

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.serving import metrics
from ui.serving.accounts import Accounts, TooManyAttempts
from ui.words import text

HEALTH = "/healthz"
"""Open to everyone: it tells nothing about users."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="translate", charset="UTF-8"'}
SLACK_BYTES = 1000**2
"""What a request may have around an uploaded file."""

_SAFE = ("GET", "HEAD", "OPTIONS")
_ENDLESS = re.compile(r"/gradio_api/(heartbeat|queue/data)|/mcp")
"""What stays open as long as the page: nothing to wait for, unless it was posted."""
_FETCHING = re.compile(r"/gradio_api/(file=\w+:|proxy=)")
"""Where Gradio would ask another host on behalf of a user."""
_LIMITED = ("/gradio_api/upload", "/batch/")
"""Where Gradio or our own routes have limits of their own."""


class Guard:
    """An application that asks for a password, refuses what is too long or foreign, and counts.

    Args:
        app: what is guarded.
        routes: its own routes, for counting.
        accounts: who may use it; None: everyone.
        root_path: prefix of the public address, as `/tool`; removed where the proxy left it.
        upload_bytes: maximum size of an upload.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        *,
        accounts: Accounts | None,
        root_path: str,
        upload_bytes: int,
    ) -> None:
        self._app, self._routes, self._accounts = app, routes, accounts
        self._root, self._most_bytes = root_path, upload_bytes + SLACK_BYTES
        self.stopping = False
        """Whether new work is refused; results can still be fetched."""
        self.running = 0
        """Number of requests in work."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(_below(scope, self._root), receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # nothing here speaks it

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, status, limit = perf_counter(), 0, self._limit(scope)
        came = 0

        async def receiving() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            return message if came <= limit else {"type": "http.disconnect"}

        async def sending(message: Message) -> None:
            nonlocal status
            if came <= limit or status:
                status = message.get("status", status)
                await send(message)

        finite = scope["method"] == "POST" or not _ENDLESS.match(scope["path"])
        self.running += finite
        name = metrics.endpoint(scope, self._routes)
        try:
            refusal = await self._refusal(scope)
            await (refusal or self._app)(scope, receiving, sending)
            if came > limit and not status:
                status = 413
                await _too_long(self._most_bytes)(scope, receive, send)
        finally:
            self.running -= finite
            metrics.REQUESTS.labels(name, str(status or 499)).inc()  # 499: left before there was an answer
            if finite:
                metrics.REQUEST_SECONDS.labels(name).observe(perf_counter() - begun)

    async def _refusal(self, scope: Scope) -> Response | None:
        path, headers, safe = scope["path"], Headers(scope=scope), scope["method"] in _SAFE
        if path == HEALTH and safe:
            return None
        if self._accounts is not None and (refusal := await _unknown(self._accounts, headers)) is not None:
            return refusal
        if path == self._root != "":
            return RedirectResponse(f"{path}/")
        # Browsers say who asks: another site must not use this program through the browser of its user.
        if not safe and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("only the page itself may ask for this", 403)
        if _FETCHING.match(path):
            return PlainTextResponse("this server asks no other hosts for files", 403)
        if self.stopping and not safe:
            return PlainTextResponse(text("page.stopping", Request(scope)), 503, {"Retry-After": "60"})
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limit(scope):
            return _too_long(self._most_bytes)
        return None

    def _limit(self, scope: Scope) -> float:
        return float("inf") if scope["path"].startswith(_LIMITED) else self._most_bytes


async def _unknown(accounts: Accounts, headers: Headers) -> Response | None:
    given = headers.get("authorization")
    if given is None:
        return PlainTextResponse("this needs a name and a password", 401, CHALLENGE)
    try:
        if await accounts.allow(given):
            return None
    except TooManyAttempts:
        return PlainTextResponse("too many attempts; wait a minute", 429, {"Retry-After": "60"})
    return PlainTextResponse("wrong name or password", 401, CHALLENGE)


def _below(scope: Scope, root: str) -> Scope:
    """The scope without the prefix of the public address, which some proxies remove and others do not."""
    path: str = scope["path"]
    if not root or not path.startswith(f"{root}/"):
        return scope
    raw: bytes = scope.get("raw_path") or b""
    return {**scope, "path": path.removeprefix(root), "raw_path": raw.removeprefix(root.encode())}


def _too_long(most_bytes: int) -> Response:
    return PlainTextResponse(f"This is too large; at most {most_bytes // 1000**2} MB are taken.", 413)
