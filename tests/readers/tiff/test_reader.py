"""The TIFF reader against tifffile's own reading, transposed to t c z y x by a line of numpy."""

from __future__ import annotations

import hashlib
import itertools
import logging
import pickle
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import bigimg
from bigimg.errors import InputError, InputNotFoundError, UsageError
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB, RGBA, Channel, Scaling
from bigimg.reader import Reader
from bigimg.readers.tiff.reader import TiffReader
from bigimg.readers.tiff.segments import Segments
from bigimg.types import Array, Shape

SEED = 11


def noise(shape: Shape, dtype: str) -> Array:
    """Seeded pixels with some runs in them, so that compressing does something."""
    rng = np.random.default_rng(SEED)
    if np.dtype(dtype).kind == "b":
        return rng.random(shape) < 0.3
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return (rng.integers(0, 7, shape) * (info.max // 7)).astype(dtype)


def everything(reader: TiffReader) -> Array:
    return reader.read(full(reader.spec.shape))


def in_our_order(pixels: Array, axes: str) -> Array:
    """Transpose what tifffile gives: channels, samples and pages come before the plane."""
    letters = sorted(axes, key="TCSIQZYX".index)
    return pixels.transpose([axes.index(letter) for letter in letters])


def tifffiles(path: Path) -> Array:
    """What tifffile reads of the first series, in our order; no colour map, no orientation."""
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        return in_our_order(series.asarray(buffersize=2**22), series.axes)


# -- written here, read back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize(
    ("dtype", "planar"),
    [
        *itertools.product(["uint8", "uint16", "float32"], ["contig", "separate", None]),
        *itertools.product(["bool"], ["separate", None]),  # tifffile writes no interleaved bits
    ],
)
@pytest.mark.parametrize(
    "cut", [{"tile": (16, 32)}, {"rowsperstrip": 7}, {}], ids=["tiles", "strips", "one strip"]
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_any_storage_gives_the_pixels(
    tmp_path: Path,
    compression: str | None,
    dtype: str,
    planar: str | None,
    cut: dict[str, Any],
    byteorder: Any,
) -> None:
    path = tmp_path / "a.tif"
    image = noise((3, 37, 53) if planar == "separate" else (37, 53, 3) if planar else (37, 53), dtype)
    colors: dict[str, Any] = {"photometric": "rgb" if planar and dtype != "bool" else "minisblack"}
    tifffile.imwrite(
        path,
        image,
        compression=compression,
        planarconfig=planar,
        byteorder=byteorder,
        metadata=None,
        **colors,
        **cut,
    )
    reader = TiffReader(path)
    assert isinstance(reader, Reader)
    expected = np.moveaxis(image, -1, 0) if planar == "contig" else image
    np.testing.assert_array_equal(everything(reader), expected)
    assert reader.spec.dtype == np.dtype(dtype)
    assert reader.spec.dtype.isnative
    assert reader.spec.kind == ("mask" if dtype == "bool" else "image")
    assert reader.access.kind == "random"
    reader.close()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[TiffReader, Array]]]:
    """Readers of small files of every storage, and their pixels as numpy has them."""
    folder = tmp_path_factory.mktemp("tiff")
    grey, color = noise((2, 3, 37, 53), "uint16"), noise((37, 53, 3), "uint8")
    volume = noise((20, 40, 33), "uint16")
    cases: list[tuple[str, Array, Array, dict[str, Any]]] = [
        ("pages", grey, grey.swapaxes(0, 1), {"metadata": {"axes": "ZCYX"}, "compression": "zlib"}),
        ("imagej", grey, grey.swapaxes(0, 1), {"metadata": {"axes": "ZCYX"}, "imagej": True}),
        ("rgb tiles", color, np.moveaxis(color, -1, 0), {"tile": (16, 16), "compression": "lzw", "predictor": True}),
        ("rgb strips", color, np.moveaxis(color, -1, 0), {"rowsperstrip": 5}),
        ("tiles", color, np.moveaxis(color, -1, 0), {"tile": (16, 32), "byteorder": ">"}),
        ("turned", color, np.rot90(np.moveaxis(color, -1, 0), -1, (1, 2)),
         {"tile": (16, 16), "compression": "zlib", "extratags": [(274, 3, 1, 6, True)]}),
        ("volume", volume, volume, {"volumetric": True, "tile": (16, 16, 16), "compression": "zlib"}),
        ("palette", color[..., 0] // 36, np.arange(24, dtype="uint8").reshape(3, 8)[:, color[..., 0] // 36],
         {"photometric": "palette", "colormap": np.arange(256 * 3, dtype="uint16").reshape(3, 256) * 0
          + np.pad(np.arange(24, dtype="uint16").reshape(3, 8), ((0, 0), (0, 248))) * 256}),
    ]  # fmt: skip
    made = []
    for name, image, expected, options in cases:
        path = folder / f"{name}.tif"
        tifffile.imwrite(
            path,
            image,
            **({"photometric": "minisblack" if image.ndim == 4 or name == "volume" else None} | options),
        )
        made.append((TiffReader(path), expected))
    yield made
    for reader, _ in made:
        reader.close()


