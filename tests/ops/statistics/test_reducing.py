"""The pass behind every count: what it reads, how often, for whom, and that nothing depends on how it was cut."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.geometry.region import count
from bigimg.opening.data_array import to_labelled
from bigimg.ops.statistics.tallies import Sums
from bigimg.types import Array
from tests.ops.statistics.test_stats import volume
from tests.virtual import Virtual


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def opened(reader: Virtual, block_bytes: int = 1 << 16) -> xarray.DataArray:
    return to_labelled(reader, block_bytes=block_bytes)


# ------------------------------------------------------------------------------------------------ what is read


def test_each_chunk_is_read_once_for_everything() -> None:
    reader = Virtual((3, 301, 513), "u2", "cyx", (1, 64, 64))
    found = bigimg.stats(opened(reader), bins=100, range=(0, 300)).compute()
    assert found["histogram"].sum() == 3 * 301 * 513
    pixels = Counter(
        (c, y // 64, x // 64)
        for region in reader.log
        for c in range(region[0].start, region[0].stop)
        for y in range(region[1].start, region[1].stop, 64)
        for x in range(region[2].start, region[2].stop, 64)
    )
    assert set(pixels.values()) == {1}
    assert sum(math.prod(s.stop - s.start for s in region) for region in reader.log) == 3 * 301 * 513


def test_many_channels_of_16_bits_share_the_memory() -> None:
    """A histogram a channel in each of 32 tasks would be a gigabyte."""
    reader = Virtual((64, 100, 200), "u2", "cyx", (1, 50, 50))
    graph = bigimg.histogram(opened(reader, 20000)).__dask_graph__()
    assert sum(isinstance(key, tuple) and key[0].startswith("bigimg-pass") for key in graph) <= 2
    pixels = volume("u2", 64, 100, 200)
    found = bigimg.stats(bigimg.from_array(pixels, dims="cyx")).compute()
    assert found["sum"].values.tolist() == pixels.sum((1, 2), dtype=int).tolist()
    np.testing.assert_allclose(found["std"], pixels.std((1, 2)), rtol=1e-9)
    assert found["saturated"].values.tolist() == (pixels == 65535).sum((1, 2)).tolist()


def test_chunks_that_the_mask_leaves_empty_are_not_read() -> None:
    """One true pixel a chunk is enough to read it, and none is not: no level of the mask is asked."""
    mask = np.zeros((600, 1000), bool)
    mask[0, 0] = mask[599, 999] = mask[260, 400] = True
    reader = Virtual((3, 600, 1000), "u1", "cyx", (1, 64, 64))
    found = bigimg.stats(opened(reader), where=mask).compute()
    assert list(found["count"]) == [3, 3, 3]
    assert reader.chunks_read() == {
        (c, y // 64, x // 64) for c in range(3) for y, x in ((0, 0), (599, 999), (260, 400))
    }
    np.testing.assert_array_equal(found["max"], [max(0, 999 % 251, 400 % 251)] * 3)


def test_a_mask_of_one_channel_spares_the_others() -> None:
    mask = np.zeros((3, 192, 192), bool)
    mask[1, 80, 80] = True
    reader = Virtual((3, 192, 192), "u1", "cyx", (1, 64, 64))
    assert list(bigimg.histogram(opened(reader), where=mask).sum("bin").compute()) == [0, 1, 0]
    assert reader.chunks_read() == {(1, 1, 1)}


def test_an_empty_mask_reads_nothing() -> None:
    reader = Virtual((100, 100), "f4", "yx", (10, 10))
    found = bigimg.stats(opened(reader), where=np.zeros((100, 100), bool)).compute()
    assert int(found["count"]) == 0
    assert not reader.log
    assert np.isnan(bigimg.percentile(opened(reader), [5, 95], where=np.zeros((100, 100), bool)).values).all()
    assert not reader.log


@pytest.mark.parametrize("lazy", ["image", "mask", "both", "shared"])
def test_masks_and_images_that_are_computed(lazy: str) -> None:
    reader = Virtual((64, 640), "u1", "yx", (64, 64))
    mask = np.zeros((64, 640), bool)
    mask[10, 100] = mask[63, 639] = True
    img = opened(reader, 64 * 64)
    where: Any = xarray.DataArray(mask, dims=("y", "x")).chunk(y=64, x=64)
    if lazy in ("image", "both"):
        img = img + 1
    if lazy in ("mask", "both"):
        where = where & True
    if lazy == "shared":  # its blocks are cut from one: dask's own graph computes them
        where = xarray.DataArray(mask, dims=("y", "x")).chunk().chunk(x=60)
    found = bigimg.stats(img, where=where).compute()
    assert (int(found["count"]), int(found["max"])) == (2, (137 if lazy in ("mask", "shared") else 138))
    if lazy in (
        "mask",
        "shared",
    ):  # of what dask computes a block comes before it is known that nobody wants it
        assert reader.chunks_read() == {(0, 1), (0, 9)}


def test_a_label_image_reads_only_where_there_are_labels() -> None:
    labels = np.zeros((640, 640), np.int32)
    labels[5, 5], labels[635, 95] = 7, 3
    reader = Virtual((640, 640), "u1", "yx", (64, 64))
    found = bigimg.stats(opened(reader, 4096), by=labels)
    assert list(found.label.values) == [3, 7]
    assert list(found["max"].values) == [95, 5]
    assert reader.chunks_read() == {(0, 0), (9, 1)}


def test_plain_pixels_are_spared_by_the_page() -> None:
    """Where nothing is decoded a chunk is a run of 64 pixels, or one: reading each alone took 30 times as long."""
    mask = np.zeros((256, 1024), bool)
    mask[100:200, 100:900:2] = True
    reader = Virtual((256, 1024), "u1", "yx", (1, 1))
    found = bigimg.stats(opened(reader), where=mask).compute()
    assert int(found["count"]) == mask.sum()
    assert all(count(region) >= 4096 for region in reader.log)
    assert sum(map(count, reader.log)) == 192 * 896


def test_an_ordered_source_is_read_in_its_order() -> None:
    reader = Virtual((3, 90, 40), "u1", "cyx", (3, 1, 40), order="yxc")
    bigimg.stats(opened(reader, 3 * 40 * 8)).compute()
    starts = [region[1].start for region in reader.log]
    assert starts == sorted(starts)
    assert len(starts) > 5


@pytest.mark.parametrize("factor", [3, {"y": 4, "x": 2}])
def test_what_is_downsampled_of_an_ordered_source_is_read_once_and_in_order(factor: Any) -> None:
    """By dask's graph all bands were read ahead of the counting: 631 MB where 512 were allowed."""
    reader = Virtual((3, 90, 40), "u1", "cyx", (3, 1, 40), order="yxc")
    small = bigimg.downsample(opened(reader, 3 * 40 * 8), factor)
    found = bigimg.stats(small).compute()
    starts = [region[1].start for region in reader.log]
    assert starts == sorted(set(starts))
    want = bigimg.downsample(
        bigimg.from_array(reader.read((slice(0, 3), slice(0, 90), slice(0, 40))), dims="cyx"), factor
    )
    np.testing.assert_array_equal(found["sum"], want.values.sum((1, 2), dtype=np.int64))


