"""Pictures converted by Ray Data: in processes of this machine, or on all machines of a cluster.

The driver, the process that was started, lists pictures, settles what is to be made and notes what is done, alone; a
line in the manifest always comes after its result. Actors, one for each core or GPU, hold an Engine and make one
picture after another. A process that dies is replaced and what it had in hand made again, by others, at last picture by
picture, so that the one that kills its process is found out and named.

Pictures go to Ray in rounds, since each run of Ray Data starts its actors anew, and wants its list whole.
"""

import importlib
import logging
import math
import os
import pickle
import re
import socket
import traceback
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from translate.conversion import Conversion, Worker
from translate.convert import Orders
from translate.destinations import Destination
from translate.engine import Engine
from translate.errors import ConfigError, ImageError
from translate.extras import require
from translate.ledger import Made, Order, failure
from translate.moving import FrameWork
from translate.session import Device
from translate.sources import Source

ROUND = 5_000
"""Pictures for each actor in a round; starting the actors takes seconds, this many pictures a minute or more."""

BLOCK = 8
"""Pictures that an actor is handed at once; the overhead of a block is that of a picture or less."""

BLOCKS_PER_ACTOR = 4
"""At least, where there are pictures enough, so that no actor is idle for long while another finishes."""

TRIES = 2
"""How often a block is begun, and then each picture of it."""

CONNECT_SECONDS = 10.0
"""Until a cluster must have answered."""


@dataclass(frozen=True)
class Kit:
    """What an actor is made of."""

    model: Any
    """Reference to the bytes of the model's file, which machines of a cluster need not have."""
    device: Device
    tile: int | None
    batch: int | None
    share: int
    """Actors on one machine, who share its memory."""
    source: Source
    destination: Destination
    how: Conversion


class Maker:
    """An actor: makes what is ordered."""

    def __init__(self, kit: Kit) -> None:
        ray: Any = importlib.import_module("ray")
        with TemporaryDirectory(prefix="translate-") as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(ray.get(kit.model))
            engine = Engine(path, threads=1, device=kit.device, tile=kit.tile, batch=kit.batch)
        engine.memory_bytes //= kit.share
        self._worker = Worker(kit.source, kit.destination, engine, kit.how, FrameWork(workers=1))

    def __call__(self, block: Any) -> dict[str, list[Any]]:
        """Make a block of orders; `block`: an Arrow table of numbers and pickled orders."""
        made = [pickle.dumps(self.make(pickle.loads(order))) for order in block["order"].to_pylist()]
        return {"number": block["number"].to_pylist(), "made": made}

    def make(self, order: Order) -> Made | str:
        """Make one; a text is the traceback of a bug, which not every exception would carry over."""
        try:
            return self._worker.make(order)
        except Exception:
            return traceback.format_exc()


class RayBackend:
    """Works orders off on Ray, see `translate.convert.Backend`.

    `address`: of a cluster that this machine is part of, `auto` or HOST:PORT; None starts one in this machine and ends
    it afterwards, unless Ray is running in this process already. `device`: `auto` takes GPUs if the cluster has any,
    `cuda` insists on them.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: such an address cannot be used.
    """

    def __init__(self, address: str | None = None, device: Device = "auto") -> None:
        require("ray", "ray")
        if address is not None and address.startswith("ray://"):
            raise ConfigError(
                f"--address {address}: Ray Data does not work from outside; run this on a machine of the cluster, "
                "with --address auto"
            )
        self._address, self._device = address, device

    def __call__(self, orders: Orders, worker: Worker, workers: int | None, count: int) -> None:
        """See `translate.convert.Backend`.

        Raises:
            ConfigError: no such cluster, or it has not what was asked for.
        """
        with _cluster(self._address) as ray:
            kind = self._kind(ray)
            there = int(ray.cluster_resources().get(kind, 0))
            actors = max(1, min(workers or there, there, count))
            machines = sum(node["Alive"] for node in ray.nodes())
            engine = worker.engine
            kit = Kit(
                ray.put(engine.path.read_bytes()),
                "cuda" if kind == "GPU" else "cpu",
                engine.tile,
                engine.batch if kind == "CPU" else None,
                math.ceil(actors / machines),
                worker.source,
                worker.destination,
                worker.how,
            )
            ordered = iter(orders.next, None)
            while some := list(islice(ordered, ROUND * actors)):
                self._round(ray, dict(enumerate(some)), orders, kit, actors)

    def _kind(self, ray: Any) -> Literal["CPU", "GPU"]:
        gpus = ray.cluster_resources().get("GPU", 0) >= 1
        if self._device == "cuda" and not gpus:
            raise ConfigError("--device cuda: Ray has no GPU; leave it out, or start Ray where there is one")
        return "GPU" if gpus and self._device != "cpu" else "CPU"

    def _round(self, ray: Any, left: dict[int, Order], orders: Orders, kit: Kit, actors: int) -> None:
        """Work off some orders; what is left of them after a block was given up is tried alone."""
        block = max(1, min(BLOCK, len(left) // (BLOCKS_PER_ACTOR * actors)))
        for size in (block, 1):
            for number, made in _made(ray, left, size, kit, actors):
                if isinstance(made, str):
                    raise RuntimeError(f"in a worker of Ray:\n{made}")
                orders.done(left.pop(number), made)
            if not left:
                return
        for order in left.values():
            why = ImageError(
                f"the process that converted it ended {TRIES} times, perhaps for want of memory; make it smaller, "
                "take fewer --workers or leave it out"
            )
            orders.done(order, Made(failure(kit.source.title(order.item.name), why), order.target))


def _made(ray: Any, orders: dict[int, Order], size: int, kit: Kit, actors: int) -> Iterator[tuple[int, Made | str]]:
    """Numbers of orders and what was made of them, as it comes; those whose processes have died are missing."""
    data = ray.data
    rows = [{"number": number, "order": pickle.dumps(order)} for number, order in orders.items()]
    context = data.DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # what is missing is seen here
    with data.DataContext.current(context), warnings.catch_warnings():
        # It has no other way yet to say how often a task is begun; without that it is for ever.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        blocks = data.from_items(rows, override_num_blocks=math.ceil(len(rows) / size)).map_batches(
            Maker,
            fn_constructor_args=(kit,),
            batch_size=None,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=min(actors, len(rows))),
            num_cpus=1,
            num_gpus=1 if kit.device == "cuda" else 0,
            max_restarts=-1,
            max_task_retries=TRIES - 1,
        )
    for found in blocks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for number, made in zip(found["number"].to_pylist(), found["made"].to_pylist(), strict=True):
            yield number, pickle.loads(made)


@contextmanager
def _cluster(address: str | None) -> Generator[Any]:
    """Ray, connected; it says nothing, since scripts read our output."""
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
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"--address {address}: no Ray there ({reason}); `ray start --head` starts one") from None
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    place = re.search(r"([^/:]+):(\d+)$", address or "")
    if place:  # Ray itself would try for many minutes
        socket.create_connection((place[1], int(place[2])), CONNECT_SECONDS).close()
    with _silent(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tip: In future versions of Ray")
        options = {} if address else {"include_dashboard": False}
        ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **options)


@contextmanager
def _silent() -> Generator[None]:
    """Without what is written to standard error past Python, as Ray's core does when it begins."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
