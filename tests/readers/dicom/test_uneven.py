"""Series with gaps or a tilt: refused, unless the person says what is to be done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bigimg
from bigimg.errors import InconsistentSeries, InputError, UsageError
from bigimg.readers.dicom.gaps import even_parts
from tests.readers.dicom.dicom_files import place, series

VOLUME = np.random.default_rng(1).integers(-900, 900, (8, 4, 5)).astype(np.int16)


def with_gaps(folder: Path, gone: tuple[int, ...] = (2, 5, 6), **tags: object) -> Path:
    for z, path in enumerate(series(folder, VOLUME, **tags)):
        if z in gone:
            path.unlink()
    return folder


def test_gaps_are_refused_with_both_ways_on(tmp_path: Path):
    with pytest.raises(
        InconsistentSeries,
        match=r"3 slices of 8 are missing, at 10 mm \(after slice 1\), 17.5 to 20 mm \(after slice 3\); complete the "
        r"series, take its even parts one by one by on_gap='split', or fill the gaps with 3 slices .*='fill'$",
    ):
        bigimg.open(with_gaps(tmp_path / "s"))


def test_gaps_are_filled_with_what_statistics_leave_out(tmp_path: Path):
    there = [0, 1, 3, 4, 7]
    img = bigimg.open(with_gaps(tmp_path / "s"), on_gap="fill", raw=True)
    np.testing.assert_array_equal(img.values[there], VOLUME[there])
    assert set(img.values[[2, 5, 6]].ravel()) == {0}
    found = bigimg.stats(img)
    assert (float(found["min"]), float(found["count"])) == (VOLUME[there].min(), VOLUME[there].size)
    assert img.bigimg.spacing["z"] == 2.5
    np.testing.assert_allclose(img.bigimg.affine[:3, 3], [20, -10, 5])
    img = bigimg.open(with_gaps(tmp_path / "padded", PixelPaddingValue=-2000), on_gap="fill", raw=True)
    assert set(img.values[[2, 5, 6]].ravel()) == {-2000}


def test_black_counts_where_slices_of_colours_are_missing(tmp_path: Path):
    # The colours of index 0 are black: a missing slice is black too, and it alone is left out.
    stored = np.zeros((5, 4, 5), np.uint8)
    stored[:, 1:] = 1
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = np.arange(0, 65536, 256, dtype="<u2").tobytes()
    folder = tmp_path / "s"
    for z, path in enumerate(series(folder, stored, **tags)):
        if z == 2:
            path.unlink()
    img = bigimg.open(folder, on_gap="fill")
    assert img.sizes["c"] == 3
    found = bigimg.stats(img)
    assert found["count"].values.tolist() == [4 * 4 * 5] * 3
    assert found["min"].values.tolist() == [0] * 3


def test_gaps_of_real_values_and_of_times(tmp_path: Path):
    for z in range(8):
        if z not in (3, 4):
            series(tmp_path / str(z), VOLUME[[z]], RescaleSlope=z + 1)
    from pydicom import dcmread

    for z in range(8):
        for path in (tmp_path / str(z)).glob("*"):
            made = dcmread(path)
            made.ImagePositionPatient = place(z, step=(0, 0, 2.5))
            made.save_as(path)
    img = bigimg.open(str(tmp_path / "*" / "*"), on_gap="fill")
    assert np.isnan(img.values[3:5]).all()
    np.testing.assert_array_equal(img.values[5:], VOLUME[5:] * np.array([6.0, 7, 8])[:, None, None])
    (tmp_path / "times").mkdir()
    for t in range(2):
        with_gaps(tmp_path / "times" / str(t), AcquisitionTime=f"12000{t}")
    img = bigimg.open(str(tmp_path / "times" / "*" / "*"), on_gap="fill", raw=True)
    assert img.sizes["t"] == 2
    np.testing.assert_array_equal(img.values[:, [0, 1, 3, 4, 7]], [VOLUME[[0, 1, 3, 4, 7]]] * 2)


def test_even_parts_are_series_to_choose(tmp_path: Path):
    folder = with_gaps(tmp_path / "s", (3, 4))
    with pytest.raises(
        InconsistentSeries, match=r"0: CT 4 x 5, 3 images, first at .*; 1: CT 4 x 5, 3 images"
    ):
        bigimg.open(folder, on_gap="split")
    for number, part in enumerate((VOLUME[:3], VOLUME[5:])):
        np.testing.assert_array_equal(bigimg.open(folder, on_gap="split", series=number).values, part)


@pytest.mark.parametrize(
    ("depths", "parts"),
    [
        ([0, 1, 2, 5, 6, 7], [0, 0, 0, 1, 1, 1]),
        ([0, 2, 4, 9, 14], [0, 0, 0, 1, 1]),
        ([0, 5, 6, 7], [0, 1, 1, 1]),
        ([7, 0, 6, 5, 0], [1, 0, 1, 1, 0]),
        ([3, 0], [0, 0]),
        ([4], [0]),
    ],
)
def test_parts_of_one_distance(depths: list[float], parts: list[int]):
    found = even_parts([(1.0, 2.0, z) for z in depths], np.array([0, 0, 1.0]))
    assert found.tolist() == parts


def test_what_is_no_whole_gap_is_not_filled(tmp_path: Path):
    from pydicom import dcmread

    paths = series(tmp_path / "s", VOLUME)
    made = dcmread(paths[3])
    made.ImagePositionPatient = place(3.4, step=(0, 0, 2.5))
    made.save_as(paths[3])
    with pytest.raises(
        InconsistentSeries, match=r"not evenly: 3.5 mm from 10 to 13.5, 1.5 mm from 13.5 to 15;"
    ) as refused:
        bigimg.open(tmp_path / "s", on_gap="fill")
    assert "on_gap='fill'" not in str(refused.value)


def test_a_tilt_is_kept_in_the_affine(tmp_path: Path):
    series(tmp_path / "s", VOLUME, step=(0, 0.7, 2.4))
    with pytest.raises(InconsistentSeries, match="tilt='keep'"):
        bigimg.open(tmp_path / "s")
    img = bigimg.open(tmp_path / "s", tilt="keep")
    np.testing.assert_array_equal(img.values, VOLUME)
    expected = np.array([[-0.75, 0, 0, 20], [0, -0.5, -0.7, -10], [0, 0, 2.4, 5], [0, 0, 0, 1]])
    np.testing.assert_allclose(img.bigimg.affine, expected, atol=1e-9)


def test_the_options_are_for_dicom_alone_and_have_few_words(tmp_path: Path):
    np.save(tmp_path / "a.npy", VOLUME)
    with pytest.raises(UsageError, match=r"a\.npy: on_gap='fill' is for DICOM series"):
        bigimg.open(tmp_path / "a.npy", on_gap="fill")
    with pytest.raises(UsageError, match="tilt='keep' is for DICOM series"):
        bigimg.open(VOLUME, tilt="keep")
    with pytest.raises(UsageError, match="on_gap='guess': give 'error', 'fill', 'split'"):
        bigimg.open(with_gaps(tmp_path / "s"), on_gap="guess")


def test_a_slice_far_away_fills_no_memory(tmp_path: Path):
    from pydicom import dcmread

    paths = series(tmp_path / "s", VOLUME)
    made = dcmread(paths[7])
    made.ImagePositionPatient = place(1e9, step=(0, 0, 2.5))
    made.save_as(paths[7])
    with pytest.raises(InconsistentSeries, match=r"not evenly: 2.5e.09 mm from 20 to 2.5e.09"):
        bigimg.open(tmp_path / "s", on_gap="fill")


def test_a_store_of_filled_gaps_is_compared_with_its_source(tmp_path: Path):
    folder = with_gaps(tmp_path / "s")
    bigimg.convert(folder, tmp_path / "a.ome.zarr", on_gap="fill", memory="1GB")
    assert bigimg.verify(tmp_path / "a.ome.zarr", folder, on_gap="fill", memory="1GB").ok
    assert bigimg.plan(folder, tmp_path / "b.ome.zarr", on_gap="fill", probe=False, memory="1GB").to_dict()


@pytest.mark.parametrize("kept", [0.3, 0.95], ids=["within its header", "within its pixels"])
def test_a_slice_that_is_cut_is_named_or_a_hole(kept: float, tmp_path: Path):
    paths = series(tmp_path / "s", VOLUME)
    for z in (3, 4):
        paths[z].write_bytes(paths[z].read_bytes()[: int(paths[z].stat().st_size * kept)])
    with pytest.raises(InputError, match=r"(ends within its header|before its pixels|truncated)") as refused:
        bigimg.open(tmp_path / "s")
    assert paths[3].name in str(refused.value)
    img = bigimg.open(tmp_path / "s", allow_partial=True, raw=True)
    there = [0, 1, 2, 5, 6, 7]
    np.testing.assert_array_equal(img.values[there], VOLUME[there])
    assert img.shape == VOLUME.shape
    assert int(bigimg.stats(img)["count"]) == VOLUME[there].size
    notes = bigimg.info(tmp_path / "s", allow_partial=True).notes
    assert any(
        note.startswith("2 files of 8 are damaged and left out") and paths[3].name in note for note in notes
    )
    parts = bigimg.open(tmp_path / "s", allow_partial=True, on_gap="split", series=1, raw=True)
    np.testing.assert_array_equal(parts.values, VOLUME[5:])
    bigimg.convert(tmp_path / "s", tmp_path / "a.ome.zarr", allow_partial=True, memory="1GB")
    assert bigimg.verify(tmp_path / "a.ome.zarr", tmp_path / "s", allow_partial=True).ok
    assert paths[3].name not in (tmp_path / "a.ome.zarr" / "zarr.json").read_text()


def test_real_values_of_holes_are_nan(tmp_path: Path):
    folder = with_gaps(tmp_path / "s", RescaleSlope=2, RescaleIntercept=-10)
    img = bigimg.open(folder, on_gap="fill")
    assert np.isnan(img.values[[2, 5, 6]]).all()
    bigimg.convert(folder, tmp_path / "a.ome.zarr", on_gap="fill", memory="1GB")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr").values, img.values)
    there = VOLUME[[0, 1, 3, 4, 7]] * 2.0 - 10
    for source in (img, tmp_path / "a.ome.zarr"):
        assert float(bigimg.stats(source)["mean"]) == pytest.approx(there.mean())
    bigimg.export(folder, tmp_path / "a.npy", on_gap="fill")
    assert np.isnan(np.load(tmp_path / "a.npy")[[2, 5, 6]]).all()


def test_a_damaged_end_is_no_hole_and_a_refusal_of_gaps_stays_one(tmp_path: Path):
    paths = series(tmp_path / "s", VOLUME)
    paths[-1].write_bytes(paths[-1].read_bytes()[:300])
    img = bigimg.open(tmp_path / "s", allow_partial=True, on_gap="error", raw=True)
    np.testing.assert_array_equal(img.values, VOLUME[:-1])
    assert "missing" not in img.attrs
    paths[3].write_bytes(paths[3].read_bytes()[:300])
    with pytest.raises(InconsistentSeries, match=r"1 slice of 7 is missing"):
        bigimg.open(tmp_path / "s", allow_partial=True, on_gap="error")
    img = bigimg.open(tmp_path / "s", allow_partial=True, raw=True)
    assert int(bigimg.stats(img)["count"]) == np.delete(VOLUME[:-1], 3, 0).size


def test_no_file_that_can_be_opened_is_an_error(tmp_path: Path):
    for path in series(tmp_path / "s", VOLUME):
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="none of 8 DICOM files can be opened"):
        bigimg.open(tmp_path / "s", allow_partial=True)
