"""Verify: it finds every harm and names the place, and finds nothing in a store that is intact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.errors import BudgetError, InputError, InputNotFoundError, UsageError
from bigimg.omezarr import shard as shard_module
from bigimg.omezarr.manifest import write_array, write_manifest, write_statistics
from bigimg.omezarr.metadata import dumps
from bigimg.omezarr.shard import ShardLayout, write_shard
from bigimg.places.folder_target import FolderTarget
from bigimg.reader import Access
from bigimg.verification import store as verify_module
from bigimg.verification.report import Finding, Report
from tests.conversion.faults import Harm, drop_chunk, files, flip, harmed, lose, shards, swap, truncate
from tests.conversion.sources import CountingReader, noise

STORES: dict[str, tuple[str, tuple[int, ...], str, dict[str, Any]]] = {
    # why: (dims, shape, type, options)
    "a picture in colour, odd sizes": (
        "cyx",
        (3, 75, 91),
        "u1",
        {"chunks": (1, 8, 8), "shards": (3, 32, 32)},
    ),
    "a volume of 16 bits": ("zyx", (21, 34, 17), "u2", {"chunks": 4, "shards": 16}),
    "floats, gaussian": ("yx", (61, 50), "f4", {"chunks": 8, "shards": 16, "method": "gaussian"}),
    "labels": ("zyx", (13, 30, 22), "u4", {"chunks": 4, "shards": 8, "kind": "labels", "codec": "zstd"}),
    "time and channels": ("tczyx", (2, 2, 9, 20, 18), "i2", {"chunks": 4, "shards": 8, "codec": "none"}),
    "one chunk": ("yx", (5, 6), "?", {}),
}


def made(target: Path, name: str) -> tuple[Path, CountingReader]:
    dims, shape, dtype, asked = STORES[name]
    image = noise(shape, dtype)
    if asked.get("kind") == "labels":
        image = image % 5
    reader = CountingReader(image, dims)
    bigimg.convert(reader, target, progress=False, **asked)
    return target, reader


@pytest.fixture(scope="module", params=STORES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, CountingReader]:
    """A store to be harmed, a whole copy of it, and its source."""
    folder = tmp_path_factory.mktemp("verify")
    root, reader = made(folder / "a.ome.zarr", request.param)
    shutil.copytree(root, folder / "whole")
    return root, folder / "whole", reader


@pytest.fixture
def colour(tmp_path: Path) -> tuple[Path, CountingReader]:
    return made(tmp_path / "a.ome.zarr", "a picture in colour, odd sizes")


def places(report: Report) -> list[tuple[Any, ...]]:
    return [(f.kind, f.file, f.level, f.shard, f.chunk) for f in report.findings]


# ------------------------------------------------------------------------------------------------------- intact


def test_nothing_is_found_in_an_intact_store(pair: tuple[Path, Path, CountingReader]) -> None:
    root, _, reader = pair
    before = {path: path.read_bytes() for path in files(root)}
    for report in (bigimg.verify(root, quick=True), bigimg.verify(root), bigimg.verify(root, reader)):
        assert (report.ok, report.findings, report.doubts, report.notes) == (True, (), (), ())
        assert report.objects == len(files(root)), "each file is looked at once"
        assert "intact" in report.verdict
    assert {path: path.read_bytes() for path in files(root)} == before
    sizes = sum(zarr.open_array(folder, mode="r").nbytes for folder in root.glob("[0-9]*"))
    assert report.decoded_bytes == sizes


@settings(max_examples=40)
@given(
    data=st.data(),
    dims=st.sampled_from(("yx", "zyx", "cyx", "tczyx")),
    dtype=st.sampled_from(("u1", "u2", "i2", "u4", "i8", "f4", "f8", "?")),
    method=st.sampled_from(("mean", "mode", "nearest", "min", "max", "gaussian")),
)
def test_whatever_is_converted_is_intact(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dims: str, dtype: str, method: str
) -> None:
    longest = {"yx": 60, "zyx": 23, "cyx": 40, "tczyx": 11}[dims]
    shape = tuple(data.draw(st.integers(1, 3 if d in "tc" else longest)) for d in dims)
    chunks = {d: data.draw(st.sampled_from((3, 4, 8))) for d in dims if d in "zyx"}
    shards_ = {d: n * data.draw(st.sampled_from((1, 2, 3))) for d, n in chunks.items()}
    image = noise(shape, dtype)
    if dtype == "f4":
        image.ravel()[::3] = np.nan
    reader = CountingReader(image, dims)
    root = tmp_path_factory.mktemp("case") / "a.ome.zarr"
    bigimg.convert(reader, root, chunks=chunks, shards=shards_, method=method, progress=False)
    report = bigimg.verify(root, reader)
    assert (report.findings, report.notes) == ((), ())


@pytest.mark.parametrize("order", [("y", "x", "c"), ("c", "y", "x")])
def test_an_ordered_source_is_read_once_and_in_order(order: tuple[str, ...], tmp_path: Path) -> None:
    reader = CountingReader(noise((3, 90, 40)), "cyx", chunks=(3, 16, 40) if order[0] == "y" else (1, 90, 40),
                            access=Access("sequential", "rows", order))  # fmt: skip
    bigimg.convert(reader, tmp_path / "a.ome.zarr", chunks=16, shards=32, progress=False)
    reader.met.clear()
    reader.regions.clear()
    assert bigimg.verify(tmp_path / "a.ome.zarr", reader).ok
    starts = [tuple(region["cyx".index(name)].start for name in order) for region in reader.regions]
    assert starts == sorted(starts)
    assert sum(np.prod([s.stop - s.start for s in region]) for region in reader.regions) == reader.array.size


def test_each_chunk_is_decoded_once_but_for_the_joints(
    colour: tuple[Path, CountingReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With blocks of a shard; a level between two chains is decoded again, a sixteenth of the pixels of a picture."""
    decoded: list[tuple[int, ...]] = []
    plain = shard_module.ShardFile.read_into

    def counted(self: Any, out: Any, region: Any) -> None:
        decoded.append(out.shape)
        plain(self, out, region)

    monkeypatch.setattr(shard_module.ShardFile, "read_into", counted)
    assert bigimg.verify(colour[0]).ok
    pixels = sum(int(np.prod(shape)) for shape in decoded)
    stored = sum(zarr.open_array(folder, mode="r").size for folder in colour[0].glob("[0-9]*"))
    assert stored <= pixels <= stored * 17 / 16


