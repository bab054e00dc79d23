"""What a dask client knows of its workers: who they are, how much memory and which versions they have, what they see.

A question to a cluster may take for ever, where a process is stopped or a link is cut. Here every question has a limit.
"""

from __future__ import annotations

import math
import pickle
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, fields
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from bigimg.errors import BigimgError, BudgetError, OutputError, UsageError, WorkerError, counted, one_line
from bigimg.planning.check_plan import CheckPlan
from bigimg.planning.memory import MOST
from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Reader
from bigimg.system.memory import resident_bytes

LOOK_SECONDS = 1.0
"""Time between two looks at the cluster."""
PATIENCE = 10.0
"""Seconds to wait for what all workers say, before those that are silent are left out."""
GONE = "look after the cluster, then run it again to go on"
USABLE = 0.75
"""Part of the memory of a worker that a budget may have: dask gives a worker no more tasks from 0.8 on."""


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

    @property
    def silent(self) -> float:
        """Seconds after which a worker that says nothing is left out. Of 2,000, dask lets each be silent for 11."""
        return self.stuck / 2

    @classmethod
    def configured(cls) -> Self:
        """Return the limits that dask's configuration has.

        Raises
        ------
        UsageError
            One of them means nothing.
        """
        import dask
        from dask.utils import parse_timedelta

        found: dict[str, Any] = {}
        for name in (each.name for each in fields(cls)):
            key = f"bigimg.{name.replace('_', '-')}"
            if (value := dask.config.get(key, None)) is None:
                continue
            try:
                number = float(value if name in ("times", "tries") else parse_timedelta(value))
            except (TypeError, ValueError, KeyError):
                number = math.nan
            if not number > 0:
                what = "a number above 0" if name in ("times", "tries") else "a time, as 60s"
                raise UsageError(f"dask's configuration has {key}: {value!r}; give {what}")
            found[name] = int(number) if name == "tries" else number
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Share:
    """What a plan for the workers of a cluster is made with."""

    memory: int
    """Budget in bytes of each worker process."""
    threads: int
    """Of a worker process, the most that one has."""
    resident: int
    """Bytes that are resident there already."""


@dataclass(frozen=True, slots=True)
class About:
    """What a worker says of itself."""

    versions: Mapping[str, str]
    host: str
    resident: int
    unseen: str
    """The first of the folders that it does not see."""
    refusal: str
    """Why it cannot read the source."""


