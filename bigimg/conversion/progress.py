"""How far a pass is, and how the user sees it: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from bigimg.planning.memory import human_bytes
from bigimg.system.memory import resident_bytes
from bigimg.system.terminals import redraws


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a pass."""

    stage: str
    """``scratch``, ``level 0``, …"""
    done: int
    """Decoded bytes that were processed, of all sweeps."""
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
    """Counts bytes, and calls ``report`` each time."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.total, self.done, self.stage = total, 0, ""
        self.started = time.monotonic()
        self.report = report

    @property
    def seconds(self) -> float:
        """Since the meter was made."""
        return time.monotonic() - self.started

    def begin(self, stage: str) -> None:
        """Report a stage before its first block, which may take minutes."""
        self.stage = stage
        self.advance(0)

    def advance(self, count: int) -> None:
        """Count ``count`` bytes as done."""
        self.done += count
        if self.report is not None:
            self.report(Progress(self.stage, min(self.done, self.total), self.total, self.seconds))

    def share(self, name: str, size: int) -> Report | None:
        """Return the report of a part of ``size`` bytes that counts by itself; ``done`` grows when it has ended."""
        report = self.report
        if report is None:
            return None

        def tell(part: Progress) -> None:
            done = self.done + size * part.done // max(1, part.total)
            report(Progress(f"{name}, {part.stage}", done, self.total, self.seconds))

        return tell


class StatusLine:
    """On a terminal or in a notebook one line that is redrawn, with a bar; elsewhere a line every ten seconds."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.terminal = stream, redraws(stream)
        self.printed = -1.0 if self.terminal else 0.0  # a bar is there from the beginning
        self.width = 0

    def __call__(self, progress: Progress) -> None:
        """Print ``progress`` if the last line is old enough; on a terminal also at the end."""
        ended = self.terminal and progress.done == progress.total
        # Less than none has passed when another pass has begun, as that of a label image.
        if 0 <= progress.seconds - self.printed < (0.1 if self.terminal else 10) and not ended:
            return
        self.printed = progress.seconds
        line = describe(progress)
        if self.terminal:
            filled = 24 * progress.done // max(1, progress.total)
            line = f"{'━' * filled}{'╌' * (24 - filled)} {line}"
            line, self.width = "\r" + line.ljust(self.width), len(line)
        print(line, end="" if self.terminal else None, file=self.stream, flush=True)

    def clear(self) -> None:
        """Erase the line of a terminal."""
        if self.terminal:
            print("\r" + " " * self.width, end="\r", file=self.stream, flush=True)


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


@contextmanager
def reporting(progress: bool | Report | None) -> Iterator[Report | None]:
    """Give the report to use for ``progress=``, which is True, False, None or a callable; None for silence.

    None means a bar on a terminal or in a notebook, and silence elsewhere. True means lines where there is no terminal.
    """
    if callable(progress):
        yield progress
    elif redraws(sys.stderr) if progress is None else progress:
        line = StatusLine(sys.stderr)
        try:
            yield line
        finally:
            line.clear()
    else:
        yield None