def test_what_is_computed_from_an_ordered_source_is_read_in_its_order() -> None:
    """And a band at a time: dask's own scheduler would read ahead of the counting without end."""
    reader = Virtual((90, 40), "u1", "yx", (1, 40), order="yx")
    found = bigimg.stats(opened(reader, 40 * 8) * 2).compute(scheduler="threads")
    starts = [region[0].start for region in reader.log]
    assert starts == sorted(set(starts))
    assert int(found["count"]) == 90 * 40
    img = opened(reader, 40 * 8)
    reader.log.clear()
    found = bigimg.stats(img, where=img > 20).compute(scheduler="threads")
    pixels = np.broadcast_to(np.arange(40), (90, 40))
    assert (int(found["min"]), found["sum"].item()) == (21, int(pixels[pixels > 20].sum()))
    starts = [region[0].start for region in reader.log]
    assert starts == sorted(set(starts))  # the band of the image serves its mask too
    middle = bigimg.percentile(img.astype("f4"), [30, 60], where=img > 20).compute(scheduler="threads")
    np.testing.assert_allclose(middle, np.percentile(pixels[pixels > 20], [30, 60]))


def test_large_blocks_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of float64 for all of a block there is no room in the budget that its size was taken from."""
    most: list[int] = []
    real = Sums.add
    monkeypatch.setattr(Sums, "add", lambda self, values: (most.append(values.size), real(self, values))[1])
    pixels = volume("f4", 3, 700, 1500)
    for img in (bigimg.from_array(pixels, dims="cyx").chunk() * 2, bigimg.from_array(pixels, dims="cyx")):
        most.clear()
        found = bigimg.stats(img).compute()
        assert sum(most) == pixels.size
        assert max(most) <= 1 << 20
    np.testing.assert_allclose(found["mean"], pixels.astype(float).mean((1, 2)), rtol=1e-12)


def test_building_costs_neither_reads_nor_time_that_grows() -> None:
    """10^5 blocks: operations are some tasks, whatever the image."""
    reader = Virtual((1 << 17, 1 << 17), "u1", "yx", (512, 512))
    img = to_labelled(reader, block_bytes=1 << 18, chunks={"y": 512, "x": 256})
    assert img.data.npartitions > 10**5
    tracemalloc.start()
    made = [
        bigimg.stats(img), bigimg.histogram(img), bigimg.percentile(img, 50), bigimg.otsu(img),
        bigimg.sweep(img, [3]), bigimg.fraction(bigimg.mask(img, below=9)), bigimg.stats(img, where=img > 5),
    ]  # fmt: skip
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    tasks = [sum(len(layer) for layer in made[i].__dask_graph__().layers.values()) for i in range(5)]
    assert max(tasks) < 1000
    assert not reader.log


# ---------------------------------------------------------------------------------------- the same whatever the cut


CUTS = st.integers(1, 23)


@settings(max_examples=30)
@given(
    CUTS,
    CUTS,
    st.sampled_from(["u1", "i2", "u8", "f4", "f8"]),
    st.sampled_from(["as is", "native", "masked"]),
)
def test_no_digit_depends_on_the_cut(rows: int, columns: int, dtype: str, how: str) -> None:
    pixels = volume(dtype, 2, 23, 19)
    mask = volume("?", 23, 19, seed=2)
    with dask.config.set(scheduler="synchronous"):
        img = bigimg.from_array(pixels, dims="cyx").chunk(y=rows, x=columns)
        if how == "native":  # blocks that share what they come from
            img = img.copy(data=img.data.rechunk((1, 7, 19)))
        where = mask if how == "masked" else None
        found = bigimg.stats(img, where=where).compute()
        whole = bigimg.stats(bigimg.from_array(pixels, dims="cyx"), where=where).compute()
        middle = bigimg.percentile(img, 30.0, where=where).values
    for name in found.data_vars:
        a, b = found[name].values, whole[name].values
        if dtype.startswith("f") and name in ("mean", "std", "sum"):
            np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=1e-12)
        else:
            assert a.tolist() == b.tolist(), name
    chosen = [channel[mask] if how == "masked" else channel.ravel() for channel in pixels]
    np.testing.assert_array_equal(middle, [np.percentile(c.astype(np.float64), 30.0) for c in chosen])


def test_the_same_on_every_scheduler(tmp_path: Path) -> None:
    pixels = volume("u2", 200, 300, 3)
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", progress=False, chunks=64)
    img = bigimg.open(tmp_path / "a.ome.zarr", chunks=64)

    def answers() -> list[Any]:
        found = bigimg.stats(img * 2, where=img > 1000)
        return [
            found.compute().to_dict(), bigimg.histogram(img.astype("f4"), bins=9).values.tolist(),
            bigimg.percentile(img.astype("i4"), [3, 50]).values.tolist(), bigimg.fraction(img < 500).values.tolist(),
            bigimg.stats((img - img.mean()), by=None).compute()["std"].round(9).item(),
        ]  # fmt: skip

    serial = answers()
    with dask.config.set(scheduler="threads"):
        assert answers() == serial
    from distributed import Client

    with (
        Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as client,
        dask.config.set(scheduler=client.get),
    ):
        assert answers() == serial


# --------------------------------------------------------------------------------------------- blocks that dask makes


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        lambda a: a < 5,
        lambda a: da.where(a > 3, a, 0)[5:, ::2],
        lambda a: a.T,
        lambda a: da.stack([a, a + 1]),
        lambda a: da.concatenate([a, a]),
        lambda a: bigimg.stack([xarray.DataArray(a, dims=("y", "x"))] * 2, "z").data,
        lambda a: a - a.mean(),  # which all need, and is computed before
        lambda a: a - a.mean(axis=0),
        lambda a: a.rechunk((3, 20)),
        lambda a: da.dot(a, a.T),
        lambda a: a + a[:1].rechunk((1, 4)),
        lambda a: dask.optimize(a - a.mean())[0],
        lambda a: a.persist(),
    ],
)
def test_whatever_dask_makes_is_counted(make: Any) -> None:
    array = da.from_array(np.arange(400.0).reshape(20, 20), chunks=4)
    with dask.config.set(scheduler="synchronous"):
        made = make(array)
        img = xarray.DataArray(made, dims=("z", "y", "x")[-made.ndim :])
        assert float(bigimg.stats(img)["sum"]) == pytest.approx(float(np.asarray(made).sum()), abs=1e-9)


def test_shared_blocks_are_computed_once() -> None:
    """The mean of the image is no part of each block's work."""
    reads: list[int] = []

    def counted(block: Array) -> Array:
        reads.append(block.size)
        return block

    data = da.ones((40, 40), chunks=4).map_blocks(counted, meta=np.empty((0, 0)))
    img = xarray.DataArray(data - data.mean(), dims=("y", "x"))
    reads.clear()
    assert float(bigimg.stats(img)["max"]) == 0
    assert len(reads) <= 3 * 100


