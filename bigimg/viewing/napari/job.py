"""A conversion in a thread of its own, which a window starts, watches and stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bigimg.errors import BigimgError

if TYPE_CHECKING:
    from bigimg.conversion.progress import Progress
    from bigimg.conversion.run import Result

EVERY = 0.1
"""Seconds between two looks at the progress."""


class Cancelled(Exception):
    """The person has had enough. What was done stays beside the target, to go on from."""


class Job:
    """One conversion.

    Parameters
    ----------
    source, target : str
    **asked
        As in :func:`bigimg.convert`.
    """

    def __init__(self, source: str, target: str, **asked: Any) -> None:
        self.source, self.target, self.asked = source, target, asked
        self.progress: Progress | None = None
        self.result: Result | None = None
        self.error: Exception | None = None
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bigimg-convert", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next block."""
        self._cancelled.set()

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self._thread.is_alive()

    @property
    def cancelled(self) -> bool:
        """Whether it was stopped before its end."""
        return isinstance(self.error, Cancelled)

    @property
    def outcome(self) -> str:
        """One line for a person: what came of it."""
        if self.result is not None:
            plan = self.result.plan
            return f"{self.target}: {len(plan.levels)} levels in {self.result.seconds:.1f} s"
        if self.cancelled:
            return f"cancelled; convert to {self.target} again to go on"
        return "" if self.error is None else str(self.error)

    def watch(self) -> Iterator[Progress]:
        """Start, and yield the progress now and then until it has ended; to leave early cancels it."""
        self.start()
        try:
            while self.running:
                if self.progress is not None:
                    yield self.progress
                time.sleep(EVERY)
            if self.progress is not None:
                yield self.progress
        finally:
            self.cancel()
            self._thread.join()

    def _run(self) -> None:
        from bigimg.faces.convert import convert_to_store

        try:
            self.result = convert_to_store(self.source, self.target, progress=self._told, **self.asked)
        except (BigimgError, Cancelled, OSError) as error:
            self.error = error

    def _told(self, progress: Progress) -> None:
        self.progress = progress
        if self._cancelled.is_set() and progress.done < progress.total:
            raise Cancelled
