"""What a whole process costs: wall and CPU seconds, peak memory, bytes written; contenders take turns.

The figures are the kernel's own accounting of the finished child and all it waited for (``wait4``), so nothing runs
beside what is measured. Every run starts from the same state: inputs and programs in the page cache, no dirty pages of
the run before, no output of its own, an empty home folder. What a run leaves in the page cache is not on disk yet; how
long that takes is measured apart, as ``flush``.

Outputs are removed when all turns are over, and the next job waits a minute: ext4 does not give out an inode that was
freed in the last minute, and looks at each of them whenever a file is created. With outputs removed between the turns,
a third of the CPU time of ``dzsave`` and its thousands of tiles was that search (``perf``: recently_deleted).

Nothing heavy may be imported here: a child is a copy of this process until it starts its own program, so its peak
memory is never less than ours.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

FIGURES = ("wall", "cpu", "peak", "stored", "flush")
SHRINK = int(os.environ.get("BIGIMG_BENCH_SHRINK", "1"))
"""How many times smaller the sides of all images are: more than 1 for a trial, whose figures say nothing."""
AWAKE_BYTES = (8 << 30) // SHRINK**2
"""More than any job has in memory and page cache at once."""
FORGOTTEN_SECONDS = int(os.environ.get("BIGIMG_BENCH_PAUSE", 65 // SHRINK**2))
"""ext4 remembers for 60 seconds, and looks again when it has written. Who writes few files may pause less."""
_removed_at = [time.monotonic()]
"""When files were last removed; nobody knows what was before this process."""


@dataclass(frozen=True)
class Contender:
    """A command that takes part; ``{output}`` in it stands for where it writes."""

    name: str
    command: tuple[str, ...]
    writes: str = ""
    """Name of what it leaves in the scratch folder; empty for nothing."""


@dataclass(frozen=True)
class Run:
    """What one run cost."""

    wall: float
    """Seconds from start to exit."""
    cpu: float
    """Seconds, user and system, of all its processes."""
    peak: int
    """Bytes of resident memory of the largest of its processes."""
    stored: int
    """Bytes of all files it left."""
    flush: float
    """Seconds until what it left is on the disk."""


def take_turns(contenders: Sequence[Contender], runs: int, scratch: Path) -> dict[str, list[Run]]:
    """Run each contender ``runs`` times, A B A B ..., and return its runs in order; all outputs stay."""
    results: dict[str, list[Run]] = {c.name: [] for c in contenders}
    for turn in range(runs):
        for contender in contenders:
            run = run_once(contender, scratch / f"turn{turn}")
            results[contender.name].append(run)
            print(f"  {turn + 1}/{runs} {contender.name:<14} {told(run)}", flush=True)
    return results


@contextmanager
def fresh(scratch: Path) -> Iterator[Path]:
    """Give an empty folder for the outputs of a job, and remove it with all that is in it at the end."""
    time.sleep(max(0.0, _removed_at[0] + FORGOTTEN_SECONDS - time.monotonic()))
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        _removed_at[0] = time.monotonic()


def run_once(contender: Contender, scratch: Path, *, home: Path | None = None) -> Run:
    """Run a contender in ``scratch`` and return what it cost; its output, which must not be there, stays.

    Raises
    ------
    SystemExit
        It failed; its own last lines are in the message.
    """
    home = home or scratch / "home"
    for folder in (home, scratch / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    output = scratch / contender.writes
    command = [part.replace("{output}", str(output)) for part in contender.command]
    log = scratch / "log.txt"
    os.sync()
    with log.open("wb") as stream:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=scratch, env=environment(home, scratch / "tmp"),
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {child.returncode}: {log.read_text()[-2000:]}")
    before = time.perf_counter()
    os.sync()
    flush = time.perf_counter() - before
    stored = size_of(output) if contender.writes else 0
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, stored, flush)


def environment(home: Path, temporary: Path) -> dict[str, str]:
    """Return the environment of a child: nothing of ours that could slow it down or speed it up.

    Above all no ``PYTHONDONTWRITEBYTECODE``, with which every process compiles all it imports.
    """
    return {
        "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"),
        "TMPDIR": str(temporary),
    }  # fmt: skip


def warm(*paths: Path) -> None:
    """Read every file of ``paths`` once, so that all contenders find them in the page cache."""
    buffer = bytearray(1 << 22)
    for path in paths:
        for file in files_in(path):
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass


def awaken_memory(size: int = AWAKE_BYTES) -> None:
    """Write to ``size`` bytes of memory once and free them, so that no contender is the first to use them.

    A virtual machine gets its memory from the host when it first writes to it: seen here 0.3 GB/s, against 3 GB/s
    for the second time. Whoever writes the most would pay for all. In a process of its own, for ours must stay small.
    """
    program = f"import mmap; m = mmap.mmap(-1, {size})\nfor i in range(0, {size}, 4096): m[i] = 1"
    subprocess.run((sys.executable, "-c", program), check=True)


def files_in(path: Path) -> Iterator[Path]:
    """Yield the regular files of a folder, or the file itself."""
    if path.is_file():
        yield path
        return
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if file.is_file():
                yield file


def size_of(path: Path) -> int:
    """Return the bytes of all files of ``path`` and, as ``dzsave`` writes them, of ``path_files`` beside it."""
    beside = path.with_name(path.name + "_files")
    return sum(file.stat().st_size for part in (path, beside) for file in files_in(part))


def median(runs: Sequence[Run] | Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    rows = [asdict(run) if isinstance(run, Run) else run for run in runs]
    return {name: statistics.median(row[name] for row in rows) for name in FIGURES}


def told(run: Run) -> str:
    """Return the figures of a run for a person."""
    return (
        f"{run.wall:8.2f} s  {run.cpu:8.2f} CPU-s  {run.peak / 1e6:7.0f} MB peak  "
        f"{run.stored / 1e6:8.0f} MB stored  flush {run.flush:.2f} s"
    )
