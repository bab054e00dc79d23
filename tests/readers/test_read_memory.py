"""What a read allocates beside its result is at most ``read_bytes`` of its reader."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import pytest
import tifffile

from bigimg.geometry.region import full
from bigimg.readers.registry import open_file
from bigimg.readers.tiff import reader as tiff
from bigimg.types import Array
from tests.readers.vendor.slide_files import mrxs

PIXELS = np.random.default_rng(9).integers(0, 9, (6, 1000, 1100)).astype(np.uint16)


def in_one_piece(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "a.h5", "w") as file:
        file["a"] = PIXELS
    return folder / "a.h5"


def one_strip(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", PIXELS.reshape(6000, 1100), rowsperstrip=6000, compression="zlib")
    return folder / "a.tif"


def slide_with_holes(folder: Path) -> Path:
    pytest.importorskip("openslide")
    tiles = PIXELS.view(np.uint8)[:3, :960, :960].reshape(3, 10, 96, 10, 96).transpose(1, 3, 2, 4, 0)
    return mrxs(folder, tiles, absent=[5], fill=0x102030)


@pytest.mark.parametrize(
    "make", [in_one_piece, one_strip, pytest.param(slide_with_holes, marks=pytest.mark.vendors)]
)
def test_a_read_allocates_what_was_said(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "WHOLE_BYTES", 1 << 20)
    reader = open_file(make(tmp_path))
    first = tuple(slice(0, 1) for _ in reader.spec.shape)
    reader.read(first)  # libraries are loaded, the decoder is made
    tracemalloc.start()
    try:
        found: Array = reader.read(full(reader.spec.shape))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - found.nbytes <= reader.access.read_bytes


def test_a_jpeg_xr_is_not_read_to_know_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.jxr"
    path.write_bytes(bytes(imagecodecs.jpegxr_encode(PIXELS[0])))
    open_file(path)
    with open(path, "r+b") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        assert open_file(path).spec.shape == PIXELS[0].shape
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_tables_of_chunks_are_counted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("a", (1 << 12, 1 << 12), "u1", chunks=(4, 4))
        made[:4, :4] = 1
    few = open_file(in_one_piece(tmp_path / "few")).access.fixed_bytes
    tracemalloc.start()
    try:
        many = open_file(tmp_path / "a.h5", allow_partial=True).access.fixed_bytes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert many >= max(peak, few + (1 << 20))  # a million chunks
