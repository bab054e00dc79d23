"""Labelled arrays against numpy: pixels, blocks, order of reading, coordinates, attrs."""

from __future__ import annotations

import math
import pickle
import time
from pathlib import Path
from typing import Any

import dask.array as da
import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigimg
from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, ImageSpec, Scaling
from bigimg.lazy import dask_edge
from bigimg.lazy.blocks import band_shape, block_shape
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node_of_array import opened_pixels
from bigimg.opening.data_array import to_labelled
from bigimg.reader import Access
from bigimg.readers.arrays.array import ArrayReader, read_labelled
from bigimg.readers.registry import open_file
from bigimg.types import Array, Region


class OrderedReader(ArrayReader):
    """An array that is read in one order, and remembers in which it was."""

    def __init__(self, array: Array, dims: str, order: str, **known: Any) -> None:
        super().__init__(array, dims=dims, **known)
        self.access = Access("sequential", "for the test", tuple(order))
        self.log: list[Region] = []

    def read(self, region: Region) -> Array:
        self.log.append(region)
        return super().read(region)


def numbers(*shape: int, dtype: Any = np.uint16) -> Array:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def spec_of(dims: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> ImageSpec:
    return ImageSpec(tuple(map(Axis, dims, shape)), np.dtype("u1"), chunks)


sizes = st.integers(1, 60)


@given(st.data())
def test_any_slice_is_numpys(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 7)] * 3))
    array = numbers(*shape)
    key = tuple(data.draw(st.one_of(st.slices(n), st.integers(-n, n - 1))) for n in shape)
    key = key[: data.draw(st.integers(0, 3))]
    if data.draw(st.booleans()) and len(key) < 3:
        key = (*key, ...)
    if data.draw(st.booleans()) and len(key) < 3:
        key = (
            (*key, data.draw(st.lists(st.integers(-shape[-1], shape[-1] - 1))))
            if ... in key
            else ([0], *key[1:])
        )
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(key)))
        key = (*key[:at], None, *key[at:])
    np.testing.assert_array_equal(LazyPixels(ArrayReader(array, dims="zyx"), raw=True)[key], array[key])


def test_a_block_is_not_the_callers_array() -> None:
    array = numbers(4, 5)
    block = LazyPixels(ArrayReader(array), raw=True)[:, :]
    block[:] = 7
    assert array.max() != 7


