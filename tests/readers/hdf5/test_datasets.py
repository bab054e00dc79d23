"""Datasets of any HDF5 file against h5py: which one, its axes, types, filters, and what a file may not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import pytest

import bigimg
from bigimg.conversion.identity import identity
from bigimg.errors import InputError, UsageError
from bigimg.geometry.region import full
from bigimg.reader import Reader, as_part
from bigimg.readers.hdf5 import datasets
from bigimg.readers.hdf5.filters import unpack
from bigimg.readers.registry import open_file
from bigimg.testing import check_reader
from bigimg.types import Array

ARRAY = np.random.default_rng(0).integers(0, 900, (6, 37, 29)).astype("u2")


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def hdf5(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name.replace("__", "/")] = array
    return path


def test_one_dataset_needs_no_name_and_several_do(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", volume=ARRAY, names=np.array([b"a", b"b"]), line=np.arange(9))
    check_reader(lambda: open_file(path), expected=ARRAY)
    hdf5(path, entry__data=ARRAY, entry__dark=ARRAY[0] + 1)
    with pytest.raises(
        InputError,
        match=r"name a dataset, as in '.*a\.h5::/entry/dark'; it has /entry/dark \(37 x 29 uint16\), /entry/data",
    ):
        open_file(path)
    np.testing.assert_array_equal(bigimg.open(f"{path}::/entry/dark"), ARRAY[0] + 1)
    np.testing.assert_array_equal(bigimg.imread(f"{path}::entry/data"), ARRAY)
    np.testing.assert_array_equal(bigimg.open(path, series=1), ARRAY)
    np.testing.assert_array_equal(bigimg.open(path, series="/entry/data"), ARRAY)
    with pytest.raises(UsageError, match="names a dataset already"):
        bigimg.open(f"{path}::/entry/dark", series=1)
    with pytest.raises(UsageError, match="there is no series 2"):
        open_file(path, series=2)
    for name in ("/entry/none", "/entry"):
        with pytest.raises(InputError, match=rf"a\.h5: {name} is no.*; it has /entry/dark"):
            bigimg.open(f"{path}::{name}")
    with pytest.raises(InputError, match="it holds no image"):
        open_file(hdf5(path, line=np.arange(9)))


def test_converted_and_verified(tmp_path: Path) -> None:
    source = f"{hdf5(tmp_path / 'a.h5', entry__data=ARRAY, entry__dark=ARRAY[0])}::/entry/data"
    bigimg.convert(source, tmp_path / "a.ome.zarr", progress=False)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr"), ARRAY)
    assert bigimg.verify(tmp_path / "a.ome.zarr", source=source).ok


def test_a_run_is_not_continued_with_another_dataset(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", one=ARRAY, two=ARRAY + 1)
    known = []
    for name in ("/one", "/two", "/one"):
        reader = open_file(path, series=name)
        known.append(identity(bigimg.plan(f"{path}::{name}", tmp_path / "a.ome.zarr"), reader))
        reader.close()
    assert known[0] == known[2] is not None
    assert known[0] != known[1]


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i2", ">u2", ">f4", "<f8", "f2", "u8"])
@pytest.mark.parametrize("chunks", [None, (2, 16, 9)])
def test_types(tmp_path: Path, dtype: str, chunks: tuple[int, ...] | None) -> None:
    array = ARRAY.astype(dtype)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "a", data=array, chunks=chunks, compression="gzip" if chunks else None, shuffle=bool(chunks)
        )
    check_reader(lambda: open_file(path), expected=array)


def test_complex_values(tmp_path: Path) -> None:
    array = (ARRAY + 1j * ARRAY[::-1]).astype("c8")
    path = hdf5(tmp_path / "a.h5", a=array)
    np.testing.assert_array_equal(whole(as_part(open_file(path), "imaginary")), array.imag)


def test_filters_of_the_library_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=ARRAY, chunks=(2, 16, 9), scaleoffset=0)
    check_reader(lambda: open_file(path), expected=ARRAY)


def test_a_filter_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((2, 2))
        made.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, (0,))
        h5py.h5d.create(file.id, b"a", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((4, 4)), made)
    with pytest.raises(InputError, match=r"packed by the filter bitshuffle \(32008\) of HDF5.*hdf5plugin"):
        open_file(path)


@pytest.mark.vendors
@pytest.mark.parametrize("name", ["LZ4", "Zstd", "Blosc", "BZip2"])
def test_filters_of_hdf5plugin(tmp_path: Path, name: str) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=ARRAY, chunks=(2, 16, 9), **getattr(hdf5plugin, name)())
    check_reader(lambda: open_file(path), expected=ARRAY)


def test_a_bomb_is_not_unpacked() -> None:
    for number, bomb in (
        (1, imagecodecs.deflate_encode(bytes(1 << 24))), (32004, imagecodecs.lz4h5_encode(bytes(1 << 24))),
        (32001, imagecodecs.blosc_encode(bytes(1 << 24))), (32015, imagecodecs.zstd_encode(bytes(1 << 24))),
        (307, imagecodecs.bz2_encode(bytes(1 << 24))),
    ):  # fmt: skip
        with pytest.raises((RuntimeError, ValueError)):
            unpack(bytes(bomb), ((number, ()),), 0, 1 << 10)


def test_axes_of_scales_labels_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"], file["z"], file["x"] = (
            ARRAY.transpose(2, 1, 0),
            5 + np.arange(6) * 2.0,
            np.arange(29) * 0.5,
        )
        for axis, name in ((0, "x"), (2, "z")):
            file[name].make_scale(name)
            file[name].attrs["units"] = "um"
            file["a"].dims[axis].attach_scale(file[name])
        file["a"].dims[1].label = "y"
    reader = open_file(path, series="/a")
    np.testing.assert_array_equal(whole(reader), ARRAY)
    assert [(axis.name, axis.spacing, axis.unit, axis.origin) for axis in reader.spec.axes] == [
        ("z", 2.0, "micrometer", 5.0), ("y", 1.0, None, 0.0), ("x", 0.5, "micrometer", 0.0),
    ]  # fmt: skip
    colour = np.stack([ARRAY] * 3, axis=-1)
    with h5py.File(hdf5(path, a=colour), "r+") as file:
        file["a"].attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "tyxc"]})
        file["a"].attrs["element_size_um"] = [3.0, 0.5, 0.25]
    reader = open_file(path)
    assert reader.spec.dims == ("t", "c", "y", "x")
    np.testing.assert_array_equal(whole(reader), colour.transpose(0, 3, 1, 2))
    assert [(axis.spacing, axis.unit) for axis in reader.spec.axes[2:]] == [
        (0.5, "micrometer"),
        (0.25, "micrometer"),
    ]


def test_never_written_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", (6, 40, 30), "f4", chunks=(2, 20, 15))
        made[2:] = 1.0
        file.create_dataset("b", (6, 40, 30), "f4")
    with pytest.raises(
        InputError, match=r"4 of 12 chunks were never written \(z = 0, y = 0, x = 0 is the first\)"
    ):
        open_file(path, series="/a")
    found = whole(open_file(path, series="/a", allow_partial=True))
    assert np.isnan(found[:2]).all()
    assert (found[2:] == 1).all()
    with pytest.raises(InputError, match="nothing is there to open"):
        open_file(path, series="/b", allow_partial=True)


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"), [("i2", -1, -1), ("c8", None, np.nan), ("f4", -9, -9)]
)
def test_never_written_chunks_are_as_their_note_says(
    tmp_path: Path, dtype: str, fill: float | None, expected: float
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", (6, 40, 30), dtype, chunks=(2, 20, 15))
        made[2:] = 3
        if fill is not None:
            made.attrs["_FillValue"] = np.array(fill, dtype)
    reader = as_part(open_file(path, allow_partial=True), "real" if dtype == "c8" else None)
    assert any("are missing" in note and f"they are {fill or 'NaN'}" in note for note in reader.spec.notes)
    found = whole(reader)
    np.testing.assert_array_equal(found[:2], np.full((2, 40, 30), expected))
    np.testing.assert_array_equal(found[2:], np.full((4, 40, 30), 3))


def test_links_and_values_outside_the_file_are_refused(tmp_path: Path) -> None:
    hdf5(tmp_path / "secret.h5", a=ARRAY)
    path = hdf5(tmp_path / "a.h5", inside__a=ARRAY)
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/inside/a")
        file["out"] = h5py.ExternalLink("secret.h5", "/a")
        file["through"] = h5py.SoftLink("/out")
        file["loop"] = h5py.SoftLink("/loop")
        layout = h5py.VirtualLayout(ARRAY.shape, ARRAY.dtype)
        layout[...] = h5py.VirtualSource("secret.h5", "a", ARRAY.shape)
        file.create_virtual_dataset("virtual", layout)
    np.testing.assert_array_equal(bigimg.imread(f"{path}::/soft"), ARRAY)
    for name, words in (
        ("out", "link to the file 'secret.h5'"), ("through", "link to the file"), ("loop", "never ends"),
        ("virtual", "lie in the file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            bigimg.open(f"{path}::/{name}")


def test_a_scale_in_another_file_is_not_read(tmp_path: Path) -> None:
    path, secret = tmp_path / "a.h5", tmp_path / "secret"
    secret.write_bytes(np.arange(6.0).tobytes())
    with h5py.File(path, "w") as file:
        file["a"] = ARRAY
        scale = file.create_dataset("z", (6,), "f8", external=[(str(secret), 0, 48)])
        scale.make_scale("z")
        file["a"].dims[0].attach_scale(scale)
    with pytest.raises(InputError, match=r"the values of its /z lie in the file '.*secret'"):
        open_file(path, series="/a")


def test_a_search_that_ends_at_its_limit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MOST_VISITED", 2)
    path = hdf5(tmp_path / "a.h5", a=np.arange(9), b=ARRAY, c=ARRAY[0])
    said = "its first 2 objects were searched for datasets: name others by their paths"
    reader = open_file(path)
    np.testing.assert_array_equal(whole(reader), ARRAY)
    assert said in reader.spec.notes
    with pytest.raises(UsageError, match=rf"there is no series 1; it has /b .*; {said}"):
        open_file(path, series=1)
    reader = open_file(path, series="/c")
    np.testing.assert_array_equal(whole(reader), ARRAY[0])
    assert said not in reader.spec.notes
