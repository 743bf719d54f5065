"""Large blocks are kept by the C library, unless the user has chosen or there is no such choice."""

import platform
import subprocess
import sys

import pytest

from translate.training import allocator
from translate.training.allocator import keep_memory

GLIBC = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"

FAULTS = """
import ctypes, resource, sys
from translate.training.allocator import keep_memory

assert keep_memory() == (sys.argv[1] == "kept")
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 40 * 2**20

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(not GLIBC, reason="glibc's malloc")
@pytest.mark.parametrize(("how", "variables"), [("kept", {}), ("by the user", {"MALLOC_ARENA_MAX": "1"})])
def test_a_large_block_is_used_again(how: str, variables: dict[str, str]) -> None:
    """40 MiB are 10,240 pages, or 20 where the kernel gives huge ones."""
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables, check=True)
    assert (int(done.stdout) < 10) == (how == "kept")


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)
    assert not keep_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux without glibc")
def test_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.os, "environ", {})
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not keep_memory()
