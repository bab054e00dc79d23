"""TIFF files that hold less than they promise: an error that names the place, and never a shorter image.

Files are written by tifffile, then cut or changed; what is expected is what tifffile reads of the whole file.
"""

from __future__ import annotations

import json
import logging
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.readers.tiff.reader import TiffReader
from bigimg.types import Array
from tests.readers.tiff.test_reader import in_our_order, noise

GREY, COLOR = noise((6, 11, 13), "uint16"), noise((4, 11, 13, 3), "uint8")
PLANAR = np.ascontiguousarray(np.moveaxis(COLOR, -1, 1))

KINDS: dict[str, tuple[Array, dict[str, Any]]] = {
    "plain": (GREY, {"metadata": None}),
    "strips": (GREY, {"metadata": None, "rowsperstrip": 4}),
    "shape": (GREY, {}),
    "tiles": (GREY, {"tile": (16, 16)}),
    "ome": (GREY, {"ome": True, "metadata": {"axes": "TYX"}}),
    "rgb": (COLOR, {"photometric": "rgb"}),
    "planar": (PLANAR, {"photometric": "rgb", "planarconfig": "separate"}),
    "planar ome": (
        PLANAR,
        {"photometric": "rgb", "planarconfig": "separate", "ome": True, "metadata": {"axes": "ZCYX"}},
    ),
}
IMAGEJ: dict[str, tuple[Array, dict[str, Any]]] = {
    "imagej": (GREY, {"imagej": True, "metadata": {"axes": "ZYX"}}),
    "imagej hyperstack": (GREY.reshape(3, 2, 11, 13), {"imagej": True, "metadata": {"axes": "ZCYX"}}),
    "imagej rgb": (COLOR, {"imagej": True, "metadata": {"axes": "ZYXS"}}),
}


def cases() -> Iterator[Any]:
    for order, title in (("<", "little"), (">", "big")):
        for name, (image, options) in IMAGEJ.items():
            yield pytest.param(image, {"byteorder": order, **options}, id=f"{name} {title}")
        for compression in (None, "zlib"):
            for name, (image, options) in KINDS.items():
                given = {"byteorder": order, "compression": compression, **options}
                yield pytest.param(image, given, id=f"{name} {title} {compression}")
        given = {"byteorder": order, "bigtiff": True, "compression": "zlib", "metadata": None}
        yield pytest.param(GREY, given, id=f"bigtiff {title}")


def pixels(path: Path) -> Array:
    reader = TiffReader(path)
    try:
        return reader.read(full(reader.spec.shape))
    finally:
        reader.close()


def whole(path: Path) -> Array:
    with tifffile.TiffFile(path) as tif:
        return in_our_order(tif.series[0].asarray(), tif.series[0].axes)


def every_cut(path: Path, count: int) -> None:
    """Cut ``path`` at many places: an error that names the file, or the pixels of the whole file."""
    content, expected = path.read_bytes(), whole(path)
    np.testing.assert_array_equal(pixels(path), expected)
    cuts = {*np.linspace(0, len(content) - 1, count).astype(int).tolist(), len(content) - 1}
    refused = 0
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        try:
            got = pixels(path)
        except InputError as error:
            refused += str(error).startswith(f"{path}: ") and "\n" not in str(error)
            continue
        assert got.dtype == expected.dtype, cut
        np.testing.assert_array_equal(got, expected, err_msg=f"cut at {cut}")
    assert refused >= len(cuts) - 2  # what lies behind the pixels and tables is a byte of padding


@pytest.mark.parametrize(("image", "options"), list(cases()))
def test_every_cut_is_an_error_or_the_same_pixels(
    tmp_path: Path, image: Array, options: dict[str, Any]
) -> None:
    path = tmp_path / ("a.ome.tif" if options.get("ome") else "a.tif")
    tifffile.imwrite(path, image, **({"photometric": "minisblack"} | options))
    every_cut(path, 25)


