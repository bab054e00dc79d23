"""What a read allocates beside its result is at most what the reader says: ``read_bytes``, ``fixed_bytes`` if kept."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
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