def test_padding_is_left_out_of_the_statistics_again(tmp_path: Path) -> None:
    reader = CountingReader(noise((40, 50), "u2") % 50, "yx", padding=(0, 3))
    bigimg.convert(reader, tmp_path / "a.ome.zarr", chunks=8, progress=False)
    assert bigimg.verify(tmp_path / "a.ome.zarr", reader).ok


# -------------------------------------------------------------------------------------------------------- harm


def check_harm(pair: tuple[Path, Path, CountingReader], harm: Harm, seeds: range) -> int:
    """Do harm once a seed; each is found, by a line that names a file concerned. Return how often it was done."""
    root, whole, _ = pair
    done = 0
    for seed in seeds:
        with harmed(root, whole, harm, seed) as concerned:
            if concerned is None:
                continue
            done += 1
            report = bigimg.verify(root)
            names = {path.relative_to(root).as_posix() for path in concerned}
            assert not report.ok, (harm.__name__, seed, names)
            # The list of objects accuses others when it is itself wrong.
            if "bigimg/manifest/zarr.json" not in names:
                assert names <= {finding.file for finding in report.findings}, (harm.__name__, seed, report)
    assert bigimg.verify(root).ok, "the store was made whole again"
    return done


HARMS = {flip: 14, lose: 8, swap: 8, truncate: 6, drop_chunk: 6}
"""Times for each store; the full numbers, over all stores, are in ``tests/faults/test_damage.py``."""


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_every_harm_is_found(pair: tuple[Path, Path, CountingReader], harm: Harm) -> None:
    assert check_harm(pair, harm, range(HARMS[harm])) > 0


def test_every_byte_of_every_document(colour: tuple[Path, CountingReader]) -> None:
    """Metadata is small enough to be tried out: a quick check finds a flip wherever it is.

    In the root it may be an edit of somebody, and is told as one.
    """
    root, _ = colour
    documents = [path for path in files(root) if path.name == "zarr.json"]
    assert len(documents) >= 9
    rng = np.random.default_rng(0)
    for path in documents:
        data = path.read_bytes()
        for i in sorted(rng.choice(len(data), min(len(data), 25), replace=False)):
            path.write_bytes(data[:i] + bytes([data[i] ^ (1 << int(rng.integers(8)))]) + data[i + 1 :])
            report = bigimg.verify(root, quick=True)
            assert not report.ok or (path == root / "zarr.json" and report.edits), (path, i)
        path.write_bytes(data)


@pytest.mark.parametrize("harm", [lose, truncate])
def test_a_quick_check_finds_losses_and_cuts(pair: tuple[Path, Path, CountingReader], harm: Harm) -> None:
    root, whole, _ = pair
    for seed in range(20):
        with harmed(root, whole, harm, seed):
            assert not bigimg.verify(root, quick=True).ok


