"""Patches against windows cut out by numpy, scikit-learn's shapes, and counts of what is read."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.errors import BudgetError, CorruptChunk, MissingChunk, UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, ImageSpec
from bigimg.opening.data_array import to_labelled
from bigimg.ops.patches.sequence import SHOWN
from bigimg.reader import Access
from bigimg.system.memory import resident_bytes
from bigimg.types import Array, Region, Shape
from tests.conversion.sources import CountingReader
from tests.virtual import Virtual


class Counted:
    """An image in chunks that counts how often each is read."""

    def __init__(self, pixels: Array, dims: str, chunks: Shape, kind: str = "random") -> None:
        self.pixels = pixels
        axes = tuple(Axis(name, size) for name, size in zip(dims, pixels.shape, strict=True))
        self.spec = ImageSpec(axes, pixels.dtype, chunks, channels=RGB if "c" in dims else ())
        self.access = Access(kind, "counted", tuple(dims) if kind == "sequential" else ())  # type: ignore[arg-type]
        self.source = "counted"
        self.reads: Counter[Shape] = Counter()

    def read(self, region: Region) -> Array:
        for index in itertools.product(
            *(range(s.start // c, -(-s.stop // c)) for s, c in zip(region, self.spec.chunks, strict=True))
        ):
            self.reads[index] += 1
        return self.pixels[region]

    def close(self) -> None:
        pass


def noise(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def extract_patches_2d(image: Array, patch: tuple[int, int]) -> Array:
    """What scikit-learn's function of this name returns, as its page defines it: all places, row after row."""
    windows = np.lib.stride_tricks.sliding_window_view(image, patch, axis=(0, 1))
    if image.ndim == 3:
        windows = np.moveaxis(windows, 2, -1)
    return windows.reshape(-1, *windows.shape[2:])


# ------------------------------------------------------------------------------------------------ what they hold


@pytest.mark.parametrize("shape", [(23, 31, 3), (23, 31)])
def test_all_places_are_those_of_scikit_learn(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    found = bigimg.patches(image, (7, 5), stride=1).stack()
    expected = extract_patches_2d(image, (7, 5))
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 37), st.integers(1, 41)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
    st.sampled_from(["shift", "pad", "drop"]),
    st.sampled_from([np.uint8, np.float32, np.int64, bool]),
)
def test_a_grid_holds_what_numpy_cuts(
    shape: tuple[int, int], size: tuple[int, int], stride: tuple[int, int], edge: Any, dtype: Any
) -> None:
    image = noise(*shape, dtype=dtype)
    if edge != "pad" and (size[0] > shape[0] or size[1] > shape[1]):
        with pytest.raises(UsageError, match="size"):
            bigimg.patches(image, size, stride=stride, edge=edge)
        return
    found = bigimg.patches(image, size, stride=stride, edge=edge, fill=1)
    padded = np.full((shape[0] + 60, shape[1] + 60), dtype(1))
    padded[: shape[0], : shape[1]] = image
    places = found.coords.compute()
    expected = [
        padded[y : y + size[0], x : x + size[1]]
        for y, x in zip(places.y_index.values, places.x_index.values, strict=True)
    ]
    np.testing.assert_array_equal(found.stack(), np.array(expected).reshape(-1, *size))
    some = np.arange(len(found))[::-2]
    np.testing.assert_array_equal(found[some].stack(), np.array(expected)[some])
    for patch in found[:3]:
        y, x = int(places.y_index[int(patch.patch)]), int(places.x_index[int(patch.patch)])
        np.testing.assert_array_equal(patch.values, padded[y : y + size[0], x : x + size[1]])


def test_items_are_cut_out_of_the_image_with_its_coordinates() -> None:
    image = bigimg.from_array(noise(50, 60, 3), dims="yxc", spacing=(0.5, 0.25), unit="um")
    found = bigimg.patches(image, (8, 10), n=20, seed=1)
    places = found.coords.compute()
    for number in (0, 7, -1):
        patch = found[number]
        y, x = int(places.y_index[number]), int(places.x_index[number])
        expected = image.isel(y=slice(y, y + 8), x=slice(x, x + 10)).assign_coords(patch=number % 20)
        xarray.testing.assert_identical(patch, expected.compute())
        assert patch.bigimg.spacing == pytest.approx({"y": 0.5, "x": 0.25})
        assert float(places.y_position[number]) == float(patch.y[0])
    assert places.y_position.attrs["units"] == "micrometer"
    assert {int(patch.patch) for patch in found} == set(range(20))


