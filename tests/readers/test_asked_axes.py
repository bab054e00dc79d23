"""What a user says of axes that a file does not name, against numpy's own order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile

import bigimg
from bigimg.errors import InputError, UsageError
from bigimg.readers.asked_axes import read_pages
from bigimg.readers.tiff.reader import TiffReader
from bigimg.testing import check_reader

PAGES = np.random.default_rng(8).integers(0, 250, (12, 9, 8)).astype("u1")


def nameless(path: Path) -> Path:
    tifffile.imwrite(path, PAGES, metadata=None, photometric="minisblack")
    return path


@pytest.mark.parametrize(
    ("pages", "shape"),
    [
        ("c", (12,)),
        ("t", (12,)),
        ("t=6,c=2", (6, 2)),
        ("t,c=2", (6, 2)),
        ({"t": 2, "c": 3, "z": 2}, (2, 3, 2)),
    ],
)
def test_pages_of_a_tiff(pages: str | Mapping[str, int], shape: tuple[int, ...], tmp_path: Path) -> None:
    path = nameless(tmp_path / "a.tif")
    check_reader(lambda: TiffReader(path, pages=pages), expected=PAGES.reshape(*shape, 9, 8))


def test_pages_in_another_order(tmp_path: Path) -> None:
    path = nameless(tmp_path / "a.tif")
    img = bigimg.open(path, pages="z=3,c=4")
    assert img.dims == ("c", "z", "y", "x")
    np.testing.assert_array_equal(img, PAGES.reshape(3, 4, 9, 8).swapaxes(0, 1))
    np.testing.assert_array_equal(bigimg.open(path, axes="cyx"), PAGES)
    np.testing.assert_array_equal(
        bigimg.open(path, axes="zcyx", pages="z=3,c=4"), PAGES.reshape(3, 4, 9, 8).swapaxes(0, 1)
    )
    assert "pages='c' says it where they are channels" in bigimg.info(path).notes
    assert not any("pages" in note for note in bigimg.info(path, pages="t").notes)


def test_axes_without_names(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PAGES.reshape(3, 4, 9, 8), photometric="minisblack")
    with pytest.raises(
        InputError, match=r"does not say what its axes Q \(3\), Q \(4\) are; say it by axes='tzyx', or"
    ):
        bigimg.open(tmp_path / "a.tif")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.tif", axes="tcyx"), PAGES.reshape(3, 4, 9, 8))
    np.save(tmp_path / "a.npy", PAGES.reshape(9, 8, 3, 4))
    img = bigimg.open(tmp_path / "a.npy", axes="yxct")
    np.testing.assert_array_equal(img, PAGES.reshape(9, 8, 3, 4).transpose(3, 2, 0, 1))
    with pytest.raises(
        InputError, match=r"its axes are \? \? \? \? = 9 x 8 x 3 x 4, and axes='yxc' names y x c: give 4"
    ):
        bigimg.open(tmp_path / "a.npy", axes="yxc")


def test_what_the_file_says_is_not_contradicted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PAGES, metadata={"axes": "TYX"}, photometric="minisblack")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.tif", pages="t", axes="tyx"), PAGES)
    with pytest.raises(
        InputError, match=r"the file says that its pages are t 12, and pages='c' contradicts it; leave"
    ):
        bigimg.open(tmp_path / "a.ome.tif", pages="c")
    with pytest.raises(
        InputError, match=r"its axes are t y x = 12 x 9 x 8, and axes='zyx' names z y x, which contra"
    ):
        bigimg.open(tmp_path / "a.ome.tif", axes="zyx")
    nameless(tmp_path / "b.tif")
    with pytest.raises(
        InputError, match=r"has 12 pages, and pages='t=5,c=2' asks for t 5 x c 2; correct the sizes"
    ):
        bigimg.open(tmp_path / "b.tif", pages="t=5,c=2")
    with pytest.raises(
        InputError, match=r"\? y x = 12 x 9 x 8, and axes='tczyx' .*: give 3 names; say how many pages"
    ):
        bigimg.open(tmp_path / "b.tif", axes="tczyx")
    tifffile.imwrite(tmp_path / "c.tif", PAGES[0])
    with pytest.raises(UsageError, match="pages='c' is for several pages, and it has one"):
        bigimg.open(tmp_path / "c.tif", pages="c")
    for axes in ("zy", "zzyx", "qyx"):
        with pytest.raises(UsageError, match="names among t c z y x, once each"):
            bigimg.open(tmp_path / "b.tif", axes=axes)
    for pages in ("y", "t=0", "t,t=2", ""):
        with pytest.raises(UsageError, match="write axes among t c z with their sizes"):
            read_pages(pages, 12, "b.tif")
    with pytest.raises(
        UsageError, match=r"12 pages along t and c need the size of each but one, as in pages='t,c=2'"
    ):
        read_pages("t,c", 12, "b.tif")


def test_colour_pages_and_files_of_a_pattern(tmp_path: Path) -> None:
    colours = np.random.default_rng(9).integers(0, 250, (4, 9, 8, 3)).astype("u1")
    tifffile.imwrite(tmp_path / "a.tif", colours, metadata=None, photometric="rgb")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.tif", pages="t"), np.moveaxis(colours, -1, 1))
    for t in range(3):
        tifffile.imwrite(
            tmp_path / f"t{t}.tif", PAGES[4 * t : 4 * t + 4], metadata=None, photometric="minisblack"
        )
    img = bigimg.open(tmp_path / "t{t}.tif", pages="c")
    np.testing.assert_array_equal(img, PAGES.reshape(3, 4, 9, 8))
    assert img.dims == ("t", "c", "y", "x")
