"""Regions put together from pieces: right ones, and each piece asked for no more often than what is kept allows."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import bigimg
from bigimg.geometry.region import cells, count, edges_of, full
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.leaves import Plain
from bigimg.lazy.node_of_array import linked_node
from bigimg.lazy.pieces import InTurn, Pieced, Pieces
from bigimg.opening.data_array import to_labelled
from bigimg.types import Array, Region, Shape
from tests.virtual import Virtual

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(tuple)


@given(LENGTHS, LENGTHS, st.data())
def test_any_region_of_any_chunks(rows: Shape, columns: Shape, data: st.DataObject) -> None:
    shape = (sum(rows), sum(columns))
    pixels = np.arange(shape[0] * shape[1]).reshape(shape)
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    region = tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))
    met = list(cells(region, edges_of((rows, columns))))
    assert len({index for index, _ in met}) == len(met)
    for kept in (0, 1 << 20):
        found = Pieced(Plain(xarray.DataArray(pixels)), (rows, columns), kept_bytes=kept)
        np.testing.assert_array_equal(found[region], pixels[region])
    blocks = Foreign(da.from_array(pixels, (rows, columns)) + 1, ("y", "x"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(blocks))[region], pixels[region] + 1)


class Counted(Plain):
    """Pixels that remember which regions were asked for."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(xarray.DataArray(np.arange(np.prod(shape)).reshape(shape)))
        self.asked: list[Region] = []

    def read(self, region: Region) -> Array:
        self.asked.append(region)
        return super().read(region)


def test_what_was_used_last_is_kept() -> None:
    source = Counted((4, 40))
    rows = Pieced(source, ((4,), (4,) * 10), kept_bytes=3 * 16 * 8)
    for start in range(0, 36, 2):  # each meets two or three
        rows[(slice(0, 4), slice(start, start + 5))]
    assert len(source.asked) == 10
    rows[full((4, 40))]
    assert len(source.asked) > 10
    assert len(rows._pieces.found) == 3


def test_of_threads_that_ask_at_once_the_first_piece_goes_first() -> None:
    read: list[int] = []
    go = threading.Event()

    def slow(region: Region) -> Array:
        read.append(region[0].start)
        assert go.wait(10)
        return np.array(0)

    turn = InTurn(slow, [range(5)], (0,))
    threads = [threading.Thread(target=turn.get, args=((index,),)) for index in (0, 3, 1, 2)]
    for thread in threads:
        thread.start()
    while len(turn._wanted) + len(read) < 4:
        threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join(10)
    assert read == [0, 1, 2, 3]


def test_a_source_that_each_block_reads_whole_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.lazy.foreign.TOGETHER_BYTES", 1)
    reader = Virtual((640, 64), "u1", "yx", (64, 64))
    img = to_labelled(reader, block_bytes=64 * 64)
    with pytest.warns(UserWarning, match="compute what all blocks need first"):
        bigimg.patches(img - img.mean(), 64)[0].compute()


def test_a_piece_that_two_threads_want_is_read_once() -> None:
    begun, go, read = threading.Event(), threading.Event(), Counter[Shape]()

    def slow(index: Shape) -> Array:
        read[index] += 1
        begun.set()
        assert go.wait(10)
        return np.array(index)

    pieces = Pieces(slow, 2)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(pieces.get((1,)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert read == {(1,): 1}
    assert [item.tolist() for item in found] == [[1]] * 3


def test_a_piece_that_fails_is_tried_again() -> None:
    left = [OSError("first"), None]

    def read(index: Shape) -> Array:
        if error := left.pop(0):
            raise error
        return np.zeros(1)

    pieces = Pieces(read, 1)
    with pytest.raises(OSError, match="first"):
        pieces.get((0,))
    assert pieces.get((0,)).tolist() == [0]


def test_a_blur_of_computed_blocks_computes_them_about_twice() -> None:
    """By dask's graph each once, and a row of them at a time was held: 1.6 GB of 512 MB."""
    reader = Virtual((4096, 4096), "u1", "yx", (256, 256))
    img = to_labelled(reader, block_bytes=1 << 20) * 2
    assert img.data.npartitions == 16
    small = bigimg.downsample(img, 4, method="gaussian")
    want = bigimg.downsample(img.compute(), 4, method="gaussian")
    reader.log.clear()
    np.testing.assert_array_equal(small.values, want.values)
    assert sum(map(count, reader.log)) <= 2.5 * 4096**2


def test_computed_blocks_are_kept_no_longer_than_an_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.lazy.foreign.TOGETHER_BYTES", 1)
    monkeypatch.setattr("bigimg.lazy.foreign.KEPT_BYTES", 1)  # so all blocks are large ones
    pixels = np.random.default_rng(0).integers(0, 200, (128, 128)).astype(np.uint8)
    img = bigimg.from_array(da.from_array(pixels, (32, 32)) + 1, dims="yx")
    most = []
    for method in ("mean", "gaussian"):
        small = bigimg.downsample(img, 2, method=method)
        node = linked_node(small)
        assert node is not None
        (blocks,) = node.leaves()
        assert isinstance(blocks, Foreign)
        np.testing.assert_array_equal(small.values, bigimg.downsample(img.compute(), 2, method=method).values)
        most.append(blocks._pieces.most)
        assert not blocks._pieces.found
        bigimg.write(small, tmp_path / f"{method}.ome.zarr", progress=False)
        assert not blocks._pieces.found
    assert most == [1, 4]  # a Gaussian needs the blocks around too


def test_who_was_interrupted_while_it_waited_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = InTurn(lambda region: np.array(region[0].start), [list(range(9))], (0,))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(turns._free, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            turns.get((3,))
    assert int(turns.get((5,))) == 5
