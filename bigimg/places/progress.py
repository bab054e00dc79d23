"""Progress of a download for a user: one line that is rewritten on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from bigimg.system.terminals import redraws


class DownloadLine:
    """Prints the number of received bytes; :meth:`wipe` removes the line from a terminal.

    Parameters
    ----------
    lines : bool
        Print a line every ten seconds if there is no terminal.
    """

    def __init__(self, what: str, *, lines: bool, stream: TextIO | None = None) -> None:
        self.what = what
        self.stream = sys.stderr if stream is None else stream
        self.terminal = redraws(self.stream)
        self.every = 0.1 if self.terminal else 10.0
        self.silent = not (self.terminal or lines)
        self.printed = time.monotonic()
        self.width = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Print ``done`` of ``total`` bytes, if enough time has passed since the last line."""
        if self.silent or time.monotonic() - self.printed < self.every:
            return
        self.printed = time.monotonic()
        share = f" of {total / 1e6:.0f} MB, {100 * done // max(total, 1)} %" if total else " MB"
        line = f"fetching {self.what}: {done / 1e6:.0f}{share}"
        if self.terminal:
            self.stream.write("\r" + line.ljust(self.width))
            self.width = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def wipe(self) -> None:
        """Remove the line from the terminal."""
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0
