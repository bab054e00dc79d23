"""Make this process a Windows as far as that can be done: for a process of its own, before bigimg is imported.

What Windows lacks is taken away, and what it refuses is refused: a file that is open is neither removed nor renamed,
nor is a folder that holds one; a rename replaces nothing; a folder cannot be opened.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

MODULES = ("fcntl", "resource", "termios", "pwd", "grp", "pty", "syslog")
LACKING = (
    "pread", "preadv", "pwrite", "pwritev", "fdatasync", "sync", "O_DIRECT", "O_DIRECTORY", "O_CLOEXEC", "O_NOFOLLOW",
    "sched_getaffinity", "sched_setaffinity", "setpriority", "getpriority", "PRIO_PROCESS", "statvfs", "uname", "fork",
    "register_at_fork", "posix_fadvise", "sendfile", "getuid", "geteuid", "getgid", "mkfifo", "nice", "sysconf",
    "copy_file_range", "killpg", "setsid", "pidfd_open", "eventfd", "memfd_create",
)  # fmt: skip
SIGNALS = ("SIGKILL", "SIGALRM", "SIGHUP", "SIGSTOP", "alarm", "setitimer", "pthread_sigmask", "pause")
KERNEL = ("/proc/self", "/sys/fs/cgroup")


def become() -> None:
    """Take away and refuse, from here on."""
    import asyncio  # noqa: F401  (as it is built here)
    import ctypes
    import shutil

    import numpy  # noqa: F401
    import psutil

    assert psutil.Process().memory_info().rss
    os.supports_dir_fd.clear()
    os.supports_fd.clear()
    importlib.reload(shutil)  # which chooses by these when it is imported
    sys.modules.update(dict.fromkeys(MODULES))
    real = {name: getattr(os, name) for name in ("open", "unlink", "rmdir", "rename", "replace", "stat")}
    statvfs = os.statvfs
    shutil.disk_usage = lambda path: _usage(statvfs(path))
    for name in LACKING:
        if hasattr(os, name):
            delattr(os, name)
    os.process_cpu_count = os.cpu_count  # type: ignore[attr-defined]  # Python 3.13: it calls sched_getaffinity here
    for name in SIGNALS:
        delattr(signal, name)
    load = ctypes.CDLL.__init__

    def named(self: Any, name: Any, *args: Any, **options: Any) -> None:
        if name is None:
            raise TypeError("a library has a name here")
        load(self, name, *args, **options)

    ctypes.CDLL.__init__ = named
    sys.addaudithook(_refuse_kernel)
    _refuse(real)


def _usage(found: Any) -> Any:
    import shutil

    return shutil._ntuple_diskusage(found.f_blocks * found.f_frsize, 0, found.f_bavail * found.f_frsize)


def _refuse_kernel(event: str, arguments: Any) -> None:
    if event == "open" and str(arguments[0]).startswith(KERNEL):
        raise FileNotFoundError(2, "no such file", arguments[0])


def _refuse(real: dict[str, Any]) -> None:
    def opened() -> list[str]:
        found = []
        for number in range(256):
            try:
                found.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                continue
        return found

    def check(path: Any) -> None:
        if isinstance(path, int):
            return
        where = os.path.realpath(path)
        for name in opened():
            if name == where or name.startswith(where + "/"):
                raise PermissionError(13, "it is open in this process", str(path))

    def open_(path: Any, flags: int, *args: Any, **named: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "folders are not opened here", str(path))
        number: int = real["open"](path, flags, *args, **named)
        return number

    def removing(name: str) -> Any:
        def remove(path: Any, **named: Any) -> None:
            check(path)
            real[name](path, **named)

        return remove

    def rename(source: Any, target: Any) -> None:
        check(source)
        if os.path.lexists(target):
            raise FileExistsError(17, "it is there already", str(source), None, str(target))
        real["rename"](source, target)

    def replace(source: Any, target: Any) -> None:
        check(source)
        check(target)
        real["replace"](source, target)

    def stat(path: Any, *args: Any, **named: Any) -> Any:
        if str(path).startswith(KERNEL):
            raise FileNotFoundError(2, "no such file", path)
        return real["stat"](path, *args, **named)

    os.open, os.rename, os.replace, os.stat = open_, rename, replace, stat
    os.unlink, os.remove, os.rmdir = removing("unlink"), removing("unlink"), removing("rmdir")
