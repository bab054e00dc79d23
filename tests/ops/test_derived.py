"""Images made region by region: what building costs, what is pickled, what a pass is told."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray
from PIL import Image

import bigimg
from bigimg.opening.open import open_source
from tests.oracles import fast_mean

PIXELS = np.random.default_rng(0).integers(0, 255, (70, 90)).astype(np.uint8)
COUNTING = """
import dask.array as da, numpy as np, psutil, xarray, bigimg, bigimg.accessor
import bigimg.ops.profiles, bigimg.ops.intensity, bigimg.ops.resizing, bigimg.ops.geometry, bigimg.ops.downsampling
pixels = da.zeros((3, 183 * 512, 183 * 512), chunks=(1, 512, 512), dtype="u1")
img = xarray.DataArray(pixels, dims=("c", "y", "x"), coords={"c": ["R", "G", "B"]})
assert img.data.npartitions > 100_000
import bigimg.lazy.foreign as foreign
tasks = []
real = foreign.computed_region
foreign.computed_region = lambda array, region, **more: (tasks.append(1), real(array, region, **more))[1]
before = psutil.Process().memory_info().rss
made = [
    bigimg.downsample(img, 3), bigimg.downsample(img, 4, method="gaussian"), bigimg.resize(img, (1740, 1870)),
    bigimg.build_pyramid(img), bigimg.gray(img), bigimg.crop(img, {"y": (10, 90_000)}), bigimg.map(img, np.sqrt),
    bigimg.region(img, (5, 5), (900, 900)), bigimg.profile(img, (0, 0), (50_000, 50_000)),
    bigimg.stack([img, img], "z"), bigimg.plane(img, "y", index=5), bigimg.with_geometry(img, spacing=2),
    bigimg.rescale(img, window=(0, 9)), bigimg.apply_mask(img, bigimg.mask(img, below=9)),
    bigimg.area(bigimg.mask(img, otsu=True)), bigimg.patches(img, 256, overlap=32),
    bigimg.patches(img, 256, n=10**5, seed=0).to_dataset(),
]
assert not tasks
corner = made[0].isel(y=slice(0, 9), x=slice(0, 9)).values
tasks = list(tasks)
made += [  # these look at the first patch
    bigimg.map_patches(np.abs, img, 256, dtype="u1"), bigimg.reassemble(bigimg.patches(img, 256, overlap=32)),
]
print(psutil.Process().memory_info().rss - before, len(tasks))
"""


def test_building_does_not_grow_with_the_chunks() -> None:
    """No block is computed of any of 10**5 chunks, and for a corner of the result its own alone."""
    done = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, check=True)
    grown, tasks = map(int, done.stdout.split())
    assert grown < 250e6  # all of them together
    assert (
        tasks <= 9
    )  # the block of the corner, and those beside it that its windows reach into, of each channel


def test_graphs_go_to_other_processes() -> None:
    computed = bigimg.from_array(PIXELS).chunk(y=20, x=30) + np.uint8(0)
    for img in (bigimg.from_array(PIXELS), computed):
        for found in (
            bigimg.downsample(img, 3),
            bigimg.stack([bigimg.downsample(img, 3)] * 2, "z").isel(z=1),
        ):
            again = pickle.loads(pickle.dumps(found.data))
            np.testing.assert_array_equal(again.compute(scheduler="synchronous"), fast_mean(PIXELS, (3, 3)))


def test_operations_on_operations() -> None:
    img = bigimg.from_array(PIXELS).chunk(y=20, x=30)
    small = bigimg.downsample(bigimg.crop(bigimg.downsample(img, 2), {"y": (3, 30)}), 3)
    np.testing.assert_array_equal(small.values, fast_mean(fast_mean(PIXELS, (2, 2))[3:30], (3, 3)))


def test_equal_files_have_equal_names(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    first, second = (bigimg.downsample(tmp_path / "a.npy", 2).data.name for _ in range(2))
    assert first == second
    assert bigimg.downsample(tmp_path / "a.npy", 3).data.name != first


def test_a_source_with_one_order_is_read_in_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (900, 700, 3)).astype(np.uint8)
    for name in "abcd":  # a file that is open is not opened again, and to go back in it is warned of
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    expected = np.moveaxis(fast_mean(pixels, (4, 4, 1)), -1, 0)
    np.testing.assert_array_equal(bigimg.downsample(tmp_path / "a.png", 4).values, expected)
    img = bigimg.open(tmp_path / "b.png", chunks={"y": 100})
    np.testing.assert_array_equal(bigimg.downsample(img, 4).values, expected)
    smooth = bigimg.downsample(tmp_path / "c.png", 4, method="gaussian")
    np.testing.assert_array_equal(smooth.values, bigimg.downsample(pixels, 4, method="gaussian").values)
    small = bigimg.downsample(tmp_path / "d.png", 4)
    assert open_source(small).access.kind == "sequential"
    bigimg.write(small, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr").values, expected)


def test_a_pass_is_told_what_regions_take(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5000, 4000), np.uint16))
    access = open_source(bigimg.downsample(tmp_path / "a.npy", 3)).access
    assert access.kind == "random"
    assert access.read_bytes > 8 << 20
    assert open_source(bigimg.crop(tmp_path / "a.npy", {"y": (1, 9)})).access.read_bytes <= 1 << 20


def test_names_that_are_not_ours() -> None:
    img = xarray.DataArray(da.zeros((9, 9)), dims=("row", "x"))
    with pytest.raises(bigimg.UsageError, match="dim 'row' is not one of t c z y x"):
        bigimg.downsample(img, 2)


def test_what_was_known_of_other_pixels_is_gone() -> None:
    """Chunks that xarray keeps of a file, which ``to_zarr`` would ask of the result."""
    img = bigimg.from_array(np.zeros((20, 30), np.uint8))
    img.encoding = {"chunks": (10, 10)}
    cut = bigimg.crop(img.chunk(10), {"x": (3, 9)})
    assert "chunks" not in cut.encoding
    assert img.encoding == {"chunks": (10, 10)}
