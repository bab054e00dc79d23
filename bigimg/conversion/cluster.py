"""The workers of a dask cluster as a pool: what dies is repeated, what hangs is tried elsewhere, no wait is endless.

dask places tasks and repeats those of workers that died. It waits without end for a worker that is stopped or cannot
be reached, and for a scheduler without workers. Here every task has a limit, and every wait too: see :class:`Limits`.
A task may so run twice at once; the objects that it writes are put into place whole, and are the same.
"""

from __future__ import annotations

import math
import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bigimg.conversion.pool import ExecutorPool, Pool, Task, ThreadPool
from bigimg.errors import BigimgError, BudgetError, OutputError, WorkerError, counted, one_line
from bigimg.lazy.dask_compute import in_a_task
from bigimg.planning.memory import MOST
from bigimg.planning.options import Options
from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Access, Reader
from bigimg.system.memory import resident_bytes

if TYPE_CHECKING:
    import distributed

LOOK_SECONDS = 1.0
"""Time between two looks at the cluster."""
SILENT_SECONDS = 10.0
"""A worker that says nothing for so long is not chosen for what hung elsewhere; dask's say something each second."""
SCATTERED_BYTES = 8_000_000
"""What is shared and larger does not go through the scheduler; it is lost if all workers that have it die."""
GONE = "look after the cluster, then run it again to go on"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for a cluster; each is a key of dask's configuration, as ``bigimg.no-worker``."""

    no_worker: float = 60
    """Seconds without any worker, or without an answer of the scheduler, after which a run ends."""
    stuck: float = 60
    """Seconds after which a task is tried on another worker, if it is also ``times`` as long as the slowest took."""
    times: float = 10
    tries: int = 3
    """Times that a task is tried."""

    @classmethod
    def configured(cls) -> Self:
        """Return the limits that dask's configuration has."""
        import dask
        from dask.utils import parse_timedelta

        none = cls()
        seconds = {name: parse_timedelta(dask.config.get(f"bigimg.{name.replace('_', '-')}", getattr(none, name)))
                   for name in ("no_worker", "stuck")}  # fmt: skip
        times, tries = (dask.config.get(f"bigimg.{name}", getattr(none, name)) for name in ("times", "tries"))
        return cls(**seconds, times=float(times), tries=int(tries))


def active_client() -> distributed.Client | None:
    """Return the active client of this thread; None where there is none, and inside a task of a cluster.

    A task that waits for other tasks of its cluster may wait for itself, as each of ``client.map(bigimg.convert, …)``
    would.
    """
    distributed = sys.modules.get("distributed")  # a client can be active only where it was imported
    if distributed is not None and not in_a_task():
        with suppress(ValueError):  # no client is active
            return distributed.get_client()  # type: ignore[no-any-return]
    return None


def chosen_pool(
    executor: Executor | distributed.Client | DaskPool | None, workers: int, *, in_order: bool = False
) -> AbstractContextManager[Pool]:
    """Return the pool to use: ``executor``, a cluster if a client is active, else ``workers`` threads.

    Parameters
    ----------
    executor : Executor, Client or DaskPool, optional
    workers : int
    in_order : bool
        The source is decoded from its start, by this process; its pixels are not sent through a scheduler.
    """
    if isinstance(executor, DaskPool):
        return ThreadPool(workers, yielding=True) if in_order else nullcontext(executor)
    if executor is None and not in_order:
        executor = active_client()
    if executor is None:
        return ThreadPool(workers, yielding=in_order)
    if isinstance(executor, Executor):
        return ExecutorPool(executor, workers)
    return ThreadPool(workers, yielding=True) if in_order else DaskPool(executor)


