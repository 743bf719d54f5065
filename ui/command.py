"""The command `translate ui`."""

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from translate.errors import ConfigError, ModelError, TranslateError
from translate.inference.engine import Device, Engine
from translate.inference.models import resolve, shipped
from translate.options import parse_duration, parse_options, text_option
from ui.job_worker import JobWorker
from ui.jobs import KEEP_SECONDS, JobStore, default_folder
from ui.model import models_of


@dataclass(frozen=True, kw_only=True)
class UiOptions:
    """Open a web page for drawing or uploading pictures and translating them. Press Ctrl-C to stop."""

    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE.onnx", help_behavior_hint="(default: all)")] = ()
    """One or more names of shipped models (see `translate models`) or files written by `translate export`."""
    host: str = "127.0.0.1"
    """Address to listen on. 127.0.0.1 is this machine only; 0.0.0.0 gives the whole network access, without a
    password."""
    port: int = 7860
    """Port to listen on, 1 to 65535."""
    device: Device = "auto"
    """Where to run the models; auto uses an NVIDIA GPU if available."""
    open: bool = True
    """Open the page in the browser."""
    jobs_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: per user)")] = None
    """Where batches are kept, with their files; they outlive the page. One server at a time works on them."""
    keep_jobs: Annotated[float, text_option("TIME", parse_duration, lambda seconds: f"{seconds / 86400:g}d")] = (
        KEEP_SECONDS
    )
    """Time after which a batch that has ended is removed, such as 12h or 7d."""

    def __post_init__(self) -> None:
        """Validate the options.

        Raises:
            ConfigError: the port is out of range.
        """
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port} is out of range; give 1 to 65535 (7860 is usual)")


def main(argv: list[str]) -> int:
    """Serve the page until Ctrl-C, the normal way to stop it; returns 0."""
    options = parse_options(UiOptions, argv, "translate ui")
    check_free(options.host, options.port)
    engines = load(options.model, options.device)
    jobs = JobStore(options.jobs_dir or default_folder(), options.keep_jobs)
    if not jobs.lock():
        sys.stderr.write(f"another server works on the batches in {jobs.folder}; this one only shows them\n")
    # Drawings and results are private: they are kept in a temporary folder that is deleted when the page is closed.
    with tempfile.TemporaryDirectory(prefix="translate-ui-", ignore_cleanup_errors=True) as cache:
        os.environ["GRADIO_TEMP_DIR"] = cache
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # Gradio would check its own page through a configured proxy; this program makes no other requests.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
        # Imported here because it takes seconds and reads the variables above.
        from ui.app import build_page, serve
        from ui.batch_routes import Batches
        from ui.routes import Studio
        from ui.site import Site

        site = Site(models_of(engines), Path(cache), jobs)
        page, routes = build_page(site), [*Studio(site).routes(), *Batches(site, jobs).routes()]
        worker = JobWorker(jobs, site.precedence, options.device)
        worker.start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            address = serve(page, routes, options.host, options.port, open_browser=options.open)
            sys.stdout.write(f"The page is open at {address} (press Ctrl-C to stop)\n")
            sys.stdout.flush()
            stop = threading.Event()
            while not stop.wait(1):  # without a timeout, Windows would not notice Ctrl-C
                pass
        except KeyboardInterrupt:
            page.close(verbose=False)
        finally:
            worker.close()
            jobs.close()
    return 0


def load(models: Sequence[str], device: Device) -> list[tuple[Engine, Path]]:
    """Return the engines for `models`, or for every shipped model if none are given.

    Each comes with the folder `samples` next to the model file, which need not exist.

    Raises:
        ModelError: no such model, or none given and none shipped.
    """
    paths = [resolve(name) for name in (models or [entry.name for entry in shipped()])]
    if not paths:
        raise ModelError("no model is shipped with this version; give one with --model FILE.onnx")
    return [(Engine(path, device=device), path.parent / "samples") for path in paths]


def check_free(host: str, port: int) -> None:
    """Check that the address is available, before anything slow starts.

    Raises:
        TranslateError: it is in use, not allowed, or not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere the flag would allow sharing a port that is in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise TranslateError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); stop the program that uses it, or "
            "choose another --port (or --host)"
        ) from None
