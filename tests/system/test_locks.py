"""One holder at a time, and none that is dead, with the locks of the kernel and without."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigimg.errors import OutputError
from bigimg.system import locks, os_calls

HOLDER = """
import sys, time
from pathlib import Path
from bigimg.system import locks, os_calls
if sys.argv[2] == "portable":
    os_calls.found = os_calls.OsCalls()
lock = locks.take(Path(sys.argv[1]), shared=sys.argv[3] == "shared")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=["file", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / request.param
    made.touch() if request.param == "file" else made.mkdir()
    return made


def holder(path: Path, way: str, kind: str = "exclusive") -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), way, kind], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def killed(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def free(path: Path, **how: bool) -> bool:
    try:
        locks.take(path, **how).release()
    except BlockingIOError:
        return False
    return True


def test_one_at_a_time(path, each_way):
    lock = locks.take(path)
    assert not free(path)
    assert not free(path, shared=True)
    lock.release()
    lock.release()
    assert free(path)
    first, second = locks.take(path, shared=True), locks.take(path, shared=True)
    assert not free(path)
    first.release()
    assert not free(path)
    del second
    assert free(path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lock_goes_with_its_process_and_no_sooner(path, each_way, number):
    child = holder(path, each_way)
    assert not free(path)
    child.send_signal(number)
    if number == signal.SIGSTOP:
        assert not free(path)
    killed(child)
    assert free(path)
    assert os.listdir(path.parent) == [path.name]


def test_shared_with_another_process(path, each_way):
    child = holder(path, each_way, "shared")
    assert free(path, shared=True)
    assert not free(path)
    killed(child)
    assert free(path)


def test_a_forked_process_does_not_give_it_back(tmp_path, each_way):
    (tmp_path / "file").touch()
    code = (
        "import os, sys; from pathlib import Path; from bigimg.system import locks, os_calls\n"
        "if sys.argv[2] == 'portable': os_calls.found = os_calls.OsCalls()\n"
        "lock = locks.take(Path(sys.argv[1]))\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    lock.release(); os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "try: locks.take(Path(sys.argv[1]))\n"
        "except BlockingIOError: print('held')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file"), each_way],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "held\n"


def test_what_is_not_there_is_not_locked(tmp_path, each_way):
    with pytest.raises(FileNotFoundError):
        locks.take(tmp_path / "file")
    assert os.listdir(tmp_path) == []
    locks.take(tmp_path / "file", create=True).release()
    assert os.listdir(tmp_path) == ["file"]


def test_who_waits_gets_it_next(tmp_path, each_way):
    path, order = tmp_path / "file", []

    def work() -> None:
        with locks.locked(path, every=0.001):
            order.append("second")

    with locks.locked(path, create=True):
        thread = threading.Thread(target=work)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_many_at_once_hold_it_one_after_the_other(tmp_path, each_way):
    path, inside, most = tmp_path / "file", [], []

    def work() -> None:
        for _ in range(5):
            with locks.locked(path, create=True, every=0.001):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF])
def test_a_volume_without_locks_is_locked_by_claims(path, monkeypatch, number):
    def cannot(file: int, kind: int) -> None:
        raise OSError(number, os.strerror(number))

    real = os_calls.found.fcntl
    fcntl = SimpleNamespace(flock=cannot, LOCK_EX=real.LOCK_EX, LOCK_SH=real.LOCK_SH, LOCK_NB=real.LOCK_NB)
    monkeypatch.setattr(os_calls, "found", replace(os_calls.found, fcntl=fcntl))
    lock = locks.take(path)
    assert not free(path)
    lock.release()
    assert free(path)


def test_a_claim_of_another_machine_is_told(path, monkeypatch):
    monkeypatch.setattr(os_calls, "found", os_calls.OsCalls())
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(locks, "_host", lambda: "fedcba98")
        lock = locks.take(path)
    with pytest.raises(OutputError, match=rf"\.lock: process {os.getpid()} of another machine"):
        locks.take(path)
    lock.release()
    assert free(path)


def test_a_number_that_another_process_has_now_is_no_holder(path, monkeypatch):
    monkeypatch.setattr(os_calls, "found", os_calls.OsCalls())
    with monkeypatch.context() as before:
        before.setattr(locks, "_process", lambda: f"{os.getppid()}-1000")
        locks.take(path)._give_back = None  # it ended without giving it back
    assert len(os.listdir(path.parent)) == 2
    assert free(path)
    assert os.listdir(path.parent) == [path.name]
