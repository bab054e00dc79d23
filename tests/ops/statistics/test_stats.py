"""Statistics against numpy in float64 and Python integers, for any type, block and mask; none read from stores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bigimg
from bigimg.errors import UsageError
from bigimg.geometry.spec import Scaling
from bigimg.omezarr.open import StoreReader
from bigimg.opening.data_array import to_labelled
from bigimg.ops.statistics.tables import statistics_table
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Array

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every read of a store fail: what is answered then comes from its statistics."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(StoreReader, "read", refuse)


def volume(dtype: str, *shape: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) > 0.3
    if kind.kind == "f":
        return rng.normal(50, 20, shape).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)


def exact(values: Array) -> tuple[float, float]:
    """Mean and std of integers, in Python's own: rounded at the very end."""
    numbers = [int(v) for v in values.ravel()]
    n, total = len(numbers), sum(numbers)
    return total / n, math.sqrt(n * sum(v * v for v in numbers) - total * total) / n


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_type_for_each_channel(dtype: str) -> None:
    pixels = volume(dtype, 3, 21, 34)
    img = bigimg.from_array(pixels, dims="cyx", channels=["a", "b", "c"]).chunk(c=2, y=8, x=13)
    found = bigimg.stats(img)
    assert all(variable.chunks is not None for variable in found.data_vars.values())
    found = found.compute()
    assert list(found.c.values) == ["a", "b", "c"]
    assert list(found["count"].values) == [21 * 34] * 3
    for name in ("min", "max"):
        np.testing.assert_array_equal(found[name], getattr(pixels, name)(axis=(1, 2)))
        assert found[name].dtype == pixels.dtype
    if pixels.dtype.kind == "f":
        np.testing.assert_allclose(found["mean"], pixels.astype(np.float64).mean((1, 2)), rtol=1e-12)
        np.testing.assert_allclose(found["std"], pixels.astype(np.float64).std((1, 2)), rtol=1e-12)
        assert list(found["nan"].values) == [0, 0, 0]
    else:
        want = [exact(channel) for channel in pixels]
        assert [(float(m), float(s)) for m, s in zip(found["mean"], found["std"], strict=True)] == want


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.int32, np.uint64]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_no_digit_depends_on_blocks(pixels: Array, rows: int, columns: int) -> None:
    with dask.config.set(scheduler="synchronous"):
        found = bigimg.stats(bigimg.from_array(pixels, dims="yx").chunk(y=rows, x=columns)).compute()
    assert (float(found["mean"]), float(found["std"])) == exact(pixels)


def test_nan_is_counted_and_left_out() -> None:
    pixels = volume("f4", 20, 30)
    pixels[3:9, 4:20] = np.nan
    found = bigimg.stats(bigimg.from_array(pixels).chunk(y=6)).compute()
    assert int(found["nan"]) == np.isnan(pixels).sum()
    assert int(found["count"]) == (~np.isnan(pixels)).sum()
    assert float(found["mean"]) == pytest.approx(np.nanmean(pixels, dtype=np.float64), rel=1e-12)
    assert float(found["std"]) == pytest.approx(np.nanstd(pixels.astype(np.float64)), rel=1e-12)
    assert float(found["min"]) == np.nanmin(pixels)
    empty = bigimg.stats(bigimg.from_array(np.full((4, 4), np.nan))).compute()
    assert (int(empty["count"]), int(empty["nan"])) == (0, 16)
    assert math.isnan(float(empty["mean"]))


def test_far_from_zero_std_keeps_its_digits() -> None:
    # A sum of squares would have none left: 1e18 against 1e-6.
    pixels = 1e9 + np.random.default_rng(0).normal(0, 1e-3, (64, 64))
    found = bigimg.stats(bigimg.from_array(pixels).chunk(y=9)).compute()
    assert float(found["std"]) == pytest.approx((pixels - 1e9).std(), rel=1e-4)


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "f4"])
def test_where(dtype: str) -> None:
    pixels, mask = volume(dtype, 3, 21, 34), volume("?", 21, 34, seed=1)
    img = bigimg.from_array(pixels, dims="cyx").chunk(y=8)
    masks: list[Any] = [
        mask,
        bigimg.from_array(mask).chunk(x=5),
        np.broadcast_to(mask, pixels.shape),
        bigimg.from_array(np.broadcast_to(mask, pixels.shape), dims="cyx"),
        bigimg.from_array(mask).transpose("x", "y"),
    ]
    for where in masks:
        found = bigimg.stats(img, where=where).compute()
        assert list(found["count"].values) == [mask.sum()] * 3
        np.testing.assert_array_equal(found["max"], [channel[mask].max() for channel in pixels])
        np.testing.assert_allclose(
            found["mean"], [channel[mask].mean(dtype=float) for channel in pixels], rtol=1e-12
        )


