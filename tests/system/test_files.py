"""Bytes at positions of a file, from many threads, whether the system knows of positions or not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bigimg.system import files

pytestmark = pytest.mark.usefixtures("each_way")


@pytest.fixture
def opened(tmp_path: Path):
    data = np.random.default_rng(0).bytes(300_000)
    (tmp_path / "file").write_bytes(data)
    file = files.open_to_read(tmp_path / "file")
    yield file, data
    os.close(file)


def test_threads_do_not_disturb_each_other(opened):
    file, data = opened
    starts = np.random.default_rng(1).integers(0, len(data), 4000).tolist()
    with ThreadPoolExecutor(8) as pool:
        for start, part in zip(starts, pool.map(lambda s: files.read_at(file, 100, s), starts), strict=True):
            assert part == data[start : start + 100]


@pytest.mark.parametrize("offset", [0, 1, 299_000, 299_999, 300_000, 400_000])
def test_the_end_of_a_file_is_the_end_of_what_is_read(opened, offset):
    file, data = opened
    assert files.read_at(file, 1000, offset) == data[offset : offset + 1000]
    buffer = bytearray(b"?" * 1000)
    count = files.read_into(file, memoryview(buffer), offset)
    assert count == len(data[offset : offset + 1000])
    assert buffer == data[offset : offset + 1000] + b"?" * (1000 - count)


def test_threads_write_where_they_are_told(tmp_path):
    file = files.create(tmp_path / "file")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: files.write_at(file, memoryview(bytes([i]) * 500), i * 500), range(200)))
    os.close(file)
    assert (tmp_path / "file").read_bytes() == b"".join(bytes([i]) * 500 for i in range(200))


def test_a_file_that_is_there_is_not_created(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "file")
    file = files.open_to_append(tmp_path / "file")
    os.write(file, b"\r\n\nours")
    os.close(file)
    assert (tmp_path / "file").read_bytes() == b"mine\r\n\nours"


@pytest.mark.parametrize(
    ("platform", "named", "found"),
    [
        ("win32", {"LOCALAPPDATA": "/c/local"}, "/c/local"),
        ("win32", {}, "/home/me/AppData/Local"),
        ("darwin", {}, "/home/me/Library/Caches"),
        ("linux", {}, "/home/me/.cache"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache"),
    ],
)
def test_where_caches_lie(monkeypatch, platform, named, found):
    monkeypatch.setattr("sys.platform", platform)
    for name in ("LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **named}.items():
        monkeypatch.setenv(name, value)
    assert files.user_cache_folder() == Path(found)
