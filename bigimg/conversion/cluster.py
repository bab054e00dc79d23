"""Where the tasks of a pass run: threads of this process, an executor of the user, or a dask cluster."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bigimg.conversion.dask_pool import DaskPool
from bigimg.conversion.dask_workers import GONE, USABLE, carried_bytes
from bigimg.conversion.pool import ExecutorPool, Pool, ThreadPool
from bigimg.errors import BudgetError, MissingExtraError, UsageError, WorkerError, counted, one_line
from bigimg.lazy.dask_compute import in_a_task
from bigimg.lazy.foreign import kept_by_cluster
from bigimg.lazy.node import Node
from bigimg.planning.memory import MOST, budget_bytes, default_budget
from bigimg.planning.options import Options
from bigimg.planning.room import ADVICE_MARGIN
from bigimg.reader import Reader
from bigimg.system.memory import resident_bytes
from bigimg.system.processes import usable_cpus
from bigimg.system.signals import apart
from bigimg.version import install_line

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    import distributed

CONNECT_SECONDS = 10.0
"""Time to reach a scheduler: one that runs answers at once."""
MOST_CARRIED_BYTES = 64_000_000
"""A reader that is larger holds pixels of this process, which do not go through a scheduler to each worker."""


def chosen_cluster(executor: object, reader: Reader | None) -> AbstractContextManager[DaskPool | None]:
    """Return the cluster that ``executor`` or an active client is, so that a plan is made for its workers.

    None where there is none, inside a task of a cluster, for a source of which this process reads the pixels in order,
    for one whose pixels are in its memory, and for an array of which the cluster keeps the blocks and this process
    fetches them: all of these are work for threads. A task that waits for other tasks of
    its cluster may wait for itself, as each of ``client.map(bigimg.convert, …)`` would.

    Parameters
    ----------
    executor : Executor, Client or DaskPool, optional
    reader : Reader, optional
        Of the source; None where there are many, or none.

    Raises
    ------
    UsageError
        ``executor`` runs nothing, or the source cannot be sent to another process.
    WorkerError
        The scheduler does not answer.
    """
    if isinstance(executor, DaskPool):  # of many files
        return nullcontext(executor)
    if isinstance(executor, Executor):
        return nullcontext()
    distributed = sys.modules.get("distributed")  # a client can be active only where it was imported
    if executor is not None and (distributed is None or not isinstance(executor, distributed.Client)):
        raise UsageError(
            f"executor={executor!r} runs nothing: give a concurrent.futures.Executor or a dask Client"
        )
    if distributed is None or in_a_task():
        return nullcontext()
    client: Any = executor
    if client is None:
        with suppress(ValueError):  # no client is active
            client = distributed.get_client()
    if client is None:
        return nullcontext()
    if client.asynchronous:
        raise UsageError("the dask client is asynchronous, and this call waits: give one made without it")
    return nullcontext() if reader is not None and _stays_here(reader) else DaskPool(client)


def _stays_here(reader: Reader) -> bool:
    """Return whether this process reads the pixels of a source, though there is a cluster."""
    array = getattr(reader, "array", None)
    return (
        reader.access.kind == "sequential"
        or (isinstance(array, Node) and kept_by_cluster(array))
        or carried_bytes(reader) > MOST_CARRIED_BYTES
    )


def chosen_pool(
    executor: Executor | distributed.Client | DaskPool | None, workers: int, *, in_order: bool = False
) -> AbstractContextManager[Pool]:
    """Return the pool to use: ``executor`` if it is one, else ``workers`` threads.

    Parameters
    ----------
    executor : Executor, Client or DaskPool, optional
        A client that :func:`chosen_cluster` made no cluster of is not used.
    workers : int
    in_order : bool
        The source is decoded from its start, by this process; its pixels are not sent through a scheduler.
    """
    if isinstance(executor, DaskPool) and not in_order:
        return nullcontext(executor)
    if isinstance(executor, Executor):
        return ExecutorPool(executor, workers)
    return ThreadPool(workers, yielding=in_order)


def for_workers(
    options: Options, cluster: DaskPool | None, memory: int | float | str | None
) -> tuple[Options, int | None]:
    """Return ``options`` for the plan of a worker process, and the bytes that are resident there; None for this one.

    A task of a cluster takes its share of the memory and threads of the worker that it runs in, if no others are asked
    for.

    Parameters
    ----------
    options : Options
    cluster : DaskPool, optional
    memory : int or str, optional
        The budget that was asked for; the environment may ask for one too.

    Raises
    ------
    WorkerError
        A worker has another version of bigimg or of its codecs, or does not answer, or there is none.
    """
    given = memory is not None or bool(os.environ.get("BIGIMG_MEMORY"))
    if cluster is not None:
        share = cluster.share_of_worker(options.memory if given else None)
        return replace(options, memory=share.memory, workers=share.threads), share.resident
    if "distributed" in sys.modules and in_a_task():
        from distributed import get_worker

        worker: Any = get_worker()
        if not given:
            resident, limit = resident_bytes(), worker.memory_manager.memory_limit
            allowed = min(limit // 2, MOST) if limit else default_budget()
            threads = worker.state.nthreads
            options = replace(options, memory=resident + max(0, allowed - resident) // threads)
        return replace(options, workers=options.workers or 1), None
    return options, None


@contextmanager
def joined(
    scheduler: str | None, processes: int | None, memory: int | float | str | None = None
) -> Iterator[None]:
    """Make a cluster the active one for the length of the block; nothing without ``scheduler`` and ``processes``.

    Parameters
    ----------
    scheduler : str, optional
        Address of one that runs, as ``tcp://host:8786``.
    processes : int, optional
        Of a cluster of this machine, each of one thread, which ends with the block; 0 for one a CPU.
    memory : int or str, optional
        Budget of all these processes.

    Raises
    ------
    MissingExtraError, UsageError, WorkerError
    """
    if scheduler is None and processes is None:
        yield
        return
    distributed: Any  # its functions have no types
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            f"a cluster needs the package distributed: {install_line('distributed')}"
        ) from error
    # Its messages about each link that ends say less than our errors.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            client = distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=True)
        except (OSError, TimeoutError) as error:
            raise WorkerError(
                f"the scheduler {scheduler} cannot be reached ({one_line(error)}); {GONE}"
            ) from error
        except ValueError as error:
            raise UsageError(
                f"scheduler {scheduler!r} is no address ({one_line(error)}); write tcp://HOST:8786"
            ) from error
        try:
            yield
        finally:
            client.close(timeout=1)
        return
    count = processes or usable_cpus()
    import multiprocessing

    others = set(multiprocessing.active_children())
    make = partial(
        distributed.LocalCluster, n_workers=count, threads_per_worker=1, processes=True,
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
        memory_limit=int(budget_bytes(memory) / count / USABLE),
    )  # fmt: skip
    try:
        with apart(make) as cluster, distributed.Client(cluster, set_as_default=True):
            try:
                yield
            except BudgetError as error:
                if error.allowed > budget_bytes(memory) / count:  # this process, which decodes in order
                    raise
                raise _of_all(error, count) from error
            finally:
                _end(others)
    finally:
        _end(others)


def _of_all(error: BudgetError, processes: int) -> BudgetError:
    """Return the error of one of ``processes`` that share a budget, with the budget that all of them need."""
    enough = math.ceil(error.needed * ADVICE_MARGIN * processes / 1e6)
    others = [way for way in error.ways if not way.startswith("use memory=")]
    text = f"{error.text.rstrip(':')}, in each of {counted(processes, 'process')}:"
    return BudgetError(
        text, needed=error.needed, allowed=error.allowed, ways=[f"use memory='{enough}MB'", *others]
    )


def _end(others: Collection[BaseProcess]) -> None:
    """End the processes of a cluster, but for ``others``: dask waits 5 s for a worker that works on."""
    import multiprocessing

    for process in multiprocessing.active_children():
        if process not in others:
            process.kill()
