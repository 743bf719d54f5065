"""How many processor cores there are for us."""

import os
import sys
from math import ceil
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def allowed() -> int:
    """Return how many CPU cores this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores(cgroups: Path = _CGROUPS) -> int:
    """Return how many CPU cores this process may use: those it may run on, or fewer where a container has a quota."""
    quota = _quota(cgroups) if sys.platform == "linux" else None
    return allowed() if quota is None else max(1, min(allowed(), ceil(quota)))


def _quota(cgroups: Path) -> float | None:
    """CPU seconds a second that the control group may use, as a container sees its own; None: as many as it likes."""
    try:
        if (cgroups / "cpu.max").exists():  # version 2
            most, period = (cgroups / "cpu.max").read_text().split()
        else:
            most, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(most) / int(period) if int(most) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no quota is "max", or -1
        return None
