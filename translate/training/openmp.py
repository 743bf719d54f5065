"""Chooses the number of CPU threads for training and how they wait for each other, by the load of the machine.

OpenMP, which torch uses for parallelism, makes idle threads wait actively: they spin and keep a core busy, in order to
continue at once. On idle cores that is fastest. If other programs need the cores, the spinning threads take them away
from the threads that do the work, and a step takes several times as long; then a single thread, which never waits, is
best. So no more threads are started than there are idle cores.

OpenMP reads its environment variables when it is loaded, so the choice is made before torch is imported.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from math import floor
from pathlib import Path

from translate.machine import MOST_THREADS, allowed, cores

NUMBERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables for the number of threads; if both are set, torch uses the second."""

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables for how threads wait: of OpenMP, of GNU's runtime (in torch for Linux) and of LLVM's."""

INTERVAL = 0.5
"""Seconds over which the load is measured."""

NEGLIGIBLE = 0.25
"""Load of a core, 0 to 1, up to which it counts as idle, because no machine is completely idle."""

_GPUS = ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""Device files on Linux of a GPU of NVIDIA, of AMD, and of either in WSL."""


@dataclass(frozen=True)
class Threads:
    """The choice."""

    count: int
    """Number of threads; 0 leaves it unchanged."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables to set before torch is imported."""
    line: str = ""
    """The choice in words; empty if there was none to make."""


def prepare(argv: Sequence[str], environment: MutableMapping[str, str] = os.environ) -> Threads:
    """Choose for the command line `argv` of `translate train TASK`, and set the variables.

    Nothing is chosen for a GPU, for `--help`, or if torch is already loaded; `--threads N` always applies.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--threads", type=int, default=0)
    early.add_argument("--device")
    early.add_argument("--resume", action="store_true")
    early.add_argument("--out", type=Path)
    try:
        found, _ = early.parse_known_args(argv)
    except argparse.ArgumentError:  # tyro reports it later
        return Threads(0)
    if {"-h", "--help"} & set(argv) or not found.threads <= MOST_THREADS:
        return Threads(0)
    device = found.device or (_saved_device(found.out) if found.resume and found.out else "auto")
    loaded = "torch" in sys.modules
    if found.threads < 1 and (loaded or device == "cuda" or (device == "auto" and has_gpu(environment))):
        return Threads(0)
    chosen = choose(found.threads, environment, busy_cores)
    if not loaded:
        environment.update(chosen.environment)
    return chosen


def choose(asked: int, environment: Mapping[str, str], busy: Callable[[], float | None]) -> Threads:
    """Choose the number of threads and how they wait.

    `asked` takes precedence over the user's environment variables, and these over the load. Threads wait actively,
    OpenMP's default, if there are no more of them than idle cores, otherwise passively. Several processes started by
    torchrun on this machine share the cores and wait passively, because they compete with each other.

    Args:
        asked: number of threads; below 1: by the load.
        environment: the environment variables of the process.
        busy: measures how many cores are busy; returns None if that is unknown.
    """
    together = max(1, int(environment.get("LOCAL_WORLD_SIZE", "1")))
    usable = max(1, cores() // together)
    count, by = (asked, "--threads") if asked >= 1 else _number_of_user(environment)
    why = f"by {by}"
    policy = next((name for name in POLICIES if name in environment), "")
    load = None if together > 1 or count == 1 or (count and policy) else busy()
    idle = None if load is None else allowed() - load
    if not count:
        if idle is None:
            count = usable
            why = f"{together} processes share {cores()} cores" if together > 1 else "how busy the cores are is unknown"
        else:
            count = max(1, min(usable, floor(idle + NEGLIGIBLE)))
            why = f"{load:.1f} of {allowed()} cores are busy with other work (--threads N: take N)"
    passive = not policy and count > 1 and (idle is None or count > floor(idle + NEGLIGIBLE))
    changes = {} if by in NUMBERS else {"OMP_NUM_THREADS": str(count)}
    waiting = f" with {policy}={environment[policy]}" if policy else " that wait passively" if passive else ""
    return Threads(
        count,
        changes | ({"OMP_WAIT_POLICY": "passive"} if passive else {}),
        f"{count} thread{'s' if count > 1 else ''}{waiting}: {why}",
    )


def _number_of_user(environment: Mapping[str, str]) -> tuple[int, str]:
    for name in reversed(NUMBERS):
        first = environment.get(name, "").split(",")[0].strip()  # one number a level of nesting
        if first.isdecimal() and int(first):
            return int(first), name
    return 0, ""


def busy_cores(seconds: float = INTERVAL, stat: Path = Path("/proc/stat")) -> float | None:
    """How many of the cores available to this process are busy with other work; None if that is unknown.

    Linux counts the busy time of each core, including time stolen by other guests of a hypervisor; it is measured over
    `seconds`, during which this process sleeps. On other systems it is the load average of the last minute, which
    reacts slowly.
    """
    before = _busy_ticks(stat)
    if before is None:
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    time.sleep(seconds)
    after = _busy_ticks(stat)
    if after is None:
        return None
    gone = {core: sum(after[core]) - sum(before[core]) for core in before.keys() & after.keys()}
    return sum((after[core][0] - before[core][0]) / ticks for core, ticks in gone.items() if ticks > 0)


def _busy_ticks(stat: Path) -> dict[int, tuple[int, int]] | None:
    """(busy, idle) clock ticks of each core available to this process; None if unknown."""
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return None
    found: dict[int, tuple[int, int]] = {}
    ours = os.sched_getaffinity(0)
    for line in lines:
        name, *texts = line.split()
        if name.removeprefix("cpu").isdecimal() and int(name[3:]) in ours:
            # user nice system idle iowait irq softirq steal; guests' time is in user and nice already
            user, nice, system, idle, waiting, *rest = map(int, texts[:8])
            found[int(name[3:])] = (user + nice + system + sum(rest), idle + waiting)
    return found or None


def has_gpu(environment: Mapping[str, str]) -> bool:
    """Whether `--device auto` will find a GPU, as far as can be known without torch."""
    hidden = environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(path).exists() for path in _GPUS)


def _saved_device(out: Path) -> str:
    """The setting `device` of the run to resume."""
    try:
        return json.loads((out / "config.json").read_text(encoding="utf-8"))["device"]
    except (OSError, ValueError, KeyError, TypeError):
        return "auto"
