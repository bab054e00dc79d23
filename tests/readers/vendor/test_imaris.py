"""Imaris files against h5py: pixels without padding, axes, times, channels, and what was never written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, InputError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.hdf5 import pixels as hdf5_pixels
from bigimg.readers.registry import find_format, open_file
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.vendor.hdf5_files import imaris

DATA = "DataSet/ResolutionLevel 0/TimePoint {}/Channel {}/Data"
ARRAY = np.random.default_rng(0).integers(0, 900, (3, 2, 6, 37, 29)).astype("u2")


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def test_real_file(data: Path) -> None:
    path = data / "vendor" / "PtK2Cell.ims"
    with h5py.File(path) as file:
        expected = np.stack([file[DATA.format(0, c)][()] for c in range(4)])
    check_reader(lambda: open_file(path), expected=expected)
    spec = open_file(path).spec
    assert spec.dims == ("c", "z", "y", "x")
    assert [channel.color for channel in spec.channels] == ["FF0000", "00FF00", "0000FF", "FFFFFF"]
    assert [channel.name for channel in spec.channels] == ["Kinetochores", "Microtubules", "DNA", "Dynactin"]
    sizes = {axis.name: (axis.spacing, axis.unit, axis.origin) for axis in spec.axes}
    assert sizes["z"] == (pytest.approx(0.2), "micrometer", pytest.approx(0))
    assert sizes["x"] == (pytest.approx(17.151 / 256), "micrometer", pytest.approx(0, abs=1e-3))
    assert spec.window == (0, 247)
    assert "Image:Filename" in spec.private
    assert spec.meta["Channel 0:LSMEmissionWavelength"] == "500"


@pytest.mark.vendors
def test_real_file_against_openreadout(data: Path) -> None:
    openreadout = pytest.importorskip("openreadout")
    path = data / "vendor" / "PtK2Cell.ims"
    with openreadout.open(str(path)) as file:
        expected = np.asarray(file.get_image_data("CZYX"))
    np.testing.assert_array_equal(whole(open_file(path)), expected)


@pytest.mark.parametrize(
    "packing", [{}, {"shuffle": True, "fletcher32": True}, {"compression": "lzf"}, {"compression": None}]
)
def test_padding_times_and_channels(tmp_path: Path, packing: dict[str, object]) -> None:
    path = imaris(tmp_path / "a.ims", ARRAY, **packing)
    check_reader(lambda: open_file(path), expected=ARRAY)
    spec = open_file(path).spec
    assert [(axis.name, axis.spacing, axis.unit, axis.origin) for axis in spec.axes] == [
        ("t", 10.0, "second", 0), ("c", 1.0, None, 0), ("z", 2.0, "micrometer", 6.0),
        ("y", 0.25, "micrometer", 0.125), ("x", 0.5, "micrometer", -0.75),
    ]  # fmt: skip
    assert [(channel.name, channel.color) for channel in spec.channels] == [
        ("DAPI", "FF8000"),
        ("GFP", "00FF00"),
    ]
    assert spec.chunks == (1, 1, 4, 16, 16)
    assert spec.window == (0, 900)
    assert spec.private["Image:Name"] == "Ann"


def test_single_time_and_channel_and_what_is_not_known(tmp_path: Path) -> None:
    path = imaris(tmp_path / "a.ims", ARRAY[:1, :1], about={"ExtMax0": "none"})
    reader = open_file(path)
    np.testing.assert_array_equal(whole(reader), ARRAY[0, 0])
    assert reader.spec.dims == ("z", "y", "x")
    assert reader.spec.notes == ("the file gives no spacing along x; 1 is assumed",)
    uneven = open_file(imaris(tmp_path / "b.ims", ARRAY, seconds=(0, 1, 5)))
    assert uneven.spec.axes[0].unit is None
    assert "not evenly spaced" in uneven.spec.notes[0]


def test_lz4_and_zstd_without_plugins(tmp_path: Path) -> None:
    for number, encode in (
        (32004, lambda data: imagecodecs.lz4h5_encode(data)),
        (32015, imagecodecs.zstd_encode),
    ):
        path = imaris(tmp_path / f"{number}.ims", ARRAY[:1, :1])
        with h5py.File(path, "r+") as file:
            name = DATA.format(0, 0)
            values, made = file[name][()], h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            del file[name]
            made.set_chunk((4, 16, 16))
            made.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (0,))
            space = h5py.h5s.create_simple(values.shape)
            dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.STD_U16LE, space, made)
            for index in np.ndindex(2, 3, 2):
                start = tuple(i * n for i, n in zip(index, (4, 16, 16), strict=True))
                part = values[tuple(slice(s, s + n) for s, n in zip(start, (4, 16, 16), strict=True))]
                dataset.write_direct_chunk(start, bytes(encode(part.tobytes())))
        np.testing.assert_array_equal(whole(open_file(path)), ARRAY[0, 0])


def test_time_points_and_chunks_that_were_never_written(tmp_path: Path) -> None:
    path = imaris(tmp_path / "a.ims", ARRAY, leave_out=[(1, 1)])
    with pytest.raises(InputError, match=r"a\.ims: 12 of 72 chunks were never written \(t = 1, c = 1, z = 0"):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    assert reader.spec.missing == ((slice(1, 2), slice(1, 2), slice(0, 6), slice(0, 37), slice(0, 29)),)
    expected = ARRAY.copy()
    expected[1, 1] = 0
    np.testing.assert_array_equal(whole(reader), expected)
    with h5py.File(path, "r+") as file:
        name = DATA.format(0, 0)
        values = file[name][()]
        del file[name]
        made = file.create_dataset(name, values.shape, values.dtype, chunks=(4, 16, 16), compression="gzip")
        made[:4] = values[:4]
    reader = open_file(path, allow_partial=True)
    assert (slice(0, 1), slice(0, 1), slice(4, 6), slice(0, 37), slice(0, 29)) in reader.spec.missing
    expected[0, 0, 4:] = 0
    np.testing.assert_array_equal(whole(reader), expected)


def test_each_chunk_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, ...]] = []
    real = hdf5_pixels.unpacked_chunk

    def counted(path: str, layout: object, index: tuple[int, ...], *rest: object) -> Array:
        seen.append((*index, hashlib.sha1(rest[1]).hexdigest()))  # type: ignore[arg-type]
        return real(path, layout, index, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(hdf5_pixels, "unpacked_chunk", counted)
    path = imaris(tmp_path / "a.ims", ARRAY)
    bigimg.convert(path, tmp_path / "a.ome.zarr", progress=False, workers=1)
    assert len(seen) == len(set(seen)) == 72
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr"), ARRAY)


def read_or_refused(path: Path, expected: Array) -> str:
    try:
        np.testing.assert_array_equal(whole(open_file(path)), expected)
    except BigimgError as error:
        return str(error)
    return path.name


def test_damage_is_named_or_the_pixels_are_the_same(tmp_path: Path) -> None:
    path = imaris(tmp_path / "a.ims", ARRAY, fletcher32=True)
    good, rng = path.read_bytes(), np.random.default_rng(3)
    with h5py.File(path) as file:
        name = DATA.format(0, 0)
        chunks = [file[name].id.get_chunk_info(i) for i in range(6)]
    mutants = [good[: int(rng.integers(len(good)))] for _ in range(6)]
    for chunk in chunks:
        bad = bytearray(good)
        bad[chunk.byte_offset + int(rng.integers(chunk.size))] ^= 1 << int(rng.integers(8))
        mutants.append(bytes(bad))
    for _ in range(10):  # in headers, which have no checksums
        bad = bytearray(good)
        bad[int(rng.integers(4096))] ^= 1 << int(rng.integers(8))
        mutants.append(bytes(bad))
    for mutant in mutants:
        path.write_bytes(mutant)
        assert "a.ims" in read_or_refused(path, ARRAY)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = imaris(tmp_path / "a.ims", ARRAY)
    assert find_format(path).name == "imaris"
    with h5py.File(path, "r+") as file:
        file[DATA.format(2, 1)].parent.attrs["ImageSizeX"] = file[DATA.format(0, 0)].parent.attrs[
            "ImageSizeX"
        ]
        del file[DATA.format(2, 1)]
        file[DATA.format(2, 1)] = np.zeros((4, 16, 16), "u2")
    with pytest.raises(
        InputError, match=r"TimePoint 2/Channel 1/Data is \(4, 16, 16\) uint16, and \(6, 37, 29\)"
    ):
        open_file(path)
    with h5py.File(path, "r+") as file:
        del file["DataSet"]
    with pytest.raises(InputError, match=r"has no DataSet/ResolutionLevel 0"):
        open_file(path)


def test_a_cut_file_is_named_so(tmp_path: Path) -> None:
    path = imaris(tmp_path / "a.ims", ARRAY)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        InputError, match=r"a\.ims: is truncated or damaged \(.*truncated.*\); fetch it again$"
    ):
        open_file(path)


def test_time_points_and_channels_are_bounded_together(tmp_path: Path) -> None:
    path = imaris(tmp_path / "a.ims", ARRAY)
    with h5py.File(path, "r+") as file:
        level = file["DataSet/ResolutionLevel 0"]
        level["TimePoint 99998/Channel 999998/Data"] = ARRAY[0, 0]
    with pytest.raises(InputError, match="99999 time points of 999999 channels"):
        open_file(path)
