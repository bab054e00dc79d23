"""RawFile against numpy's own reading of the same bytes."""

from __future__ import annotations

import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import InputError, InputNotFoundError
from bigimg.readers.raw import plain as rawfile
from bigimg.readers.raw.plain import RawFile
from bigimg.system import files
from bigimg.types import Array, DType, Region, Shape

FOREIGN = ">" if sys.byteorder == "little" else "<"


def write(path: Path, shape: Shape, dtype: DType, offset: int = 0) -> Array:
    """Write seeded bytes and return them as numpy reads them back."""
    noise = np.random.default_rng(7).integers(0, 256, offset + int(np.prod(shape)) * dtype.itemsize, np.uint8)
    path.write_bytes(noise.tobytes())
    return np.fromfile(path, dtype, offset=offset).reshape(shape)


@st.composite
def regions(draw: st.DrawFn) -> tuple[Shape, Region]:
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple))
    starts = [draw(st.integers(0, size - 1)) for size in shape]
    return shape, tuple(slice(a, draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=regions(),
    dtype=st.sampled_from(["u1", "<i2", ">u2", ">i4", "<u8", ">u8"]).map(np.dtype),
    offset=st.integers(0, 5),
    read_bytes=st.sampled_from([1, 40, 300, 1 << 20]),
    gap_bytes=st.sampled_from([0, 10, 100, 16 << 10]),
)
def test_any_region_is_numpys(
    tmp_path: Path, case: tuple[Shape, Region], dtype: DType, offset: int, read_bytes: int, gap_bytes: int
) -> None:
    shape, region = case
    expected = write(tmp_path / "a.raw", shape, dtype, offset)[region]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rawfile, "READ_BYTES", read_bytes)
        patch.setattr(rawfile, "GAP_BYTES", gap_bytes)
        got = RawFile(tmp_path / "a.raw", offset=offset, shape=shape, dtype=dtype).read(region)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == dtype.newbyteorder("=")
    assert got.flags.c_contiguous


@pytest.mark.parametrize(
    ("region", "calls"),
    [
        ((slice(0, 4), slice(0, 100), slice(0, 50)), 1),  # everything is one run
        ((slice(1, 3), slice(0, 100), slice(0, 50)), 1),  # whole planes touch
        ((slice(2, 3), slice(10, 20), slice(3, 4)), 1),  # a column: gaps of 49 bytes are read over
        ((slice(0, 4), slice(10, 20), slice(3, 4)), 1),  # as are gaps of 4 KB between planes
    ],
)
def test_calls_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, region: Region, calls: int) -> None:
    expected = write(tmp_path / "a.raw", (4, 100, 50), np.dtype("u1"))[region]
    raw = RawFile(tmp_path / "a.raw", offset=0, shape=(4, 100, 50), dtype=np.dtype("u1"))
    sizes = record(monkeypatch)
    np.testing.assert_array_equal(raw.read(region), expected)
    assert len(sizes) == calls


def record(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the bytes asked of each read."""
    sizes: list[int] = []
    real = files.read_into

    def read_into(number: int, view: memoryview, offset: int) -> int:
        sizes.append(len(view))
        return real(number, view, offset)

    monkeypatch.setattr(files, "read_into", read_into)
    return sizes


def test_wide_gaps_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (6, 40_000)
    expected = write(tmp_path / "a.raw", shape, np.dtype("u1"))
    raw = RawFile(tmp_path / "a.raw", offset=0, shape=shape, dtype=np.dtype("u1"))
    sizes = record(monkeypatch)
    np.testing.assert_array_equal(raw.read((slice(0, 6), slice(5, 25))), expected[:, 5:25])
    assert sizes == [20] * 6


def test_no_buffer_is_larger_than_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (3000, 1000)  # 3 MB; the last column is cut from the end of every row
    expected = write(tmp_path / "a.raw", shape, np.dtype("u1"))
    raw = RawFile(tmp_path / "a.raw", offset=0, shape=shape, dtype=np.dtype("u1"))
    sizes = record(monkeypatch)
    np.testing.assert_array_equal(raw.read((slice(0, 3000), slice(0, 999))), expected[:, :999])
    assert max(sizes) <= rawfile.READ_BYTES
    assert len(sizes) == 3


def test_a_short_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(99))
    with pytest.raises(InputError, match=r"a\.raw: pixels should take bytes 0 to 100 .* the file has 99"):
        RawFile(path, offset=0, shape=(10, 10), dtype=np.dtype("u1"))
    with pytest.raises(InputError, match="bytes -1 to 99"):
        RawFile(path, offset=-1, shape=(10, 10), dtype=np.dtype("u1"))
    with pytest.raises(InputNotFoundError, match=r"none\.raw"):
        RawFile(tmp_path / "none.raw", offset=0, shape=(1,), dtype=np.dtype("u1"))


@pytest.mark.parametrize("region", [(slice(0, 10), slice(0, 10)), (slice(0, 10), slice(2, 3))])
def test_a_file_cut_while_open_is_an_error(tmp_path: Path, region: Region) -> None:
    path = tmp_path / "a.raw"
    write(path, (10, 10), np.dtype("u1"))
    raw = RawFile(path, offset=0, shape=(10, 10), dtype=np.dtype("u1"))
    os.truncate(path, 57)
    with pytest.raises(InputError, match=r"a\.raw: ends at byte 57"):
        raw.read(region)
    raw.close()
    with pytest.raises(InputError, match="the file has 57"):
        raw.read(region)


def test_it_pickles_and_closes(tmp_path: Path) -> None:
    everything = (slice(0, 3), slice(0, 4))
    expected = write(tmp_path / "a.raw", (3, 4), np.dtype(FOREIGN + "i2"), 3)
    raw = RawFile(tmp_path / "a.raw", offset=3, shape=(3, 4), dtype=np.dtype(FOREIGN + "i2"))
    raw.close()
    raw.close()
    np.testing.assert_array_equal(raw.read(everything), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(raw)).read(everything), expected)


def test_close_does_not_pull_the_file_from_under_a_read(tmp_path: Path) -> None:
    expected = write(tmp_path / "a.raw", (64, 1000), np.dtype("u1"))
    write(tmp_path / "b.raw", (64, 999), np.dtype("u1"))
    raw = RawFile(tmp_path / "a.raw", offset=0, shape=(64, 1000), dtype=np.dtype("u1"))

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            y, x = rng.integers(0, 60), rng.integers(0, 900)
            region = (slice(y, y + 4), slice(x, x + 99))
            np.testing.assert_array_equal(raw.read(region), expected[region])
            raw.close()
            with (tmp_path / "b.raw").open("rb"):  # takes the number of a closed descriptor
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
