"""How the blocks of a pass are handed out: what is in memory at once."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from bigimg.conversion.workers import in_portions
from bigimg.types import Array


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_portions_than_planned_are_in_memory(limit: int) -> None:
    made: list[weakref.ref[Array]] = []
    alive: list[int] = []

    def read() -> list[tuple[Any, ...]]:
        pixels = np.zeros((4, 1000))
        made.append(weakref.ref(pixels))
        alive.append(sum(ref() is not None for ref in made))
        return [(np.sum, row) for row in pixels]

    def portions() -> Iterator[Any]:
        for _ in range(6):
            yield read

    with ThreadPoolExecutor(2) as pool:
        assert list(in_portions(pool.submit, portions(), limit)) == [0.0] * 24
    assert max(alive) <= limit
