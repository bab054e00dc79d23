"""Which node is behind an array: known in a copy, in a file of xarray's and in another process; of no other pixels."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import bigimg
import bigimg.accessor
from bigimg.geometry.region import count
from bigimg.lazy.derived import Derived
from bigimg.lazy.node_of_array import linked_node, opened_pixels
from bigimg.opening.data_array import to_labelled
from tests.virtual import Virtual

PIXELS = np.random.default_rng(0).integers(0, 200, (3, 60, 70)).astype(np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    bigimg.write(bigimg.from_array(PIXELS, dims="cyx"), tmp_path / "a.ome.zarr", progress=False)
    return tmp_path / "a.ome.zarr"


SAME: dict[str, Callable[[xarray.DataArray], xarray.DataArray]] = {
    "pickle": lambda img: pickle.loads(pickle.dumps(img)),
    "copy": lambda img: img.copy(),
    "deep copy": copy.deepcopy,
    "dataset": lambda img: img.to_dataset(name="a")["a"],
    "tree": lambda img: xarray.DataTree.from_dict({"/b": img.to_dataset(name="a")})["b"]["a"],
    "name": lambda img: img.rename("b"),
    "coordinates": lambda img: img.assign_coords(y=np.arange(60.0) * 3),
    "attrs": lambda img: img.assign_attrs(note=1),
    "transposed to the same": lambda img: img.transpose("c", "y", "x"),
}
OTHER: dict[str, Callable[[xarray.DataArray], xarray.DataArray]] = {
    "arithmetic": lambda img: img * 2,
    "comparison": lambda img: img < 5,
    "a part": lambda img: img.isel(y=slice(3, 9)),
    "type": lambda img: img.astype("f4"),
    "axes": lambda img: img.rename(c="t"),
    "turned": lambda img: img.transpose("x", "y", "c"),
    "chunks": lambda img: img.chunk(x=7),
    "pixels": lambda img: img.copy(data=img.data + 1),
    "memory": lambda img: img.compute(),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_pixels_are_known(store: Path, name: str) -> None:
    img = bigimg.open(store)
    found = SAME[name](img)
    assert opened_pixels(found) is not None
    np.testing.assert_array_equal(found.values, PIXELS)
    small = bigimg.downsample(img, 2)
    again = SAME[name](small) if name != "coordinates" else small
    assert isinstance(linked_node(again), Derived)


@pytest.mark.parametrize("name", OTHER)
def test_other_pixels_are_not_taken_for_them(store: Path, name: str) -> None:
    found = OTHER[name](bigimg.open(store))
    assert linked_node(found) is None
    assert int(bigimg.stats(found, by=None)["sum"]) == found.compute().values.sum(dtype=np.float64)


def test_arrays_are_not_copied_with_what_they_are_made_of() -> None:
    img = bigimg.from_array(PIXELS, dims="cyx")
    assert linked_node(copy.deepcopy(img)) is linked_node(img)


def test_what_an_array_was_made_of_is_not_pickled_without_the_encoding() -> None:
    small = bigimg.downsample(bigimg.from_array(np.tile(PIXELS, (1, 10, 10)), dims="cyx"), 10).compute()
    found = pickle.dumps(small.drop_encoding())
    assert len(found) < small.nbytes + 10_000
    np.testing.assert_array_equal(pickle.loads(found).values, small.values)


def test_xarrays_engine_gives_the_same_pixels(store: Path) -> None:
    """xarray wraps them anew, so that they are read through it."""
    for chunks in (None, {}):
        found = xarray.open_dataset(store, engine="bigimg", chunks=chunks)["image"]
        np.testing.assert_array_equal(bigimg.stats(found)["sum"], PIXELS.sum((1, 2), dtype=int))
        np.testing.assert_array_equal(bigimg.crop(found, {"y": (3, 9)}).values, PIXELS[:, 3:9])


def test_xarrays_files_hold_nothing_of_it(tmp_path: Path) -> None:
    small = bigimg.downsample(bigimg.from_array(PIXELS.astype("i2"), dims="cyx"), 2).drop_attrs()
    small.to_dataset(name="a").to_zarr(tmp_path / "b.zarr", consolidated=False)
    small.to_dataset(name="a").to_netcdf(tmp_path / "b.nc", engine="scipy")
    with (
        xarray.open_zarr(tmp_path / "b.zarr", consolidated=False) as stored,
        xarray.open_dataset(tmp_path / "b.nc", engine="scipy") as written,
    ):
        for found in (stored["a"], written["a"]):
            np.testing.assert_array_equal(found.values, small.values)


ANSWERS = """
import pickle, sys, numpy as np, bigimg
import pathlib
imgs = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
def answers(img):
    stats = bigimg.stats(img)
    return repr([stats.compute().to_dict(), stats.attrs, bigimg.histogram(img).values.tolist(), bigimg.otsu(img).values,
                 int(bigimg.mask(img, otsu=True).values.sum()), bigimg.mask(img, below=90).attrs])
if __name__ == "__main__":
    print([answers(img) for img in imgs])
"""


def test_another_process_gives_the_same_answers(store: Path, tmp_path: Path) -> None:
    """Padding, scaling and the histogram of the store are found from the image alone."""
    imgs: list[Any] = [bigimg.open(store), bigimg.mask(bigimg.open(store), otsu=True).astype("u1")]
    import nibabel

    volume = nibabel.Nifti1Image(np.arange(60, dtype="i2").reshape(3, 4, 5), np.eye(4))
    volume.header.set_slope_inter(0.5, 3)
    nibabel.save(volume, tmp_path / "a.nii")
    imgs.append(bigimg.open(tmp_path / "a.nii"))
    (tmp_path / "imgs.pickle").write_bytes(pickle.dumps(imgs))
    (tmp_path / "answers.py").write_text(ANSWERS)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "answers.py"), str(tmp_path / "imgs.pickle")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    space: dict[str, Any] = {"__name__": "here"}
    exec(ANSWERS.replace("sys.argv[1]", repr(str(tmp_path / "imgs.pickle"))), space)
    assert done.stdout.strip() == str([space["answers"](img) for img in imgs])


def test_an_image_that_is_used_twice_is_read_once_for_each_region() -> None:
    virtual = Virtual((200, 300), "u1", "yx", (50, 300))
    image = to_labelled(virtual, block_bytes=1 << 20)
    for _ in range(12):  # 4,096 ways lead to the source
        image = bigimg.apply_mask(image, bigimg.mask(image, above=0))
    image.compute()
    assert sum(map(count, virtual.log)) == 200 * 300
