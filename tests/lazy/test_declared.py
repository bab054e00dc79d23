"""Values that a file declares as no measurements are known of what is cut from an image, and of nothing computed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import xarray

import bigimg
from bigimg.lazy.node_of_array import padding_of

ABSENT = -32768
HEIGHTS = np.random.default_rng(0).integers(100, 200, (6, 90, 80)).astype("i2")
HEIGHTS[:, :, 50:] = ABSENT
HEIGHTS[2, 20:40] = ABSENT
CUTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "an index": (lambda img: img.isel(z=3), lambda a: a[3]),
    "a slice": (lambda img: img[:, 5:], lambda a: a[:, 5:]),
    "strides": (lambda img: img[::2, 1::3, ::-1], lambda a: a[::2, 1::3, ::-1]),
    "a list": (lambda img: img.isel(y=[3, 40, 5]), lambda a: a[:, [3, 40, 5]]),
    "a mask along an axis": (lambda img: img[img.z > 2], lambda a: a[3:]),
    "other order": (lambda img: img.transpose("x", "z", "y"), lambda a: a.transpose(2, 0, 1)),
    "sorted": (lambda img: img.sortby("z", ascending=False), lambda a: a[::-1]),
    "chunks": (lambda img: img.chunk(z=1, y=30)[1], lambda a: a[1]),
    "a plane": (lambda img: bigimg.plane(img, "z", index=2), lambda a: a[2]),
    "a crop": (lambda img: bigimg.crop(img, {"x": (3, 70)}), lambda a: a[:, :, 3:70]),
    "a crop of a slice of a plane": (
        lambda img: bigimg.crop(bigimg.plane(img[1:], "z", index=1)[4:], {"x": (3, 70)}).T,
        lambda a: a[2, 4:, 3:70].T,
    ),
    "another process": (lambda img: pickle.loads(pickle.dumps(img[1:]))[1:], lambda a: a[2:]),
    "persisted": (lambda img: img.persist()[1:], lambda a: a[1:]),
    "named anew": (lambda img: img.rename("b").assign_attrs(a=1).assign_coords(z=range(6))[2:], lambda a: a[2:]),
    "stacked again": (lambda img: bigimg.stack([img[0], img[4]], "z"), lambda a: a[[0, 4]]),
    "every fourth": (lambda img: bigimg.downsample(img, 4, method="nearest"), lambda a: a[::4, ::4, ::4]),
}  # fmt: skip
COMPUTED: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda img: (img + 1)[1:],
    "in another type": lambda img: img.astype("i1")[1:],
    "in another type, elsewhere": lambda img: pickle.loads(
        pickle.dumps(img.copy(data=img.data.astype("i4")))
    )[1:],
    "data put in": lambda img: img.copy(data=img.data + 1)[1:],
    "data put in later": lambda img: _assigned(img)[1:],
    "in place": lambda img: _in_place(img)[1:],
    "where": lambda img: img.where(img > 3, 0)[1:],
    "clipped": lambda img: img.clip(0, 150)[1:],
    "the largest": lambda img: img.max("z"),
    "joined with others": lambda img: xarray.concat([img, img + 1], "z")[3:],
    "a function of blocks": lambda img: img.copy(data=da.map_blocks(np.negative, img.data))[1:],
    "assigned in a function of blocks": lambda img: _mapped(img, _assigned_in)[1:],
    "copied into in a function of blocks": lambda img: _mapped(img, _copied_in)[1:],
    "added to in a function of blocks": lambda img: _mapped(img, _added_in)[1:],
    "a function of blocks by xarray": lambda img: xarray.apply_ufunc(
        _assigned_in, img, dask="parallelized", output_dtypes=[img.dtype], keep_attrs=True
    )[1:],
    "added up": lambda img: img.cumsum("z"),
    "a mask": lambda img: bigimg.mask(img, below=150),
    "mapped": lambda img: bigimg.map(img, lambda pixels: pixels + 1),
}


def _mapped(img: Any, function: Callable[[Any], Any]) -> Any:
    return img.copy(data=img.data.map_blocks(function))


def _assigned_in(block: Any) -> Any:
    found = block.copy()
    found[found > 150] = ABSENT
    return found


def _copied_in(block: Any) -> Any:
    found = block.copy()
    np.copyto(found, 0, where=found < 150)
    return found


def _added_in(block: Any) -> Any:
    found = block.copy()
    np.add(found, 1, out=found)
    return found


def _assigned(img: Any) -> Any:
    found = img.copy()
    found.data = img.data + 1
    return found


def _in_place(img: Any) -> Any:
    found = img.copy()
    found += 1
    return found


def opened(folder: Path) -> Any:
    tags = [(42113, 2, None, str(ABSENT), True)]
    tifffile.imwrite(folder / "a.tif", HEIGHTS, metadata=None, photometric="minisblack", extratags=tags)
    return bigimg.open(folder / "a.tif")


@pytest.mark.parametrize("name", CUTS)
def test_what_is_cut_leaves_no_data_out(name: str, tmp_path: Path) -> None:
    cut, of_numpy = CUTS[name]
    img, want = cut(opened(tmp_path)), of_numpy(HEIGHTS)
    np.testing.assert_array_equal(img.values, want)
    assert padding_of(img) == (ABSENT, ABSENT)
    stats, seen = bigimg.stats(img), want[want != ABSENT]
    assert (int(stats["count"]), int(stats["min"]), int(stats["max"])) == (seen.size, seen.min(), seen.max())
    np.testing.assert_allclose(float(stats["mean"]), seen.mean())


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_values_are_measurements(name: str, tmp_path: Path) -> None:
    img = opened(tmp_path)
    assert padding_of(COMPUTED[name](img)) is None
    assert padding_of(img[1:]) == (ABSENT, ABSENT)


def test_what_a_function_of_blocks_writes_is_counted(tmp_path: Path) -> None:
    stats = bigimg.stats(_mapped(opened(tmp_path), _assigned_in))
    want = np.where(HEIGHTS > 150, ABSENT, HEIGHTS)
    assert (int(stats["count"]), int(stats["min"]), int(stats["max"])) == (want.size, ABSENT, 150)
    np.testing.assert_allclose(float(stats["mean"]), want.mean())


def test_a_cut_image_is_made_smaller_and_drawn_without_no_data(tmp_path: Path) -> None:
    img = opened(tmp_path)
    for cut, want in ((img.isel(z=3), HEIGHTS[3]), (img[2, 10:, 10:], HEIGHTS[2, 10:, 10:])):
        windows = want[: want.shape[0] // 10 * 10, : want.shape[1] // 10 * 10]
        windows = windows.reshape(windows.shape[0] // 10, 10, -1, 10).swapaxes(1, 2).astype(float)
        windows[windows == ABSENT] = np.nan
        sums, counts = np.nansum(windows, (2, 3)), np.isfinite(windows).sum((2, 3))
        means = np.where(counts > 0, np.rint(sums / np.maximum(counts, 1)), ABSENT)
        for small in (bigimg.downsample(cut, 10), bigimg.resize(cut, means.shape)):
            np.testing.assert_array_equal(small.values, means)
            assert int(bigimg.stats(small)["min"]) == means[means != ABSENT].min()
        np.testing.assert_array_equal(bigimg.thumbnail(cut, max(means.shape)), means)


def test_a_store_of_a_cut_image_knows_its_no_data(tmp_path: Path) -> None:
    img = opened(tmp_path)
    for name, part, want in (("whole", img, HEIGHTS), ("cut", img[1:, 7:], HEIGHTS[1:, 7:])):
        bigimg.write(part, tmp_path / f"{name}.ome.zarr", levels=2, progress=False)
        store, seen = bigimg.open(tmp_path / f"{name}.ome.zarr"), want[want != ABSENT]
        assert int(bigimg.stats(store)["count"]) == seen.size
        assert int(bigimg.stats(store)["min"]) == seen.min()
        level = bigimg.open(tmp_path / f"{name}.ome.zarr", level=1).values
        assert level[level != ABSENT].min() >= seen.min()
        assert bigimg.verify(tmp_path / f"{name}.ome.zarr").ok


def test_real_values_have_a_real_padding(tmp_path: Path) -> None:
    from bigimg.geometry.spec import Scaling
    from tests.conversion.sources import CountingReader

    reader = CountingReader(HEIGHTS, "zyx", padding=(ABSENT, ABSENT), scaling=Scaling(0.5, 10.0))
    bigimg.convert(reader, tmp_path / "a.ome.zarr", progress=False)
    cut = bigimg.open(tmp_path / "a.ome.zarr")[1:]
    assert padding_of(cut) == (ABSENT / 2 + 10,) * 2
    assert float(bigimg.stats(cut)["min"]) == HEIGHTS[HEIGHTS != ABSENT].min() / 2 + 10
    assert padding_of(bigimg.open(tmp_path / "a.ome.zarr", raw=True)[1:]) == (ABSENT, ABSENT)


def test_an_image_without_such_values_has_an_ordinary_array() -> None:
    img = bigimg.from_array(np.zeros((9, 9), np.uint8))
    assert "chunktype=numpy.ndarray" in repr(img.data)


def test_it_is_known_with_array_expressions_too(tmp_path: Path) -> None:
    opened(tmp_path)
    code = (
        "import bigimg, sys; from bigimg.lazy.node_of_array import padding_of; img = bigimg.open(sys.argv[1]);"
        "print(padding_of(img[1:, 5:].isel(y=slice(None, None, -1)).transpose('x', 'y', 'z')), padding_of(img + 1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.tif")], capture_output=True, text=True, check=False,
        env=os.environ | {"DASK_ARRAY__QUERY_PLANNING": "True"},
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == f"({ABSENT}, {ABSENT}) None", done.stderr[-2000:]
