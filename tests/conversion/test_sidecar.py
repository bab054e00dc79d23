"""Stores of the reduced levels alone: what they hold, what they say of the source, and how they join with it."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

import bigimg
from bigimg.conversion import batch, commit
from bigimg.conversion.planned import planned
from bigimg.errors import InputError, ResumeError, UsageError
from bigimg.omezarr.finer import finer_of
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.opening.finer_levels import with_source
from bigimg.opening.open import levels_of_source, open_source
from bigimg.planning.options import options
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.conversion.sources import noise
from tests.places.server import serving
from tests.running import bigimg as command

QUIET: Any = {"progress": False, "memory": "4GB"}


def halved(pixels: Array, axes: tuple[int, ...] = (-2, -1)) -> Array:
    """The mean of windows of two, rounded half to even, of the real pixels at the edges."""
    at = {axis % pixels.ndim for axis in axes}
    starts = [np.arange(0, n, 2 if i in at else 1) for i, n in enumerate(pixels.shape)]
    total, count = pixels.astype(np.int64), np.ones(pixels.shape, np.int64)
    for axis, start in enumerate(starts):
        total, count = (np.add.reduceat(each, start, axis) for each in (total, count))
    return np.rint(total / count).astype(pixels.dtype)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "a.tif"
    pixels = noise((700, 900, 3), "u1")
    tifffile.imwrite(
        path, pixels, tile=(96, 112), photometric="rgb", resolution=(20_000, 20_000), resolutionunit=3
    )
    return path


@pytest.fixture
def pair(slide: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The slide and a store of its reduced levels, side by side."""
    source, target = tmp_path / "a.tif", tmp_path / "a.levels.ome.zarr"
    source.write_bytes(slide.read_bytes())
    bigimg.convert(source, target, chunks=64, levels_only=True, **QUIET)
    return source, target


