"""The workers of a dask cluster as a pool: what dies is repeated, what hangs is tried elsewhere, no wait is endless.

dask places tasks and repeats those of workers that died. It waits without end for a worker that is stopped or cannot
be reached, and for a scheduler without workers. Here every task has a limit, and every wait too: see
:class:`~bigimg.conversion.dask_workers.Limits`. A task may so run twice at once; the objects that it writes are put
into place whole, and are the same.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from bigimg.conversion.dask_workers import GONE, LOOK_SECONDS, Limits, Share, Workers, refuse_other, versions
from bigimg.conversion.pool import Task
from bigimg.errors import BigimgError, WorkerError, one_line
from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Reader


@dataclass(slots=True, eq=False)
class _Try:
    """A task under way, here and there."""

    call: Task
    future: Future[Any]
    since: float
    """When it was last begun."""
    attempts: list[Any] = field(default_factory=list)
    avoided: set[str] = field(default_factory=set)
    """Addresses of workers on which it hung."""


@dataclass(slots=True, eq=False)
class _Shared:
    """A value that each worker gets once."""

    value: Any
    sent: Any
    """The future that stands for it. The only worker that has it may hang, and then it is sent again."""


class DaskPool:
    """A cluster as a :class:`bigimg.conversion.pool.Pool`.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    WorkerError
        The scheduler does not answer.
    """

    batch_seconds = 5.0
    """A task costs the scheduler 6 ms, and what runs is given up when a run is interrupted."""

    def __init__(self, client: Any) -> None:  # its methods have no types
        self.client, self.limits = client, Limits.configured()
        self.workers = Workers(client, self.limits)
        self._open: dict[Future[Any], _Try] = {}
        self._lock = threading.Lock()
        self._slowest = 0.0
        self._over = threading.Event()
        self._shared: list[_Shared] = []
        self._threads: dict[str, int] = self.workers.asked(client.nthreads)
        self._answered = self._manned = time.monotonic()
        self._silent: set[str] = set()
        self._processing: dict[str, str] = {}
        threading.Thread(target=self._watch, name="bigimg-watchdog", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Look after the cluster no more."""
        self._over.set()

    def share_of_worker(self, memory: int | None) -> Share:
        """Return what a plan is made with; see :meth:`~bigimg.conversion.dask_workers.Workers.share`."""
        return self.workers.share(memory)

    def check(self, plan: ConversionPlan, reader: Reader, folder: Path) -> bool:
        """Refuse workers that cannot do the work; see :meth:`~bigimg.conversion.dask_workers.Workers.check`."""
        return self.workers.check(plan, reader, folder)

    # ------------------------------------------------------------------------------------------------ the work

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Begin a task; its errors are those of ``function``, and WorkerError."""
        task = _Try((function, *arguments), Future(), time.monotonic())
        with self._lock:
            self._open[task.future] = task
        self._begin(task)
        return task.future

    def share(self, value: Any) -> Any:
        """Return what stands for ``value``: each worker unpickles it once, and its tasks use the same object."""
        shared = _Shared(value, self._sent(value))
        self._shared.append(shared)
        return shared

    def _sent(self, value: Any, workers: list[str] | None = None) -> Any:
        # As a task and not by scatter(): dask makes it again if the only worker that has it dies.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # once a sweep, and not once a task
            return self._submitted(_given, value, workers=workers)

    def _submitted(self, function: Callable[..., Any], *arguments: Any, workers: list[str] | None) -> Any:
        try:
            return self.client.submit(
                function, *arguments, pure=False, workers=workers, allow_other_workers=workers is not None
            )
        except Exception as error:  # of a client that was closed
            raise WorkerError(
                f"the scheduler {self.workers.shown()} takes no task ({one_line(error)}); {GONE}"
            ) from error

    def slots(self) -> int:
        """Return the threads of all workers, as far as it is known."""
        return sum(self._threads.values())

    def look(self) -> None:
        """End the run where nothing can end any more, and try elsewhere what hangs.

        Raises
        ------
        WorkerError
            The scheduler is gone or says nothing, there has been no worker for a while, or a task hung too often.
        """
        now, limits, shown = time.monotonic(), self.limits, self.workers.shown()
        if self.client.status != "running":
            raise WorkerError(f"the scheduler {shown} is gone ({self.client.status}); {GONE}")
        if now - self._answered > limits.no_worker:
            raise WorkerError(f"the scheduler {shown} has not answered for {limits.no_worker:g} s; {GONE}")
        if now - self._manned > limits.no_worker:
            raise WorkerError(f"the cluster has had no worker for {limits.no_worker:g} s; {GONE}")
        limit = max(limits.stuck, limits.times * self._slowest)
        with self._lock:
            stuck = [task for task in self._open.values() if now - task.since > limit]
        if stuck:
            for shared in self._shared:
                shared.sent = self._sent(shared.value, self._others())
        for task in stuck:
            where = self._processing.get(task.attempts[-1].key)
            if len(task.attempts) >= limits.tries:
                what = f"did not end in {limit:g} s, though it was tried {limits.tries} times"
                on = f", last on the worker {where}" if where else ""
                longer = "if it takes so long, set bigimg.stuck in dask's configuration to more"
                raise WorkerError(f"{_named(task.call)} {what}{on}; {longer}, else {GONE}")
            if where:
                task.avoided.add(where)
            task.since = now
            self._begin(task)

    def abandon(self, running: set[Future[Any]]) -> None:
        """Cancel what is under way. What runs on is not waited for: its objects get no place any more."""
        with self._lock:
            tasks = [self._open.pop(future) for future in running if future in self._open]
        self._shared.clear()
        attempts = [attempt for task in tasks for attempt in task.attempts]
        if attempts:  # a scheduler that is gone would be waited for
            thread = threading.Thread(target=self._cancel, args=(attempts,), daemon=True)
            thread.start()
            thread.join(LOOK_SECONDS)

    def _cancel(self, attempts: list[Any]) -> None:
        with suppress(Exception):
            self.client.cancel(attempts, force=True)

    def _others(self, avoided: Collection[str] = ()) -> list[str] | None:
        """Return the workers to choose among; None for all."""
        others = [each for each in self._threads if each not in avoided and each not in self._silent]
        return others if 0 < len(others) < len(self._threads) else None

    def _begin(self, task: _Try) -> None:
        call = [each.sent if isinstance(each, _Shared) else each for each in task.call]
        workers = self._others(task.avoided) if task.attempts else None
        attempt = self._submitted(_done, versions(), *call, workers=workers)
        task.attempts.append(attempt)
        attempt.add_done_callback(partial(self._on_end, task))

    def _on_end(self, task: _Try, attempt: Any) -> None:
        """Take what an attempt brought, in a thread of its own: a worker may be stopped before it has sent it."""
        threading.Thread(target=self._take, args=(task, attempt), daemon=True).start()

    def _take(self, task: _Try, attempt: Any) -> None:
        error: BaseException | None = None
        result: Any = None
        try:
            seconds, result = attempt.result()
            self._slowest = max(self._slowest, seconds)
        except BaseException as found:
            error = _of_ours(found, task.call)
        with self._lock:
            if task.future not in self._open:  # another attempt was faster, or nobody waits for it
                return
            others = any(other is not attempt and other.status == "pending" for other in task.attempts)
            if isinstance(error, WorkerError) and others:
                return
            del self._open[task.future]
        if error is None:
            task.future.set_result(result)
        else:
            task.future.set_exception(error)

    # ------------------------------------------------------------------------------------------------ the watch

    def _watch(self) -> None:
        """Ask the scheduler who is there, until the pool is left; a question may take for ever."""
        while not self._over.wait(LOOK_SECONDS):
            try:
                workers = self.client.scheduler_info(n_workers=-1)["workers"]
                processing = self.client.processing() if self._any_is_late() else {}
            except Exception:  # the client is closed, or the scheduler; look() says so
                continue
            self._threads = {address: each["nthreads"] for address, each in workers.items()}
            self._answered = time.monotonic()
            seen = {address: each["last_seen"] for address, each in workers.items()}
            silent = self.limits.silent
            self._silent = {each for each, at in seen.items() if max(seen.values()) - at > silent}
            self._processing = {key: worker for worker, keys in processing.items() for key in keys}
            if workers:
                self._manned = self._answered

    def _any_is_late(self) -> bool:
        with self._lock:
            oldest = min((task.since for task in self._open.values()), default=time.monotonic())
        return time.monotonic() - oldest > self.limits.stuck / 2


def _given(value: Any) -> Any:
    return value


def _done(wanted: Mapping[str, str], function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Run a task on a worker, and say how long it took; a worker may have come after the others were compared."""
    refuse_other("that has come", versions(), wanted)
    start = time.monotonic()
    result = function(*arguments)
    return time.monotonic() - start, result


