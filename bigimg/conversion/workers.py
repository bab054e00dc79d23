"""Tasks for workers, in a window: the number of running tasks is O(workers), for any number of blocks.

An executor is anything with ``submit`` that returns a :class:`concurrent.futures.Future`. Ctrl-C and SIGTERM take
effect between two calls of the executor, never inside one (see :mod:`bigimg.system.signals`).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from bigimg.lazy.dask_compute import in_a_task
from bigimg.system.processes import yield_to_others
from bigimg.system.signals import undisturbed

POLL_SECONDS = 0.1
"""Seconds after which Ctrl-C takes effect while all running blocks take longer."""


def chosen_executor(
    workers: int, executor: Executor | None, *, yielding: bool = False
) -> AbstractContextManager[Executor]:
    """Return the executor to use: ``executor``, that of an active dask client, else ``workers`` threads.

    Inside a task of dask there are always threads: a task that waits for other tasks of its cluster may wait for
    itself, as each of ``client.map(bigimg.convert, …)`` would.

    Parameters
    ----------
    yielding : bool
        Give the threads a lower priority than the calling thread, which decodes an ordered source: each moment that
        it waits for a core lengthens the whole run.
    """
    if executor is not None:
        return nullcontext(executor)
    distributed = sys.modules.get("distributed")  # a client can be active only where it was imported
    if distributed is not None:
        with suppress(ValueError):  # no client is active
            if not in_a_task():
                return nullcontext(distributed.get_client().get_executor(pure=False))
    return ThreadPoolExecutor(workers, "bigimg", yield_to_others if yielding else None)


def at_once(workers: int, executor: Executor) -> int:
    """Return how many tasks keep all workers of ``executor`` busy: ``workers``, or the threads of a cluster if more.

    The memory of the plan is that of each worker, so a cluster may run as many blocks as it has threads.
    """
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(executor, distributed.cfexecutor.ClientExecutor):
        return workers
    with suppress(ValueError):
        threads: dict[str, int] = distributed.get_client().nthreads()
        return max(workers, sum(threads.values()))
    return workers


def in_window[T](
    submit: Callable[..., Future[T]], tasks: Iterable[tuple[Any, ...]], limit: int
) -> Iterator[T]:
    """Yield the results of ``tasks`` (function and arguments) as they finish; at most ``limit`` run at once.

    When a task fails or the consumer stops, waiting tasks are cancelled and running ones awaited, so that nothing is
    written afterwards.
    """
    running: set[Future[T]] = set()
    try:
        for task in tasks:
            with undisturbed():
                running.add(submit(*task))
            while len(running) >= limit:
                yield from _finished(running)
        while running:
            yield from _finished(running)
    finally:
        _abandon(running)


def in_portions[T](
    submit: Callable[..., Future[T]], portions: Iterable[Callable[[], list[tuple[Any, ...]]]], limit: int
) -> Iterator[T]:
    """Yield the results of the tasks of each portion; at most ``limit`` portions are in memory.

    A portion is a function that reads pixels in this thread, in order, and returns the tasks that process them.
    """
    running: deque[set[Future[T]]] = deque()
    try:
        for read in portions:
            while len(running) >= limit:
                while running[0]:
                    yield from _finished(running[0])
                running.popleft()
            tasks = read()
            with undisturbed():
                running.append({submit(*task) for task in tasks})
            del tasks  # they hold the pixels, and the next portion is read once these are done
        for portion in running:
            while portion:
                yield from _finished(portion)
    finally:
        _abandon(set().union(*running))


def _finished[T](running: set[Future[T]]) -> Iterator[T]:
    done = _wait(running, FIRST_COMPLETED)
    running -= done
    for future in done:
        yield future.result()


def _abandon[T](running: set[Future[T]]) -> None:
    for future in running:
        future.cancel()
    _wait({future for future in running if not future.cancelled()}, ALL_COMPLETED)


def _wait[T](futures: set[Future[T]], until: str) -> set[Future[T]]:
    """Return the futures that are done, once one is or all are."""
    while True:
        with undisturbed():
            done, others = wait(futures, POLL_SECONDS, until)
        if not others or (done and until == FIRST_COMPLETED):
            return done