def test_planes_of_a_volume_lose_the_axes_that_the_size_leaves_out() -> None:
    volume = bigimg.from_array(noise(4, 5, 20, 30, dtype=np.uint16), dims="tzyx", spacing=2.0, unit="mm")
    planes = bigimg.patches(volume, (10, 15))
    assert planes.dims == ("y", "x")
    assert len(planes) == 4 * 5 * 2 * 2
    last = planes[-1]
    expected = volume.isel(t=3, z=4, y=slice(10, 20), x=slice(15, 30)).assign_coords(patch=79)
    xarray.testing.assert_identical(last, expected.compute())
    boxes = bigimg.patches(volume, {"z": 3, "y": 10, "x": 15}, edge="drop")
    assert boxes.dims == ("z", "y", "x")
    np.testing.assert_array_equal(boxes[4].values, volume.values[1, 0:3, 0:10, 0:15])
    assert boxes.stack().shape == (16, 3, 10, 15)
    assert bigimg.patches(volume, 5)[0].shape == (5, 5, 5)


def test_beyond_the_edge_coordinates_go_on() -> None:
    image = bigimg.from_array(noise(10, 10), dims="yx", spacing=3.0, unit="mm")
    last = bigimg.patches(image, (4, 4), edge="pad", fill=9)[-1]
    assert last.y.values.tolist() == [24.0, 27.0, 30.0, 33.0]
    assert (last.values[2:] == 9).all()
    assert last.bigimg.spacing == {"y": 3.0, "x": 3.0}


def test_scaling_is_applied_and_levels_are_chosen(tmp_path: Path) -> None:
    pixels = noise(300, 400, 3)
    tree = bigimg.write(
        bigimg.from_array(pixels, dims="yxc"), tmp_path / "a.ome.zarr", chunks={"c": 1, "y": 64, "x": 64}
    )
    coarse = tree["scale1"].image
    for source in (tmp_path / "a.ome.zarr", tree):
        found = bigimg.patches(source, (20, 30), level=1)
        np.testing.assert_array_equal(found[3].values, coarse.values[:, 0:20, 90:120])
    assert "not yet" not in repr(found)


def test_the_dataset_is_the_stack() -> None:
    image = bigimg.from_array(noise(50, 60, 3), dims="yxc", spacing=0.5)
    found = bigimg.patches(image, (8, 10), n=30, seed=0)
    dataset = found.to_dataset()
    assert dataset.image.chunks is not None
    np.testing.assert_array_equal(dataset.image.values, found.stack("first"))
    np.testing.assert_array_equal(dataset.isel(patch=[3, 9]).image.values, found[[3, 9]].stack("first"))
    assert dataset.patch.values.tolist() == list(range(30))
    assert dataset.y.values.tolist() == (np.arange(8) * 0.5).tolist()


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_schedulers_agree(scheduler: str, store: Path) -> None:
    found = bigimg.patches(store, (33, 47), n=60, seed=5)
    np.testing.assert_array_equal(
        found.to_dataset().image.compute(scheduler=scheduler).values, found.stack("first")
    )


def test_a_distributed_scheduler_agrees(store: Path) -> None:
    distributed = pytest.importorskip("distributed")
    found = bigimg.patches(store, (33, 47), n=60, seed=5)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        np.testing.assert_array_equal(found.to_dataset().image.compute().values, found.stack("first"))


# ---------------------------------------------------------------------------------------------------------- masks


def masks() -> Iterator[Any]:
    rng = np.random.default_rng(1)
    blob = np.zeros((61, 83), bool)
    blob[20:50, 30:70] = rng.random((30, 40)) < 0.7
    yield from (blob, np.zeros_like(blob), np.ones_like(blob), rng.random(blob.shape) < 0.5)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("edge", ["shift", "pad", "drop"])
@pytest.mark.parametrize("least", [0.0, 0.25, 0.5, 1.0])
def test_a_mask_keeps_the_patches_that_it_covers(number: int, edge: Any, least: float) -> None:
    mask, image = [*masks()][number], noise(61, 83, 3)
    every = bigimg.patches(image, (9, 12), stride=(4, 5), edge=edge)
    shares = bigimg.patches(mask, (9, 12), stride=(4, 5), edge=edge).stack().mean(axis=(1, 2))
    found = bigimg.patches(image, (9, 12), stride=(4, 5), edge=edge, where=mask, min_fraction=least)
    chosen = np.flatnonzero(shares >= least)
    assert "not yet counted" in repr(found)
    assert len(found) == len(chosen)
    np.testing.assert_array_equal(found.stack(), every.stack()[chosen])


