"""``xarray.open_dataset`` and ``open_datatree`` through the entry point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
import xarray
import zarr

import bigimg
from bigimg.xarray_engine import BigimgBackend

STORE = "derived/mouse_brain_slab_v05.ome.zarr"


def test_a_file_by_name_alone(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (300, 200)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 64))
    for options in ({}, {"engine": "bigimg"}):
        with xarray.open_dataset(tmp_path / "a.tif", **options) as found:
            assert list(found.data_vars) == ["image"]
            np.testing.assert_array_equal(found.image.values, pixels)
            assert found.image.bigimg.spacing == {"y": 1.0, "x": 1.0}


def test_chunks_of_the_source_are_preferred(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3000, 2000), np.uint16), tile=(256, 256))
    found = xarray.open_dataset(tmp_path / "a.tif", engine="bigimg", chunks={}, memory="4GB")
    opened = bigimg.open(tmp_path / "a.tif", memory="4GB")
    assert found.image.encoding["preferred_chunks"]["y"] == opened.chunksizes["y"]
    assert found.image.chunks == opened.chunks


def test_a_store_and_its_levels(data: Path) -> None:
    group = zarr.open_group(data / STORE, mode="r")
    found = xarray.open_dataset(data / STORE, level=2)
    np.testing.assert_array_equal(found.image.values, group["s2"][...])
    tree = xarray.open_datatree(data / STORE, engine="bigimg")
    assert list(tree.children) == [f"scale{i}" for i in range(5)]
    np.testing.assert_array_equal(tree["scale4/image"].values, group["s4"][...])
    groups = xarray.open_groups(data / STORE, engine="bigimg")
    assert set(groups) == {"/", *(f"/scale{i}" for i in range(5))}


def test_variables_can_be_dropped(data: Path) -> None:
    assert "image" not in xarray.open_dataset(data / STORE, engine="bigimg", drop_variables="image")
    tree = xarray.open_datatree(data / STORE, engine="bigimg", drop_variables=["image"])
    assert not tree["scale0"].dataset.data_vars


def test_guessing_looks_at_the_name_alone() -> None:
    backend = BigimgBackend()
    for name in ("a.tif", "A.OME.TIF", "b.nii.gz", "c.ome.zarr", "d.png", Path("e.svs")):
        assert backend.guess_can_open(name)
    for name in ("a.nc", "b.zarr", "c.h5", 3, None):
        assert not backend.guess_can_open(name)


def test_chunks_as_xarray_has_them(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (40, 300, 500)).astype(np.uint16)
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", chunks=32, progress=False)
    for chunks in ({}, "auto", -1, None):
        with xarray.open_dataset(tmp_path / "a.ome.zarr", engine="bigimg", chunks=chunks) as found:
            assert (found.image.chunks is None) == (chunks is None)
            assert found.image.encoding["preferred_chunks"]["x"]
            np.testing.assert_array_equal(found.image.values, pixels)
        with xarray.open_datatree(tmp_path / "a.ome.zarr", engine="bigimg", chunks=chunks) as tree:
            assert (tree["scale1/image"].chunks is None) == (chunks is None)
            np.testing.assert_array_equal(tree["scale0/image"].values, pixels)
            assert float(bigimg.downsample(tree, 4).mean()) == float(bigimg.downsample(pixels, 4).mean())


def test_one_dataset_for_each_level(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (300, 500)).astype(np.uint16)
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", chunks=64, progress=False)
    found = xarray.open_dataset(tmp_path / "a.ome.zarr", engine="bigimg", level=1, chunks={})
    np.testing.assert_array_equal(found.image.values, bigimg.open(tmp_path / "a.ome.zarr", level=1).values)
    assert float(found.y[1] - found.y[0]) == 2.0
