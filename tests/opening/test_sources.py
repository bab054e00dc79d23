"""Images open from wherever they lie, pixel for pixel, under a name without secrets; copies are gone afterwards."""

from __future__ import annotations

import functools
import gc
import io
import os
import pickle
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

import bigimg
from bigimg.errors import (
    BigimgError,
    InputError,
    InputNotFoundError,
    MissingExtraError,
    ResumeError,
    UnknownFormatError,
    UsageError,
)
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.tree import tree_of
from bigimg.opening.open import open_source
from bigimg.places import download
from bigimg.places import http as asking
from bigimg.places.staging import staging_folder
from bigimg.testing import check_reader
from bigimg.types import Array
from bigimg.version import install_line
from tests.conversion.test_commit import ASKED, interrupted
from tests.places.conftest import cache, server
from tests.places.server import Fault, Loopback, changed, chunked, redirect, short, status, whole
from tests.running import bigimg as command

__all__ = ["cache", "server"]


def numbers(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(5).integers(0, 200, shape).astype(dtype)


PIXELS = numbers(60, 50, 3)
VOLUME = numbers(5, 7, 9, dtype="i2")


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


def tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, tile=(16, 16), compression="zlib", photometric="rgb")
    return file.getvalue()


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A zip file that holds a picture, a NIfTI pair and a folder of planes."""
    nibabel.save(nibabel.Nifti1Pair(VOLUME.T, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "brain.img")
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("deep/rat.png", png())
        for name in ("brain.hdr", "brain.img"):
            file.write(tmp_path / name, f"scans/{name}")
            (tmp_path / name).unlink()
        for i, plane in enumerate(VOLUME):
            page = io.BytesIO()
            tifffile.imwrite(page, plane)
            file.writestr(f"planes/z{i}.tif", page.getvalue())
    return path


def left(folder: Path) -> list[Path]:
    gc.collect()
    return list(folder.glob("temporary/*"))


@pytest.mark.parametrize("path", ["/rat.png", "/download", "/rat.png?version=2"])
def test_a_picture_behind_a_url(server: Loopback, path: str) -> None:
    server.files[path.partition("?")[0]] = png()
    url = server.url(path)
    np.testing.assert_array_equal(bigimg.imread(url), PIXELS)
    img = bigimg.open(url)
    np.testing.assert_array_equal(img.transpose("y", "x", "c").values, PIXELS)
    found = bigimg.info(url)
    assert found.format == "PNG"
    assert found.source == url.replace("version=2", "…") == img.attrs["source"]
    assert server.sent == len(png())  # once for all three


def test_the_contract(server: Loopback, pair: Path) -> None:
    server.files["/rat.tif"] = tiff()
    server.files["/a.zip"] = pair.read_bytes()
    colour = np.moveaxis(PIXELS, -1, 0)
    check_reader(lambda: open_source(server.url("/rat.tif")), expected=colour)
    check_reader(lambda: open_source(f"{server.url('/a.zip')}::deep/rat.png"), expected=colour)
    check_reader(lambda: open_source(f"{pair}::scans/brain.hdr"), expected=VOLUME)
    check_reader(lambda: open_source(f"{pair}::planes"), expected=VOLUME)
    copies = [open_source(tiff()), open_source(io.BytesIO(png()))]
    for copy in copies:
        check_reader(lambda copy=copy: copy, expected=colour)


def test_zip_members(pair: Path, cache: Path) -> None:
    np.testing.assert_array_equal(bigimg.imread(f"{pair}::deep/rat.png"), PIXELS)
    img = bigimg.open(f"{pair}::scans/brain.img")
    assert img.bigimg.spacing == {"z": 4.0, "y": 3.0, "x": 2.0}
    assert img.attrs["source"] == f"{pair}::scans/brain.img"
    np.testing.assert_array_equal(img.values, VOLUME)
    np.testing.assert_array_equal(bigimg.open(f"{pair}::planes").values, VOLUME)
    assert len(list(cache.glob("temporary/copy-*.lock"))) >= 1  # the lazy image may be read again
    del img
    assert left(cache) == []


def test_nothing_is_left_after_an_error(pair: Path, cache: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(pair, "a") as file:
        file.writestr("broken.png", png()[:-300])
        file.writestr("half.hdr", file.read("scans/brain.hdr"))
        file.writestr("note.txt", "no image")
    for member, message in (
        ("broken.png", "broken.png"),
        ("half.hdr", "half"),
        ("note.txt", "no image format"),
        ("none.png", "holds no"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            bigimg.convert(f"{pair}::{member}", tmp_path / "out.ome.zarr")
        assert str(caught.value).startswith(str(pair))
        assert str(cache) not in str(caught.value)
        del caught
        assert left(cache) == []
        assert not (tmp_path / "out.ome.zarr").exists()


def test_a_zip_file_without_a_member_lists_them(pair: Path) -> None:
    with pytest.raises(
        InputError, match=r"is a zip archive; name one .*a\.zip::deep/rat\.png.*scans/brain\.hdr"
    ):
        bigimg.open(pair)


def test_bytes_and_file_objects(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "rat.png").write_bytes(png())
    with (tmp_path / "rat.png").open("rb") as file:
        for source in (png(), bytearray(tiff()), memoryview(png()), io.BytesIO(tiff()), file):
            np.testing.assert_array_equal(bigimg.imread(source), PIXELS)
        file.seek(0)
        assert bigimg.info(file).source == f"file object {tmp_path / 'rat.png'}"
    assert bigimg.info(png()).source == f"bytes ({len(png())})"
    tree = bigimg.convert(io.BytesIO(tiff()), tmp_path / "out.ome.zarr")
    np.testing.assert_array_equal(tree["scale0/image"].values, np.moveaxis(PIXELS, -1, 0))
    with pytest.raises(UnknownFormatError, match=r"^bytes \(4\): "):
        bigimg.open(b"what")
    del tree
    assert left(cache) == []


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd names of real files are no patterns, members or addresses."""
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].png", "b.zip::c.png"):
        Path(name).write_bytes(png())
        np.testing.assert_array_equal(bigimg.imread(name), PIXELS)