def test_masks_of_volumes_of_planes_and_of_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.ops.patches.cutting.BOX_BYTES", 200)  # many boxes, cut along both axes
    volume = noise(7, 31, 44)
    mask = noise(7, 31, 44) < 90
    of_volume = bigimg.patches(volume, (3, 8, 9), stride=(2, 5, 4), where=mask, min_fraction=0.45)
    shares = bigimg.patches(mask, (3, 8, 9), stride=(2, 5, 4)).stack().mean(axis=(1, 2, 3))
    every = bigimg.patches(volume, (3, 8, 9), stride=(2, 5, 4)).stack()
    np.testing.assert_array_equal(of_volume.stack(), every[shares >= 0.45])
    plane = xarray.DataArray(mask[0], dims=("y", "x"))
    same_everywhere = bigimg.patches(volume, (8, 9), where=plane, min_fraction=0.45)
    shares = bigimg.patches(mask[0], (8, 9)).stack().mean(axis=(1, 2))
    assert len(same_everywhere) == 7 * int((shares >= 0.45).sum())
    color = noise(20, 24, 3)
    by_channel = bigimg.patches(color, (5, 6), where=color < 100, min_fraction=0.5)
    shares = bigimg.patches(color < 100, (5, 6)).stack().mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(by_channel.stack(), bigimg.patches(color, (5, 6)).stack()[shares >= 0.5])


def test_no_patch_is_covered() -> None:
    found = bigimg.patches(noise(40, 50), (8, 9), where=np.zeros((40, 50), bool), min_fraction=0.5)
    assert len(found) == 0
    assert found.stack().shape == found.to_dataset()["image"].compute().shape == (0, 8, 9)
    assert list(found) == list(found.items()) == []
    assert found.coords.compute().sizes["patch"] == 0


def test_random_patches_under_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    mask, image = next(masks()), noise(61, 83)
    found = bigimg.patches(image, (9, 12), n=40, seed=2, where=mask, min_fraction=0.6)
    places = found.coords.compute()
    for y, x in zip(places.y_index.values, places.x_index.values, strict=True):
        assert mask[y : y + 9, x : x + 12].mean() >= 0.6
    np.testing.assert_array_equal(found[25:30].stack(), found.stack()[25:30])
    more = bigimg.patches(image, (9, 12), n=400, seed=2, where=mask, min_fraction=0.6)
    np.testing.assert_array_equal(more[:40].stack(), found.stack())
    monkeypatch.setattr("bigimg.ops.patches.coverage.DRAWS", 300)
    with pytest.raises(UsageError, match="min_fraction=1: no patch of 300 drawn"):
        bigimg.patches(image, (9, 12), n=4, where=mask, min_fraction=1.0, seed=0).stack()


def test_the_mask_decides_before_the_image_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.ops.patches.cutting.PIECE_BYTES", 1)
    reader = Counted(noise(64, 96), "yx", (16, 16))
    mask = np.zeros((64, 96), bool)
    mask[32:48, 16:32] = True
    found = bigimg.patches(reader, 16, where=mask)
    assert len(found) == 1
    assert not reader.reads
    found.stack()
    assert dict(reader.reads) == {(2, 1): 1}


