"""What is made of a source that is read in one order: read once and in that order, to the same numbers."""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import dask
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.geometry.region import count
from bigimg.lazy.bands import Rolling, band_of
from bigimg.lazy.node_of_array import node_of
from bigimg.opening.data_array import to_labelled
from bigimg.ops.downsampling import windows
from bigimg.types import Array, Region
from tests.virtual import Virtual

ROWS = np.random.default_rng(0).integers(0, 255, (3, 191, 67)).astype(np.uint8)


def ordered(pixels: Array, dims: str, order: str, block_bytes: int) -> tuple[Virtual, xarray.DataArray]:
    """Return ``pixels`` as a source that goes forward only, and its image."""
    chunks = tuple(n if name in (order[-1], "c") else 1 for name, n in zip(dims, pixels.shape, strict=True))

    def read(region: Region) -> Array:
        time.sleep(
            0.0005
        )  # a read that takes no time leaves dask's threads with nothing to do but to run ahead
        return pixels[region]

    reader = Virtual(pixels.shape, pixels.dtype, dims, chunks, read, order=order)
    return reader, to_labelled(reader, block_bytes=block_bytes)


def at_random(pixels: Array, dims: str) -> xarray.DataArray:
    """Return the same image of a source that gives any region."""
    reader = Virtual(pixels.shape, pixels.dtype, dims, pixels.shape, lambda region: pixels[region])
    return to_labelled(reader, block_bytes=1 << 20)


def assert_forwards(reader: Virtual, order: Sequence[str], passes: int = 1) -> None:
    """Check that each read begins behind the one before, but for the first of each further pass."""
    axes = [reader.spec.axis(name) for name in order if name != "c"]
    shape = [reader.spec.shape[axis] for axis in axes]
    ends = []
    for region in reader.log:
        first = [region[axis].start for axis in axes]
        last = [region[axis].stop - 1 for axis in axes]
        ends.append((np.ravel_multi_index(first, shape), np.ravel_multi_index(last, shape)))
    backwards = sum(begin <= end for (_, end), (begin, _) in itertools.pairwise(ends))
    assert backwards == passes - 1
    assert ends


MADE: dict[str, Callable[[Any], Any]] = {
    "mean": lambda img: bigimg.downsample(img, 3),
    "gaussian": lambda img: bigimg.downsample(img, 4, method="gaussian"),
    "gaussian of one axis": lambda img: bigimg.downsample(img, {"x": 2}, method="gaussian"),
    "nearest": lambda img: bigimg.resize(img, (50, 20), method="nearest"),
    "areas": lambda img: bigimg.resize(img, (83, 31)),
    "pyramid": lambda img: bigimg.build_pyramid(img, levels=4, method="gaussian")["scale3"]["image"],
    "grey": bigimg.gray,
    "box": lambda img: bigimg.crop(img, {"y": (11, 160), "x": (5, 40)}),
    "one of another": lambda img: bigimg.resize(bigimg.gray(bigimg.crop(img, {"y": (20, 180)})), (49, 30)),
    "computed of it": lambda img: bigimg.mask(bigimg.downsample(img, 3, method="gaussian"), above=100),
}


@pytest.mark.parametrize("name", list(MADE))
@pytest.mark.parametrize("how", ["counted", "computed"])
def test_each_row_is_read_once_and_in_order(name: str, how: str) -> None:
    """Counted by a pass of ours, and by the graph that dask makes of it."""
    reader, img = ordered(ROWS, "cyx", "yxc", 6 * 67 * 3)
    made, same = MADE[name](img), MADE[name](at_random(ROWS, "cyx"))
    assert not reader.log
    if how == "computed":
        np.testing.assert_array_equal(made.values, same.values)
    else:
        found, want = bigimg.stats(made).compute(), bigimg.stats(same).compute()
        np.testing.assert_array_equal(found["sum"], want["sum"])
        np.testing.assert_array_equal(found["max"], want["max"])
    assert_forwards(reader, "yxc")


BEFORE: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda img: img // 2 + 1,
    "one channel": lambda img: img.isel(c=1),
    "a part": lambda img: img[:, 10:171, 3:],
    "every second": lambda img: img[:, ::2, ::2],
    "less its mean": lambda img: img - img.mean(),
    "filled": lambda img: bigimg.apply_mask(img, np.arange(ROWS[0].size).reshape(ROWS[0].shape) % 3 > 0),
}
"""What dask makes of an image, block by block."""


