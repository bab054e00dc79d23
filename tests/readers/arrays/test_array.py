"""Arrays as sources: what they are called, what their coordinates say, and that none is copied."""

from __future__ import annotations

import dask
import dask.array
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.errors import InputError, UsageError
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB, RGBA, Channel, Scaling
from bigimg.lazy import foreign
from bigimg.opening.data_array import label
from bigimg.readers.arrays.array import ArrayReader, read_labelled
from bigimg.types import Array

VOLUME = np.arange(4 * 5 * 6, dtype="i2").reshape(4, 5, 6)


def whole(reader: ArrayReader) -> Array:
    return reader.read(full(reader.spec.shape))


@pytest.mark.parametrize("dims", ["zyx", "yxz", "xyz", "tyx", "cyx", "yxc", "xyc", "ytx"])
def test_axes_in_any_order_come_in_ours(dims: str) -> None:
    reader = ArrayReader(VOLUME, dims=dims)
    expected = xarray.DataArray(VOLUME, dims=tuple(dims)).transpose(*sorted(dims, key="tczyx".index))
    assert reader.spec.dims == expected.dims
    np.testing.assert_array_equal(whole(reader), expected.values)
    assert np.shares_memory(whole(reader), VOLUME)


def test_foreign_byte_order_comes_native_and_leaves_the_source_alone() -> None:
    source = VOLUME.astype(">i2")
    got = whole(ArrayReader(source, dims="zyx"))
    assert got.dtype == np.dtype("i2")
    np.testing.assert_array_equal(got, VOLUME)
    np.testing.assert_array_equal(source, VOLUME)


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        (0.5, {"t": 1.0, "z": 0.5, "y": 0.5, "x": 0.5}),
        ((3.0, 1.0, 2.0), {"t": 1.0, "z": 2.0, "y": 3.0, "x": 1.0}),  # in the order of dims: y x z
        ({"t": 9, "x": 2}, {"t": 9.0, "z": 1.0, "y": 1.0, "x": 2.0}),
        (None, {"t": 1.0, "z": 1.0, "y": 1.0, "x": 1.0}),
    ],
)
def test_spacing(spacing: object, expected: dict[str, float]) -> None:
    array = np.zeros((2, 3, 4, 5), "u1")
    reader = ArrayReader(array, dims="tyxz", spacing=spacing, unit="um")  # type: ignore[arg-type]
    assert {axis.name: axis.spacing for axis in reader.spec.axes} == expected
    # A mapping says nothing of the axes that it lacks, so they are in pixels.
    said = [name for name in "zyx" if not isinstance(spacing, dict) or name in spacing]
    assert [axis.name for axis in reader.spec.axes if axis.unit == "micrometer"] == said


def test_colour_last_is_named() -> None:
    assert ArrayReader(np.zeros((5, 6, 3), "u1")).spec.channels == RGB
    assert ArrayReader(np.zeros((5, 6, 4), "u1"), dims="yxc").spec.channels == RGBA
    assert ArrayReader(np.zeros((3, 5, 6), "u1"), dims="cyx").spec.channels == ()
    named = ArrayReader(np.zeros((2, 5, 6), "u1"), dims="cyx", channels=["DAPI", Channel("GFP", "00FF00")])
    assert named.spec.channels == (Channel("DAPI"), Channel("GFP", "00FF00"))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5,), {}, "1 axes"),
        ((5, 6), {"dims": "zyx"}, "do not name the 2 axes"),
        ((5, 6), {"dims": "yy"}, "do not name"),
        ((5, 6), {"dims": "yq"}, "'q' is not one of"),
        ((5, 6), {"dims": "zx"}, "lack y or x"),
        ((5, 6), {"spacing": (1, 2, 3)}, "spacing=.* has 3 numbers for the axes y x"),
        ((5, 6), {"spacing": {"z": 1}}, "spacing names axis 'z'"),
        ((5, 6), {"channels": ["a"]}, "need an axis c"),
        ((5, 6), {"world": [[1, 2], [3, 4]]}, "4 rows of 4"),
        ((0, 6), {}, "0 pixels"),
    ],
)
def test_what_cannot_fit_is_refused(shape: tuple[int, ...], options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ArrayReader(np.zeros(shape, "u1"), **options)  # type: ignore[arg-type]


def test_complex_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="complex"):
        ArrayReader(np.zeros((5, 6), "c8"))


