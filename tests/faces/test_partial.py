"""Damaged sources from the opened image to the store: what is missing is no measurement anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import bigimg
from bigimg.cli import cli
from bigimg.conversion import block
from bigimg.errors import InputError, UsageError
from bigimg.geometry.holes import holes_in
from bigimg.geometry.spec import Channel
from bigimg.opening.data_array import label
from bigimg.readers.arrays.array import missing_of, read_labelled
from bigimg.types import Array
from bigimg.viewing.display import display_of

RNG = np.random.default_rng(5)
VOLUME = RNG.integers(60, 4000, (10, 70, 90)).astype(np.uint16)


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """Return a stack that ends within its seventh plane."""
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, VOLUME, metadata={"axes": "ZYX"}, compression="zlib", rowsperstrip=8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 13 // 20])
    return path


def lost_of(img: Any) -> Array:
    lost = np.zeros(img.shape, bool)
    for hole in missing_of(img, list(img.dims)):
        lost[hole] = True
    return lost


def agrees(found: Any, values: Array) -> None:
    real = values.astype(np.float64)
    assert int(found["count"]) == values.size
    assert (float(found["min"]), float(found["max"])) == (values.min(), values.max())
    np.testing.assert_allclose([found["mean"], found["std"]], [real.mean(), real.std()], rtol=1e-12)


def test_statistics_leave_holes_out_of_image_part_and_store(cut: Path, tmp_path: Path):
    img = bigimg.open(cut, allow_partial=True)
    lost = lost_of(img)
    assert 0.3 < lost.mean() < 0.4
    np.testing.assert_array_equal(img.values[~lost], VOLUME[~lost])
    there = VOLUME[~lost]
    agrees(bigimg.stats(img), there)
    agrees(bigimg.stats(img * 1), there)
    part = (slice(5, 8), slice(None, None, 3), slice(10, 50))
    agrees(bigimg.stats(img[part]), VOLUME[part][~lost[part]])
    assert float(bigimg.fraction(img < 2000)) == pytest.approx((there < 2000).mean())
    np.testing.assert_allclose(bigimg.percentile(img, [10, 50]), np.percentile(there, [10, 50]), rtol=1e-9)
    bigimg.convert(cut, tmp_path / "a.ome.zarr", allow_partial=True, memory="1GB")
    store = bigimg.open(tmp_path / "a.ome.zarr")
    assert np.array_equal(lost_of(store), lost)
    agrees(bigimg.stats(tmp_path / "a.ome.zarr"), there)
    agrees(bigimg.stats(store), there)
    by_plane = bigimg.stats(store, by="z")["count"].values
    assert by_plane.tolist() == (~lost).sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize("method", ["mean", "mode", "min", "max", "nearest", "gaussian"])
def test_levels_are_made_of_what_is_there(method: Any, cut: Path, tmp_path: Path):
    sizes = {"z": 4, "y": 16, "x": 16}
    options: dict[str, Any] = {"chunks": sizes, "shards": sizes, "allow_partial": True, "memory": "1GB"}
    bigimg.convert(cut, tmp_path / "a.ome.zarr", method=method, **options)
    report = bigimg.verify(tmp_path / "a.ome.zarr", cut, allow_partial=True)
    assert report.ok, report
    fine = bigimg.open(tmp_path / "a.ome.zarr")
    if method in ("mean", "min", "max"):
        coarse = bigimg.open(tmp_path / "a.ome.zarr", level=1)
        lost, step = lost_of(fine), [-(-n // m) for n, m in zip(fine.shape, coarse.shape, strict=True)]
        number = np.where(lost, np.nan, VOLUME.astype(np.float64))
        padded = np.pad(
            number, [(0, -n % f) for n, f in zip(number.shape, step, strict=True)], constant_values=np.nan
        )
        split = [k for n, f in zip(padded.shape, step, strict=True) for k in (n // f, f)]
        windows = np.moveaxis(padded.reshape(split), (1, 3, 5), (3, 4, 5)).reshape(*coarse.shape, -1)
        empty = np.isnan(windows).all(axis=-1)
        assert np.array_equal(lost_of(coarse), empty)
        expected = getattr(np, f"nan{method}")(windows[~empty], axis=-1)
        np.testing.assert_array_equal(coarse.values[~empty], np.rint(expected))
        again = bigimg.downsample(fine, dict(zip(fine.dims, step, strict=True)), method=method)
        np.testing.assert_array_equal(again.values, coarse.values)


def test_an_image_with_holes_is_written_with_them(cut: Path, tmp_path: Path):
    img = bigimg.open(cut, allow_partial=True)
    bigimg.write(img, tmp_path / "a.ome.zarr", memory="1GB")
    agrees(bigimg.stats(tmp_path / "a.ome.zarr"), VOLUME[~lost_of(img)])
    scaled = bigimg.with_geometry(img, spacing=(2.0, 0.5, 0.5), unit="um")
    assert np.array_equal(lost_of(scaled), lost_of(img))
    assert np.array_equal(lost_of(scaled[6:, 5:]), lost_of(img)[6:, 5:])


def test_a_stack_has_the_holes_of_each_image(cut: Path):
    img = bigimg.open(cut, allow_partial=True)
    whole = bigimg.from_array(VOLUME)
    again = bigimg.stack([img[z] for z in (5, 6, 7)], "z")
    assert np.array_equal(lost_of(again), lost_of(img)[5:8])
    both = bigimg.stack([whole, img], "c")
    assert not lost_of(both[0]).any()
    assert np.array_equal(lost_of(both[1]), lost_of(img))


def test_the_window_of_a_plane_is_that_of_what_is_there(cut: Path):
    plane = bigimg.open(cut, allow_partial=True)[6].compute()
    there = plane.values[plane.values > 0]
    (window,) = display_of(plane, plane).windows
    assert window == pytest.approx(np.percentile(there, [0.1, 99.9]))
    axes = bigimg.show(bigimg.open(cut, allow_partial=True), "z", index=6)
    assert axes.images[0].get_clim() == pytest.approx(np.percentile(there, [0.1, 99.9]))


def test_the_boxes_are_in_the_store_and_checked(cut: Path, tmp_path: Path):
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(cut, store, allow_partial=True, memory="1GB")
    root = json.loads((store / "zarr.json").read_text())
    boxes = root["attributes"]["bigimg"]["missing"]
    lost = lost_of(bigimg.open(store))
    assert sum(np.prod([stop - start for start, stop in box]) for box in boxes) == lost.sum()
    assert bigimg.info(store).missing == bigimg.info(cut, allow_partial=True).missing == lost.sum()
    root["attributes"]["bigimg"]["missing"] = boxes[:-1]
    (store / "zarr.json").write_text(json.dumps(root))
    (edit,) = bigimg.verify(store).edits
    assert "missing" in str(edit) or "not followed" in str(edit)
    assert np.array_equal(lost_of(bigimg.open(store)), lost)


def test_booleans_and_floats_have_holes_too(tmp_path: Path):
    for name, volume in (("b", VOLUME > 2000), ("f", VOLUME.astype(np.float32))):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, volume, metadata={"axes": "ZYX"}, compression="zlib", photometric="minisblack")
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 13 // 20])
        img = bigimg.open(path, allow_partial=True)
        lost = lost_of(img)
        assert 0.2 < lost.mean() < 0.5
        assert np.isnan(img.values[lost]).all() if name == "f" else not img.values[lost].any()
        bigimg.convert(path, tmp_path / f"{name}.ome.zarr", allow_partial=True, memory="1GB")
        assert bigimg.verify(tmp_path / f"{name}.ome.zarr", path, allow_partial=True).ok
        found = bigimg.stats(tmp_path / f"{name}.ome.zarr")
        assert int(found["count"]) == (~lost).sum()
        assert float(found["mean"]) == pytest.approx(volume[~lost].mean(dtype=np.float64))


def test_a_channel_of_which_nothing_is_there(tmp_path: Path):
    path, image = tmp_path / "a.tif", RNG.integers(1, 250, (3, 60, 60)).astype(np.uint8)
    tifffile.imwrite(path, image, imagej=True, metadata={"axes": "CYX"})
    path.write_bytes(path.read_bytes()[: -3600 - 2000])
    bigimg.convert(path, tmp_path / "a.ome.zarr", allow_partial=True, memory="1GB")
    for found in (bigimg.stats(bigimg.open(path, allow_partial=True)), bigimg.stats(tmp_path / "a.ome.zarr")):
        assert found["count"].values[0] == 3600
        assert found["count"].values[2] == 0
        assert np.isnan(found["mean"].values[2])


def test_the_command_says_what_is_missing_and_ends_with_0(cut: Path, tmp_path: Path):
    run = CliRunner().invoke
    refused = run(cli, ["convert", str(cut), str(tmp_path / "a.ome.zarr")])
    assert isinstance(refused.exception, InputError)  # for which the command exits with 3
    assert "take what is there by --allow-partial" in str(refused.exception)
    assert not (tmp_path / "a.ome.zarr").exists()
    done = run(cli, ["convert", str(cut), str(tmp_path / "a.ome.zarr"), "--allow-partial"])
    assert done.exit_code == 0
    assert "of the pixels are missing from the source, at z 6 to 9" in done.stderr
    told = json.loads(run(cli, ["info", str(tmp_path / "a.ome.zarr"), "--json"]).stdout)
    assert told["missing"] > 0
    done = run(cli, ["export", str(cut), str(tmp_path / "a.nii"), "--allow-partial"])
    assert "in the file, which does not mark them" in done.stderr
    assert done.exit_code == 0
    assert "of the pixels are missing from the source" in done.stderr
    plane = run(
        cli, ["export", str(tmp_path / "a.ome.zarr"), str(tmp_path / "a.png"), "--plane", "z", "--at", "2"]
    )
    assert plane.exit_code == 0
    assert "missing" not in plane.stderr


def test_a_source_that_is_whole_or_can_be_no_other_way(tmp_path: Path):
    tifffile.imwrite(tmp_path / "whole.tif", VOLUME)
    img = bigimg.open(tmp_path / "whole.tif", allow_partial=True)
    assert "missing" not in img.attrs
    np.testing.assert_array_equal(img.values, VOLUME)
    Image.fromarray(VOLUME[0].astype(np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", VOLUME)
    bigimg.write(VOLUME, tmp_path / "a.ome.zarr", memory="1GB")
    for source in (tmp_path / "a.png", tmp_path / "a.npy", tmp_path / "a.ome.zarr", VOLUME):
        with pytest.raises(UsageError, match="allow_partial=True is for TIFF, DICOM, MRC, folders of planes"):
            bigimg.open(source, allow_partial=True)
    with pytest.raises(UsageError, match="on_gap='fill' is for DICOM series"):
        bigimg.open(tmp_path / "whole.tif", allow_partial=True, on_gap="fill")
    (tmp_path / "none.tif").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        bigimg.open(tmp_path / "none.tif", allow_partial=True)


def test_channels_of_one_name_keep_their_own_holes(cut: Path, tmp_path: Path):
    img, whole = bigimg.open(cut, allow_partial=True), bigimg.from_array(VOLUME)
    lost, both = lost_of(img), bigimg.stack([img, whole, whole], "c")
    expected = np.stack([lost, np.zeros_like(lost), np.zeros_like(lost)])
    spec = replace(read_labelled(both).spec, channels=(Channel("DAPI"), Channel("DAPI"), Channel("a")))
    named = label(both.data, spec, raw=False, source="array")
    assert named.bigimg.channels == ("DAPI", "DAPI 2", "a")
    assert np.array_equal(lost_of(named), expected)
    assert np.array_equal(lost_of(named[::-1, 5:]), expected[::-1, 5:])
    assert not lost_of(named[1]).any()
    bigimg.write(named, tmp_path / "a.ome.zarr", memory="1GB", progress=False)
    for found in (bigimg.stats(tmp_path / "a.ome.zarr", by="c"), bigimg.stats(named, by="c")):
        assert found["count"].values.tolist() == [int((~each).sum()) for each in expected]


def test_names_that_repeat_stay_where_no_channel_has_holes_of_its_own():
    channels = (Channel("DAPI"), Channel("DAPI"))
    spec = read_labelled(bigimg.from_array(np.stack([VOLUME, VOLUME]), dims="czyx")).spec
    named = label(np.stack([VOLUME, VOLUME]), replace(spec, channels=channels), raw=False, source="array")
    assert named.bigimg.channels == ("DAPI", "DAPI")


def test_holes_of_a_block_are_searched_once_a_level(
    cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    searched = []
    monkeypatch.setattr(block, "holes_in", lambda *args: searched.append(args) or holes_in(*args))
    plan = bigimg.plan(cut, tmp_path / "a.ome.zarr", levels=3, allow_partial=True, probe=False, memory="1GB")
    assert (len(plan.levels), len(plan.sweeps)) == (3, 1)
    bigimg.convert(cut, tmp_path / "a.ome.zarr", levels=3, allow_partial=True, memory="1GB", progress=False)
    assert len({(id(holes), str(region)) for holes, region in searched}) == len(searched)
    assert len({id(holes) for holes, _ in searched}) == len(plan.levels) - 1