def test_the_samples_are_whole(samples: list[tuple[TiffReader, Array]]) -> None:
    for reader, expected in samples:
        np.testing.assert_array_equal(everything(reader), expected, err_msg=reader.source)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_any_region_is_numpys(samples: list[tuple[TiffReader, Array]], data: st.DataObject) -> None:
    reader, expected = data.draw(st.sampled_from(samples))
    starts = [data.draw(st.integers(0, size - 1)) for size in expected.shape]
    region = tuple(
        slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, expected.shape, strict=True)
    )
    got = reader.read(region)
    np.testing.assert_array_equal(got, expected[region], err_msg=reader.source)
    assert got.dtype == reader.spec.dtype


ORIENTED: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(np.transpose(a), 2), 8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("cut", [{}, {"tile": (16, 16), "compression": "zlib"}], ids=["raw", "tiles"])
def test_orientation_is_applied_as_pillow_does(tmp_path: Path, orientation: int, cut: dict[str, Any]) -> None:
    path, image = tmp_path / "a.tif", noise((37, 53), "uint8")
    tags = [(274, 3, 1, orientation, True)]
    resolution = {"resolution": (1000, 500), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, image, extratags=tags, metadata=None, **resolution, **cut)
    reader = TiffReader(path)
    shown = ORIENTED[orientation](image)
    np.testing.assert_array_equal(everything(reader), shown)
    np.testing.assert_array_equal(reader.read((slice(3, 20), slice(5, 36))), shown[3:20, 5:36])
    along = {axis.name: axis.spacing for axis in reader.spec.axes}
    turned = orientation > 4
    assert along == pytest.approx({"y": 10 if turned else 20, "x": 20 if turned else 10})
    if cut:  # Pillow 13.0 reads uncompressed rows of orientation 5 to 8 in the wrong width
        with Image.open(path) as picture:
            picture.load()  # turns it; its size is wrong before
            np.testing.assert_array_equal(np.asarray(picture), shown)


# -- each segment once, from many threads, after pickling -----------------------------------------------------


def test_each_segment_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, image = tmp_path / "a.tif", noise((4, 50, 70), "uint8")
    tifffile.imwrite(
        path, image, tile=(16, 32), compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"}
    )
    decoded: Counter[tuple[int, int]] = Counter()
    original = Segments._decode_now

    def count(self: Segments, page: int, number: int) -> Array:
        decoded[page, number] += 1
        return original(self, page, number)

    monkeypatch.setattr(Segments, "_decode_now", count)
    reader = TiffReader(path)
    assert not decoded
    everything(reader)
    assert decoded == {(page, tile): 1 for page in range(4) for tile in range(12)}
    decoded.clear()
    reader.read((slice(1, 2), slice(15, 17), slice(0, 32)))
    assert decoded == {(1, 0): 1, (1, 3): 1}


def test_a_single_segment_is_decoded_once_for_many_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, image = tmp_path / "a.tif", noise((64, 64), "uint16")
    tifffile.imwrite(path, image, compression="zlib")
    calls: list[int] = []
    original = Segments._decode_now

    def count(self: Segments, page: int, number: int) -> Array:
        calls.append(number)
        return original(self, page, number)

    monkeypatch.setattr(Segments, "_decode_now", count)
    reader = TiffReader(path)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda y: reader.read((slice(y, y + 1), slice(0, 64))), range(64)))
    np.testing.assert_array_equal(np.concatenate(rows), image)
    assert len(calls) == 1
    assert reader.access.fixed_bytes > image.nbytes


