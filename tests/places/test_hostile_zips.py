"""Zip files that mean no good, as stores and with a member: an error of ours, no file elsewhere, no bomb."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr

from bigimg.errors import BigimgError
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.places.unzip import unzip
from bigimg.types import Array
from tests.running import bigimg

type Files = dict[str, bytes]
PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)
CHUNK = "c/0/0"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    root = tmp_path_factory.mktemp("store")
    array = zarr.create_array(root / "a.zarr", shape=(8, 8), chunks=(8, 8), dtype="u1", compressors=None)
    array[...] = PIXELS
    return {name: (root / "a.zarr" / name).read_bytes() for name in ("zarr.json", CHUNK)}


def zipped(files: Files, how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def patched(
    files: Files, offset: int, form: str, *values: int, entry: int = 1, how: int = zipfile.ZIP_STORED
) -> bytes:
    """Return an archive with other numbers ``offset`` bytes into the directory's ``entry``."""
    data = bytearray(zipped(files, how))
    at = -1
    for _ in range(entry + 1):
        at = data.index(b"PK\1\2", at + 1)
    struct.pack_into(form, data, at + offset, *values)
    return bytes(data)


def linked(files: Files) -> bytes:
    """Return an archive whose chunk is a link to a file of the system."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("zarr.json", files["zarr.json"])
        info = zipfile.ZipInfo(CHUNK)
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def twice(files: Files) -> bytes:
    """Return an archive with two members of one name; the later one counts, as in zipfile."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(CHUNK, b"junk")
        archive.writestr("zarr.json", files["zarr.json"])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(CHUNK, files[CHUNK])
    return buffer.getvalue()


BOMB = bytes(20_000_000)
HOSTILE: dict[str, Callable[[Files], bytes]] = {
    "a bomb for a chunk": lambda f: zipped(f | {CHUNK: BOMB}, zipfile.ZIP_DEFLATED),
    "a bomb for a document": lambda f: zipped(f | {"zarr.json": BOMB}, zipfile.ZIP_DEFLATED),
    "a bomb of bzip2": lambda f: zipped(f | {CHUNK: BOMB}, zipfile.ZIP_BZIP2),
    "a bomb of LZMA": lambda f: zipped(f | {"zarr.json": BOMB}, zipfile.ZIP_LZMA),
    "a bomb that says 64 bytes": lambda f: patched(f | {CHUNK: BOMB}, 24, "<I", 64, how=zipfile.ZIP_DEFLATED),
    "a bomb of bzip2 that says 64 bytes": lambda f: patched(f | {CHUNK: BOMB}, 24, "<I", 64, how=zipfile.ZIP_BZIP2),
    "a locked chunk": lambda f: patched(f, 8, "<H", 1),
    "a locked document": lambda f: patched(f, 8, "<H", 1, entry=0),
    "an unknown compression": lambda f: patched(f, 10, "<H", 77),
    "sizes of 4 GB": lambda f: patched(f, 20, "<II", 2**32 - 2, 2**32 - 2),
    "a member behind the end": lambda f: patched(f, 42, "<I", 2**31),
    "a member in the directory": lambda f: patched(f, 42, "<I", 10),
    "a version to come": lambda f: patched(f, 6, "<H", 990),
    "sizes of 64 bits without an extra field": lambda f: patched(f, 20, "<II", 2**32 - 1, 2**32 - 1),
    "a name that is not UTF-8": lambda f: patched(f, 8, "<H", 0x800).replace(b"c/0/0", b"c/\xff/0"),
    "a cut directory": lambda f: zipped(f)[:-30],
    "no end": lambda f: zipped(f)[:-22],
    "an end alone": lambda f: b"PK\5\6" + bytes(18),
    "an end that lies": lambda f: zipped(f)[:-22] + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, 2**31, 5, 0),
    "an end of 64 bits that lies": lambda f: (
        zipped(f)[:-22] + b"PK\6\7" + struct.pack("<IQI", 0, 2**63, 1)
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    ),
    "junk": lambda f: b"PK\3\4" + bytes(range(256)) * 4,
    "nothing": lambda f: b"",
    "a link for a chunk": linked,
    "metadata that lead outside": lambda f: zipped({"zarr.json": json.dumps(
        {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "multiscales": [
            {"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "../../a"}]}]}}}).encode()}),
}  # fmt: skip


def read(path: Path) -> Array:
    return StoreReader(open_store(path)).read((slice(0, 8), slice(0, 8)))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_store_and_a_member(name: str, files: Files, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "a.ozx"
    path.write_bytes(HOSTILE[name](files))
    with pytest.raises(BigimgError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)
    for member in files:
        with suppress(BigimgError):
            found = unzip(path, member, shown="a.zip", most_bytes=10**7)
            assert found.path.stat().st_size <= 10**7
            del found
    assert list(cache.glob("temporary/*")) == []
    assert {each.name for each in tmp_path.iterdir()} <= {"a.ozx", cache.name}


def test_names_that_lead_outside_are_only_names(files: Files, tmp_path: Path) -> None:
    more = {f"../../{CHUNK}": b"x", "/etc/passwd": b"x", "..\\..\\a": b"x"}
    (tmp_path / "a.ozx").write_bytes(zipped(files | more))
    np.testing.assert_array_equal(read(tmp_path / "a.ozx"), PIXELS)


def test_of_two_members_of_one_name_the_later_counts(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.ozx").write_bytes(twice(files))
    np.testing.assert_array_equal(read(tmp_path / "a.ozx"), PIXELS)


@pytest.mark.parametrize("name", ["a bomb for a chunk", "a bomb that says 64 bytes"])
def test_a_bomb_stays_small(name: str, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "BOMB", bytes(200_000_000))
    (tmp_path / "a.ozx").write_bytes(HOSTILE[name](files))
    ended = bigimg("stats", tmp_path / "a.ozx", scratch=tmp_path)
    assert ended.code in (3, 5)
    assert ended.peak_bytes < 200_000_000
