"""Call every public function on images of several sources and compare what it makes; for a process of its own.

``python -m tests.lazy.every_function FOLDER``: dask chooses between graphs and array expressions when it is imported.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import nibabel
import numpy as np
import xarray
from PIL import Image

import bigimg

type Make = Callable[[xarray.DataArray], xarray.DataArray]


def space(img: xarray.DataArray) -> int:
    return sum(name != "c" for name in img.dims)


def dark(img: xarray.DataArray) -> xarray.DataArray:
    return bigimg.mask(img, above=9)


MADE: list[Make] = [
    lambda i: bigimg.from_array(i.data, dims="".join(map(str, i.dims))),
    lambda i: bigimg.with_geometry(i, spacing=2, unit="um"),
    lambda i: bigimg.stack([i, i], "t"),
    lambda i: bigimg.histogram(i, bins=9),
    lambda i: bigimg.stats(i)["sum"],
    lambda i: bigimg.stats(i, by=None)["std"],
    lambda i: bigimg.stats(i, where=i > 9)["mean"],
    lambda i: bigimg.stats(i, where=bigimg.mask(i, otsu=True))["mean"],
    lambda i: bigimg.stats(i.astype("f4") * 2 + 1)["max"],
    lambda i: bigimg.stats(i, by=np.arange(i.size).reshape(i.shape) % 3)["sum"],
    lambda i: bigimg.mask(i, otsu=True),
    lambda i: bigimg.apply_mask(i, dark(i)),
    lambda i: bigimg.apply_mask(i, i > 9),
    lambda i: bigimg.fraction(dark(i)),
    lambda i: bigimg.area(dark(i)),
    lambda i: bigimg.percentile(i, [3, 50]),
    lambda i: bigimg.percentile(i.astype("f4") * 2, [4]),
    lambda i: bigimg.otsu(i),
    lambda i: bigimg.sweep(i, [3, 5]),
    lambda i: bigimg.patches(i, 8)[3],
    lambda i: bigimg.patches(i, 8, n=5, seed=0).to_dataset()["image"],
    lambda i: bigimg.reassemble(bigimg.patches(i, 8)),
    lambda i: bigimg.map_patches(np.abs, i, 8),
    lambda i: bigimg.plane(i, "y", index=3),
    lambda i: bigimg.crop(i, {"y": (2, 9)}),
    lambda i: bigimg.region(i, {"y": 2, "x": 3}, {"y": 5, "x": 6}),
    lambda i: bigimg.profile(i, [0] * space(i), [5] * space(i)),
    lambda i: bigimg.downsample(i, 2),
    lambda i: bigimg.downsample(i // 2, 2, method="gaussian"),
    lambda i: bigimg.downsample(bigimg.rescale(i), 2),
    lambda i: bigimg.build_pyramid(i)["scale0"]["image"],
    lambda i: bigimg.resize(i, [5] * space(i), level=0),
    lambda i: bigimg.gray(i) if "c" in i.dims else i,
    lambda i: bigimg.map(i, np.sqrt),
    lambda i: bigimg.rescale(i),
    lambda i: bigimg.rescale(i, by="c"),
    lambda i: bigimg.rescale(i.astype("f4") * 2),
    lambda i: xarray.DataArray(bigimg.thumbnail(i, 16)),
]
"""What is made of an image must equal what is made of the same pixels in memory."""


def same(ours: xarray.DataArray, others: Any) -> None:
    np.testing.assert_allclose(ours.compute().values, others, rtol=1e-6)


def as_in_files(pixels: Any) -> Any:
    """Colours last."""
    return np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels


def read(source: Any, pixels: Any) -> None:
    same(bigimg.open(source), pixels)
    np.testing.assert_array_equal(bigimg.imread(source), as_in_files(pixels))
    same(bigimg.open_pyramid(source)["scale0"]["image"], pixels)
    assert bigimg.info(source)
    assert bigimg.plan(source, "planned.ome.zarr")


def written(source: Any, pixels: Any, folder: Path) -> None:
    img = bigimg.open(source)
    bigimg.convert(source, folder / "converted.ome.zarr", progress=False, memory="1GB")
    assert bigimg.verify(folder / "converted.ome.zarr", source, progress=False).ok
    same(bigimg.open(folder / "converted.ome.zarr"), pixels)
    made = bigimg.rescale(img.astype("f4") * 2)
    tree = bigimg.write(made, folder / "written.ome.zarr", progress=False, memory="1GB")
    same(tree["scale0"]["image"], made.compute().values)
    bigimg.export(img, folder / "exported.npy")
    np.testing.assert_array_equal(np.load(folder / "exported.npy"), as_in_files(pixels))


def drawn(img: xarray.DataArray) -> None:
    from matplotlib.figure import Figure  # warns as it is imported, in its lowest version

    figures = [bigimg.show(img), bigimg.montage([img, img])]
    figures += [bigimg.ortho(img), bigimg.browse(img, figure=Figure())] if "z" in img.dims else []
    assert all(figure.axes for figure in figures)


ELSEWHERE = {"formats", "edit", "upgrade", "pack", "unpack", "open_plate", "convert_all", "view"}
"""They compute no array; the last needs a window: .ci/nightly runs its tests with array expressions."""


def check(folder: Path) -> int:
    """Return how many sources were gone through."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (60, 50, 3)).astype("u1")
    volume = rng.integers(0, 99, (8, 13, 14)).astype("i2")
    Image.fromarray(picture).save(folder / "a.png")
    np.save(folder / "a.npy", volume.astype("f4"))
    nibabel.save(nibabel.Nifti1Image(volume.T, np.eye(4)), folder / "a.nii.gz")
    bigimg.write(picture, folder / "a.ome.zarr", progress=False, memory="1GB")
    lazy, colour = da.from_array(picture, chunks=(30, 30, 3)), np.moveaxis(picture, -1, 0)
    sources = {
        "png": (folder / "a.png", colour),
        "npy": (folder / "a.npy", volume.astype("f4")),
        "nii.gz": (folder / "a.nii.gz", volume),
        "store": (folder / "a.ome.zarr", colour),
        "array": (picture, colour),
        "dask": (lazy, colour),
        "arithmetic": (lazy.astype("u2") * np.uint16(2), colour.astype("u2") * 2),
    }
    for name, (source, pixels) in sources.items():
        (folder / name).mkdir()
        read(source, pixels)
        img = bigimg.open(source)
        in_memory = bigimg.from_array(np.asarray(pixels), dims="".join(map(str, img.dims)))
        in_memory = in_memory.compute().assign_coords(img.coords).assign_attrs(img.attrs)
        for make in MADE:
            same(make(img), make(in_memory).compute().values)
        written(source, pixels, folder / name)
        drawn(img)
    return len(sources)


if __name__ == "__main__":
    assert "expr" in da.Array.__module__
    warnings.simplefilter("ignore")  # sources that go forward only are read in dask's order
    print("all of", check(Path(sys.argv[1])))
