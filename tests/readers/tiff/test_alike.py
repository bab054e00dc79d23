"""Files of one header: the pixels of each are its own, and what is unlike is seen."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.opening.open import open_source
from bigimg.readers.registry import open_file
from bigimg.system import files
from bigimg.testing import check_reader
from bigimg.types import Array

PIXELS = np.random.default_rng(6).integers(0, 4000, (2, 40, 50)).astype("u2")
WRITTEN: dict[str, dict[str, object]] = {
    "strips": {"rowsperstrip": 7},
    "big": {"bigtiff": True, "byteorder": ">"},
    "deflate": {"compression": "zlib", "predictor": 2, "rowsperstrip": 7},
    "one": {"compression": "lzw", "rowsperstrip": 40},
    "tiles": {"tile": (16, 32), "compression": "zstd"},
    "turned": {"extratags": [(274, 3, 1, 6, True)]},
    "imagej": {"imagej": True},
}


@pytest.mark.parametrize("name", WRITTEN)
def test_pixels_of_a_file_like_another(name: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.tif" for i in range(2)]
    for path, pixels in zip(paths, PIXELS, strict=True):
        tifffile.imwrite(path, pixels, **WRITTEN[name])
    first, second = map(open_file, paths)
    found = first.like(str(paths[1]))
    assert found is not None
    assert found.source == str(paths[1])
    expected = second.read(full(second.spec.shape))
    check_reader(lambda: first.like(str(paths[1])), expected=expected)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.read(full(second.spec.shape)), expected)


def test_each_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(8):
        tifffile.imwrite(tmp_path / f"{i}.tif", PIXELS[i % 2])
    reader = open_source(tmp_path)
    opened: list[str] = []

    def open_to_read(path: str) -> int:
        opened.append(path)
        return os.open(path, os.O_RDONLY)

    monkeypatch.setattr(files, "open_to_read", open_to_read)
    np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), PIXELS[[0, 1] * 4])
    assert sorted(opened) == sorted(str(tmp_path / f"{i}.tif") for i in range(8))


UNLIKE: dict[str, Callable[[Path], object]] = {
    "another size": lambda path: tifffile.imwrite(path, PIXELS[0, 1:]),
    "another type": lambda path: tifffile.imwrite(path, PIXELS[0].view("i2")),
    "two pages": lambda path: tifffile.imwrite(path, PIXELS, metadata=None),
    "pages in a description": lambda path: tifffile.imwrite(path, PIXELS, imagej=True),
    "another spacing": lambda path: tifffile.imwrite(path, PIXELS[0], resolution=(9, 9)),
    "compressed": lambda path: tifffile.imwrite(path, PIXELS[0], compression="zlib"),
    "cut": lambda path: (tifffile.imwrite(path, PIXELS[0]), path.write_bytes(path.read_bytes()[:-9])),
    "short": lambda path: path.write_bytes(b"II*\0\x08\0\0\0"),
    "no image": lambda path: path.write_bytes(b"words"),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_unlike(name: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "0.tif", PIXELS[0])
    UNLIKE[name](tmp_path / "1.tif")
    assert open_file(tmp_path / "0.tif").like(str(tmp_path / "1.tif")) is None


def test_a_file_that_is_cut_later(tmp_path: Path) -> None:
    def write(path: Path, pixels: Array) -> None:
        tifffile.imwrite(path, pixels)

    for i in range(2):
        write(tmp_path / f"{i}.tif", PIXELS[i])
    found = open_file(tmp_path / "0.tif").like(str(tmp_path / "1.tif"))
    (tmp_path / "1.tif").write_bytes((tmp_path / "1.tif").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"1\.tif"):
        found.read(full(found.spec.shape))
