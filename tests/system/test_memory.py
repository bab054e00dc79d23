"""What is free, what is held, and how often freed memory is given back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import psutil
import pytest

from bigimg.system import memory, os_calls


def test_a_limit_on_any_group_above_counts(tmp_path):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("600000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert list(memory._free_in_group(tmp_path, "memory.max", "memory.current", "inactive_file")) == [500000]
    (tmp_path / "memory.max").write_text("max\n")
    assert list(memory._free_in_group(tmp_path, "memory.max", "memory.current", "inactive_file")) == []


@pytest.mark.parametrize("found", [os_calls.found, os_calls.OsCalls()], ids=["system", "portable"])
def test_free_memory_is_no_more_than_the_machine_has(monkeypatch, found):
    monkeypatch.setattr(os_calls, "found", found)
    assert 0 < memory.free_bytes() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    "found",
    [os_calls.found, replace(os_calls.found, proc=None), os_calls.OsCalls()],
    ids=["proc", "getrusage", "portable"],
)
def test_the_peak_holds_what_was_touched(monkeypatch, found):
    monkeypatch.setattr(os_calls, "found", found)
    touched = np.ones(50_000_000, np.uint8)
    assert memory.peak_bytes() >= touched.nbytes
    # psutil alone tells no peak here, but what is resident now.
    assert memory.peak_bytes() >= memory.resident_bytes() - 5_000_000


def test_freed_memory_is_given_back_now_and_then(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(os_calls, "found", os_calls.OsCalls(malloc_trim=asked.append))
    trimmer = memory.HeapTrimmer()
    for _ in range(10):
        trimmer.count(memory.EVERY_BYTES // 4)
    assert asked == [0, 0]


def test_where_nothing_can_be_given_back_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(os_calls, "found", os_calls.OsCalls())
    memory.HeapTrimmer().count(memory.EVERY_BYTES)


def test_this_c_library_can_be_asked():
    if os_calls.found.malloc_trim is None:
        pytest.skip("no glibc")
    assert os_calls.found.malloc_trim(0) in (0, 1)
