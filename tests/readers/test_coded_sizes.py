"""What a coded picture says of its size, compared with what imagecodecs coded; nothing larger is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate

import bigimg
from bigimg.errors import InputError
from bigimg.readers.coded_sizes import check_coded_size
from bigimg.types import Array
from tests.readers.dicom import dicom_files

GREY = np.random.default_rng(5).integers(0, 255, (70, 45), np.uint8)
RGB = np.random.default_rng(5).integers(0, 255, (70, 45, 3), np.uint8)


def by_pillow(array: Array, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, name, **options)
    return file.getvalue()


CODED: dict[str, tuple[Callable[[Array], bytes], Array, int]] = {
    # what it is: the coder, the picture, and the samples that its header tells
    "JPEG": (imagecodecs.jpeg8_encode, GREY, 1),
    "JPEG, colour": (imagecodecs.jpeg8_encode, RGB, 3),
    "JPEG, progressive": (lambda a: by_pillow(a, "JPEG", progressive=True), RGB, 3),
    "JPEG, 12 bits": (lambda a: imagecodecs.jpeg8_encode(a, bitspersample=12), GREY.astype("u2"), 1),
    "JPEG, lossless": (lambda a: imagecodecs.ljpeg_encode(a, bitspersample=16), GREY.astype("u2"), 1),
    "JPEG-LS": (imagecodecs.jpegls_encode, GREY.astype("u2"), 1),
    "JPEG 2000": (lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k"), RGB, 3),
    "JPEG 2000 in boxes": (lambda a: imagecodecs.jpeg2k_encode(a, codecformat="jp2"), GREY, 1),
    "JPEG XL": (imagecodecs.jpegxl_encode, GREY, 1),
    "JPEG XL, of eights": (imagecodecs.jpegxl_encode, GREY[:64, :40], 1),
    "JPEG XL, square": (imagecodecs.jpegxl_encode, GREY[:45], 1),
    "JPEG XL, 4 to 3": (imagecodecs.jpegxl_encode, GREY[:30, :40], 1),
    "JPEG XL, wide": (imagecodecs.jpegxl_encode, np.resize(GREY, (3, 9001)), 1),
    "JPEG XL in boxes": (lambda a: imagecodecs.jpegxl_encode(a, usecontainer=True), GREY, 1),
    "WebP": (lambda a: imagecodecs.webp_encode(a, level=70, lossless=False), RGB, 1),
    "WebP, lossless": (lambda a: imagecodecs.webp_encode(a, lossless=True), RGB, 1),
    "WebP, in an extended file": (lambda a: by_pillow(a, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"), RGB, 1),
    "JPEG XR": (imagecodecs.jpegxr_encode, GREY, 1),
    "PNG": (imagecodecs.png_encode, GREY, 1),
    "LERC": (imagecodecs.lerc_encode, GREY, 1),
    "LERC, colour": (imagecodecs.lerc_encode, RGB, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", CODED)
def test_sizes_are_those_of_the_coder(name: str) -> None:
    encode, array, samples = CODED[name]
    data = encode(array)
    values = array.shape[0] * array.shape[1] * samples
    check_coded_size(data, values)
    with pytest.raises(ValueError, match=f"is {array.shape[0]} x {array.shape[1]} of {samples} sample"):
        check_coded_size(data, values - 1)


@pytest.mark.parametrize("name", CODED)
def test_a_picture_cut_within_its_header_tells_no_size(name: str) -> None:
    """Whatever is left of it: told, or left to the decoder, which sees the end too."""
    encode, array, _ = CODED[name]
    data = encode(array)
    for end in range(60):
        try:
            check_coded_size(data[:end], 1 << 40)
        except ValueError as error:
            assert "is cut within its header" in str(error)  # noqa: PT017


def claims(data: bytes, name: str) -> bytes:
    """Return a coded picture of 64 x 64 whose header says 16000 x 16000."""
    changed = bytearray(data)
    if name == "jpeg":
        struct.pack_into(">HH", changed, data.index(b"\xff\xc0") + 5, 16000, 16000)
    elif name == "jpeg2000":
        struct.pack_into(">II", changed, data.index(b"\xff\x51") + 6, 16000, 16000)
        struct.pack_into(">II", changed, data.index(b"\xff\x51") + 22, 16000, 16000)
    elif name == "webp":
        struct.pack_into("<I", changed, 21, 15999 | 15999 << 14)
    elif name == "png":
        struct.pack_into(">II", changed, 16, 16000, 16000)
        struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    elif name == "jpegxr":
        struct.pack_into(">HH", changed, data.index(b"WMPHOTO\0") + 12, 15999, 15999)
    else:
        struct.pack_into("<II", changed, 14, 16000, 16000)
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "code"),
    [("jpeg", 7), ("jpeg2000", 34712), ("webp", 50001), ("png", 34933), ("jpegxr", 34934), ("lerc", 34887)],
)
def test_a_tile_that_says_it_is_larger_is_not_decoded(name: str, code: int, tmp_path: Path) -> None:
    array = np.zeros((64, 64, 3), np.uint8) if name == "webp" else np.zeros((64, 64), np.uint8)
    encode = {
        "jpeg": imagecodecs.jpeg8_encode, "jpeg2000": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k"),
        "webp": lambda a: imagecodecs.webp_encode(a, lossless=True), "png": imagecodecs.png_encode,
        "jpegxr": imagecodecs.jpegxr_encode, "lerc": imagecodecs.lerc_encode,
    }[name]  # fmt: skip
    tile = encode(array)
    for path, tiles in (("whole.tif", [tile] * 2), ("wrong.tif", [tile, claims(tile, name)])):
        tifffile.imwrite(
            tmp_path / path, iter(tiles), shape=(64, 128, *array.shape[2:]), dtype=np.uint8, tile=(64, 64),
            compression=code, photometric="rgb" if name == "webp" else "minisblack", metadata=None,
        )  # fmt: skip
    assert (bigimg.imread(tmp_path / "whole.tif") == 0).all()
    with pytest.raises(InputError, match=r"wrong.tif: page 0, tile 1 .*is 16000 x 16000 of 1 sample"):
        bigimg.imread(tmp_path / "wrong.tif")


@pytest.mark.parametrize("name", ["jpeg", "jpeg2000"])
def test_a_frame_that_says_it_is_larger_is_not_decoded(name: str, tmp_path: Path) -> None:
    frame = np.zeros((64, 64), np.uint8)
    encode, syntax = {
        "jpeg": (imagecodecs.jpeg8_encode, "1.2.840.10008.1.2.4.50"),
        "jpeg2000": (
            lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True),
            "1.2.840.10008.1.2.4.90",
        ),
    }[name]
    made = dicom_files.header(frame)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([claims(encode(frame), name)])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    dicom_files.save(made, tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"a.dcm: frame 0 cannot be decoded .*is 16000 x 16000 of 1 sample"):
        bigimg.imread(tmp_path / "a.dcm")
