"""A Dataset and a DataTree wherever an image does: what xarray's own functions give of an image is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bigimg
from bigimg.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 99, (40, 60)).astype(np.uint16)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("datasets") / "a.ome.zarr"
    img = bigimg.from_array(PIXELS, spacing=(2, 2), unit="um")
    bigimg.write(img, path, chunks=16, progress=False)
    return str(path)


FORMS: dict[str, Callable[[str], Any]] = {
    "dataset": lambda path: xr.open_dataset(path, engine="bigimg"),
    "dataset in chunks": lambda path: xr.open_dataset(path, engine="bigimg", chunks={}),
    "another name": lambda path: bigimg.open(path).to_dataset(name="scan"),
    "beside others": lambda path: bigimg.open(path).to_dataset(name="image").assign(note=1),
    "group of a tree": lambda path: bigimg.open_pyramid(path)["scale0"],
    "tree of a dataset": lambda path: xr.DataTree(xr.open_dataset(path, engine="bigimg")),
    "tree": lambda path: xr.open_datatree(path, engine="bigimg"),
}
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "open": (bigimg.open, PIXELS),
    "mean": (lambda img: bigimg.stats(img)["mean"], PIXELS.mean()),
    "mean of the accessor": (lambda img: img.bigimg.stats()["mean"], PIXELS.mean()),
    "where": (lambda img: bigimg.stats(img, where=bigimg.mask(img, above=50))["count"], (PIXELS > 50).sum()),
    "percentile": (lambda img: bigimg.percentile(img, [5]), [np.percentile(PIXELS, 5)]),
    "histogram": (lambda img: bigimg.histogram(img, bins=9), np.histogram(PIXELS, 9)[0]),
    "apply_mask": (lambda img: bigimg.apply_mask(img, PIXELS > 50), np.where(PIXELS > 50, PIXELS, 0)),
    "crop": (lambda img: bigimg.crop(img, {"y": (1, 5)}), PIXELS[1:5]),
    "patch": (lambda img: bigimg.patches(img, 8)[0], PIXELS[:8, :8]),
    "map": (lambda img: bigimg.map(img, np.negative), np.negative(PIXELS)),
    "stack": (lambda img: bigimg.stack([img, img], "z"), np.stack([PIXELS, PIXELS])),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function(name: str, form: str, path: str) -> None:
    call, expected = FUNCTIONS[name]
    np.testing.assert_allclose(np.squeeze(call(FORMS[form](path)).values), np.squeeze(expected))


@pytest.mark.parametrize("form", FORMS)
def test_masks_and_shares(form: str, path: str) -> None:
    mask = bigimg.mask(FORMS[form](path), above=50)
    if isinstance(mask, xr.DataTree):
        mask = mask["scale0"]
    np.testing.assert_array_equal(bigimg.open(mask).values, PIXELS > 50)
    np.testing.assert_allclose(bigimg.fraction(mask), (PIXELS > 50).mean())


@pytest.mark.parametrize("form", FORMS)
def test_what_writes(form: str, path: str, tmp_path: Path) -> None:
    bigimg.export(FORMS[form](path), tmp_path / "a.npy", progress=False)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), PIXELS)
    tree = bigimg.write(FORMS[form](path), tmp_path / "b.ome.zarr", progress=False)
    np.testing.assert_array_equal(bigimg.open(tree).values, PIXELS)
    assert bigimg.open(tree).bigimg.spacing == {"y": 2.0, "x": 2.0}
    assert bigimg.open_pyramid(FORMS[form](path))["scale0"]["image"].shape == PIXELS.shape
    assert bigimg.info(FORMS[form](path)).shape == PIXELS.shape


def wrong() -> Iterator[Any]:
    image = bigimg.from_array(PIXELS)
    yield xr.Dataset()
    yield xr.Dataset({"red": image, "green": image})
    yield xr.DataTree()


@pytest.mark.parametrize("given", list(wrong()), ids=["empty", "two", "empty tree"])
def test_without_one_image(given: Any) -> None:
    for call in (bigimg.open, bigimg.stats, bigimg.thumbnail, lambda img: bigimg.downsample(img, 2)):
        with pytest.raises(
            UsageError, match=r"the Dataset holds (no variable|the variables red, green): give the one"
        ):
            call(given)
