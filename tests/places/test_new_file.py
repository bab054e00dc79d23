"""A file filled through a buffer holds what was appended, whatever the system does with its writes."""

from __future__ import annotations

import errno
import fcntl
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.places import new_file
from bigimg.places.new_file import BUFFER_BYTES, LEAST_DIRECT, PAGE, NewFile

SIZES = st.integers(0, 3 * PAGE) | st.sampled_from(
    [BUFFER_BYTES // 2 - 1, BUFFER_BYTES, BUFFER_BYTES + PAGE + 3]
)


def noise(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


def written(path, parts, most=LEAST_DIRECT):
    with NewFile(path, most, 300_000) as file:
        for part in parts:
            file.append(part)
    assert file.length == sum(map(len, parts))
    return path.read_bytes()


@settings(max_examples=40)
@given(sizes=st.lists(SIZES, max_size=12), most=st.sampled_from([0, LEAST_DIRECT]))
def test_holds_what_was_appended(tmp_path_factory, sizes, most):
    parts = [noise(size, i) for i, size in enumerate(sizes)]
    assert written(tmp_path_factory.mktemp("appended") / "file", parts, most) == b"".join(parts)


@pytest.mark.usefixtures("each_way")
def test_only_what_was_filled_counts(tmp_path):
    with NewFile(tmp_path / "file", LEAST_DIRECT, 300_000) as file:
        for i in range(40):
            room = file.room(300_000)
            room[:] = i
            file.fill(200_001)
    assert (tmp_path / "file").read_bytes() == b"".join(bytes([i]) * 200_001 for i in range(40))


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("lengths", [1, 511, PAGE, 3 * PAGE + 1])
def test_short_writes(tmp_path, monkeypatch, lengths):
    write = os.write
    monkeypatch.setattr(
        new_file.os, "write", lambda file, data: write(file, data[: max(lengths, len(data) // 9)])
    )
    data = noise(3 * PAGE + 77 if lengths == 1 else BUFFER_BYTES + 12_345)
    assert written(tmp_path / "file", [data]) == data


def test_a_disk_with_larger_pages(tmp_path, monkeypatch):
    """Some answer only the first write with EINVAL."""
    write = os.write
    refused = []

    def refusing(file, data):
        if not refused:
            refused.append(file)
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(file, data)

    monkeypatch.setattr(new_file.os, "write", refusing)
    data = noise(BUFFER_BYTES + 5)
    assert written(tmp_path / "file", [data]) == data


def test_a_file_system_without_direct_writes(tmp_path, monkeypatch):
    def refusing(file, command, *value):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fcntl, "fcntl", lambda file, command, *v: refusing(file, command) if v else 0)
    data = noise(BUFFER_BYTES + 5)
    assert written(tmp_path / "file", [data]) == data


@pytest.mark.usefixtures("each_way")
def test_a_file_that_fails_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), NewFile(tmp_path / "file", 0, 100):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("each_way")
def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(new_file.os, "write", full)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No space"):
        written(tmp_path / "file", [noise(PAGE)])
    assert len(os.listdir("/proc/self/fd")) == before


def append_own(path, value):
    written(path, [bytes([value]) * 300_000] * 20)


@pytest.mark.usefixtures("each_way")
def test_forked_workers_do_not_share_a_buffer(tmp_path):
    written(tmp_path / "before", [b"x"])  # so that this process has one to hand on
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        list(pool.map(append_own, [tmp_path / str(i) for i in range(6)], range(6)))
    for i in range(6):
        assert (tmp_path / str(i)).read_bytes() == bytes([i]) * 6_000_000
