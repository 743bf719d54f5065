"""Conversion with Ray Data: in processes on this machine, or on all machines of a cluster.

Only the driver (the process that was started) lists pictures, decides what to convert and writes the manifest; an entry
is always written after its result. Actors, one per core or GPU, hold an Engine and convert one picture after another.
If a process dies, it is replaced and its pictures are retried by others, finally one by one, so that a picture that
crashes its process is identified and reported.

Pictures are submitted in rounds, since each Ray Data pipeline starts new actors and needs its complete list of items.
"""

import importlib
import logging
import math
import os
import pickle
import re
import socket
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from translate.conversion.destinations import Destination
from translate.conversion.folder import JobQueue
from translate.conversion.moving import FrameOptions
from translate.conversion.plan import Job
from translate.conversion.resume import WorkerResult, failed_result
from translate.conversion.sources import Source
from translate.conversion.worker import Conversion, Worker, convert_guarded
from translate.errors import ConfigError, ImageError, TranslateError, message_of, require
from translate.inference.devices import Device
from translate.inference.engine import Engine

ROUND_SIZE = 5_000
"""Pictures per actor in a round; starting the actors takes seconds, this many pictures take a minute or more."""

BLOCK_SIZE = 8
"""Pictures sent to an actor at once; the overhead of a block is that of one picture or less."""

BLOCKS_PER_ACTOR = 4
"""Minimum number of blocks per actor, if there are enough pictures, so that no actor is idle for long at the end."""

TRIES = 2
"""How many times a block is tried, and then each picture in it."""

CONNECT_SECONDS = 10.0
"""Timeout for connecting to a cluster."""


@dataclass(frozen=True)
class ActorConfig:
    """Everything an actor needs."""

    model: Any
    """Ray object reference to the model file's bytes; the machines of a cluster need not have the file."""
    device: Device
    tile: int | None
    batch: int | None
    share: int
    """Number of actors on one machine, which share its memory."""
    source: Source
    destination: Destination
    how: Conversion


class Actor:
    """A Ray actor that runs jobs."""

    def __init__(self, config: ActorConfig) -> None:
        ray: Any = importlib.import_module("ray")
        with TemporaryDirectory(prefix="translate-") as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(ray.get(config.model))
            engine = Engine(path, threads=1, device=config.device, tile=config.tile, batch=config.batch)
            engine.memory_bytes //= config.share
            self._worker = Worker(config.source, config.destination, engine, config.how, FrameOptions(workers=1))

    def __call__(self, block: Any) -> dict[str, list[Any]]:
        """Run a block of jobs; `block`: an Arrow table of numbers and pickled jobs."""
        results = [pickle.dumps(self.convert(pickle.loads(job))) for job in block["job"].to_pylist()]
        return {"number": block["number"].to_pylist(), "result": results}

    def convert(self, job: Job) -> WorkerResult | TranslateError:
        """Run one job. An error, which is returned because it has to be pickled, concerns every picture."""
        try:
            return convert_guarded(self._worker, job)
        except TranslateError as error:
            return error