def test_it_holds_the_levels_with_a_tenth_of_the_pixels_and_says_where_the_others_are(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = pair
    wanted = halved(halved(np.moveaxis(tifffile.imread(source), -1, 0)))
    group = zarr.open_group(target, mode="r")
    np.testing.assert_array_equal(group["0"], wanted)
    attributes: Any = group.attrs
    first = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert first[0]["scale"] == pytest.approx([1, 2, 2])  # the slide has 0.5 µm
    assert first[1]["translation"] == pytest.approx([0, 0.75, 0.75])
    said = attributes["bigimg"]["source"]
    assert (said["path"], said["bytes"], said["files"]) == ("a.tif", source.stat().st_size, 1)
    assert len(said["sha256"]) == 64
    whole = tmp_path / "whole.ome.zarr"
    bigimg.convert(source, whole, chunks=64, **QUIET)
    for stored, level in (("0", "2"), ("1", "3"), ("2", "4")):
        files = {p.relative_to(whole / level) for p in (whole / level).rglob("*") if p.is_file()}
        assert files == {p.relative_to(target / stored) for p in (target / stored).rglob("*") if p.is_file()}
        assert all((whole / level / f).read_bytes() == (target / stored / f).read_bytes() for f in files)


def test_with_the_source_it_has_the_levels_and_the_numbers_of_a_whole_store(pair: tuple[Path, Path]) -> None:
    source, target = pair
    levels = [np.moveaxis(tifffile.imread(source), -1, 0)]
    while len(levels) < 5:
        levels.append(halved(levels[-1]))
    tree = bigimg.open_pyramid(target)
    assert [*tree.children] == [f"scale{i}" for i in range(5)]
    for number, wanted in enumerate(levels):
        found = tree[f"scale{number}"]["image"]
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_allclose(
            found.x, (np.arange(wanted.shape[2]) * 2**number + (2**number - 1) / 2) * 0.5
        )
    np.testing.assert_array_equal(bigimg.open(target, level=1)[:, 33:290, 5:200], levels[1][:, 33:290, 5:200])
    stats = bigimg.stats(target)
    np.testing.assert_allclose(stats["mean"], levels[0].mean((1, 2)))
    counts = [np.bincount(plane.ravel(), minlength=256) for plane in levels[0]]
    np.testing.assert_array_equal(bigimg.histogram(target, bins=256, range=(0, 256)), counts)
    np.testing.assert_allclose(
        bigimg.percentile(target, [1, 50]).transpose("c", ...),
        np.percentile(levels[0], [1, 50], axis=(1, 2)).T,
    )
    np.testing.assert_array_equal(bigimg.mask(target, below=100), levels[0] < 100)
    assert bigimg.info(target).levels[0].shape == levels[0].shape


def test_each_level_keeps_the_contract_of_readers(pair: tuple[Path, Path]) -> None:
    source, target = pair
    level = np.moveaxis(tifffile.imread(source), -1, 0)
    for number in range(3):
        check_reader(lambda number=number: levels_of_source(target)[number], expected=level)  # type: ignore[misc]
        level = halved(level)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_each_version_is_joined_verified_and_converted_to_a_whole_store(
    version: str, slide: Path, tmp_path: Path
) -> None:
    target, whole = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    how: Any = {"chunks": 64, "ome_version": version, **QUIET}
    bigimg.convert(slide, target, levels_only=True, **how)
    assert bigimg.verify(target, progress=False).verdict.count("intact")
    bigimg.convert(target, whole, **how)
    np.testing.assert_array_equal(
        bigimg.open(whole, level=1), halved(np.moveaxis(tifffile.imread(slide), -1, 0))
    )
    assert not bigimg.verify(whole, source=target, progress=False).findings


def test_what_is_read_in_order_or_at_once_is_joined_too(tmp_path: Path) -> None:
    volume = noise((24, 30, 36), "i2")
    nibabel.Nifti1Image(volume.T, np.diag([1, 1, 1, 1])).to_filename(tmp_path / "a.nii.gz")
    target = tmp_path / "a.levels.ome.zarr"
    bigimg.convert(tmp_path / "a.nii.gz", target, chunks=8, shards=32, levels_only=True, **QUIET)
    wanted = halved(volume, (0, 1, 2))
    np.testing.assert_array_equal(bigimg.open(target, level=1), wanted)
    np.testing.assert_array_equal(bigimg.open(target, level=2), halved(wanted, (0, 1, 2)))
    assert bigimg.verify(target, progress=False).ok


def test_the_options_of_the_source_are_kept(tmp_path: Path) -> None:
    first, second = noise((90, 80), "u2"), noise((140, 130), "u2", seed=1)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(first)
        file.write(second)
    target = tmp_path / "a.ome.zarr"
    bigimg.convert(tmp_path / "a.tif", target, chunks=16, series=1, levels_only=True, **QUIET)
    np.testing.assert_array_equal(bigimg.open(target), second)


def test_both_can_be_moved_together_and_readers_can_be_pickled(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = pair
    (tmp_path / "there").mkdir()
    wanted = tifffile.imread(source)[..., 0]
    for path in pair:
        path.rename(tmp_path / "there" / path.name)
    image = pickle.loads(pickle.dumps(bigimg.open(tmp_path / "there" / target.name)))
    np.testing.assert_array_equal(image[0], wanted)


@pytest.mark.parametrize("how", ["gone", "longer", "other bytes", "another image"])
def test_without_its_source_the_reduced_levels_open_and_level_0_says_so(
    how: str, pair: tuple[Path, Path]
) -> None:
    source, target = pair
    data = source.read_bytes()
    source.unlink()
    if how == "longer":
        source.write_bytes(data + b"\0")
    elif how == "other bytes":
        source.write_bytes(data[:-300] + bytes(b ^ 1 for b in data[-300:]))
    elif how == "another image":
        tifffile.imwrite(source, noise((700, 900, 3), "u1", seed=3), photometric="rgb")
    what = "which is gone: put it back there" if how == "gone" else r"which has changed \(.*\): put back what"
    with pytest.raises(
        InputError, match=rf"levels 0 to 1 are read from .*a\.tif, {what}.*level=2 can be opened"
    ):
        bigimg.open(target).compute()
    tree = bigimg.open_pyramid(target)
    assert tree["scale2"]["image"].compute().shape == (3, 175, 225)
    with pytest.raises(InputError, match="levels 0 to 1"):
        tree["scale1"]["image"].compute()
    assert bigimg.stats(target)["count"].values.tolist() == [630000] * 3
    assert bigimg.thumbnail(target, 40).shape == (31, 40, 3)
    found = bigimg.verify(target, progress=False)
    assert found.source is None  # nothing was compared
    if how == "gone":  # the store itself is whole
        assert found.ok
        assert any("read from" in note for note in found.notes)
    else:
        assert [(each.kind, "read from" in each.message) for each in found.findings] == [("source", True)]
    assert bigimg.verify(target, quick=True, progress=False).ok


def test_a_thumbnail_does_not_open_the_source(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.opening.finer_levels.open_place", None)
    bigimg.thumbnail(pair[1], 40)
    bigimg.histogram(pair[1])


def test_packed_or_unpacked_elsewhere_it_is_said_that_the_source_is_not_there(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    beside, folder = tmp_path / "a.levels.ozx", tmp_path / "elsewhere"
    folder.mkdir()
    assert not bigimg.pack(pair[1], beside, **QUIET).notes
    for done in (
        bigimg.pack(pair[1], folder / "a.ozx", **QUIET),
        bigimg.unpack(beside, folder / "a.ome.zarr", **QUIET),
    ):
        assert f"read from {folder / 'a.tif'}, and nothing is there" in done.notes[0]
        assert done.notes[0] in str(done)
    assert not bigimg.unpack(beside, tmp_path / "b.ome.zarr", **QUIET).notes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "gaussian"}, "use another method"),
        ({"levels": 1}, "one level alone"),
        ({"chunks": 64, "shards": 320}, "shards of 2, 4 or 8 chunks"),
    ],
)
def test_what_leaves_no_level_to_store_is_refused(
    settings: Any, message: str, slide: Path, tmp_path: Path
) -> None:
    for ask in (bigimg.plan, bigimg.convert):
        with pytest.raises(UsageError, match=message):
            ask(slide, tmp_path / "a.ome.zarr", levels_only=True, **settings)
    assert not list(tmp_path.iterdir())


