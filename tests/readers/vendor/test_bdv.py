"""BigDataViewer's XML and HDF5: setups as channels and series, time points, unsigned pixels, what is missing."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from bigimg.errors import InputError, InputNotFoundError, UsageError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.readers.vendor import bdv as of_bdv
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.vendor.hdf5_files import bdv

SETUPS = [{"channel": c, "angle": a} for a in (0, 1) for c in (0, 1)]
PIXELS = np.random.default_rng(0).integers(0, 65536, (2, 4, 5, 20, 24)).astype("u2")
VIEWS = {(t, s): PIXELS[t, s].view("i2") for t in range(2) for s in range(4)}


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def test_setups_are_channels_and_series(tmp_path: Path) -> None:
    path = bdv(tmp_path / "a.xml", VIEWS, SETUPS)
    for series, name, first in ((0, "angle left", 0), (1, "angle right", 2)):
        expected = PIXELS[:, first : first + 2]
        check_reader(lambda series=series: open_file(path, series=series), expected=expected)  # type: ignore[misc]
        np.testing.assert_array_equal(whole(open_file(path, series=name)), expected)
    reader = open_file(path)
    assert reader.spec.dims == ("t", "c", "z", "y", "x")
    assert [(axis.spacing, axis.unit) for axis in reader.spec.axes[2:]] == [
        (2.0, "micrometer"), (0.5, "micrometer"), (0.25, "micrometer"),
    ]  # fmt: skip
    assert [channel.name for channel in reader.spec.channels] == ["DAPI", "GFP"]
    assert "2 series" in reader.spec.of_source[0]
    assert {Path(name).name for name in reader.paths} == {"a.xml", "a.h5"}  # type: ignore[attr-defined]
    np.testing.assert_array_equal(whole(open_file(tmp_path / "a.h5")), PIXELS[:, :2])
    with pytest.raises(UsageError, match="there is no series 2"):
        open_file(path, series=2)


def test_without_its_xml(tmp_path: Path) -> None:
    bdv(tmp_path / "a.xml", VIEWS, SETUPS).unlink()
    reader = open_file(tmp_path / "a.h5", series="setup 3")
    np.testing.assert_array_equal(whole(reader), PIXELS[:, 3])
    assert "no XML" in reader.spec.notes[0]
    np.testing.assert_array_equal(
        whole(open_file(tmp_path / "a.h5", series="/t00001/s02/0/cells")), PIXELS[1, 2].view("i2")
    )


@pytest.mark.parametrize("of_another", [{"name": "b.h5"}, {"name": "gone.h5"}, {"loader": "bdv.n5"}])
def test_an_xml_beside_that_is_of_another_file_is_left_out(
    tmp_path: Path, of_another: dict[str, str]
) -> None:
    others = {view: array[::-1] for view, array in VIEWS.items()}
    bdv(tmp_path / "b.xml", others, SETUPS, name="b.h5")
    bdv(tmp_path / "a.xml", VIEWS, SETUPS, **of_another)
    reader = open_file(tmp_path / "a.h5", series="setup 3")
    np.testing.assert_array_equal(whole(reader), PIXELS[:, 3])
    assert "is not of this file and left out" in reader.spec.notes[0]
    assert [Path(name).name for name in reader.paths] == ["a.h5"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("times", "numbers"),
    [
        ('<Timepoints type="pattern"><integerpattern>0, 4-8:4</integerpattern></Timepoints>', (0, 4, 8)),
        (
            '<Timepoints type="list"><Timepoint><id>2</id></Timepoint><Timepoint><id>7</id></Timepoint></Timepoints>',
            (2, 7),
        ),
    ],
)
def test_time_points(tmp_path: Path, times: str, numbers: tuple[int, ...]) -> None:
    views = {(t, 0): PIXELS[i % 2, i] for i, t in enumerate(numbers)}
    path = bdv(tmp_path / "a.xml", views, [{"channel": 0}], times=times)
    np.testing.assert_array_equal(whole(open_file(path)), np.stack(list(views.values())))


def test_views_that_were_never_written(tmp_path: Path) -> None:
    views = {view: array for view, array in VIEWS.items() if view != (1, 1)}
    path = bdv(tmp_path / "a.xml", views, SETUPS)
    with pytest.raises(InputError, match=r"of 32 chunks were never written \(t = 1, c = 1"):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    assert len(reader.spec.missing) == 1
    expected = PIXELS[:, :2].copy()
    expected[1, 1] = 0
    np.testing.assert_array_equal(whole(reader), expected)


def test_what_leads_elsewhere_or_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="open the folder of its N5"):
        open_file(bdv(tmp_path / "a.xml", VIEWS, SETUPS, loader="bdv.n5"))
    with pytest.raises(InputError, match="outside its own folder"):
        open_file(bdv(tmp_path / "a.xml", VIEWS, SETUPS, name="../a.h5"))
    with pytest.raises(InputNotFoundError, match=r"b\.h5, which is not there"):
        open_file(bdv(tmp_path / "a.xml", VIEWS, SETUPS, name="b.h5"))
    path = bdv(tmp_path / "a.xml", VIEWS, SETUPS)
    text = path.read_text()
    for old, new in (
        ("</SpimData>", ""),
        ("ViewSetups>", "Other>"),
        ("<last>1<", "<last>-1<"),
        ("<size>24", "<size>0"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(InputError, match=r"a\.xml: its XML makes no sense .*; export it again"):
            open_file(path)
    path.write_text(text)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["t00001"]
        file["t00001"] = h5py.ExternalLink("other.h5", "t00001")
    with pytest.raises(InputError, match=r"is a link to the file 'other\.h5'"):
        open_file(path)


@pytest.mark.parametrize(
    "times",
    [
        f"<Timepoints><integerpattern>{','.join(['0-999999'] * 20)}</integerpattern></Timepoints>",
        '<Timepoints type="range"><first>0</first><last>999999999</last></Timepoints>',
    ],
)
def test_time_points_are_bounded_before_they_are_listed(tmp_path: Path, times: str) -> None:
    path = bdv(tmp_path / "a.xml", VIEWS, SETUPS, times=times)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="it has more than 100000 time points"):
            open_file(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_views_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_bdv, "MOST_VIEWS", 3)
    with pytest.raises(InputError, match="2 time points of 2 channels"):
        open_file(bdv(tmp_path / "a.xml", VIEWS, SETUPS))
