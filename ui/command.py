"""The command `translate ui`."""

import getpass
import importlib
import inspect
import ipaddress
import os
import re
import shlex
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from translate.credentials.identity import OFF, ON, identity_of
from translate.credentials.sign import check_credentials
from translate.errors import ConfigError, MissingExtra, ModelError, TranslateError, one_line, require
from translate.inference.engine import Device, Engine
from translate.inference.models import checked_folder, resolve, shipped, user_folder
from translate.options import parse_duration, parse_options, text_option
from ui import files
from ui.batch.jobs import KEEP_SECONDS, JobStore, default_folder
from ui.batch.worker import JobWorker
from ui.model import Model, models_of
from ui.models.registry import Registry
from ui.serving.accounts import Accounts, hash_password
from ui.site import Limits, Site
from ui.training.data_root import DataRoot
from ui.training.runs import Runs

if TYPE_CHECKING:
    from ui.serving.server import Application, Server


@dataclass(frozen=True, kw_only=True)
class UiOptions:
    """Open a web page for drawing or uploading pictures and translating them. Press Ctrl-C to stop."""

    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE.onnx", help_behavior_hint="(default: all)")] = ()
    """One or more names of models (see `translate models`) or files written by `translate export`."""
    host: str = "127.0.0.1"
    """Address to listen on. 127.0.0.1 is this machine only; 0.0.0.0 is the whole network and needs --auth-file or
    --without-password."""
    port: int = 7860
    """Port to listen on, 1 to 65535."""
    root_path: Annotated[str, tyro.conf.arg(metavar="/PATH", help_behavior_hint="(default: none)")] = ""
    """Path of the public address behind a reverse proxy, as /tool in https://example.org/tool/."""
    auth_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """File of lines NAME:PASSWORD; everything but /healthz needs one of them."""
    without_password: tyro.conf.FlagCreatePairsOff[bool] = False
    """Let everyone who reaches --host use the page."""
    hash_password: tyro.conf.FlagCreatePairsOff[bool] = False
    """Read a password, print its hash for --auth-file, and end."""
    max_upload_mb: int = Limits.upload_bytes // 1000**2
    """Maximum size of an uploaded file in MB."""
    max_pixels: int = Limits.pixels
    """Maximum width * height of an uploaded picture, all frames and pages together."""
    concurrency: int = Limits.at_once
    """Number of pictures that are converted at the same time; more need more memory."""
    queue_size: int = Limits.waiting
    """Maximum number of requests that wait for that; further ones are refused."""
    mcp: tyro.conf.FlagCreatePairsOff[bool] = False
    """Offer tools for language models at /mcp (needs the extra mcp)."""
    credentials: Annotated[
        str, tyro.conf.arg(metavar="on|off|PATH", help_behavior_hint="(default: on, with the extra credentials)")
    ] = ""
    """Put signed content credentials (C2PA) into results, unless a user switches that off for a download; PATH as in
    `translate convert`."""
    device: Device = "auto"
    """Where to run the models; auto uses a GPU if a working one is found, otherwise the CPU."""
    open: bool = True
    """Open the page in the browser."""
    jobs_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: per user)")] = None
    """Where batches are kept, with their files; they outlive the page. One server at a time works on them."""
    keep_jobs: Annotated[float, text_option("TIME", parse_duration, lambda seconds: f"{seconds / 86400:g}d")] = (
        KEEP_SECONDS
    )
    """Time after which a batch that has ended is removed, such as 12h or 7d."""
    models_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: per user)")] = None
    """Offer every .onnx file of this folder too, also those that come while the page runs. Default: the models that
    `translate models add` has added, unless --model is given."""
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
            ConfigError: one is out of range, or the network would get in without a password.
        """
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port} is out of range; give 1 to 65535 (7860 is usual)")
        if not re.fullmatch(r"(/[\w.~-]+)*/?", self.root_path):
            raise ConfigError(f"--root-path {self.root_path} is no path; write it as /tool")
        for name in ("max_upload_mb", "max_pixels", "concurrency", "queue_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)} is too small; give 1 or more")
        if not (self.auth_file or self.without_password or self.hash_password or is_loopback(self.host)):
            raise ConfigError(
                f"--host {self.host} lets the network in without a password; give --auth-file FILE, "
                "or --without-password if everyone may use the page"
            )
        if self.allow_training != (self.data_root is not None):
            raise ConfigError("--allow-training and --data-root DIR belong together; give both, or neither")
        if self.training_options and not self.allow_training:
            raise ConfigError("--training-options has no effect without --allow-training; add that, or leave it out")
        try:
            shlex.split(self.training_options)
        except ValueError as error:
            raise ConfigError(
                f"--training-options {self.training_options} cannot be read ({error}); write it as in a shell"
            ) from None


def _with_training_options(argv: list[str]) -> list[str]:
    """Join `--training-options` and its value with =: alone, a value that begins with dashes looks like an option."""
    name = "--training-options"
    if name not in argv[:-1]:
        return argv
    at = argv.index(name)
    return [*argv[:at], f"{name}={argv[at + 1]}", *argv[at + 2 :]]


def main(argv: list[str]) -> int:
    """Serve the page until Ctrl-C or SIGTERM, the normal ways to stop it; returns 0.

    Pictures in work are finished first, within `STOP_SECONDS` of the server; a second Ctrl-C does not wait for them.
    """
    options = parse_options(UiOptions, _with_training_options(argv), "translate ui")
    if options.hash_password:
        sys.stdout.write(f"{hash_password(_typed_password())}\n")
        return 0
    accounts = Accounts.read(options.auth_file) if options.auth_file else None
    if options.mcp:
        require("mcp", "mcp")
    check_free(options.host, options.port)
    credentials = _credentials(options.credentials)
    runs = _runs(options)
    folder = checked_folder(options.models_dir) if options.models_dir else None
    models = models_of(load(options.model, options.device, folder))
    registry = _registry(options, models, runs)
    jobs = JobStore(options.jobs_dir or default_folder(), options.keep_jobs)
    if not jobs.lock():
        sys.stderr.write(f"another server works on the batches in {jobs.folder}; this one only shows them\n")
    for name in ("SIGTERM", "SIGHUP"):  # the second: the terminal was closed
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    # Drawings and results are private: they are kept in a temporary folder that is deleted when the page is closed.
    with tempfile.TemporaryDirectory(prefix="translate-ui-", ignore_cleanup_errors=True) as cache:
        os.environ["GRADIO_TEMP_DIR"] = cache
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # Gradio would check its own page through a configured proxy; this program makes no other requests.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
        # Here because it takes seconds and reads the variables above.
        import_gradio()
        from ui.serving.server import Server

        limits = Limits(
            upload_bytes=options.max_upload_mb * 1000**2,
            pixels=options.max_pixels,
            at_once=options.concurrency,
            waiting=options.queue_size,
        )
        site = Site(models, Path(cache), limits, jobs, registry=registry, runs=runs, credentials=credentials)
        app = application(options, site, accounts)
        worker = JobWorker(jobs, site.precedence, options.device)
        try:
            worker.start()
            files.READER.start()
            finished = serve_until_interrupted(Server(app, options.host, options.port), options.open)
        finally:
            worker.close()
            jobs.close()
            files.READER.close()
    if not finished:
        os._exit(0)  # threads that compute would be waited for
    return 0


def import_gradio() -> None:
    """Import Gradio, without two things that take most of the time and that the page has no use for: the comparison of
    a stub file with the source of every component, and the package mcp, which Gradio imports wherever it is."""

    def no_file(_: object) -> str:
        raise OSError  # as for a component without a source

    getfile, unused = inspect.getfile, "mcp" not in sys.modules
    inspect.getfile = no_file
    if unused:
        sys.modules["mcp"] = None  # pyright: ignore[reportArgumentType] - it cannot be imported now
    try:
        importlib.import_module("gradio")
    finally:
        inspect.getfile = getfile
        if unused:
            del sys.modules["mcp"]


def application(options: UiOptions, site: Site, accounts: Accounts | None) -> "Application":
    """The page with everything that is served beside it."""
    from ui.app import build_page, looks, more_routes
    from ui.batch.routes import Batches
    from ui.serving.programs import Programs
    from ui.serving.server import Application
    from ui.sketch.routes import Studio

    page, programs = build_page(site), Programs(site)
    programs.publish(page)
    routes, running = [*Studio(site).routes(), *programs.routes(), *more_routes(site)], []
    if site.jobs is not None:
        routes += Batches(site, site.jobs).routes()
    if options.mcp:
        from ui.serving.mcp_tools import server

        mcp = server(site, programs, any_host=accounts is not None or not is_loopback(options.host))
        routes += mcp.streamable_http_app().routes
        running.append(mcp.session_manager.run())
    root_path = options.root_path.rstrip("/")
    return Application(page, routes, site, looks=looks(), accounts=accounts, root_path=root_path, running=running)


def serve_until_interrupted(server: "Server", open_browser: bool) -> bool:
    """Serve until Ctrl-C; whether everything in work was finished."""
    try:
        server.start()
        sys.stdout.write(f"The page is open at {server.address} (press Ctrl-C to stop)\n")
        sys.stdout.flush()
        if open_browser:
            webbrowser.open(server.address)
        stop = threading.Event()
        while not stop.wait(1):  # without a timeout, Windows would not notice Ctrl-C
            pass
    except KeyboardInterrupt:
        pass
    try:
        return server.stop()
    except KeyboardInterrupt:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; False for a name that is not known."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def _typed_password() -> str:
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise ConfigError("no password was given; type one")
    return password


def _credentials(wanted: str) -> str:
    """What signs results: as wanted; where nothing is said, the certificate of this machine, if that can be had."""
    check_credentials(wanted or OFF)
    if wanted:
        return wanted
    try:
        check_credentials(ON)
        identity_of(ON)
    except MissingExtra:
        return OFF
    except ConfigError as error:
        sys.stderr.write(f"translate: results carry no content credentials: {one_line(str(error))}\n")
        return OFF
    return ON


def _runs(options: UiOptions) -> Runs | None:
    """The trainings of the page, or None where they are not allowed."""
    if options.data_root is None:
        return None
    models = options.models_dir or options.runs_dir / "models"
    return Runs(DataRoot(options.data_root), options.runs_dir, models, shlex.split(options.training_options))


def _registry(options: UiOptions, models: list[Model], runs: Runs | None) -> Registry | None:
    """What offers the models of folders; says once which files there are none of ours."""
    folders = [checked_folder(options.models_dir)] if options.models_dir else []
    if not (options.model or options.models_dir):
        folders.append(user_folder())
    if runs and runs.models not in folders:
        folders.append(runs.models)
    if not folders:
        return None
    registry = Registry(models, folders, options.device)
    for line in registry.look():
        sys.stderr.write(f"translate: {one_line(line)}\n")
    return registry


def load(models: Sequence[str], device: Device, models_dir: Path | None = None) -> list[tuple[Engine, Path]]:
    """Return the engines for `models`, or for every shipped model if none are given.

    Each comes with the folder `samples` next to the model file, which need not exist. Names are looked up in
    `models_dir`, or the user's folder.

    Raises:
        ModelError: no such model, or none given and none shipped.
    """
    paths = [resolve(name, models_dir=models_dir) for name in (models or [entry.name for entry in shipped()])]
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
