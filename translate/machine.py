"""The resources available to this process: CPU cores and memory."""

import os
import sys
from math import ceil
from pathlib import Path

MOST_THREADS = 1024
"""Largest number of threads that an option may ask for; a hundred times as many can end the process."""

_CGROUPS = Path("/sys/fs/cgroup")


def allowed() -> int:
    """Return how many CPU cores this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores(cgroups: Path = _CGROUPS) -> int:
    """Return how many CPU cores this process may use: those it may run on, or fewer if the container has a quota."""
    quota = _quota(cgroups) if sys.platform == "linux" else None
    return allowed() if quota is None else max(1, min(allowed(), ceil(quota)))


def _quota(cgroups: Path) -> float | None:
    """CPU seconds per second that the control group may use, as seen inside a container; None if unlimited."""
    try:
        if (cgroups / "cpu.max").exists():  # version 2
            most, period = (cgroups / "cpu.max").read_text().split()
        else:
            most, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(most) / int(period) if int(most) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no quota is "max", or -1
        return None


def available_memory_bytes() -> int:
    """Return how much memory this process may still allocate, in bytes.

    Linux: the memory that the kernel reports as available, or what is left of the container's limit if that is less.
    Elsewhere: half of the physical memory; 2 GiB if even that is unknown (Windows).
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return _half_of_physical_memory()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return int(min(kibibytes * 1024, _cgroup_headroom_bytes()))


def _half_of_physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 2 << 30


def _cgroup_headroom_bytes() -> float:
    """Memory limit of this process's control group minus its usage; infinite without a limit."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # not every sandbox has it
        return float("inf")
    for line in groups:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, limit_name, usage_name = "/sys/fs/cgroup", "memory.max", "memory.current"
        elif controllers == "memory":
            root, limit_name, usage_name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # Inside a container, the group named in /proc is often mounted as the root itself.
        for folder in (Path(root + group), Path(root)):
            try:
                limit = int((folder / limit_name).read_text())
                used = int((folder / usage_name).read_text())
                statistics = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no such group, or the limit is "max"
                continue
            # The file cache counts as used, but the kernel can reclaim it.
            return max(0, limit - used + int(statistics.get("inactive_file", 0)))
    return float("inf")