@pytest.mark.parametrize("before", list(BEFORE))
@pytest.mark.parametrize("name", [name for name in MADE if "gr" not in name and name != "one of another"])
def test_each_row_is_read_in_order_also_behind_work_of_dasks(name: str, before: str) -> None:
    """By dask's graph of overlapping parts of it, all bands were there at once: 8.8 GB of 512 MB."""
    reader, img = ordered(ROWS, "cyx", "yxc", 6 * 67 * 3)
    name = name if before in ("arithmetic", "less its mean", "filled") or name != "box" else "mean"
    made, same = (MADE[name](BEFORE[before](source)) for source in (img, at_random(ROWS, "cyx")))
    assert not reader.log
    found, want = bigimg.stats(made).compute(), bigimg.stats(same).compute()
    xarray.testing.assert_allclose(found, want, rtol=1e-12)
    passes = 2 if before == "less its mean" else 1
    assert sum(map(count, reader.log)) <= passes * ROWS.size
    if before != "less its mean":  # that is dask's, and reads ahead
        assert_forwards(reader, "yxc")


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 14), st.integers(1, 8)),
    factors=st.fixed_dictionaries({}, optional={name: st.integers(1, 4) for name in "tzyx"}),
    method=st.sampled_from(["mean", "gaussian", "max"]),
    block=st.sampled_from([1, 60, 400, 5000]),
    order=st.sampled_from(["tzyx", "tzxy", "ztyx"]),
)
def test_any_shape_order_and_factor(
    shape: Any, factors: dict[str, int], method: Any, block: int, order: str
) -> None:
    """Also where several planes make one: these are then read whole, for the source cannot go back."""
    pixels = np.random.default_rng(1).integers(0, 99, shape).astype(np.uint8)
    step = {name: min(f, shape["tzyx".index(name)]) for name, f in factors.items()}
    reader, img = ordered(pixels, "tzyx", order, block)
    with dask.config.set(scheduler="synchronous"):
        small = bigimg.downsample(img, step, method=method)
        want = bigimg.downsample(at_random(pixels, "tzyx"), step, method=method).values
        found = bigimg.stats(small).compute()
        assert float(found["sum"]) == want.sum()
        axes = [reader.spec.axis(name) for name in order]
        starts = [[region[axis].start for axis in axes] for region in reader.log]
        assert starts == sorted(starts)
        np.testing.assert_array_equal(small.values, want)


