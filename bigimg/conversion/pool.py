"""Who runs the tasks of a pass: threads, an executor of the user, or the workers of a dask cluster.

Tasks are handed out in a window: how many are under way is O(workers), for any number of blocks. Ctrl-C and SIGTERM
take effect between two calls of a pool, never inside one (see :mod:`bigimg.system.signals`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Reader
from bigimg.system.processes import yield_to_others
from bigimg.system.signals import undisturbed

POLL_SECONDS = 0.1
"""Seconds after which Ctrl-C takes effect while all running tasks take longer."""
AHEAD = 2
"""Tasks for each slot: one that runs, and one that waits and holds no pixels."""

type Task = tuple[Any, ...]
"""A function and its arguments."""


class Pool(Protocol):
    """What runs tasks. It is left by ``with``, whether they ended or not."""

    batch_seconds: float
    """How long a task that makes several blocks should take."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def check(self, plan: ConversionPlan, reader: Reader, folder: Path) -> bool:
        """Refuse workers that cannot do what is planned in ``folder``; return whether one is on another host."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Begin a task; what :meth:`share` returned may be one of its arguments."""

    def share(self, value: Any) -> Any:
        """Return what stands for ``value`` among the arguments of tasks, so that each worker gets it once."""

    def slots(self) -> int:
        """Return how many tasks can run at once now."""

    def look(self) -> None:
        """See whether the tasks under way can still end.

        Raises
        ------
        WorkerError
            They cannot.
        """

    def abandon(self, running: set[Future[Any]]) -> None:
        """Give up what is under way; when this returns, nothing of it writes into the store any more."""


class ExecutorPool:
    """Any executor: something with ``submit`` that returns a :class:`concurrent.futures.Future`."""

    batch_seconds = 0.1
    """A task costs 0.2 ms, and what runs is waited for when a run is interrupted."""

    def __init__(self, executor: Executor, workers: int) -> None:
        self.executor, self.workers = executor, workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the executor to its owner."""

    def check(self, plan: ConversionPlan, reader: Reader, folder: Path) -> bool:
        """Return False: where its workers are, only the owner of an executor knows."""
        return False

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Begin a task."""
        return self.executor.submit(function, *arguments)

    def share(self, value: Any) -> Any:
        """Return ``value``."""
        return value

    def slots(self) -> int:
        """Return the number of workers."""
        return self.workers

    def look(self) -> None:
        """Do nothing: if a worker dies, the futures say so."""

    def abandon(self, running: set[Future[Any]]) -> None:
        """Cancel what waits, and wait for what runs."""
        for future in running:
            future.cancel()
        _wait(self, {future for future in running if not future.cancelled()}, ALL_COMPLETED)


class ThreadPool(ExecutorPool):
    """Threads of this process.

    Parameters
    ----------
    workers : int
    yielding : bool
        Give them a lower priority than the calling thread, which decodes an ordered source: each moment that it waits
        for a core lengthens the whole run.
    """

    def __init__(self, workers: int, *, yielding: bool = False) -> None:
        super().__init__(
            ThreadPoolExecutor(workers, "bigimg", yield_to_others if yielding else None), workers
        )

    def __exit__(self, *_: object) -> None:
        """End the threads."""
        self.executor.shutdown()


def in_window(pool: Pool, tasks: Iterable[Task]) -> Iterator[Any]:
    """Yield the results of ``tasks`` as they finish; a few for each slot are under way at once.

    When a task fails or the consumer stops, those under way are given up.
    """
    running: set[Future[Any]] = set()
    try:
        for task in tasks:
            with undisturbed():
                running.add(pool.submit(*task))
            while len(running) >= max(1, AHEAD * pool.slots()):
                yield from _finished(pool, running)
        while running:
            yield from _finished(pool, running)
    finally:
        pool.abandon(running)


def in_portions(pool: Pool, portions: Iterable[Callable[[], list[Task]]], limit: int) -> Iterator[Any]:
    """Yield the results of the tasks of each portion; at most ``limit`` portions are in memory.

    A portion is a function that reads pixels in this thread, in order, and returns the tasks that process them.
    """
    running: deque[set[Future[Any]]] = deque()
    try:
        for read in portions:
            while len(running) >= limit:
                while running[0]:
                    yield from _finished(pool, running[0])
                running.popleft()
            tasks = read()
            with undisturbed():
                running.append({pool.submit(*task) for task in tasks})
            del tasks  # they hold the pixels, and the next portion is read once these are done
        for portion in running:
            while portion:
                yield from _finished(pool, portion)
    finally:
        pool.abandon(set().union(*running))


def _finished(pool: Pool, running: set[Future[Any]]) -> Iterator[Any]:
    done = _wait(pool, running, FIRST_COMPLETED)
    running -= done
    for future in done:
        yield future.result()


def _wait(pool: Pool, futures: set[Future[Any]], until: str) -> set[Future[Any]]:
    """Return the futures that are done, once one is or all are."""
    while True:
        with undisturbed():
            done, others = wait(futures, POLL_SECONDS, until)
        if not others or (done and until == FIRST_COMPLETED):
            return done
        pool.look()
