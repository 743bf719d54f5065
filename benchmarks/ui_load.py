"""The page under load: many clients at once, compared with one alone.

Starts the page on this machine and asks it over the loopback interface only: half of the requests are drawings while
they are drawn, each client in a tab of its own, the other half are files to convert. Every client sends one request
after the other. One picture is computed at a time, so with N clients a request takes about N times as long as alone;
the table says how many times. A request fails if its answer is not a picture.

    python benchmarks/ui_load.py
    python benchmarks/ui_load.py --clients 10 --requests 100 --concurrency 2
"""

import argparse
import asyncio
import io
import itertools
import os
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import numpy as np
from PIL import Image
from served import served

SIDE = 512
MOST_CLIENTS, MOST_REQUESTS = 200, 10_000

Ask = Callable[[int], Awaitable[bool]]
"""Number of the client -> whether a picture came back."""


@dataclass
class Times:
    """Of one kind of request."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def share(self, percent: int) -> float:
        """Percentile of the seconds."""
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


def drawing() -> bytes:
    sheet_HW = np.full((SIDE, SIDE), 255, np.uint8)
    sheet_HW[50:460, 50:54] = sheet_HW[50:460, 458:462] = sheet_HW[50:54, 50:462] = sheet_HW[456:460, 50:462] = 0
    file = io.BytesIO()
    Image.fromarray(sheet_HW).save(file, "PNG")
    return file.getvalue()


def kinds(web: httpx.AsyncClient, model: str) -> dict[str, Ask]:
    """The two kinds of requests."""
    sheet, numbers = drawing(), itertools.count(1)

    async def live(client: int) -> bool:
        answer = await web.post(f"/sketch/live/client-{client}/{next(numbers)}", content=sheet)
        return answer.status_code == 200 and answer.content[:2] == b"\xff\xd8"

    async def convert(_: int) -> bool:
        answer = await web.post("/api/convert", data={"model": model}, files={"picture": ("sheet.png", sheet)})
        return answer.status_code == 200 and answer.content[:4] == b"\x89PNG"

    return {"live drawing": live, "convert": convert}


async def load(asks: dict[str, Ask], clients: int, requests: int) -> tuple[dict[str, Times], float]:
    """Let clients send requests, of one kind and the other in turns; times by kind, and seconds in all."""
    found = {name: Times() for name in asks}
    left = iter(range(requests))

    async def client(number: int) -> None:
        for request in left:
            name = list(asks)[request % len(asks)]
            begun = time.perf_counter()
            try:
                good = await asks[name](number)
            except httpx.HTTPError:
                good = False
            found[name].seconds.append(time.perf_counter() - begun)
            found[name].failed += not good

    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return found, time.perf_counter() - begun


async def memory_mib(web: httpx.AsyncClient) -> float:
    """Memory of the server's process; 0 where it is not known."""
    found = re.search(r"^process_resident_memory_bytes (\S+)", (await web.get("/metrics")).text, re.MULTILINE)
    return float(found[1]) / 2**20 if found else 0.0


async def measure(address: str, options: argparse.Namespace) -> int:
    """Print the table; the number of requests that failed."""
    limits = httpx.Limits(max_connections=options.clients)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits, trust_env=False) as web:
        asks = kinds(web, options.model)
        await load(asks, 1, 10)  # what happens only once
        alone, seconds_alone = await load(asks, 1, options.alone)
        await load(asks, options.clients, 2 * options.clients)  # buffers of every connection
        memory = [await memory_mib(web)]
        together: dict[str, Times] = {name: Times() for name in asks}
        seconds = 0.0
        for _ in range(4):
            part, took = await load(asks, options.clients, options.requests // 4)
            seconds += took
            for name, times in part.items():
                together[name].seconds += times.seconds
                together[name].failed += times.failed
            memory.append(await memory_mib(web))
    count = options.requests // 4 * 4
    print(f"{options.clients} clients, {count} requests; alone: {options.alone} requests of one client")
    print(f"{'':14}{'alone p50':>11}{'p50':>9}{'p95':>9}{'p50/alone':>11}{'p95/alone':>11}{'failed':>8}")
    for name, times in together.items():
        single, half, most = alone[name].share(50), times.share(50), times.share(95)
        print(
            f"{name:14}{1000 * single:8.0f} ms{1000 * half:6.0f} ms{1000 * most:6.0f} ms"
            f"{half / single:11.1f}{most / single:11.1f}{times.failed:8}"
        )
    rate = count / seconds / (options.alone / seconds_alone)
    print(f"requests per second over those of one client: {rate:.2f}")
    print(
        f"memory of the server: {memory[0]:.0f} MiB before, {max(memory):.0f} MiB at most after each quarter;"
        f" ratio {max(memory) / memory[0] if memory[0] else 0:.2f}"
    )
    return sum(times.failed for times in (*together.values(), *alone.values()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sketch-to-photo", help="name of a shipped model whose input is drawn")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--alone", type=int, default=40, help="requests of the single client")
    parser.add_argument("--concurrency", type=int, default=1, help="as in translate ui")
    options = parser.parse_args()
    if not 1 <= options.clients <= MOST_CLIENTS or not 8 <= options.requests <= MOST_REQUESTS or options.alone < 4:
        parser.error(f"give 1 to {MOST_CLIENTS} clients, 8 to {MOST_REQUESTS} requests, and 4 or more --alone")
    os.environ["NO_PROXY"] = "*"
    settings = ["--concurrency", str(options.concurrency), "--queue-size", str(options.clients)]
    with served("--model", options.model, *settings) as address:
        return min(1, asyncio.run(measure(address, options)))


if __name__ == "__main__":
    sys.exit(main())
