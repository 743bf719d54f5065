"""The C library's memory: kept between the steps of a training, not given back and asked for again."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h."""

_KEPT = 2**31 - 1
"""Bytes of free memory that are kept, as many as can be said."""

_LARGEST = (2**30, 2**25)
"""Bytes of one block up to which it is kept; older versions of glibc take no more than the second."""

_OF_USER = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""How variables begin by which a user chooses himself."""


def keep_memory() -> bool:
    """Have glibc's malloc keep large blocks for the next use; returns whether it does.

    By default it gives blocks of more than 32 MiB, and large ends of the heap, back to the kernel when they are freed.
    A training step on the CPU frees and needs the same again, and the kernel has to clear all of it page by page.
    (https://man7.org/linux/man-pages/man3/mallopt.3.html). Nothing happens without glibc, or when the user has
    chosen by variables.
    """
    if sys.platform != "linux" or any(name.startswith(_OF_USER) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such function
        return False
    return any(mallopt(_M_MMAP_THRESHOLD, size) for size in _LARGEST) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT))
