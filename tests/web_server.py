"""A web server on this machine that answers as a test wants."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What the server says to a request for a path."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    length: int | None = -1
    """The Content-Length: None for no such header, -1 for the true one."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@contextmanager
def answering(answers: Mapping[str, Answer]) -> Generator[str]:
    """Serve the paths in `answers`, others with 404; yields the address, without a slash at its end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path, Answer(b"no such page", 404))
            self.send_response(answer.status)
            length = len(answer.body) if answer.length == -1 else answer.length
            for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
                self.send_header(name, value)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with listening(Handler) as address:
        yield address


@contextmanager
def listening(handler: Callable[..., BaseHTTPRequestHandler]) -> Generator[str]:
    """Serve with a handler; yields the address, without a slash at its end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
