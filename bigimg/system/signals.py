"""Ctrl-C and SIGTERM, held back during code that must not be interrupted, and a function that is called after them.

A handler runs between any two instructions of the main thread, and an exception that it raises ends the code that
runs there. Inside :func:`concurrent.futures.wait` this can happen while the locks of the futures are held. Then the
worker that sets its result waits for ever, and so does the thread that waits for the worker.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the end of the block, which must be short.

    This uses handlers and not the signal mask. With the mask of this thread, another thread gets the signal, and
    the handler of Python still runs here. Windows has no such mask.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run only in the main thread, and only it may set them
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


def apart[T](function: Callable[[], T]) -> T:
    """Return what ``function`` returns; no process that it starts gets the Ctrl-C of the terminal.

    It is called in a thread that has the signal blocked, which processes inherit, so this thread can be interrupted
    while it waits. Windows has no such mask.
    """
    done: Future[T] = Future()

    def call() -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            done.set_result(function())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    while not wait([done], 1).done:  # without a limit no signal is handled on Windows
        pass
    return done.result()


def call_after(seconds: int, function: Callable[[], object]) -> None:
    """Call ``function`` once after ``seconds``; a signal handler may use this.

    An alarm of the kernel calls it in the main thread; on Windows, which has no alarm, a new thread calls it. The
    thread is started without :mod:`threading`, because the handler may run while the locks of that module are held.
    """
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda number, frame: function())
        signal.alarm(seconds)
    else:
        _thread.start_new_thread(_sleep_and_call, (seconds, function))


def _sleep_and_call(seconds: int, function: Callable[[], object]) -> None:
    time.sleep(seconds)
    function()