# ------------------------------------------------------------------------------------------------ what they read


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of ours in several shards."""
    path = tmp_path_factory.mktemp("patches") / "a.ome.zarr"
    bigimg.write(bigimg.from_array(noise(300, 420, 3), dims="yxc"), path, chunks={"c": 1, "y": 32, "x": 32})
    return path


def test_nothing_is_read_before_it_is_asked_for() -> None:
    reader = Counted(noise(3, 64, 96), "cyx", (1, 16, 16))
    found = bigimg.patches(reader, (10, 12), n=50, seed=0)
    repr(found), len(found), found[3:9], found[[1, 2]], found.coords, found.to_dataset(), found.arrays()
    found.coords.compute()
    assert not reader.reads


@pytest.mark.parametrize("stride", [3, 16, 10])
@pytest.mark.parametrize("kept", [8_000, 100_000_000])
def test_a_grid_decodes_each_chunk_about_once(
    stride: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.ops.patches.cutting.PIECE_BYTES", 1)
    # Two may be at different places when the machine is busy, and then drop what the other wants from a small cache.
    monkeypatch.setattr("bigimg.ops.patches.cutting.THREADS", 1)
    reader = Counted(noise(160, 400), "yx", (16, 16))
    found = bigimg.patches(reader, 10, stride=stride)
    found.cutter.kept_bytes = max(kept, found.cutter.least_bytes)
    count = sum(1 for _ in found.items())
    assert count == len(found)
    mean = sum(reader.reads.values()) / len(reader.reads)
    # 8000 bytes are 31 of 250 chunks: tiles overlap by a chunk, which is decoded for both.
    assert mean == 1 if kept > 8_000 else mean <= 1.3


def test_random_patches_decode_each_chunk_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.ops.patches.cutting.PIECE_BYTES", 1)
    reader = Counted(noise(3, 160, 400), "cyx", (1, 16, 16))
    found = bigimg.patches(reader, 10, n=2000, seed=0)
    expected = found.stack()
    assert set(reader.reads.values()) == {1}
    places = found.coords.compute()
    for i in range(0, 2000, 97):
        y, x = int(places.y_index[i]), int(places.x_index[i])
        window = np.moveaxis(reader.pixels[:, y : y + 10, x : x + 10], 0, -1)
        np.testing.assert_array_equal(expected[i], window)


def test_an_ordered_source_is_read_once_and_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.ops.patches.cutting.MOST_PIECE_BYTES", 4_000)
    reader = Counted(noise(160, 400), "yx", (1, 400), "sequential")
    found = bigimg.patches(reader, (12, 30), n=500, seed=0)
    assert sum(1 for _ in found) == 500
    assert set(reader.reads.values()) == {1}
    assert list(reader.reads) == sorted(reader.reads)


def test_blocks_that_dask_computes_are_counted_once() -> None:
    """The pieces of patches are these blocks: no others are held."""
    block = 16 << 20
    pixels = da.zeros((16384, 16384), chunks=(4096, 4096), dtype=np.uint8)
    opened = to_labelled(Virtual(pixels.shape, "u1", "yx", (4096, 4096)), block_bytes=block)
    needed = []
    for image in (opened, bigimg.from_array(pixels, dims="yx")):
        with pytest.raises(BudgetError) as caught:
            bigimg.patches(image, 64, memory="1MB")
        needed.append(caught.value.needed)
    assert (
        needed[1] - needed[0] <= 2 * 2 * block + 10_000_000
    )  # two threads compute a block each, of another one


def test_damage_is_told_and_nothing_is_made_up(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bigimg.ops.patches.cutting.PIECE_BYTES", 1
    )  # else chunks this small are read together
    broken = tmp_path / "b.ome.zarr"
    shutil.copytree(store, broken)
    found = bigimg.patches(broken, 40)
    shard = sorted(broken.glob("0/c/*/*/*"))[-1]
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(CorruptChunk, match="0/c"):
        found.stack()
    shard.unlink()
    with pytest.raises(MissingChunk, match="0/c"):
        list(found)
    assert found[0].shape == (3, 40, 40)


def test_a_stack_over_the_budget_is_refused_by_number() -> None:
    image = np.broadcast_to(np.uint8(0), (40_000, 40_000))
    with pytest.raises(BudgetError, match=r"6,241 patches 1.64 GB\), allowed 1.00 GB: iterate") as caught:
        bigimg.patches(image, 512).stack(memory="1GB")
    assert caught.value.needed > 1_600_000_000


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (30_000, {}),
        ((20_000, 30_000), {"overlap": 3}),
        ({"x": 39_000, "y": 9_000}, {"n": 3}),
        (30_000, {"where": True}),
    ],
)
def test_a_smaller_patch_that_fits_is_named(size: Any, options: dict[str, Any]) -> None:
    image = np.broadcast_to(np.uint8(0), (40_000, 40_000))
    if "where" in options:
        options = {"where": np.broadcast_to(np.True_, (40_000, 40_000))}
    allowed = resident_bytes() + 200_000_000
    with pytest.raises(BudgetError, match=r": give a smaller size=\(\d+, \d+\) or use memory=") as caught:
        bigimg.patches(image, size, memory=allowed, **options)
    smaller = tuple(map(int, re.findall(r"size=\((\d+), (\d+)\)", str(caught.value))[0]))
    assert bigimg.patches(image, smaller, memory=allowed, **options).dims == ("y", "x")
    with pytest.raises(BudgetError, match=r"allowed [^:]*: use memory="):  # neighbours share more than fits
        bigimg.patches(image, 30_000, overlap=29_990, memory=allowed)


def test_a_billion_patches_take_no_time() -> None:
    image = np.broadcast_to(np.uint8(7), (60_000, 60_000))
    found = bigimg.patches(image, 64, stride=1)
    assert len(found) == 59_937**2
    assert found[-1].x.values[-1] == 59_999
    assert len(found[::1000]) == -(-(59_937**2) // 1000)
    assert found.coords.isel(patch=slice(-2, None)).x_index.values.tolist() == [59_935, 59_936]
    first = next(iter(found))
    assert (first.values == 7).all()


# ---------------------------------------------------------------------------------------------- other processes


def _fetch(found: Any, numbers: list[int]) -> list[int]:
    arrays = found.arrays("first")
    return [int(arrays[n].astype(np.int64).sum()) for n in numbers]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_of_a_loader_read_the_same(method: str, store: Path) -> None:
    found = bigimg.patches(store, (40, 50), n=24, seed=1)
    expected = found.stack("first").astype(np.int64).sum(axis=(1, 2, 3)).tolist()
    found[0]  # a cache with a lock, which must not be inherited as it is
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process with threads: what torch does
        with context.Pool(2) as pool:
            parts = pool.starmap(_fetch, [(found, list(range(i, 24, 4))) for i in range(4)])
    assert [parts[i % 4][i // 4] for i in range(24)] == expected


def test_a_batch_is_what_its_patches_are(store: Path) -> None:
    found = bigimg.patches(store, (40, 50), n=24, seed=1)
    stack = found.stack("first")
    arrays = found.arrays("first")
    assert len(arrays) == 24
    for got, want in zip(arrays.__getitems__([5, 3, 5, -1]), stack[[5, 3, 5, -1]], strict=True):
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(arrays[4:6][1], stack[5])
    # What a loader of torch does with the patches themselves: DataArrays it could not pile up.
    np.testing.assert_array_equal(np.stack(found[3:9].__getitems__([2, 0])), stack[[5, 3]])


def test_one_item_at_a_time_is_an_array(store: Path) -> None:
    """What ConcatDataset, Subset and ``batch_size=None`` of torch do: ``[i]``, whose result torch makes a tensor of."""
    found = bigimg.patches(store, (40, 50), n=24, seed=1)
    for channels in ("first", "last"):
        stack, items = found.stack(channels), found.dataset(channels)
        assert len(items) == 24
        for number in (0, np.int64(5), -1):
            assert type(items[number]) is np.ndarray
            assert items[number].flags.writeable
            np.testing.assert_array_equal(items[number], stack[number])
        np.testing.assert_array_equal(np.stack(list(items)), stack)
    np.testing.assert_array_equal(found.dataset()[3], found.stack("first")[3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found.dataset()))[3], found.dataset()[3])


def test_pickled_patches_are_the_same(store: Path) -> None:
    for found in (
        bigimg.patches(store, 30, overlap=7),
        bigimg.patches(store, 30, n=9, seed=3),
        bigimg.patches(store, 30, where=noise(300, 420) < 100, min_fraction=0.5)[::2],
    ):
        again = pickle.loads(pickle.dumps(found))
        np.testing.assert_array_equal(again[1:4].stack(), found[1:4].stack())
        assert repr(again) == repr(found)


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (31, 8)}, r"size 31 along y: the image has 30 pixels; give 1 to 30"),
        ({"size": (8, 0)}, r"size 0 along x: give 1 to 40"),
        ({"size": (8, 2.5)}, r"size 2.5 along x: give a whole number"),
        ({"size": (1, 2, 3)}, r"size \(1, 2, 3\) has 3 numbers for the axes y x"),
        ({"size": {"z": 4}}, "size names 'z': the axes are y x"),
        ({"size": {"c": 1, "y": 3}}, "size names 'c': channels are kept whole"),
        ({"size": 8, "stride": 0}, r"stride 0 along y: give at least 1"),
        ({"size": 8, "stride": {"z": 3}}, "stride names 'z'"),
        ({"size": 8, "overlap": 8}, r"overlap 8 along y: a patch has 8 pixels; give 0 to 7"),
        ({"size": 8, "overlap": (0, -1)}, r"overlap -1 along x"),
        ({"size": 8, "stride": 4, "overlap": 4}, r"stride=4 and overlap=4 say the same thing twice"),
        ({"size": 8, "edge": "wrap"}, r"edge='wrap': give one of shift, pad, drop"),
        ({"size": 8, "n": 0}, r"n=0: give a whole number of at least 1"),
        ({"size": 8, "n": 3, "stride": 4}, r"n=3: random patches have no stride"),
        ({"size": 8, "n": 3, "seed": -1}, r"seed=-1"),
        ({"size": 8, "seed": 1}, r"seed=1: a grid has nothing random"),
        ({"size": 8, "edge": "pad", "fill": 300}, r"fill=300: uint8 holds integers from 0 to 255"),
        ({"size": 8, "where": np.ones((30, 41), bool)}, r"where has shape \(30, 41\)"),
        ({"size": 8, "where": np.ones((30, 40))}, r"where holds float64, not true and false"),
        ({"size": 8, "where": np.ones((30, 40), bool), "min_fraction": 1.5}, r"min_fraction=1.5: give"),
        ({"size": 8, "level": 2}, r"level 2 of an image without levels"),
    ],
)
def test_what_cannot_be_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bigimg.patches(noise(30, 40, 3), **options)


def test_a_mask_of_a_smaller_level(tmp_path: Path) -> None:
    """Tissue is found where the image is small, and patches are taken where it is large."""
    y, x = np.ogrid[:700, :900]
    pixels = np.where((y - 300) ** 2 + (x - 500) ** 2 < 200**2, 60, 250).astype(np.uint8)
    pixels = np.stack([pixels, pixels // 2, pixels])
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(bigimg.from_array(pixels, dims="cyx"), store, chunks=64, memory="4GB", progress=False)
    small = bigimg.open(store, level=2)
    tissue = small.isel(c=0) < 200
    assert (tissue.sizes["y"], tissue.sizes["x"]) == (175, 225)
    whole = np.kron(tissue.values, np.ones((4, 4), bool))  # by the nearest centre
    for where in (tissue, tissue.compute()):
        found = bigimg.patches(store, 100, stride=50, where=where, min_fraction=0.5)
        expected = bigimg.patches(store, 100, stride=50, where=whole, min_fraction=0.5)
        assert len(found) > 10
        np.testing.assert_array_equal(found.coords["y_index"], expected.coords["y_index"])
        np.testing.assert_array_equal(found.coords["x_index"], expected.coords["x_index"])
        assert int(bigimg.stats(bigimg.open(store), where=where)["count"][0]) == whole.sum()


def test_a_mask_from_elsewhere_is_refused() -> None:
    image = bigimg.from_array(noise(30, 40), dims="yx", spacing=2.0)
    mask = bigimg.from_array(noise(30, 40) < 9, dims="yx", spacing=1.0)
    with pytest.raises(UsageError, match="where lies elsewhere than the image along y"):
        bigimg.patches(image, 8, where=mask)


@pytest.mark.parametrize("key", [7, -8, [0, 7], [True] * 3, [0.5]])
def test_numbers_outside_are_index_errors(key: Any) -> None:
    found = bigimg.patches(noise(30, 40), 8, n=7, seed=0)
    with pytest.raises(IndexError, match=r"patch|booleans"):
        found[key]


def test_places_of_a_few_patches_can_be_read() -> None:
    image = noise(40, 50)
    few = bigimg.patches(image, 8).coords
    assert few.chunks == {}
    assert "0 8 16 24 32" in repr(few)
    assert bigimg.patches(image, 8)[2:4].coords["x_index"].values.tolist() == [16, 24]
    assert bigimg.patches(image, 8, n=SHOWN + 1, seed=0).coords.chunks
    reader = CountingReader(image < 100, "yx")
    assert bigimg.patches(image, 8, n=5, seed=0, where=bigimg.open(reader)).coords.chunks
    assert not reader.met  # the mask would have to be searched


def test_real_values_of_stored_float64_are_those_of_the_image(tmp_path: Path) -> None:
    image = bigimg.from_array(np.ones((64, 64)), dims="yx").assign_attrs(scaling=[2.0, 1.0])
    bigimg.write(image, tmp_path / "a.zarr")
    opened = bigimg.open(tmp_path / "a.zarr")
    assert float(opened[0, 0]) == float(bigimg.patches(opened, 32)[0][0, 0]) == 3.0
