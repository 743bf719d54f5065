"""Downloads a file: from https alone, whole and no larger than allowed, or not at all."""

import hashlib
import http.client
import ipaddress
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from translate import __version__
from translate.errors import ModelError, one_line

MOST_BYTES = 2 * 2**30
"""The largest file that is downloaded: ONNX files cannot be larger."""
TIMEOUT_SECONDS = 30.0
"""How long the server may be silent."""
MOST_REDIRECTS = 5
_PIECE = 2**18

OnProgress = Callable[[int, int | None], object]
"""Called with the number of bytes so far, and of all if the server has said it."""


def download(
    url: str, path: Path, *, sha256: str = "", most: int = MOST_BYTES, on_progress: OnProgress | None = None
) -> None:
    """Write what an address answers to a new file; `path` is incomplete if this fails, and up to the caller.

    Args:
        url: https, or http on this machine.
        path: the file.
        sha256: expected SHA-256, hexadecimal; empty: any.
        most: the largest number of bytes.
        on_progress: called from time to time.

    Raises:
        ModelError: the address is refused, cannot be reached or answers with something else; one line.
        OSError: the file cannot be written.
    """
    digest, done = hashlib.sha256(), 0
    with _opened(url) as response, path.open("xb") as file:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise ModelError(
                f"{url}: answers with a web page, expected the file of a model; give the address of the file itself"
            )
        length = _length(response, url, most)
        while piece := _read(response, url):
            done += len(piece)
            if done > most:
                raise _too_large(url, most)
            file.write(piece)
            digest.update(piece)
            if on_progress:
                on_progress(done, length)
    if length is not None and done != length:
        raise ModelError(f"{url}: only {done:,} of {length:,} bytes arrived; try again")
    if not done:
        raise ModelError(f"{url}: answers with an empty file, expected a model; check the address")
    if sha256 and digest.hexdigest() != sha256.lower():
        raise ModelError(
            f"{url}: the SHA-256 of the file is {digest.hexdigest()}, expected {sha256.lower()}; it is another file "
            "than it should be, ask where the digest came from"
        )


def read_address(url: str, most: int) -> bytes:
    """What an address answers, at most that many bytes.

    Raises:
        ModelError: as `download`.
    """
    found = bytearray()
    with _opened(url) as response:
        length = _length(response, url, most)
        while piece := _read(response, url):
            found += piece
            if len(found) > most:
                raise _too_large(url, most)
    if length is not None and len(found) != length:
        raise ModelError(f"{url}: only {len(found):,} of {length:,} bytes arrived; try again")
    return bytes(found)


def check_address(url: str, came_from: str = "") -> None:
    """Refuse addresses that are not asked.

    Args:
        url: the address.
        came_from: the address that has redirected to it: what this machine alone can reach is no business of others.

    Raises:
        ModelError: not https, without a host, with a password in it, or a redirection to this machine.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host:
        raise ModelError(f"{url}: not the address of a file; give one such as https://example.org/mine.onnx")
    if parts.username or parts.password:
        raise ModelError(f"{host}: the address has a password in it, which would be stored; download the file yourself")
    here = _is_this_machine(host)
    if came_from and here and not _is_this_machine(urlsplit(came_from).hostname or ""):
        raise ModelError(f"{came_from}: redirects to this machine ({url}), which is refused; use another address")
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        by = f"{came_from} redirects to {url}" if came_from else url
        raise ModelError(f"{by}: {parts.scheme} is refused, expected https; use https, or download the file yourself")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirections, each only to an address that would be asked anyway."""

    max_redirections = MOST_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            check_address(newurl, req.full_url)
        except ModelError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _opened(url: str) -> Generator[http.client.HTTPResponse]:
    check_address(url)
    # A proxy could not reach this machine.
    proxies = {} if _is_this_machine(urlsplit(url).hostname or "") else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _Redirects)
    headers = {"User-Agent": f"translate/{__version__}", "Accept-Encoding": "identity"}
    try:
        request = urllib.request.Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers=headers)
        response = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise ModelError(f"{url}: the server says {error.code} {one_line(error.reason)}; {_advice(error)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        raise _unreachable(url, error) from None
    with response:
        yield response


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read(_PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, error) from None


def _length(response: http.client.HTTPResponse, url: str, most: int) -> int | None:
    """The number of bytes that the server promises, or None."""
    text = response.headers.get("Content-Length", "")
    if not text.isdecimal():
        return None
    if int(text) > most:
        raise _too_large(url, most)
    return int(text)


def _too_large(url: str, most: int) -> ModelError:
    return ModelError(
        f"{url}: larger than {most / 2**20:,.0f} MiB, the most that is read; check that it is the file of a model"
    )


def _unreachable(url: str, error: Exception) -> ModelError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    said = one_line(str(reason)) or type(reason).__name__
    return ModelError(
        f"{url}: cannot be read ({said}); check the address and the network, or download the file elsewhere and give "
        "its path"
    )


def _advice(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return "it may need a login: download the file in a browser and give its path"
    if 300 <= error.code < 400:
        return f"it redirects too often, expected are at most {MOST_REDIRECTS}; give the address of the file itself"
    return "try again later" if error.code >= 500 or error.code == 429 else "check the address"


def _is_this_machine(host: str) -> bool:
    """Whether a host is written as this machine: no name is looked up."""
    try:
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost")
