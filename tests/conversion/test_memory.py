"""Inside the budget: measured peak <= planned peak <= ``memory``, in a process of its own for each reader.

The sources are some hundred megabytes decoded and the budgets small, so that pixels decide and not imports.
A child resets the kernel's high-water mark once bigimg is imported, converts, and tells what it reached.
``BIGIMG_TEST_MEMORY=1 pytest -s`` prints the table.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigimg.faces.convert import convert_to_store
from bigimg.types import Array, Shape

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the high-water mark of memory is Linux's to tell"
)

CHILD = """\
import json, sys
import numpy as np
from bigimg.faces.convert import convert_to_store
from bigimg.readers.demo import SlideReader
from bigimg.system import os_calls

if sys.argv[4] == "portable":
    os_calls.found = os_calls.OsCalls()

def reset():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def lazy():
    import dask.array as da
    return da.random.default_rng(0).integers(0, 4000, (256, 1024, 512), np.uint16, chunks=(64, 512, 512))

source, target, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if source == "dask":
    source = lazy()
elif source.startswith("slide"):
    source = SlideReader(*map(int, source[5:].split("x")))
reset()
plan = convert_to_store(source, target, progress=False, **asked).plan
print(json.dumps({
    "measured": peak(), "planned": plan.peak_bytes, "budget": plan.budget_bytes,
    "read": plan.traversal.kind, "workers": plan.workers, "bands": plan.bands,
    "lines": {line.name: round(line.bytes / 1e6) for line in plan.memory},
}))
"""


def measured(source: str | Path, target: Path, way: str = "system", **asked: object) -> dict[str, Any]:
    """Convert in a child and return what it planned and what it reached."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(source), str(target), json.dumps(asked), way],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    found: dict[str, Any] = json.loads(child.stdout)
    return found


