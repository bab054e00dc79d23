"""Files behind addresses, read by ranges: the pixels of the file on disk, in few requests, and no byte of a hole."""

from __future__ import annotations

import pickle
from contextlib import closing
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile

import bigimg
from bigimg.errors import InputError, UsageError
from bigimg.opening import by_ranges
from bigimg.opening import open as opening
from bigimg.places import ranges
from bigimg.places.http import Patience
from tests.places.buckets import point, put
from tests.places.server import serving, status

ranges_patience = Patience(tries=2, first_wait=0.01)
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 255, (700, 900, 3), np.uint8)
STACK = RNG.integers(0, 999, (9, 200, 300), np.uint16)
FILES: dict[str, Any] = {
    "tiles.tif": lambda p: tifffile.imwrite(p, PICTURE, tile=(64, 64), photometric="rgb"),
    "coded.tif": lambda p: tifffile.imwrite(p, PICTURE, tile=(64, 64), compression="deflate", photometric="rgb"),
    "strips.tif": lambda p: tifffile.imwrite(p, STACK, rowsperstrip=16, compression="lzw", metadata={"axes": "ZYX"}),
    "pages.tif": lambda p: tifffile.imwrite(p, STACK, imagej=True, metadata={"axes": "ZYX"}),
    "big.btf": lambda p: tifffile.imwrite(p, STACK, bigtiff=True, ome=True, metadata={"axes": "ZYX"}),
    "swapped.tif": lambda p: tifffile.imwrite(p, STACK, byteorder=">", metadata={"axes": "ZYX"}),
    "a.nii": lambda p: nibabel.save(nibabel.Nifti1Image(STACK.T.astype(np.int16), np.diag([1, 2, 3, 1])), p),
    "a.npy": lambda p: np.save(p, STACK),
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGIMG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # So that these small files have holes.
    monkeypatch.setattr(by_ranges, "HEAD_BYTES", 4096)
    monkeypatch.setattr(ranges, "GAP_BYTES", 2048)


@pytest.fixture(params=["http", "s3"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    with serving() as loopback:
        if request.param == "s3":
            pytest.importorskip("obstore")
            point(monkeypatch, loopback.url("").rstrip("/"))
        loopback.kind = request.param  # type: ignore[attr-defined]
        yield loopback


def address_of(server: Any, path: Path) -> str:
    address = put(server, f"s3://bucket/{path.name}", path.read_bytes())
    return address if server.kind == "s3" else str(server.url(f"/bucket/{path.name}"))


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_are_those_of_the_file(server: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FILES[name](path)
    address = address_of(server, path)
    with closing(opening.open_source(path)) as local:
        reader = opening.open_source(address, fetch="ranges")
        assert "read by ranges, as was asked for" in reader.access.why
        assert server.sent < path.stat().st_size / 2
        assert (reader.spec.shape, reader.spec.axes) == (local.spec.shape, local.spec.axes)
        whole = tuple(slice(0, n) for n in local.spec.shape)
        some = tuple(slice(n // 3, n // 3 + max(1, n // 5)) for n in local.spec.shape)
        for region in (some, whole):
            np.testing.assert_array_equal(reader.read(region), local.read(region))
        reader.close()
        np.testing.assert_array_equal(reader.read(some), local.read(some))
        again = pickle.loads(pickle.dumps(reader))
        np.testing.assert_array_equal(again.read(some), local.read(some))


def test_the_plan_says_which_and_why(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "coded.tif"
    FILES["coded.tif"](path)
    address = address_of(server, path)
    monkeypatch.setattr(by_ranges, "LEAST_BYTES", 1_000_000)
    said = str(bigimg.plan(address, tmp_path / "a.ome.zarr"))
    assert "read by ranges, as it has 0.00 GB (fetch='whole' fetches it first)" in said
    assert "by ranges" not in str(bigimg.plan(address, tmp_path / "a.ome.zarr", fetch="whole"))
    monkeypatch.setattr(by_ranges, "LEAST_BYTES", 10**9)  # and now it is here already
    assert "by ranges" not in str(bigimg.plan(address, tmp_path / "a.ome.zarr"))


def test_a_conversion_by_ranges(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "coded.tif"
    FILES["coded.tif"](path)
    address = address_of(server, path)
    bigimg.convert(address, tmp_path / "a.ome.zarr", fetch="ranges", progress=False)
    np.testing.assert_array_equal(np.moveaxis(bigimg.imread(tmp_path / "a.ome.zarr"), -1, -1), PICTURE)
    assert bigimg.verify(tmp_path / "a.ome.zarr", source=path).ok
    assert server.sent < 1.3 * path.stat().st_size


def test_levels_of_the_file_come_from_there_too(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "levels.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PICTURE, tile=(64, 64), photometric="rgb", subifds=1)
        file.write(PICTURE[::2, ::2], tile=(64, 64), photometric="rgb", subfiletype=1)
    reader = opening.open_source(address_of(server, path), fetch="ranges")
    (coarse,) = reader.coarser  # type: ignore[attr-defined]
    whole = (slice(0, 3), slice(0, 350), slice(0, 450))
    np.testing.assert_array_equal(coarse().read(whole), np.moveaxis(PICTURE[::2, ::2], -1, 0))


@pytest.mark.parametrize("how", [None, "deflate"])
def test_neighbours_come_together(how: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "GAP_BYTES", 256 << 10)
    path = tmp_path / "tiles.tif"
    tifffile.imwrite(path, PICTURE, tile=(64, 64), photometric="rgb", compression=how)
    with serving() as server:
        server.files["/tiles.tif"] = path.read_bytes()
        reader = opening.open_source(server.url("/tiles.tif"), fetch="ranges")
        before = len(server.asked)
        reader.read((slice(0, 3), slice(0, 256), slice(0, 256)))  # 16 tiles
        assert len(server.asked) - before == 1


def test_a_change_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "Patience", lambda: ranges_patience)
    path = tmp_path / "a.npy"
    np.save(path, STACK)
    with serving() as server:
        server.files["/a.npy"] = path.read_bytes()
        reader = opening.open_source(server.url("/a.npy"), fetch="ranges")
        server.faults["/a.npy"] = [status(503)]
        reader.read(tuple(slice(0, 1) for _ in STACK.shape))
        np.save(path, STACK + 1)
        server.files["/a.npy"] = path.read_bytes()
        with pytest.raises(InputError, match="the file was changed while it was read"):
            reader.read(tuple(slice(0, n) for n in STACK.shape))


def test_what_cannot_be_read_so(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(STACK.T.astype(np.int16), np.eye(4)), path)
    address = address_of(server, path)
    with pytest.raises(
        UsageError, match=r"fetch='ranges' was asked for, and it is no TIFF and no uncompressed"
    ):
        bigimg.open(address, fetch="ranges")
    with pytest.raises(UsageError, match="fetch='some': give 'whole', 'ranges'"):
        bigimg.open(address, fetch="some")  # type: ignore[arg-type]
    if server.kind == "http":
        server.ranges = False
        with pytest.raises(UsageError, match="its server gives no parts of files"):
            bigimg.open(address, fetch="ranges")
