"""The same numbers, bit for bit, from every operation on each of dask's schedulers: threads, processes, a cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray

import bigimg
from bigimg.omezarr.open import open_store
from tests.ops.statistics.test_stats import volume

BINS = {"bins": 16, "range": (0, 250)}


def root(pixels: Any) -> Any:
    return np.sqrt(np.abs(pixels.astype(np.float32)))


def sharpened(patch: Any) -> Any:
    return (patch.astype(np.float32) - patch.mean(dtype=np.float32)).astype(np.float32)


def dark(img: xarray.DataArray) -> Any:
    return bigimg.mask(img, below=120)


def ids_of(img: xarray.DataArray) -> xarray.DataArray:
    """Labels in bands along x, lazy, of the axes of space."""
    space = img.isel(c=0, drop=True) if "c" in img.dims else img
    return xarray.zeros_like(space, dtype=np.int32) + (
        xarray.DataArray(np.arange(img.sizes["x"]) // 30, dims="x")
    )


OPERATIONS: dict[str, Callable[[xarray.DataArray], Any]] = {
    "stats": lambda img: bigimg.stats(img),
    "stats with a histogram": lambda img: bigimg.stats(img, **BINS),
    "stats along an axis": lambda img: bigimg.stats(img, by=img.dims[0]),
    "stats where": lambda img: bigimg.stats(img, where=dark(img)),
    "stats by labels": lambda img: bigimg.stats(img, by=ids_of(img)),
    "stats of a derived image": lambda img: bigimg.stats(img.astype("f4") * 2 + 1),
    "stats of what shares": lambda img: bigimg.stats(img - img.mean()),
    "histogram": lambda img: bigimg.histogram(img, bins=50),
    "histogram where": lambda img: bigimg.histogram(img, where=dark(img), **BINS),
    "percentile": lambda img: bigimg.percentile(img, [1, 50, 99]),
    "percentile of floats, where": lambda img: bigimg.percentile(img.astype("f4"), [5, 50], where=dark(img)),
    "otsu": lambda img: bigimg.otsu(img),
    "sweep": lambda img: bigimg.sweep(img, [3, 60, 200]),
    "mask": lambda img: [dark(img), bigimg.mask(img, above=90), bigimg.mask(img, between=(5, 9))],
    "mask by otsu": lambda img: bigimg.mask(img, otsu=True),
    "apply_mask": lambda img: bigimg.apply_mask(img, dark(img), fill=7),
    "fraction": lambda img: bigimg.fraction(dark(img)),
    "area": lambda img: bigimg.area(dark(img)),
    "downsample": lambda img: [bigimg.downsample(img, 3), bigimg.downsample(img, {"y": 2, "x": 5}, method="max")],
    "downsample, gaussian": lambda img: bigimg.downsample(img, 4, method="gaussian"),
    "downsample of a derived image": lambda img: bigimg.downsample(img.astype("f8") / 3, 3),
    "resize": lambda img: bigimg.resize(img, {"y": 17, "x": 23}),
    "build_pyramid": lambda img: [bigimg.build_pyramid(img, levels=3)[f"scale{i}"]["image"] for i in range(3)],
    "gray": lambda img: bigimg.gray(img, method="mean") if "c" in img.dims else bigimg.map(img, np.negative),
    "rescale": lambda img: bigimg.rescale(img, percentiles=(1, 99)),
    "map": lambda img: bigimg.map(img, root),
    "stack": lambda img: bigimg.stack([img.isel({img.dims[0]: i}, drop=True) for i in (0, 1)], "t"),
    "with_geometry": lambda img: bigimg.with_geometry(img, spacing=2, unit="um"),
    "plane": lambda img: [bigimg.plane(img, "x", index=9), bigimg.plane(img, "y")],
    "crop": lambda img: bigimg.crop(img, {"y": (5, 41), "x": (30, 50)}),
    "region": lambda img: bigimg.region(img, dict.fromkeys("yx", 7), {"y": 20, "x": 22}),
    "profile": lambda img: bigimg.profile(img.isel({img.dims[0]: 0}), (2, 3), (40, 50)),
    "thumbnail": lambda img: bigimg.thumbnail(bigimg.plane(img, "z") if "z" in img.dims else img, 33),
    "patches, a grid": lambda img: bigimg.patches(img, (20, 24), overlap=4).to_dataset(),
    "patches, random": lambda img: bigimg.patches(img, (20, 24), n=9, seed=1).to_dataset(),
    "patches where": lambda img: bigimg.patches(img, (20, 24), where=dark(img), min_fraction=0.4).to_dataset(),
    "map_patches": lambda img: bigimg.map_patches(sharpened, img, (24, 24), overlap=8),
    "reassemble": lambda img: bigimg.reassemble(bigimg.patches(img, (24, 24), overlap=8), blend="hann"),
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A slide and a volume, as stores in chunks that divide nothing."""
    folder = tmp_path_factory.mktemp("images")
    slide = bigimg.from_array(volume("u1", 3, 130, 150), dims="cyx")
    box = bigimg.from_array(
        volume("u1", 9, 51, 60).astype("i2") - 30, dims="zyx", spacing=(2, 0.5, 0.5), unit="um"
    )
    found = {}
    for name, img, side in (("slide", slide, 32), ("box", box, 16)):
        found[name] = folder / f"{name}.ome.zarr"
        bigimg.convert(img, found[name], chunks=side, memory="4GB", progress=False)
    return found


