"""``img.bigimg`` against nibabel's slicer: what cropping, striding and flipping do to geometry."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import bigimg
import bigimg.accessor
from bigimg.errors import UsageError
from bigimg.geometry.orientation import axis_codes
from bigimg.opening.data_array import to_labelled
from bigimg.readers.registry import open_file

SHAPE = (9, 11, 13)
OBLIQUE = np.array([[-1.9, 0.3, 0.2, 90.5], [0.25, 2.1, -0.4, -126.0], [0.1, 0.5, 2.9, -72.25], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, xarray.DataArray]:
    pixels = np.random.default_rng(2).integers(0, 999, SHAPE).astype(np.int16)
    path = tmp_path_factory.mktemp("nifti") / "a.nii"
    image = nibabel.Nifti1Image(pixels, OBLIQUE)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return nibabel.load(path), to_labelled(open_file(path), block_bytes=10**6)


def cut(size: int) -> st.SearchStrategy[slice]:
    """Slices that leave something, forwards or backwards.

    Their start is given: without one, nibabel 5.4 takes pixel 0 for the first also when it steps backwards.
    """
    steps = st.integers(-3, 3).filter(bool)
    return st.tuples(st.integers(0, size - 1), st.integers(0, size - 1), steps).map(_from_to)


def _from_to(chosen: tuple[int, int, int]) -> slice:
    first, last, step = chosen
    if step < 0:
        first, last = max(first, last), min(first, last)
        return slice(first, last - 1 if last else None, step)
    return slice(min(first, last), max(first, last) + 1, step)


@given(st.tuples(*map(cut, SHAPE)))
def test_affine_after_any_cut_is_nibabels(
    pair: tuple[Any, xarray.DataArray], cuts: tuple[slice, ...]
) -> None:
    theirs, img = pair
    got = img.isel(x=cuts[0], y=cuts[1], z=cuts[2])
    sliced = theirs.slicer[cuts]
    want = sliced.affine.copy()
    # Of one pixel the coordinates cannot tell a stride or direction: its column is that of the pixel as opened.
    for axis, name in enumerate("xyz"):
        if got.sizes[name] == 1:
            want[:, axis] = theirs.affine[:, axis]
    np.testing.assert_allclose(got.bigimg.affine, want, atol=1e-9)
    np.testing.assert_array_equal(got.transpose("x", "y", "z").values, np.asanyarray(sliced.dataobj))


def test_affine_survives_plain_xarray(pair: tuple[Any, xarray.DataArray]) -> None:
    theirs, img = pair
    step = img.bigimg.spacing["z"]
    for same in (img + 1, img.astype(float).where(img > 5), img.transpose("x", "y", "z"), img.compute()):
        np.testing.assert_allclose(same.bigimg.affine, theirs.affine, atol=1e-9)
    picked = img.sel(z=slice(4 * step - 0.1, 8 * step + 0.1))
    np.testing.assert_allclose(picked.bigimg.affine, theirs.slicer[:, :, 4:9].affine, atol=1e-9)
    plane = img.isel(z=5)
    np.testing.assert_allclose(plane.bigimg.affine, theirs.slicer[:, :, 5:6].affine, atol=1e-9)
    coarse = img.coarsen(x=2, y=2, boundary="trim").mean()
    want = theirs.affine @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(coarse.bigimg.affine, want, atol=1e-9)


def test_uneven_coordinates_have_no_affine(pair: tuple[Any, xarray.DataArray]) -> None:
    with pytest.raises(UsageError, match="axis z is not evenly spaced"):
        pair[1].isel(z=[0, 1, 5]).bigimg.affine  # noqa: B018


@given(
    st.permutations([0, 1, 2]),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    st.tuples(*[st.floats(0.1, 9)] * 3),
    st.lists(st.floats(-0.1, 0.1), min_size=9, max_size=9),
)
def test_orientation_is_nibabels(
    order: list[int], signs: tuple[float, ...], zooms: tuple[float, ...], noise: list[float]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3)[order] * signs + np.reshape(noise, (3, 3))) * zooms
    assert axis_codes(affine) == nibabel.aff2axcodes(affine)


def test_orientation_needs_a_world(pair: tuple[Any, xarray.DataArray]) -> None:
    assert pair[1].bigimg.orientation == nibabel.aff2axcodes(OBLIQUE)
    assert bigimg.from_array(np.zeros((4, 5))).bigimg.orientation is None
    with pytest.raises(ValueError, match="without direction"):
        axis_codes(np.zeros((4, 4)))


def test_sizes_and_edges() -> None:
    img = bigimg.from_array(np.zeros((4, 5)), spacing=(2.0, 0.5), unit="mm")
    assert img.bigimg.spacing == {"y": 2.0, "x": 0.5}
    assert img.bigimg.origin == {"y": 0.0, "x": 0.0}
    assert img.bigimg.units == {"y": "millimeter", "x": "millimeter"}
    assert img.bigimg.fov == {"y": 8.0, "x": 2.5}
    assert img.bigimg.extent == (-0.25, 2.25, 7.0, -1.0)
    assert img[:, 1:2].bigimg.spacing["x"] == 0.5  # of one pixel: what was noted at opening
    assert img[1:].bigimg.origin["y"] == 2.0
    np.testing.assert_array_equal(img.bigimg.affine, np.diag([0.5, 2.0, 1.0, 1.0]))


def test_a_foreign_array_counts_pixels() -> None:
    img = xarray.DataArray(np.zeros((4, 5)), dims=("y", "x"))
    assert img.bigimg.spacing == {"y": 1.0, "x": 1.0}
    assert img.bigimg.kind == "image"
    assert img.bigimg.meta == {}
    assert img.bigimg.channels == ()


def test_channels_by_name_and_place() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    img = bigimg.from_array(pixels)
    np.testing.assert_array_equal(img.bigimg.channel("G").values, pixels[..., 1])
    np.testing.assert_array_equal(img.bigimg.to_numpy(), pixels)
    np.testing.assert_array_equal(img.bigimg.to_numpy(channels="first"), pixels.transpose(2, 0, 1))
    with pytest.raises(UsageError, match="no channel 'Q'; there are R, G, B"):
        img.bigimg.channel("Q")
    with pytest.raises(UsageError, match="'first' or 'last'"):
        img.bigimg.to_numpy(channels="middle")


def test_at_a_place(pair: tuple[Any, xarray.DataArray]) -> None:
    theirs, img = pair
    index = (3, 7, 10)
    mm = nibabel.affines.apply_affine(theirs.affine, index)
    assert img.bigimg.at(mm=tuple(mm)) == theirs.dataobj[index]
    cropped = img.isel(x=slice(2, None, 1), z=slice(None, None, -1))
    assert cropped.bigimg.at(mm=tuple(mm)) == theirs.dataobj[index]
    step = img.bigimg.spacing
    assert img.bigimg.at(x=3.4 * step["x"], y=7 * step["y"], z=9.6 * step["z"]) == theirs.dataobj[index]
    with pytest.raises(UsageError, match="outside the image"):
        img.bigimg.at(mm=(1e4, 0, 0))
    with pytest.raises(UsageError, match="a point is given along z y x"):
        img.bigimg.at(q=3)
    with pytest.raises(UsageError, match="does not say where it lies"):
        bigimg.from_array(np.zeros((4, 5))).bigimg.at(mm=(0, 0, 0))


def test_methods_lead_to_the_functions(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 200, (6, 30, 20)).astype(np.uint8)
    img = bigimg.from_array(pixels, dims="zyx")
    assert float(img.bigimg.stats()["mean"]) == pytest.approx(pixels.mean())
    assert int(img.bigimg.histogram(bins=4).sum()) == pixels.size
    np.testing.assert_array_equal(img.bigimg.plane("z", index=2).values, pixels[2])
    assert img.bigimg.thumbnail(10).shape == (10, 7)
    assert img.bigimg.with_geometry(spacing=2).bigimg.spacing["z"] == 2
    np.save(tmp_path / "a.npy", pixels)
    tree = bigimg.open_pyramid(tmp_path / "a.npy")
    assert float(tree.bigimg.stats()["mean"]) == pytest.approx(pixels.mean())
    assert int(tree.bigimg.histogram(bins=4).sum()) == pixels.size
    assert tree.bigimg.thumbnail(10).shape == (10, 7)


BOTH = """
    area browse crop downsample fraction histogram mask montage ortho otsu percentile plane profile region resize show
    stats sweep thumbnail view
