"""Ctrl-C in the middle of what Python's own executors do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from bigimg.system.signals import undisturbed

INSIDE_WAIT = """\
import signal, threading
from concurrent.futures import _base
from bigimg.conversion.pool import ThreadPool, in_window

go_on = threading.Event()
enter = _base._AcquireFutures.__enter__

def interrupted(self):
    enter(self)  # the locks of all futures are taken; the with statement that gives them back is not entered yet
    _base._AcquireFutures.__enter__ = enter
    go_on.set()
    signal.raise_signal(signal.SIGINT)

_base._AcquireFutures.__enter__ = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with ThreadPool(2) as pool:
        list(in_window(pool, [(go_on.wait,)] * 4))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C as Python hears it: whoever runs the tests in the background may have told it to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_inside_wait_leaves_no_worker_waiting_for_ever() -> None:
    child = subprocess.run(
        [sys.executable, "-c", INSIDE_WAIT], capture_output=True, text=True, timeout=20, check=True
    )
    assert child.stdout == "interrupted\n"


def test_a_signal_is_held_back_and_then_heard() -> None:
    reached = []

    @undisturbed()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_is_left_alone() -> None:
    def work() -> None:
        with undisturbed():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("hidden", [False, True], ids=["alarm", "thread"])
def test_the_last_moment_comes_whatever_the_main_thread_waits_for(hidden: bool) -> None:
    code = (
        "import os, signal, threading; from functools import partial; from bigimg.system.signals import call_after\n"
        f"if {hidden}: del signal.SIGALRM, signal.alarm\n"
        "def stop(number, frame): call_after(1, partial(os._exit, 7))\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "signal.raise_signal(signal.SIGTERM)\n"
        "threading.Event().wait(30)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 7
