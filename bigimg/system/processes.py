"""Processors, the priority of threads, and functions that a forked process calls first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from bigimg.system import os_calls


def usable_cpus() -> int:
    """Return how many CPUs this process may use; all of the machine where the system does not have the number."""
    affinity = os_calls.found.affinity
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def yield_to_others() -> None:
    """Lower the priority of this thread on Linux, where each thread has its own; elsewhere do nothing."""
    if os_calls.found.priorities:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + 10)


def after_fork(function: Callable[[], object]) -> None:
    """Register ``function`` to be called first in each forked process; Windows does not fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
