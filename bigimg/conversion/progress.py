"""How far a pass is, and how a person is told: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from bigimg.planning.memory import human_bytes
from bigimg.system.memory import resident_bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a pass."""

    stage: str
    """``scratch``, ``level 0``, …"""
    done: int
    """Decoded bytes that went through, of all sweeps."""
    total: int
    seconds: float
    """Since the pass began."""

    @property
    def rate(self) -> float:
        """Decoded bytes a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float:
        """Seconds left at this rate."""
        return (self.total - self.done) / self.rate if self.rate > 0 else 0.0


type Report = Callable[[Progress], None]


class Meter:
    """Counts bytes and tells them to whoever listens."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.total, self.done, self.stage = total, 0, ""
        self.started = time.monotonic()
        self.report = report

    @property
    def seconds(self) -> float:
        """Since the meter was made."""
        return time.monotonic() - self.started

    def advance(self, count: int) -> None:
        """Count ``count`` bytes as done."""
        self.done += count
        if self.report is not None:
            self.report(Progress(self.stage, min(self.done, self.total), self.total, self.seconds))


class LineReport:
    """Prints a line every ten seconds: for a pipe or a log."""

    EVERY = 10.0

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.told = 0.0

    def __call__(self, progress: Progress) -> None:
        """Print ``progress`` when it is time to."""
        if progress.seconds - self.told >= self.EVERY:
            self.told = progress.seconds
            print(describe(progress), file=self.stream, flush=True)


class BarReport:
    """Draws one line over and over: a bar, percent, rate, memory and time left."""

    EVERY = 0.1

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.told = 0.0
        self.width = 0

    def __call__(self, progress: Progress) -> None:
        """Draw ``progress``, at most ten times a second."""
        if progress.seconds - self.told >= self.EVERY or progress.done == progress.total:
            self.told = progress.seconds
            filled = 24 * progress.done // max(1, progress.total)
            line = f"{'━' * filled}{'╌' * (24 - filled)} {describe(progress)}"
            self.stream.write("\r" + line.ljust(self.width))
            self.stream.flush()
            self.width = len(line)

    def clear(self) -> None:
        """Wipe the line."""
        self.stream.write("\r" + " " * self.width + "\r")
        self.stream.flush()


def describe(progress: Progress) -> str:
    """Return the report in words.

    >>> describe(Progress("level 0", 500_000_000, 1_000_000_000, 2.0)).split(", memory")[0]
    'level 0: 50 %, 250 MB/s, 2 s left'
    """
    percent = 100 * progress.done // max(1, progress.total)
    return (
        f"{progress.stage}: {percent} %, {human_bytes(progress.rate)}/s, {_clock(progress.left)} left, "
        f"memory {human_bytes(resident_bytes())}"
    )


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class reporting:
    """Context that gives the report to use for ``progress=``: True, False, None or a callable.

    None means a bar on a terminal and nothing in a notebook or script without one; True means lines where
    there is no terminal.
    """

    def __init__(self, progress: bool | Report | None, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.bar: BarReport | None = None
        self.progress = progress

    def __enter__(self) -> Report | None:
        """Return a report, or None for silence."""
        if callable(self.progress):
            return self.progress
        if self.progress is not False and self.stream.isatty():
            self.bar = BarReport(self.stream)
            return self.bar
        return LineReport(self.stream) if self.progress else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.clear()
