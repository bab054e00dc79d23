"""Tiles that are decoded once by several threads, and dropped with their last value."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bigimg.readers.vendor.kept import KeptTiles


class Decoder:
    def __init__(self) -> None:
        self.times = 0
        self.lock = threading.Lock()

    def __call__(self) -> int:
        with self.lock:
            self.times += 1
            return self.times


def test_a_tile_is_kept_until_its_last_value_is_read() -> None:
    kept, decode = KeptTiles[int](2), Decoder()
    assert [kept.get(7, 3, 10, decode) for _ in range(4)] == [1, 1, 1, 1]
    assert kept.get(7, 10, 10, decode) == 2  # all was read: it is decoded again
    assert kept.get(7, 10, 10, decode) == 3


def test_the_tile_that_was_not_read_for_longest_is_dropped_and_none_is_kept_where_none_may_be() -> None:
    kept, decode = KeptTiles[int](2), Decoder()
    found = [kept.get(number, 1, 10, decode) for number in (1, 2, 1, 3, 1, 2)]
    assert found == [1, 2, 1, 3, 1, 4]
    none = KeptTiles[int](0)
    assert [none.get(1, 1, 10, decode) for _ in range(2)] == [5, 6]


def test_threads_wait_for_the_first_and_an_error_is_not_kept() -> None:
    kept, decode = KeptTiles[int](1), Decoder()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: kept.get(1, 1, 9, decode), range(8))) == {1}

    def fail() -> int:
        raise ValueError("damage")

    for _ in range(2):
        with pytest.raises(ValueError, match="damage"):
            kept.get(2, 1, 9, fail)
    assert kept.get(2, 1, 9, decode) == 2
    kept.clear()
    assert kept.get(2, 1, 9, decode) == 3
    assert pickle.loads(pickle.dumps(kept)).get(2, 1, 9, lambda: 8) == 8
