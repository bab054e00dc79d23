"""Streams that the owning libraries code, whole, padded and cut at any byte."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bigimg.readers.codestreams import fax_is_cut, jpeg_is_cut, jxr_is_cut
from tests.readers.tiff.test_reader import noise

GREY = noise((64, 64), "uint8")
DEEP = noise((64, 64), "uint16") >> 4
COLOUR = noise((64, 64, 3), "uint8")


def by_pillow(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, "JPEG", **options)
    return file.getvalue()


def thumbnailed() -> bytes:
    """A JPEG with a whole JPEG in its Exif, whose end marker is not that of the image."""
    inside = b"Exif\0\0" + imagecodecs.jpeg8_encode(GREY[:8, :8])
    coded = by_pillow()
    return coded[:2] + b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside + coded[2:]


JPEGS = {
    "baseline": imagecodecs.jpeg8_encode(GREY),
    "12 bits": imagecodecs.jpeg8_encode(DEEP, bitspersample=12),
    "lossless": imagecodecs.ljpeg_encode(DEEP, bitspersample=12),
    "JPEG-LS": imagecodecs.jpegls_encode(GREY),
    "progressive": by_pillow(progressive=True),
    "restarts": by_pillow(restart_marker_blocks=2),
    "thumbnail": thumbnailed(),
}


@pytest.mark.parametrize("name", JPEGS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_jpeg_ends_with_its_marker(name: str, data: st.DataObject) -> None:
    coded = bytes(JPEGS[name])
    assert not jpeg_is_cut(coded)
    assert not jpeg_is_cut(coded + bytes(13))
    assert jpeg_is_cut(coded[: data.draw(st.integers(2, len(coded) - 1))])


@settings(max_examples=60)
@given(data=st.data())
def test_a_jpeg_xr_ends_where_its_directory_says(data: st.DataObject) -> None:
    coded = imagecodecs.jpegxr_encode(COLOUR)
    assert not jxr_is_cut(coded)
    assert not jxr_is_cut(coded + bytes(13))
    assert jxr_is_cut(coded[: data.draw(st.integers(3, len(coded) - 1))])


@pytest.mark.parametrize("width", range(57, 65))
def test_a_fax_ends_with_its_code(width: int, tmp_path: Path) -> None:
    """Rows of any width, so that the code begins at any bit; in both orders of bits in a byte."""
    Image.fromarray(GREY[:, :width] > 100).save(tmp_path / "a.tif", compression="group4")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        page = tif.pages[0]
        tif.filehandle.seek(page.dataoffsets[0])
        coded = tif.filehandle.read(page.databytecounts[0])
    for whole in (coded, imagecodecs.bitorder_decode(coded)):
        assert not fax_is_cut(whole)
        assert not fax_is_cut(whole + bytes(9))
        assert all(fax_is_cut(whole[:size]) for size in range(len(whole) - 4))
