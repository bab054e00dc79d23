"""RawGzip against numpy's reading of the same bytes without the gzip."""

from __future__ import annotations

import gzip
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import InputError, InputNotFoundError
from bigimg.readers.raw import compressed as rawgzip
from bigimg.readers.raw.compressed import RawGzip
from bigimg.types import Array, Region

SHAPE = (6, 9, 40)
DTYPE = np.dtype(">i2")
PIXELS: Array = np.random.default_rng(2).integers(0, 99, SHAPE).astype(DTYPE)


def open_raw(path: Path, offset: int = 3, members: int = 1) -> RawGzip:
    """Write the pixels behind ``offset`` bytes in as many gzip members, and open them."""
    content = bytes(offset) + PIXELS.tobytes()
    cuts = [len(content) * i // members for i in range(members + 1)]
    parts = [gzip.compress(content[a:b]) for a, b in pairwise(cuts)]
    (path / "a.gz").write_bytes(b"".join(parts))
    return RawGzip(path / "a.gz", offset=offset, shape=SHAPE, dtype=DTYPE)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    starts = [draw(st.integers(0, size - 1)) for size in SHAPE]
    return tuple(slice(a, draw(st.integers(a + 1, n))) for a, n in zip(starts, SHAPE, strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(asked=st.lists(regions(), min_size=1, max_size=4), skip=st.sampled_from([1, 100, 1 << 18]))
def test_any_regions_in_any_order_are_numpys(tmp_path: Path, asked: list[Region], skip: int) -> None:
    raw = open_raw(tmp_path)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(rawgzip, "SKIP_BYTES", skip)
        warnings.simplefilter("ignore", UserWarning)
        for region in asked:
            got = raw.read(region)
            np.testing.assert_array_equal(got, PIXELS[region])
            assert got.dtype.isnative
    raw.close()


def test_members_one_after_another_are_one_stream(tmp_path: Path) -> None:
    raw = open_raw(tmp_path, members=5)
    np.testing.assert_array_equal(raw.read((slice(0, 6), slice(0, 9), slice(0, 40))), PIXELS)


def test_threads_wait_for_one_another(tmp_path: Path) -> None:
    raw = open_raw(tmp_path)

    def work(z: int) -> None:
        got = raw.read((slice(z, z + 1), slice(0, 9), slice(2, 30)))
        np.testing.assert_array_equal(got, PIXELS[z : z + 1, :, 2:30])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, [5, 3, 1, 0, 2, 4] * 5))
    raw.close()


def test_the_file_is_closed_with_the_last_pixel(tmp_path: Path) -> None:
    raw = open_raw(tmp_path)
    raw.read((slice(0, 1), slice(0, 1), slice(0, 1)))
    assert [file for file in psutil.Process().open_files() if str(tmp_path) in file.path]
    raw.read((slice(5, 6), slice(8, 9), slice(39, 40)))
    assert not [file for file in psutil.Process().open_files() if str(tmp_path) in file.path]


def test_it_pickles_in_the_middle(tmp_path: Path) -> None:
    raw = open_raw(tmp_path)
    raw.read((slice(3, 4), slice(0, 9), slice(0, 40)))
    other = pickle.loads(pickle.dumps(raw))
    np.testing.assert_array_equal(other.read((slice(0, 1), slice(0, 9), slice(0, 40))), PIXELS[:1])
    other.close()
    raw.close()
    raw.close()


def test_an_error_does_not_spoil_the_next_read(tmp_path: Path) -> None:
    raw = open_raw(tmp_path)
    content = (tmp_path / "a.gz").read_bytes()
    (tmp_path / "a.gz").write_bytes(content[:-30])
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.gz: gzip stream is truncated or corrupt after \d+ of 4323"):
            raw.read((slice(0, 6), slice(0, 9), slice(0, 40)))
    (tmp_path / "a.gz").write_bytes(content)
    np.testing.assert_array_equal(raw.read((slice(0, 6), slice(0, 9), slice(0, 40))), PIXELS)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"none\.gz"):
        RawGzip(tmp_path / "none.gz", offset=0, shape=(1,), dtype=np.dtype("u1"))
