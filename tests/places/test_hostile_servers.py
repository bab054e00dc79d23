"""Servers that mean no good: an error of one line in bounded time, from a download and from a store behind a URL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from bigimg.errors import BigimgError, InputError
from bigimg.omezarr import web
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.places.download import download
from bigimg.places.http import Patience
from tests.places.server import HOSTILE, Loopback, serving

STALL = 0.3
HASTY = Patience(tries=1, first_wait=0.01, stall=STALL)
LONGEST = 8.0
"""Seconds, on a machine that does much else; each error comes within one."""


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving() as found:
        yield found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_download(name: str, server: Loopback, cache: Path) -> None:
    server.faults["/a.bin"] = [HOSTILE[name]] * 20
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        download(server.url("/a.bin"), most_bytes=10**7, patience=HASTY)
    assert time.monotonic() - started < LONGEST
    assert str(caught.value).startswith(server.url("/a.bin"))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.fixture
def store(tmp_path: Path) -> dict[str, bytes]:
    """Objects of a small store of somebody else, one chunk a file."""
    array = zarr.create_array(tmp_path / "a.zarr", shape=(8, 8), chunks=(8, 8), dtype="u1")
    array[...] = np.arange(64, dtype=np.uint8).reshape(8, 8)
    files = [path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()]
    return {
        f"/a.zarr/{path.relative_to(tmp_path / 'a.zarr').as_posix()}": path.read_bytes() for path in files
    }


@pytest.mark.parametrize("where", ["/a.zarr/zarr.json", "/a.zarr/c/0/0"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_store(
    name: str, where: str, server: Loopback, store: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(web, "PATIENCE", HASTY)
    server.files = store
    server.faults[where] = [HOSTILE[name]] * 20
    started = time.monotonic()
    with pytest.raises(BigimgError) as caught:
        StoreReader(open_store(server.url("/a.zarr"))).read((slice(0, 8), slice(0, 8)))
    assert time.monotonic() - started < LONGEST
    assert "http://127.0.0.1" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