def test_a_quick_check_opens_no_shard(
    colour: tuple[Path, CountingReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a shard was opened")

    monkeypatch.setattr(shard_module.ShardFile, "__init__", refused)
    assert bigimg.verify(colour[0], quick=True).ok


def test_all_damage_is_found_and_named_by_chunk(colour: tuple[Path, CountingReader]) -> None:
    """Several at once: two chunks of one shard, a lost one, one in the place of another, a cut, a stranger."""
    root, _ = colour
    path = root / "0/c/0/0/0"  # chunks of (1, 8, 8) in shards of (3, 32, 32): 48 chunks in C order
    data = bytearray(path.read_bytes())
    table = np.frombuffer(data[-48 * 16 - 4 : -4], "<u8").reshape(3, 4, 4, 2)
    for position in ((0, 1, 2), (2, 3, 0)):
        data[int(table[position][0]) + 5] ^= 8
    path.write_bytes(data)
    (root / "0/c/0/1/1").unlink()
    shutil.copy(root / "0/c/0/2/0", root / "0/c/0/2/1")
    (root / "1/c/0/1/1").write_bytes((root / "1/c/0/1/1").read_bytes()[:-9])
    (root / "0/c/0/9").mkdir()
    (root / "0/c/0/9/9").write_bytes(b"")
    (root / ".stranger").write_bytes(b"")
    report = bigimg.verify(root)
    assert set(places(report)) == {
        ("corrupt", "0/c/0/0/0", 0, (0, 0, 0), (0, 1, 2)),
        ("corrupt", "0/c/0/0/0", 0, (0, 0, 0), (2, 3, 0)),
        ("missing", "0/c/0/1/1", 0, (0, 1, 1), None),
        ("corrupt", "0/c/0/2/1", 0, (0, 2, 1), None),
        ("corrupt", "1/c/0/1/1", 1, (0, 1, 1), None),
        ("extra", "0/c/0/9/9", None, None, None),
        ("extra", ".stranger", None, None, None),
    }
    assert len(report.findings) == 7, "each thing is said once"
    assert "statistics were not counted again" in report.notes[0]
    assert all("\n" not in str(finding) for finding in report.findings)


def test_an_object_of_the_right_length_in_the_wrong_place(tmp_path: Path) -> None:
    """Without compression all shards have one length, and each is whole in itself: only the manifest tells."""
    reader = CountingReader(noise((64, 64)), "yx")
    root = tmp_path / "a.ome.zarr"
    bigimg.convert(reader, root, chunks=8, shards=32, codec="none", progress=False)
    shutil.copy(root / "0/c/0/0", root / "0/c/1/1")
    assert bigimg.verify(root, quick=True).ok, "lengths say nothing here"
    report = bigimg.verify(root)
    assert places(report) == [("corrupt", "0/c/1/1", 0, (1, 1), None)]
    assert "holds other pixels than were written" in str(report.findings[0])


def test_a_chunk_dropped_from_an_index_is_named(colour: tuple[Path, CountingReader], tmp_path: Path) -> None:
    root, _ = colour
    (path,) = drop_chunk(root, np.random.default_rng(3)) or ()
    (finding,) = bigimg.verify(root).findings
    assert (finding.kind, root / finding.file) == ("missing", path)
    assert finding.chunk is not None
    assert finding.shard == tuple(
        c // n for c, n in zip(finding.chunk, chunks_per_shard(root, finding), strict=True)
    )
    # By zarr, which reads the same index: the chunk is where zeros came from that were noise.
    array = zarr.open_array(root / str(finding.array), mode="r")
    assert array.chunks is not None
    part = tuple(slice(i * c, (i + 1) * c) for i, c in zip(finding.chunk, array.chunks, strict=True))
    assert not array[part].any()


def chunks_per_shard(root: Path, finding: Finding) -> tuple[int, ...]:
    array = zarr.open_array(root / str(finding.array), mode="r")
    assert array.shards is not None
    return tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))


@pytest.mark.parametrize(
    "lost", ["bigimg/manifest", "bigimg/provenance", "bigimg/histogram", "bigimg", "1", "0/c"]
)
def test_lost_folders(colour: tuple[Path, CountingReader], lost: str) -> None:
    shutil.rmtree(colour[0] / lost)
    for quick in (True, False):
        report = bigimg.verify(colour[0], quick=quick)
        assert not report.ok
        assert any(finding.file.startswith(lost) for finding in report.findings), report


def test_unreadable_files_are_found(colour: tuple[Path, CountingReader]) -> None:
    """A folder in the place of an object stands for what the disk cannot read: opening works, reading fails."""
    path = colour[0] / "0/c/0/0/1"
    path.unlink()
    path.mkdir()
    (finding,) = bigimg.verify(colour[0]).findings
    assert (finding.kind, finding.file) == ("corrupt", "0/c/0/0/1")


# ------------------------------------------------------------- written wrongly, with checksums that are right