def _of_ours(error: BaseException, call: Task) -> BaseException:
    """Return an error of a task, or of the cluster, as one of ours."""
    from distributed import KilledWorker

    if isinstance(error, BigimgError):
        return error
    if isinstance(error, KilledWorker):
        what = f"{_named(call)} ended every worker that it was given to"
        return WorkerError(
            f"{what}; give the workers more memory, or look into their logs, and run it again to go on"
        )
    if isinstance(error, MemoryError):
        return WorkerError(
            f"{_named(call)} ran out of memory on its worker; give it more, and run it again to go on"
        )
    # An OSError without a number is none of the system: dask's of a link that was cut.
    lost = isinstance(error, OSError | TimeoutError) and getattr(error, "errno", None) is None
    if lost or type(error).__name__.endswith("CancelledError"):
        return WorkerError(f"{_named(call)} was lost by the cluster ({one_line(error)}); {GONE}")
    return error


def _named(call: Task) -> str:
    """Return a task in words: its region, if it has one."""
    units = next((each for each in call[1:] if isinstance(each, list)), [call[1:]])
    for each in units[0]:
        if isinstance(each, tuple) and each and all(isinstance(part, slice) for part in each):
            more = f" and {len(units) - 1} after it" if len(units) > 1 else ""
            return f"the region {', '.join(f'{part.start}:{part.stop}' for part in each)}{more}"
    return f"a task ({call[0].__name__})"