@given(st.tuples(sizes, sizes, sizes), st.tuples(sizes, sizes, sizes), st.integers(1, 10_000))
def test_blocks_fit_and_are_chunks_or_multiples(
    shape: tuple[int, ...], chunks: tuple[int, ...], most: int
) -> None:
    spec = spec_of("zyx", shape, chunks)
    block = block_shape(spec, most, itemsize=1)
    assert math.prod(block) <= most
    cut = tuple(map(min, chunks, shape))
    if math.prod(cut) <= most:
        assert all(
            b == s or (b % c == 0 and b // c & (b // c - 1) == 0)
            for b, c, s in zip(block, cut, shape, strict=True)
        )
        # Nothing more would fit: doubling any axis of space goes over.
        for i, (b, s) in enumerate(zip(block, shape, strict=True)):
            assert b == s or math.prod(block) // block[i] * min(2 * b, s) > most


@given(st.permutations("tczyx"), st.tuples(*[st.integers(1, 9)] * 5), st.integers(1, 2000))
def test_bands_are_slabs_in_the_order_of_the_source(
    order: list[str], shape: tuple[int, ...], most: int
) -> None:
    band = band_shape(spec_of("tczyx", shape, (1,) * 5), tuple(order), most, itemsize=1)
    in_order = [(band["tczyx".index(n)], shape["tczyx".index(n)]) for n in order]
    cut = next((i for i, (b, s) in enumerate(in_order) if b > 1), 4)
    assert all(b == s for b, s in in_order[cut + 1 :])
    row = max(i for i, name in enumerate(order) if name != "c")
    if any(b > 1 for b, _ in in_order[:row]):
        assert math.prod(band) <= most


@pytest.mark.parametrize(
    "reduce",
    [
        lambda img: img.mean(),
        lambda img: img.std(),
        lambda img: img.data,
        lambda img: img.sum("x"),
        lambda img: (img * 2 + 1).max(),
        lambda img: img.isel(x=slice(3, 9)),
        lambda img: img.isel(y=slice(None, None, -1)),
    ],
)
def test_an_ordered_source_is_read_once_and_in_order(reduce: Any) -> None:
    # dask alone asks for block 15, 14, ... 0, 23, ...: each step back would decode a file from its start.
    array = numbers(40, 6, 10)
    reader = OrderedReader(array, "zyx", "zyx")
    img = to_labelled(reader, block_bytes=240)
    assert img.data.numblocks == (20, 1, 1)
    got = reduce(img).compute()
    starts = [region[0].start for region in reader.log]
    assert starts == sorted(set(starts))
    assert len(starts) == 20
    plain = to_labelled(ArrayReader(array, dims="zyx"), block_bytes=10**6)
    np.testing.assert_allclose(got, reduce(plain).compute())


def test_a_plane_of_an_ordered_source_reads_one_band() -> None:
    reader = OrderedReader(numbers(40, 6, 10), "zyx", "zyx")
    img = to_labelled(reader, block_bytes=240)
    img.isel(z=31).compute()
    img.isel(z=[33]).compute()
    assert [region[0].start for region in reader.log] == [30, 32]


def test_slow_axes_may_lie_in_another_order_than_the_array() -> None:
    array = numbers(3, 4, 5, 6)
    reader = OrderedReader(array, "tcyx", "ctyx")
    img = to_labelled(reader, block_bytes=60)
    np.testing.assert_array_equal(img.values, array)
    seen = [(region[1].start, region[0].start) for region in reader.log]
    assert seen == sorted(seen)


def test_chunks_of_an_ordered_source_are_cut_from_its_bands() -> None:
    array = numbers(40, 6, 10)
    reader = OrderedReader(array, "zyx", "zyx")
    img = to_labelled(reader, block_bytes=240, chunks={"x": 3, "z": 5})
    assert img.chunksizes["x"] == (3, 3, 3, 1)
    np.testing.assert_array_equal(img.values, array)
    assert [region[0].start for region in reader.log] == list(range(0, 40, 2))


@pytest.mark.parametrize(
    ("chunks", "want"),
    [
        (16, (1, 16, 16)),
        ((2, 10, -1), (2, 10, 50)),
        ({"y": 7}, (3, 7, 50)),
        (1000, (1, 40, 50)),  # no more than there is
        ((4, 5), (1, 4, 5)),
        ("4,5", (1, 4, 5)),
    ],
)
def test_chunks_as_asked(chunks: Any, want: tuple[int, ...]) -> None:
    img = to_labelled(ArrayReader(numbers(3, 40, 50), dims="cyx"), block_bytes=10**6, chunks=chunks)
    assert img.data.chunksize == want


@pytest.mark.parametrize("chunks", [{"q": 3}, (1, 1, 4, 4), 0, {"y": -2}])
def test_chunks_that_mean_nothing(chunks: Any) -> None:
    with pytest.raises(UsageError, match="axes c y x"):
        to_labelled(ArrayReader(numbers(3, 40, 50), dims="cyx"), block_bytes=10**6, chunks=chunks)


@pytest.mark.parametrize(
    ("stored", "real"),
    [("u1", "f4"), ("i2", "f4"), ("f2", "f4"), ("i4", "f8"), ("f4", "f8"), ("i8", "f8")],
)
def test_scaling_is_lazy_and_in_floats(stored: str, real: str) -> None:
    array = numbers(6, 7, dtype=stored)
    reader = ArrayReader(array, scaling=Scaling(0.5, -10.0))
    img = to_labelled(reader, block_bytes=10)
    assert img.dtype == real
    np.testing.assert_array_equal(img.values, array.astype(real) * np.dtype(real).type(0.5) - 10)
    assert "scaling" not in img.attrs
    raw = to_labelled(reader, block_bytes=10, raw=True)
    assert raw.dtype == stored
    assert raw.attrs["scaling"] == [0.5, -10.0]
    np.testing.assert_array_equal(raw.values, array)
    assert read_labelled(raw).spec.scaling == reader.spec.scaling
    assert read_labelled(raw < 5).spec.scaling is None  # xarray keeps the attribute


def test_coordinates_and_attrs() -> None:
    world = np.diag([-1.0, 1.0, 2.0, 1.0])
    reader = ArrayReader(
        numbers(3, 4, 5),
        dims="cyx",
        spacing=(0.5, 0.25),
        origin={"y": 10.0, "x": -1.0},
        unit="um",
        channels=RGB,
        world=world,
        window=(0.0, 9.0),
        meta={"Scanner": "S"},
    )
    img = to_labelled(reader, block_bytes=10**6)
    assert img.dims == ("c", "y", "x")
    assert img.name == "image"
    np.testing.assert_array_equal(img.y, 10 + 0.5 * np.arange(4))
    np.testing.assert_array_equal(img.x, -1 + 0.25 * np.arange(5))
    assert img.y.dtype == np.float64
    assert img.y.attrs == {"units": "micrometer", "spacing": 0.5}
    assert list(img.c.values) == ["R", "G", "B"]
    assert list(img.color.values) == ["FF0000", "00FF00", "0000FF"]
    assert img.attrs == {
        "kind": "image",
        "source": "array",
        "world": world.ravel().tolist(),
        "window": [0.0, 9.0],
        "meta": '{"Scanner": "S"}',
    }


def test_a_bare_image_claims_nothing() -> None:
    img = to_labelled(ArrayReader(numbers(3, 4, 5), dims="cyx"), block_bytes=10**6)
    assert "c" not in img.coords
    assert img.attrs == {"kind": "image", "source": "array"}
    assert img.y.attrs == {"spacing": 1.0}


def volume(folder: Path) -> Path:
    path = folder / "v.nii"
    nibabel.save(nibabel.Nifti1Image(numbers(5, 6, 7, dtype="i2"), np.eye(4)), path)
    return path


def test_the_same_file_has_the_same_name_until_it_changes(tmp_path: Path) -> None:
    path = volume(tmp_path)

    def name(**options: Any) -> str:
        return str(to_labelled(open_file(path), block_bytes=200, **options).data.name)

    first = name()
    assert name() == first
    assert len({first, name(raw=True), name(chunks=3)}) == 3
    nibabel.save(nibabel.Nifti1Image(numbers(6, 6, 7, dtype="i2"), np.eye(4)), path)
    assert name() != first


def test_two_arrays_never_share_a_name() -> None:
    names = {to_labelled(ArrayReader(numbers(4, 4)), block_bytes=99).data.name for _ in range(3)}
    assert len(names) == 3


def test_it_can_be_pickled(tmp_path: Path) -> None:
    for reader in (open_file(volume(tmp_path)), OrderedReader(numbers(8, 4, 4), "zyx", "zyx")):
        img = to_labelled(reader, block_bytes=100)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(img)).values, img.values)


