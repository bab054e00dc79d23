"""Images whose blocks are kept by the workers of a cluster: every function takes them, with numpy's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
import xarray

import bigimg
from bigimg.types import Array

PIXELS = np.random.default_rng(0).integers(0, 500, (20, 60, 70)).astype(np.uint16)
MEANS = PIXELS.reshape(10, 2, 30, 2, 35, 2).mean((1, 3, 5)).round().astype(np.uint16)

FUNCTIONS: dict[str, tuple[Callable[[xarray.DataArray], Any], Any]] = {
    "stats": (lambda p: bigimg.stats(p)["mean"], PIXELS.mean()),
    "stats where": (lambda p: bigimg.stats(p, where=p > 100)["count"], (PIXELS > 100).sum()),
    "percentile": (lambda p: bigimg.percentile(p, [50]), [np.percentile(PIXELS, 50)]),
    "fraction": (lambda p: bigimg.fraction(bigimg.mask(p, below=100)), (PIXELS < 100).mean()),
    "mask": (lambda p: bigimg.apply_mask(p, bigimg.mask(p, above=9)), np.where(PIXELS > 9, PIXELS, 0)),
    "downsample": (lambda p: bigimg.downsample(p, 2), MEANS),
    "resize": (lambda p: bigimg.resize(p, (10, 30, 35)), MEANS),
    "pyramid": (lambda p: bigimg.build_pyramid(p, levels=2)["scale1"]["image"], MEANS),
    "patch": (lambda p: bigimg.patches(p, 16)[1], PIXELS[:16, :16, 16:32]),
    "plane": (lambda p: bigimg.plane(p, "z", index=3), PIXELS[3]),
    "crop": (lambda p: bigimg.crop(p, {"y": (2, 9)}), PIXELS[:, 2:9]),
    "map": (lambda p: bigimg.map(p, np.sqrt), np.sqrt(PIXELS)),
    "rescale": (
        lambda p: bigimg.rescale(p, "float64"),
        (PIXELS - float(PIXELS.min())) / float(PIXELS.max() - PIXELS.min()),
    ),
    "stack": (lambda p: bigimg.stack([p[0], p[1]], "z"), PIXELS[:2]),
}


@pytest.fixture(scope="module")
def persisted() -> Iterator[xarray.DataArray]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        img = bigimg.from_array(PIXELS, spacing=(1, 1, 1), unit="um").chunk({"z": 8, "y": 32, "x": 40})
        yield (img + np.uint16(0)).persist()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function(name: str, persisted: xarray.DataArray) -> None:
    call, expected = FUNCTIONS[name]
    found: Array = call(persisted).values.squeeze()
    if found.dtype.kind in "ui":
        away = np.abs(np.asarray(expected).astype(float) - found) <= 1  # ties of the oracle round to even too
        assert away.all()
    else:
        np.testing.assert_allclose(found, np.squeeze(expected), rtol=1e-5)


def test_what_writes(persisted: xarray.DataArray, tmp_path: Path) -> None:
    tree = bigimg.write(persisted, tmp_path / "a.ome.zarr", progress=False)
    np.testing.assert_array_equal(tree["scale0"]["image"].values, PIXELS)
    bigimg.export(bigimg.map(persisted, np.negative), tmp_path / "a.npy", progress=False)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.negative(PIXELS))
    assert bigimg.thumbnail(persisted, 20).shape == (17, 20)
