"""``strace`` on a child of the nursery: count its system calls, kill it at one of them, or let one fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.nursery import Ended, Nursery

LINE = re.compile(r"(\d+) +(?:\+\+\+|---|<\.\.\. )?(\w+)\(")


def needs_strace() -> None:
    """Skip the test where there is no strace, or nobody may trace another process here."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace: apt-get install strace")
    tried = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.decode()[:100]}")


def traced(nursery: Nursery, command: tuple[str, ...], log: Path, *expressions: str) -> Ended:
    """Run ``bigimg`` under strace from its first step on, with ``-e`` of each of ``expressions``."""
    pid = nursery.start(*command, stopped=True)
    while "\nState:\tT" not in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.001)
    options = [word for expression in expressions for word in ("-e", expression)]
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(pid), "-o", str(log), *options], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, said
    os.kill(pid, signal.SIGCONT)
    ended = nursery.finish(pid)
    tracer.communicate(timeout=30)
    return ended


def calls(log: Path) -> dict[str, int]:
    """Return how often each system call was made, by the thread that made it most: so ``when=`` counts."""
    by_thread: Counter[tuple[str, str]] = Counter()
    for line in log.read_text().splitlines():
        if (match := LINE.match(line)) and "resumed>" not in line:
            by_thread[match[2], match[1]] += 1
    most: dict[str, int] = {}
    for (name, _), count in by_thread.items():
        most[name] = max(count, most.get(name, 0))
    return most