# ------------------------------------------------------------------------------------------ numbers of closed form


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
def test_a_constant_of_many_pixels(dtype: str) -> None:
    shape = (1 << 3, 1 << 12, 1 << 12)
    made = np.full((1, 1 << 12, 1 << 9), 7, dtype)
    reader = Virtual(shape, dtype, "zyx", (1, 1 << 12, 1 << 9), lambda region: _same(made, region))
    found = bigimg.stats(to_labelled(reader, block_bytes=1 << 26)).compute()
    n = math.prod(shape)
    assert [int(found[name]) for name in ("count", "min", "max", "sum")] == [n, 7, 7, 7 * n]
    assert (float(found["mean"]), float(found["std"])) == (7.0, 0.0)


def _same(made: Array, region: Any) -> Array:
    return made[tuple(slice(0, s.stop - s.start) for s in region)]


def test_ids_beyond_the_floats() -> None:
    """2**53 and the number after it are one float64, and two labels."""
    names = np.array([0, 2**53, 2**53 + 1, 2**63 - 1])
    ids = names[np.random.default_rng(0).integers(0, 4, (60, 70))]
    pixels = volume("u8", 60, 70)
    found = bigimg.stats(bigimg.from_array(pixels).chunk(y=11), by=bigimg.from_array(ids).chunk(y=11))
    assert found.label.values.tolist() == names[1:].tolist()
    assert [int(n) for n in found["sum"].values] == [sum(map(int, pixels[ids == name])) for name in names[1:]]


