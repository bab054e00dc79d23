"""Files of numpy against numpy."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from bigimg.errors import BigimgError, InputError, InputNotFoundError, UsageError
from bigimg.geometry.region import full
from bigimg.readers.arrays.npy import open_npy
from bigimg.readers.registry import open_file
from bigimg.types import Array


def noise(shape: tuple[int, ...], dtype: str) -> Array:
    return np.random.default_rng(5).integers(0, 2, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["?", "u1", ">u2", "<i4", ">f4", "f8", "f2", ">i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_values_are_numpys(tmp_path: Path, dtype: str, order: Any) -> None:
    np.save(tmp_path / "a.npy", np.asarray(noise((4, 5, 6), dtype), order=order))
    reader = open_file(tmp_path / "a.npy")
    got = reader.read(full(reader.spec.shape))
    reader.close()
    np.testing.assert_array_equal(got, np.load(tmp_path / "a.npy"))
    assert got.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(
    ("shape", "dims", "channels"),
    [
        ((5, 6), "yx", ""),
        ((5, 6, 7), "zyx", ""),
        ((5, 6, 3), "cyx", "RGB"),  # colour last in the file is first in ours
        ((5, 6, 4), "cyx", "RGBA"),
        ((3, 5, 6), "zyx", ""),
        ((2, 5, 6, 7), "tzyx", ""),
        ((2, 3, 5, 6, 7), "tczyx", ""),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_axes_are_guessed_and_it_is_said(
    tmp_path: Path, shape: tuple[int, ...], dims: str, channels: str, order: Any
) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    np.save(tmp_path / "a.npy", np.asarray(array, order=order))
    reader = open_file(tmp_path / "a.npy")
    got = reader.read(full(reader.spec.shape))
    reader.close()
    assert "".join(reader.spec.dims) == dims
    assert "".join(channel.name for channel in reader.spec.channels) == channels
    assert any("guessed" in note for note in reader.spec.notes)
    np.testing.assert_array_equal(got, np.moveaxis(array, -1, 0) if channels else array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header(tmp_path: Path, version: tuple[int, int]) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        npy.write_array(file, noise((5, 6), "i2"), version=version)
    reader = open_file(tmp_path / "a.npy")
    np.testing.assert_array_equal(reader.read(full((5, 6))), noise((5, 6), "i2"))
    reader.close()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[{}, 1], [2, 3]], object),
        np.zeros((4, 5), np.clongdouble),
        np.zeros((4, 5), [("a", "u1"), ("b", "u2")]),
        np.zeros((4, 5), "U3"),
        np.zeros((4, 5), "M8[s]"),
        np.zeros((4, 5), "V2"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_what_are_no_pixels_is_refused(tmp_path: Path, array: Array) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=r"a\.npy: holds .* not pixels"):
        open_file(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(), (5,), (0, 5), (1, 1, 1, 1, 5, 5)])
def test_what_is_no_image_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, "u1"))
    with pytest.raises(InputError, match=r"a\.npy: is no image"):
        open_file(tmp_path / "a.npy")


@pytest.mark.parametrize("size", [0, 5, 9, 60, 127, 128, 147])
def test_a_cut_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 5), "u1"))
    os.truncate(path, size)
    with pytest.raises(InputError, match=r"a\.npy"):
        open_file(path)


def test_other_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(InputNotFoundError, match=r"a\.npy"):
        open_npy(str(path))
    with pytest.raises(InputError, match="cannot be read"):
        open_npy(str(tmp_path))
    np.save(path, np.zeros((4, 5), "u1"))
    with pytest.raises(UsageError, match="series 2"):
        open_file(path, series=2)
    path.write_bytes(path.read_bytes().replace(b"NUMPY\x01", b"NUMPY\x09"))
    with pytest.raises(InputError, match="version"):
        open_file(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(at=st.integers(0, 90), more=st.binary(min_size=1, max_size=4))
def test_a_wrong_header_is_an_error_of_ours_or_none(tmp_path: Path, at: int, more: bytes) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 5), "u1"))
    head = bytearray(path.read_bytes())
    head[at : at + len(more)] = more
    path.write_bytes(head)
    said: BigimgError | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of headers like those of Python 2
            open_file(path).close()
    except BigimgError as error:
        said = error
    assert said is None or ("a.npy" in str(said) and "\n" not in str(said))
