"""TIFF files that are cut, or were never finished, opened as far as they go; what is expected is the whole file."""

from __future__ import annotations

import pickle
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.readers.registry import open_file
from bigimg.readers.tiff.reader import TiffReader
from bigimg.types import Array
from tests.readers.tiff.test_cut import IMAGEJ, KINDS, micro_manager
from tests.readers.tiff.test_reader import noise

STACK = noise((6, 40, 30), "uint16")


def ome(shape: dict[str, int], kind: str = "uint16", files: str = "") -> str:
    """Return OME-XML, which lies before the pixels where it is given as a description."""
    sizes = " ".join(f'Size{axis}="{shape.get(axis, 1)}"' for axis in "XYZCT")
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{kind}" {sizes}>{files or "<TiffData/>"}'
        "</Pixels></Image></OME>"
    )


def whole(reader: TiffReader) -> tuple[Array, Array]:
    """Return the pixels, and which of them are missing."""
    pixels = reader.read(full(reader.spec.shape))
    lost = np.zeros(pixels.shape, bool)
    for hole in reader.spec.missing:
        assert not lost[hole].any()
        lost[hole] = True
    reader.close()
    return pixels, lost


OTHERS: dict[str, tuple[Array, dict[str, Any]]] = {
    "zlib": (STACK, {"compression": "zlib"}),
    "big": (STACK, {"compression": "zlib", "bigtiff": True, "rowsperstrip": 7}),
    "big-endian": (STACK, {"byteorder": ">", "metadata": {"axes": "TYX"}}),
    "imagej zlib": (STACK, {"imagej": True, "compression": "zlib", "metadata": {"axes": "ZYX"}}),
    "ome first": (
        STACK, {"metadata": None, "description": ome({"X": 30, "Y": 40, "Z": 3, "T": 2}), "contiguous": False},
    ),
    "picture": (STACK[0], {}),
    "turned": (STACK[0], {"extratags": [(274, "H", 1, 6, True)], "rowsperstrip": 3, "compression": "zlib"}),
    "planes of colours": (
        noise((3, 64, 48), "u1"), {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 32)},
    ),
}  # fmt: skip
ALL = {**{name: of for name, of in KINDS.items() if "ome" not in name}, **IMAGEJ, **OTHERS}


@pytest.mark.parametrize("name", list(ALL))
def test_what_is_there_is_right_and_the_rest_is_missing(name: str, tmp_path: Path) -> None:
    image, options = ALL[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, **({"photometric": "minisblack"} | options))
    expected, lost = whole(TiffReader(path, allow_partial=True))
    assert not lost.any()
    content, seen = path.read_bytes(), 0
    for cut in np.linspace(300, len(content) - 1, 20).astype(int).tolist():
        path.write_bytes(content[:cut])
        try:
            reader = TiffReader(path, allow_partial=True)
        except InputError:
            continue
        found, lost = whole(reader)
        seen += int(lost.any() and not lost.all())
        assert not found[lost].any()
        if found.shape == expected.shape:
            np.testing.assert_array_equal(found[~lost], expected[~lost], err_msg=f"cut at {cut}")
            assert not lost.any() or any("missing from the source" in note for note in reader.spec.notes)
        else:  # a chain of pages that nothing counts
            assert any("what follows its page" in note for note in reader.spec.notes)
            pages = expected if found.ndim == expected.ndim else expected.reshape(-1, *found.shape)[0]
            np.testing.assert_array_equal(found[~lost], pages[: len(found)][~lost], err_msg=f"cut at {cut}")
    assert seen > 2 or "metadata" in options, "parts of it were there"


def test_rows_before_the_cut_of_one_plane_are_there(tmp_path: Path) -> None:
    path, picture = tmp_path / "a.tif", noise((640, 50), "uint16")
    tifffile.imwrite(path, picture)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found, lost = whole(TiffReader(path, allow_partial=True))
    kept = int((~lost.all(axis=1)).sum())
    assert kept == pytest.approx(640 * 2 / 3, abs=11)
    np.testing.assert_array_equal(found[:kept], picture[:kept])


