"""Axes in any order: pages may be rows, and rows and columns of a page any two axes, against tifffile's own array."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigimg.geometry.region import full
from bigimg.readers.tiff.reader import TiffReader
from bigimg.testing import check_reader

SIZES = dict(zip("TCZYX", (2, 3, 4, 5, 6), strict=True))
OF_THREE = ["".join(order) for third in "TCZ" for order in itertools.permutations(third + "YX")]
OF_MORE = ["TYXC", "ZYXC", "CYXZ", "XYZC", "YXTZ", "TZYXC", "YCXZT", "XTYCZ", "CZXYT", "ZXYTC", "XY"]


def check(path: Path, axes: str, sizes: dict[str, int], **options: object) -> None:
    array = np.arange(np.prod([sizes[a] for a in axes]), dtype="u2").reshape([sizes[a] for a in axes])
    tifffile.imwrite(path, array, metadata={"axes": axes}, photometric="minisblack", **options)
    expected = array.transpose([axes.index(letter) for letter in "TCZYX" if letter in axes])
    reader = TiffReader(path)
    found = reader.read(full(reader.spec.shape))
    reader.close()
    long = [sizes[letter] > 1 or letter in "YX" for letter in "TCZYX" if letter in axes]
    wanted = tuple(n for n, kept in zip(expected.shape, long, strict=True) if kept)
    np.testing.assert_array_equal(found, expected.reshape(wanted))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 2}], ids=["plain", "zlib"])
@pytest.mark.parametrize("axes", OF_THREE + OF_MORE)
def test_any_order_of_axes(tmp_path: Path, axes: str, options: dict[str, object]) -> None:
    check(tmp_path / "a.tif", axes, SIZES, **options)


@pytest.mark.parametrize("axes", ["YXC", "CYX", "XTY", "ZYXC", "YX", "XYZ"])
@pytest.mark.parametrize("single", ["C", "Y", "X", "CZ", "YX"])
def test_axes_of_one_pixel(tmp_path: Path, axes: str, single: str) -> None:
    check(tmp_path / "a.tif", axes, SIZES | dict.fromkeys(single, 1), compression="zlib")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("axes", ["YXH", "YXHC", "ZYXE", "HYX", "YHX"])
def test_axes_of_other_names_anywhere_are_series(tmp_path: Path, axes: str, compression: str | None) -> None:
    array = np.random.default_rng(0).integers(
        0, 999, [{"H": 2, "E": 2}.get(a, SIZES.get(a)) for a in axes], "u2"
    )
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, metadata={"axes": axes}, photometric="minisblack", compression=compression)
    other = next(letter for letter in axes if letter in "HE")
    for index in (0, 1):
        owner, left = array.take(index, axis=axes.index(other)), axes.replace(other, "")
        expected = owner.transpose([left.index(letter) for letter in "TCZYX" if letter in left])
        reader = TiffReader(path, series=index)
        np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), expected)
        reader.close()


@pytest.mark.parametrize("axes", ["YXC", "ZYXC", "XYT"])
def test_regions(tmp_path: Path, axes: str) -> None:
    array = np.random.default_rng(0).integers(0, 999, [{"Y": 21, "X": 33}.get(a, 3) for a in axes], "u2")
    tifffile.imwrite(
        tmp_path / "a.tif", array, metadata={"axes": axes}, photometric="minisblack", compression="zlib"
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.series[0].axes == axes
        owner = file.asarray()
    ours = owner.transpose([axes.index(letter) for letter in "TCZYX" if letter in axes])
    check_reader(lambda: TiffReader(tmp_path / "a.tif"), expected=ours)
