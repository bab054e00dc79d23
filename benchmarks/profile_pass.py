"""What each step of a conversion costs in CPU seconds, in one thread: a table, most expensive first.

    uv run --no-sync benchmarks/profile_pass.py SOURCE [--memory 512MB] [--codec lz4]

The functions of the pass are wrapped with a clock of the thread's CPU time; a step that calls another is charged with
its own part only. User and system seconds are told apart for the whole: page faults and writing are the system's.
Two processes at once share the memory bandwidth, so the sum here is a little less than what a run costs.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


class Clock:
    """CPU seconds and system seconds by step; steps nest."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.system: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.inner: list[list[float]] = [[0.0, 0.0]]

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` with its own time charged to ``step``."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self.inner.append([0.0, 0.0])
            started = used()
            try:
                return function(*args, **kwargs)
            finally:
                spent = [now - then for now, then in zip(used(), started, strict=True)]
                nested = self.inner.pop()
                self.seconds[step] += spent[0] - nested[0]
                self.system[step] += spent[1] - nested[1]
                self.calls[step] += 1
                for i, seconds in enumerate(spent):
                    self.inner[-1][i] += seconds

        return call

    def wrap(self, step: str, owner: Any, *names: str) -> None:
        """Time the functions ``names`` of a module or class as one step."""
        for name in names:
            setattr(owner, name, self.timed(step, getattr(owner, name)))


def used() -> tuple[float, float]:
    """Return the CPU seconds of this thread, exact, and the system's part of them, sampled every few ms."""
    return time.thread_time(), resource.getrusage(resource.RUSAGE_THREAD).ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("--memory", default="512MB")
    parser.add_argument("--codec", default="lz4")
    parser.add_argument("--scratch", type=Path, default=Path(__file__).parent / "data" / "out")
    asked = parser.parse_args()
    asked.scratch.mkdir(parents=True, exist_ok=True)
    # Not in the main thread: there blosc would use threads of its own, whose time is not ours to see.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(profile, asked).result()


def profile(asked: argparse.Namespace) -> None:
    """Convert with every step timed and print the table."""
    clock = Clock()
    began, wall = used(), time.perf_counter()
    run = clock.timed("import", _import)()
    folder = Path(tempfile.mkdtemp(dir=asked.scratch))
    try:
        plan, stored = run(clock, asked, folder / "profile.ome.zarr")
    finally:
        shutil.rmtree(folder)
    total, system = (now - then for now, then in zip(used(), began, strict=True))
    clock.seconds["the rest"] = total - sum(clock.seconds.values())
    clock.system["the rest"] = system - sum(clock.system.values())

    decoded = plan.spec.nbytes
    print(f"{Path(asked.source).name}: {decoded / 1e6:.0f} MB decoded, {stored / 1e6:.0f} MB stored, "
          f"{time.perf_counter() - wall:.2f} s wall, {total:.2f} CPU-s of which system {system:.2f}")  # fmt: skip
    print(
        "| step | CPU-s | of which system | calls | MB/s of the source |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for step in sorted(clock.seconds, key=clock.seconds.__getitem__, reverse=True):
        seconds = clock.seconds[step]
        rate = f"{decoded / seconds / 1e6:.0f}" if seconds > 0.005 and step != "import" else ""
        print(f"| {step} | {seconds:.2f} | {clock.system[step]:.2f} | {clock.calls[step] or ''} | {rate} |")


def _import() -> Callable[..., Any]:
    """Load what ``convert`` loads and return the function that does the rest."""
    import google_crc32c
    import numpy as np

    from bigimg.conversion import block, finish
    from bigimg.conversion.run import run
    from bigimg.conversion.schedule import SerialExecutor
    from bigimg.omezarr import shard
    from bigimg.omezarr.codecs import Codec
    from bigimg.placing import open_place
    from bigimg.planning.options import options
    from bigimg.planning.plan import make_plan
    from bigimg.pyramid import kernels

    def convert(clock: Clock, asked: argparse.Namespace, target: Path) -> tuple[Any, int]:
        clock.wrap("encode", Codec, "encode")
        clock.wrap("checksum", google_crc32c, "value", "extend")
        clock.wrap("write", shard, "_write_all")
        clock.wrap("read back", block, "read_region")
        clock.wrap("create files, index", block, "write_shard")
        clock.wrap("chunk copies", shard, "_whole_chunk")
        clock.wrap("means", kernels, "downsample")
        clock.wrap("statistics", block, "of_channel")
        clock.wrap("planes, blocks to contiguous", np, "ascontiguousarray")
        clock.wrap("metadata", finish, "write_metadata")
        reader = clock.timed("open", open_place)(asked.source)
        clock.wrap("read", type(reader), "read")
        plan = clock.timed("plan", make_plan)(
            asked.source, str(target), reader.spec, reader.access,
            options(memory=asked.memory, codec=asked.codec),
        )  # fmt: skip
        try:
            result = run(plan, reader, executor=SerialExecutor(), progress=False)
        finally:
            reader.close()
        return plan, result.stored_bytes

    return convert


if __name__ == "__main__":
    main()