@pytest.mark.parametrize("order", ["tzyx", "ztyx"])
@pytest.mark.parametrize("make", [
    lambda img: bigimg.downsample(img // 2, {"t": 2, "z": 2}),
    lambda img: bigimg.downsample(img.diff("t"), {"y": 2, "x": 2}),
    lambda img: bigimg.downsample(img.isel(t=[0, 1, 4, 2, 3]), {"y": 2}),
    lambda img: bigimg.downsample(img[::-1], {"y": 2}),
])  # fmt: skip
def test_what_dask_makes_in_an_order_of_its_own(make: Any, order: str) -> None:
    """Where its blocks do not follow the source one by one they are left to its graph, which reads each once."""
    pixels = np.random.default_rng(1).integers(0, 99, (5, 6, 20, 7)).astype(np.uint8)
    reader, img = ordered(pixels, "tzyx", order, 140)
    np.testing.assert_array_equal(make(img).values, make(at_random(pixels, "tzyx")).values)
    assert_forwards(reader, order)


def test_planes_that_are_made_of_several_are_not_cut() -> None:
    whole = windows((40, 30, 20), np.dtype("u1"), (4, 1, 1), "gaussian")
    assert band_of(whole, "zyx", "zyx", "zyx", 100) == ((1, 30, 20), "z")
    rows = windows((40, 30, 20), np.dtype("u1"), (1, 3, 1), "mean")
    assert band_of(rows, "zyx", "zyx", "zyx", 240) == ((1, 4, 20), "y")


def test_only_what_is_needed_again_is_kept() -> None:
    pixels = np.arange(400).reshape(40, 10)
    smooth = windows(pixels.shape, pixels.dtype, (2, 1), "gaussian")
    rolling = Rolling(node_of(xarray.DataArray(pixels, dims=("y", "x"))), smooth, 0, 0)
    for start in range(0, 20, 5):
        region = (slice(start, start + 5), slice(0, 10))
        source = smooth.source(region)
        np.testing.assert_array_equal(rolling.read(source, region), pixels[source])
        kept = rolling._kept
        assert kept is None if start == 15 else kept is not None and kept[1].shape == (2, 10)
    again = (slice(3, 4), slice(0, 10))
    np.testing.assert_array_equal(rolling.read(smooth.source(again), again), pixels[smooth.source(again)])
    assert pickle.loads(pickle.dumps(rolling))._kept is None


@pytest.mark.parametrize(
    ("make", "passes"),
    [
        (lambda img: bigimg.mask(img, otsu=True), 2),
        (lambda img: bigimg.rescale(img, "uint16"), 2),
        (lambda img: bigimg.rescale(img, percentiles=(1, 99)), 2),
        (lambda img: bigimg.stack([img.isel(c=0), img.isel(c=2)], "c"), 1),
        (lambda img: bigimg.stack([img, img], "z"), 2),
        (lambda img: bigimg.rescale(bigimg.downsample(img, 2)), 2),
    ],
)
def test_what_all_blocks_need_is_a_pass_of_its_own(make: Any, passes: int) -> None:
    """dask would begin with the blocks, and hold them until the threshold is there: 1.3 GB of 512 MB."""
    reader, img = ordered(ROWS, "cyx", "yxc", 6 * 67 * 3)
    found = bigimg.stats(make(img)).compute()
    want = bigimg.stats(make(at_random(ROWS, "cyx"))).compute()
    xarray.testing.assert_allclose(found, want, rtol=1e-12)
    assert_forwards(reader, "yxc", passes)


def test_a_thumbnail_of_rows_in_order() -> None:
    reader, img = ordered(ROWS, "cyx", "yxc", 6 * 67 * 3)
    small = bigimg.thumbnail(img, 20)
    np.testing.assert_array_equal(small, bigimg.thumbnail(at_random(ROWS, "cyx"), 20))
    assert_forwards(reader, "yxc")


@pytest.mark.parametrize("ends", [((3, 2), (180, 50)), ((180, 2), (3, 66)), ((9.5, 60), (9.5, 1))])
def test_a_line_is_followed_in_the_order_of_the_rows(ends: Any) -> None:
    reader, img = ordered(ROWS, "cyx", "yxc", 6 * 67 * 3)
    line = bigimg.profile(img, *ends)
    assert not reader.log
    np.testing.assert_array_equal(line.values, bigimg.profile(at_random(ROWS, "cyx"), *ends).values)
    assert_forwards(reader, "yxc")


def test_a_column_is_read_band_by_band() -> None:
    reader, img = ordered(ROWS, "cyx", "yxc", 6 * 67 * 3)
    np.testing.assert_array_equal(bigimg.plane(img, "x", index=9).values, ROWS[:, :, 9])
    assert_forwards(reader, "yxc")
    assert sum(region[2].stop - region[2].start for region in reader.log) == len(reader.log)


def test_lines_through_planes_that_come_one_after_another() -> None:
    """Each plane keeps its own; a line across the planes leaves rows whole, and is left to dask."""
    for ends in (({"y": 3, "x": 2}, {"y": 150, "x": 60}), ({"z": 0}, {"z": 2})):
        reader, img = ordered(ROWS, "zyx", "zyx", 9 * 67)
        line = bigimg.profile(img, *ends)
        np.testing.assert_array_equal(line.values, bigimg.profile(at_random(ROWS, "zyx"), *ends).values)
        if "z" not in ends[0]:
            assert_forwards(reader, "zyx")


def test_renamed_axes_are_no_hindrance() -> None:
    pixels = ROWS[0]
    _, img = ordered(pixels, "yx", "yx", 600)
    small = bigimg.downsample(img, 2).rename(y="z")
    want = bigimg.downsample(bigimg.from_array(pixels), 2).rename(y="z")
    np.testing.assert_array_equal(
        bigimg.downsample(small, 3, method="gaussian").values,
        bigimg.downsample(want, 3, method="gaussian").values,
    )


def test_a_small_part_of_a_chunk_lets_go_of_the_rest() -> None:
    lazy = bigimg.from_array(ROWS[0]).chunk(y=100, x=67) + 0
    part = bigimg.crop(lazy, {"y": (3, 5), "x": (3, 9)}).data
    block = part.__dask_graph__()
    with dask.config.set(scheduler="synchronous"):
        (found,) = dask.get(dict(part.__dask_optimize__(block, part.__dask_keys__())), part.__dask_keys__())
    assert found[0].base is None
    np.testing.assert_array_equal(found[0], ROWS[0, 3:5, 3:9])


def test_an_image_and_the_mask_made_of_it_share_each_band() -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (600, 40)).astype(np.uint8)
    reader, img = ordered(pixels, "yx", "yx", block_bytes=40 * 40)
    found = bigimg.stats(img, where=bigimg.mask(img, below=5))
    assert int(found["count"]) == (pixels < 5).sum()
    reader.log.clear()
    found.compute()
    assert_forwards(reader, "yx")
    assert sum(map(count, reader.log)) == pixels.size
