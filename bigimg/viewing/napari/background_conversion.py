"""A conversion in its own thread, which the napari widget starts, watches and stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bigimg.errors import BigimgError

if TYPE_CHECKING:
    from bigimg.conversion.plates import PlateResult
    from bigimg.conversion.progress import Progress
    from bigimg.conversion.run import Result

EVERY = 0.1
"""Seconds between two reports of the progress."""


class Cancelled(Exception):
    """The person cancelled. The finished blocks stay beside the target, and the next run goes on from them."""


class Job:
    """One conversion.

    Parameters
    ----------
    source, target : str
    **settings
        As in :func:`bigimg.convert`.
    """

    def __init__(self, source: str, target: str, **settings: Any) -> None:
        self.source, self.target, self.settings = source, target, settings
        self.progress: Progress | None = None
        self.result: Result | PlateResult | None = None
        self.error: Exception | None = None
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop behind the next block, which a later conversion need not make again."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the conversion was stopped before its end."""
        return isinstance(self.error, Cancelled)

    @property
    def outcome(self) -> str:
        """One line for a person about the result."""
        if self.result is not None:
            from bigimg.planning.plate_plan import PlatePlan

            plan = self.result.plan
            made = (
                f"{len(plan.fields)} fields" if isinstance(plan, PlatePlan) else f"{len(plan.levels)} levels"
            )
            return f"{self.target}: {made} in {self.result.seconds:.1f} s"
        if self.cancelled:
            return f"cancelled; convert to {self.target} again to go on"
        return "" if self.error is None else str(self.error)

    def watch(self) -> Iterator[Progress]:
        """Start the conversion and yield its progress until the end; closing the iterator early cancels it."""
        thread = threading.Thread(target=self._run, name="bigimg-convert", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                if self.progress is not None:
                    yield self.progress
                thread.join(EVERY)
            if self.progress is not None:
                yield self.progress
        finally:
            self.cancel()
            thread.join()

    def _run(self) -> None:
        from bigimg.faces.convert import convert_source

        try:
            self.result = convert_source(self.source, self.target, progress=self._report, **self.settings)
        except (BigimgError, Cancelled, OSError) as error:
            self.error = error

    def _report(self, progress: Progress) -> None:
        self.progress = progress
        if self._cancelled.is_set() and 0 < progress.done < progress.total:
            raise Cancelled
