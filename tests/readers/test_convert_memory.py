"""Inside the budget: measured peak <= planned <= ``memory`` for files of microscopes, slides and folders of chunks.

``BIGIMG_TEST_MEMORY=1 pytest -s -m nightly`` prints the table.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from pydicom.uid import JPEGBaseline8Bit

from tests.conversion import test_memory as pass_memory
from tests.conversion.test_memory import picture
from tests.readers.dicom.slide_made import slide
from tests.readers.n5.test_n5 import n5 as write_n5
from tests.readers.n5.test_n5 import precomputed as write_precomputed
from tests.readers.vendor.electron_files import dm
from tests.readers.vendor.hdf5_files import bdv as write_bdv
from tests.readers.vendor.leica import image, write_lif
from tests.readers.vendor.nikon import loop, write_nd2
from tests.readers.vendor.slide_files import mrxs as write_mrxs

pytestmark = [pass_memory.pytestmark, pytest.mark.nightly]
STACK = (96, 1000, 1024)


def lif(path: Path) -> None:
    write_lif(path, image("one", picture(STACK, "u2"), "zyx"))


def nd2(path: Path, *, packed: bool) -> None:
    write_nd2(path, picture((48, 1000, 1024, 2), "u2"), [loop(4, 48)], packed=packed)


def dicom(path: Path) -> None:
    tiles, size = [picture((512, 512, 3))] * 144, (12 * 512, 12 * 512)
    made = slide(tiles, size, syntax=JPEGBaseline8Bit, photometric="YBR_FULL_422")
    made.save_as(path, enforce_file_format=True)


def mrxs(path: Path) -> None:
    pytest.importorskip("openslide")
    tiles = np.broadcast_to(picture((512, 512, 3)), (12, 12, 512, 512, 3))
    write_mrxs(path.parent, tiles, absent=range(20, 120, 3))


def dm3(path: Path) -> None:
    pytest.importorskip("openreadout")
    dm(path, picture((6000, 9000), "u2"), version=3)


def n5(path: Path) -> None:
    write_n5(path, picture(STACK, "u2"), chunks=(128, 128, 64))


def precomputed(path: Path) -> None:
    write_precomputed(path, picture((1, *STACK), "u2"), chunk_size=[128, 128, 64])


def bdv(path: Path) -> None:
    stack = picture((96, 512, 512), "u2").view("i2")
    write_bdv(path, {(t, c): stack for t in range(2) for c in range(2)}, [{"channel": c} for c in range(2)])


def in_one_piece(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = picture(STACK, "u2")


def chunks_never_written(path: Path) -> None:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", (4096, 16384), "u1", chunks=(4, 4))
        made[:, :64] = picture((4096, 64))


def tables_of_lzw(path: Path) -> None:
    tifffile.imwrite(path, picture((9000, 9000, 3)), compression="lzw", rowsperstrip=9000)


def windows_of_zstd(path: Path) -> None:
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    rows = picture((12000, 27000))
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    data = b"".join(packer.compress(rows[top : top + 500].tobytes()) for top in range(0, len(rows), 500))
    tifffile.imwrite(
        path, iter([data + packer.flush()]), shape=rows.shape, dtype="u1", rowsperstrip=len(rows), compression="zstd"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "asked"),
    [
        ("a.lif", lif, {"memory": "300MB"}),
        ("a.nd2", lambda path: nd2(path, packed=False), {"memory": "300MB"}),
        ("packed.nd2", lambda path: nd2(path, packed=True), {"memory": "300MB"}),
        ("a.dcm", dicom, {"memory": "350MB"}),
        pytest.param("a.mrxs", mrxs, {"memory": "400MB"}, marks=pytest.mark.vendors),
        pytest.param("a.dm3", dm3, {"memory": "900MB"}, marks=pytest.mark.vendors),
        ("a.n5", n5, {"memory": "350MB"}),
        ("precomputed", precomputed, {"memory": "350MB"}),
        ("a.xml", bdv, {"memory": "300MB"}),
        ("one piece.h5", in_one_piece, {"memory": "300MB"}),
        ("empty chunks.h5", chunks_never_written, {"memory": "300MB", "allow_partial": True}),
        ("lzw.tif", tables_of_lzw, {"memory": "350MB"}),
        ("zstd.tif", windows_of_zstd, {"memory": "450MB"}),
    ],
)
def test_a_conversion_keeps_its_plan(
    name: str, make: Callable[[Path], None], asked: dict[str, Any], tmp_path: Path
) -> None:
    try:
        pass_memory.check((name, make, asked), name, tmp_path)
    finally:
        shutil.rmtree(tmp_path)  # pytest keeps three runs of these files otherwise
