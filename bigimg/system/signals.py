"""Ctrl-C and SIGTERM, held back where Python code must not be left in the middle, and a last moment after them.

A handler runs between any two instructions of the main thread, and an exception that it raises leaves whatever is
under way there. Inside :func:`concurrent.futures.wait` that can be between taking the locks of the futures and giving
them back: the worker that wants to hand in its block then waits for ever, and so does whoever waits for the worker.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the end of the block, for a moment that no person notices.

    By handlers and not by the signal mask: that of this thread alone leaves the signal to another one, a
    library's, and Python's handler then runs here all the same. Windows has no such mask.
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


def call_after(seconds: int, function: Callable[[], object]) -> None:
    """Call ``function`` once after ``seconds``; may be called by the handler of a signal.

    By an alarm of the kernel in the main thread, and where there is none (Windows) in a thread of its own. That
    thread is started without :mod:`threading`, in the middle of whose locks the handler may have come.
    """
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda number, frame: function())
        signal.alarm(seconds)
    else:
        _thread.start_new_thread(_sleep_and_call, (seconds, function))


def _sleep_and_call(seconds: int, function: Callable[[], object]) -> None:
    time.sleep(seconds)
    function()