@settings(max_examples=60)
@given(st.data())
def test_any_region_of_a_dask_array_is_numpys(data: st.DataObject) -> None:
    chunks = tuple(tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))) for _ in range(3))
    shape = tuple(sum(sizes) for sizes in chunks)
    array = np.arange(np.prod(shape), dtype=">i4").reshape(shape)
    region = tuple(
        slice(a, data.draw(st.integers(a + 1, n)))
        for a, n in ((data.draw(st.integers(0, n - 1)), n) for n in shape)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign, "TOGETHER_BYTES", data.draw(st.sampled_from([1, 50, 200, 1 << 20])))
        reader = ArrayReader(dask.array.from_array(array, chunks=chunks), dims="zyx")
    assert all(n >= max(sizes) for n, sizes in zip(reader.spec.chunks, chunks, strict=True))
    np.testing.assert_array_equal(reader.read(region), array[region])


def test_each_dask_chunk_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def block(block_info: dict[object, dict[str, list[tuple[int, int]]]]) -> Array:
        where = block_info[None]["array-location"]
        seen.append((where[0][0], where[1][0]))
        return np.full((3, 4), 10 * where[0][0] + where[1][0], "i4")

    monkeypatch.setattr(foreign, "TOGETHER_BYTES", 2 * 3 * 4 * 4)
    lazy = dask.array.map_blocks(block, chunks=((3,) * 4, (4,) * 5), dtype="i4", meta=np.empty((0, 0), "i4"))
    reader = ArrayReader(lazy)
    seen.clear()
    got = whole(reader)
    assert sorted(seen) == [(y, x) for y in range(0, 12, 3) for x in range(0, 20, 4)]
    corners = 10 * np.arange(0, 12, 3)[:, None] + np.arange(0, 20, 4)
    np.testing.assert_array_equal(got, corners.repeat(3, 0).repeat(4, 1))


def test_opening_computes_nothing() -> None:
    def fail() -> Array:
        raise AssertionError("computed")

    lazy = dask.array.from_delayed(dask.delayed(fail)(), (5, 6), "u1")
    assert ArrayReader(lazy).spec.shape == (5, 6)
    assert read_labelled(xarray.DataArray(lazy, dims=("y", "x"))).spec.shape == (5, 6)


def test_unknown_dask_chunks_are_refused() -> None:
    lazy = dask.array.from_array(np.arange(12).reshape(3, 4), chunks=2)
    with pytest.raises(UsageError, match="compute_chunk_sizes"):
        ArrayReader(lazy[lazy[:, 0] > 0], dims="yx")


def labelled(array: Array, dims: str = "zyx", **coords: object) -> xarray.DataArray:
    return xarray.DataArray(array, dims=tuple(dims), coords=coords, name="scan")


def test_what_a_labelled_array_says() -> None:
    img = xarray.DataArray(
        np.zeros((5, 2, 6), "u2"),
        dims=("y", "c", "x"),
        coords={
            "y": ("y", 10 + 0.5 * np.arange(5), {"units": "micrometer"}),
            "x": ("x", 3.0 - 0.25 * np.arange(6), {"units": "um"}),
            "c": ["DAPI", "GFP"],
            "color": ("c", ["0000FF", ""]),
        },
        attrs={
            "world": np.diag([1.0, 2, 3, 1]).tolist(),
            "kind": "labels",
            "scaling": [2.0, -1.0],
            "window": [0, 255],
            "meta": {"a": 1},
        },
    )
    spec = read_labelled(img).spec
    assert [(a.name, a.size, a.spacing, a.origin, a.unit) for a in spec.axes] == [
        ("c", 2, 1.0, 0.0, None),
        ("y", 5, 0.5, 10.0, "micrometer"),
        ("x", 6, -0.25, 3.0, "micrometer"),
    ]
    assert spec.channels == (Channel("DAPI", "0000FF"), Channel("GFP"))
    assert spec.world == ((1.0, 0, 0, 0), (0, 2.0, 0, 0), (0, 0, 3.0, 0), (0, 0, 0, 1.0))
    assert (spec.kind, spec.scaling, spec.window) == ("labels", Scaling(2.0, -1.0), (0.0, 255.0))
    assert spec.meta == {"a": 1}


