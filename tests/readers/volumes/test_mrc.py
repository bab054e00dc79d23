"""MRC and CCP4 maps against mrcfile: pixels, axes, spacing, origin, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, InputError
from bigimg.geometry.region import full
from bigimg.reader import Reader, as_part
from bigimg.readers.registry import find_format, open_file
from bigimg.testing import check_reader
from bigimg.types import Array

IMOD = struct.pack("<i", 1146047817)


def noise(*shape: int, dtype: str = "f4") -> Array:
    rng = np.random.default_rng(1)
    if np.dtype(dtype).kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    values = rng.normal(size=shape) * 30 if dtype[0] == "f" else rng.integers(0, 120, shape)
    return values.astype(dtype)


def mrc(path: Path, array: Array, **header: Any) -> Path:
    """Write ``array`` with mrcfile; ``stack`` and ``extended`` are not fields of the header."""
    stack, extended = header.pop("stack", False), header.pop("extended", b"")
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as file:
        warnings.simplefilter("ignore")
        file.set_data(array)
        if stack:
            file.set_image_stack()
        if extended:
            file.set_extended_header(np.frombuffer(extended, "V1"))
        file.voxel_size = (1.5, 2.5, 4.0)
        for name, value in header.items():
            file.header[name] = value
    return path


def patched(path: Path, **at: bytes) -> Path:
    data = bytearray(path.read_bytes())
    for where, new in at.items():
        start = int(where[1:])
        data[start : start + len(new)] = new
    path.write_bytes(data)
    return path


@contextmanager
def mrcfiles(path: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about how mrcfile sets the type of an array
        with mrcfile.open(path, permissive=True) as file:
            yield file


def theirs(path: Path) -> Array:
    with mrcfiles(path) as file:
        return np.array(file.data)


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def axes(reader: Reader) -> dict[str, tuple[float, str | None, float]]:
    return {axis.name: (axis.spacing, axis.unit, axis.origin) for axis in reader.spec.axes}


@pytest.mark.parametrize("dtype", ["i1", "i2", "f4", "u2", "f2"])
@pytest.mark.parametrize("order", "<>")
def test_every_mode_in_both_byte_orders(tmp_path: Path, dtype: str, order: str) -> None:
    array = noise(4, 7, 9, dtype=dtype)
    path = mrc(tmp_path / "a.mrc", array.astype(np.dtype(dtype).newbyteorder(order)), extended=b"x" * 320)
    check_reader(lambda: open_file(path), expected=theirs(path))
    assert axes(open_file(path)) == {
        "z": (4.0, "angstrom", 0), "y": (2.5, "angstrom", 0), "x": (1.5, "angstrom", 0),
    }  # fmt: skip


def test_real_map(data: Path) -> None:
    path = data / "mrc" / "EMD-3197.map"
    reader = open_file(path)
    np.testing.assert_array_equal(whole(reader), theirs(path))
    with mrcfiles(path) as file:
        sizes, start = file.voxel_size, file.nstart
        for name in "xyz":
            spacing, unit, origin = axes(reader)[name]
            assert (spacing, unit) == (pytest.approx(float(sizes[name])), "angstrom")
            assert origin == pytest.approx(float(sizes[name]) * int(start[name]))
    assert "label" in reader.spec.private


@pytest.mark.vendors
def test_real_map_against_openreadout(data: Path) -> None:
    openreadout = pytest.importorskip("openreadout")
    path = data / "mrc" / "EMD-3197.map"
    with openreadout.open(str(path)) as file:
        np.testing.assert_array_equal(whole(open_file(path)), np.asarray(file.get_image_data("ZYX")))


@pytest.mark.parametrize("places", [(1, 2, 3), (3, 1, 2), (2, 1, 3), (3, 2, 1), (2, 3, 1), (1, 3, 2)])
def test_permuted_axes(tmp_path: Path, places: tuple[int, int, int]) -> None:
    array = noise(4, 7, 9)
    named = dict(zip(("mapc", "mapr", "maps"), places, strict=True))
    path = mrc(tmp_path / "a.map", array, **named, nxstart=5, nystart=-3, nzstart=2, mx=30, my=20, mz=10)
    patched(path, _40=struct.pack("<3f", 30.0, 40.0, 50.0))  # lengths of the cell along x, y, z
    dims = ["xyz"[place - 1] for place in places[::-1]]
    reader = open_file(path)
    np.testing.assert_array_equal(whole(reader), array.transpose([dims.index(name) for name in "zyx"]))
    start = dict(zip(dims[::-1], (5, -3, 2), strict=True))
    for name, spacing in (("x", 1.0), ("y", 2.0), ("z", 5.0)):
        assert axes(reader)[name] == (spacing, "angstrom", start[name] * spacing)


def test_stacks_of_images_and_of_volumes(tmp_path: Path) -> None:
    stack = open_file(mrc(tmp_path / "a.st", noise(4, 7, 9), stack=True))
    assert stack.spec.dims == ("t", "y", "x")
    assert stack.spec.axes[0].unit is None
    assert open_file(mrc(tmp_path / "b.mrc", noise(7, 9))).spec.dims == ("y", "x")
    assert open_file(mrc(tmp_path / "b2.mrc", noise(4, 7, 9), ispg=0, mz=4)).spec.dims == ("z", "y", "x")
    volumes = noise(3, 4, 7, 9)
    path = mrc(tmp_path / "c.mrc", volumes)
    assert open_file(path).spec.dims == ("t", "z", "y", "x")
    check_reader(lambda: open_file(path), expected=volumes)
    with pytest.raises(InputError, match="do not make volumes of 5"):
        open_file(patched(path, _36=struct.pack("<i", 5)))


def test_signs_of_bytes(tmp_path: Path) -> None:
    array = np.arange(256, dtype="u1").reshape(1, 16, 16).view("i1")
    path = mrc(tmp_path / "a.mrc", array, dmin=-128, dmax=127)
    np.testing.assert_array_equal(whole(open_file(path))[0], array[0])
    patched(path, _152=IMOD)
    np.testing.assert_array_equal(whole(open_file(path))[0], array[0].view("u1"))
    patched(path, _156=struct.pack("<i", 1))
    np.testing.assert_array_equal(whole(open_file(path))[0], array[0])
    reader = open_file(mrc(tmp_path / "b.mrc", array, dmin=0, dmax=255))
    assert reader.spec.dtype == np.uint8
    assert "unsigned" in reader.spec.notes[0]


def test_origin_and_its_sign_in_imod(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", noise(4, 7, 9), origin=(10.0, -20.0, 30.0), nxstart=7)
    assert [axes(open_file(path))[name][2] for name in "xyz"] == [10.0, -20.0, 30.0]
    patched(path, _152=IMOD)
    assert [axes(open_file(path))[name][2] for name in "xyz"] == [-10.0, 20.0, -30.0]
    patched(path, _156=struct.pack("<i", 4))
    assert [axes(open_file(path))[name][2] for name in "xyz"] == [10.0, -20.0, 30.0]


def test_complex_colour_and_kinds_that_are_not_read(tmp_path: Path) -> None:
    array = noise(4, 7, 9, dtype="c8")
    path = mrc(tmp_path / "a.mrc", array)
    with pytest.raises(InputError, match="its values are complex"):
        as_part(open_file(path), None)
    np.testing.assert_array_equal(whole(as_part(open_file(path), "magnitude")), np.abs(array))
    colour = noise(4, 7, 27, dtype="i1")
    path = patched(mrc(tmp_path / "b.mrc", colour), _0=struct.pack("<4i", 9, 7, 4, 16))
    found = open_file(path)
    assert [channel.name for channel in found.spec.channels] == ["R", "G", "B"]
    np.testing.assert_array_equal(whole(found), np.moveaxis(colour.view("u1").reshape(4, 7, 9, 3), 3, 0))
    for mode, what in ((3, "complex"), (101, "4-bit"), (77, "unknown kind")):
        with pytest.raises(InputError, match=rf"{what}.*mode {mode}.*newstack"):
            open_file(patched(path, _12=struct.pack("<i", mode)))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_packed(tmp_path: Path, pack: Any) -> None:
    path = mrc(tmp_path / "a.map", noise(4, 7, 9))
    packed = tmp_path / "a.map.packed"
    packed.write_bytes(pack(path.read_bytes()))
    check_reader(lambda: open_file(packed), expected=theirs(path))


def test_known_by_content_and_old_files_by_name(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", noise(4, 7, 9))
    for name in ("a", "a.rec", "a.img"):
        (tmp_path / name).write_bytes(path.read_bytes())
        assert find_format(tmp_path / name).name == "mrc"
    old = patched(path, _208=bytes(8), _64=bytes(12)).rename(tmp_path / "old.st")
    reader = open_file(old)
    assert "columns, rows and sections are assumed to be" in reader.spec.notes[0]
    np.testing.assert_array_equal(whole(reader), noise(4, 7, 9))


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", noise(4, 7, 9))
    good = path.read_bytes()
    for cut in (230, 1024, 1500, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(InputError, match=r"a\.mrc: .*truncated"):
            open_file(path)
    for at, new in (
        ("_64", struct.pack("<i", 3)),
        ("_92", struct.pack("<i", -4)),
        ("_0", struct.pack("<i", -1)),
    ):
        path.write_bytes(good)
        with pytest.raises(InputError, match=r"a\.mrc"):
            open_file(patched(path, **{at: new}))
    path.write_bytes(good)
    reader = open_file(patched(path, _212=b"\x11\x11"))
    assert "machine stamp does not match" in reader.spec.notes[0]
    np.testing.assert_array_equal(whole(reader), noise(4, 7, 9))
    reader = open_file(patched(path, _28=bytes(12)))
    assert sum("no spacing along" in note for note in reader.spec.notes) == 3


@pytest.mark.parametrize("part", [0.15, 0.34, 0.5, 0.71, 0.99])
@pytest.mark.parametrize(
    ("dtype", "header"),
    [
        ("i2", {}),
        (">f4", {}),
        ("f4", {"mapc": 3, "mapr": 1, "maps": 2}),
        ("c8", {}),
        ("i1", {"ispg": 401, "mz": 4}),
    ],
    ids=["i2", "f4", "permuted", "complex", "volumes"],
)
def test_planes_behind_the_end_of_a_cut_file_are_holes(
    part: float, dtype: str, header: dict[str, int], tmp_path: Path
) -> None:
    """Sections, which are the axis of the file that MAPS names, or volumes of sections along t."""
    part_of: Any = "real" if dtype == "c8" else None
    path = mrc(tmp_path / "a.mrc", noise(12, 7, 9, dtype=dtype), extended=b"x" * 80, **header)
    expected = whole(as_part(open_file(path), part_of))
    plane = 7 * 9 * np.dtype(dtype).itemsize
    there = int(part * 12)
    path.write_bytes(path.read_bytes()[: 1104 + int(part * 12 * plane)])
    with pytest.raises(
        InputError,
        match="it is truncated, or its header is wrong: copy or download it again, or take what is there by allow",
    ):
        open_file(path)
    reader = as_part(open_file(path, allow_partial=True), part_of)
    sections = {"i1": "tz"}.get(dtype, "y" if header else "z")
    kept = np.zeros(expected.shape, bool)
    order = [*range(2 if sections == "tz" else 1)] if sections != "y" else [1]
    by_section = np.moveaxis(kept, order, range(len(order)))
    for number in range(there):
        by_section[np.unravel_index(number, by_section.shape[: len(order)])] = True
    found, lost = whole(reader), np.zeros(expected.shape, bool)
    for hole in reader.spec.missing:
        lost[hole] = True
    np.testing.assert_array_equal(lost, ~kept)
    np.testing.assert_array_equal(found[kept], expected[kept])
    assert (np.isnan(found[lost]) if found.dtype.kind in "fc" else found[lost] == 0).all()


def test_statistics_leave_out_what_is_cut_off(tmp_path: Path) -> None:
    values = noise(4, 7, 9, dtype="i2") + 1
    path = mrc(tmp_path / "a.mrc", values.astype("i2"))
    path.write_bytes(path.read_bytes()[:-100])
    found = bigimg.stats(bigimg.open(path, allow_partial=True))
    assert (int(found["count"]), int(found["min"])) == (3 * 63, int(values[:3].min()))


def test_what_of_a_cut_file_is_not_opened(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", noise(4, 7, 9, dtype="i2"))
    good = path.read_bytes()
    path.write_bytes(good[:1100])
    with pytest.raises(InputError, match=r"it is truncated, or its header is wrong$"):
        open_file(path, allow_partial=True)
    path.write_bytes(gzip.compress(good)[:-200])
    with pytest.raises(InputError):
        whole(open_file(path, allow_partial=True))
    one = mrc(tmp_path / "one.mrc", noise(7, 9, dtype="i2"))
    one.write_bytes(one.read_bytes()[: 1024 + 5 * 18 + 3])  # rows of a single plane
    assert open_file(one, allow_partial=True).spec.missing == ((slice(5, 7), slice(0, 9)),)


def read_or_refused(path: Path) -> str:
    try:
        reader = open_file(path)
        if reader.spec.nbytes < 1 << 20:
            whole(reader)
    except BigimgError as error:
        return str(error)
    return path.name


def test_damaged_headers_are_named_or_give_pixels(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", noise(4, 7, 9, dtype="i2"), extended=b"x" * 80)
    good, rng = path.read_bytes(), np.random.default_rng(5)
    for _ in range(20):
        bad = bytearray(good)
        bad[rng.integers(0, 256)] ^= 1 << rng.integers(0, 8)
        path.write_bytes(bad)
        assert "a.mrc" in read_or_refused(path)
