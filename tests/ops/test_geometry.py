"""Geometry given by hand, and stacks against numpy.stack."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    ("asked", "says"),
    [
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
