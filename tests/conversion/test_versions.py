"""OME-Zarr 0.4 and 0.6 by the same pass: the same pixels as 0.5, and every promise kept in each of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import bigimg
from bigimg.conversion import batch, commit
from bigimg.conversion.leftovers import clean
from bigimg.errors import CorruptChunk, IntegrityError, MissingChunk, OutputError, ResumeError, UsageError
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.open import StoreReader, open_store
from tests.conversion.faults import files, flip, harmed, lose, swap, truncate
from tests.conversion.sources import noise
from tests.conversion.test_run import tree

VERSIONS = ["0.4", "0.5", "0.6"]
ASKED: dict[str, Any] = {"memory": "2GB", "chunks": 32, "progress": False}
CHILD = """
import os, signal, sys
from bigimg.conversion import commit
from bigimg.faces.convert import convert_to_store
source, target, step, count, version = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
seen = 0
def hook(name):
    global seen
    seen += name == step
    if seen == count:
        os.kill(os.getpid(), signal.SIGKILL)
commit.hook = hook
convert_to_store(source, target, memory="2GB", chunks=32, workers=2, progress=False, ome_version=version)
"""


def volume() -> Any:
    world = np.eye(4)
    world[:3, 3] = -20, 5, 7
    img = bigimg.from_array(noise((40, 70, 90), "i2"), dims="zyx", spacing=(2, 0.5, 0.5), unit="mm")
    return bigimg.with_geometry(img, world=world)


def colour() -> Any:
    return bigimg.from_array(noise((3, 65, 105)), dims="cyx", spacing=(0.5, 0.25), unit="um", channels="RGB")


def floats() -> Any:
    return bigimg.from_array(noise((2, 33, 40, 35), "f4"), dims="tzyx")


def mask() -> Any:
    return bigimg.from_array(noise((70, 90), "b1"), dims="yx")


IMAGES = {"volume": volume, "colour": colour, "floats": floats, "mask": mask}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "in.tif"
    tifffile.imwrite(path, noise((300, 500), "u2"), tile=(64, 64), compression="zlib")
    return path


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("name", IMAGES)
def test_every_version_holds_the_same_pixels_for_us_and_for_zarr(
    name: str, codec: str, tmp_path: Path
) -> None:
    img = IMAGES[name]()
    stores = {v: tmp_path / f"{v}.ome.zarr" for v in VERSIONS}
    trees = {v: bigimg.write(img, stores[v], ome_version=v, codec=codec, **ASKED) for v in VERSIONS}
    for version, root in stores.items():
        assert open_store(root).version == version
        assert len(trees[version].children) == len(trees["0.5"].children) > 1
        group = zarr.open_group(root, mode="r")
        assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
        for i in range(len(trees["0.5"].children)):
            one, other = (trees[v][f"scale{i}"]["image"] for v in (version, "0.5"))
            assert one.dtype == img.dtype
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(group[str(i)][...], other)
            for key in one.coords:
                np.testing.assert_array_equal(one[key], other[key])
            assert {**one.attrs, "source": ""} == {**other.attrs, "source": ""}
        assert bigimg.verify(root, img, memory="2GB").ok
        stored, wanted = (bigimg.stats(stores[v]) for v in (version, "0.5"))
        assert stored.identical(wanted)


@pytest.mark.parametrize("name", IMAGES)
def test_the_plan_counts_the_files_of_0_4_and_warns(name: str, tmp_path: Path) -> None:
    img, target = IMAGES[name](), tmp_path / "a.ome.zarr"
    plan = bigimg.plan(img, target, ome_version="0.4", **{k: v for k, v in ASKED.items() if k != "progress"})
    bigimg.write(img, target, ome_version="0.4", **ASKED)
    assert plan.files == len(files(target))
    chunks = sum(
        int(np.prod([-(-n // c) for n, c in zip(level.level.shape, level.chunk, strict=True)])) for level in plan.levels
    )  # fmt: skip
    assert plan.objects == chunks
    assert f"one file a chunk, {chunks} of them" in str(plan)
    assert f"one file a chunk, {chunks} of them" in plan.to_dict()["notes"][-1]
    with pytest.raises(UsageError, match="has none; omit them"):
        bigimg.plan(img, tmp_path / "b.ome.zarr", ome_version="0.4", chunks=16, shards=32)
    with pytest.raises(UsageError, match=r"ome_version '0.3' is not one of 0.4, 0.5, 0.6"):
        bigimg.plan(img, tmp_path / "b.ome.zarr", ome_version="0.3")


def test_the_affine_is_a_transform_in_0_6(tmp_path: Path) -> None:
    img = volume()
    bigimg.write(img, tmp_path / "a.ome.zarr", ome_version="0.6", **ASKED)
    ome = json.loads((tmp_path / "a.ome.zarr/zarr.json").read_text())["attributes"]["ome"]
    (image,) = ome["multiscales"]
    (affine,) = image["coordinateTransformations"]
    assert (affine["input"], affine["output"]) == ({"name": "physical"}, {"name": "RAS"})
    (first,) = image["datasets"][0]["coordinateTransformations"]
    scale = np.diag(first["transformations"][0]["scale"])
    start = np.asarray(first["transformations"][1]["translation"])
    matrix = np.asarray(affine["affine"])  # from physical z y x to RAS z y x, in millimetres
    for index in ((0, 0, 0), (3, 20, 80)):
        physical = scale @ np.asarray(index) + start
        world = matrix[:, :3] @ physical + matrix[:, 3]
        expected = img.bigimg.affine @ [*reversed(index), 1]
        np.testing.assert_allclose(world[::-1], expected[:3])


@pytest.mark.parametrize("version", ["0.4", "0.6"])
@pytest.mark.parametrize(
    ("step", "count"), [("block", 1), ("block", 3), ("swept", 1), ("written", 1), ("renamed", 1)]
)
def test_killed_at_a_step_it_goes_on_to_the_same_bytes(
    tmp_path: Path, source: Path, version: str, step: str, count: int
) -> None:
    unbroken, target = tmp_path / "whole" / "out.ome.zarr", tmp_path / "out.ome.zarr"
    unbroken.parent.mkdir()
    convert_to_store(source, unbroken, ome_version=version, **ASKED)
    command = [sys.executable, "-c", CHILD, str(source), str(target), step, str(count), version]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    if step == "renamed":
        assert bigimg.verify(target).ok
        clean(tmp_path, remove=True)
    else:
        assert not target.exists()
        assert clean(tmp_path).found
        with pytest.raises(ResumeError, match="other options"):
            convert_to_store(source, target, **ASKED)  # 0.5
        result = convert_to_store(source, target, ome_version=version, **ASKED)
        assert step == "block" or result.blocks_resumed > 0
    ours = {k: v for k, v in tree(target).items() if "provenance" not in k}
    assert ours == {k: v for k, v in tree(unbroken).items() if "provenance" not in k}
    assert sorted(os.listdir(tmp_path)) == ["out.ome.zarr", "whole"]


def test_a_resumed_run_makes_damaged_chunks_again(tmp_path: Path, source: Path, monkeypatch: Any) -> None:
    target, seen = tmp_path / "out.ome.zarr", 0

    def stop(step: str) -> None:
        nonlocal seen
        seen += step == "block"
        if seen == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commit, "hook", stop)
        patch.setattr(batch, "MOST", 1)
        with pytest.raises(KeyboardInterrupt):
            convert_to_store(source, target, ome_version="0.4", workers=1, **ASKED)
    path = commit.staging_folder(target) / "store" / "0" / "0" / "1"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert convert_to_store(source, target, ome_version="0.4", **ASKED).blocks_resumed == 2
    np.testing.assert_array_equal(bigimg.open(target), tifffile.imread(source))


def test_versions_take_one_another_s_place_and_aliens_stop_them(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "out.ome.zarr"
    for version in ("0.4", "0.6", "0.4", "0.5"):
        convert_to_store(source, target, ome_version=version, overwrite=True, **ASKED)
        assert open_store(target).version == version
        assert bigimg.verify(target).ok
    convert_to_store(source, target, ome_version="0.4", overwrite=True, **ASKED)
    (target / "0" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt: is no part of the zarr store"):
        convert_to_store(source, target, overwrite=True, **ASKED)
    assert (target / "0" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("harm", [flip, lose, swap, truncate], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_every_harm_to_a_store_of_0_4_is_found_and_no_wrong_pixel_is_given(
    harm: Any, codec: str, tmp_path: Path
) -> None:
    img = volume()
    whole, root = tmp_path / "whole.ome.zarr", tmp_path / "a.ome.zarr"
    bigimg.write(img, whole, ome_version="0.4", codec=codec, **ASKED)
    shutil.copytree(whole, root)
    pixels = img.to_numpy()
    for seed in range(25):
        with harmed(root, whole, harm, seed) as concerned:
            if concerned is None:
                continue
            names = {path.relative_to(root).as_posix() for path in concerned}
            report = bigimg.verify(root)
            found = {finding.file for finding in report.findings}
            assert names & found, (names, report)
            try:
                given = StoreReader(open_store(root)).read((slice(0, 40), slice(0, 70), slice(0, 90)))
            except bigimg.BigimgError:
                continue
            np.testing.assert_array_equal(given, pixels, err_msg=str(names))
    assert bigimg.verify(root).ok


def test_what_is_wrong_with_a_chunk_of_0_4_is_said(tmp_path: Path) -> None:
    root = tmp_path / "a.ome.zarr"
    bigimg.write(volume(), root, ome_version="0.4", **ASKED)
    whole = (slice(0, 40), slice(0, 70), slice(0, 90))
    path = root / "0/1/0/2"
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with pytest.raises(
        CorruptChunk, match="0/1/0/2: holds other bytes than were written; restore the object"
    ):
        StoreReader(open_store(root)).read(whole)
    path.write_bytes(data[:-1])
    with pytest.raises(CorruptChunk, match=rf"0/1/0/2: {len(data) - 1} bytes instead of {len(data)}"):
        StoreReader(open_store(root)).read(whole)
    (finding,) = bigimg.verify(root, quick=True).findings
    assert (finding.kind, finding.file, finding.shard) == ("corrupt", "0/1/0/2", (1, 0, 2))
    path.unlink()
    with pytest.raises(MissingChunk, match="0/1/0/2: the object is gone"):
        StoreReader(open_store(root)).read(whole)
    path.write_bytes(data)
    (root / "0/.zattrs").unlink()
    with pytest.raises(IntegrityError, match=r"0/\.zattrs"):
        open_store(root)
    (root / "0/.zattrs").write_text('{"_ARRAY_DIMENSIONS": ["z", "x", "y"]}')
    with pytest.raises(CorruptChunk, match=r"0/\.zattrs: "):
        open_store(root)
    (root / "0/.zattrs").write_text('{"_ARRAY_DIMENSIONS": ["z", "y", "x"], "of": "others"}')
    open_store(root)


def test_a_zipped_store_of_0_4_is_checked_too(tmp_path: Path) -> None:
    root = tmp_path / "a.ome.zarr"
    img = volume()
    bigimg.write(img, root, ome_version="0.4", **ASKED)
    (root / "0/1/0/2").unlink()
    shutil.make_archive(str(tmp_path / "b"), "zip", root)
    reader = StoreReader(open_store(tmp_path / "b.zip"))
    with pytest.raises(MissingChunk, match="0/1/0/2"):
        reader.read((slice(0, 40), slice(0, 70), slice(0, 90)))
    np.testing.assert_array_equal(reader.read((slice(0, 32), slice(0, 70), slice(0, 90))), img[:32])
