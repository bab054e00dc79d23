"""bigimg in a child process: how it ended, what it said, and the most memory it ever held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = """\
import sys
from bigimg import cli
try:
    cli.main()
finally:
    with open("/proc/self/status") as status:  # VmHWM: getrusage also counts what the parent held before exec
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    with open({peak!r}, "w") as file:
        file.write(peak)
"""
ONE_WARNING_IS_ONE_TOO_MANY = ("-W", "error")


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str
    peak_bytes: int
    seconds: float

    @property
    def line(self) -> str:
        """The only line on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("bigimg: "), self.err
        return lines[0]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def start(*args: object, scratch: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start ``bigimg`` with ``args``; its peak memory in kB will be in ``scratch/peak``."""
    code = COMMAND.format(peak=str(scratch / "peak"))
    return subprocess.Popen(
        [sys.executable, *ONE_WARNING_IS_ONE_TOO_MANY, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})},
    )  # fmt: skip


def ended(process: subprocess.Popen[str], scratch: Path, timeout: float) -> Ended:
    """Wait for ``process``, at most ``timeout`` seconds; then it hangs, and is killed."""
    started = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args} still runs after {timeout} s: {err}") from None
    peak = scratch / "peak"
    held = int(peak.read_text()) * 1024 if peak.exists() else 0
    return Ended(process.returncode, out, err, held, time.monotonic() - started)


def bigimg(*args: object, scratch: Path, timeout: float = 60, env: Mapping[str, str] | None = None) -> Ended:
    """Run the command to its end."""
    return ended(start(*args, scratch=scratch, env=env), scratch, timeout)
