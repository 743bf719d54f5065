"""How much memory pictures may take."""

import os
from pathlib import Path


def available_memory_bytes() -> int:
    """Return how much memory this process may still take, in bytes.

    Linux: what the kernel says is available, or what the container's limit leaves if that is less.
    Elsewhere: half of the physical memory; 2 GiB where even that is unknown (Windows).
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
    """Limit of this process's control group less what it uses; infinite without a limit."""
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
        # Inside a container the group named by /proc is often mounted as the root itself.
        for folder in (Path(root + group), Path(root)):
            try:
                limit = int((folder / limit_name).read_text())
                used = int((folder / usage_name).read_text())
                statistics = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no such group, or the limit is the word "max"
                continue
            # File cache counts as used but the kernel gives it back.
            return max(0, limit - used + int(statistics.get("inactive_file", 0)))
    return float("inf")