def test_a_reader_opens_what_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib", metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes()[:-3000])
    reader = TiffReader(path, allow_partial=True)
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(whole(again)[0], whole(reader)[0])
    np.testing.assert_array_equal(whole(reader)[0], whole(again)[0])  # both were closed in between


def test_a_cut_names_the_way_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib", metadata=None)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"page \d should begin at .*allow_partial=True"):
        TiffReader(path)
    tifffile.imwrite(path, STACK[0], rowsperstrip=20, compression="zlib")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"strip 1 takes bytes .*allow_partial=True"):
        TiffReader(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match="none of the pixels of the image are in the file"):
        TiffReader(path, allow_partial=True)


# -- acquisitions that were stopped -----------------------------------------------------------------------------


def test_whole_time_points_of_a_stopped_acquisition_open(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    text = ome({"X": 30, "Y": 40, "C": 2, "T": 4})
    tifffile.imwrite(path, STACK[:5], photometric="minisblack", description=text, metadata=None)
    with closing(TiffReader(path)) as reader:
        assert reader.spec.dims == ("t", "c", "y", "x")
        np.testing.assert_array_equal(whole(reader)[0], STACK[:4].reshape(2, 2, 40, 30))
        (note,) = [note for note in reader.spec.notes if "stopped" in note]
    assert note.startswith(
        "the acquisition was stopped: 2 of 4 time points are whole, and 1 plane of the next"
    )
    found, lost = whole(TiffReader(path, allow_partial=True))
    assert lost.reshape(8, 40, 30).all(axis=(1, 2)).tolist() == [False] * 5 + [True] * 3
    np.testing.assert_array_equal(found.reshape(8, 40, 30)[:5], STACK[:5])


def test_a_stopped_acquisition_that_is_damaged_too_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    text = ome({"X": 30, "Y": 40, "C": 2, "T": 4})
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None, "rowsperstrip": 10}
    tifffile.imwrite(path, STACK[:5], description=text, compression="zlib", **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tag = tif.pages[1].aspage().tags["StripOffsets"]
        tag.overwrite((*tag.value[:2], 10**6, tag.value[3]))
    with pytest.raises(InputError, match="strips of its whole time points are missing"):
        TiffReader(path)
    _, lost = whole(TiffReader(path, allow_partial=True))
    assert lost[0, 1].any(axis=1).tolist() == [False] * 20 + [True] * 10 + [False] * 10


@pytest.mark.parametrize("shape", [{"Z": 8}, {"C": 2, "T": 4, "Z": 3}, {"C": 8}])
def test_what_has_no_whole_time_point_is_refused(shape: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    text = ome({"X": 30, "Y": 40, **shape})
    tifffile.imwrite(path, STACK[:5], photometric="minisblack", description=text, metadata=None)
    with pytest.raises(
        InputError, match=r"cut or never finished: copy it again, or take what is there by allow_partial=True"
    ):
        TiffReader(path)
    _, lost = whole(TiffReader(path, allow_partial=True))
    assert (~lost).sum() == 5 * 40 * 30


def test_planes_that_other_files_hold_are_no_stopped_acquisition(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    parts = "".join(
        f'<TiffData FirstT="{t}" IFD="{t % 3}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
        for t, name in enumerate(["a.ome.tif"] * 3 + ["b.ome.tif"] * 3)
    )
    text = ome({"X": 30, "Y": 40, "T": 6}, files=parts)
    tifffile.imwrite(path, STACK[:3], photometric="minisblack", description=text, metadata=None)
    with pytest.raises(InputError, match="put all files of a set into one folder"):
        TiffReader(path)


def test_a_micro_manager_stack_that_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a_MMStack.tif"
    micro_manager(path, frames=9, listed=6, there=6)
    with closing(TiffReader(path)) as reader:
        assert reader.spec.sizes["t"] == 6
        assert "the acquisition was stopped: 6 of 9 time points are whole" in reader.spec.notes
    micro_manager(path, frames=6, listed=6, there=4)  # its index lists more than there is: it was cut
    with pytest.raises(InputError, match="was never written"):
        TiffReader(path)
    _, lost = whole(TiffReader(path, allow_partial=True))
    assert lost.all(axis=(1, 2)).tolist() == [False] * 4 + [True] * 2


# -- what the description says -------------------------------------------------------------------------------------


@pytest.mark.parametrize("partial", [False, True])
def test_planes_in_other_files_of_a_set_are_read(partial: bool, tmp_path: Path) -> None:
    names = ["a.ome.tif", "b.ome.tif"]
    parts = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    text = ome({"X": 30, "Y": 40, "Z": 2}, files=parts)
    for z, name in enumerate(names):
        own = text.replace("<OME ", f'<OME UUID="urn:uuid:{z}" ')
        tifffile.imwrite(tmp_path / name, STACK[z], description=own, metadata=None)
    found, lost = whole(TiffReader(tmp_path / "a.ome.tif", allow_partial=partial))
    assert not lost.any()
    np.testing.assert_array_equal(found, STACK[:2])


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("tag", ["UUID", "XUUID"])
def test_a_name_outside_the_folder_is_refused(tag: str, partial: bool, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    text = ome({"X": 30, "Y": 40}).replace("<OME ", '<OME UUID="urn:uuid:2" ')
    tifffile.imwrite(tmp_path / "secret.tif", STACK[0], description=text, metadata=None)
    parts = (
        '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        f'<TiffData FirstZ="1" IFD="0" PlaneCount="1"><{tag} FileName="../secret.tif">urn:uuid:2</{tag}></TiffData>'
    )
    text = ome({"X": 30, "Y": 40, "Z": 2}, files=parts).replace("<OME ", '<OME UUID="urn:uuid:1" ')
    tifffile.imwrite(tmp_path / "set" / "a.ome.tif", STACK[1], description=text, metadata=None)
    with pytest.raises(InputError, match="outside its own folder"):
        TiffReader(tmp_path / "set" / "a.ome.tif", allow_partial=partial)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"imagej": True, "metadata": {"axes": "ZYX"}}]
)
def test_a_small_file_that_promises_many_pages_is_refused(
    options: dict[str, Any], partial: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((4, 8, 8), np.uint8), **({"photometric": "minisblack"} | options))
    old, new = b'{"shape": [4, 8, 8]}', b'{"shape":[3000000,8,8]}'
    if "imagej" in options:
        old, new = b"images=4\nslices=4\n", b"images=3000000\n"
    content = path.read_bytes()
    start = content.find(old)
    assert start > 0
    path.write_bytes(content[:start] + new.ljust(len(old)) + content[start + len(new.ljust(len(old))) :])
    with pytest.raises(InputError):
        TiffReader(path, allow_partial=partial)


def test_a_description_that_is_gone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK.reshape(2, 3, 40, 30), photometric="minisblack", metadata={"axes": "TZYX"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with closing(TiffReader(path, allow_partial=True)) as reader:
        found, _ = whole(reader)
        assert any("its description is gone" in note for note in reader.spec.notes)
    np.testing.assert_array_equal(found.reshape(-1, 40, 30)[0], STACK[0])


@pytest.mark.parametrize("tag", ["SubIFDs", "ImageDescription"])
def test_what_is_lost_beside_the_pixels_is_offered_and_opens(tag: str, tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.tif", np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=1, tile=(16, 16), description="d" * 99, metadata=None)
        file.write(pixels[::2, ::2], subfiletype=1)
    with tifffile.TiffFile(path) as whole:
        found = whole.pages.first.tags[tag]
        place = found.offset + 8  # its value, or where that lies
    data = bytearray(path.read_bytes())
    data[place : place + 4] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="allow_partial=True"):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    np.testing.assert_array_equal(reader.read((slice(0, 32), slice(0, 32))), pixels)