def test_sums_that_would_wrap() -> None:
    for dtype in ("u8", "i8"):
        pixels = np.full((1000, 11), np.iinfo(dtype).max, dtype)
        found = bigimg.stats(bigimg.from_array(pixels).chunk(y=100)).compute()
        assert found["sum"].item() == 11000 * int(np.iinfo(dtype).max)
        assert int(found["saturated"]) == 11000
        assert float(found["std"]) == 0
    low = np.full((10, 10), np.iinfo("i8").min)
    assert bigimg.stats(bigimg.from_array(low)).compute()["sum"].item() == 100 * int(np.iinfo("i8").min)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["constant", "ramp"])
def test_a_hundred_billion_pixels(kind: str) -> None:
    """10^11 pixels against the closed form."""
    shape, chunk = (10**5, 10**6), (500, 10**4)
    ramp = np.broadcast_to((np.arange(10**4) % 250).astype(np.uint8), chunk).copy()
    made = ramp if kind == "ramp" else np.full(chunk, 200, np.uint8)
    reader = Virtual(shape, "u1", "yx", chunk, lambda region: _same(made, region))
    with dask.config.set(scheduler="threads"):
        found = bigimg.stats(to_labelled(reader, block_bytes=1 << 26)).compute()
    values = range(250) if kind == "ramp" else [200]
    each = 10**11 // len(values)
    assert int(found["count"]) == 10**11
    assert found["sum"].item() == each * sum(values)
    squares = each * sum(v * v for v in values)
    assert float(found["std"]) == math.sqrt(10**11 * squares - (each * sum(values)) ** 2) / 10**11
