"""Memory of this process and of the machine, and a way to give freed memory back to the system."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from bigimg.system import os_calls

EVERY_BYTES = 128 << 20
"""Size of the blocks computed between two trims: a trim takes some milliseconds, the blocks a quarter of a second."""


def free_bytes() -> int:
    """Return the free bytes of the machine or, if that is less, of a memory group of this process (on Linux)."""
    import psutil  # takes 15 ms, which `bigimg info` should not cost

    return min([int(psutil.virtual_memory().available), *_free_in_groups()])


def resident_bytes() -> int:
    """Return the bytes of memory this process has resident now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far, or the current one where it is not known."""
    if os_calls.found.proc is not None:  # not ru_maxrss: on Linux a child inherits that of a large parent
        for line in (os_calls.found.proc / "status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    if os_calls.found.resource is not None:
        usage = os_calls.found.resource.getrusage(os_calls.found.resource.RUSAGE_SELF)
        return int(usage.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
    import psutil

    used = psutil.Process().memory_info()
    return int(getattr(used, "peak_wset", used.rss))  # the first is the peak on Windows


def _free_in_groups() -> Iterator[int]:
    """Yield the free bytes of each control group, from that of this process upwards.

    A limit often belongs to a parent group. The file ``/sys/fs/cgroup/memory.max`` is that of the root group.
    """
    if os_calls.found.proc is None:
        return
    try:
        lines = (os_calls.found.proc / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = Path("/sys/fs/cgroup")
            limit, usage, cache = "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root = Path("/sys/fs/cgroup/memory")
            limit, usage, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _free_in_group(folder, limit, usage, cache)
            if folder == root:
                break


def _free_in_group(folder: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    """Yield the limit of one group minus its usage; page cache that can be dropped counts as free."""
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or the word "max": no limit here
        return
    if most < 2**60:
        yield max(0, most - used + int(stat.get(cache, 0)))


class HeapTrimmer:
    """Gives freed memory back to the system after each 128 MiB of blocks that all threads have computed.

    glibc keeps freed blocks of up to 32 MB for the next ones, in one heap for each thread, and a fragmented heap grows:
    `stats` of `2 a + 1` of a 16-GiB store went from 300 to 680 MB in half a minute, while 270 MB were in use. For
    other C libraries nothing is done.
    """

    def __init__(self) -> None:
        self._computed = 0
        self._lock = threading.Lock()

    def count(self, nbytes: int) -> None:
        """Count a computed block of ``nbytes``, and trim the heap after each 128 MiB."""
        with self._lock:
            self._computed += nbytes
            if self._computed < EVERY_BYTES:
                return
            self._computed = 0
        self.trim()

    def trim(self) -> None:
        """Give back what is free now."""
        if os_calls.found.malloc_trim is not None:
            os_calls.found.malloc_trim(0)


heap_trimmer = HeapTrimmer()