def test_every_cut_of_ome_with_levels_in_subifds(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as tif:
        grey: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib"}
        tif.write(GREY, subifds=1, metadata={"axes": "ZYX"}, **grey)
        tif.write(GREY[:, ::2, ::2], subfiletype=1, **grey)
    every_cut(path, 80)


@pytest.mark.parametrize("silence", ["disable", "level", "propagate", "handler"])
def test_no_setting_of_logging_hides_that_pages_are_lost(
    tmp_path: Path, silence: str, request: pytest.FixtureRequest
) -> None:
    path, logger = tmp_path / "a.tif", logging.getLogger("tifffile")
    tifffile.imwrite(path, noise((20, 100, 120), "uint16"), imagej=True, metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.97)])
    if silence == "disable":
        request.addfinalizer(lambda: logging.disable(logging.NOTSET))
        logging.disable(logging.CRITICAL)
    elif silence == "level":
        request.addfinalizer(lambda: logger.setLevel(logging.NOTSET))
        logger.setLevel(logging.CRITICAL + 1)
    elif silence == "propagate":
        request.addfinalizer(lambda: setattr(logger, "propagate", True))
        logger.propagate = False
    else:
        handler = logging.NullHandler()
        request.addfinalizer(lambda: logger.removeHandler(handler))
        logger.addHandler(handler)
    with pytest.raises(InputError, match=r"a\.tif: page 1 should begin at byte 480\d+ of a file of 4"):
        TiffReader(path)


# -- the chain of pages and their tags --------------------------------------------------------------------------


def pages(path: Path, *, big: bool = False, order: str = "<") -> list[int]:
    """Write six pages; return the byte of each page's table."""
    tifffile.imwrite(
        path, GREY, bigtiff=big, byteorder=order, metadata=None, photometric="minisblack", compression="zlib"
    )  # type: ignore[call-overload]
    with tifffile.TiffFile(path) as tif:
        return [page.offset for page in tif.pages]