def test_a_large_single_segment_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, image = tmp_path / "a.tif", noise((64, 64), "uint16")
    tifffile.imwrite(
        path, image, compression="zlib", extratags=[(274, 3, 1, 3, True)]
    )  # its rows begin at the bottom
    monkeypatch.setattr("bigimg.readers.tiff.reader.WHOLE_BYTES", image.nbytes - 1)
    assert TiffReader(path).access.kind == "whole"


def test_threads_agree(samples: list[tuple[TiffReader, Array]]) -> None:
    def row(job: tuple[TiffReader, Array, int]) -> bool:
        reader, expected, y = job
        region = (*full(expected.shape)[:-2], slice(y, y + 3), slice(1, 30))
        return np.array_equal(reader.read(region), expected[region])

    jobs = [(reader, expected, y) for y in range(0, 30, 2) for reader, expected in samples]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(row, jobs))


def test_pickling_and_closing(samples: list[tuple[TiffReader, Array]]) -> None:
    for reader, expected in samples:
        twin = pickle.loads(pickle.dumps(reader))
        assert twin.spec == reader.spec
        np.testing.assert_array_equal(everything(twin), expected)
        twin.close()
        twin.close()
        np.testing.assert_array_equal(everything(twin), expected)
        twin.close()


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((8, 8), "uint8"))
    reader = TiffReader(path)
    reader.close()
    tifffile.imwrite(path, noise((9, 8), "uint8"))
    with pytest.raises(InputError, match="changed since it was opened"):
        everything(reader)


# -- what the numbers mean ------------------------------------------------------------------------------------


def test_ome_metadata(tmp_path: Path) -> None:
    path, image = tmp_path / "a.ome.tif", noise((2, 3, 2, 17, 19), "uint16")
    metadata = {
        "axes": "TZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500.0,
        "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0, "TimeIncrement": 1.5, "TimeIncrementUnit": "min",
        "Channel": {"Name": ["DAPI", "GFP"], "Color": [0x0000FFFF, 0x00FF00FF]},
    }  # fmt: skip
    tifffile.imwrite(
        path, image, metadata=metadata, photometric="minisblack", tile=(16, 16), compression="zlib"
    )
    reader = TiffReader(path)
    np.testing.assert_array_equal(everything(reader), image.swapaxes(1, 2))
    assert [(a.name, a.spacing, a.unit) for a in reader.spec.axes] == [
        ("t", 1.5, "minute"), ("c", 1.0, None), ("z", 2.0, "micrometer"), ("y", 500.0, "nanometer"),
        ("x", 0.25, "micrometer"),
    ]  # fmt: skip
    assert reader.spec.channels == (Channel("DAPI", "0000FF"), Channel("GFP", "00FF00"))


def test_ome_color_on_several_channels_is_merged_into_one_axis(tmp_path: Path) -> None:
    path, image = tmp_path / "a.ome.tif", noise((2, 17, 19, 3), "uint8")
    tifffile.imwrite(path, image, metadata={"axes": "CYXS"}, photometric="rgb")
    reader = TiffReader(path)
    expected = np.moveaxis(image, -1, 1).reshape(6, 17, 19)
    np.testing.assert_array_equal(everything(reader), expected)
    np.testing.assert_array_equal(
        reader.read((slice(2, 5), slice(0, 17), slice(3, 9))), expected[2:5, :, 3:9]
    )
    assert reader.spec.channels == ()


def test_imagej_metadata(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((2, 3, 2, 17, 19), "uint16")
    luts = [
        np.stack([np.arange(256, dtype="uint8") * on for on in color]) for color in ((1, 0, 0), (0, 1, 1))
    ]
    tifffile.imwrite(
        path, image, imagej=True, resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "spacing": 2.0, "unit": "um", "finterval": 0.5, "Labels": ["a", "b"], "LUTs": luts},
    )  # fmt: skip
    spec = TiffReader(path).spec
    assert [(a.name, a.spacing, a.unit) for a in spec.axes] == [
        ("t", 0.5, "second"), ("c", 1.0, None), ("z", 2.0, "micrometer"), ("y", 0.5, "micrometer"),
        ("x", 0.25, "micrometer"),
    ]  # fmt: skip
    assert spec.channels == (Channel("a", "FF0000"), Channel("b", "00FFFF"))


