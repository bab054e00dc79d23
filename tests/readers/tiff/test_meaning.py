"""What TIFFs of instruments and programs say of their pixels, against what tifffile and the formats say."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import bigimg
from bigimg.errors import InputError, UsageError
from bigimg.types import Array

GRAY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
RGB = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)


def spacing(path: Path, **options: Any) -> dict[str, tuple[float, str | None]]:
    image = bigimg.open(path, **options)
    return {axis: (step, image.bigimg.units[axis]) for axis, step in image.bigimg.spacing.items()}


def close(found: dict[str, tuple[float, str | None]], expected: dict[str, tuple[float, str | None]]) -> None:
    for axis, (size, unit) in expected.items():
        assert found[axis][0] == pytest.approx(size, rel=1e-5)
        assert found[axis][1] == unit


# ------------------------------------------------------------------------------------------------ vendors


def test_a_stk_of_metamorph_keeps_its_calibration(tmp_path: Path) -> None:
    path, planes = tmp_path / "a.stk", 3
    pixels = GRAY.tobytes() * planes
    at = 8 + len(pixels)  # of the values that do not fit a tag
    sizes, unit = struct.pack("<4I", 65, 1000, 13, 100), struct.pack("<I", 3) + b"um\0\0"
    uic1 = struct.pack("<8I", 3, 1, 4, at, 5, at + 8, 6, at + 16)  # calibrated; x, y and unit lie there
    uic2 = b"".join(
        struct.pack("<6I", 3, 2, 2450000, i, 2450000, i) for i in range(planes)
    )  # 3/2 from plane to plane
    after = at + len(sizes + unit)
    tags = [(256, 4, 1, 64), (257, 4, 1, 48), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 4, 1, 48), (279, 4, 1, GRAY.nbytes), (33628, 4, 4, after),
            (33629, 5, planes, after + len(uic1))]  # fmt: skip
    first = after + len(uic1 + uic2)
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, first) + pixels + sizes + unit + uic1 + uic2 + table)
    with tifffile.TiffFile(path) as tif:
        assert (tif.series[0].kind, tif.series[0].axes) == ("stk", "ZYX")
        assert tif.series[0].coord_scales == pytest.approx({"Z": 1.5, "Y": 0.13, "X": 0.065})
    close(spacing(path), {"z": (1.5, "micrometer"), "y": (0.13, "micrometer"), "x": (0.065, "micrometer")})


@pytest.mark.parametrize(
    ("keys", "pixel", "expected", "says"),
    [
        ((1024, 0, 1, 2), 0.01, (0.01, "degree"), None),
        ((1024, 0, 1, 1, 3072, 0, 1, 32760), 10.0, (10.0, "meter"), None),
        ((1024, 0, 1, 1, 3076, 0, 1, 9003), 5.0, (5.0, "foot"), None),
        ((1024, 0, 1, 1, 3072, 0, 1, 2263), 5.0, (5.0, None), "EPSG 2263"),
    ],
)
def test_a_map_has_the_unit_of_its_projection(
    tmp_path: Path, keys: tuple[int, ...], pixel: float, expected: tuple[float, str | None], says: str | None
) -> None:
    path, directory = tmp_path / "a.tif", (1, 1, 0, len(keys) // 4, *keys)
    place = [(33550, 12, 3, (pixel, pixel, 0.0), True), (33922, 12, 6, (0, 0, 0, 50.0, 41.0, 0), True)]
    tifffile.imwrite(
        path, GRAY, metadata=None, extratags=[*place, (34735, 3, len(directory), directory, True)]
    )
    close(spacing(path), {"y": expected, "x": expected})
    assert any("unit that is not known" in note for note in bigimg.info(path).notes) is bool(says)
    assert says is None or any(says in note for note in bigimg.info(path).notes)


def test_a_map_that_is_turned(tmp_path: Path) -> None:
    """The spacing is the length of a column of the matrix, not its diagonal."""
    matrix = [8, -15, 0, 5e5, 6, 20, 0, 4e6, 0, 0, 0, 0, 0, 0, 0, 1]
    keys = [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633]
    tags = [(34264, "d", 16, matrix, True), (34735, "H", 12, keys, True)]
    tifffile.imwrite(tmp_path / "a.tif", GRAY, extratags=tags, metadata=None)
    close(spacing(tmp_path / "a.tif"), {"y": (25.0, "meter"), "x": (10.0, "meter")})
    said = "rows and columns are turned on the map (by 36.87 degrees): positions on it are left out"
    assert said in bigimg.info(tmp_path / "a.tif").notes


def test_a_modis_tile_is_in_meters(data: Path) -> None:
    path = data / "tiff/earthlab.tif"
    with tifffile.TiffFile(path) as tif:
        scales = tif.series[0].coord_scales
    close(spacing(path), {axis: (abs(scales[axis.upper()]), "meter") for axis in "yx"})


def test_zeiss_sem_without_a_pixel_size_gives_the_width(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    text = "\r\n".join(
        ["0", "0", "0", "AP_PIXEL_SIZE", "Pixel Size = 9 nm", "AP_WIDTH", "Width = 3.2 µm", ""]
    )
    tag = [(34118, 2, None, text.encode("cp1252"), True)]
    tifffile.imwrite(path, GRAY, metadata=None, extratags=tag)
    close(spacing(path), dict.fromkeys("yx", (3.2 / 64, "micrometer")))


def test_fei_pixels_need_not_be_square(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    text = "[Beam]\r\nHV=5000\r\n[EScan]\r\nPixelWidth=2e-009\r\nPixelHeight=3e-009\r\n"
    tifffile.imwrite(path, GRAY, metadata=None, extratags=[(34682, 2, None, text, True)], resolution=(72, 72))
    close(spacing(path), {"x": (2.0, "nanometer"), "y": (3.0, "nanometer")})
    assert not any("print" in note for note in bigimg.info(path).notes)


def test_a_resolution_without_unit_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GRAY, metadata=None, resolution=(4, 4), resolutionunit="NONE")
    assert spacing(path)["x"] == (1.0, None)
    assert any("has no unit (ResolutionUnit)" in note for note in bigimg.info(path).notes)


def test_imagej_has_units_by_axis(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    fields = {"unit": "um", "yunit": "mm", "zunit": "nm", "spacing": 300.0, "axes": "ZYX"}
    tifffile.imwrite(path, np.stack([GRAY] * 2), imagej=True, resolution=(2, 4), metadata=fields)
    close(spacing(path), {"z": (300.0, "nanometer"), "y": (0.25, "millimeter"), "x": (0.5, "micrometer")})


# ----------------------------------------------------------------------------------------------- channels


def test_pages_that_are_named_are_channels(tmp_path: Path) -> None:
    path, names = tmp_path / "imc.tiff", ["CD45(Sm152)", "DNA1(Ir191)", "CD3(Er170)"]
    with tifffile.TiffWriter(path) as tif:
        for i, name in enumerate(names):
            tif.write(GRAY + np.uint16(i), metadata=None, extratags=[(285, 2, None, name, True)])
    image = bigimg.open(path)
    assert image.dims == ("c", "y", "x")
    assert list(image.c.values) == names
    np.testing.assert_array_equal(image.values, tifffile.imread(path))


@pytest.mark.parametrize("names", [["1", "2"], ["page 1", "page 2"], ["Z=0.5", "Z=1.0"], ["same", "same"]])
def test_pages_that_are_only_counted_stay_planes(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for name in names:
            tif.write(GRAY, metadata=None, extratags=[(285, 2, None, name, True)])
    assert bigimg.open(path).dims == ("z", "y", "x")


def qptiff(path: Path, names: list[tuple[str, str]]) -> None:
    form = (
        '<?xml version="1.0"?><PerkinElmer-QPI-ImageDescription><Name>{}</Name><Color>{}</Color>'
        "<ScanProfile><root><PixelSizeMicrons>0.5</PixelSizeMicrons></root></ScanProfile></PerkinElmer-QPI-ImageDescription>"
    )
    with tifffile.TiffWriter(path) as tif:
        for i, (name, color) in enumerate(names):
            options: dict[str, Any] = {"metadata": None, "software": "PerkinElmer-QPI", "tile": (16, 16)}
            tif.write(GRAY + np.uint16(i), description=form.format(name, color), **options)


def test_a_qptiff_names_and_colours_its_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.qptiff"
    qptiff(path, [("DAPI", "0,0,255"), ("Opal 520", "0,255,0")])
    image = bigimg.open(path)
    assert list(image.c.values) == ["DAPI", "Opal 520"]
    assert list(image.color.values) == ["0000FF", "00FF00"]
    close(spacing(path), dict.fromkeys("yx", (0.5, "micrometer")))


# ------------------------------------------------------------------------------------- which image, which axes


@pytest.mark.parametrize(
    ("axes", "shape"), [("AYX", (3, 9, 8)), ("ZEYX", (2, 3, 9, 8)), ("RTAYX", (2, 3, 2, 9, 8))]
)
def test_axes_of_other_names_are_series(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.tif"
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": axes})
    others = [i for i, letter in enumerate(axes) if letter in "AER"]
    for number, at in enumerate(np.ndindex(*(shape[i] for i in others))):
        cut: list[Any] = [slice(None)] * len(shape)
        for i, index in zip(others, at, strict=True):
            cut[i] = index
        np.testing.assert_array_equal(bigimg.open(path, series=number).values, pixels[tuple(cut)])
    with pytest.raises(UsageError, match="there is no series"):
        bigimg.open(path, series=int(np.prod([shape[i] for i in others])))


def images(*parts: tuple[str, float, str]) -> str:
    """OME-XML of images of two planes: name, spacing, and where its planes are."""
    each = (
        '<Image ID="Image:{0}" Name="{1}"><Pixels ID="Pixels:{0}" DimensionOrder="XYZCT" Type="uint16" SizeX="64"'
        ' SizeY="48" SizeC="2" SizeZ="1" SizeT="1" PhysicalSizeX="{2}" PhysicalSizeY="{2}"><Channel ID="Channel:{0}:0"'
        ' Name="{2}a" SamplesPerPixel="1"/><Channel ID="Channel:{0}:1" Name="{2}b"'
        ' SamplesPerPixel="1"/>{3}</Pixels></Image>'
    )
    body = "".join(each.format(i, *part) for i, part in enumerate(parts))
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{space}">{body}</OME>'


GONE = '<TiffData IFD="0" PlaneCount="2"><UUID FileName="gone.ome.tif">urn:uuid:1</UUID></TiffData>'


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([("a", 9, ""), ("a", 0.7, '<TiffData IFD="0" PlaneCount="2"/>')], [0.7]),
        ([("a", 9, GONE), ("b", 0.7, '<TiffData IFD="0" PlaneCount="2"/>')], [0.7]),
        (
            [
                ("", 0.5, '<TiffData IFD="0" PlaneCount="2"/>'), ("", 9, "<MetadataOnly/>"),
                ("", 0.7, '<TiffData IFD="2" PlaneCount="2"/>'),
            ],
            [0.5, 0.7],
        ),
    ],
)  # fmt: skip
def test_each_ome_image_has_its_own_metadata(
    tmp_path: Path, parts: list[tuple[str, float, str]], expected: list[float]
) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = np.stack([GRAY + np.uint16(i) for i in range(2 * len(expected))])
    tifffile.imwrite(path, pixels, photometric="minisblack", description=images(*parts), metadata=None)
    with tifffile.TiffFile(path) as tif:
        assert [series.coord_scales["X"] for series in tif.series] == pytest.approx(expected)
    for number, size in enumerate(expected):
        image = bigimg.open(path, series=number)
        np.testing.assert_array_equal(image.values, pixels[2 * number : 2 * number + 2])
        assert image.bigimg.spacing["x"] == size
        assert list(image.c.values) == [f"{size}a", f"{size}b"]


def test_a_real_companion_file_is_the_image(data: Path) -> None:
    folder = data / "ome-tiff/companion"
    image = bigimg.open(next(folder.glob("*.companion.ome")))
    planes = [tifffile.imread(path) for path in sorted(folder.glob("*.ome.tiff"))]
    np.testing.assert_array_equal(image.values, np.stack(planes))
    assert image.dims == ("z", "y", "x")
    assert not bigimg.info(next(folder.glob("*.companion.ome"))).notes


def test_a_companion_file_reads_nothing_outside_its_folder(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "gone.ome.tif", np.stack([GRAY] * 2), metadata=None)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.companion.ome").write_text(images(("a", 1, GONE.replace("gone", "../gone"))))
    with pytest.raises(InputError, match="none of them is beside it"):
        bigimg.open(folder / "a.companion.ome")


def test_the_largest_image_of_a_slide_is_the_image(tmp_path: Path) -> None:
    path, large = tmp_path / "a.bif", np.tile(RGB, (4, 4, 1))
    scan = b'<iScan Magnification="20" ScanRes="0.465"/>'
    with tifffile.TiffWriter(path) as tif:
        for text, pixels in (("Label Image", RGB), ("level=0 mag=20 quality=95", large)):
            tif.write(
                pixels, photometric="rgb", tile=(64, 64), metadata=None, description=text,
                extratags=[(700, 1, len(scan), scan, True)],
            )  # fmt: skip
    np.testing.assert_array_equal(bigimg.open(path).values, large.transpose(2, 0, 1))


def test_a_reduced_first_page_is_not_the_image_and_can_be_chosen(tmp_path: Path) -> None:
    path, gray = tmp_path / "a.tif", np.tile(GRAY, (4, 4))
    with tifffile.TiffWriter(path) as tif:
        tif.write(RGB, photometric="rgb", subfiletype=1, metadata=None)
        tif.write(GRAY, photometric="minisblack", metadata=None)
        tif.write(gray, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(bigimg.open(path).values, gray)
    np.testing.assert_array_equal(bigimg.open(path, series=0).values, RGB.transpose(2, 0, 1))
    assert any("this is 2" in note for note in bigimg.info(path).notes)


def test_the_first_of_equal_images_stays_the_image(tmp_path: Path) -> None:
    path: Path = tmp_path / "a.tif"
    small: Array = GRAY[:16]
    with tifffile.TiffWriter(path) as tif:
        tif.write(small, photometric="minisblack", metadata=None)
        tif.write(GRAY, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(bigimg.open(path).values, small)
    assert json.dumps(bigimg.info(path).to_dict())


def test_a_single_channel_keeps_its_name_and_colour(tmp_path: Path) -> None:
    path, store = tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr"
    fields = {
        "axes": "ZYX",
        "Channel": {"Name": "DAPI", "Color": 65535},
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
    }
    tifffile.imwrite(path, np.stack([GRAY] * 3), photometric="minisblack", metadata=fields)
    bigimg.convert(path, store, progress=False)
    for image in (bigimg.open(path), bigimg.open(store), bigimg.open(store, level=-1)):
        assert image.dims == ("z", "y", "x")
        assert image.bigimg.channels == ("DAPI",)
        assert str(image.color.values) == "0000FF"
    assert zarr.open_group(store, mode="r").attrs["ome"]["omero"]["channels"][0]["label"] == "DAPI"
    assert bigimg.info(store).channels == ("DAPI",)
    assert bigimg.verify(store, path).ok
    export = tmp_path / "b.ome.tif"
    bigimg.export(store, export)
    with tifffile.TiffFile(export) as tif:
        assert tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]["Name"] == "DAPI"
    other = bigimg.open(path).assign_coords(c="GFP")
    both = bigimg.stack([bigimg.open(path), other], "c")
    assert both.sizes["c"] == 2
    assert float(bigimg.stats(store)["max"]) == GRAY.max()


@pytest.mark.parametrize(
    ("axes", "shape"), [("YXC", (9, 8, 5)), ("ZYXC", (4, 9, 8, 2)), ("TZYXC", (2, 3, 9, 8, 3))]
)
@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4"])
def test_channels_that_come_last_are_channels(
    tmp_path: Path, axes: str, shape: tuple[int, ...], dtype: str
) -> None:
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(7).integers(0, 200, shape).astype(dtype)
    order: Any = pixels.dtype.byteorder if dtype[0] == ">" else "<"
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": axes}, byteorder=order)
    image = bigimg.open(path)
    assert (
        "".join(map(str, image.dims)).upper() == axes[:-3].replace("Z", "") + "C" + "Z" * ("Z" in axes) + "YX"
    )
    moved = np.moveaxis(pixels, -1, axes.index("Z") if "Z" in axes else axes.index("Y"))
    np.testing.assert_array_equal(image.values, moved)
    np.testing.assert_array_equal(image[..., 2:5, 1:7].values, moved[..., 2:5, 1:7])


# ------------------------------------------------------------------------------------------------ magnification


def magnification_of(path: Path, tmp_path: Path) -> dict[str, Any]:
    """Return what a store keeps of the optics, beside no word of the description."""
    bigimg.convert(path, tmp_path / "a.ome.zarr", progress=False, sync=False)
    image = bigimg.open(tmp_path / "a.ome.zarr")
    assert "Smith" not in str(image.attrs)
    kept = json.loads(image.attrs["meta"])
    return {name: kept[name] for name in ("magnification", "AppMag", "MPP") if name in kept}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("AppMag = 20|User = Smith|MPP = 0.4990", {"magnification": 20, "AppMag": 20, "MPP": 0.499}),
        ("MPP = 0.25|AppMag = 40|Date = 01/02/57", {"magnification": 40, "AppMag": 40, "MPP": 0.25}),
        ("AppMag = Smith|MPP = 0.5", {"MPP": 0.5}),
    ],
)
def test_the_magnification_of_a_slide(tmp_path: Path, said: str, expected: dict[str, float]) -> None:
    path = tmp_path / "a.svs"
    head = "Aperio Image Library v11.2.1\r\n64x64 [0,0 64x64] (32x32) JPEG/RGB Q=70"
    tifffile.imwrite(path, RGB, tile=(32, 32), photometric="rgb", description=f"{head}|{said}", metadata=None)
    assert magnification_of(path, tmp_path) == expected


def test_the_magnification_of_ome(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.ome.tif", GRAY, metadata={"axes": "YX"})
    xml = tifffile.tiffcomment(tmp_path / "plain.ome.tif")
    lens = '<Objective ID="Objective:0" Model="Smith" NominalMagnification="63"/>'
    lens = f'<Instrument ID="Instrument:0">{lens}</Instrument>'
    xml = xml.replace("<Image ", f"{lens}<Image ", 1).replace(
        "<Pixels ", '<ObjectiveSettings ID="Objective:0"/><Pixels ', 1
    )
    path = tmp_path / "b.ome.tif"
    tifffile.imwrite(path, GRAY, metadata=None, description=xml)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].attrs["magnification"] == 63
    assert magnification_of(path, tmp_path) == {"magnification": 63}
