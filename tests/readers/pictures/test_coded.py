"""JPEG-LS, lossless JPEG and JPEG of more than 8 bits, as imagecodecs decodes them."""

from __future__ import annotations

import pickle
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.types import Array

SHAPE = (41, 57)


def ramp(bits: int, *samples: int) -> Array:
    values = np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) * 977 % (1 << bits)
    picture = np.broadcast_to(values[..., None], (*SHAPE, *samples)) if samples else values
    return np.ascontiguousarray(picture).astype(np.uint8 if bits <= 8 else np.uint16)


def pixels_of(reader: Reader) -> Array:
    pixels = reader.read(full(reader.spec.shape))
    return np.moveaxis(pixels, 0, 2) if pixels.ndim == 3 else pixels


LOSSY = {
    "lossy12": imagecodecs.jpeg8_encode(ramp(12), level=98, bitspersample=12),
    "lossy12rgb": imagecodecs.jpeg8_encode(ramp(12, 3), level=98, bitspersample=12),
}
LOSSLESS = {
    **{
        f"lossless{n}": imagecodecs.jpeg8_encode(ramp(n), lossless=True, bitspersample=n)
        for n in (8, 10, 12, 16)
    },
    "lossless16rgb": imagecodecs.jpeg8_encode(ramp(16, 3), lossless=True, bitspersample=16),
    "ls8": imagecodecs.jpegls_encode(ramp(8)),
    "ls16": imagecodecs.jpegls_encode(ramp(16)),
    "ls8rgb": imagecodecs.jpegls_encode(ramp(8, 3)),
}


@pytest.mark.parametrize("name", [*LOSSY, *LOSSLESS])
def test_values_are_those_of_the_codec(tmp_path: Path, name: str) -> None:
    data = (LOSSY | LOSSLESS)[name]
    expected = (imagecodecs.jpegls_decode if name.startswith("ls") else imagecodecs.jpeg8_decode)(data)
    path = tmp_path / ("a.jls" if name.startswith("ls") else "a.jpg")
    path.write_bytes(data)
    reader = pickle.loads(pickle.dumps(open_file(path)))
    assert reader.spec.dtype == expected.dtype
    assert np.array_equal(pixels_of(reader), expected)
    for size in range(4, len(data) - 2, len(data) // 30):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match="damaged"):
            pixels_of(open_file(path))


def test_the_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = LOSSLESS["lossless12"]
    body = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body + data[2:])
    reader = open_file(tmp_path / "a.jpg")
    assert np.array_equal(reader.read(full(reader.spec.shape)), np.rot90(ramp(12), -1))


def test_what_nothing_decodes_is_refused_by_name(tmp_path: Path) -> None:
    lossless = LOSSLESS["lossless12"]
    (tmp_path / "a.jpg").write_bytes(lossless.replace(b"\xff\xc3", b"\xff\xc7", 1))
    with pytest.raises(InputError, match="hierarchical JPEG"):
        open_file(tmp_path / "a.jpg")
    four = imagecodecs.jpegls_encode(ramp(8, 4))
    (tmp_path / "a.jls").write_bytes(four)
    with pytest.raises(InputError, match="JPEG-LS with 4 samples"):
        open_file(tmp_path / "a.jls")
