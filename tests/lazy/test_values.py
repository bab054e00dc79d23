"""What all blocks of an image need, as a threshold, is computed once, in however many parts they are asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray

import bigimg
from bigimg.geometry.region import count
from bigimg.opening.data_array import to_labelled
from bigimg.readers.arrays.array import read_labelled
from bigimg.types import Array, Region
from tests.virtual import Virtual

PIXELS = np.random.default_rng(0).integers(0, 200, (320, 320)).astype(np.uint8)
MADE: dict[str, tuple[Callable[[xarray.DataArray], xarray.DataArray], int]] = {
    "rescale": (bigimg.rescale, 2),
    "percentiles": (lambda img: bigimg.rescale(img, percentiles=(1, 99)), 2),
    "otsu": (lambda img: bigimg.mask(img, otsu=True), 2),
    "less its mean": (lambda img: img.astype("f4") - img.mean().compute(), 2),
    "made smaller": (lambda img: bigimg.downsample(bigimg.rescale(img), 2), 2),
    "twice": (lambda img: bigimg.rescale(bigimg.rescale(img), "uint16"), 3),
}
"""Operations, and how many passes over the image each is."""


def cut(region: Region) -> Array:
    return PIXELS[region]


def source(order: str) -> Virtual:
    return Virtual(PIXELS.shape, "u1", "yx", (1, 320) if order else (64, 64), cut, order=order)


def lazy(reader: Virtual) -> xarray.DataArray:
    return to_labelled(reader, block_bytes=1 << 13)


def passes(reader: Virtual) -> float:
    return sum(map(count, reader.log)) / PIXELS.size


def total(made: xarray.DataArray, folder: Path) -> int:
    return int(bigimg.stats(made)["sum"])


def written(made: xarray.DataArray, folder: Path) -> Array:
    store = folder / "a.ome.zarr"
    tree = bigimg.write(made, store, chunks=32, shards=64, memory="4GB", progress=False)
    values: Array = tree["scale0"]["image"].values
    return values


def cut_out(made: xarray.DataArray, folder: Path) -> Array:
    patches = bigimg.patches(made, 32)
    return np.stack([patches[i].values for i in range(len(patches))])


@pytest.mark.parametrize("use", [total, written, cut_out])
@pytest.mark.parametrize("order", ["", "yx"], ids=["random", "ordered"])
@pytest.mark.parametrize("name", MADE)
def test_it_is_computed_once(name: str, order: str, use: Callable[..., Any], tmp_path: Path) -> None:
    (make, expected), reader = MADE[name], source(order)
    (tmp_path / "memory").mkdir()
    want = use(make(bigimg.from_array(PIXELS, dims="yx")), tmp_path / "memory")
    made = make(lazy(reader))
    assert not reader.log or name == "less its mean"
    np.testing.assert_allclose(use(made, tmp_path), want, rtol=1e-12)
    assert expected <= passes(reader) < expected + 0.5


def test_a_pass_over_ten_thousand_blocks_has_few_tasks() -> None:
    img = to_labelled(Virtual((6400, 6400), "u1", "yx", (64, 64)), block_bytes=1 << 12)
    assert img.data.npartitions == 10_000
    for make, _ in list(MADE.values())[:3]:
        found = bigimg.stats(make(img))["sum"].data
        assert len(found.__dask_optimize__(found.__dask_graph__(), found.__dask_keys__())) < 200


@pytest.mark.parametrize("order", ["", "yx"], ids=["random", "ordered"])
def test_a_reader_that_is_pickled_knows_what_was_known(order: str) -> None:
    """And computes nothing for it: a client of a cluster holds a lock while it pickles."""
    reader, make = source(order), MADE["otsu"][0]
    made, region = read_labelled(make(lazy(reader))), (slice(3, 70), slice(60, 70))
    unknown = pickle.loads(pickle.dumps(made))
    assert not reader.log
    want = make(bigimg.from_array(PIXELS, dims="yx")).values[region]
    np.testing.assert_array_equal(unknown.read(region), want)
    np.testing.assert_array_equal(made.read(region), want)
    known = pickle.loads(pickle.dumps(made))
    before = len(reader.log)
    assert known.array.own_values[0].get() == made.array.own_values[0].get()
    assert len(reader.log) == before
    np.testing.assert_array_equal(known.read(region), want)


def test_a_part_of_an_ordered_image_does_not_drag_all_before_it() -> None:
    """Two arrays at the bottom of a graph are made one layer by dask: then each band waited for all before it."""
    reader = source("yx")
    masked = bigimg.apply_mask(lazy(reader), PIXELS > 99)
    np.testing.assert_array_equal(masked[300:310].values, np.where(PIXELS > 99, PIXELS, 0)[300:310])
    assert min(region[0].start for region in reader.log) >= 275


def test_a_cluster_in_this_process_never_waits_for_itself() -> None:
    """To compute while the graph is pickled, for which its client holds a lock, hung after a few rounds."""
    from distributed import Client

    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0"):
        for number in range(6):
            img = xarray.DataArray(da.from_array(PIXELS + np.uint8(number), 64) + 1, dims=["y", "x"])
            made = bigimg.rescale(img)
            assert int(bigimg.stats(made)["max"]) == 255
            assert bigimg.downsample(made, 2).values.max() > 200