def patch(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def entry(path: Path, page: int, name: str) -> int:
    """Return the byte of a tag in the file."""
    with tifffile.TiffFile(path) as tif:
        return int(tif.pages[page].aspage().tags[name].offset)


@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_chain_that_leaves_the_file(tmp_path: Path, big: bool, order: str) -> None:
    path = tmp_path / "a.tif"
    tables = pages(path, big=big, order=order)
    with tifffile.TiffFile(path) as tif:
        link = tables[2] + (8 if big else 2) + len(tif.pages[2].aspage().tags) * (20 if big else 12)
    patch(path, link, struct.pack(order + ("Q" if big else "I"), 987654321))
    with pytest.raises(
        InputError, match=rf"page 3 should begin at byte 987654321 of a file of {path.stat().st_size};"
    ):
        TiffReader(path)


def test_a_page_without_tags_and_one_of_too_many(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for number, count in ((4, 0), (5, 60000)):
        tables = pages(path)
        patch(path, tables[number], struct.pack("<H", count))
        with pytest.raises(InputError, match=rf"page {number}, at byte {tables[number]}, has {count} tags"):
            TiffReader(path)


def test_tags_whose_values_lie_beyond_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pages(path)
    at, size = entry(path, 3, "XResolution"), path.stat().st_size
    patch(path, at + 8, struct.pack("<I", size - 7))
    with pytest.raises(
        InputError, match=rf"page 3, tag XResolution has 1 values in bytes {size - 7} to {size + 1} of a file"
    ):
        TiffReader(path)


def test_bits_a_sample_that_are_lost_do_not_turn_bytes_into_booleans(tmp_path: Path) -> None:
    """Without the tag TIFF says one bit a sample; tifffile drops a tag that it cannot read."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, COLOR[0], photometric="rgb", metadata=None)
    patch(path, entry(path, 0, "BitsPerSample") + 8, struct.pack("<I", path.stat().st_size - 4))
    with pytest.raises(InputError, match="page 0, tag BitsPerSample has 3 values in bytes"):
        TiffReader(path)
    tifffile.imwrite(path, COLOR[0], photometric="rgb", metadata=None)
    patch(path, entry(path, 0, "BitsPerSample") + 2, struct.pack("<H", 3 + 0x4000))
    with pytest.raises(InputError, match="tag BitsPerSample is of type 16387"):
        TiffReader(path)


def test_a_page_that_does_not_say_how_large_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tables = pages(path)
    patch(path, entry(path, 2, "ImageWidth"), struct.pack("<H", 255))
    with pytest.raises(InputError, match=rf"page 2, at byte {tables[2]}, does not say how large it is"):
        TiffReader(path)


def test_one_flipped_bit_never_leaves_fewer_planes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((31, 6, 5), "uint16"), photometric="minisblack", compression="zlib")
    content = path.read_bytes()
    names = (
        "ImageWidth",
        "ImageLength",
        "SamplesPerPixel",
        "StripOffsets",
        "StripByteCounts",
        "ImageDescription",
    )
    spots = [(name, entry(path, 0, name)) for name in names]
    for name, at in spots:
        for bit in range(64, 96):  # the value
            changed = bytearray(content)
            changed[at + bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            try:
                got = pixels(path)
            except InputError:
                continue
            assert got.shape[0] == 31, f"bit {bit} of {name}"


# -- what descriptions promise ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "promised"),
    [
        ("images=20\nslices=20", 20),
        ("images=20", 20),
        ("images=6\nchannels=2\nslices=4", 8),
        ("images=6\nframes=7", 7),
        ("images=12\nchannels=2\nslices=3\nframes=2\nhyperstack=true", 12),
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_that_promises_more_planes_than_there_are(
    tmp_path: Path, text: str, promised: int, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, GREY, description=f"ImageJ=1.53t\n{text}\n", metadata=None, photometric="minisblack",
        compression=compression,
    )  # fmt: skip
    with pytest.raises(InputError, match=rf"{promised} p[a-z]+.*, and [16] are there"):
        TiffReader(path)


def test_imagej_of_one_page_for_all_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, GREY, imagej=True, metadata={"axes": "ZYX"}, photometric="minisblack", truncate=True
    )
    np.testing.assert_array_equal(pixels(path), GREY)
    path.write_bytes(path.read_bytes()[: -GREY[0].nbytes])
    with pytest.raises(InputError, match="promises 6 planes"):
        TiffReader(path)


def test_imagej_that_tells_of_fewer_planes_than_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    text = "ImageJ=1.53t\nimages=6\nslices=4\n"
    tifffile.imwrite(path, GREY, description=text, metadata=None, photometric="minisblack")
    with pytest.raises(InputError, match=r"promises 6 planes"):
        TiffReader(path)


def test_imagej_believes_the_sizes_where_all_pages_are_there(tmp_path: Path) -> None:
    """As ImageJ itself does: ``images`` is wrong in some files."""
    path = tmp_path / "a.tif"
    text = "ImageJ=1.53t\nimages=9\nchannels=2\nslices=3\nhyperstack=true\n"
    tifffile.imwrite(path, GREY, description=text, metadata=None, photometric="minisblack")
    np.testing.assert_array_equal(pixels(path), GREY.reshape(3, 2, 11, 13).swapaxes(0, 1))


def test_a_shape_that_promises_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for shape in ([7, 11, 13], [6, 11, 14]):
        text = json.dumps({"shape": shape})
        tifffile.imwrite(
            path, GREY, description=text, metadata=None, photometric="minisblack", compression="zlib"
        )
        with pytest.raises(InputError, match="promises 7 planes"):
            TiffReader(path)


OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'


def ome_image(
    number: int, *, planes: int = 6, data: str = '<TiffData IFD="0" PlaneCount="6"/>', width: int = 13
) -> str:
    return (
        f'<Image ID="Image:{number}" Name="{number}"><Pixels DimensionOrder="XYZCT" ID="Pixels:{number}" Type="uint16" '
        f'SizeX="{width}" SizeY="11" SizeZ="{planes}" SizeC="1" SizeT="1"><Channel ID="Channel:{number}:0"/>{data}'
        "</Pixels></Image>"
    )  # fmt: skip


def ome(path: Path, *images: str, pages: int = 6) -> Path:
    text = OME.format("".join(images))
    tifffile.imwrite(
        path, GREY[:pages], description=text, metadata=None, photometric="minisblack", compression="zlib"
    )
    return path


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (ome_image(0, planes=8, data='<TiffData IFD="0" PlaneCount="8"/>'), "8 pages, and page 6 is in no"),
        (ome_image(0, planes=8), "8 pages, and page 6 is in no file"),
        (ome_image(0, data='<TiffData IFD="2" PlaneCount="6"/>'), "6 pages, and page 4 is in no file"),
        (ome_image(0, data='<TiffData FirstZ="2" IFD="0" PlaneCount="4"/>'), "and page 0 is in no file"),
        (ome_image(0, data='<TiffData IFD="9" PlaneCount="6"/>'), None),
        (ome_image(0, planes=4), "promises 4 planes of .* page 4 is one more"),
        (ome_image(0, width=15), "promises 7 planes"),
        (ome_image(0) + ome_image(1, data='<TiffData IFD="6" PlaneCount="6"/>'), "promises 12 planes .* 6 are there"),
        (ome_image(0)[:-9], "not a TIFF that can be read .not well-formed"),
    ],
)  # fmt: skip
def test_ome_that_promises_more_planes_than_there_are(
    tmp_path: Path, image: str, message: str | None
) -> None:
    path = ome(tmp_path / "a.ome.tif", image)
    if message is None:  # no page is where it says, so tifffile takes the pages as they are: all are there
        np.testing.assert_array_equal(pixels(path), GREY)
        return
    with pytest.raises(InputError, match=message):
        TiffReader(path)


def test_ome_that_is_whole(tmp_path: Path) -> None:
    np.testing.assert_array_equal(pixels(ome(tmp_path / "a.ome.tif", ome_image(0))), GREY)
    two = ome_image(0, planes=4, data='<TiffData IFD="0" PlaneCount="4"/>') + ome_image(
        1, planes=2, data='<TiffData IFD="4" PlaneCount="2"/>'
    )
    np.testing.assert_array_equal(pixels(ome(tmp_path / "b.ome.tif", two)), GREY[:4])


def test_ome_of_an_image_in_another_file_that_is_not_there(tmp_path: Path) -> None:
    """A well of a plate: each file describes the images of all."""
    far = '<TiffData IFD="0" PlaneCount="6"><UUID FileName="{}">urn:uuid:{}</UUID></TiffData>'
    images = ome_image(0, data=far.format("other.ome.tif", 1)) + ome_image(1, data=far.format("a.ome.tif", 2))
    path = ome(tmp_path / "a.ome.tif", images)
    np.testing.assert_array_equal(pixels(path), GREY)
    ome(path, ome_image(0, data=far.format("a.ome.tif", 1)) + ome_image(1, data=far.format("a.ome.tif", 1)))
    np.testing.assert_array_equal(pixels(path), GREY)  # two descriptions of the same pages
    gone = ome_image(1, data=far.format("a.ome.tif", 1).replace('IFD="0"', 'IFD="6"'))
    ome(path, ome_image(0, data=far.format("a.ome.tif", 1)) + gone)
    with pytest.raises(InputError, match=r"promises 12 planes .* 6 are there"):
        TiffReader(path)


def micro_manager(path: Path, *, frames: int, listed: int, there: int) -> None:
    """Write a stack as Micro-Manager does: its own tables before the first page, pixels 162 bytes behind a page."""
    summary = json.dumps(
        {"MicroManagerVersion": "2.0", "Frames": frames, "Slices": 1, "Channels": 1, "Positions": 4}
    )
    start = 40 + len(summary) + 8 + 20 * listed
    step = 162 + GREY[0].nbytes
    tags = [
        (256, 4, 13), (257, 4, 11), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 0), (277, 3, 1), (278, 4, 11),
        (279, 4, GREY[0].nbytes), (284, 3, 1), (296, 3, 1), (339, 3, 1), (51123, 2, 40),
    ]  # fmt: skip
    content = b"II*\0" + struct.pack(
        "<9I", start, 54773648, 40 + len(summary), 483765892, 0, 99384722, 0, 2355492, len(summary)
    )
    content += summary.encode() + struct.pack("<2I", 3453623, listed)
    for i in range(listed):
        content += struct.pack("<5I", 0, 0, i, 0, start + i * step)
    for i in range(there):
        here, more = start + i * step, i + 1 < there
        body = b"".join(
            struct.pack("<HHII", c, k, len(summary) if k == 2 else 1, here + 162 if c == 273 else v)
            for c, k, v in tags
        )
        content += struct.pack("<H", len(tags)) + body + struct.pack("<I", (here + step) * more)
        content += GREY[i].tobytes()
    path.write_bytes(content)


def test_micro_manager(tmp_path: Path) -> None:
    path = tmp_path / "a_MMStack.tif"
    micro_manager(path, frames=6, listed=6, there=6)
    with tifffile.TiffFile(path) as tif:
        assert tif.series[0].kind == "mmstack"
    np.testing.assert_array_equal(pixels(path), GREY)
    micro_manager(path, frames=9, listed=6, there=6)
    np.testing.assert_array_equal(pixels(path), GREY)  # planned, and stopped
    assert "the acquisition was stopped: 6 of 9 time points are whole" in TiffReader(path).spec.notes
    micro_manager(path, frames=6, listed=6, there=5)
    with pytest.raises(InputError, match="page 5, strip 0 was never written"):
        TiffReader(path)


# -- strips and tiles that were never written, and lists of them ------------------------------------------------


def never_written(path: Path, page: int, kept: int, **options: Any) -> None:
    """Write six pages, and zeros as offset and length of all but the first ``kept`` segments of ``page``."""
    tifffile.imwrite(path, noise((6, 64, 48), "uint8"), photometric="minisblack", **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        kind = "Tile" if "tile" in options else "Strip"
        for name in (f"{kind}Offsets", f"{kind}ByteCounts"):
            tag = tif.pages[page].aspage().tags[name]
            tag.overwrite((*tag.value[:kept], *[0] * (len(tag.value) - kept)))


GDAL = {"extratags": [(42113, "s", 3, "0", True)]}


@pytest.mark.parametrize(
    ("options", "kept", "refused"),
    [
        ({"rowsperstrip": 16}, 2, True),
        ({"tile": (16, 16)}, 0, True),
        ({"tile": (16, 16)}, 7, False),  # where a slide was not scanned
        ({"rowsperstrip": 16, **GDAL}, 2, False),
        ({"tile": (16, 16), **GDAL}, 0, False),
    ],
)
def test_segments_that_were_never_written(
    tmp_path: Path, options: dict[str, Any], kept: int, refused: bool
) -> None:
    path = tmp_path / "a.tif"
    never_written(path, 0, kept, metadata=None, compression="zlib", **options)
    if refused:
        with pytest.raises(InputError, match=rf"page 0, (strip|tile) {kept} was never written"):
            TiffReader(path)
        return
    reader = TiffReader(path)
    np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), whole(path))
    assert any("are absent from the file" in note for note in reader.spec.notes)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_list_of_more_strips_than_the_page_has(tmp_path: Path, compression: str | None) -> None:
    """A height that lost a bit: fewer rows than were written."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((64, 48), "uint8"), rowsperstrip=16, compression=compression, metadata=None)
    patch(path, entry(path, 0, "ImageLength") + 8, struct.pack("<I", 32))
    with pytest.raises(InputError, match=r"page 0, tag StripOffsets has 4 values, and the page has 2 strips"):
        TiffReader(path)


def test_a_set_of_files_one_of_which_is_cut(tmp_path: Path) -> None:
    block = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(2)
    )
    for z in range(2):
        text = re.sub("<OME ", f'<OME UUID="urn:uuid:{z}" ', OME).format(ome_image(0, planes=2, data=block))
        tifffile.imwrite(tmp_path / f"{z}.ome.tif", GREY[z], description=text, metadata=None)
    np.testing.assert_array_equal(pixels(tmp_path / "0.ome.tif"), GREY[:2])
    other = tmp_path / "1.ome.tif"
    content = other.read_bytes()
    for cut in range(20, len(content), 60):
        other.write_bytes(content[:cut])
        with pytest.raises(InputError):
            pixels(tmp_path / "0.ome.tif")


@pytest.mark.parametrize("compression", ["jpeg", "zlib", None])
@pytest.mark.parametrize("start", [0, 400, 2**31])
def test_tiles_of_no_bytes_are_nodata_wherever_they_lie(
    tmp_path: Path, compression: str | None, start: int
) -> None:
    """Aperio writes them at the offset of the next tile; expected as tifffile and Pillow have the others."""
    path, image = tmp_path / "a.tif", noise((64, 48, 3), "uint8")
    tifffile.imwrite(path, image, tile=(16, 16), photometric="rgb", compression=compression, metadata=None)
    expected = tifffile.imread(path)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tags = tif.pages[0].aspage().tags
        for name, value in (("TileOffsets", start), ("TileByteCounts", 0)):
            tags[name].overwrite((*tags[name].value[:4], value, *tags[name].value[5:]))
    expected[16:32, 16:32] = 0
    reader = TiffReader(path)
    np.testing.assert_array_equal(np.moveaxis(reader.read(full(reader.spec.shape)), 0, 2), expected)
    assert any("1 of 12 tiles are absent" in note for note in reader.spec.notes)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "jpeg"])
@pytest.mark.parametrize("options", [{"rowsperstrip": 24}, {"tile": (16, 16)}])
def test_segments_without_a_length_end_where_the_next_begins(
    tmp_path: Path, compression: str | None, options: dict[str, Any]
) -> None:
    """Expected as written; libtiff reads strips so too, and warns."""
    path, image = tmp_path / "a.tif", noise((64, 48), "uint8")
    tifffile.imwrite(path, image, photometric="minisblack", compression=compression, metadata=None, **options)
    expected = tifffile.imread(path)
    code, unused = (325, 326) if "tile" in options else (279, 281)
    data = path.read_bytes()
    (at,) = struct.unpack_from("<I", data, 4)
    entries = range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12)
    entry = next(start for start in entries if struct.unpack_from("<H", data, start)[0] == code)
    path.write_bytes(data[:entry] + struct.pack("<H", unused) + data[entry + 2 :])
    reader = TiffReader(path)
    np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), expected)
    assert any("does not say how long" in note for note in reader.spec.notes)
    path.write_bytes(
        path.read_bytes()[: at - 1] if at > 3000 else b"II*\0"
    )  # the directory itself lies behind
    with pytest.raises(InputError):
        TiffReader(path)