def rewrite(root: Path, level: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write a level again with other pixels, and a manifest that vouches for them."""
    array = zarr.open_array(root / str(level), mode="r")
    layout_of = bigimg_layouts(root)
    layout = layout_of[level]
    pixels = change(array[...].copy())
    records = {}
    for i, known in layout_of.items():
        records[i] = np.asarray(zarr.open_array(root / f"bigimg/manifest/{i}", mode="r")[...])
        if i == level:
            shutil.rmtree(root / str(level) / "c")
            for index in np.ndindex(*records[i].shape[:-1]):
                part = tuple(slice(p * s, (p + 1) * s) for p, s in zip(index, known.shard, strict=True))
                record = write_shard(FolderTarget(root / str(level), root), index, pixels[part], layout)
                records[i][index] = record.length, record.crc32c, record.index_crc32c
    list_again(root, records)


def bigimg_layouts(root: Path) -> dict[int, ShardLayout]:
    from bigimg.omezarr.open import open_store

    return {i: meta.layout for i, meta in enumerate(open_store(root).arrays) if meta.layout is not None}


def list_again(root: Path, records: dict[int, np.ndarray] | None = None) -> None:
    """Write the manifest again for what lies there."""
    if records is None:
        records = {
            int(folder.name): np.asarray(zarr.open_array(folder, mode="r")[...])
            for folder in (root / "bigimg/manifest").iterdir()
            if folder.is_dir()
        }
    shutil.rmtree(root / "bigimg/manifest")
    write_manifest(root, records, {"zarr.json": (root / "zarr.json").read_bytes()})


@pytest.mark.parametrize("name", [name for name in STORES if name != "one chunk"])
def test_a_level_that_does_not_follow(name: str, tmp_path: Path) -> None:
    root, _ = made(tmp_path / "a.ome.zarr", name)
    chunk = bigimg_layouts(root)[1].chunk

    def change(pixels: np.ndarray) -> np.ndarray:
        pixels.reshape(-1)[-1] += 1  # the last pixel of the last chunk
        return pixels

    rewrite(root, 1, change)
    shape = zarr.open_array(root / "1", mode="r").shape
    found = [finding for finding in bigimg.verify(root).findings if finding.level == 1]
    assert [(f.kind, f.chunk) for f in found] == [
        ("derived", tuple((n - 1) // c for n, c in zip(shape, chunk, strict=True)))
    ]
    assert "1 of " in found[0].message
    assert bigimg.verify(root, quick=True).ok


def test_statistics_that_do_not_count_these_pixels(colour: tuple[Path, CountingReader]) -> None:
    """A pixel of level 0 is another, and everything else was made to agree: histogram and sum still tell."""
    root, reader = colour

    def change(pixels: np.ndarray) -> np.ndarray:
        pixels[0, 0, 0] ^= 64
        return pixels

    rewrite(root, 0, change)
    kinds = {finding.kind for finding in bigimg.verify(root).findings}
    assert kinds == {"statistics", "derived"}
    found = [f for f in bigimg.verify(root, reader).findings if f.kind == "source"]
    assert [(f.file, f.chunk) for f in found] == [("0/c/0/0/0", (0, 0, 0))]
    assert "1 of 64 pixels are not those of the source" in found[0].message


def test_statistics_against_the_histogram(colour: tuple[Path, CountingReader]) -> None:
    root, _ = colour
    document = json.loads((root / "bigimg/zarr.json").read_text())
    document["attributes"]["statistics"]["channels"][1]["sum"] += 1
    (root / "bigimg/zarr.json").write_bytes(dumps(document))
    list_again(root)
    (finding,) = bigimg.verify(root, quick=True).findings
    assert finding.kind == "statistics"
    assert "channel 1: sum is" in finding.message
    shutil.rmtree(root / "bigimg/histogram")
    write_array(root / "bigimg/histogram", np.ones((3, 256), np.uint64))
    list_again(root)
    found = [finding.message for finding in bigimg.verify(root, quick=True).findings]
    assert any("channel 0: count is 6825, by the histogram 256" in message for message in found)


def test_statistics_of_floats_and_wide_integers(tmp_path: Path) -> None:
    for name in ("floats, gaussian", "labels"):
        root, _ = made(tmp_path / f"{name}.ome.zarr", name)
        document = json.loads((root / "bigimg/zarr.json").read_text())
        entry = document["attributes"]["statistics"]["channels"][0]
        entry["max"] += 1
        shutil.rmtree(root / "bigimg/manifest")
        records = {}
        (root / "bigimg/zarr.json").unlink()
        write_statistics(root, {"channels": [entry]}, None)
        for i, layout in bigimg_layouts_without_manifest(root).items():
            records[i] = recorded(root, i, layout)
        write_manifest(root, records, {"zarr.json": (root / "zarr.json").read_bytes()})
        (finding,) = bigimg.verify(root).findings
        assert (finding.kind, "max is" in finding.message) == ("statistics", True)


def bigimg_layouts_without_manifest(root: Path) -> dict[int, ShardLayout]:
    from bigimg.omezarr.parse import parse_array

    folders = sorted(root.glob("[0-9]*"))
    parsed = {int(f.name): parse_array(json.loads((f / "zarr.json").read_text()), source="") for f in folders}
    return {i: meta.layout for i, meta in parsed.items() if meta.layout is not None}


def recorded(root: Path, level: int, layout: ShardLayout) -> np.ndarray:
    shape = tuple(-(-n // s) for n, s in zip(layout.shape, layout.shard, strict=True))
    rows = np.zeros((*shape, 3), np.uint64)
    for index in np.ndindex(*shape):
        record = shard_module.read_record(root / str(level), index, layout)
        rows[index] = record.length, record.crc32c, record.index_crc32c
    return rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ome: transformations(ome, 1)[0]["scale"].__setitem__(1, 3.0), "level 1: scale"),
        (lambda ome: transformations(ome, 2)[1]["translation"].__setitem__(2, 0.0), "level 2: translation"),
        (lambda ome: ome["multiscales"][0]["datasets"].pop(), "lists the levels"),
        (lambda ome: ome["multiscales"][0]["axes"].pop(), "for 2 axes"),
    ],
    ids=["scale", "translation", "levels", "axes"],
)
def test_metadata_that_contradicts_itself(
    colour: tuple[Path, CountingReader], change: Callable[[Any], None], said: str
) -> None:
    """The root was written wrongly, and the manifest vouches for it."""
    document = json.loads((colour[0] / "zarr.json").read_text())
    change(document["attributes"]["ome"])
    (colour[0] / "zarr.json").write_bytes(dumps(document))
    list_again(colour[0])
    for quick in (True, False):
        found = bigimg.verify(colour[0], quick=quick).findings
        assert {finding.kind for finding in found} == {"metadata"}
        assert any(said in finding.message for finding in found), found


def transformations(ome: Any, level: int) -> Any:
    return ome["multiscales"][0]["datasets"][level]["coordinateTransformations"]


# ---------------------------------------------------------------------------------------------- edits of others


def rename_a_channel(root: Path) -> None:
    """As a script with zarr-python does."""
    group = zarr.open_group(root, mode="r+")
    ome = dict(group.attrs["ome"])
    ome["omero"] = {"channels": [{"label": name, "color": "FFFFFF"} for name in ("one", "two", "three")]}
    group.attrs["ome"] = ome


def test_an_edit_is_told_and_no_damage(colour: tuple[Path, CountingReader]) -> None:
    root, reader = colour
    rename_a_channel(root)
    for report in (bigimg.verify(root, quick=True), bigimg.verify(root), bigimg.verify(root, reader)):
        assert (report.ok, report.accepted, report.findings) == (True, False, ())
        assert "zarr.json: name of channel 0 is one, was R" in report.edits
        assert "nothing damaged" in report.verdict
        assert "accept=True takes them over" in report.verdict
        assert report.to_dict()["edits"] == list(report.edits)
        assert "  edited     zarr.json: name of channel 0" in repr(report)


def test_an_edit_is_taken_over(colour: tuple[Path, CountingReader]) -> None:
    root, reader = colour
    rename_a_channel(root)
    before = (root / "zarr.json").read_bytes()
    report = bigimg.verify(root, quick=True, accept=True)
    assert (report.ok, report.accepted, len(report.edits) > 0) == (True, True, True)
    assert "edits of the metadata (taken over)" in report.verdict
    again = bigimg.verify(root, reader)
    assert (again.ok, again.edits, again.accepted) == (True, (), False)
    assert bigimg.open(root).bigimg.channels == ("one", "two", "three")
    ome = json.loads(before)["attributes"]["ome"]
    assert json.loads((root / "zarr.json").read_bytes())["attributes"]["ome"] == ome
    (root / "zarr.json").write_bytes((root / "zarr.json").read_bytes().replace(b'"one"', b'"four"'))
    assert [edit for edit in bigimg.verify(root, quick=True).edits if "channel 0 is four, was one" in edit]


def test_damage_is_not_taken_over(colour: tuple[Path, CountingReader]) -> None:
    root, _ = colour
    rename_a_channel(root)
    (root / "0/c/0/1/1").unlink()
    document = (root / "zarr.json").read_bytes()
    report = bigimg.verify(root, accept=True)
    assert (report.ok, report.accepted, len(report.edits) > 0) == (False, False, True)
    assert "the edits were not taken over, because something is wrong" in report.notes
    assert (root / "zarr.json").read_bytes() == document
    assert bigimg.verify(root, quick=True).edits == report.edits


def test_nothing_to_take_over(colour: tuple[Path, CountingReader]) -> None:
    root, _ = colour
    before = {path: path.read_bytes() for path in files(root)}
    report = bigimg.verify(root, accept=True)
    assert (report.ok, report.accepted, "intact" in report.verdict) == (True, False, True)
    assert {path: path.read_bytes() for path in files(root)} == before


def test_edited_labels_are_told_and_taken_over(colour: tuple[Path, CountingReader]) -> None:
    root, _ = colour
    bigimg.write(bigimg.mask(root, below=50), root / "labels/m", progress=False)
    zarr.open_group(root / "labels/m", mode="r+").attrs["by"] = "somebody"
    assert bigimg.verify(root).edits == ("labels/m/zarr.json: by is new",)
    assert bigimg.verify(root, quick=True, accept=True).accepted
    assert bigimg.verify(root).edits == ()
    assert zarr.open_group(root / "labels/m", mode="r").attrs["by"] == "somebody"


def test_a_label_that_lies_no_more_on_its_image_is_noted(colour: tuple[Path, CountingReader]) -> None:
    """Others moved the image, and the label stayed."""
    root, _ = colour
    bigimg.write(bigimg.mask(root, below=50), root / "labels/m", progress=False)
    assert bigimg.verify(root).notes == ()
    group = zarr.open_group(root, mode="r+")
    ome = dict(group.attrs["ome"])
    transformations(ome, 0)[0]["scale"] = [1, 0.5, 0.5]
    group.attrs["ome"] = ome
    report = bigimg.verify(root, quick=True)
    said = "labels/m: has another spacing or origin than level 0 of its image: correct one of them"
    assert (report.ok, report.notes) == (True, (said,))
    bigimg.edit(root / "labels/m", spacing="y=0.5,x=0.5")
    assert bigimg.verify(root, quick=True).notes == ()


def test_groups_of_others_are_no_damage(colour: tuple[Path, CountingReader]) -> None:
    root, _ = colour
    tables = zarr.open_group(root, mode="r+").create_group("tables")
    tables.create_group("nuclei").create_array("area", shape=(3,), dtype="f4")
    (root / "tables/nuclei/table.csv").write_text("a,b")
    report = bigimg.verify(root)
    assert (report.findings, report.notes) == ((), ("tables: written by others, and not checked",))
    (root / "folder").mkdir()
    (root / "folder/file").write_text("")
    assert [(f.kind, f.file) for f in bigimg.verify(root).findings] == [("extra", "folder/file")]


# --------------------------------------------------------------------------------------------------- the source


def test_another_source(colour: tuple[Path, CountingReader]) -> None:
    root, reader = colour
    other = reader.array.copy()
    other[1, 40, 50] ^= 1
    other[2, 74, 90] ^= 1
    found = bigimg.verify(root, CountingReader(other, "cyx")).findings
    assert [(f.kind, f.file, f.chunk) for f in found] == [
        ("source", "0/c/0/1/1", (1, 5, 6)), ("source", "0/c/0/2/2", (2, 9, 11)),
    ]  # fmt: skip
    found = bigimg.verify(root, CountingReader(other[:, :-1], "cyx")).findings
    assert [f.kind for f in found] == ["source"]
    assert "3 x 74 x 91" in found[0].message


def test_a_store_of_fewer_planes_than_its_source_promises(tmp_path: Path) -> None:
    """As a version made it that took a cut TIFF for a short one: found with the whole file and with the cut one."""
    volume, source, store = noise((20, 30, 40), "u2"), tmp_path / "a.tif", tmp_path / "a.zarr"
    tifffile.imwrite(source, volume, imagej=True, metadata={"axes": "ZYX"})
    for shorter in (volume[:13], volume[0]):
        bigimg.convert(bigimg.from_array(shorter, dims="zyx"[-shorter.ndim :]), store, progress=False)
        found = bigimg.verify(store, source).findings
        assert [f.kind for f in found] == ["source"]
        assert "20 x 30 x 40" in found[0].message
        shutil.rmtree(store)
    bigimg.convert(bigimg.from_array(volume[0], dims="yx"), store, progress=False)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 97 // 100])
    with pytest.raises(InputError, match=r"a\.tif: page \d+ "):
        bigimg.verify(store, source)


def test_spacing_that_was_given_is_noted_and_not_wrong(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise((30, 40)))
    bigimg.convert(tmp_path / "a.npy", tmp_path / "a.ome.zarr", spacing="y=2,x=2um", progress=False)
    report = bigimg.verify(tmp_path / "a.ome.zarr", tmp_path / "a.npy")
    assert report.ok
    assert "spacing along y is 2.0 in the store, 1.0 in the source" in report.notes


# ---------------------------------------------------------------------------------------------- stores of others


def others(
    root: Path, levels: list[np.ndarray], translations: list[float] | None = None, **more: Any
) -> zarr.Group:
    """Write levels as somebody else would: OME-Zarr 0.4, chunks of 8, no empty chunks."""
    group = zarr.create_group(root, zarr_format=2)
    datasets = []
    for i, pixels in enumerate(levels):
        array = group.create_array(str(i), shape=pixels.shape, dtype=pixels.dtype, chunks=(8, 8), **more)
        array[...] = pixels
        moved = [float(2**i - 1) / 2 if translations is None else translations[i]] * 2
        datasets.append({"path": str(i), "coordinateTransformations": [
            {"type": "scale", "scale": [2.0**i] * 2}, {"type": "translation", "translation": moved}]})  # fmt: skip
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return group


def halved(image: np.ndarray) -> np.ndarray:
    return image[::2, ::2]


def test_a_store_of_others_says_what_cannot_be_known(tmp_path: Path) -> None:
    image = noise((30, 20))
    image[:8, 8:16] = 0
    others(tmp_path / "s", [image, halved(image)])
    report = bigimg.verify(tmp_path / "s", CountingReader(image, "yx"))
    assert report.ok
    assert [(d.file, d.chunk) for d in report.doubts] == [("0/0.1", (0, 1))]
    assert "missing or fill value" in str(report.doubts[0])
    assert any("no manifest" in note for note in report.notes)
    (tmp_path / "s/0/1.1").write_bytes(b"nonsense of some length")
    report = bigimg.verify(tmp_path / "s")
    assert [(f.kind, f.file, f.chunk) for f in report.findings] == [("corrupt", "0/0/1.1"[2:], (1, 1))]
    assert "does not decode" in report.findings[0].message


@pytest.mark.parametrize(
    ("translations", "problem"),
    [([0.0, 0.5], False), ([0.0, 0.0], False), ([3.0, 3.5], False), ([0.0, 0.25], True)],
)
def test_half_pixel_offsets_of_others(translations: list[float], problem: bool, tmp_path: Path) -> None:
    image = noise((30, 20))
    others(tmp_path / "s", [image, halved(image)], translations)
    report = bigimg.verify(tmp_path / "s", quick=True)
    assert report.ok is not problem
    assert any("begins where level 0 does" in note for note in report.notes) is (translations[1] == 0)
    said = "level 1: begins 0.25 pixels from level 0 along y; 0 or 0.5 would be right"
    assert any(said in finding.message for finding in report.findings) is problem


def test_shapes_of_others_against_their_scales(tmp_path: Path) -> None:
    image = noise((30, 20))
    others(tmp_path / "floor", [noise((31, 21)), image[:15, :10]])
    assert bigimg.verify(tmp_path / "floor").ok
    others(tmp_path / "wrong", [image, image[::3, ::2]])
    (finding,) = bigimg.verify(tmp_path / "wrong").findings
    assert (finding.kind, finding.level) == ("metadata", 1)
    assert "10 pixels along y, of 30 at level 0, and its scale says 1 of 2" in finding.message


def test_label_ids_that_level_0_lacks(tmp_path: Path) -> None:
    image = np.repeat(np.repeat(np.array([[3, 9], [9, 40]], np.uint16), 12, 0), 12, 1)
    for name, coarse in (("mode", halved(image)), ("mean", halved(image) // 2 + 4)):
        group = others(tmp_path / name, [image, coarse])
        group.attrs["image-label"] = {"version": "0.4"}
    assert bigimg.verify(tmp_path / "mode").ok
    found = bigimg.verify(tmp_path / "mean").findings
    assert {(f.kind, f.level) for f in found} == {("derived", 1)}
    assert "ids that level 0 lacks (5, 8, 24)" in found[0].message
    assert bigimg.verify(tmp_path / "mean", quick=True).ok


def test_inner_chunks_of_a_layout_like_ours(colour: tuple[Path, CountingReader]) -> None:
    """A copy without our group is a store of others; what its shards do not list is a doubt."""
    root, _ = colour
    document = json.loads((root / "zarr.json").read_text())
    del document["attributes"]["bigimg"]
    (root / "zarr.json").write_text(json.dumps(document))
    shutil.rmtree(root / "bigimg")
    assert bigimg.verify(root).ok
    (path,) = drop_chunk(root, np.random.default_rng(0)) or ()
    report = bigimg.verify(root)
    assert report.ok
    assert [root / doubt.file for doubt in report.doubts] == [path]
    assert report.doubts[0].chunk is not None


@pytest.mark.parametrize("name", ["camera.ome", "coins.ome", "image-02", "image-03", "mni152_axial.ome"])
def test_real_stores_of_others_are_fine(name: str, data: Path) -> None:
    report = bigimg.verify(data / "ome-zarr" / f"{name}.zarr")
    assert report.ok, report


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such file"):
        bigimg.verify(tmp_path / "absent.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="give the folder of a store"):
        bigimg.verify(tmp_path / "empty")
    others(tmp_path / "s", [noise((30, 20))])
    (tmp_path / "s/.zattrs").write_text('{"multiscales": [{}]}')
    (finding,) = bigimg.verify(tmp_path / "s").findings
    assert finding.kind == "metadata"
    assert "incomplete" in finding.message


# ---------------------------------------------------------------------------------------------------- the faces


def test_a_budget_that_is_too_small(colour: tuple[Path, CountingReader]) -> None:
    with pytest.raises(BudgetError, match=r"checking its pixels needs .* allowed 20.0 MB: use memory="):
        bigimg.verify(colour[0], memory="20MB")
    with pytest.raises(UsageError, match="nothing can be compared"):
        bigimg.verify(colour[0], colour[1], quick=True)


def test_progress_reaches_the_total(colour: tuple[Path, CountingReader]) -> None:
    told: list[Any] = []
    bigimg.verify(colour[0], colour[1], progress=told.append)
    assert told[-1].done == told[-1].total > 0
    assert told[-1].stage == "source"


def test_the_report_is_frozen_readable_and_json(colour: tuple[Path, CountingReader]) -> None:
    (colour[0] / "0/c/0/0/0").unlink()
    report = bigimg.verify(colour[0])
    with pytest.raises(AttributeError):
        report.findings = ()  # type: ignore[misc]
    assert "1 thing wrong" in repr(report)
    assert "missing    0/c/0/0/0: level 0, the object is gone" in repr(report)
    said = json.loads(json.dumps(report.to_dict()))
    assert said["ok"] is False
    assert said["findings"][0]["shard"] == [0, 0, 0]
    assert report.peak_bytes is not None
    assert report.budget_bytes is not None
    assert report.peak_bytes <= report.budget_bytes


def test_the_command(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise((70, 90)))
    root = tmp_path / "a.ome.zarr"
    bigimg.convert(tmp_path / "a.npy", root, chunks=16, shards=32, progress=False)

    def command(*words: object) -> subprocess.CompletedProcess[str]:
        code = "from bigimg.cli import main; main()"
        return subprocess.run([sys.executable, "-W", "error", "-c", code, "verify", *map(str, words)],
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    fine = command(root, tmp_path / "a.npy")
    assert (fine.returncode, fine.stdout) == (0, "")
    assert ": intact (full check of" in fine.stderr
    (root / "0/c/1/0").unlink()
    wrong = command(root, "--quick")
    assert wrong.returncode == 5
    assert wrong.stdout == f"{root}/0/c/1/0: level 0, the object is gone; its pixels are lost, restore it\n"
    assert "1 thing wrong (quick check of" in wrong.stderr
    as_json = command(root, "--json", "-q")
    assert as_json.returncode == 5
    assert json.loads(as_json.stdout)["findings"][0]["file"] == "0/c/1/0"
    assert command(tmp_path / "absent").returncode == 3


def test_findings_do_not_fill_the_memory(
    colour: tuple[Path, CountingReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.verification.report.LONGEST_LIST", 5)
    for path in shards(colour[0]):
        path.unlink()
    report = bigimg.verify(colour[0])
    assert len(report.findings) == 5
    assert "only the first 5 findings are listed" in report.notes


def test_labels_beside_the_image_are_images_of_their_own(colour: tuple[Path, CountingReader]) -> None:
    root, _ = colour
    others(root / "labels" / "cells", [noise((30, 20), "u2")])
    report = bigimg.verify(root)
    assert report.ok
    alone = bigimg.verify(root / "labels" / "cells")
    assert alone.ok
    assert report.notes == tuple(f"labels/cells: {note}" for note in alone.notes)
    document = json.loads((root / "zarr.json").read_text())
    transformations(document["attributes"]["ome"], 1)[0]["scale"][1] = 3.0
    (root / "zarr.json").write_bytes(dumps(document))
    list_again(root)
    assert [finding.kind for finding in bigimg.verify(root, quick=True).findings] == ["metadata"]


def test_labels_are_verified_with_their_image(colour: tuple[Path, CountingReader]) -> None:
    root, reader = colour
    y, x = bigimg.open(root).shape[-2:]
    before = bigimg.verify(root, reader)
    for name in ("cells", "lost", "other"):
        bigimg.write(noise((y, x), "u2") > 9, root / "labels" / name, chunks=16, shards=32, progress=False)
    whole = bigimg.verify(root, reader)
    assert whole.ok
    assert whole.objects > before.objects
    assert whole.decoded_bytes > before.decoded_bytes
    shard = min(path for path in (root / "labels" / "cells" / "0" / "c").rglob("*") if path.is_file())
    same = root / "0" / "c" / "0" / shard.relative_to(root / "labels" / "cells" / "0" / "c")
    for path in (shard, same):  # the same level and shard of both
        path.write_bytes(path.read_bytes()[:-9])
    shutil.rmtree(root / "labels" / "lost")
    found = bigimg.verify(root).findings
    assert {f.file.removesuffix(shard.name).split("/c/")[0] for f in found} == {
        "0",
        "labels/cells/0",
        "labels/lost",
    }
    assert {f.array for f in found if f.file.startswith("labels/cells")} == {"labels/cells/0"}
    assert {f.file for f in bigimg.verify(root, quick=True).findings} == {f.file for f in found}
    (root / "labels" / "zarr.json").write_text("{")
    assert "labels" in {f.file for f in bigimg.verify(root, quick=True).findings}


def test_a_linked_level_is_followed(colour: tuple[Path, CountingReader], tmp_path: Path) -> None:
    """Whoever moved a level to another disk and left a link has an intact store."""
    (colour[0] / "0").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", colour[0] / "0")
    assert bigimg.verify(colour[0]).ok
    assert verify_module.is_ours(colour[0])