class Workers:
    """The workers of a cluster, asked before the work begins.

    Parameters
    ----------
    client : distributed.Client
    limits : Limits
    """

    def __init__(self, client: Any, limits: Limits) -> None:  # its methods have no types
        self.client, self.limits = client, limits

    def asked(self, question: Callable[[], Any], whom: str = "", *, patience: float = math.inf) -> Any:
        """Return the answer to a question that may take for ever, or for more than ``patience`` seconds.

        Raises
        ------
        WorkerError
            There was none in time.
        """
        answer: Future[Any] = Future()

        def ask() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            return answer.result(seconds := min(patience, self.limits.no_worker))
        except BigimgError:
            raise
        except Exception as error:
            why = one_line(error) if answer.done() else f"not in {seconds:g} s"
            who = whom or f"the scheduler {self.shown()}"
            raise WorkerError(f"{who} does not answer ({why}); {GONE}") from error

    def shown(self) -> str:
        """Return the address of the scheduler."""
        scheduler = self.client.scheduler
        return str(scheduler.address) if scheduler is not None else "of this client"

    def known(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler knows of each worker, by address."""
        return dict(self.asked(lambda: self.client.scheduler_info(n_workers=-1))["workers"])

    def share(self, memory: int | None) -> Share:
        """Return what to plan with; the budget is ``memory``, as far as the workers' limits allow it, or half of these.

        Raises
        ------
        WorkerError
            A worker has another version of bigimg or of its codecs, or does not answer, or there is none.
        """
        about = self.about()
        mine = versions()
        for address, each in about.items():
            refuse_other(address, each.versions, mine)
        known = self.known()
        limits = [int(each.get("memory_limit") or 0) for each in known.values()]
        least = min((limit for limit in limits if limit), default=2 * MOST)
        budget = min(least // 2, MOST) if memory is None else min(memory, int(least * USABLE))
        threads = max((int(each["nthreads"]) for each in known.values()), default=1)
        return Share(budget, threads, max(each.resident for each in about.values()))

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
        about = self.about(reader, folder)
        for address, each in about.items():
            if each.unseen:
                what = f"the worker {address} on {each.host} does not see this folder"
                raise OutputError(f"{folder.parent}: {what}: write to one that all workers share")
            _refuse_blind(address, each, plan.source)
        self.check_threads(plan.source, plan, math.prod(plan.levels[0].objects))
        return any(each.host != socket.gethostname() for each in about.values())

    def check_reading(self, folder: Path | None, source: Reader | None) -> None:
        """Refuse workers that cannot read the store in ``folder`` or its ``source``: they would say that it is damaged.

        Raises
        ------
        WorkerError
        """
        for address, each in self.about(source, *([] if folder is None else [folder])).items():
            if each.unseen:
                what = f"the worker {address} on {each.host} does not see this folder"
                raise WorkerError(f"{folder}: {what}: have the store where all workers see it")
            _refuse_blind(address, each, "" if source is None else source.source)

    def check_threads(self, name: str, plan: ConversionPlan | CheckPlan, tasks: int) -> None:
        """Refuse a worker with more threads than fit into its memory, if there are as many ``tasks``.

        Raises
        ------
        BudgetError
        """
        threads = max((int(each["nthreads"]) for each in self.known().values()), default=1)
        if plan.workers < min(threads, tasks):
            have = (
                f"a worker has {counted(threads, 'thread')}, and memory for {counted(plan.workers, 'task')}"
            )
            raise BudgetError(
                f"{name}: {have}:", needed=plan.peak_bytes * threads // plan.workers, allowed=plan.budget_bytes,
                ways=[f"start workers with --nthreads {plan.workers}", "give them more memory"],
            )  # fmt: skip

    def about(self, reader: object = None, *folders: Path) -> dict[str, About]:
        """Return what each worker says of itself; one that dies meanwhile is not asked again.

        Raises
        ------
        WorkerError
            One does not answer or has not this version of bigimg, or there is none.
        """
        sent = b"" if reader is None else _pickled(reader)
        end = time.monotonic() + self.limits.no_worker
        among: list[str] | None = None  # all
        while True:
            ask = partial(self.client.run, _about, sent, *folders, workers=among, on_error="return")
            try:
                found: dict[str, Any] = self.asked(ask, f"a worker of {self.shown()}", patience=PATIENCE)
            except WorkerError as late:
                if not isinstance(late.__cause__, TimeoutError) or time.monotonic() > end:
                    raise
                among = self._heard()  # one that is stopped is left out
                continue
            silent = {address: each for address, each in found.items() if isinstance(each, BaseException)}
            for address, error in silent.items():
                if isinstance(error, ImportError | AttributeError):
                    what = f"the worker {address} cannot load bigimg-zarr {versions()['bigimg-zarr']}"
                    raise WorkerError(
                        f"{what} ({one_line(error)}); install it there, then run it again"
                    ) from error
            if found and not silent:
                return found
            if time.monotonic() > end:
                if not found:
                    raise WorkerError(
                        f"the scheduler {self.shown()} has no workers; start some, then run it again"
                    )
                address, error = silent.popitem()
                raise WorkerError(
                    f"the worker {address} does not answer ({one_line(error)}); {GONE}"
                ) from error
            time.sleep(LOOK_SECONDS)

    def _heard(self) -> list[str] | None:
        """Return the workers that say something; None for all."""
        seen = {address: float(each["last_seen"]) for address, each in self.known().items()}
        heard = [each for each, at in seen.items() if max(seen.values()) - at <= self.limits.silent]
        return heard or None


@cache
def versions() -> dict[str, str]:
    """Return the versions that decide which bytes are written."""
    return {name: version(name) for name in ("bigimg-zarr", "imagecodecs", "numpy")}


def refuse_other(address: str, its: Mapping[str, str], mine: Mapping[str, str]) -> None:
    """Raise a WorkerError if a worker has other versions."""
    for name, number in mine.items():
        if its.get(name) != number:
            what = f"the worker {address} has {name} {its.get(name)}, and this process {number}"
            raise WorkerError(f"{what}, so the bytes may differ; install the same version")


def _refuse_blind(address: str, about: About, source: str) -> None:
    if about.refusal:
        raise WorkerError(
            f"{source}: the worker {address} cannot read it ({about.refusal}); mend that, then run it again"
        )


def carried_bytes(value: object) -> int:
    """Return about how many bytes it takes to send ``value`` to another process; its arrays are not copied for it.

    Raises
    ------
    UsageError
        It cannot be sent.
    """
    arrays: list[pickle.PickleBuffer] = []
    size = len(_pickled(value, protocol=5, buffer_callback=arrays.append))
    return size + sum(array.raw().nbytes for array in arrays)


def _pickled(value: object, **how: Any) -> bytes:
    import cloudpickle  # of dask; functions of a script or notebook are sent whole

    try:
        return bytes(cloudpickle.dumps(value, **how))
    except Exception as error:
        name = getattr(value, "source", type(value).__name__)
        what = f"cannot be sent to the workers of a cluster ({one_line(error)})"
        raise UsageError(f"{name}: {what}; convert it without one") from error


async def _about(reader: bytes, *folders: Path) -> About:
    """Run on a worker, and say what it is like: in a thread, since its event loop has to answer others meanwhile."""
    import asyncio

    return await asyncio.to_thread(_look_about, reader, *folders)


def _look_about(data: bytes, *folders: Path) -> About:
    refusal = ""
    if data:
        try:
            reader = pickle.loads(data)
            # All channels: what a function makes of a patch has them at once.
            reader.read(tuple(slice(0, axis.size if axis.name == "c" else 1) for axis in reader.spec.axes))
            reader.close()
        except Exception as error:
            refusal = one_line(error)
    unseen = next((str(folder) for folder in folders if not folder.is_dir()), "")
    return About(versions(), socket.gethostname(), resident_bytes(), unseen, refusal)
