"""Geometry given by hand, and stacks against numpy.stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import nibabel
import numpy as np
import pytest
import xarray

import bigimg
from bigimg.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.uint8)


def test_what_is_given_replaces_and_the_rest_stays() -> None:
    img = bigimg.from_array(PIXELS, spacing=(3.0, 2.0, 1.0), unit="um")
    new = bigimg.with_geometry(img, spacing={"z": 7.0}, origin=5.0)
    assert new.bigimg.spacing == {"z": 7.0, "y": 2.0, "x": 1.0}
    assert new.bigimg.origin == {"z": 5.0, "y": 5.0, "x": 5.0}
    assert set(new.bigimg.units.values()) == {"micrometer"}
    assert img.bigimg.spacing["z"] == 3.0
    assert bigimg.with_geometry(img, unit="mm", spacing=(1, 1, 2)).bigimg.units["x"] == "millimeter"
    assert bigimg.with_geometry(img[:, 1:3], spacing=4).bigimg.origin["y"] == 2.0
    assert bigimg.with_geometry(img, world=np.diag([-1, 1, 1, 1.0])).bigimg.orientation == ("L", "A", "S")
    assert bigimg.with_geometry(PIXELS, spacing=2).bigimg.spacing == {"z": 2.0, "y": 2.0, "x": 2.0}


AFFINE = np.array([[0, -2.0, 0.3, 30], [1.5, 0, 0.2, -7], [0, 0, 3, 11], [0, 0, 0, 1]])


@pytest.mark.parametrize(("unit", "factor"), [(None, 1.0), ("mm", 1.0), ("um", 1e3), ("cm", 0.1)])
def test_an_affine_is_that_of_nibabel(unit: str | None, factor: float, tmp_path: Path) -> None:
    theirs = nibabel.Nifti1Image(PIXELS.T, AFFINE)
    steps = np.array(nibabel.affines.voxel_sizes(AFFINE)) * factor
    for img in (
        bigimg.from_array(PIXELS, dims="zyx", unit=unit, affine=AFFINE),
        bigimg.with_geometry(bigimg.from_array(PIXELS, dims="zyx"), unit=unit, affine=AFFINE),
        bigimg.with_geometry(bigimg.from_array(PIXELS, dims="zyx", spacing=7.0), unit=unit, affine=AFFINE),
        bigimg.from_array(PIXELS, dims="zyx", unit=unit, affine=AFFINE, spacing=tuple(steps[::-1])),
        bigimg.from_array(da.from_array(PIXELS), dims="zyx", unit=unit, affine=AFFINE),
    ):
        np.testing.assert_allclose(img.bigimg.affine, AFFINE, atol=1e-12)
        np.testing.assert_allclose([img.bigimg.spacing[name] for name in "xyz"], steps)
        assert set(img.bigimg.units.values()) == {
            {None: "millimeter", "mm": "millimeter", "um": "micrometer", "cm": "centimeter"}[unit]
        }
        cut = img[1:, 2:, 1:]
        np.testing.assert_allclose(cut.bigimg.affine, theirs.slicer[1:, 2:, 1:].affine, atol=1e-12)
    bigimg.export(img, tmp_path / "a.nii")
    saved = nibabel.load(tmp_path / "a.nii")
    assert saved.header.get_xyzt_units()[0] == {"um": "micron"}.get(unit or "", "mm")
    millimetres = saved.affine[:3] * (1e-3 if unit == "um" else 1)
    np.testing.assert_allclose(millimetres, AFFINE[:3], rtol=1e-6)
    np.testing.assert_allclose(saved.header.get_zooms(), nibabel.affines.voxel_sizes(saved.affine), rtol=1e-6)


def test_an_affine_of_a_plane_and_of_channels() -> None:
    plane = bigimg.from_array(PIXELS[0], dims="yx", affine=AFFINE)
    assert plane.bigimg.spacing == {"y": 2.0, "x": 1.5}
    np.testing.assert_allclose(plane.bigimg.affine, AFFINE)
    several = bigimg.from_array(PIXELS[None], dims="czyx", affine=AFFINE)
    np.testing.assert_allclose(several.bigimg.affine, AFFINE)


@pytest.mark.parametrize(
    ("world", "unit", "spacing", "refused"),
    [
        (np.diag([2, 3, 4, 1.0]), "mm", (4, 3, 2), True),  # an affine, which holds the spacing a second time
        (np.diag([2, 2, 2, 1.0]), "mm", 2, True),
        (np.diag([2, 3, 4, 1.0]), None, (4, 3, 2), True),
        (np.diag([1, 1, 2, 1.0]), "um", 1, True),
        (np.diag([1e-3, 1e-3, 1e-3, 1.0]), "um", (4, 3, 2), False),
        (np.diag([-1, 1, 1, 1.0]), "um", (4, 3, 2), False),  # a turn alone
        (np.diag([10, 10, -10, 1.0]), "cm", (4, 3, 2), False),
        (np.diag([2, 3, 4, 1.0]), None, None, False),  # coordinates are indices
    ],
)
def test_a_world_that_contradicts_the_spacing(world: Any, unit: Any, spacing: Any, refused: bool) -> None:
    img = bigimg.from_array(PIXELS, dims="zyx", spacing=spacing, unit=unit)
    if not refused:
        assert bigimg.with_geometry(img, world=world).attrs["world"] == world.ravel().tolist()
        return
    with pytest.raises(UsageError, match="an affine of pixels is affine="):
        bigimg.with_geometry(img, world=world)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"affine": AFFINE, "world": np.eye(4)}, "give one"),
        ({"affine": AFFINE, "spacing": (3, 2, 1)}, "leave spacing out, or correct one"),
        ({"affine": AFFINE[:, [0, 0, 2, 3]]}, "its axes span no space"),
        ({"affine": AFFINE * np.nan}, "its axes span no space"),
        ({"affine": AFFINE[:3]}, "affine is no affine"),
        ({"affine": AFFINE, "unit": {"z": "s"}}, "the unit of z is second"),
        ({"convention": "left"}, "convention 'left'"),
        ({"spacing": (1, 2)}, "2 numbers for the axes z y x"),
        ({"spacing": {"t": 1}}, "names axis 't', but the axes are z y x"),
        ({"spacing": 0}, "must be finite"),
        ({"spacing": -1}, "above zero"),
        ({"unit": "furlong"}, "'furlong' is not in OME-Zarr"),
        ({"unit": {"t": "s"}}, "unit names 't'"),
        ({"world": np.eye(3)}, "world is no affine"),
    ],
)
def test_refused(asked: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.with_geometry(bigimg.from_array(PIXELS), **asked)  # type: ignore[arg-type]


def test_planes_make_the_volume_they_came_from() -> None:
    img = bigimg.from_array(PIXELS, spacing=(3.0, 2.0, 1.0), unit="um")
    again = bigimg.stack([img.isel(z=i) for i in range(4)], "z")
    assert again.dims == ("z", "y", "x")
    assert again.chunks is not None
    xarray.testing.assert_identical(again.compute(), img.compute())


def test_a_new_axis_goes_where_it_belongs() -> None:
    pictures = [bigimg.from_array(PIXELS[i, :, :3, None].repeat(3, -1)) for i in range(4)]
    found = bigimg.stack(pictures, "z")
    assert found.dims == ("c", "z", "y", "x")
    np.testing.assert_array_equal(found.values, np.stack([p.values for p in pictures], axis=1))
    assert list(found.z.values) == [0, 1, 2, 3]
    assert list(found.c.values) == ["R", "G", "B"]
    grey = bigimg.stack([p.bigimg.channel(name) for p, name in zip(pictures, "RGB", strict=False)], "c")
    assert list(grey.c.values) == ["R", "G", "B"]


def test_channels_cut_out_and_stacked_again_keep_name_and_colour() -> None:
    img = bigimg.from_array(PIXELS[:3], dims="cyx", channels=["DAPI", "GFP", "B"])
    img = img.assign_coords(color=("c", ["0000FF", "00FF00", ""]))
    again = bigimg.stack([img.bigimg.channel(name) for name in ("DAPI", "GFP", "B")], "c")
    xarray.testing.assert_identical(again.compute(), img.compute())
    two = bigimg.stack([img.bigimg.channel("GFP"), bigimg.from_array(PIXELS[0])], "c")
    assert [str(c) for c in two.color.values] == ["00FF00", ""]
    assert two.bigimg.channels[0] == "GFP"
    spread = img.isel(c=0).expand_dims(c=["one", "two"])
    assert spread.bigimg.channels == ("one", "two")


def test_whatever_opens_is_stacked(tmp_path: Path) -> None:
    for i, plane in enumerate(PIXELS):
        np.save(tmp_path / f"{i}.npy", plane)
    found = bigimg.stack([tmp_path / "0.npy", str(tmp_path / "1.npy"), PIXELS[2]], "z")
    assert found.chunks is not None
    np.testing.assert_array_equal(found.values, PIXELS[:3])
    tree = bigimg.build_pyramid(PIXELS[3])
    np.testing.assert_array_equal(bigimg.stack([tree, PIXELS[0]], "t").values, PIXELS[[3, 0]])


def test_stacks_that_do_not_fit() -> None:
    img = bigimg.from_array(PIXELS)
    flat = img.isel(z=0)
    for images, dim, says in (
        ([], "z", "there are no images"),
        ([flat], "q", "an axis is one of"),
        ([img], "z", "has it already"),
        ([flat, flat[:3]], "z", "bring them to one shape"),
        ([flat, flat.astype(float)], "z", "bring them to one shape"),
        ([flat, bigimg.with_geometry(flat, origin=9)], "z", "different coordinates"),
    ):
        with pytest.raises(UsageError, match=says):
            bigimg.stack(images, dim)