def chosen_cluster(executor: object, access: Access) -> AbstractContextManager[DaskPool | None]:
    """Return the cluster that ``executor`` or an active client is, so that a plan is made for its workers.

    None where there is none, and for a source of which this process reads the pixels in order.
    """
    if isinstance(executor, DaskPool):  # of many files
        return nullcontext(executor)
    client = active_client() if executor is None else executor
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(client, distributed.Client) or access.kind == "sequential":
        return nullcontext()
    return DaskPool(client)


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
        self._open: dict[Future[Any], _Try] = {}
        self._lock = threading.Lock()
        self._slowest = 0.0
        self._over = threading.Event()
        self._answered = self._manned = time.monotonic()
        self._shared: list[_Shared] = []
        self._threads: dict[str, int] = self._asked(client.nthreads)
        self._silent: set[str] = set()
        self._processing: dict[str, str] = {}
        threading.Thread(target=self._watch, name="bigimg-watchdog", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Look after the cluster no more."""
        self._over.set()

    # ------------------------------------------------------------------------------------------------ before the plan

    def settle(self, options: Options, *, given: bool) -> tuple[Options, int]:
        """Return options for the plan of a worker process, and the bytes that are resident there.

        The budget is the one that was ``given``, as far as the workers' limits allow it, or half of these.

        Raises
        ------
        WorkerError
            A worker has another version of bigimg or of its codecs, or does not answer.
        """
        workers = self._about_workers()
        mine = versions()
        for address, about in workers.items():
            _refuse_other(address, about.versions, mine)
        known = self._asked(lambda: self.client.scheduler_info(n_workers=-1))["workers"]
        limits = [int(each.get("memory_limit") or 0) for each in known.values()]
        allowed = min((limit for limit in limits if limit), default=MOST)
        budget = min(options.memory, allowed) if given else min(allowed // 2, MOST)
        return (
            replace(options, memory=budget, workers=max(self._threads.values())),
            max(about.resident for about in workers.values()),
        )

    def check(self, plan: ConversionPlan, reader: Reader, folder: Path) -> bool:
        """Refuse workers that cannot do the work; return whether one is on another host.

        Raises
        ------
        OutputError
            A worker does not see ``folder``, in which they write.
        BudgetError
            A worker has more threads than fit into its memory.
        WorkerError
            A worker cannot read the source, as without an extra.
        """
        found = self._about_workers(reader, folder)
        for address, about in found.items():
            if about.refusal:
                raise WorkerError(
                    f"{plan.source}: the worker {address} cannot read it ({about.refusal}); {GONE}"
                )
            if not about.sees:
                what = f"the worker {address} on {about.host} does not see this folder"
                raise OutputError(f"{folder.parent}: {what}: write to one that all workers share")
        threads = max(self._threads.values())
        if plan.workers < min(threads, math.prod(plan.levels[0].objects)):
            each = (
                f"a worker has {counted(threads, 'thread')}, and memory for {counted(plan.workers, 'task')}"
            )
            raise BudgetError(
                f"{plan.source}: {each}:", needed=plan.peak_bytes * threads // plan.workers, allowed=plan.budget_bytes,
                ways=[f"start workers with --nthreads {plan.workers}", "give them more memory"],
            )  # fmt: skip
        return any(about.host != socket.gethostname() for about in found.values())

    def _about_workers(self, *what: object) -> dict[str, _About]:
        """Return what each worker says of itself; one that dies meanwhile is not asked again."""
        end = time.monotonic() + self.limits.no_worker
        while True:
            found: dict[str, Any] = self._asked(lambda: self.client.run(_about, *what, on_error="return"))
            silent = {address: each for address, each in found.items() if isinstance(each, BaseException)}
            if found and not silent:
                return found
            if time.monotonic() > end:
                if not found:
                    raise WorkerError(
                        f"the scheduler {self._shown()} has no workers; start some, then run it again"
                    )
                address, error = silent.popitem()
                raise WorkerError(
                    f"the worker {address} does not answer ({one_line(error)}); {GONE}"
                ) from error
            time.sleep(LOOK_SECONDS)

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
        if len(pickle.dumps(value)) > SCATTERED_BYTES:
            return self.client.scatter(value, workers=workers, broadcast=True, hash=False)
        return self.client.submit(_given, value, pure=False, workers=workers)

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
        now, limits = time.monotonic(), self.limits
        if self.client.status != "running":
            raise WorkerError(f"the scheduler {self._shown()} is gone ({self.client.status}); {GONE}")
        if now - self._answered > limits.no_worker:
            raise WorkerError(
                f"the scheduler {self._shown()} has not answered for {limits.no_worker:g} s; {GONE}"
            )
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
                what = f"did not end in {limit:.0f} s, though it was tried {limits.tries} times"
                on = f", last on the worker {where}" if where else ""
                raise WorkerError(f"{_named(task.call)} {what}{on}; {GONE}")
            if where:
                task.avoided.add(where)
            task.since = now
            self._begin(task)

    def abandon(self, running: set[Future[Any]]) -> None:
        """Cancel what is under way. What runs on is not waited for: its objects get no place any more."""
        with self._lock:
            tasks = [self._open.pop(future) for future in running if future in self._open]
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
        attempt = self.client.submit(_done, versions(), *call, pure=False, workers=workers)
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
            self._threads, self._answered = (
                {address: each["nthreads"] for address, each in workers.items()},
                time.monotonic(),
            )
            seen = {address: each["last_seen"] for address, each in workers.items()}
            self._silent = {each for each, at in seen.items() if max(seen.values()) - at > SILENT_SECONDS}
            self._processing = {key: worker for worker, keys in processing.items() for key in keys}
            if workers:
                self._manned = self._answered

    def _any_is_late(self) -> bool:
        with self._lock:
            oldest = min((task.since for task in self._open.values()), default=time.monotonic())
        return time.monotonic() - oldest > self.limits.stuck - 10 * LOOK_SECONDS

    def _asked(self, question: Callable[[], Any]) -> Any:
        """Return the answer to a question that may take for ever."""
        answer: Future[Any] = Future()

        def ask() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            return answer.result(self.limits.no_worker)
        except BigimgError:
            raise
        except Exception as error:
            what = f"does not answer ({one_line(error)})"
            raise WorkerError(f"the scheduler {self._shown()} {what}; {GONE}") from error

    def _shown(self) -> str:
        scheduler = self.client.scheduler
        return str(scheduler.address) if scheduler is not None else "of this client"


@dataclass(frozen=True, slots=True)
class _About:
    """What a worker says of itself."""

    versions: Mapping[str, str]
    host: str
    resident: int
    sees: bool
    refusal: str
    """Why it cannot read the source."""


@cache
def versions() -> dict[str, str]:
    """Return the versions that decide which bytes are written."""
    return {name: version(name) for name in ("bigimg-zarr", "imagecodecs", "numpy")}


def _about(reader: Reader | None = None, folder: Path | None = None) -> _About:
    """Run on a worker, and say what it is like."""
    refusal = ""
    if reader is not None:
        try:
            reader.read(tuple(slice(0, 1) for _ in reader.spec.shape))
        except Exception as error:
            refusal = one_line(error)
    sees = folder is None or folder.is_dir()
    return _About(versions(), socket.gethostname(), resident_bytes(), sees, refusal)


def _given(value: Any) -> Any:
    return value


def _done(wanted: Mapping[str, str], function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Run a task on a worker, and say how long it took; a worker may have come after the others were compared."""
    _refuse_other("that has come", versions(), wanted)
    start = time.monotonic()
    result = function(*arguments)
    return time.monotonic() - start, result


def _refuse_other(address: str, its: Mapping[str, str], mine: Mapping[str, str]) -> None:
    for name, number in mine.items():
        if its.get(name) != number:
            what = f"the worker {address} has {name} {its.get(name)}, and this process {number}"
            raise WorkerError(f"{what}, so the bytes may differ; install the same version")


def _of_ours(error: BaseException, call: Task) -> BaseException:
    """Return an error of a task, or of the cluster, as one of ours."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        what = f"{_named(call)} ended every worker that it was given to"
        return WorkerError(
            f"{what}; give the workers more memory, or look into their logs, and run it again to go on"
        )
    if isinstance(error, MemoryError):
        return WorkerError(
            f"{_named(call)} ran out of memory on its worker; give it more, and run it again to go on"
        )
    if type(error).__name__.endswith("CancelledError") or isinstance(error, OSError | TimeoutError):
        if isinstance(error, BigimgError) or getattr(error, "errno", None) is not None:
            return error
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
