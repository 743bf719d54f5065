"""What all requests that do not go through Gradio have in common."""

from collections.abc import Awaitable, Callable

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from translate.errors import TranslateError
from ui.refused import Refused
from ui.site import Busy
from ui.words import text

Answer = Callable[[Request], Awaitable[Response]]


class _Number(Convertor[int]):
    """`{name:number}` in the path of a route. Starlette's `int` takes any number of digits; Python refuses so many."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """From a path."""
        return int(value)

    def to_string(self, value: int) -> str:
        """To a path."""
        return str(value)


register_url_convertor("number", _Number())


def checked(answer: Answer, most_bytes: int) -> Answer:
    """Refuse what is too long and what another website asks for; errors become one line of text."""

    async def answered(request: Request) -> Response:
        if not request.scope["query_string"].isascii():  # which cannot be read
            raise HTTPException(400)
        # Browsers say who asks: another site must not use this program through the browser of its user.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse(text("page.other_site", request), 403)
        length = request.headers.get("content-length", "0" if request.method == "GET" else "")
        if not length.isdecimal() or len(length) > 18:
            return PlainTextResponse(text("page.no_length", request), 411)
        if int(length) > most_bytes:
            return PlainTextResponse(text("page.too_large", request, megabytes=most_bytes // 1000**2), 422)
        try:
            return await answer(request)
        except ClientDisconnect:
            return Response(status_code=499)
        except TranslateError as error:
            said = text(error.key, request, **error.facts) if isinstance(error, Refused) else str(error)
            said = said if said.endswith((".", "?")) else f"{said}."
            if isinstance(error, Busy):
                return PlainTextResponse(said, 503, {"Retry-After": "60"})
            return PlainTextResponse(said, 422)

    return answered
