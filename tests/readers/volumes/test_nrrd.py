"""NRRD: encodings, detached files, axes by their kinds, geometry; pynrrd is asked where it is installed."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import BigimgError, InputError, InputNotFoundError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.readers.volumes.nrrd import TYPES
from bigimg.types import Array
from tests.readers.volumes.header_files import NRRD, nrrd

VOLUME = np.arange(1, 25, dtype="<i2").reshape(4, 3, 2)
SPACE = "space: {}\nspace directions: (0,2,0) (-3,0,0) (0,0,4)\nspace origin: (1,2,3)"
PLACED = np.array([[0.0, -3, 0, 1], [2, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]])


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def affine_of(reader: Reader) -> Array:
    return index_to_world(reader.spec.axes, reader.spec.world)


def asked_of_pynrrd(path: Path) -> Array | None:
    """Return what pynrrd reads, slowest axis first, where it is installed."""
    try:
        import nrrd as pynrrd
    except ImportError:
        return None
    return np.asarray(pynrrd.read(str(path), index_order="C")[0])


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
@pytest.mark.parametrize("dtype", [">i2", "<u2", "i1", "<f4", ">f8", "<u8"])
def test_encodings(encoding: str, suffix: str, dtype: str, tmp_path: Path) -> None:
    path = nrrd(tmp_path / f"a{suffix}", VOLUME.astype(dtype), encoding=encoding)
    reader = open_file(path)
    kinds = {"raw": "random", "ascii": "whole"}
    assert reader.access.kind == kinds.get(encoding, "sequential")
    assert reader.spec.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(whole(reader), VOLUME)
    said = asked_of_pynrrd(path)
    assert said is None or np.array_equal(said, VOLUME)


@pytest.mark.parametrize(
    ("code", "word"), [(code, w) for code, words in TYPES.items() for w in words.split(", ")]
)
def test_every_name_of_a_type(code: str, word: str, tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", VOLUME.astype("<" + code))
    path.write_bytes(path.read_bytes().replace(f"type: {NRRD[code]}\n".encode(), f"type: {word}\n".encode()))
    reader = open_file(path)
    assert reader.spec.dtype == np.dtype(code)
    np.testing.assert_array_equal(whole(reader), VOLUME)


@pytest.mark.parametrize(
    ("space", "turn"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("LPS", (-1, -1, 1)),
        ("scanner-xyz", (-1, -1, 1)),
        ("3D-right-handed", (-1, -1, 1)),
    ],
)
def test_spaces(space: str, turn: tuple[int, ...], tmp_path: Path) -> None:
    reader = open_file(nrrd(tmp_path / "a.nrrd", VOLUME, more=SPACE.format(space)))
    np.testing.assert_allclose(affine_of(reader), np.diag([*turn, 1]) @ PLACED, rtol=0, atol=1e-12)
    named = "anterior" in space or "posterior" in space or space in ("RAS", "LPS")
    assert [axis.spacing for axis in reader.spec.axes] == [4, 3, 2]
    assert {axis.unit for axis in reader.spec.axes} == {"millimeter" if named else None}
    assert any("read as LPS" in note for note in reader.spec.notes) != named


def test_spacings_units_and_no_place(tmp_path: Path) -> None:
    more = 'spacings: 0.5 0.25 NaN\nunits: "um" "um" ""\ncontent: Jane\nmodality:=DWMRI\nname:=Jane'
    reader = open_file(nrrd(tmp_path / "a.nrrd", VOLUME, more=more))
    assert [(a.name, a.spacing, a.unit) for a in reader.spec.axes] == [
        ("z", 1.0, None), ("y", 0.25, "micrometer"), ("x", 0.5, "micrometer"),
    ]  # fmt: skip
    assert reader.spec.world is None
    assert reader.spec.meta["modality"] == "DWMRI"
    assert reader.spec.private == {"content": "Jane", "name": "Jane"}


NO_DIRECTION = "space: LPS\nspace directions: {} (0.5,0,0) (0,2,0) (0,0,3)\nspace origin: (10,-20,30)\n"


@pytest.mark.parametrize("none", ["none", "(nan,nan,nan)", "(NaN,NaN,NaN)"])
@pytest.mark.parametrize(
    ("kinds", "name"), [("vector", "c"), ("list", "c"), ("time", "t"), ("???", "c"), ("", "c")]
)
def test_an_axis_without_a_direction_is_none_of_space(
    none: str, kinds: str, name: str, tmp_path: Path
) -> None:
    array = np.arange(4 * 3 * 2 * 5, dtype="<i2").reshape(
        4, 3, 2, 5
    )  # z y x, and the axis without a direction
    more = NO_DIRECTION.format(none) + (f"kinds: {kinds} domain domain domain" if kinds else "")
    reader = open_file(nrrd(tmp_path / "a.nrrd", array, more=more.strip()))
    assert reader.spec.dims == (name, "z", "y", "x")
    np.testing.assert_array_equal(whole(reader), np.moveaxis(array, -1, 0))
    expected = np.diag([-0.5, -2, 3, 1])
    expected[:3, 3] = [-10, 20, 30]
    np.testing.assert_allclose(affine_of(reader), expected)


def test_a_vector_that_is_half_nan_is_refused(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", VOLUME, more="space: LPS\nspace directions: (1,nan,0) (0,1,0) (0,0,1)")
    with pytest.raises(InputError, match="has some nan"):
        open_file(path)


@pytest.mark.parametrize("nothing", ["none", "(nan,nan,nan)", "(0,0,0)"])
def test_a_space_axis_without_a_direction_gets_the_normal(nothing: str, tmp_path: Path) -> None:
    more = f"space: RAS\nspace directions: (0,2,0) (0,0,3) {nothing}\nkinds: domain domain domain"
    reader = open_file(nrrd(tmp_path / "a.nrrd", VOLUME, more=more))
    np.testing.assert_allclose(affine_of(reader)[:3, :3], [[0, 0, 1], [2, 0, 0], [0, 3, 0]])
    assert any("no direction along z" in note for note in reader.spec.notes)


def test_two_axes_of_one_direction_make_no_affine(tmp_path: Path) -> None:
    more = "space: RAS\nspace directions: (1,0,0) (2,0,0) (0,0,1)"
    reader = open_file(nrrd(tmp_path / "a.nrrd", VOLUME, more=more))
    assert reader.spec.world is None
    assert any("singular" in note for note in reader.spec.notes)


def test_a_world_with_time(tmp_path: Path) -> None:
    array = np.arange(120, dtype="<i2").reshape(5, 4, 3, 2)  # t z y x
    more = (
        "space: left-posterior-superior-time\nspace origin: (1,2,3,100)\n"
        "space directions: (2,0,0,0) (0,3,0,0) (0,0,4,0) (0,0,0,0.5)"
        '\nspace units: "mm" "mm" "mm" "s"'
    )
    spec = open_file(nrrd(tmp_path / "a.nrrd", array, more=more)).spec
    t, z = spec.axes[:2]
    assert (t.name, t.spacing, t.unit, t.origin) == ("t", 0.5, "second", 100.0)
    assert (z.spacing, z.unit) == (4.0, "millimeter")


@pytest.mark.parametrize(
    ("more", "spacing", "origin"),  # x y z, as SimpleITK has them, but for spacings from the ends
    [
        ("spacings: 1 2 3\naxis mins: 10 20 30\ncenters: cell cell cell", (1, 2, 3), (10.5, 21, 31.5)),
        ("spacings: 1 2 3\naxis mins: 10 20 30\ncenterings: node node node", (1, 2, 3), (10, 20, 30)),
        ("spacings: 1 2 3\naxismins: 10 20 30", (1, 2, 3), (10.5, 21, 31.5)),
        ("axis mins: 10 20 30\naxis maxs: 14 26 42\ncenters: cell cell cell", (2, 2, 3), (11, 21, 31.5)),
        ("axis mins: 10 20 30\naxis maxs: 14 26 42\ncenters: node node node", (4, 3, 4), (10, 20, 30)),
        ("spacings: 1 2 nan\naxis mins: 10 nan nan", (1, 2, 1), (10.5, 0, 0)),
    ],
)
def test_ends_of_axes_give_spacing_and_place(
    more: str, spacing: tuple[float, ...], origin: tuple[float, ...], tmp_path: Path
) -> None:
    axes = open_file(nrrd(tmp_path / "a.nrrd", VOLUME, more=more)).spec.axes[::-1]
    assert tuple(axis.spacing for axis in axes) == spacing
    assert tuple(axis.origin for axis in axes) == origin


def test_micrometres_make_the_world_small(tmp_path: Path) -> None:
    more = SPACE.format("RAS") + '\nspace units: "um" "um" "um"'
    reader = open_file(nrrd(tmp_path / "a.nrrd", VOLUME, more=more))
    np.testing.assert_allclose(affine_of(reader)[:3], PLACED[:3] / 1000, rtol=0, atol=1e-15)
    assert {axis.unit for axis in reader.spec.axes} == {"micrometer"}


@pytest.mark.parametrize(
    ("shape", "kinds", "more", "dims"),
    [
        ((3, 4), "", "", "yx"),
        ((2, 3, 4, 5), "", "", "tzyx"),
        ((2, 3, 4, 5), "domain domain domain time", "", "tzyx"),
        ((4, 5, 3), "RGB-color domain domain", "", "yxc"),
        ((4, 5, 2), "vector domain domain", "", "yxc"),
        ((6, 3, 4, 5), "domain domain domain list", "", "czyx"),
        ((6, 3, 4, 5), "", "space: RAS\nspace directions: (1,0,0) (0,1,0) (0,0,1) none", "czyx"),
        (
            (3, 4, 5, 6),
            "vector space space space",
            "space: RAS\nspace directions: none (1,0,0) (0,1,0) (0,0,1)",
            "zyxc",
        ),
        ((7, 4, 5, 6, 2), "vector space space space time", "", "tzyxc"),
        ((4, 5, 1), "scalar domain domain", "", "yxc"),
    ],
)
def test_axes_by_their_kinds(
    shape: tuple[int, ...], kinds: str, more: str, dims: str, tmp_path: Path
) -> None:
    if dims == "tzyxc":
        shape = tuple(reversed(shape))
        shape = (2, 6, 5, 4, 7)
    array = np.random.default_rng(0).integers(0, 99, shape).astype("u1")
    reader = open_file(nrrd(tmp_path / "a.nrrd", array, kinds=kinds, more=more))
    assert sorted(reader.spec.dims) == sorted(dims)
    expected = array.transpose([dims.index(name) for name in reader.spec.dims])
    np.testing.assert_array_equal(whole(reader), expected)
    assert reader.spec.channels == (RGB if "RGB" in kinds else ())


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_lines_and_bytes_before_the_pixels(encoding: str, tmp_path: Path) -> None:
    path = nrrd(
        tmp_path / "a.nhdr", VOLUME, encoding=encoding, skip=b"12345", more="line skip: 2\nbyte skip: 5"
    )
    beside = path.with_suffix(".dat")
    beside.write_bytes(b"a line\nanother\n" + beside.read_bytes())
    np.testing.assert_array_equal(whole(open_file(path)), VOLUME)
    beside.write_bytes(b"one line")
    with pytest.raises(InputError, match="ends before line 2"):
        open_file(path)


def test_pixels_at_the_end(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nhdr", VOLUME, skip=b"a header of any length", more="byte skip: -1")
    np.testing.assert_array_equal(whole(open_file(path)), VOLUME)
    path = nrrd(tmp_path / "b.nhdr", VOLUME, encoding="gzip", more="byte skip: -1")
    with pytest.raises(InputError, match="unpack it first"):
        open_file(path)


SLICES = "s1.raw\ns2.raw\ns3.raw\ns4.raw\n"


@pytest.mark.parametrize("named", [f"LIST\n{SLICES}", f"LIST 2\n{SLICES}", "s%d.raw 1 4 1\n"])
def test_a_file_a_slice(named: str, tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nhdr", VOLUME)
    for number in range(1, 5):
        (tmp_path / f"s{number}.raw").write_bytes(VOLUME[number - 1].tobytes())
    path.write_text(path.read_text().replace("a.dat\n", named))
    np.testing.assert_array_equal(whole(open_file(path)), VOLUME)  # pynrrd reads neither form


REAL = ["BallBinary30x30x30.nhdr", "BallBinary30x30x30.nrrd", "BallBinary30x30x30_bz2.nrrd",
        "BallBinary30x30x30_gz.nrrd", "adi_slice.nrrd"]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_images(name: str, data: Path, index: dict[str, dict[str, str]]) -> None:
    reader = open_file(data / "itk" / name)
    pixels = whole(reader)
    stored = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    assert hashlib.sha256(stored).hexdigest() == index[f"itk/{name}"]["pixels_sha256"]
    expected = np.eye(4)  # as SimpleITK has it
    if name.startswith("adi"):
        expected[:3, 0] = 0.086167977660448022, 1.1425860306966771, 0.0025220870794417606
        expected[:3, 1] = 0.030298985650519302, 0.00024337655440986972, -1.1454326829093526
        expected[:3, 2] = -0.99681772118794543, 0.07523304718437894, -0.026351837450620537
        expected[:3, 3] = 44.638686308830003, -139.68959647388999, 131.84393665734999
    np.testing.assert_allclose(affine_of(reader), np.diag([-1, -1, 1, 1]) @ expected, rtol=0, atol=1e-12)


# What is refused


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sizes: 2 3 4", "sizes: 2 3 5", "pixels should take bytes"),
        ("sizes: 2 3 4", "sizes: 10000 10000 10000", "pixels should take bytes"),
        ("sizes: 2 3 4", "sizes: 2 3", "dimension is 3, and there are 2 sizes"),
        ("sizes: 2 3 4", "sizes: 2 3 0", "every axis needs 1 pixel"),
        ("type: short", "type: block", "type 'block' is no number"),
        ("encoding: raw", "encoding: hex", "encoding 'hex' is not one of"),
        ("endian: little", "endian: middle", "endian is 'middle'"),
        ("endian: little\n", "", "has no endian"),
        ("endian", "a line without sense\nendian", "no 'field: value'"),
        ("endian", "kinds: domain domain\nendian", "kinds has 2 words for 3 axes"),
        ("endian", "kinds: list list domain\nendian", "split it first"),
        ("endian", "space directions: (1,0,0) (0,1,0)\nendian", "2 vectors for 3 axes"),
        ("endian", "spacings: 1 1\nendian", "spacings has 2 words"),
        ("endian", "line skip: abc\nendian", "line skip is 'abc'"),
        ("endian", "line skip: -1\nendian", "line skip is -1"),
        ("endian", "byte skip: 1.5\nendian", "byte skip is '1.5'"),
        (
            "endian",
            "space origin: here\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nendian",
            "space origin is 'here'",
        ),
        ("endian", "space directions: (1,0,0) (0,1,0) (a,b,c)\nendian", "space directions is"),
        ("endian", "spacings: 1 1 wide\nendian", "spacings is '1 1 wide'"),
        ("sizes: 2 3 4", "sizes: 2 x 4", "sizes is '2 x 4'"),
        ("dimension: 3", "dimension: three", "dimension is 'three'"),
        ("a.dat", "../a.dat", "outside its own folder"),
        ("a.dat", "/etc/passwd", "outside its own folder"),
        ("a.dat", "LIST", "lists no data files"),
        ("a.dat", "b.dat", r"its pixels should be in b\.dat, which is not there"),
    ],
)
def test_headers_that_make_no_sense(old: str, new: str, words: str, tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nhdr", VOLUME)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=words) as caught:
        open_file(path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputNotFoundError) == ("not there" in words)


@pytest.mark.parametrize("part", [0.0, 0.2, 0.7, 0.98])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_cut_short(encoding: str, part: float, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(1000, 9999, (20, 30, 40)).astype("<i4")
    path = nrrd(tmp_path / "a.nrrd", array, encoding=encoding)
    os.truncate(path, int(part * path.stat().st_size))
    with pytest.raises(InputError, match=r"a\.nrrd"):
        whole(open_file(path))


def test_a_wrong_checksum(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nhdr", VOLUME, encoding="gzip")
    packed = bytearray(gzip.compress(VOLUME.tobytes()))
    packed[-6] ^= 1
    path.with_suffix(".dat").write_bytes(packed)
    with pytest.raises(InputError, match="gzip stream is truncated or corrupt"):
        whole(open_file(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(at=st.integers(8, 330), more=st.binary(min_size=1, max_size=5))
def test_a_damaged_header_is_an_error_of_ours_or_none(at: int, more: bytes, tmp_path: Path) -> None:
    extra: Any = SPACE.format("LPS") + '\nspace units: "mm" "mm" "mm"'
    path = nrrd(tmp_path / "a.nrrd", VOLUME, kinds="domain domain domain", more=extra)
    content = bytearray(path.read_bytes())
    content[at : at + len(more)] = more
    path.write_bytes(content)
    said = ""
    try:
        whole(open_file(path))
    except BigimgError as error:
        said = str(error)
    assert not said or str(tmp_path) in said
    assert "\n" not in said


FIELDS = ("dimension", "sizes", "line skip", "byte skip", "block size", "spacings", "thicknesses", "space directions",
          "space origin")  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str), st.floats().map(str), st.text("0123456789.-+e ,()xn\0", max_size=12),
    st.sampled_from(["9" * 5000, "none", "(1,0,0)", "0x10", "1 2 3 4 5"]),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(field=st.sampled_from(FIELDS), value=NUMBERS)
def test_any_number_in_a_header_is_read_or_refused(field: str, value: str, tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nhdr", VOLUME, more="line skip: 0")
    lines = [line for line in path.read_text().splitlines() if not line.startswith(field)]
    path.write_text("\n".join([*lines[:-1], f"{field}: {value}", lines[-1]]) + "\n")
    said = "a."
    try:
        whole(open_file(path))
    except BigimgError as error:
        said = str(error)
    assert "a." in said
    assert "\n" not in said
