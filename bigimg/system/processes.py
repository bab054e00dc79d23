"""Processors and threads: how many, how urgent, and what a forked process begins with."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from bigimg.system import means


def usable_cpus() -> int:
    """Return how many CPUs this process may run on; all of the machine where the system does not tell."""
    affinity = means.found.affinity
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def yield_to_others() -> None:
    """Lower the priority of this thread on Linux, where each thread has its own; elsewhere change nothing."""
    if means.found.priorities:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + 10)


def after_fork(function: Callable[[], object]) -> None:
    """Have ``function`` called first in each forked process; on Windows no process is forked."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
