"""What comes out goes in again: bit for bit through the library that owns the format and through our readers."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bigimg
from bigimg.types import Array, Shape
from tests.exporters.samples import PICTURE, TILTED, VOLUME, WORLD, labelled, pixels

VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".npy", ".tif", ".ome.tif")
EXACT = 1e-12
SINGLE = 1e-6
"""Of float32, the numbers of NIfTI-1."""


def owned(path: Path) -> Array:
    """Return the pixels as the library that owns the format reads them, in the axis order of ours."""
    name = path.name
    if ".nii" in name:
        return np.asarray(nibabel.load(path).dataobj).T
    if name.endswith(".npy"):
        return np.load(path)
    if ".tif" in name:
        return tifffile.imread(path)
    if name.endswith((".mha", ".mhd")):
        return metaimage(path)
    if name.endswith((".nrrd", ".nhdr")):
        return nrrd(path)
    with Image.open(path) as image:
        return np.asarray(image)


def metaimage(path: Path) -> Array:
    """Read a MetaImage by its header, line by line."""
    text, fields = path.read_bytes(), {}
    at = 0
    while "ElementDataFile" not in fields:
        end = text.index(b"\n", at)
        key, _, value = text[at:end].decode().partition(" = ")
        fields[key], at = value, end + 1
    data = (
        text[at:]
        if fields["ElementDataFile"] == "LOCAL"
        else (path.parent / fields["ElementDataFile"]).read_bytes()
    )
    dtypes = {"MET_UCHAR": "<u1", "MET_CHAR": "<i1", "MET_SHORT": "<i2", "MET_USHORT": "<u2", "MET_INT": "<i4",
              "MET_UINT": "<u4", "MET_LONG_LONG": "<i8", "MET_ULONG_LONG": "<u8", "MET_FLOAT": "<f4",
              "MET_DOUBLE": "<f8"}  # fmt: skip
    shape = [int(n) for n in reversed(fields["DimSize"].split())]
    shape += [int(fields["ElementNumberOfChannels"])] if "ElementNumberOfChannels" in fields else []
    return np.frombuffer(data, dtypes[fields["ElementType"]]).reshape(shape)


def nrrd(path: Path) -> Array:
    """Read a NRRD by its header, line by line."""
    head, _, data = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    if "data file" in fields:
        data = (path.parent / fields["data file"]).read_bytes()
    assert (fields["endian"], fields["encoding"]) == ("little", "raw")
    dtype = np.dtype({"float": "f4", "double": "f8"}.get(fields["type"], fields["type"])).newbyteorder("<")
    sizes = [int(n) for n in fields["sizes"].split()]
    assert len(sizes) == int(fields["dimension"]) == len(fields["kinds"].split())
    return np.frombuffer(data, dtype).reshape(sizes[::-1])


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("ending", VOLUMES)
def test_the_asymmetric_volume(ending: str, lazy: bool, tmp_path: Path) -> None:
    img = labelled(VOLUME, "zyx", lazy=lazy)
    path = tmp_path / f"a{ending}"
    done = bigimg.export(img, path)
    assert sorted(done.files) == sorted(map(str, tmp_path.iterdir()))
    assert done.stored_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    np.testing.assert_array_equal(owned(path), VOLUME)
    back = bigimg.open(path)
    assert back.dims == ("z", "y", "x")
    assert back.dtype == VOLUME.dtype
    np.testing.assert_array_equal(back.values, VOLUME)


@pytest.mark.parametrize("world", [None, WORLD, TILTED], ids=["none", "turned", "tilted"])
@pytest.mark.parametrize(
    ("ending", "options", "exact"),
    [
        (".nii", {}, SINGLE),
        (".nii.gz", {"version": 2}, EXACT),
        (".mha", {}, EXACT),
        (".mhd", {}, EXACT),
        (".nrrd", {}, EXACT),
        (".nhdr", {}, EXACT),
    ],
)
def test_where_it_lies(
    ending: str, options: dict[str, int], exact: float, world: object, tmp_path: Path
) -> None:
    img = labelled(VOLUME, "zyx", world=world)
    bigimg.export(img, tmp_path / f"a{ending}", **options)
    back = bigimg.open(tmp_path / f"a{ending}")
    expected = (np.eye(4) if world is None else np.asarray(world)) @ np.array(
        [[0.7, 0, 0, 3.1], [0, 0.3, 0, -2.25], [0, 0, 2.0, 1.5], [0, 0, 0, 1]]
    )
    np.testing.assert_allclose(back.bigimg.affine, expected, rtol=0, atol=exact * 10)
    assert back.bigimg.spacing == pytest.approx({"z": 2.0, "y": 0.3, "x": 0.7}, rel=exact)
    assert set(back.bigimg.units.values()) == {"millimeter"}
    if ".nii" in ending:
        owner = nibabel.load(tmp_path / f"a{ending}")
        np.testing.assert_allclose(owner.affine, expected, rtol=0, atol=exact * 10)
        np.testing.assert_allclose(
            owner.get_qform(), expected, rtol=0, atol=1e-5
        )  # a quaternion of float32 parts
        np.testing.assert_allclose(owner.header.get_zooms(), (0.7, 0.3, 2.0), rtol=exact)


def test_what_came_from_nifti_1_goes_back_unchanged(tmp_path: Path) -> None:
    """Also an affine with shear, for which there is no qform, and codes, description and slope."""
    affine = np.array([[1.5, 0.2, 0, -8], [0, 2.5, 0.1, 9], [0.3, 0, 3.5, 1], [0, 0, 0, 1]], np.float32)
    source = nibabel.Nifti1Image(VOLUME.T, affine.astype(float))
    source.header.set_sform(affine, 4)
    source.header.set_xyzt_units("mm")
    source.header["descrip"] = b"a test of nothing"
    source.header["cal_max"] = 900
    source.header.set_slope_inter(0.1, -1024.3)
    source.to_filename(tmp_path / "a.nii")
    bigimg.export(tmp_path / "a.nii", tmp_path / "b.nii.gz")
    owner, first = nibabel.load(tmp_path / "b.nii.gz"), nibabel.load(tmp_path / "a.nii")
    assert owner.affine.tolist() == first.affine.tolist()
    assert int(owner.header["sform_code"]) == 4
    for name in ("descrip", "pixdim", "xyzt_units", "cal_max", "cal_min"):
        assert owner.header[name].tolist() == first.header[name].tolist(), name
    assert (owner.dataobj.slope, owner.dataobj.inter) == (first.dataobj.slope, first.dataobj.inter)
    np.testing.assert_array_equal(owner.dataobj.get_unscaled(), first.dataobj.get_unscaled())


def test_time_and_its_unit(tmp_path: Path) -> None:
    array = pixels(4, 3, 12, 11, dtype="f4")
    img = labelled(array, "tzyx")
    bigimg.export(img, tmp_path / "a.nii")
    owner = nibabel.load(tmp_path / "a.nii")
    assert owner.shape == (11, 12, 3, 4)
    assert owner.header.get_zooms()[3] == 2.5
    assert owner.header.get_xyzt_units() == ("mm", "sec")
    assert float(owner.header["toffset"]) == 10
    np.testing.assert_array_equal(np.asarray(owner.dataobj).T, array)
    bigimg.export(img, tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.series[0].axes == "TZYX"
        said = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert said["PhysicalSizeX"] == pytest.approx(0.7, rel=EXACT)
    assert (said["PhysicalSizeZUnit"], said["TimeIncrement"], said["TimeIncrementUnit"]) == ("mm", 2.5, "s")
    bigimg.export(img, tmp_path / "a.mha")
    np.testing.assert_array_equal(metaimage(tmp_path / "a.mha"), array)
    bigimg.export(img, tmp_path / "a.nrrd")
    np.testing.assert_array_equal(nrrd(tmp_path / "a.nrrd"), array)
    for name in ("a.nii", "a.ome.tif", "a.mha", "a.nrrd"):
        back = bigimg.open(tmp_path / name)
        np.testing.assert_array_equal(back.values, array)
        assert back.bigimg.spacing["t"] == 2.5


@pytest.mark.parametrize(
    ("unit", "written", "factor"), [("um", "micron", 1), ("nm", "micron", 1e-3), ("cm", "mm", 10)]
)
def test_other_units_of_length(unit: str, written: str, factor: float, tmp_path: Path) -> None:
    img = labelled(VOLUME, "zyx", world=None, unit=unit)
    bigimg.export(img, tmp_path / "a.nii", version=2)
    owner = nibabel.load(tmp_path / "a.nii")
    assert owner.header.get_xyzt_units()[0] == written
    np.testing.assert_allclose(owner.header.get_zooms(), np.array([0.7, 0.3, 2.0]) * factor, rtol=EXACT)
    np.testing.assert_allclose(owner.affine[:3, 3], np.array([3.1, -2.25, 1.5]) * factor, rtol=EXACT)
    bigimg.export(img, tmp_path / "a.mha")
    millimeters = {"um": 1e-3, "nm": 1e-6, "cm": 10.0}[unit]
    header = (tmp_path / "a.mha").read_bytes().split(b"ElementDataFile")[0].decode()
    spacing = next(line for line in header.splitlines() if line.startswith("ElementSpacing")).split(" = ")[1]
    np.testing.assert_allclose(
        [float(n) for n in spacing.split()], np.array([0.7, 0.3, 2.0]) * millimeters, rtol=EXACT
    )


def test_labels_and_masks(tmp_path: Path) -> None:
    img = labelled(pixels(5, 12, 11, dtype="u2"), "zyx")
    img.attrs["kind"] = "labels"
    bigimg.export(img, tmp_path / "a.nii")
    assert int(nibabel.load(tmp_path / "a.nii").header["intent_code"]) == 1002
    assert bigimg.open(tmp_path / "a.nii").bigimg.kind == "labels"
    mask = img < 60
    bigimg.export(mask, tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(owned(tmp_path / "m.nii.gz"), mask.values.astype(np.uint8))
    bigimg.export(mask, tmp_path / "m.ome.tif")
    assert tifffile.imread(tmp_path / "m.ome.tif").dtype == bool
    np.testing.assert_array_equal(bigimg.open(tmp_path / "m.ome.tif").values, mask.values)


@pytest.mark.parametrize("ending", [".png", ".npy", ".tif", ".ome.tif"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("count", [3, 4])
def test_colour(ending: str, dtype: str, count: int, tmp_path: Path) -> None:
    array = pixels(70, 45, count, dtype=dtype) * (257 if dtype == "u2" else 1)
    path = tmp_path / f"a{ending}"
    bigimg.export(labelled(array, "yxc", world=None), path)
    back = bigimg.open(path)
    assert back.bigimg.channels == tuple("RGBA"[:count])
    np.testing.assert_array_equal(back.bigimg.to_numpy(), array)
    if ending != ".png" or dtype == "u1":  # Pillow cuts 16-bit colour to 8 bits
        np.testing.assert_array_equal(owned(path), array)


def test_colour_in_nifti_metaimage_and_nrrd(tmp_path: Path) -> None:
    img = labelled(PICTURE, "yxc", world=None)
    bigimg.export(img, tmp_path / "a.nii")
    owner = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)
    assert owner.dtype.names == ("R", "G", "B")
    np.testing.assert_array_equal(owner.T["G"], PICTURE[..., 1])
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.nii").bigimg.to_numpy(), PICTURE)
    bigimg.export(img, tmp_path / "a.mha")
    np.testing.assert_array_equal(metaimage(tmp_path / "a.mha"), PICTURE)
    bigimg.export(img, tmp_path / "a.nrrd")
    np.testing.assert_array_equal(nrrd(tmp_path / "a.nrrd"), PICTURE)
    back = bigimg.open(tmp_path / "a.nrrd")
    assert back.bigimg.channels == ("R", "G", "B")
    np.testing.assert_array_equal(back.bigimg.to_numpy(), PICTURE)


def test_channels_of_a_stain(tmp_path: Path) -> None:
    array = pixels(2, 4, 33, 21, dtype="u2")
    img = labelled(array, "czyx", unit="um", world=None).assign_coords(
        c=["DAPI", "GFP"], color=("c", ["0000FF", "00FF00"])
    )
    bigimg.export(img, tmp_path / "a.ome.tif")
    back = bigimg.open(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(back.values, array)
    assert back.bigimg.channels == ("DAPI", "GFP")
    assert list(back.color.values) == ["0000FF", "00FF00"]
    assert back.bigimg.spacing == pytest.approx({"z": 2.0, "y": 0.3, "x": 0.7}, rel=EXACT)
    bigimg.export(img, tmp_path / "a.nii")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.nii").values, array)
    bigimg.export(img, tmp_path / "gfp.png", channel="GFP", plane="z", index=2)
    np.testing.assert_array_equal(owned(tmp_path / "gfp.png"), array[1, 2])


def test_grey_and_bits_as_png(tmp_path: Path) -> None:
    wide = (np.arange(70 * 45).reshape(70, 45) * 20).astype(np.uint16)
    for name, array in {"g": PICTURE[..., 0], "w": wide, "b": PICTURE[..., 0] < 80}.items():
        bigimg.export(labelled(array, "yx"), tmp_path / f"{name}.png")
        found = owned(tmp_path / f"{name}.png")
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.info["dpi"] == pytest.approx((25.4 / 0.7, 25.4 / 0.3), abs=0.05)


def test_jpeg_is_near(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(120), np.arange(90)).astype(np.uint8)
    for array, dims in ((smooth, "yx"), (np.dstack([smooth, smooth[::-1], smooth // 2]), "yxc")):
        path = tmp_path / f"{dims}.jpg"
        bigimg.export(labelled(array, dims), path, quality=100)
        assert np.abs(owned(path).astype(int) - array).max() <= 8


@pytest.mark.parametrize("plane", ["z", "y", "x", "axial"])
def test_a_plane_knows_where_it_lies(plane: str, tmp_path: Path) -> None:
    """Its pixels lie in the world where they did in the volume."""
    volume = pixels(6, 7, 8, dtype="u2")
    img = labelled(volume, "zyx")
    axis = {"axial": "z"}.get(plane, plane)
    bigimg.export(img, tmp_path / "a.mha", plane=plane, index=2)
    bigimg.export(img, tmp_path / "a.nii", plane=plane, index=2, version=2)
    np.testing.assert_array_equal(metaimage(tmp_path / "a.mha")[0], volume.take(2, "zyx".index(axis)))
    kept = [name for name in "zyx" if name != axis]
    for name in ("a.mha", "a.nii"):
        back = bigimg.open(tmp_path / name)
        for row, column in ((0, 0), (3, 4)):
            index = {"x": 0, "y": 0, "z": 0, axis: 2, kept[0]: row, kept[1]: column}
            there = img.bigimg.affine @ [index["x"], index["y"], index["z"], 1]
            np.testing.assert_allclose(back.bigimg.affine @ [column, row, 0, 1], there, atol=1e-11)


def test_a_place_in_millimetres_and_the_middle(tmp_path: Path) -> None:
    volume = pixels(6, 7, 8, dtype="u2")
    img = labelled(volume, "zyx")
    bigimg.export(img, tmp_path / "a.png", plane="z", position=1.5 + 4 * 2.0 + 0.9)
    np.testing.assert_array_equal(owned(tmp_path / "a.png"), volume[4])
    bigimg.export(img, tmp_path / "b.png", plane="y")
    np.testing.assert_array_equal(owned(tmp_path / "b.png"), volume[:, 3])


def test_real_values_where_there_is_no_slope(tmp_path: Path) -> None:
    source = nibabel.Nifti1Image(VOLUME.T, np.eye(4))
    source.header.set_slope_inter(0.5, -100)
    source.to_filename(tmp_path / "a.nii")
    real = VOLUME.astype(np.float32) * np.float32(0.5) - 100
    for ending in (".mha", ".npy", ".ome.tif"):
        bigimg.export(tmp_path / "a.nii", tmp_path / f"b{ending}")
        found = owned(tmp_path / f"b{ending}")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, real)
        bigimg.export(tmp_path / "a.nii", tmp_path / f"raw{ending}", raw=True)
        np.testing.assert_array_equal(owned(tmp_path / f"raw{ending}"), VOLUME)


@pytest.mark.parametrize(
    ("dtype", "endings"),
    [
        ("i1", VOLUMES), ("u4", VOLUMES), ("f8", VOLUMES), ("b1", VOLUMES),
        ("i8", (".nii", ".mha", ".nrrd", ".npy", ".tif")), ("u8", (".nii.gz", ".mhd", ".nrrd", ".npy", ".tif")),
        ("f2", (".npy", ".tif")),
    ],
)  # fmt: skip
def test_every_type(dtype: str, endings: tuple[str, ...], tmp_path: Path) -> None:
    array = pixels(3, 20, 17, dtype=dtype)
    if np.dtype(dtype).itemsize == 8 and dtype != "f8":
        array[0, 0, 0] = np.iinfo(dtype).max
    for number, ending in enumerate(endings):  # .mhd and .nhdr both have a .raw
        path = tmp_path / f"a{number}{ending}"
        bigimg.export(labelled(array, "zyx"), path)
        np.testing.assert_array_equal(owned(path), array)
        np.testing.assert_array_equal(bigimg.open(path).values, array)


def test_nifti_2_for_a_long_axis(tmp_path: Path) -> None:
    array = np.arange(40000, dtype=np.uint16).reshape(1, 40000)
    bigimg.export(labelled(array, "yx"), tmp_path / "a.nii")
    owner = nibabel.load(tmp_path / "a.nii")
    assert isinstance(owner, nibabel.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(owner.dataobj).T, array)


SHAPES = st.lists(st.integers(1, 24), min_size=2, max_size=4).map(tuple)


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".npy", ".ome.tif", ".tif"])
@settings(max_examples=15)
@given(
    shape=SHAPES,
    dtype=st.sampled_from(["u1", "i2", "f4", "u4"]),
    seed=st.integers(0, 9),
    cut=st.integers(1, 9),
)
def test_any_shape(
    ending: str, shape: Shape, dtype: str, seed: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 120, shape).astype(dtype)
    dims = "tzyx"[-len(shape) :]
    img = bigimg.from_array(array, dims=dims).chunk(
        {name: -(-n // cut) for name, n in zip(dims, shape, strict=True)}
    )
    path = tmp_path_factory.mktemp("any") / f"a{ending}"
    bigimg.export(img, path)
    np.testing.assert_array_equal(np.squeeze(owned(path)), np.squeeze(array))


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
@pytest.mark.parametrize(
    ("shape", "dims"),
    [((1, 2, 1), "zyx"), ((3, 2, 1), "zyx"), ((2, 3, 2, 1), "tzyx"), ((3, 1, 1), "zyx"), ((5, 1), "yx")],
)
def test_images_of_one_column(shape: Shape, dims: str, ending: str, tmp_path: Path) -> None:
    """tifffile takes a last axis of one pixel for none, and the planes for rows: other pixels were written."""
    array = np.arange(1, 1 + np.prod(shape), dtype="u1").reshape(shape)
    bigimg.export(bigimg.from_array(array, dims=dims), tmp_path / f"a{ending}")
    np.testing.assert_array_equal(np.squeeze(tifffile.imread(tmp_path / f"a{ending}")), np.squeeze(array))
    back = bigimg.open(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(np.squeeze(back.values), np.squeeze(array))
    assert back.dims[-2:] == ("y", "x")


@settings(max_examples=30)
@given(
    height=st.integers(1, 50), width=st.integers(1, 70), kind=st.sampled_from(["b", "g", "g16", "rgb", "rgba"]),
    seed=st.integers(0, 9), smooth=st.booleans(),
)  # fmt: skip
def test_any_png(
    height: int, width: int, kind: str, seed: int, smooth: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Smooth pictures take the filters, noise takes none."""
    rng = np.random.default_rng(seed)
    count = {"rgb": 3, "rgba": 4}.get(kind, 1)
    array = rng.integers(0, 256, (height, width, count)).astype(np.uint8)
    if smooth:
        array = (np.cumsum(array // 64, axis=1) + np.arange(height)[:, None, None]).astype(np.uint8)
    array = array if count > 1 else array[..., 0]
    array = array > 90 if kind == "b" else array.astype(np.uint16) * 255 if kind == "g16" else array
    path = tmp_path_factory.mktemp("any") / "a.png"
    bigimg.export(bigimg.from_array(array, dims="yxc" if count > 1 else "yx"), path)
    np.testing.assert_array_equal(owned(path), array)


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_mask_of_colours(count: int, ending: str, tmp_path: Path) -> None:
    """Channels of one bit side by side in a pixel were read as others by every library."""
    pixels = np.random.default_rng(0).integers(0, 2, (count, 300, 451)).astype(bool)
    img = bigimg.from_array(pixels, dims="cyx", channels=["R", "G", "B", "A"][:count])
    bigimg.export(img, tmp_path / f"m{ending}")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / f"m{ending}"), pixels)
    np.testing.assert_array_equal(bigimg.open(tmp_path / f"m{ending}").values != 0, pixels)


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        (".mha", "TransformMatrix = 1.0 0.0 0.0 1.0\n"), (".mhd", "Offset = 3.0 7.0\n"),
        (".nrrd", "space directions: (0.5,0.0) (0.0,0.25)\n"), (".nhdr", "space origin: (3.0,7.0)\n"),
    ],
)  # fmt: skip
def test_a_picture_keeps_its_axes(ending: str, line: str, tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    img = bigimg.from_array(array, dims="yx", spacing={"y": 0.25, "x": 0.5}, unit="mm")
    img = bigimg.with_geometry(img, origin={"y": 7, "x": 3})
    bigimg.export(img, tmp_path / f"a{ending}")
    assert line.encode() in (tmp_path / f"a{ending}").read_bytes()
    back = bigimg.open(tmp_path / f"a{ending}")
    assert "world" not in back.attrs
    xarray.testing.assert_equal(back.drop_attrs(), img.drop_attrs())


@pytest.mark.parametrize(("dtype", "said"), [("i8", True), ("u8", True), ("i4", False), ("f8", False)])
def test_nifti_of_64_bit_integers_is_said(dtype: str, said: bool, tmp_path: Path) -> None:
    done = bigimg.export(bigimg.from_array(np.ones((2, 3, 4), dtype), dims="zyx"), tmp_path / "a.nii")
    assert any("SPM, FSL, AFNI" in note for note in done.plan.layout.notes) == said
    assert nibabel.load(tmp_path / "a.nii").get_data_dtype() == np.dtype(dtype)


@pytest.mark.parametrize("dims", ["zyx", "yx"])
def test_pixdim_and_affine_of_an_export_agree(dims: str, tmp_path: Path) -> None:
    img = bigimg.from_array(np.ones((2, 3, 4)[-len(dims) :], "i2"), dims=dims)
    img.attrs["world"] = [[0, 3, 0, 1], [2, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]]  # as other programs may
    bigimg.export(img, tmp_path / "a.nii")
    saved = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_allclose(
        saved.header["pixdim"][1:4], nibabel.affines.voxel_sizes(saved.affine), rtol=1e-6
    )
    np.testing.assert_allclose(saved.affine, img.attrs["world"])
    np.testing.assert_allclose(saved.header.get_qform(), saved.affine, atol=1e-5)