@pytest.fixture(scope="module")
def schedulers() -> Iterator[dict[str, Callable[[], AbstractContextManager[Any]]]]:
    """Ways to compute, the processes of each started once."""
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(2, multiprocessing.get_context("spawn")))
        cluster = stack.enter_context(
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
        )
        client = stack.enter_context(Client(cluster, set_as_default=False))
        yield {
            "threads": lambda: dask.config.set(scheduler="threads"),
            "processes": lambda: dask.config.set(scheduler="processes", pool=pool),
            "distributed": lambda: dask.config.set(scheduler=client.get),
        }


def computed(made: Any) -> list[Any]:
    """Return the numbers of one or several results, computed together."""
    those = made if isinstance(made, list) else [made]
    found = dask.compute(*those)
    arrays = []
    for one in found:
        arrays += (
            [v.values for v in one.variables.values()]
            if isinstance(one, xarray.Dataset)
            else [np.asarray(one)]
        )
    return arrays


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_on_every_scheduler(
    name: str, images: dict[str, Path], schedulers: dict[str, Callable[[], AbstractContextManager[Any]]]
) -> None:
    for path in images.values():
        # Else six are answered by the stored statistics.
        unknown = replace(open_store(path), has_manifest=False)
        img = bigimg.open(
            unknown, chunks={"z": 4, "y": 50, "x": 70} if "box" in path.name else {"c": 3, "y": 50, "x": 70}
        )
        asked = []

        def one_after_the_other(*graph: Any, asked: list[int] = asked, **more: Any) -> Any:
            asked.append(1)
            return dask.get(*graph, **more)

        with dask.config.set(scheduler=one_after_the_other):
            serial = computed(OPERATIONS[name](img))
        assert asked, f"{name} of {path.name} meets no scheduler"
        assert any(array.size for array in serial)
        for scheduler, using in schedulers.items():
            with using():
                found = computed(OPERATIONS[name](img))
            for ours, first in zip(found, serial, strict=True):
                assert ours.dtype == first.dtype
                np.testing.assert_array_equal(ours, first, err_msg=f"{name} of {path.name}, {scheduler}")


def test_every_operation_is_there() -> None:
    """A new public function of images is to be added here."""
    from bigimg.functions import MODULES

    functions = {
        f for module, names in MODULES.items() if module.startswith(("ops.", "patching")) for f in names
    }
    named = {word.strip(",") for name in OPERATIONS for word in name.split()}
    assert functions <= named, functions - named
