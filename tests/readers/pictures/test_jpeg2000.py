"""JPEG 2000: precision, sign and tiles as OpenJPEG decodes them, by imagecodecs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.types import Array

SHAPE = (130, 101)


def noise(bits: int, *shape: int, signed: bool = False) -> Array:
    low = -(1 << bits - 1) if signed else 0
    kind = ("i" if signed else "u") + ("1" if bits <= 8 else "2" if bits <= 16 else "4")
    return np.random.default_rng(bits).integers(low, low + (1 << bits), shape).astype(kind)


def pixels_of(reader: Reader) -> Array:
    pixels = reader.read(full(reader.spec.shape))
    return np.moveaxis(pixels, 0, 2) if reader.spec.dims[0] == "c" else pixels


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("bits", "signed"), [(3, False), (4, False), (8, True), (10, True), (12, False), (20, False)]
)
def test_precision_and_sign_come_from_the_codestream(
    tmp_path: Path, codec: str, samples: int, bits: int, *, signed: bool
) -> None:
    pixels = noise(bits, *SHAPE, samples, signed=signed).squeeze()
    data = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, bitspersample=bits, codecformat=codec)
    expected = imagecodecs.jpeg2k_decode(data)
    assert np.array_equal(expected, pixels)
    (tmp_path / f"a.{codec}").write_bytes(data)
    reader = open_file(tmp_path / f"a.{codec}")
    assert (reader.spec.dtype, reader.access.kind) == (expected.dtype, "whole")
    assert np.array_equal(pixels_of(reader), expected)


def test_a_sample_of_more_bits_than_openjpeg_decodes_is_refused(tmp_path: Path) -> None:
    data = imagecodecs.jpeg2k_encode(
        noise(26, *SHAPE), level=0, reversible=True, bitspersample=26, codecformat="j2k"
    )
    (tmp_path / "a.j2k").write_bytes(data)
    with pytest.raises(InputError, match="26 bits"):
        open_file(tmp_path / "a.j2k")


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize(
    "options",
    [
        {"tile_size": (64, 48)},
        {"tile_size": (64, 48), "offset": (37, 21), "tile_offset": (10, 5)},
        {"tile_size": (40, 40), "num_resolutions": 3, "progression": "RPCL", "precinct_size": (32, 32)},
        {"tile_size": (56, 56), "irreversible": True, "mct": 0},
        {"tile_size": (64, 64), "offset": (60, 60), "plt": True},
    ],
    ids=["plain", "offsets", "precincts", "lossy", "far"],
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_tiles_are_read_alone(tmp_path: Path, mode: str, codec: str, options: dict[str, Any]) -> None:
    path = tmp_path / f"a.{codec}"
    Image.fromarray(noise(8, *SHAPE, 3)).convert(mode).save(
        path, "JPEG2000", no_jp2=codec == "j2k", **options
    )
    expected = imagecodecs.jpeg2k_decode(path.read_bytes())
    reader = pickle.loads(pickle.dumps(open_file(path)))
    assert reader.access.kind == "random"
    assert reader.spec.chunks[-2:] == options["tile_size"][::-1]
    assert np.array_equal(pixels_of(reader), expected)
    part = (*[slice(0, n) for n in reader.spec.shape[:-2]], slice(33, 101), slice(45, 46))
    assert np.array_equal(np.moveaxis(reader.read(part), 0, -1) if mode == "RGB" else reader.read(part),
                          expected[33:101, 45:46])  # fmt: skip


def test_a_cut_or_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jp2"
    Image.fromarray(noise(8, *SHAPE)).save(path, tile_size=(64, 64))
    whole = bytes(imagecodecs.jpeg2k_encode(noise(8, *SHAPE), level=0, reversible=True, codecformat="j2k"))
    for data in (path.read_bytes(), whole):
        for size in range(0, len(data) - 2, max(len(data) // 40, 1)):
            path.write_bytes(data[:size])
            with pytest.raises(InputError, match=r"a\.jp2"):
                pixels_of(open_file(path))


def test_an_icc_profile_changes_no_value(tmp_path: Path) -> None:
    pixels = noise(8, *SHAPE, 3)
    data = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="jp2"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    at, header = data.find(b"colr") - 4, data.find(b"jp2h") - 4
    old = int.from_bytes(data[at : at + 4])
    box = (len(profile) + 11).to_bytes(4) + b"colr\2\0\0" + profile
    grown = int.from_bytes(data[header : header + 4]) - old + len(box)
    data = data[:header] + grown.to_bytes(4) + data[header + 4 : at] + box + data[at + old :]
    (tmp_path / "a.jp2").write_bytes(data)
    reader = open_file(tmp_path / "a.jp2")
    assert reader.spec.meta["icc_profile"] is True
    assert np.array_equal(pixels_of(reader), pixels)


def test_real_files(data: Path) -> None:
    for path in sorted((data / "jp2").iterdir()):
        reader = open_file(path)
        expected = imagecodecs.jpeg2k_decode(path.read_bytes())
        assert reader.spec.dtype == expected.dtype
        assert np.array_equal(pixels_of(reader), expected), path.name
        reader.close()


def test_other_colours_and_unlike_components(tmp_path: Path) -> None:
    """YCbCr of 8 bits becomes RGB as Pillow has it; components of 4 and 8 bits are refused by name."""
    path = tmp_path / "a.jp2"
    Image.fromarray(noise(8, *SHAPE, 3)).convert("YCbCr").save(path)
    with Image.open(path) as image:
        assert np.array_equal(pixels_of(open_file(path)), np.asarray(image.convert("RGB")))
    data = bytearray(
        imagecodecs.jpeg2k_encode(noise(8, *SHAPE, 3), level=0, reversible=True, codecformat="j2k")
    )
    data[42] = 3  # bits of the first component, less 1
    (tmp_path / "a.j2k").write_bytes(data)
    with pytest.raises(InputError, match="4 bits, 8 bits, 8 bits"):
        open_file(tmp_path / "a.j2k")