"""
IMAGE = "apply_mask build_pyramid export gray map map_patches patches rescale with_geometry"
METHODS = [
    *(("pyramid", name) for name in BOTH.split()),
    *(("image", name) for name in (BOTH + IMAGE).split()),
]


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_a_method_has_docstring_and_signature_of_its_function_without_the_image(kind: str, name: str) -> None:
    accessor = bigimg.accessor.ImageAccessor if kind == "image" else bigimg.accessor.PyramidAccessor
    function = getattr(bigimg, name)
    expected = inspect.signature(function)
    parameters = list(expected.parameters.values())
    image = parameters.pop(1 if name == "map_patches" else 0)
    assert image.name in ("img", "mask", "source")
    method = getattr(accessor(None), name)
    assert inspect.signature(method) == expected.replace(parameters=parameters)
    assert (method.__name__, method.__doc__) == (name, function.__doc__)


def test_every_method_is_tested() -> None:
    own = {
        (kind, name)
        for kind, accessor in (("image", bigimg.accessor.ImageAccessor), ("pyramid", bigimg.accessor.PyramidAccessor))
        for base in accessor.__mro__
        for name, found in vars(base).items()
        if isinstance(found, bigimg.accessor.FunctionAsMethod)
    }  # fmt: skip
    assert own == set(METHODS)


def test_the_image_goes_where_the_function_takes_it() -> None:
    pixels = np.arange(64.0).reshape(8, 8)
    img = bigimg.from_array(pixels)
    for made in (
        img.bigimg.map_patches(np.negative, 4),
        img.bigimg.map_patches(np.negative, size=4),
        img.bigimg.map_patches(func=np.negative, size=4),
    ):
        np.testing.assert_array_equal(made, -pixels)
    np.testing.assert_array_equal(img.bigimg.map(np.negative), -pixels)
    with pytest.raises(TypeError, match=r"percentile\(\) missing 1 required positional argument: 'q'"):
        img.bigimg.percentile()


def test_the_accessor_loads_no_operation() -> None:
    code = "import sys, bigimg.accessor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.split() if name.startswith(("bigimg.ops", "bigimg.viewing"))]


def test_a_place_in_millimetres_outside_is_told_as_it_was_asked() -> None:
    world = np.eye(4)
    world[:3, 3] = 100
    img = bigimg.with_geometry(bigimg.from_array(np.zeros((4, 5, 6)), spacing=1, unit="mm"), world=world)
    assert img.bigimg.at(mm=(105, 104, 103)).x.item() == 5
    says = r"at\(mm=\(1000, 0, 0\)\): in coordinates of the image, position 900 along x .* -0.5 to 5.5 millimeter"
    with pytest.raises(UsageError, match=says):
        img.bigimg.at(mm=(1000, 0, 0))