def picture(shape: Shape, dtype: str = "u1") -> Array:
    """Return seeded pixels that compress like a scan: a texture, repeated with a slope."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 40, [min(n, 256) for n in shape], np.uint8).astype(dtype)
    tiled = np.tile(texture, [-(-n // m) for n, m in zip(shape, texture.shape, strict=True)])
    return tiled[tuple(slice(0, n) for n in shape)]


def slope(rows: slice) -> Array:
    return (np.arange(rows.start, rows.stop) // 64 % 200).astype(np.uint8)


def tiff(path: Path, shape: Shape, dtype: str = "u1", **options: object) -> None:
    import tifffile

    tifffile.imwrite(path, picture(shape, dtype), **options)


def png(path: Path, shape: Shape) -> None:
    """Write a streamed PNG, rows filtered by none."""
    height, width, channels = shape
    band = picture((256, width, channels)).reshape(256, -1)
    lines = np.zeros((256, width * channels + 1), np.uint8)
    lines[:, 1:] = band

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(
            chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0))
        )
        deflate = zlib.compressobj(1)
        for top in range(0, height, 256):
            lines[:, 1::channels] = (band[:, ::channels] + slope(slice(top, top + 256))[:, None]).astype(
                np.uint8
            )
            file.write(chunk(b"IDAT", deflate.compress(lines[: height - top].tobytes())))
        file.write(chunk(b"IDAT", deflate.flush()) + chunk(b"IEND", b""))


def interlaced_png(path: Path, shape: Shape) -> None:
    import pyvips

    pyvips.Image.new_from_array(picture(shape)).pngsave(str(path), interlace=True, compression=1)


def jpeg(path: Path, shape: Shape) -> None:
    from PIL import Image

    Image.fromarray(picture(shape)).save(path, quality=80)


def nifti(path: Path, shape: Shape, dtype: str) -> None:
    import nibabel

    nibabel.Nifti1Image(picture(shape, dtype), np.diag([0.5, 0.5, 2, 1])).to_filename(path)


def zipped_nifti(path: Path, shape: Shape, dtype: str) -> None:
    from isal import igzip

    plain = path.with_suffix("")
    nifti(plain, shape, dtype)
    with open(plain, "rb") as file, igzip.open(path, "wb", compresslevel=0) as out:
        while block := file.read(1 << 24):
            out.write(block)
    plain.unlink()


def npy(path: Path, shape: Shape, dtype: str) -> None:
    np.save(path, picture(shape, dtype))


def planes(path: Path, shape: Shape, dtype: str, ending: str, **options: object) -> None:
    """Write one file for each plane of a volume."""
    import pyvips

    path.mkdir()
    plane = picture(shape[1:], dtype)
    for i in range(shape[0]):
        shifted = np.roll(plane, i)
        if ending == ".tif":
            import tifffile

            tifffile.imwrite(path / f"{i:04d}.tif", shifted, **options)
        else:
            pyvips.Image.new_from_array(shifted).pngsave(str(path / f"{i:04d}.png"), compression=1)


def zipped_npy(path: Path, shape: Shape, dtype: str) -> None:
    """Write a zip file with one member, at ``file.zip::member``."""
    import zipfile

    archive, _, member = str(path).partition("::")
    npy(path.with_name(member), shape, dtype)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.write(path.with_name(member), member)
    path.with_name(member).unlink()


def dicom(folder: Path, shape: Shape) -> None:
    """Write one file a slice."""
    from tests.readers.dicom import dicom_files

    dicom_files.series(folder, picture(shape, "i2"))


def dicom_jpeg(path: Path, shape: Shape) -> None:
    """Write frames of a clip in colour."""
    from io import BytesIO

    from PIL import Image
    from pydicom.encaps import encapsulate

    from tests.readers.dicom import dicom_files

    frames, *_ = shape
    data = BytesIO()
    Image.fromarray(picture(shape[1:])).save(data, "jpeg", quality=80)
    made = dicom_files.header(np.zeros((frames, 2, 2, 3), np.uint8), colour=True, FrameTime=40.0)
    made.Rows, made.Columns = shape[1:3]
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    made.PhotometricInterpretation = "YBR_FULL_422"
    made.PixelData = encapsulate([data.getvalue()] * frames)
    dicom_files.save(made, path)


def zarr_array(path: Path, shape: Shape, dtype: str, chunks: Shape) -> None:
    import zarr

    zarr.create_array(path, data=picture(shape, dtype), chunks=chunks)


CASES: dict[str, tuple[str, Callable[[Path], None] | None, dict[str, object]]] = {
    # why: (source, how it is made, options)
    "tiles, deflate": (
        "a.tif",
        lambda p: tiff(p, (9000, 9000, 3), tile=(512, 512), compression="zlib", compressionargs={"level": 1}),
        {"memory": "384MB"},
    ),
    "tiles, plain": ("a.tif", lambda p: tiff(p, (10000, 12000, 3), tile=(256, 256)), {"memory": "384MB"}),
    "strips, plain": ("a.tif", lambda p: tiff(p, (10000, 12000, 3), rowsperstrip=64), {"memory": "384MB"}),
    "strips, deflate": (
        "a.tif",
        lambda p: tiff(p, (9000, 9000, 3), rowsperstrip=64, compression="zlib", compressionargs={"level": 1}),
        {"memory": "512MB"},
    ),
    "uint16 volume": (
        "a.tif", lambda p: tiff(p, (192, 1024, 1024), "u2", photometric="minisblack"), {"memory": "384MB"},
    ),
    "float64 volume": ("a.tif", lambda p: tiff(p, (64, 1024, 512), "f8"), {"memory": "512MB"}),
    "png": ("a.png", lambda p: png(p, (10000, 10000, 3)), {"memory": "512MB"}),
    "png through scratch": ("a.png", lambda p: png(p, (4500, 40000, 3)), {"memory": "384MB"}),
    "png, interlaced": ("a.png", lambda p: interlaced_png(p, (5000, 6000, 3)), {"memory": "384MB"}),
    "jpeg": ("a.jpg", lambda p: jpeg(p, (9000, 9000, 3)), {"memory": "512MB"}),
    "nifti": ("a.nii", lambda p: nifti(p, (512, 512, 400), "i2"), {"memory": "384MB"}),
    "nifti, gzip": ("a.nii.gz", lambda p: zipped_nifti(p, (512, 512, 400), "i2"), {"memory": "512MB"}),
    "nifti, float64, gzip": ("a.nii.gz", lambda p: zipped_nifti(p, (320, 320, 256), "f8"), {"memory": "512MB"}),
    "folder of tiffs": (
        "planes", lambda p: planes(p, (256, 1024, 1024), "u2", ".tif"), {"memory": "384MB"},
    ),
    "folder of deflated tiffs": (
        "planes",
        lambda p: planes(p, (64, 1500, 2000), "u2", ".tif", compression="zlib", compressionargs={"level": 1}),
        {"memory": "512MB"},
    ),
    "folder of pngs": ("planes", lambda p: planes(p, (32, 3000, 3000), "u1", ".png"), {"memory": "512MB"}),
    "member of a zip file": ("a.zip::a.npy", lambda p: zipped_npy(p, (10000, 12000), "u2"), {"memory": "256MB"}),
    "npy": ("a.npy", lambda p: npy(p, (10000, 12000), "u2"), {"memory": "256MB"}),
    "dicom, 300 slices": ("series", lambda p: dicom(p, (300, 512, 512)), {"memory": "384MB"}),
    "dicom, JPEG": ("a.dcm", lambda p: dicom_jpeg(p, (40, 1536, 1024, 3)), {"memory": "384MB"}),
    "labels by mode": (
        "a.npy", lambda p: npy(p, (256, 512, 512), "u4"), {"memory": "512MB", "kind": "labels"},
    ),
    "gaussian": ("a.npy", lambda p: npy(p, (10000, 12000), "u2"), {"memory": "384MB", "method": "gaussian"}),
    "zarr": ("a.zarr", lambda p: zarr_array(p, (256, 1024, 512), "u2", (64, 128, 128)), {"memory": "512MB"}),
    "zarr, large chunks": (
        "a.zarr", lambda p: zarr_array(p, (256, 1024, 512), "u2", (16, 1024, 512)), {"memory": "512MB"},
    ),
    "dask": ("dask", None, {"memory": "512MB"}),
    "virtual slide": ("slide16384x16384", None, {"memory": "256MB"}),
    "virtual slide, a file a chunk": ("slide8192x8192", None, {"memory": "256MB", "ome_version": "0.4"}),
}  # fmt: skip

NIGHTLY: dict[str, tuple[str, Callable[[Path], None] | None, dict[str, object]]] = {
    "the png of the lesson, 17360 x 18701": (
        "a.png", lambda p: png(p, (17360, 18701, 3)), {"memory": "512MB"},
    ),
    "3.2 GB of tiles": (
        "a.tif", lambda p: tiff(p, (32768, 32768, 3), tile=(512, 512)), {"memory": "384MB"},
    ),
    "30 GB without a file": ("slide100000x100000", None, {"memory": "512MB"}),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose content is gone after the test: pytest keeps three runs of these gigabytes otherwise."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def check(
    case: tuple[str, Callable[[Path], None] | None, dict[str, object]],
    name: str,
    folder: Path,
    way: str = "system",
) -> None:
    source, make, asked = case
    path: str | Path = source
    if make is not None:
        path = folder / source
        make(path)
    found = measured(path, folder / "out.ome.zarr", way, **asked)
    if os.environ.get("BIGIMG_TEST_MEMORY"):
        numbers = " | ".join(f"{found[key] / 1e6:5.0f}" for key in ("measured", "planned", "budget"))
        how = f"{found['read']}, {found['workers']} workers, {found['bands']} bands"
        print(f"\n| {name:24} | {numbers} | {how} | {found['lines']} |")
    assert found["measured"] <= found["planned"], found
    assert found["planned"] <= found["budget"], found


@pytest.mark.parametrize("name", CASES)
def test_measured_within_planned_within_budget(name: str, folder: Path):
    check(CASES[name], name, folder)
    if "scratch" in name:
        assert not list(folder.glob("*scratch*"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "npy" else pytest.mark.nightly) for name in CASES]
)
def test_the_same_with_portable_parts(name: str, folder: Path):
    check(CASES[name], name, folder, "portable")


@pytest.mark.nightly
@pytest.mark.parametrize("name", NIGHTLY)
def test_the_same_for_gigabytes(name: str, folder: Path):
    check(NIGHTLY[name], name, folder)


@pytest.mark.nightly
def test_a_store_of_many_small_shards_stays_within(folder: Path) -> None:
    """Indices that were kept as arrays of their own held 15 kB a shard: 242 MB of 152."""
    rng = np.random.default_rng(0)
    row = rng.integers(0, 40, (3, 128, 12000), np.uint8)

    def make(path: Path) -> None:
        convert_to_store(np.tile(row, (1, 93, 1)), path, chunks=128, shards=256, progress=False)

    check(("many.ome.zarr", make, {"memory": "300MB"}), "many small shards", folder)
