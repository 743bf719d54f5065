"""Configures glibc's malloc to keep memory between training steps instead of returning it to the kernel."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Constants from glibc's malloc.h."""

_TRIM_THRESHOLD = 2**31 - 1
"""Bytes of free memory to keep: the maximum."""

_MMAP_THRESHOLDS = (2**30, 2**25)
"""Size in bytes up to which freed blocks are kept; older versions of glibc accept only the second."""

_USER_VARIABLES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Prefixes of environment variables with which a user configures malloc."""


def keep_memory() -> bool:
    """Make glibc's malloc keep large blocks for reuse; returns whether it does.

    By default it returns blocks of more than 32 MiB, and large free areas at the end of the heap, to the kernel when
    they are freed. A training step on the CPU frees and allocates the same memory again, and the kernel has to clear it
    page by page (https://man7.org/linux/man-pages/man3/mallopt.3.html). Does nothing without glibc, or if the user has
    configured malloc by environment variables.
    """
    if sys.platform != "linux" or any(name.startswith(_USER_VARIABLES) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such function
        return False
    mmap = any(mallopt(_M_MMAP_THRESHOLD, size) for size in _MMAP_THRESHOLDS)
    return mmap and bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD))