def test_lists_and_patterns(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        tifffile.imwrite(tmp_path / f"z{i}.tif", VOLUME[i % 5])
    expected = VOLUME[[1, 2, 0]]
    paths = [tmp_path / f"z{i}.tif" for i in (10, 1, 2)]
    np.testing.assert_array_equal(bigimg.open(paths).values, expected)
    np.testing.assert_array_equal(bigimg.imread([str(path) for path in paths]), expected)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "z*.tif").values, expected)
    assert bigimg.info(paths).format == "3 tiff files as planes"
    with pytest.raises(UsageError, match="empty list"):
        bigimg.open([])
    with pytest.raises(InputNotFoundError, match="no file matches"):
        bigimg.open(tmp_path / "*.png")


SECRET = "hunter2"


def test_no_secret_reaches_a_message_or_a_store(server: Loopback, tmp_path: Path, cache: Path) -> None:
    server.files["/rat.tif"] = tiff()
    url = server.url(f"/rat.tif?token={SECRET}").replace("://", f"://me:{SECRET}@")
    shown = server.url("/rat.tif?…")
    tree = bigimg.convert(url, tmp_path / "a.ome.zarr")
    assert bigimg.info(url).source == bigimg.plan(url, tmp_path / "b.ome.zarr").source == shown
    assert SECRET not in repr(bigimg.open(url)) + repr(tree)
    kept = [path for folder in (tmp_path / "a.ome.zarr", cache) for path in folder.rglob("*")]
    assert all(SECRET not in str(path) for path in kept)
    assert not any(SECRET.encode() in path.read_bytes() for path in kept if path.is_file())
    server.files["/rat.tif"] = tiff()[:2000]
    for fault in (status(403), status(404), redirect("ftp://x"), whole()):
        server.faults["/rat.tif"] = [fault]
        with pytest.raises(InputError) as caught:
            bigimg.imread(url)
        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in str(error)
            error = error.__cause__
        assert str(caught.value).startswith(shown)


