"""All functions with dask's array expressions, ``DASK_ARRAY__QUERY_PLANNING=True``: dask chooses them at import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = """
import sys, warnings
from pathlib import Path
import numpy as np, nibabel, dask.array as da, bigimg
from PIL import Image

assert "expr" in da.Array.__module__
warnings.simplefilter("ignore")  # sources that go forward only are read in dask's order
folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
picture = rng.integers(0, 255, (60, 50, 3)).astype("u1")
volume = rng.integers(0, 99, (8, 13, 14)).astype("i2")
Image.fromarray(picture).save(folder / "a.png")
np.save(folder / "a.npy", volume.astype("f4"))
nibabel.save(nibabel.Nifti1Image(volume.T, np.eye(4)), folder / "a.nii.gz")
bigimg.write(picture, folder / "a.ome.zarr", progress=False, memory="1GB")
lazy, colour = da.from_array(picture, chunks=(30, 30, 3)), np.moveaxis(picture, -1, 0)
same = np.testing.assert_allclose
for number, (source, pixels) in enumerate([
    (folder / "a.png", colour), (folder / "a.npy", volume.astype("f4")), (folder / "a.nii.gz", volume),
    (folder / "a.ome.zarr", colour), (picture, colour), (lazy, colour),
    ((lazy * 2).astype("u2"), colour.astype("u2") * 2),
]):
    img = bigimg.open(source)
    in_memory = bigimg.from_array(np.asarray(pixels), dims="".join(img.dims))
    in_memory = in_memory.compute().assign_coords(img.coords).assign_attrs(img.attrs)
    same(img.compute().values, pixels)
    space = sum(name != "c" for name in img.dims)
    for make in (
        lambda i: bigimg.stats(i)["sum"], lambda i: bigimg.stats(i, by=None)["std"],
        lambda i: bigimg.histogram(i, bins=9),
        lambda i: bigimg.percentile(i, [3, 50]), lambda i: bigimg.otsu(i), lambda i: bigimg.sweep(i, [3, 5]),
        lambda i: bigimg.mask(i, above=9), lambda i: bigimg.mask(i, otsu=True),
        lambda i: bigimg.fraction(bigimg.mask(i, above=9)), lambda i: bigimg.apply_mask(i, bigimg.mask(i, above=9)),
        lambda i: bigimg.apply_mask(i, i > 9), lambda i: bigimg.stats(i, where=i > 9)["mean"],
        lambda i: bigimg.stats(i, where=bigimg.mask(i, otsu=True))["mean"],
        lambda i: bigimg.stats(i.astype("f4") * 2 + 1)["max"],
        lambda i: bigimg.percentile(i.astype("f4") * 2, [4]), lambda i: bigimg.downsample(i, 2),
        lambda i: bigimg.stats(i, by=np.arange(pixels.size).reshape(pixels.shape) % 3)["sum"],
        lambda i: bigimg.downsample(i // 2, 2, method="gaussian"), lambda i: bigimg.resize(i, [5] * space, level=0),
        lambda i: bigimg.rescale(i), lambda i: bigimg.rescale(i, by="c"),
        lambda i: bigimg.downsample(bigimg.rescale(i), 2),
        lambda i: bigimg.gray(i) if "c" in i.dims else i, lambda i: bigimg.map(i, np.sqrt),
        lambda i: bigimg.crop(i, {"y": (2, 9)}), lambda i: bigimg.plane(i, "y", index=3),
        lambda i: bigimg.profile(i, [0] * space, [5] * space), lambda i: bigimg.stack([i, i], "t"),
        lambda i: bigimg.build_pyramid(i)["scale0"]["image"], lambda i: bigimg.map_patches(np.abs, i, 8),
        lambda i: bigimg.reassemble(bigimg.patches(i, 8)), lambda i: bigimg.patches(i, 8)[3],
        lambda i: bigimg.patches(i, 8, n=5, seed=0).to_dataset()["image"],
    ):
        same(make(img).compute().values, make(in_memory).compute().values, rtol=1e-6)
    same(bigimg.thumbnail(img, 16), bigimg.thumbnail(in_memory, 16))
    made = bigimg.rescale(img.astype("f4") * 2)
    tree = bigimg.write(made, folder / f"w{number}.ome.zarr", progress=False, memory="1GB")
    same(tree["scale0"]["image"].compute().values, bigimg.rescale(in_memory.astype("f4") * 2).compute().values)
    bigimg.convert(source, folder / f"c{number}.ome.zarr", progress=False, memory="1GB")
    same(bigimg.open(folder / f"c{number}.ome.zarr").compute().values, pixels)
    bigimg.export(img, folder / f"{number}.npy")
    bigimg.ortho(img) if "z" in img.dims else bigimg.show(img)
print("all of", number + 1)
"""


def test_every_function_gives_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLS, str(tmp_path)], capture_output=True, text=True, check=False,
        env=os.environ | {"DASK_ARRAY__QUERY_PLANNING": "True", "MPLBACKEND": "agg"},
    )  # fmt: skip
    if "No module named 'dask_expr'" in done.stderr:
        pytest.skip("this dask has no array expressions of its own")
    assert done.stdout.strip().endswith("all of 7"), done.stderr[-3000:]


NOT_YET = {
    "mean": "img.mean()", "where": "img.where(img > 3)", "concat": "xarray.concat([img, img], 'z')",
    "any": "img.any('x')",
}  # fmt: skip
"""Plain xarray fails in these on dask's expressions, and with it what a person computes so."""


def test_what_plain_xarray_cannot_do_yet() -> None:
    """Notices when it can: then the list of limits in the docs is shorter."""
    code = f"""
import dask.array as da, numpy as np, xarray
img = xarray.DataArray(da.from_array(np.arange(600).reshape(20, 30), chunks=10), dims=("y", "x"))
for name, made in {NOT_YET!r}.items():
    try:
        eval(made).compute()
    except NotImplementedError:
        print(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | {"DASK_ARRAY__QUERY_PLANNING": "True"},
    )  # fmt: skip
    if "No module named 'dask_expr'" in done.stderr:
        pytest.skip("this dask has no array expressions of its own")
    assert done.stdout.split() == list(NOT_YET)
