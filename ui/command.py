"""The command `translate ui`."""

import os
import shlex
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

from translate.errors import ConfigError, ModelError, TranslateError, one_line
from translate.inference.engine import Device, Engine
from translate.inference.models import resolve, shipped
from translate.options import parse_options
from ui.data_root import DataRoot
from ui.model import Model, models_of
from ui.registry import Registry, checked_folder
from ui.runs import Runs


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
    models_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Offer every .onnx file of this folder too, also those that come while the page runs."""
    allow_training: bool = False
    """Let everybody who can open the page train models on this machine."""
    data_root: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """With --allow-training: folder whose subfolders may be trained on."""
    runs_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs")
    """With --allow-training: where trainings and their models are kept."""
    training_options: Annotated[str, tyro.conf.arg(metavar="OPTIONS")] = ""
    """With --allow-training: more options for every `translate train`, for example "--device cpu --threads 2"."""

    def __post_init__(self) -> None:
        """Validate the options.

        Raises:
            ConfigError: the port is out of range.
        """
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port} is out of range; give 1 to 65535 (7860 is usual)")
        if self.allow_training != (self.data_root is not None):
            raise ConfigError("--allow-training and --data-root DIR belong together; give both, or neither")


def main(argv: list[str]) -> int:
    """Serve the page until Ctrl-C, the normal way to stop it; returns 0."""
    options = parse_options(UiOptions, argv, "translate ui")
    check_free(options.host, options.port)
    runs = _runs(options)
    models = models_of(load(options.model, options.device))
    registry = _registry(options, models, runs)
    # Drawings and results are private: they are kept in a temporary folder that is deleted when the page is closed.
    with tempfile.TemporaryDirectory(prefix="translate-ui-", ignore_cleanup_errors=True) as cache:
        os.environ["GRADIO_TEMP_DIR"] = cache
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # Gradio would check its own page through a configured proxy; this program makes no other requests.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
        # Imported here because it takes seconds and reads the variables above.
        from ui.app import build_page, more_routes, serve
        from ui.routes import Studio
        from ui.site import Site

        site = Site(models, Path(cache), registry, runs)
        page, routes = build_page(site), [*Studio(site).routes(), *more_routes(site)]
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
    return 0


def _runs(options: UiOptions) -> Runs | None:
    """The trainings of the page, or None where they are not allowed."""
    if options.data_root is None:
        return None
    models = options.models_dir or options.runs_dir / "models"
    return Runs(DataRoot(options.data_root), options.runs_dir, models, shlex.split(options.training_options))


def _registry(options: UiOptions, models: list[Model], runs: Runs | None) -> Registry | None:
    """What offers the models of folders; says once which files there are none of ours."""
    folders = [checked_folder(options.models_dir)] if options.models_dir else []
    if runs and runs.models not in folders:
        folders.append(runs.models)
    if not folders:
        return None
    registry = Registry(models, folders, options.device)
    for line in registry.look():
        sys.stderr.write(f"translate: {one_line(line)}\n")
    return registry


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
