"""Runs of the ``bigimg`` command by the hundred: one process has all libraries loaded and forks a child for each.

A child is a process of its own that runs the command line's ``main`` and can be killed, stopped, traced and limited
like any other; it only does without the quarter second that loading takes. Through a pipe it says at which step of
:mod:`bigimg.conversion.commit` it is, so a kill can be put anywhere between two of them.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bigimg.system import os_calls

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""A process with threads is not to be forked."""


@dataclass(frozen=True)
class Ended:
    """What a run left behind."""

    code: int
    """Exit code; minus the signal that killed it."""
    out: str
    err: str
    steps: tuple[str, ...]
    """Steps of the commit that it told of."""
    moments: tuple[float, ...]
    """When it told of each, in seconds after its start."""
    seconds: float

    @property
    def line(self) -> str:
        """The one line on stderr, which is an error of ours."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("bigimg: "), self.err
        return lines[0]

    @property
    def resumed(self) -> int:
        """Blocks that an earlier run had finished."""
        return int(json.loads(self.out)["blocks_resumed"])


class Nursery:
    """The side of the tests."""

    def __init__(self, scratch: Path, way: str = "system") -> None:
        """Let all runs use what this system offers, or only what is ``portable``."""
        self.logs = scratch
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.faults.nursery", str(scratch), way],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD},
            cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def start(
        self, *args: object, stopped: bool = False, hold: str | None = None, file_bytes: int | None = None,
        groups: Sequence[Path] = (),
    ) -> int:  # fmt: skip
        """Start ``bigimg`` with ``args`` and return its process id.

        Parameters
        ----------
        stopped : bool
            It waits for SIGCONT before its first step, so that a tracer can be attached.
        hold : str, optional
            The step at which it stays for ever.
        file_bytes : int, optional
            RLIMIT_FSIZE.
        groups : sequence of Path
            Control groups that it joins.
        """
        asked = {
            "stopped": stopped,
            "hold": hold,
            "file_bytes": file_bytes,
            "groups": [str(g) for g in groups],
        }
        return int(self._ask(start=[str(arg) for arg in args], **asked)["pid"])

    def finish(
        self, pid: int, *, kill_after: int | None = None, delay: float = 0.0, timeout: float = 60
    ) -> Ended:
        """Wait for the end of ``pid``, or kill it ``delay`` seconds after its step number ``kill_after``."""
        got = self._ask(finish=pid, kill_after=kill_after, delay=delay, timeout=timeout)
        assert got["code"] is not None, f"still runs after {timeout} s, at {got['steps']}"
        said = []
        for name in ("out", "err"):
            log = self.logs / f"{pid}.{name}"
            said.append(log.read_text() if log.exists() else "")  # killed before it had one
            log.unlink(missing_ok=True)
        out, err = said
        return Ended(got["code"], out, err, tuple(got["steps"]), tuple(got["moments"]), got["seconds"])

    def wait_for(self, pid: int, step: str) -> None:
        """Return when the child ``pid`` has reached ``step``."""
        assert self._ask(wait_for=pid, step=step)["reached"], "it ended before"

    def run(self, *args: object, timeout: float = 60, **asked: Any) -> Ended:
        """Run ``bigimg`` with ``args`` to its end."""
        return self.finish(self.start(*args, **asked), timeout=timeout)

    def _ask(self, **request: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


# ------------------------------------------------------------------------------------------- the other process


@dataclass
class Child:
    """A run under way, as its parent sees it."""

    pid: int
    pipe: int
    started: float
    steps: list[str]
    moments: list[float]

    def read(self, deadline: float) -> bool:
        """Take in what the child told; return False at its end, or raise TimeoutError."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.pipe], [], [], left)[0]:
            raise TimeoutError
        told = os.read(self.pipe, 1 << 16).decode().split()
        self.steps += told[::2]
        self.moments += [float(moment) - self.started for moment in told[1::2]]
        return bool(told)


def serve(logs: Path) -> None:
    """Answer requests, a line of JSON each, until there are no more."""
    load(logs)
    for _ in range(100):  # one that was joined is still there for a moment
        if len(os.listdir("/proc/self/task")) == 1:
            break
        time.sleep(0.05)
    children: dict[int, Child] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            assert len(os.listdir("/proc/self/task")) == 1, "threads do not survive a fork"
            child = fork(request, logs, children)
            children[child.pid] = child
            answer: dict[str, object] = {"pid": child.pid}
        elif "wait_for" in request:
            child = children[request["wait_for"]]
            deadline = time.monotonic() + 60
            while request["step"] not in child.steps and child.read(deadline):
                pass
            answer = {"reached": request["step"] in child.steps}
        else:
            answer = finish(children.pop(request["finish"]), request)
        print(json.dumps(answer), flush=True)


def load(logs: Path) -> None:
    """Import what a conversion and a check import, by doing both."""
    import numpy as np
    import tifffile

    from bigimg import cli

    os.environ["BIGIMG_MEMORY"] = "1GB"
    source, target = logs / "first.tif", logs / "first.ome.zarr"
    tifffile.imwrite(source, np.zeros((64, 64), np.uint16), tile=(64, 64), compression="zlib")
    cli.cli.main(["convert", str(source), str(target), "-q"], standalone_mode=False)
    cli.cli.main(["verify", str(target), "-q"], standalone_mode=False)


def fork(request: dict[str, Any], logs: Path, others: dict[int, Child]) -> Child:
    ours, theirs = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        for other in others.values():
            os.close(other.pipe)
        run(request, theirs, logs)
    os.close(theirs)
    return Child(pid, ours, started, [], [])


def run(request: dict[str, Any], pipe: int, logs: Path) -> NoReturn:
    """Be the command, and nothing else, to the end."""
    code = 70
    try:
        os.setsid()
        for descriptor, name in ((1, "out"), (2, "err")):
            file = os.open(logs / f"{os.getpid()}.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
            os.dup2(file, descriptor)
            os.close(file)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for group in request["groups"]:
            Path(group, "cgroup.procs").write_text(str(os.getpid()))
        if request["stopped"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        if request["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], resource.RLIM_INFINITY))
        code = command(request, pipe)
        sys.stdout.flush()  # here, for an error of it would be that of the command
    finally:
        os._exit(code)


def command(request: dict[str, Any], pipe: int) -> int:
    from bigimg import cli
    from bigimg.conversion import commit

    def tell(step: str) -> None:
        os.write(pipe, f"{step} {time.monotonic()}\n".encode())  # all at once: it is short
        while step == request["hold"]:
            signal.pause()

    commit.hook = tell
    sys.argv = ["bigimg", *request["start"]]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def finish(child: Child, request: dict[str, Any]) -> dict[str, object]:
    """Wait for the end, or bring it about."""
    after, deadline = request["kill_after"], time.monotonic() + request["timeout"]
    code: int | None = None
    try:
        while after is None or len(child.steps) < after:
            if not child.read(deadline):
                break
        else:
            time.sleep(request["delay"])
            os.kill(child.pid, signal.SIGKILL)
        while child.read(deadline):
            pass
        status = os.waitpid(child.pid, 0)[1]
        code = os.waitstatus_to_exitcode(status)
    except TimeoutError:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
    os.close(child.pipe)
    seconds = time.monotonic() - child.started
    return {"code": code, "steps": child.steps, "moments": child.moments, "seconds": seconds}


if __name__ == "__main__":
    if sys.argv[2] == "portable":
        os_calls.found = os_calls.OsCalls()
    serve(Path(sys.argv[1]))