def test_the_source_must_be_files_of_this_machine(
    slide: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    for source in (noise((700, 900), "u1"), str(slide.parent / "*.tif"), pair[1]):
        with pytest.raises(UsageError, match="must be a file, or a folder of files"):
            bigimg.convert(source, tmp_path / "b.ome.zarr", chunks=64, levels_only=True, **QUIET)
    with pytest.raises(UsageError, match="a label image is stored whole"):
        bigimg.write(np.ones((700, 900), bool), pair[1] / "labels" / "a", levels_only=True, progress=False)


def test_an_interrupted_run_goes_on_and_is_not_taken_for_a_whole_store(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bigimg.faces.convert import convert_to_store

    target = tmp_path / "a.ome.zarr"
    how: Any = {"chunks": 64, "workers": 1, **QUIET}

    def stop(step: str) -> None:
        if step == "block" and next(blocks) == 3:
            raise KeyboardInterrupt

    blocks = iter(range(100))
    monkeypatch.setattr(commit, "hook", stop)
    monkeypatch.setattr(batch, "MOST", 1)
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(slide, target, levels_only=True, **how)
    monkeypatch.undo()
    assert not target.exists()
    with pytest.raises(ResumeError):
        convert_to_store(slide, target, **how)
    assert convert_to_store(slide, target, levels_only=True, **how).blocks_resumed == 4
    assert bigimg.verify(target, progress=False).ok


def test_its_levels_follow_an_edit_and_an_edit_by_others(pair: tuple[Path, Path]) -> None:
    _, target = pair
    before = bigimg.open(target).values
    bigimg.edit(target, spacing="y=0.25,x=0.25um", channels=["a", "b", "c"])
    for level, step in ((0, 0.25), (1, 0.5), (2, 1.0)):
        image = bigimg.open(target, level=level)
        assert image.bigimg.spacing["x"] == pytest.approx(step)
        assert float(image.x[0]) == pytest.approx((step - 0.25) / 2)
    assert bigimg.open(target).c.values.tolist() == ["a", "b", "c"]
    document = json.loads((target / "zarr.json").read_text())
    for dataset in document["attributes"]["ome"]["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"][0]["scale"][1:] = [4.0, 4.0]
        dataset["coordinateTransformations"][1]["translation"][1:] = [1.5, 1.5]
    (target / "zarr.json").write_text(json.dumps(document))
    assert bigimg.open(target).bigimg.spacing["x"] == pytest.approx(1.0)
    assert float(bigimg.open(target).x[0]) == pytest.approx(0.0)
    np.testing.assert_array_equal(bigimg.open(target), before)
    assert bigimg.verify(target, progress=False, accept=True).ok
    assert bigimg.open(target, level=1).bigimg.spacing["x"] == pytest.approx(2.0)


@pytest.mark.parametrize("level", [2, 3])
def test_labels_lie_on_the_levels_that_are_stored(level: int, pair: tuple[Path, Path]) -> None:
    _, target = pair
    with pytest.raises(UsageError, match="700 pixels along y, and the image has 175, 88, 44 in its levels"):
        bigimg.write(bigimg.open(target)[0] < 100, target / "labels" / "dark", progress=False)
    image = bigimg.open(target, level=level)
    bigimg.write(image[0] < 100, target / "labels" / "dark", progress=False)
    found = bigimg.open(target / "labels" / "dark")
    np.testing.assert_array_equal(found, image.values[0] < 100)
    np.testing.assert_array_equal(found.x, image.x)
    assert bigimg.verify(target, progress=False).ok


def test_a_check_counts_level_0_again_and_compares_with_it(
    pair: tuple[Path, Path], slide: Path, tmp_path: Path
) -> None:
    other = tmp_path / "b.tif"
    pixels = tifffile.imread(slide)
    pixels[8:12, 8:12] = 255 - pixels[8:12, 8:12]
    tifffile.imwrite(other, pixels, tile=(96, 112), photometric="rgb")
    found = bigimg.verify(pair[1], source=other, progress=False)
    assert {each.kind for each in found.findings} == {"source", "statistics"}
    assert any("chunk (0, 0, 0): " in each.message for each in found.findings)


def test_on_the_command_line(slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.levels.ome.zarr"
    asked = ("convert", slide, target, "--chunks", 64, "--levels-only")
    plan = str(bigimg.plan(slide, target, chunks=64, levels_only=True))
    assert "level 1  c 3 y 350 x 450" in plan
    assert plan.count("read from the source") == 2
    planned = command(*asked, "--dry-run", "--json", scratch=tmp_path).json
    assert [each["objects"] for each in planned["levels"][:2]] == [0, 0]
    done = command(*asked, "--json", scratch=tmp_path)
    assert done.code == 0
    assert done.peak_bytes <= planned["peak_bytes"]
    files = sum(len(names) for _, _, names in os.walk(target))
    assert files == planned["files"]
    assert done.json["stored_bytes"] < 0.1 * 700 * 900 * 3


def test_on_the_web_it_has_the_reduced_levels(pair: tuple[Path, Path]) -> None:
    pytest.importorskip("aiohttp")
    folder = pair[1].parent
    with serving() as server:
        server.files = {
            f"/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }
        url = server.url(f"/{pair[1].name}")
        assert bigimg.open(url, level=2).compute().shape == (3, 175, 225)
        with pytest.raises(
            InputError, match=r"read from a\.tif beside it, and it is on no disk of this machine"
        ):
            bigimg.open(url)


def test_pixels_that_a_cut_source_lacks_are_left_out_as_in_a_whole_store(slide: Path, tmp_path: Path) -> None:
    data = slide.read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) * 3 // 4])
    how: Any = {"chunks": 64, "allow_partial": True, **QUIET}
    whole, reduced = tmp_path / "a.ome.zarr", tmp_path / "a.levels.ome.zarr"
    bigimg.convert(tmp_path / "cut.tif", whole, **how)
    bigimg.convert(tmp_path / "cut.tif", reduced, levels_only=True, **how)
    for level in range(3):
        one, other = (bigimg.open(path, level=level) for path in (whole, reduced))
        np.testing.assert_array_equal(one, other)
        assert one.attrs["missing"] == other.attrs["missing"]
    assert bigimg.info(reduced).missing > 0
    assert bigimg.verify(reduced, progress=False).ok


def _saying(target: Path, **changed: Any) -> StoreReader:
    """The store, as if it said other values of its source."""
    store = open_store(target)
    assert store.image.finer is not None
    finer = finer_of({"source": {**store.image.finer.to_json(), **changed}})
    return StoreReader(with_source(replace(store, image=replace(store.image, finer=finer))))


@pytest.mark.parametrize("chosen", [{"axis": [1]}, {"series": "no such"}, {"part": "none"}])
def test_options_that_cannot_be_are_an_error_of_input(chosen: Any, pair: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="which cannot be opened"):
        _saying(pair[1], options=chosen).read((slice(0, 1), slice(0, 8), slice(0, 8)))


@pytest.mark.parametrize(
    "changed",
    [
        {"options": {"bogus": 1}},
        {"access": {"kind": "foo", "why": "", "order": []}},
        {"access": {"kind": "random", "why": "", "order": [], "fixed_bytes": -(10**12)}},
    ],
)
def test_a_block_that_cannot_be_is_refused(changed: Any, pair: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="source has"):
        _saying(pair[1], **changed)


def test_a_pass_plans_with_what_the_source_itself_costs(pair: tuple[Path, Path], tmp_path: Path) -> None:
    untrue = {"kind": "random", "why": "", "order": [], "fixed_bytes": 0, "read_bytes": 0}
    reader = _saying(pair[1], access=untrue)
    made, _ = planned(pair[1], reader, tmp_path / "b.ome.zarr", options(memory="4GB"), {})
    honest = open_source(pair[0]).access
    assert (made.access.fixed_bytes, made.access.read_bytes) == (honest.fixed_bytes, honest.read_bytes)


def test_an_upgrade_keeps_the_levels_and_the_source(slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.levels.ome.zarr"
    bigimg.convert(slide, target, chunks=64, levels_only=True, **QUIET)
    before = [bigimg.open(target, level=level).to_numpy() for level in range(4)]
    places = bigimg.open(target, level=2).x.to_numpy()
    bigimg.upgrade(target, to="0.6")
    assert bigimg.verify(target).ok
    for level, pixels in enumerate(before):
        np.testing.assert_array_equal(bigimg.open(target, level=level), pixels)
    np.testing.assert_allclose(bigimg.open(target, level=2).x, places)


def test_another_file_of_the_same_size_is_refused_before_it_is_opened(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    source.write_bytes(bytes(source.stat().st_size))
    monkeypatch.setattr("bigimg.opening.finer_levels.open_place", None)
    with pytest.raises(InputError, match=r"which has changed \(SHA-256"):
        bigimg.open(target).compute()


def test_a_thumbnail_needs_no_source_that_is_gone(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((700, 900), 7, np.uint8), tile=(64, 64))
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(tmp_path / "a.tif", store, chunks=64, levels_only=True, **QUIET)
    (tmp_path / "a.tif").unlink()
    with pytest.warns(UserWarning, match="is gone: drawn from level 2"):
        small = bigimg.thumbnail(store, 800)
    np.testing.assert_array_equal(small, np.full((175, 225), 7, np.uint8))
