"""Ctrl-C and SIGTERM, held back where Python code must not be left in the middle.

A handler runs between any two instructions of the main thread, and an exception that it raises leaves whatever is
under way there. Inside :func:`concurrent.futures.wait` that can be between taking the locks of the futures and giving
them back: the worker that wants to hand in its block then waits for ever, and so does whoever waits for the worker.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the end of the block, for a moment that no person notices.

    By handlers and not by the signal mask: that of this thread alone leaves the signal to another one, a
    library's, and Python's handler then runs here all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone, and only it may set them
        return
    held: list[int] = []
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not None]
    before = {number: signal.signal(number, lambda n, _: held.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in held:
            signal.raise_signal(caught)
