"""What the threads of one process share, such as an open file. It is pickled with its owner, and is new there."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Lock:
    """A lock of threads; a pickled one is a new one."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


class Shared[T]:
    """A value that is made once and kept until it is taken; a pickled one is not made yet."""

    __slots__ = ("lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: T | None = None

    def get(self, make: Callable[[], T]) -> T:
        """Return the value, made by the first thread that wants it."""
        with self.lock:
            if self.value is None:
                self.value = make()
            return self.value

    def take(self) -> T | None:
        """Return the value, if there is one, and keep it no longer."""
        with self.lock:
            value, self.value = self.value, None
        return value

    def __reduce__(self) -> tuple[type[Shared[T]], tuple[()]]:
        return Shared, ()
