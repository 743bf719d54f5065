"""How many threads a training on the CPU takes and how they wait for each other, by how busy the cores are.

OpenMP, by which torch shares work among threads, lets a thread that has nothing to do wait actively: it spins, and
keeps a core busy, so as to go on at once. On idle cores that is the fastest way. Where other programs want the cores,
the spinning threads take them from the ones that are waited for, and a step takes several times as long; there one
thread, which never waits, is best. So no more threads are started than there are idle cores.

OpenMP reads its variables when it is loaded, so the choice is made before torch is imported.
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

from translate.cores import allowed, cores

MOST = 1024
"""Threads at most that may be asked for."""

NUMBERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which a user sets the number himself; torch gives the second, if set, priority."""

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which a user says himself how threads wait: of OpenMP, of GNU's (in torch for Linux) and of LLVM's."""

INTERVAL = 0.5
"""Seconds over which the load is measured."""

NEGLIGIBLE = 0.25
"""So much of a core may be busy and the core still counts as idle: no machine is ever quite still."""

_GPUS = ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""Where Linux shows a GPU of NVIDIA, of AMD, and of either to WSL."""


@dataclass(frozen=True)
class Threads:
    """What was chosen."""

    count: int
    """Threads; 0 leaves the number as it is."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables to be set before torch is imported."""
    line: str = ""
    """The choice in words; empty where there was none to make."""


def prepare(argv: Sequence[str], environment: MutableMapping[str, str] = os.environ) -> Threads:
    """Choose for the command line `argv` of `translate train TASK` and set the variables.

    Nothing is chosen for a GPU, for `--help`, and where torch is loaded already; `--threads N` counts everywhere.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--threads", type=int, default=0)
    early.add_argument("--device")
    early.add_argument("--resume", action="store_true")
    early.add_argument("--out", type=Path)
    try:
        found, _ = early.parse_known_args(argv)
    except argparse.ArgumentError:  # tyro says below what is wrong
        return Threads(0)
    if {"-h", "--help"} & set(argv) or not found.threads <= MOST:
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
    """How many threads, and how they wait.

    `asked` comes first, then the variables the user has set, then the load. Threads wait actively, OpenMP's default,
    while no more of them run than cores are idle, else passively. Of several processes that torchrun has started here
    each takes its part of the cores, and waits passively: they are each other's neighbours, and busy starting.

    Args:
        asked: threads; below 1: by the load.
        environment: the process's variables.
        busy: measures how many cores are busy; None where that cannot be found out.
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
    """How many of the cores that this process may use are busy with other things now; None if that cannot be known.

    Linux counts the time each core was busy, stolen by a hypervisor's other guests included; that is measured over
    `seconds`, in which this process sleeps. Elsewhere it is the mean number of runnable processes of the last minute,
    which is slow to notice that something has begun or ended, so the exact count comes first.
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
    """(busy, idle) clock ticks of each core that this process may use; None where Linux does not tell."""
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
    """Whether `--device auto` will find a GPU, as far as that can be seen without torch."""
    hidden = environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(path).exists() for path in _GPUS)


def _saved_device(out: Path) -> str:
    """`device` of the run that is to be resumed."""
    try:
        return json.loads((out / "config.json").read_text(encoding="utf-8"))["device"]
    except (OSError, ValueError, KeyError, TypeError):
        return "auto"