def test_imagej_calibration_becomes_scaling(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        noise((5, 6), "uint16"),
        imagej=True,
        metadata={"cf": 0, "c0": -32768.0, "c1": 1.0, "min": 3.0, "max": 9.0},
    )
    spec = TiffReader(path).spec
    assert spec.scaling == Scaling(slope=1.0, intercept=-32768.0)


@pytest.mark.parametrize(
    ("resolution", "unit", "spacing"),
    [
        ((40000, 20000), "CENTIMETER", (0.25, 0.5)),
        ((100, 100), "CENTIMETER", None),  # 254 dots an inch exactly: could be print, so it is not believed
        ((118.11, 118.11), "CENTIMETER", None),  # 300 dots an inch, as libvips writes them
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((25400, 25400), "INCH", (1.0, 1.0)),
        ((5, 5), "NONE", None),
    ],
)
def test_plain_resolution(
    tmp_path: Path, resolution: Any, unit: str, spacing: tuple[float, float] | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((5, 6), "uint8"), resolution=resolution, resolutionunit=unit, metadata=None)
    y, x = TiffReader(path).spec.axes
    if spacing is None:
        assert (x.spacing, x.unit, y.unit) == (1.0, None, None)
    else:
        assert (x.spacing, y.spacing) == pytest.approx(spacing, rel=1e-4)
        assert x.unit == y.unit == "micrometer"


@pytest.mark.parametrize(
    ("shape", "photometric", "extra", "names"),
    [
        ((9, 8, 3), "rgb", None, "R G B"),
        ((9, 8, 4), "rgb", ["unassalpha"], "R G B A"),
        ((9, 8, 4), "separated", None, "C M Y K"),
        ((9, 8, 2), "minisblack", ["unassalpha"], "gray A"),
        ((9, 8, 5), "minisblack", ["unspecified"] * 4, ""),
    ],
)
def test_channel_names(tmp_path: Path, shape: Shape, photometric: str, extra: Any, names: str) -> None:
    path, image = tmp_path / "a.tif", noise(shape, "uint8")
    tifffile.imwrite(
        path, image, photometric=photometric, extrasamples=extra, planarconfig="contig", metadata=None
    )
    spec = TiffReader(path).spec
    assert " ".join(channel.name for channel in spec.channels) == names
    if names.startswith("R"):
        assert spec.channels == (RGB if len(spec.channels) == 3 else RGBA)