def test_nothing_is_read_for_a_repr() -> None:
    reader = OrderedReader(numbers(40, 6, 10), "zyx", "zyx")
    img = to_labelled(reader, block_bytes=240)
    repr(img), img._repr_html_(), img.isel(z=0).chunks
    assert not reader.log


def test_an_opened_array_is_known_until_something_is_done_to_it() -> None:
    reader = ArrayReader(numbers(40, 6, 10), dims="zyx")
    img = to_labelled(reader, block_bytes=240)
    found = opened_pixels(img)
    assert found is not None
    assert found.reader is reader
    assert opened_pixels(img[:, :, :]) is found
    for other in (img + 0, img[1:], img.transpose("x", "y", "z"), img.compute(), img.chunk(z=3)):
        assert opened_pixels(other) is None
    assert isinstance(img.data, da.Array)


def test_spacing_is_what_was_said_but_for_rounding() -> None:
    """Coordinates of 0.499 i tell 0.49900000000000005; the file said 0.499."""
    img = bigimg.from_array(np.zeros((2220, 30), np.uint8), spacing=0.499, unit="um")
    assert img.bigimg.spacing == {"y": 0.499, "x": 0.499}
    assert img[1000:].bigimg.spacing["y"] == 0.499
    assert img[::2].bigimg.spacing["y"] == pytest.approx(0.998, rel=1e-12)
    assert img.assign_coords(y=img.y * 2).bigimg.spacing["y"] == pytest.approx(0.998, rel=1e-12)
    moved = img.assign_coords(y=img.y.copy(data=img.y + 1e6)).isel(y=[5])  # older xarray: sums have no attrs
    assert moved.bigimg.spacing["y"] == 0.499


def test_a_slow_thread_does_not_turn_the_order_round(monkeypatch: pytest.MonkeyPatch) -> None:
    # While it holds one link of the order, other threads of dask could make all that follow.
    zeros = dask_edge._Links.__getitem__

    def slow(links: Any, key: Any) -> Any:
        if key[0].start == 1:
            time.sleep(0.015)
        return zeros(links, key)

    monkeypatch.setattr(dask_edge._Links, "__getitem__", slow)
    monkeypatch.setattr(dask_edge, "PATIENCE", 5)  # longer than the slow thread sleeps, on any machine
    reader = OrderedReader(numbers(400, 6, 10), "zyx", "zyx")
    img = to_labelled(reader, block_bytes=240)
    img.data.compute(num_workers=2)
    starts = [region[0].start for region in reader.log]
    assert starts == list(range(0, 400, 2))
