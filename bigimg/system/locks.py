"""Locks on a file or folder between processes; a lock ends with the process that holds it, even if that is killed.

On Linux and macOS the kernel keeps the lock (``flock``). Other systems and some network volumes have no such lock.
There each process that wants the lock first writes a claim, an empty file beside the path whose name identifies the
process, and then looks for the claims of others. Of two processes at least one sees the other, so both never get an
exclusive lock. A claim does not count, and is removed, when its process has ended. Each name of a claim is used once,
so a new claim is never removed in place of an old one. A process that uses ``flock`` does not see claims, so all
processes on one volume must use the same way.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from bigimg.errors import OutputError
from bigimg.system import files, os_calls

NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Errors of ``flock`` on volumes without locks; EBADF comes from NFS for a folder."""
TRIES = 5
"""Several processes that begin at the same moment all see each other; then each one waits for a short random time."""
SAME_SECONDS = 2.0
"""Largest difference between two readings of the time at which a process began."""


class Lock:
    """A lock that is held until :meth:`release`, until this object is deleted, or until the process ends."""

    def __init__(self, path: Path, give_back: Callable[[], object]) -> None:
        self.path = path
        self._give_back: Callable[[], object] | None = give_back

    def release(self) -> None:
        """Give the lock back, once."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def __del__(self) -> None:
        self.release()


def take(path: Path, *, shared: bool = False, create: bool = False) -> Lock:
    """Return the lock on ``path``, without waiting for it.

    Parameters
    ----------
    path : Path
        A file or a folder.
    shared : bool
        Others may hold the lock at the same time, if they share it too.
    create : bool
        Make the file if it does not exist.

    Raises
    ------
    BlockingIOError
        Another process, or another lock in this one, holds it.
    FileNotFoundError
        There is no such file or folder, or it was removed just now.
    OutputError
        A process of another machine claims it, and it is not known here whether that process still runs.
    """
    fcntl = os_calls.found.fcntl
    if fcntl is None:
        return _claimed(path, shared=shared, create=create)
    # NFS locks a file exclusively only if it is open for writing; a folder cannot be opened so.
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY if path.is_dir() else os.O_RDWR
    file = os.open(path, flags, 0o600)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file), os.stat(path)):  # removed before it was locked
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    except OSError as error:
        os.close(file)
        if error.errno in NO_LOCKS:
            return _claimed(path, shared=shared, create=create)
        raise
    return Lock(path, partial(os.close, file))


@contextmanager
def locked(path: Path, *, create: bool = False, every: float = 0.05) -> Iterator[None]:
    """Hold the exclusive lock on ``path`` for a block, after waiting until it is free.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder, and ``create`` is false.
    """
    while True:
        try:
            lock = take(path, create=create)
            break
        except BlockingIOError:
            time.sleep(every)
        except FileNotFoundError:
            if not create or not path.parent.is_dir():
                raise
    try:
        yield
    finally:
        lock.release()


# -------------------------------------------------------------------------------------------- without locks of a kernel


@dataclass(frozen=True, slots=True)
class _Claim:
    """The process that the name of a claim identifies."""

    path: Path
    shared: bool
    host: str
    pid: int
    began: float

    def counts(self) -> bool:
        """Return whether the process still runs.

        Raises
        ------
        OutputError
            It is of another machine.
        """
        if self.host != _host():
            raise OutputError(
                f"{self.path}: process {self.pid} of another machine is at work here: wait for it, or remove "
                "this file when that process has ended"
            )
        import psutil

        try:
            process = psutil.Process(self.pid)
            apart = abs(process.create_time() - self.began)
            return bool(apart < SAME_SECONDS and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # it runs, for another user
            return True


def _claimed(path: Path, *, shared: bool, create: bool) -> Lock:
    """Return a lock that consists of a claim of this process."""
    if create:
        with suppress(FileExistsError):
            os.close(files.create(path))
    for patience in range(TRIES - 1, -1, -1):
        kind = "s" if shared else "x"
        own = path.with_name(f"{_start(path)}{kind}-{_host()}-{_process()}-{secrets.token_hex(4)}.lock")
        os.close(files.create(own))
        try:
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            _check_others(path, own, shared=shared)
            return Lock(path, partial(_withdraw, own, os.getpid()))
        except BlockingIOError:
            own.unlink(missing_ok=True)
            if not patience:
                raise
            time.sleep(random.uniform(0.001, 0.02))
        except BaseException:
            own.unlink(missing_ok=True)
            raise
    raise AssertionError("the last try returns or raises")


def _check_others(path: Path, own: Path, *, shared: bool) -> None:
    """Raise BlockingIOError if another claim on ``path`` excludes ours; remove claims of processes that ended."""
    for claim in _claims(path):
        if claim.path == own or (shared and claim.shared):
            continue
        if claim.counts():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
        with suppress(OSError):
            claim.path.unlink()


def _claims(path: Path) -> Iterator[_Claim]:
    for name in os.listdir(path.parent):
        if name.startswith(_start(path)):
            kind, host, pid, began, _ = name.removeprefix(_start(path)).split("-")
            yield _Claim(path.with_name(name), kind == "s", host, int(pid), int(began) / 1000)


def _withdraw(claim: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked process has a copy of the object, but does not hold the lock
        claim.unlink(missing_ok=True)


def _start(path: Path) -> str:
    """Return how the names of all claims on ``path`` begin. A hash, because its own name may have the full length."""
    return f".bigimg-{hashlib.sha256(os.path.normcase(path.name).encode()).hexdigest()[:16]}-"


@cache
def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _process() -> str:
    """Return the number of this process and its start in ms, because the system uses the number again."""
    import psutil

    return f"{os.getpid()}-{int(psutil.Process().create_time() * 1000)}"
