"""What threads share is made once, and is new in another process."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from threading import Barrier

from bigimg.system.shared import Lock, Shared


def test_it_is_made_once_until_it_is_taken() -> None:
    made: list[int] = []
    shared: Shared[int] = Shared()
    barrier = Barrier(4)

    def make() -> int:
        made.append(len(made))
        return made[-1]

    def get(_: int) -> int:
        barrier.wait()
        return shared.get(make)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(get, range(4))) == [0, 0, 0, 0]
    assert shared.take() == 0
    assert shared.take() is None
    assert shared.get(make) == 1


def test_copies_are_new() -> None:
    shared: Shared[object] = Shared()
    shared.get(open_of_another_process)
    for copied in (copy(shared), pickle.loads(pickle.dumps(shared))):
        assert copied.value is None
        assert copied.get(lambda: 7) == 7
    lock = Lock()
    with lock, copy(lock), pickle.loads(pickle.dumps(lock)):  # it would wait for itself
        pass


def open_of_another_process() -> object:
    return lambda: None  # cannot be pickled