class RayBackend:
    """Runs jobs on Ray, see `translate.conversion.folder.Backend`.

    `address`: of a cluster that this machine is part of, `auto` or HOST:PORT; None starts Ray on this machine and shuts
    it down afterwards, unless Ray is already running in this process. `device`: `auto` uses GPUs if the cluster has
    any, `cuda` requires them.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: this kind of address, or the device, is not supported.
    """

    def __init__(self, address: str | None = None, device: Device = "auto") -> None:
        require("ray", "ray")
        if address is not None and address.startswith("ray://"):
            raise ConfigError(
                f"--address {address}: Ray Data does not support Ray Client; run this on a machine of the cluster "
                "with --address auto"
            )
        if device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"--device {device} does not work with Ray; give auto, cpu or cuda")
        self._address, self._device = address, device

    def __call__(self, queue: JobQueue, worker: Worker, workers: int | None, count: int) -> None:
        """See `translate.conversion.folder.Backend`.

        Raises:
            ConfigError: no such cluster, or it does not have the requested device.
        """
        with _cluster(self._address) as ray:
            kind = self._kind(ray)
            available = int(ray.cluster_resources().get(kind, 0))
            actors = max(1, min(workers or available, available, count))
            machines = sum(node["Alive"] for node in ray.nodes())
            engine = worker.engine
            config = ActorConfig(
                model=ray.put(engine.path.read_bytes()),
                device="cuda" if kind == "GPU" else "cpu",
                tile=engine.tile,
                batch=engine.batch if kind == "CPU" else None,
                share=math.ceil(actors / machines),
                source=worker.source,
                destination=worker.destination,
                how=worker.how,
            )
            # A new iterator for each round: where a round ends at the limit, pictures found to be done make room again.
            while batch := list(islice(iter(queue.next, None), ROUND_SIZE * actors)):
                self._round(ray, dict(enumerate(batch)), queue, config, actors)

    def _kind(self, ray: Any) -> Literal["CPU", "GPU"]:
        gpus = ray.cluster_resources().get("GPU", 0) >= 1
        if self._device == "cuda" and not gpus:
            raise ConfigError("--device cuda: Ray has no GPU; omit it, or start Ray on a machine with one")
        return "GPU" if gpus and self._device != "cpu" else "CPU"

    def _round(self, ray: Any, remaining: dict[int, Job], queue: JobQueue, config: ActorConfig, actors: int) -> None:
        """Run a round of jobs; those in blocks that failed are retried one by one."""
        block = max(1, min(BLOCK_SIZE, len(remaining) // (BLOCKS_PER_ACTOR * actors)))
        for size in (block, 1):
            for number, done in _run_jobs(ray, remaining, size, config, actors):
                if isinstance(done, TranslateError):
                    raise done
                queue.done(remaining.pop(number), done)
            if not remaining:
                return
        for job in remaining.values():
            error = ImageError(
                f"the process that converted it died {TRIES} times, perhaps out of memory; make the picture smaller, "
                "use fewer --workers, or exclude it"
            )
            queue.done(job, WorkerResult(failed_result(config.source.title(job.item.name), error), job.target))


def _run_jobs(
    ray: Any, jobs: dict[int, Job], size: int, config: ActorConfig, actors: int
) -> Iterator[tuple[int, WorkerResult | TranslateError]]:
    """Yield job numbers and results as they arrive; jobs whose process died are missing."""
    data = ray.data
    rows = [{"number": number, "job": pickle.dumps(job)} for number, job in jobs.items()]
    context = data.DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # missing blocks are handled by the caller
    with data.DataContext.current(context), warnings.catch_warnings():
        # There is no other way yet to limit the number of retries, which is otherwise infinite.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        blocks = data.from_items(rows, override_num_blocks=math.ceil(len(rows) / size)).map_batches(
            Actor,
            fn_constructor_args=(config,),
            batch_size=None,
            batch_format="pyarrow",
            # One by one, since a task that waits in a dying actor fails with it, and would be blamed too.
            compute=data.ActorPoolStrategy(
                size=min(actors, len(rows)), max_tasks_in_flight_per_actor=1 if size == 1 else None
            ),
            num_cpus=1,
            num_gpus=1 if config.device == "cuda" else 0,
            max_restarts=-1,
            max_task_retries=TRIES - 1,
        )
    for block in blocks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for number, result in zip(block["number"].to_pylist(), block["result"].to_pylist(), strict=True):
            yield number, pickle.loads(result)


@contextmanager
def _cluster(address: str | None) -> Generator[Any]:
    """Connect to Ray and silence it, since scripts read our output."""
    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}.items():
        os.environ.setdefault(name, value)
    ray: Any = importlib.import_module("ray")
    importlib.import_module("ray.data")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    mine = not ray.is_initialized()
    if mine:
        try:
            _connect(ray, address)
        except (OSError, RuntimeError, ValueError) as error:
            reason = message_of(error, most=200)
            raise ConfigError(
                f"--address {address}: cannot connect to Ray ({reason}); start it with `ray start --head`"
            ) from None
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    place = re.search(r"([^/:]+):(\d+)$", address or "")
    if place:  # Ray itself would keep trying for many minutes
        socket.create_connection((place[1], int(place[2])), CONNECT_SECONDS).close()
    with _silent(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tip: In future versions of Ray")
        options = {} if address else {"include_dashboard": False}
        ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **options)


@contextmanager
def _silent() -> Generator[None]:
    """Suppress output that bypasses Python and goes straight to standard error, as from Ray's core at startup."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
