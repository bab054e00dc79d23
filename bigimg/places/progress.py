"""How far a download is, told to a person: one line over and over on a terminal, some lines in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Teller:
    """Says how many bytes are there; a context, at the end of which the line is wiped.

    Parameters
    ----------
    lines : bool
        Print a line every ten seconds where there is no terminal.
    """

    def __init__(self, what: str, *, lines: bool, stream: TextIO | None = None) -> None:
        self.what = what
        self.stream = sys.stderr if stream is None else stream
        self.terminal = self.stream.isatty()
        self.every = 0.1 if self.terminal else 10.0
        self.silent = not (self.terminal or lines)
        self.said = time.monotonic()
        self.width = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Say that ``done`` bytes of ``total`` are there, when it is time to."""
        if self.silent or time.monotonic() - self.said < self.every:
            return
        self.said = time.monotonic()
        share = f" of {total / 1e6:.0f} MB, {100 * done // max(total, 1)} %" if total else " MB"
        line = f"fetching {self.what}: {done / 1e6:.0f}{share}"
        if self.terminal:
            self.stream.write("\r" + line.ljust(self.width))
            self.width = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def wipe(self) -> None:
        """Take the line off the terminal."""
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0
