"""How the blocks of a pass are handed out: what is in memory at once."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest

import bigimg
from bigimg.conversion.cluster import chosen_cluster, chosen_pool
from bigimg.conversion.pool import ExecutorPool, in_portions
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
        assert list(in_portions(ExecutorPool(pool, 2), portions(), limit)) == [0.0] * 24
    assert max(alive) <= limit


def _converted(path: str) -> tuple[int, ...]:
    bigimg.convert(path, path + ".ome.zarr", progress=False)
    return bigimg.open(path + ".ome.zarr").shape


def test_on_a_cluster(tmp_path: Path) -> None:
    """Conversions inside tasks end, though each needs the thread that it runs in; all threads get work from outside."""
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.zeros((60, 70 + number), np.uint8))
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as machines,
        distributed.Client(machines) as client,
    ):
        futures = client.map(_converted, [str(tmp_path / f"{number}.npy") for number in range(3)])
        assert client.gather(futures) == [(60, 70), (60, 71), (60, 72)]
        with chosen_cluster(None, None) as cluster, chosen_pool(cluster, 2) as pool:
            assert pool.slots() == 3
        with chosen_cluster(None, None) as cluster, chosen_pool(cluster, 2, in_order=True) as pool:
            assert pool.slots() == 2
    with chosen_cluster(None, None) as cluster, chosen_pool(cluster, 2) as pool:
        assert pool.slots() == 2
