"""MetaImage: every field that says how pixels lie, and geometry as SimpleITK has it.

SimpleITK is no dependency of the tests; what it said of these headers (2.5) stands here as numbers, and where it is
installed it is asked again.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import BigimgError, InputError, InputNotFoundError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.region import full
from bigimg.geometry.spec import Scaling
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.types import Array
from tests.readers.volumes.header_files import MET, lps, metaimage

VOLUME = np.arange(1, 25, dtype="u1").reshape(4, 3, 2)


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def affine_of(reader: Reader) -> Array:
    return index_to_world(reader.spec.axes, reader.spec.world)


def asked_of_itk(path: Path) -> tuple[Array, Array] | None:
    """Return pixels and affine of SimpleITK, where it is installed."""
    try:
        import SimpleITK
    except ImportError:
        return None
    image = SimpleITK.ReadImage(str(path))
    size = image.GetDimension()
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(size, size)[:3, :3]
    affine[: len(direction), : len(direction)] = direction * image.GetSpacing()[:3]
    affine[: len(direction), 3] = image.GetOrigin()[:3]
    return SimpleITK.GetArrayFromImage(image), lps(affine)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", MET)
def test_every_type_and_byte_order(dtype: str, order: str, tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mhd", VOLUME.astype(order + dtype))
    reader = open_file(path)
    assert reader.spec.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(whole(reader), VOLUME)
    if (said := asked_of_itk(path)) is not None:
        np.testing.assert_array_equal(said[0], VOLUME)


@pytest.mark.parametrize(("name", "dtype"), [("LONG", "i4"), ("ULONG", "u4"), ("ASCII_CHAR", "i1")])
def test_types_whose_names_mislead(name: str, dtype: str, tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mhd", VOLUME.astype(dtype))
    path.write_text(path.read_text().replace(f"MET_{MET[dtype]}", f"MET_{name}"))
    np.testing.assert_array_equal(whole(open_file(path)), VOLUME)
    if (said := asked_of_itk(path)) is not None:
        np.testing.assert_array_equal(said[0], VOLUME)


ROTATED = [[0, -3, 0, 1], [2, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", np.eye(4)),
        # Row i of the matrix is the direction of axis i.
        ("TransformMatrix = 0 1 0 -1 0 0 0 0 1\nOffset = 1 2 3\nElementSpacing = 2 3 4", ROTATED),
        ("Orientation = 0 1 0 -1 0 0 0 0 1\nPosition = 1 2 3\nElementSize = 2 3 4", ROTATED),
        ("Rotation = 0 1 0 -1 0 0 0 0 1\nOrigin = 1 2 3\nElementSpacing = 2 3 4", ROTATED),
        ("ElementSpacing = 4 5 6\nElementSize = 1 2 3", np.diag([4.0, 5, 6, 1])),
        ("ElementSpacing = -1 1 1", np.diag([-1.0, 1, 1, 1])),
        ("CenterOfRotation = 9 9 9\nAnatomicalOrientation = RAI", np.eye(4)),
    ],
)
def test_geometry(more: str, expected: Any, tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mhd", VOLUME, more=more)
    reader = open_file(path)
    np.testing.assert_allclose(affine_of(reader), lps(np.array(expected)), rtol=0, atol=1e-12)
    assert {axis.unit for axis in reader.spec.axes} == {"millimeter"}
    if (said := asked_of_itk(path)) is not None:
        np.testing.assert_allclose(affine_of(reader), said[1], rtol=0, atol=1e-12)


def test_the_origin_is_offset(tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mhd", VOLUME, more="Origin = 1 2 3\nOffset = 4 5 6")
    reader = open_file(path)
    assert affine_of(reader)[:3, 3].tolist() == [-4, -5, 6]
    assert any("Offset and Origin, which differ" in note for note in reader.spec.notes)


def test_planes_and_series(tmp_path: Path) -> None:
    plane = open_file(
        metaimage(tmp_path / "a.mhd", VOLUME[0], more="ElementSpacing = 0.5 0.25\nOffset = 7 8")
    )
    assert [(a.name, a.spacing) for a in plane.spec.axes] == [("y", 0.25), ("x", 0.5)]
    assert plane.spec.world is None  # a picture lies in no body, unless its axes are turned
    assert [axis.origin for axis in plane.spec.axes] == [8.0, 7.0]
    turned = open_file(metaimage(tmp_path / "c.mhd", VOLUME[0], more="TransformMatrix = 0 1 -1 0"))
    np.testing.assert_allclose(affine_of(turned)[:2, :2], [[0, 1], [-1, 0]], atol=1e-12)
    series = open_file(
        metaimage(tmp_path / "b.mhd", VOLUME.reshape(2, 2, 3, 2), more="ElementSpacing = 1 2 3 1.5")
    )
    assert [(a.name, a.size, a.spacing, a.unit) for a in series.spec.axes] == [
        ("t", 2, 1.5, None), ("z", 2, 3.0, "millimeter"), ("y", 3, 2.0, "millimeter"), ("x", 2, 1.0, "millimeter"),
    ]  # fmt: skip


def test_units_channels_scaling_and_tags(tmp_path: Path) -> None:
    more = (
        "DistanceUnits = um\nElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = -5\n"
        "Modality = MET_MOD_CT\nComment = for Jane\n0010|0010 = Doe^Jane"
    )
    reader = open_file(metaimage(tmp_path / "a.mha", VOLUME, channels=2, more=more))
    assert reader.spec.dims == ("c", "y", "x")
    np.testing.assert_array_equal(whole(reader), VOLUME.transpose(2, 0, 1))
    assert {axis.unit for axis in reader.spec.axes[1:]} == {"micrometer"}
    volume = open_file(metaimage(tmp_path / "b.mha", VOLUME, more="DistanceUnits = um"))
    assert affine_of(volume)[0, 0] == -1e-3
    assert reader.spec.scaling == Scaling(2.0, -5.0)
    assert reader.spec.meta["Modality"] == "MET_MOD_CT"
    assert reader.spec.private == {"Comment": "for Jane", "0010|0010": "Doe^Jane"}


@pytest.mark.parametrize(
    ("skip", "size"), [(b"", None), (b"", 0), (b"header", 6), (b"header", -1), (b"", -1)]
)
@pytest.mark.parametrize("suffix", [".mhd", ".mha"])
def test_bytes_before_the_pixels(skip: bytes, size: int | None, suffix: str, tmp_path: Path) -> None:
    if suffix == ".mha" and size == 6:
        pytest.skip("the header of a LOCAL file is itself, whatever HeaderSize says")
    array = VOLUME.astype("<i2")
    path = metaimage(tmp_path / f"a{suffix}", array, skip=skip, header_size=size)
    np.testing.assert_array_equal(whole(open_file(path)), array)


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
@pytest.mark.parametrize("suffix", [".mhd", ".mha"])
def test_compressed(pack: Any, suffix: str, tmp_path: Path) -> None:
    path = metaimage(tmp_path / f"a{suffix}", VOLUME.astype("<i2"), packed=True)
    if suffix == ".mhd":
        path.with_suffix(".raw").write_bytes(pack(VOLUME.astype("<i2").tobytes()))
    reader = open_file(path)
    assert reader.access.kind == "sequential"
    np.testing.assert_array_equal(whole(reader), VOLUME)


def test_text_is_read_whole(tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mhd", VOLUME.astype("<i2"), more="BinaryData = False")
    path.with_suffix(".raw").write_text(" ".join(map(str, VOLUME.ravel())))
    reader = open_file(path)
    assert reader.access.kind == "whole"
    np.testing.assert_array_equal(whole(reader), VOLUME)
    path.with_suffix(".raw").write_text(" ".join(map(str, VOLUME.ravel()[1:])) + " 12a")
    with pytest.raises(InputError, match="one of its numbers is no int16"):
        whole(open_file(path))


@pytest.mark.parametrize(
    ("named", "numbers"),
    [
        ("LIST\ns1.raw\ns2.raw\ns3.raw\ns4.raw", (1, 2, 3, 4)),
        ("LIST 2\ns1.raw\ns2.raw\ns3.raw\ns4.raw", (1, 2, 3, 4)),
        ("LIST\ns3.raw\ns1.raw\n\ns2.raw\ns4.raw\n", (3, 1, 2, 4)),
        ("s%d.raw 1 4 1", (1, 2, 3, 4)),
        ("s%d.raw", (1, 2, 3, 4)),
        ("s%d.raw 4 1 -1", (4, 3, 2, 1)),
    ],
)
def test_a_file_a_slice(named: str, numbers: tuple[int, ...], tmp_path: Path) -> None:
    for number in range(1, 5):
        (tmp_path / f"s{number}.raw").write_bytes(VOLUME[number - 1].tobytes())
    path = metaimage(tmp_path / "a.mhd", VOLUME)
    path.write_text(path.read_text().replace("a.raw\n", named))
    np.testing.assert_array_equal(whole(open_file(path)), VOLUME[[n - 1 for n in numbers]])


def test_a_real_image(data: Path, index: dict[str, dict[str, str]]) -> None:
    name = "itk/3DCT_lung_baseline_small.mha"
    reader = open_file(data / name)
    expected = np.diag([2.732, 2.732, 5.0, 1.0])
    expected[:3, 3] = -152.461, -148.986, -1432
    np.testing.assert_allclose(affine_of(reader), lps(expected), rtol=0, atol=1e-12)
    assert hashlib.sha256(whole(reader).astype("<i2").tobytes()).hexdigest() == index[name]["pixels_sha256"]


# What is refused


@pytest.mark.parametrize(
    "name", ["../a.raw", "/etc/passwd", "sub/../../a.raw", "C:\\a.raw", "..\\a.raw", "", "."]
)
@pytest.mark.parametrize("form", ["{}", "LIST\n{}\n", "%d{} 1 4 1"])
def test_a_data_file_outside_the_folder(name: str, form: str, tmp_path: Path) -> None:
    if "%" in form and not name.startswith(("/", "..")):
        pytest.skip("behind a number these are names inside the folder")
    (tmp_path / "a.raw").write_bytes(VOLUME.tobytes())
    (tmp_path / "in").mkdir()
    path = metaimage(tmp_path / "in" / "a.mhd", VOLUME)
    named = form.format(name) if "%" not in form else f"{name}%d 1 4 1"
    path.write_text(path.read_text().replace("a.raw\n", named))
    with pytest.raises(InputError, match=r"a\.mhd") as caught:
        open_file(path)
    assert "\n" not in str(caught.value)


def test_a_missing_raw(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"chest_xray\.mhd: its pixels should be in chest_xray\.raw"):
        open_file(data / "corrupt/chest_xray.mhd")
    path = metaimage(tmp_path / "a.mhd", VOLUME, split=1)
    (tmp_path / "a002.raw").unlink()
    with pytest.raises(InputNotFoundError, match=r"a\.mhd: its pixels should be in a002\.raw"):
        open_file(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("DimSize = 2 3 4", "DimSize = 2 3 5", "pixels should take bytes 0 to 30"),
        ("DimSize = 2 3 4", "DimSize = 10000 10000 10000", "pixels should take bytes 0 to 1000000000000"),
        ("DimSize = 2 3 4", "DimSize = 2 3", "NDims is 3 and DimSize has 2 numbers"),
        ("DimSize = 2 3 4", "DimSize = 2 -3 4", "every axis needs 1 pixel"),
        ("DimSize = 2 3 4", "DimSize = two 3 4", "DimSize is 'two 3 4'"),
        ("NDims = 3", "NDims = many", "NDims is 'many'"),
        ("ElementDataFile", "HeaderSize = 1e3\nElementDataFile", "HeaderSize is '1e3'"),
        ("ElementDataFile", "ElementNumberOfChannels = \nElementDataFile", "ElementNumberOfChannels is ''"),
        ("ElementDataFile", "ElementSpacing = 1 1 x\nElementDataFile", "ElementSpacing is '1 1 x'"),
        ("ElementDataFile", "ElementToIntensityFunctionSlope = nan\nElementDataFile", "Slope is 'nan'"),
        ("DimSize = 2 3 4\n", "", "has no DimSize"),
        ("MET_UCHAR", "MET_OTHER", "ElementType is MET_OTHER"),
        ("ObjectType = Image", "ObjectType = Tube", "is a MetaIO Tube; bigimg reads images only"),
        ("ElementDataFile = a.raw\n", "", "no line before it is ElementDataFile"),
        ("ElementDataFile", "HeaderSize = -2\nElementDataFile", "HeaderSize is -2"),
        ("ElementDataFile", "Offset = 1 2\nElementDataFile", "Offset has 2 numbers, not 3"),
        ("ElementDataFile", "a line without sense\nElementDataFile", "no 'Name = value'"),
        ("a.raw", "LIST", "lists no data files"),
        ("a.raw", "a%d%d.raw 1 4 1", "has not exactly one number"),
        ("a.raw", "a%999999999d.raw 1 4 1", "has not exactly one number"),
        ("a.raw", "a%d.raw 1 999999999 1", "at most 100000"),
        ("a.raw", "LIST\na.raw\na.raw\na.raw", "3 files or frames, which do not divide axes z y x"),
    ],
)
def test_headers_that_make_no_sense(old: str, new: str, words: str, tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mhd", VOLUME)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=words) as caught:
        open_file(path)
    assert "a." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", [0.0, 0.2, 0.7, 0.98])
@pytest.mark.parametrize("packed", [False, True])
def test_cut_short(packed: bool, part: float, tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mha", np.arange(24_000, dtype="<i4").reshape(20, 30, 40), packed=packed)
    os.truncate(path, int(part * path.stat().st_size))
    with pytest.raises(InputError, match=r"a\.mha"):
        whole(open_file(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(at=st.integers(0, 400), more=st.binary(min_size=1, max_size=5))
def test_a_damaged_header_is_an_error_of_ours_or_none(at: int, more: bytes, tmp_path: Path) -> None:
    path = metaimage(
        tmp_path / "a.mha", VOLUME, more="Offset = 1 2 3\nElementSpacing = 2 3 4\nHeaderSize = 0"
    )
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


FIELDS = ("NDims", "DimSize", "HeaderSize", "ElementNumberOfChannels", "ElementSpacing", "Offset", "TransformMatrix",
          "ElementToIntensityFunctionSlope", "CompressedDataSize")  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str), st.floats().map(str), st.text("0123456789.-+e ,()xn\0", max_size=12),
    st.sampled_from(["9" * 5000, "none", "(1,0,0)", "0x10", "1 2 3 4 5"]),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(field=st.sampled_from(FIELDS), value=NUMBERS)
def test_any_number_in_a_header_is_read_or_refused(field: str, value: str, tmp_path: Path) -> None:
    path = metaimage(tmp_path / "a.mhd", VOLUME)
    lines = [line for line in path.read_text().splitlines() if not line.startswith(field)]
    path.write_text("\n".join([*lines[:-1], f"{field} = {value}", lines[-1]]) + "\n")
    said = "a."
    try:
        whole(open_file(path))
    except BigimgError as error:
        said = str(error)
    assert "a." in said
    assert "\n" not in said
