"""Rows of the lessons on shape, affine, slicing and ranges, on real images, with nibabel, scipy and numpy beside.

17 sampling and field of view; 20 arrays of other libraries; 21 grey; 27 affine and lookup by millimetres; 28 slicer and
strides; 29 time series; 32 new values with the same place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from skimage.transform import downscale_local_mean

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.shard import ShardFile
from bigimg.opening.open import open_source


@pytest.fixture
def pair(data: Path) -> tuple[Any, Any]:
    """The head of the lessons, by nibabel and by us."""
    path = data / "nifti" / "anatomical.nii"
    return nibabel.load(path), bigimg.open(path)


def test_17_shape_sampling_and_field_of_view(pair: tuple[Any, Any]) -> None:
    theirs, img = pair
    assert img.shape == theirs.shape[::-1]
    for axis, zoom, n in zip("xyz", theirs.header.get_zooms(), theirs.shape, strict=True):
        assert abs(img.bigimg.spacing[axis]) == pytest.approx(float(zoom), rel=1e-6)
        assert img.bigimg.fov[axis] == pytest.approx(float(zoom) * n, rel=1e-6)
    assert set(img.bigimg.units.values()) == {"millimeter"}


def test_20_arrays_of_others_are_taken_as_they_are() -> None:
    from skimage import data as samples

    for pixels in (samples.astronaut(), samples.camera(), samples.cat()):
        small = bigimg.downsample(pixels, 2)
        assert small.bigimg.to_numpy().shape[:2] == tuple(-(-n // 2) for n in pixels.shape[:2])
        assert small.dtype == pixels.dtype
    three = [samples.astronaut(), samples.camera(), samples.cat()]
    panels = bigimg.montage(three, columns=3, figure=Figure(figsize=(9, 3))).axes
    for pixels, ax in zip(three, panels, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), pixels)


def test_21_grey_is_the_mean_of_channels(data: Path) -> None:
    pixels = np.asarray(Image.open(data / "lessons" / "rat_cerebellum.jpg"))
    grey = bigimg.gray(data / "lessons" / "rat_cerebellum.jpg", method="mean")
    np.testing.assert_array_equal(grey.values, np.rint(pixels.mean(-1)))
    real = bigimg.gray(pixels, method="mean", dtype=float)
    np.testing.assert_allclose(real.values, pixels.mean(-1), rtol=1e-12)


def test_27_a_voxel_by_its_place_in_millimetres(pair: tuple[Any, Any]) -> None:
    theirs, img = pair
    np.testing.assert_allclose(img.bigimg.affine, theirs.affine, atol=1e-6)
    assert img.bigimg.orientation == nibabel.aff2axcodes(theirs.affine)
    values = np.asarray(theirs.dataobj)
    for index in ((3, 10, 20), (30, 31, 12), tuple(n - 1 for n in theirs.shape)):
        mm = nibabel.affines.apply_affine(theirs.affine, index)
        assert float(img.bigimg.at(mm=tuple(mm))) == pytest.approx(float(values[index]))
        small = bigimg.downsample(img, 2, method="nearest")  # the same place in another grid
        even = tuple(i // 2 * 2 for i in index)
        mm = nibabel.affines.apply_affine(theirs.affine, even)
        assert float(small.bigimg.at(mm=tuple(mm))) == pytest.approx(float(values[even]))
    with pytest.raises(UsageError, match="outside the image"):
        img.bigimg.at(mm=(1e4, 0, 0))


@pytest.mark.parametrize(
    "name", ["anatomical.nii", "example4d.nii.gz", "DCM2NIIX_regression_test_4.nii", "ch2.nii.gz"]
)
def test_27_how_far_the_axes_lie_off_the_world(name: str, data: Path) -> None:
    img = bigimg.open(data / "nifti" / name)
    theirs: Any = nibabel.load(data / "nifti" / name)
    degrees = np.degrees(nibabel.affines.obliquity(theirs.affine))
    np.testing.assert_allclose(img.bigimg.obliquity, degrees, atol=1e-5)
    assert bigimg.from_array(np.zeros((4, 5))).bigimg.obliquity is None


def test_28_cuts_and_strides_keep_the_affine(pair: tuple[Any, Any]) -> None:
    theirs, img = pair
    cut = theirs.slicer[2:20, 5:25, 1:15]
    ours = bigimg.crop(img, {"x": (2, 20), "y": (5, 25), "z": (1, 15)})
    np.testing.assert_allclose(ours.bigimg.affine, cut.affine, atol=1e-6)
    np.testing.assert_allclose(ours.values.T, np.asarray(cut.dataobj))
    strided = theirs.slicer[::2, ::2, ::2]  # "a bad idea", by name alone
    nearest = bigimg.downsample(img, 2, method="nearest")
    np.testing.assert_allclose(nearest.bigimg.affine, strided.affine, atol=1e-6)
    np.testing.assert_allclose(nearest.values.T, np.asarray(strided.dataobj))
    even = bigimg.crop(img, {name: (0, n // 2 * 2) for name, n in img.sizes.items()})
    small = bigimg.downsample(even.astype(np.float64), 2)  # the default: no aliasing, half a voxel further on
    np.testing.assert_allclose(
        small.values, downscale_local_mean(even.values.astype(float), (2, 2, 2)), rtol=1e-12
    )
    moved = theirs.affine @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])
    np.testing.assert_allclose(small.bigimg.affine, moved, atol=1e-6)


def test_29_one_volume_of_a_series_costs_one_volume(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = nibabel.load(data / "nifti" / "functional.nii")
    img = bigimg.open(data / "nifti" / "functional.nii")
    assert img.dims == ("t", "z", "y", "x")
    assert img.bigimg.spacing["t"] == pytest.approx(float(theirs.header.get_zooms()[3]))
    assert img.bigimg.units["t"] == "second"
    read: list[int] = []
    kind = type(open_source(data / "nifti" / "functional.nii"))
    real = kind.read

    def counted(self: Any, region: Any) -> Any:
        read.append(int(np.prod([s.stop - s.start for s in region])))
        return real(self, region)

    monkeypatch.setattr(kind, "read", counted)
    volume = bigimg.crop(img, {"t": (3, 4)})
    np.testing.assert_allclose(volume.values[0].T, theirs.dataobj[..., 3], rtol=1e-5)
    assert sum(read) == volume.size
    first = bigimg.crop(img, {"t": (0, 5)})
    np.testing.assert_allclose(first.bigimg.affine, theirs.slicer[..., :5].affine, atol=1e-6)
    np.testing.assert_allclose(first.values.T, theirs.slicer[..., :5].get_fdata(), rtol=1e-5)


@pytest.mark.parametrize(("along", "volume", "series"), [(1, 1, 20), (20, 1, 1), (5, 1, 4)])
def test_29_chunks_of_a_store_for_volumes_and_for_series(
    along: int, volume: int, series: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default a chunk holds a box of one time; ``chunks`` makes it as long in time as one wants."""
    values = nibabel.load(data / "nifti" / "functional.nii").get_fdata(dtype=np.float32).T  # type: ignore[attr-defined]
    chunks = None if along == 1 else {"t": along, "z": 3, "y": 21, "x": 17}
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(data / "nifti" / "functional.nii", store, chunks=chunks, memory="4GB", progress=False)
    img = bigimg.open(store)
    decoded: list[object] = []
    whole = ShardFile.encoded
    monkeypatch.setattr(
        ShardFile, "encoded", lambda self, at: decoded.append((self.path, at)) or whole(self, at)
    )
    np.testing.assert_allclose(img[7].values, values[7], rtol=1e-5)
    assert len(decoded) == volume
    decoded.clear()
    np.testing.assert_allclose(img[:, 1, 10, 8].values, values[:, 1, 10, 8], rtol=1e-5)
    assert len(decoded) == series


def test_32_other_values_in_the_same_place(pair: tuple[Any, Any]) -> None:
    theirs, img = pair
    values = np.asarray(theirs.dataobj).T.astype(np.float64)
    low, high = values.min(), values.max()
    small = bigimg.rescale(img, "uint8")
    np.testing.assert_array_equal(
        small.values, np.rint((img.values.astype(float) - low) / (high - low) * 255)
    )
    assert small.dtype == np.uint8
    root = bigimg.map(img, np.sqrt)
    for made in (small, root):
        np.testing.assert_array_equal(made.bigimg.affine, img.bigimg.affine)
        assert made.bigimg.units == img.bigimg.units