@pytest.mark.parametrize(
    "faults",
    [
        [short(2000)] * 5,
        [whole(length=3000)],  # a length that is too small: the reader sees that the picture is cut
        [whole(length=20_000)] * 5,
        [status(500)] * 5,
        [status(429, Retry_After="0")] * 5,
        [redirect("/rat.png")],
        [chunked(True)] * 5,
        [changed("/rat.png", b"something else altogether", whole())],
    ],
    ids=["short", "small", "large", "500", "429", "loop", "chunks", "changed"],
)
def test_no_wrong_pixel(
    server: Loopback, faults: list[Fault], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = functools.partial(asking.Patience, tries=2, first_wait=0.01, stall=0.3)
    monkeypatch.setattr(download, "Patience", quick)
    server.files["/rat.png"] = png()
    server.faults["/rat.png"] = list(faults)
    with pytest.raises(BigimgError) as caught:
        bigimg.convert(server.url("/rat.png"), tmp_path / "a.ome.zarr")
    assert str(caught.value).startswith(server.url("/rat.png"))
    assert not (tmp_path / "a.ome.zarr").exists()
    server.faults["/rat.png"], server.files["/rat.png"] = [], png()
    np.testing.assert_array_equal(bigimg.imread(server.url("/rat.png")), PIXELS)


def test_readers_of_places_travel(server: Loopback, pair: Path) -> None:
    server.files["/rat.tif"] = tiff()
    for source in (server.url("/rat.tif"), f"{pair}::deep/rat.png", tiff()):
        reader = open_source(source)
        other = pickle.loads(pickle.dumps(reader))
        assert (other.source, other.spec) == (reader.source, reader.spec)
        region = tuple(slice(0, size) for size in reader.spec.shape)
        np.testing.assert_array_equal(other.read(region), np.moveaxis(PIXELS, -1, 0))
        reader.close()
        other.close()


def test_stores_behind_urls_need_the_extra(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.url("/a.ome.zarr").replace("://", f"://me:{SECRET}@")
    for there, message in ((None, re.escape(install_line("remote"))), ("spec", r"no zarr\.json")):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, there=there: there)
        monkeypatch.setattr("bigimg.omezarr.open.is_store", lambda source: False)
        with pytest.raises(InputError, match=message) as caught:
            bigimg.open(url)
        assert str(caught.value).startswith(server.url("/a.ome.zarr"))
    assert SECRET not in repr(tree_of(url))
    assert tree_of(url).path == server.url("/a.ome.zarr")


def test_stores_in_zip_files_are_read_in_place(server: Loopback, tmp_path: Path) -> None:
    bigimg.write(VOLUME, tmp_path / "a.ome.zarr")
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as file:
        for path in (tmp_path / "a.ome.zarr").rglob("*"):
            file.write(path, path.relative_to(tmp_path))
    server.files["/s.zip"] = (tmp_path / "s.zip").read_bytes()
    for source in (tmp_path / "s.zip", server.url("/s.zip")):
        np.testing.assert_array_equal(bigimg.open(f"{source}::a.ome.zarr").values, VOLUME)
    with pytest.raises(InputNotFoundError, match=r"none\.zip: there is no such file"):
        bigimg.open(f"{tmp_path}/none.zip::a.ome.zarr")


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("s3://bucket/a.zarr", MissingExtraError, r"a\.zarr.*" + re.escape(install_line("remote"))),
        ("abcd://me:secret@bucket/a.zarr", InputError, r"abcd://bucket/a\.zarr.*Protocol not known: abcd"),
        ("ftp://bucket/a.tif", InputError, r"of ftp:// stores alone are read.*: download it first"),
        ("file:///a.tif", InputError, "give its path alone"),
        ("memory://none/a.zarr", InputError, r"no zarr\.json"),
    ],
)
def test_what_is_read_of_other_schemes(
    name: str, kind: type[InputError], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(kind, match=says) as error:
        bigimg.info(name)
    assert "secret" not in str(error.value)


def test_stores_of_other_schemes(tmp_path: Path) -> None:
    bigimg.write(VOLUME, tmp_path / "a.ome.zarr", progress=False)
    np.testing.assert_array_equal(bigimg.imread(f"file://{tmp_path}/a.ome.zarr"), VOLUME)


@pytest.mark.parametrize(
    "ask", [bigimg.info, bigimg.stats, bigimg.verify, lambda p: bigimg.convert(p, "b.zarr")]
)
def test_an_unfinished_target_is_told(ask: Any, tmp_path: Path) -> None:
    staging_folder(tmp_path / "a.ome.zarr").mkdir()
    with pytest.raises(
        InputNotFoundError, match=r"interrupted .* in .*/\.a\.ome\.zarr\.bigimg; run the same conv"
    ):
        ask(tmp_path / "a.ome.zarr")


@pytest.mark.parametrize("place", ["zip", "url"])
def test_a_conversion_goes_on(
    place: str, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zip file, or the copy of a download, is what the source is known again by."""

    def put(pixels: Array) -> str:
        content = io.BytesIO()
        tifffile.imwrite(content, pixels, tile=(64, 64), compression="zlib")
        if place == "url":
            server.files["/rat.tif"] = content.getvalue()
            return server.url("/rat.tif")
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
            file.writestr("rat.tif", content.getvalue())
        return f"{tmp_path}/b.zip::rat.tif"

    pixels, target = numbers(300, 400), tmp_path / "a.ome.zarr"
    source = put(pixels)
    interrupted(source, target, monkeypatch, 9)
    assert convert_to_store(source, target, **ASKED).blocks_resumed == 9
    np.testing.assert_array_equal(bigimg.imread(target), pixels)
    interrupted(source, tmp_path / "b.ome.zarr", monkeypatch, 9)
    put(pixels + 1)
    with pytest.raises(ResumeError, match=r"another source.*resume=False"):
        convert_to_store(source, tmp_path / "b.ome.zarr", **ASKED)


def test_limits(server: Loopback, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/rat.png"] = png()
    url = server.url("/rat.png")
    for source in (url, f"{pair}::deep/rat.png", io.BytesIO(png())):
        with pytest.raises(InputError, match=r"allowed 1000\b"):
            bigimg.imread(source, max_download="1kB")
    monkeypatch.setenv("BIGIMG_MAX_DOWNLOAD", "1kB")
    with pytest.raises(InputError, match="allowed 1000;"):
        bigimg.open(url)
    np.testing.assert_array_equal(bigimg.imread(url, max_download=10**6), PIXELS)
    with pytest.raises(UsageError, match="max_download 'much' is not a size"):
        bigimg.open(url, max_download="much")


def test_the_command(server: Loopback, pair: Path, cache: Path, tmp_path: Path) -> None:
    server.files["/rat.tif"] = tiff()
    url = server.url("/rat.tif")
    done = command("convert", "-q", url, tmp_path / "a.ome.zarr", scratch=tmp_path)
    assert (done.code, done.err) == (0, "")
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "a.ome.zarr"), PIXELS)
    done = command("info", "--json", f"{pair}::deep/rat.png", scratch=tmp_path)
    assert done.json["source"] == f"{pair}::deep/rat.png"
    done = command("info", "--insecure", url, scratch=tmp_path)
    assert done.err == "bigimg: certificates of servers are not checked (--insecure)\n"
    server.files["/large.tif"] = tiff()
    url = server.url("/large.tif")
    done = command("convert", url, tmp_path / "b.ome.zarr", "--max-download", "1kB", scratch=tmp_path)
    assert done.code == 3
    assert "use --max-download 1MB" in done.line
    done = command("plan", f"{pair}::none.png", tmp_path / "b.ome.zarr", scratch=tmp_path)
    assert (done.code, "holds no 'none.png'" in done.line) == (3, True)
    assert left(cache) == []
    assert not os.path.exists(tmp_path / "b.ome.zarr")