@pytest.mark.parametrize(
    ("z", "spacing", "origin", "noted"),
    [
        ([0.0, 2.0, 4.0, 6.0], 2.0, 0.0, False),
        ([0, 2, 4, 6], 2.0, 0.0, False),
        ([0.1, 0.4333333, 0.7666667, 1.1], 1 / 3, 0.1, False),  # rounded when it was written
        ([0.0, 1.0, 2.0, 9.0], 1.0, 0.0, True),
        ([0.0, 0.0, 0.0, 0.0], 1.0, 0.0, True),
        (["a", "b", "c", "d"], 1.0, 0.0, True),
        ([0.0, np.nan, 2.0, 3.0], 1.0, 0.0, True),
    ],
)
def test_coordinates_are_lines_or_noted(z: list[object], spacing: float, origin: float, noted: bool) -> None:
    spec = read_labelled(labelled(VOLUME, z=z)).spec
    assert spec.axes[0].spacing == pytest.approx(spacing)
    assert spec.axes[0].origin == pytest.approx(origin)
    assert any("coordinate z" in note for note in spec.notes) is noted


def test_one_plane_keeps_the_spacing_left_with_it() -> None:
    img = labelled(VOLUME, z=("z", [4.0, 6.0, 8.0, 10.0], {"spacing": 2.0})).isel(z=slice(2, 3))
    assert (read_labelled(img).spec.axes[0].spacing, read_labelled(img).spec.axes[0].origin) == (2.0, 8.0)


def test_a_labelled_array_of_ours_comes_back_the_same() -> None:
    spec = ArrayReader(
        np.zeros((4, 5, 3), "u1"), dims="yxc", spacing=(2, 3), origin=(7, 8), unit="mm", world=np.eye(4),
        window=(0.0, 9.0), meta={"a": "b"}, scaling=Scaling(2.0, 1.0),
    ).spec  # fmt: skip
    img = label(np.zeros((3, 4, 5), "u1"), spec, raw=True, source="a.tif")
    reader = read_labelled(img)
    for name in ("axes", "dtype", "channels", "world", "kind", "scaling", "window", "meta"):
        assert getattr(reader.spec, name) == getattr(spec, name), name
    assert reader.source == "a.tif"


def test_a_foreign_dim_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match=r"scan: dim 'band' .* img\.rename"):
        read_labelled(xarray.DataArray(VOLUME, dims=("band", "y", "x"), name="scan"))


def test_a_labelled_array_is_a_view_and_its_selection_follows() -> None:
    img = labelled(VOLUME, z=[0.0, 1.0, 2.0, 3.0])
    assert np.shares_memory(whole(read_labelled(img)), VOLUME)
    part = read_labelled(img[::2, 1:])
    np.testing.assert_array_equal(whole(part), VOLUME[::2, 1:])
    assert part.spec.axes[0].spacing == 2.0


@pytest.mark.parametrize("chunks", [None, (3, 4), (8, 9)])
def test_masked_pixels_have_no_value(chunks: tuple[int, int] | None) -> None:
    pixels = np.ma.masked_array(np.arange(72.0).reshape(8, 9), mask=False)
    pixels[5, 2] = np.ma.masked
    reader = ArrayReader(pixels if chunks is None else dask.array.from_array(pixels, chunks, asarray=False))
    if chunks is None:  # of a dask array whole blocks are computed, the masked pixel with them
        np.testing.assert_array_equal(reader.read((slice(0, 5), slice(0, 9))), pixels.data[:5])
    with pytest.raises(UsageError, match=r"array: 1 pixels are masked and have no value; fill them first"):
        reader.read((slice(0, 8), slice(0, 9)))