def test_where_nothing_is_chosen() -> None:
    img = bigimg.from_array(volume("u1", 5, 6))
    found = bigimg.stats(img, where=np.zeros((5, 6), bool)).compute()
    assert int(found["count"]) == 0
    assert all(math.isnan(float(found[name])) for name in ("min", "max", "mean", "std"))


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (np.zeros((5, 6), np.uint8), "not true and false"),
        (np.zeros((5, 7), bool), "one value a pixel"),
        (np.zeros((2, 3, 5, 6), bool), "one value a pixel"),
        (
            xarray.DataArray(np.zeros((5, 6), bool), dims=("y", "x"), coords={"y": np.arange(5) + 9.0}),
            "elsewhere",
        ),
        (xarray.DataArray(np.zeros((5, 6), bool), dims=("z", "x")), "one value a pixel"),
    ],
)
def test_masks_that_do_not_fit(where: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.stats(bigimg.from_array(volume("u1", 5, 6)), where=where)


@pytest.mark.parametrize("axis", ["c", "y"])
def test_an_axis_without_pixels_is_refused_by_name(axis: str) -> None:
    img = bigimg.from_array(np.zeros((3, 4, 5), np.uint8), dims="cyx").isel({axis: slice(0)})
    for asked in (bigimg.stats, bigimg.histogram, bigimg.otsu, lambda i: bigimg.resize(i, (1, 1))):
        with pytest.raises(UsageError, match=f"axis {axis} has 0 pixels; an image needs at least 1"):
            asked(img)


def test_by_other_axes() -> None:
    pixels = volume("u2", 2, 4, 5, 6)
    img = bigimg.from_array(pixels, dims="czyx").chunk(z=3)
    np.testing.assert_allclose(bigimg.stats(img, by=None)["mean"], pixels.mean())
    np.testing.assert_allclose(bigimg.stats(img, by="z")["mean"], pixels.mean((0, 2, 3)))
    both = bigimg.stats(img, by=("z", "c"))["mean"]
    assert both.dims == ("c", "z")
    np.testing.assert_allclose(both, pixels.mean((2, 3)))
    np.testing.assert_array_equal(bigimg.stats(img, by=("c", "z", "y", "x"))["max"], pixels)
    with pytest.raises(UsageError, match="by='t': the axes are c z y x"):
        bigimg.stats(img, by="t")


def test_of_real_values() -> None:
    stored = volume("i2", 20, 30)
    img = to_labelled(ArrayReader(stored, scaling=Scaling(0.25, 10.0)), block_bytes=500)
    assert float(bigimg.stats(img)["mean"]) == pytest.approx(stored.mean() * 0.25 + 10, rel=1e-6)


@pytest.mark.usefixtures("no_pixels")
def test_from_the_store(tmp_path: Path) -> None:
    pixels = volume("u1", 700, 600, 3)
    path = tmp_path / "a.ome.zarr"
    tree = bigimg.convert(pixels, path, memory="4GB", progress=False)
    for source in (path, str(path), tree, bigimg.open(path), tree["scale0/image"]):
        found = bigimg.stats(source)
        assert list(found.c.values) == ["R", "G", "B"]
        assert found["max"].dtype == np.uint8
        np.testing.assert_array_equal(found["max"], pixels.max((0, 1)))
        want = [exact(pixels[..., c]) for c in range(3)]
        assert list(zip(found["mean"].values, found["std"].values, strict=True)) == want
    with pytest.raises(AssertionError, match="a pixel was read"):
        bigimg.stats(bigimg.open(path) + 0).compute()
    with pytest.raises(AssertionError, match="a pixel was read"):
        bigimg.stats(tree["scale1/image"]).compute()


def test_from_the_store_as_from_its_pixels(tmp_path: Path) -> None:
    for name, pixels in {
        "f": volume("f4", 90, 80),
        "i": volume("i4", 90, 80),
        "b": volume("?", 90, 80),
    }.items():
        path = tmp_path / f"{name}.ome.zarr"
        bigimg.convert(pixels, path, memory="4GB", progress=False)
        kept = bigimg.stats(path)
        made = bigimg.stats(
            bigimg.open(path).copy() | False if name == "b" else bigimg.open(path) + 0
        ).compute()
        assert set(kept.data_vars) == set(made.data_vars) != set()
        for key in made.data_vars:
            assert float(kept[key]) == pytest.approx(float(made[key]), rel=1e-12)
            assert kept[key].dtype == made[key].dtype


def test_stored_statistics_of_scaled_images_are_of_real_values(tmp_path: Path) -> None:
    reader = ArrayReader(volume("i2", 60, 50), scaling=Scaling(-0.5, 3.0))
    bigimg.convert(reader, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    img = bigimg.open(tmp_path / "a.ome.zarr")
    kept, real = bigimg.stats(img), img.values.astype(np.float64)
    for name, want in (("min", real.min()), ("max", real.max()), ("mean", real.mean()), ("std", real.std())):
        assert float(kept[name]) == pytest.approx(want, rel=1e-6)
    raw = bigimg.stats(bigimg.open(tmp_path / "a.ome.zarr", raw=True))
    assert float(raw["max"]) == reader.array.max()


def test_the_table_for_the_command(tmp_path: Path) -> None:
    pixels = volume("u1", 40, 30, 3)
    np.save(tmp_path / "a.npy", pixels)
    table = statistics_table(tmp_path / "a.npy")
    lines = str(table).splitlines()
    assert lines[0].split() == ["channel", "count", "nan", "min", "max", "mean", "std"]
    assert lines[2].split()[:5] == ["G", "1200", "0", str(pixels[..., 1].min()), str(pixels[..., 1].max())]
    said = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert said["source"].endswith("a.npy")
    assert said["channels"][1]["name"] == "G"
    assert said["channels"][1]["mean"] == exact(pixels[..., 1])[0]
    np.save(tmp_path / "b.npy", np.full((4, 4), np.nan))
    assert json.loads(json.dumps(statistics_table(tmp_path / "b.npy").to_dict(), allow_nan=False))


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4"])
def test_sums_are_numbers_that_numpy_and_files_know(dtype: str, tmp_path: Path) -> None:
    pixels = volume(dtype, 2, 30, 40)
    img = bigimg.from_array(pixels, dims="cyx", channels=["a", "b"])
    bigimg.write(img, tmp_path / "a.ome.zarr", progress=False)
    ids = np.ones((30, 40), "u1")
    for found in (
        bigimg.stats(img), bigimg.stats(tmp_path / "a.ome.zarr"), bigimg.stats(img, where=ids == 1),
        bigimg.stats(img, by=ids).isel(label=0, drop=True),
    ):  # fmt: skip
        assert found["sum"].dtype == found["sum"].compute().dtype == pixels.sum().dtype
        np.testing.assert_array_equal(found["sum"].values, pixels.sum(axis=(1, 2)))
        np.testing.assert_allclose(found["sum"] / found["count"], pixels.mean(axis=(1, 2)), rtol=1e-12)
        found.compute().to_zarr(tmp_path / "s.zarr", mode="w", zarr_format=2, consolidated=False)
        read = xarray.open_zarr(tmp_path / "s.zarr", consolidated=False)
        xarray.testing.assert_equal(read.compute(), found.compute())


def test_sums_beyond_64_bits_are_exact_all_the_same() -> None:
    many = bigimg.from_array(np.broadcast_to(np.uint32(2**32 - 1), (2**17, 2**15 + 1)))
    assert bigimg.stats(many)["sum"].dtype == object  # not computed: known from the size
    assert bigimg.stats(many[:, :-1])["sum"].dtype == np.uint64
    wide = bigimg.from_array(np.full((2, 3), np.iinfo("i8").min))
    found = bigimg.stats(wide).compute()
    assert (found["sum"].dtype, found["sum"].item()) == (np.dtype(object), -6 * 2**63)


@pytest.mark.parametrize(
    ("shape", "table"), [((20, 30), "Series"), ((1, 20, 30), "DataFrame"), ((3, 20, 30), "DataFrame")]
)
def test_a_table_of_any_image(shape: tuple[int, ...], table: str, tmp_path: Path) -> None:
    """What the first page prints, of an image with channels and of one without: lazy, and from a store."""
    pixels = volume("u2", *shape)
    img = bigimg.from_array(pixels, dims="cyx"[-len(shape) :])
    bigimg.write(img, tmp_path / "a.ome.zarr", progress=False)
    for source in (img, tmp_path / "a.ome.zarr"):
        found = bigimg.stats(source)[["count", "max"]].compute().to_pandas()
        assert type(found).__name__ == table
        np.testing.assert_array_equal(found["max"], pixels.max((-2, -1)))


def test_channels_that_got_other_names_are_not_answered_from_the_store(tmp_path: Path) -> None:
    pixels = np.stack([np.full((64, 64), value, np.uint8) for value in (10, 20, 30)])
    bigimg.write(bigimg.from_array(pixels, dims="cyx", channels=["A", "B", "C"]), tmp_path / "c.zarr")
    image = bigimg.open(tmp_path / "c.zarr").assign_coords(c=["C", "B", "A"])
    assert float(bigimg.stats(image)["mean"].sel(c="A")) == 30
    assert float(bigimg.percentile(image, 50).sel(c="A")) == 30
    assert bigimg.otsu(image).c.values.tolist() == ["C", "B", "A"]