def test_miniswhite_is_as_stored_and_said(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((9, 8), "uint8")
    tifffile.imwrite(path, image, photometric="miniswhite", metadata=None)
    reader = TiffReader(path)
    np.testing.assert_array_equal(everything(reader), image)
    assert reader.spec.meta["PhotometricInterpretation"] == "MINISWHITE"
    assert any("0 is white" in note for note in reader.spec.notes)


def test_unnamed_pages_become_z_and_never_color(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((3, 9, 8), "uint8")
    tifffile.imwrite(path, image, photometric="minisblack", metadata=None)
    spec = TiffReader(path).spec
    assert spec.dims == ("z", "y", "x")
    assert any("3 pages" in note for note in spec.notes)


def test_wide_palette_keeps_16_bits(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((9, 8), "uint8")
    colors = np.random.default_rng(SEED).integers(0, 2**16, (3, 256), dtype="uint16")
    tifffile.imwrite(path, image, photometric="palette", colormap=colors, metadata=None)
    reader = TiffReader(path)
    np.testing.assert_array_equal(everything(reader), colors[:, image])
    assert reader.spec.dtype == np.uint16


def test_series_and_levels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    big, label = noise((64, 64), "uint8"), noise((9, 7, 3), "uint8")
    with tifffile.TiffWriter(path) as tif:
        tif.write(big, subifds=1, tile=(16, 16), metadata={"name": "slide"})
        tif.write(big[::2, ::2], subfiletype=1, tile=(16, 16))
        tif.write(label, photometric="rgb", metadata={"name": "label"})
    reader = TiffReader(path)
    np.testing.assert_array_equal(everything(reader), big)
    assert reader.spec.meta["levels"] == [[64, 64], [32, 32]]
    assert "1 label" in reader.spec.of_source[0]
    for series in (1, "label"):
        np.testing.assert_array_equal(everything(TiffReader(path, series=series)), np.moveaxis(label, -1, 0))
    with pytest.raises(UsageError, match=r"no series 'macro'; it has 0 slide \(.*\), 1 label \("):
        TiffReader(path, series="macro")
    with pytest.raises(UsageError, match="no series 2"):
        TiffReader(path, series=2)


def test_many_pages(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((3000, 4, 5), "uint8")
    tifffile.imwrite(path, image, photometric="minisblack", metadata=None, compression="zlib")
    reader = TiffReader(path)
    np.testing.assert_array_equal(
        reader.read((slice(2990, 3000), slice(0, 4), slice(2, 3))), image[2990:, :, 2:3]
    )


def test_an_imagej_file_of_one_page_for_all(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((6, 9, 8), "uint16")
    text = "ImageJ=1.11a\nimages=6\nslices=6\n"
    page = image.astype(">u2")
    tifffile.imwrite(path, page[0], byteorder=">", description=text, metadata=None)
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[0].dataoffsets[0]
    content = path.read_bytes()
    path.write_bytes(content[:start] + page.tobytes())
    reader = TiffReader(path)
    np.testing.assert_array_equal(everything(reader), image)


def test_a_set_of_ome_files(tmp_path: Path) -> None:
    first, second = noise((9, 8), "uint8"), noise((9, 8), "uint8")[::-1]
    block = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(2)
    )
    pixels = (
        'DimensionOrder="XYZCT" ID="Pixels:0" Type="uint8" SizeX="8" SizeY="9" SizeZ="2" SizeC="1" SizeT="1"'
    )
    for z, plane in enumerate((first, second)):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{z}">'
            f'<Image ID="Image:0"><Pixels {pixels}><Channel ID="Channel:0:0"/>{block}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"{z}.ome.tif", plane, description=xml, metadata=None, compression="zlib")
    reader = TiffReader(tmp_path / "0.ome.tif")
    np.testing.assert_array_equal(everything(reader), np.stack([first, second]))
    (tmp_path / "1.ome.tif").unlink()
    with pytest.raises(InputError, match="page 1 is in no file"):
        TiffReader(tmp_path / "0.ome.tif")


def test_one_file_of_an_ome_set_says_so(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<BinaryOnly MetadataFile="all.companion.ome" UUID="urn:uuid:0"/></OME>'
    )
    path, image = tmp_path / "a.ome.tif", noise((9, 8), "uint8")
    tifffile.imwrite(path, image, description=xml, metadata=None)
    reader = TiffReader(path)
    np.testing.assert_array_equal(everything(reader), image)
    assert any("all.companion.ome describes" in note for note in reader.spec.of_source)


# -- what cannot be an image ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((2, 3, 9, 8), "QQYX", r"does not say what its axes Q \(2\), Q \(3\) are"),
        ((2, 3, 9, 8), "ZQYX", r"does not say what its axes Z \(2\), Q \(3\) are"),
        ((9, 8, 7), "XZT", "which lack Y"),
    ],
)
def test_axes_without_a_place(tmp_path: Path, shape: Shape, axes: str, message: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(shape, "uint8"), photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(InputError, match=message):
        TiffReader(path)


def test_axes_of_one_pixel_are_dropped(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((1, 1, 3, 1, 9, 8), "uint8")
    tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": "TEZCYX"})
    reader = TiffReader(path)
    assert reader.spec.dims == ("z", "y", "x")
    np.testing.assert_array_equal(everything(reader), image[0, 0, :, 0])


def test_one_row_and_one_column_stay(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise((1, 1), "uint8"))
    assert TiffReader(tmp_path / "a.tif").spec.shape == (1, 1)


def test_no_file_and_no_tiff(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"a\.tif: there is no such file"):
        TiffReader(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.tif: is not a TIFF"):
        TiffReader(tmp_path / "a.tif")
    with pytest.raises(InputError, match="cannot be read"):
        TiffReader(tmp_path)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg", "zstd"])
def test_a_truncated_file_is_refused_when_opened(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((64, 64), "uint8"), tile=(16, 16), compression=compression)
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(InputError, match=r"a\.tif: page 0, tile \d+ takes bytes") as caught:
        TiffReader(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "compression",
    ["zlib", "lzw", "jpeg", "zstd", "packbits", "jpeg2000", "jpegxr", "jpegxl", "webp", "lerc", "png"],
)
def test_a_segment_cut_short_is_an_error_and_never_pixels(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    pixels = noise((64, 64, 3), "uint8") if compression in ("webp", "jpegxr") else noise((64, 64), "uint8")
    tifffile.imwrite(path, pixels, tile=(64, 32), compression=compression)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tag = tif.pages[0].tags["TileByteCounts"]
        tag.overwrite(tuple(count - 80 for count in tag.value))
    reader = TiffReader(path)
    with pytest.raises(InputError, match="page 0, tile 1 "):
        reader.read((*full(reader.spec.shape[:-2]), slice(0, 64), slice(32, 64)))


@pytest.mark.parametrize("missing", [2, 50, 500])
def test_a_fax_cut_short_is_an_error_and_never_white(tmp_path: Path, missing: int) -> None:
    path, mask = tmp_path / "a.tif", noise((64, 64), "uint8") > 100
    Image.fromarray(mask).save(path, compression="group4")
    np.testing.assert_array_equal(everything(TiffReader(path)), mask)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tag = tif.pages[0].tags["StripByteCounts"]
        tag.overwrite(tag.value[0] - missing)
    with pytest.raises(InputError, match="page 0, strip 0 is cut short"):
        everything(TiffReader(path))


def test_absent_segments_are_nodata_and_said(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", noise((32, 32), "uint8")
    tifffile.imwrite(path, image, tile=(16, 16), compression="zlib", extratags=[(42113, "s", 3, "77", True)])
    with tifffile.TiffFile(path, mode="r+") as tif:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tif.pages[0].tags[name]
            tag.overwrite((0, *tag.value[1:]))
    reader = TiffReader(path)
    expected = image.copy()
    expected[:16, :16] = 77
    np.testing.assert_array_equal(everything(reader), expected)
    assert any("1 of 4 tiles are absent" in note for note in reader.spec.notes)


def classic(tags: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """A little-endian TIFF of one page with ``tags`` (code, type, count, value), and ``tail`` behind it."""
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + body + tail


@pytest.mark.parametrize(
    "extra",
    [
        [(273, 4, 1, 200), (279, 4, 1, 90)],  # one uncompressed strip of 4 TB
        [(259, 3, 1, 8), (273, 4, 1, 200), (279, 4, 1, 90)],  # 90 bytes of deflate for 4 TB
        [
            (322, 4, 1, 256),
            (323, 4, 1, 256),
            (324, 4, 1, 200),
            (325, 4, 1, 90),
        ],  # 61 million tiles, one listed
        [
            (322, 4, 1, 256),
            (323, 4, 1, 256),
            (324, 4, 61035156, 200),
            (325, 4, 61035156, 200),
        ],  # lists beyond the end
    ],
)
def test_a_hostile_size_is_refused_before_it_is_allocated(tmp_path: Path, extra: Any) -> None:
    path = tmp_path / "a.tif"
    common = [(256, 4, 1, 2_000_000), (257, 4, 1, 2_000_000), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    path.write_bytes(classic(sorted(common + extra), bytes(300)))
    with pytest.raises(InputError, match=r"a\.tif: "):
        TiffReader(path)


@pytest.mark.parametrize(
    ("pages", "back"), [(1, 0), (50, 3), (300, 150)]
)  # tifffile follows the last for ever
def test_pages_in_a_circle_are_refused(tmp_path: Path, pages: int, back: int) -> None:
    tags = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 16)]
    page = len(classic(tags)) - 8
    content = b"".join(
        classic(tags)[8:-4] + struct.pack("<I", 8 + page * (i + 1 if i < pages - 1 else back))
        for i in range(pages)
    )
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + content)
    with pytest.raises(InputError, match=rf"page {pages} is one of those before it"):
        TiffReader(path)


# -- real files ------------------------------------------------------------------------------------------------

REAL = ("tiff", "imagej", "ome-tiff", "big2d", "wsi")

UNREADABLE = {
    "tiff/ojpeg-tile.tif": "page 0, tile 0 cannot be decoded",
}
"""Files that tifffile itself cannot decode."""

TURNED = {"tiff/g4_orientation_6.tif", "tiff/poppies.tif", "tiff/test_orient6.tif"}
"""Files of orientation 6: a quarter turn clockwise."""


def test_real_files(data: Path, index: dict[str, dict[str, str]]) -> None:
    names = [
        name
        for name, row in index.items()
        if name.startswith(REAL) and name.endswith((".tif", ".tiff", ".svs"))
    ]
    assert len(names) > 50
    subsampled = "tiff/subsampled.tif"  # tifffile does not decode it, Pillow's libtiff does
    with Image.open(data / subsampled) as image:
        expected = np.moveaxis(np.asarray(image.convert("RGB")), 2, 0)
    np.testing.assert_array_equal(everything(TiffReader(data / subsampled)), expected)
    for name in sorted({*names} - {subsampled}):
        if name in UNREADABLE:
            with pytest.raises(InputError, match=UNREADABLE[name]):
                everything(TiffReader(data / name))
            continue
        reader = TiffReader(data / name)
        expected = tifffiles(data / name)
        with tifffile.TiffFile(data / name) as tif:
            page, kind = tif.series[0].keyframe, tif.series[0].kind
            colors = page.colormap
            if index[name]["pixels_sha256"]:
                own = tif.series[0].asarray(buffersize=2**22)
                assert hashlib.sha256(np.ascontiguousarray(own)).hexdigest() == index[name]["pixels_sha256"]
        if page.photometric == 3 and kind != "imagej":
            expected = colors[:, expected.astype("uint16")]
            if reader.spec.dtype == np.uint8:
                expected = (expected >> 8).astype("uint8")
        if name in TURNED:
            expected = np.rot90(expected, -1, (-2, -1))
        np.testing.assert_array_equal(everything(reader), expected, err_msg=name)
        assert reader.spec.dtype == expected.dtype.newbyteorder("="), name
        reader.close()


def test_real_spacing_and_units(data: Path) -> None:
    def along(name: str) -> dict[str, tuple[float, str | None]]:
        return {axis.name: (round(axis.spacing, 4), axis.unit) for axis in TiffReader(data / name).spec.axes}

    assert along("wsi/CMU-1-Small-Region.svs")["x"] == (0.499, "micrometer")
    assert along("imagej/sample_ovule.tiff") == {
        "z": (0.235, "micrometer"), "y": (0.15, "micrometer"), "x": (0.15, "micrometer"),
    }  # fmt: skip
    assert along("imagej/zcyx.tiff") == {
        "c": (1.0, None), "z": (0.0545, "micrometer"), "y": (0.4356, "micrometer"), "x": (0.4356, "micrometer"),
    }  # fmt: skip
    assert along("ome-tiff/s_1_t_1_c_1_z_1.ome.tiff")["y"] == (1.0833, "micrometer")
    assert along("tiff/sample.tif")["y"] == (1.0, None)


def test_corrupt_files(data: Path) -> None:
    paths = sorted((data / "corrupt").glob("*.tif*"))
    assert len(paths) == 8
    for path in paths:
        if path.name in ("tiff_wrong_bits_per_sample.tiff", "total-pages-zero.tif"):  # broken in other ways
            np.testing.assert_array_equal(everything(TiffReader(path)), tifffiles(path))
            continue
        with pytest.raises(InputError) as caught:
            everything(TiffReader(path))
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_what_tifffile_doubts_is_told_with_the_file_and_not_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.arange(12, dtype="u1").reshape(3, 4), software="abc")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags["Software"].offset
    content[at + 2 : at + 4] = (9999).to_bytes(2, "little")  # a type that there is not
    path.write_bytes(content)
    img = bigimg.open(path)
    np.testing.assert_array_equal(img.values, np.arange(12).reshape(3, 4))
    (note,) = bigimg.info(path).notes
    assert "tifffile warns: " in note
    assert "invalid data type 9999" in note
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    logging.getLogger("tifffile").warning("of somebody else")
    assert [record.message for record in caplog.records] == ["of somebody else"]
