"""Whole or absent: a run is killed at every step, and the next one goes on to the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import tifffile
import zarr

import bigimg
from bigimg.conversion import batch, commit
from bigimg.conversion.journal import HEAD
from bigimg.conversion.leftovers import clean
from bigimg.conversion.target import check_replaceable
from bigimg.errors import InputError, OutputError, ResumeError, TargetExistsError, UsageError
from bigimg.faces.convert import convert_to_store
from bigimg.system import os_calls, rename, sync
from tests.conversion.test_run import tree

pytestmark = pytest.mark.usefixtures("each_way")
ASKED = {"memory": "2GB", "chunks": 32, "shards": 64, "progress": False}
STEPS = ("made", "owned", "begun", "block", "swept", "written", "synced", "renamed", "committed", "cleared")

CHILD = """
import os, signal, sys
from bigimg.system import os_calls
if sys.argv[5] == "portable":
    os_calls.found = os_calls.OsCalls()
from bigimg.conversion import commit
from bigimg.faces.convert import convert_to_store
source, target, step, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
seen = 0
def hook(name):
    global seen
    seen += name == step
    if seen == count:
        os.kill(os.getpid(), signal.SIGKILL)
commit.hook = hook
convert_to_store(source, target, memory="2GB", chunks=32, shards=64, workers=2, progress=False)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "in.tif"
    pixels = np.random.default_rng(0).integers(0, 4000, (300, 500), np.uint16)
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib")
    return path


@pytest.fixture(scope="module")
def unbroken(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    target = tmp_path_factory.mktemp("unbroken") / "out.ome.zarr"
    convert_to_store(source, target, **ASKED)
    return tree(target)


def killed(source: Path, target: Path, step: str, way: str, count: int = 1) -> None:
    arguments = [sys.executable, "-c", CHILD, str(source), str(target), step, str(count), way]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize(("step", "count"), [(step, 1) for step in STEPS] + [("block", 7)])
def test_killed_at_any_step_a_run_leaves_nothing_half_and_the_next_goes_on(
    tmp_path, source, unbroken, step, count, each_way
):
    target = tmp_path / "out.ome.zarr"
    killed(source, target, step, each_way, count)
    if step in ("renamed", "committed", "cleared"):
        assert tree(target) == unbroken  # whole; what is left beside it is cleared away
        clean(tmp_path, remove=True)
    else:
        assert not target.exists()
        result = convert_to_store(source, target, **ASKED)
        if step in ("swept", "written", "synced"):
            assert result.blocks_resumed > 10
        if count == 7:
            # The journal is synced by a thread of its own, so the last few blocks may not have made it.
            assert result.blocks_resumed <= 7 + 4
    assert tree(target) == unbroken
    left = [name for name in os.listdir(tmp_path) if name != "out.ome.zarr"]
    assert left == [] or (step == "cleared" and left == [".out.ome.zarr.bigimg"])


def interrupted(source: Path | str, target: Path, monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Leave a staging folder with ``blocks`` finished blocks, each a batch, as Ctrl-C does."""
    seen: Counter[str] = Counter()

    def stop(step: str) -> None:
        seen[step] += 1
        if step == "block" and seen[step] == blocks:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commit, "hook", stop)
        patch.setattr(batch, "MOST", 1)
        with pytest.raises(KeyboardInterrupt) as caught:
            convert_to_store(source, target, workers=1, **ASKED)
    assert "run the same command again" in caught.value.__notes__[0]
    assert not target.exists()


def test_resumed_blocks_are_checked_and_damaged_ones_made_again(tmp_path, source, unbroken, monkeypatch):
    target = tmp_path / "out.ome.zarr"
    interrupted(source, target, monkeypatch, 9)
    row = commit.staging_folder(target) / "store" / "0" / "c" / "0"  # each block has two shards along x
    first, second, third = (row / name for name in ("0", "2", "4"))
    data = bytearray(first.read_bytes())
    data[10] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:-9])
    third.unlink()
    result = convert_to_store(source, target, **ASKED)
    assert result.blocks_resumed == 6
    assert result.to_dict()["blocks_resumed"] == 6
    assert tree(target) == unbroken


def test_a_journal_cut_in_a_record_is_taken_up_to_it(tmp_path, source, unbroken, monkeypatch):
    target = tmp_path / "out.ome.zarr"
    interrupted(source, target, monkeypatch, 9)
    journal = commit.staging_folder(target) / "journal"
    journal.write_bytes(journal.read_bytes()[:-5])
    assert convert_to_store(source, target, **ASKED).blocks_resumed == 8
    assert tree(target) == unbroken


def test_a_record_of_somebody_else_is_not_guessed_at(tmp_path, source, unbroken, monkeypatch):
    target = tmp_path / "out.ome.zarr"
    interrupted(source, target, monkeypatch, 9)
    body = b'{"sweep": 0, "of another version": true}'
    with (commit.staging_folder(target) / "journal").open("ab") as file:
        file.write(HEAD.pack(len(body), google_crc32c.value(body)) + body)
    assert convert_to_store(source, target, **ASKED).blocks_resumed == 9
    assert tree(target) == unbroken


def test_another_image_of_the_same_file_is_never_mixed_in(tmp_path, monkeypatch):
    source, target = tmp_path / "two.tif", tmp_path / "out.ome.zarr"
    pixels = np.random.default_rng(5).integers(0, 255, (2, 300, 400), np.uint8)
    for plane in pixels:  # two series of one shape and type
        tifffile.imwrite(source, plane, tile=(64, 64), append=source.exists())
    monkeypatch.setitem(ASKED, "series", 0)
    interrupted(source, target, monkeypatch, 3)
    monkeypatch.setitem(ASKED, "series", 1)
    with pytest.raises(ResumeError, match="other options of the source"):
        convert_to_store(source, target, **ASKED)


def test_another_source_or_other_options_are_never_mixed_in(tmp_path, source, unbroken, monkeypatch):
    target, copy = tmp_path / "out.ome.zarr", tmp_path / "in.tif"
    shutil.copy2(source, copy)
    interrupted(copy, target, monkeypatch, 9)
    with pytest.raises(ResumeError, match="other options"):
        convert_to_store(copy, target, codec="zstd", **ASKED)
    pixels = tifffile.imread(copy)
    pixels[0, 0] += 1
    tifffile.imwrite(copy, pixels, tile=(64, 64), compression="zlib")
    with pytest.raises(ResumeError, match=r"another source.*resume=False"):
        convert_to_store(copy, target, **ASKED)
    result = convert_to_store(copy, target, resume=False, **ASKED)
    assert result.blocks_resumed == 0
    assert tree(target) != unbroken


def test_a_resumed_run_of_floats_has_the_same_statistics(tmp_path, monkeypatch):
    path = tmp_path / "in.npy"
    np.save(path, np.random.default_rng(0).normal(1e6, 1, (300, 500)))
    convert_to_store(path, tmp_path / "a.ome.zarr", **ASKED)
    (tmp_path / "b").mkdir()
    target = tmp_path / "b" / "a.ome.zarr"
    interrupted(path, target, monkeypatch, 9)
    assert convert_to_store(path, target, **ASKED).blocks_resumed == 9
    assert tree(target) == tree(tmp_path / "a.ome.zarr")


def test_an_array_is_no_source_to_go_on_from(tmp_path, monkeypatch):
    seen: Counter[str] = Counter()

    def stop(step: str) -> None:
        seen[step] += 1
        if step == "block" and seen[step] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(commit, "hook", stop)
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(np.zeros((200, 200), np.uint8), tmp_path / "a.ome.zarr", **ASKED)
    assert os.listdir(tmp_path) == []


def test_an_image_made_from_a_file_is_not_gone_on_with_as_another(tmp_path, source, monkeypatch):
    """``img < 100`` and ``img < 200`` say the same of where they come from."""
    img, target = bigimg.open(source), tmp_path / "a.ome.zarr"
    seen: Counter[str] = Counter()

    def stop(step: str) -> None:
        seen[step] += 1
        if step == "block" and seen[step] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commit, "hook", stop)
        with pytest.raises(KeyboardInterrupt):
            convert_to_store(img < 100, target, **ASKED)
    assert convert_to_store(img < 200, target, **ASKED).blocks_resumed == 0
    assert np.array_equal(bigimg.open(target), np.asarray(img) < 200)


def test_a_second_run_on_the_same_target_is_refused(tmp_path, source):
    target = tmp_path / "out.ome.zarr"
    second = commit.staged(target, {"source": 1})
    with commit.staged(target, {"source": 1}), pytest.raises(OutputError, match="another run is writing"):
        second.__enter__()
    assert target.is_dir()


def test_what_somebody_else_put_there_meanwhile_is_left_alone(tmp_path):
    target = tmp_path / "out.ome.zarr"
    run = commit.staged(target, {"source": 1})
    staging = run.__enter__()
    (staging.store / "zarr.json").write_text("{}")
    target.mkdir()
    with pytest.raises(TargetExistsError, match="left alone"):
        run.__exit__(None, None, None)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        {"mine.txt": "x"},
        {"owner.json": "{"},
        {"owner.json": '{"bigimg": 99, "identity": 1}'},
        {"owner.json": '{"bigimg": 2, "identity": [1]}'},
        {"owner.json": '{"bigimg": 1, "identity": {}}', "journal": "of one record a block"},
    ],
)
def test_a_folder_in_the_way_that_is_not_ours_is_refused_and_kept(tmp_path, source, content):
    folder = commit.staging_folder(tmp_path / "out.ome.zarr")
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(OutputError, match=folder.name):
        convert_to_store(source, tmp_path / "out.ome.zarr", **ASKED)
    assert {path.name: path.read_text() for path in folder.iterdir()} == content


def test_a_corrupt_source_leaves_nothing_to_go_on_from(tmp_path, source):
    cut = tmp_path / "cut.npy"
    np.save(cut, np.zeros((300, 500), np.uint16))
    target = tmp_path / "x.ome.zarr"

    def truncate(step: str) -> None:
        if step == "begun":
            os.truncate(cut, 1000)

    commit.hook = truncate
    try:
        with pytest.raises(InputError, match=r"cut\.npy"):
            convert_to_store(cut, target, **ASKED)
    finally:
        commit.hook = commit._no_hook
    assert os.listdir(tmp_path) == ["cut.npy"]


@pytest.mark.parametrize(
    "failing", [(commit, "sync_volume"), (rename, "rename_without_replacing"), (commit, "sync_folder")]
)
def test_a_disk_that_fails_at_the_end_is_never_success(tmp_path, source, unbroken, monkeypatch, failing):
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    target = tmp_path / "out.ome.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(*failing, fail)
        with pytest.raises(OutputError, match="Input/output error"):
            convert_to_store(source, target, **ASKED)
    if not target.exists():
        convert_to_store(source, target, **ASKED)
    assert tree(target) == unbroken


def test_a_journal_that_cannot_be_written_ends_the_run(tmp_path, source, unbroken, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "out.ome.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(sync, "sync_data", fail)
        with pytest.raises(OutputError, match="No space left"):
            convert_to_store(source, target, **ASKED)
    convert_to_store(source, target, **ASKED)
    assert tree(target) == unbroken


def test_too_little_disk_is_said_before_the_run(tmp_path, source, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10_000))
    with pytest.raises(OutputError, match=r"needs about .* of disk, 10\.0 kB are free"):
        convert_to_store(source, tmp_path / "out.ome.zarr", **ASKED)
    assert os.listdir(tmp_path) == []


class TestOverwrite:
    def test_the_new_store_takes_the_place_of_the_old(self, tmp_path, source, unbroken):
        target = tmp_path / "out.ome.zarr"
        convert_to_store(np.zeros((90, 90), np.uint8), target, **ASKED)
        with pytest.raises(TargetExistsError, match="overwrite=True"):
            convert_to_store(source, target, **ASKED)
        convert_to_store(source, target, overwrite=True, **ASKED)
        assert tree(target) == unbroken
        assert os.listdir(tmp_path) == ["out.ome.zarr"]

    def test_a_failed_run_leaves_the_old_store_as_it_was(self, tmp_path, source, monkeypatch):
        target = tmp_path / "out.ome.zarr"
        convert_to_store(np.zeros((90, 90), np.uint8), target, **ASKED)
        before = tree(target)

        def stop(step: str) -> None:
            if step == "synced":
                raise KeyboardInterrupt

        monkeypatch.setattr(commit, "hook", stop)
        with pytest.raises(KeyboardInterrupt):
            convert_to_store(source, target, overwrite=True, **ASKED)
        assert tree(target) == before

    @pytest.mark.parametrize(
        "alien",
        [
            "notes.txt",
            "0/c/0/notes.txt",
            "0/c/99/0",
            "photos/cat.jpg",
            "0/c.txt",
            "bigimg/x",
            "0/c/00/0",
            "0/0/0",
            "0/c/0.0",
            "0/c/\u0661/0",
            "0/c.0.0",
        ],
    )
    def test_a_store_with_anything_else_in_it_is_not_replaced(self, tmp_path, source, alien):
        target = tmp_path / "out.ome.zarr"
        convert_to_store(source, target, **ASKED)
        (target / alien).parent.mkdir(parents=True, exist_ok=True)
        (target / alien).write_text("mine")
        with pytest.raises(OutputError, match="is no part of the zarr store"):
            convert_to_store(source, target, overwrite=True, **ASKED)
        assert (target / alien).read_text() == "mine"

    def test_what_comes_into_the_old_store_at_the_last_moment_is_kept(self, tmp_path, source, monkeypatch):
        target = tmp_path / "out.ome.zarr"
        convert_to_store(np.zeros((90, 90), np.uint8), target, **ASKED)
        exchange = rename.exchange

        def late(new: Path, old: Path) -> None:
            (old / "notes.txt").write_text("mine")
            monkeypatch.setattr(rename, "exchange", exchange)
            exchange(new, old)

        monkeypatch.setattr(rename, "exchange", late)
        before = tree(target)
        with pytest.raises(OutputError, match=r"out\.ome\.zarr/notes\.txt: is no part"):
            convert_to_store(source, target, overwrite=True, **ASKED)
        assert (target / "notes.txt").read_text() == "mine"
        (target / "notes.txt").unlink()
        assert tree(target) == before

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_label_images_are_never_lost_with_the_store_of_their_image(self, tmp_path, version):
        target, mask = tmp_path / "out.ome.zarr", np.eye(90, dtype=bool)
        asked = {"memory": "2GB", "chunks": 32, "progress": False}
        convert_to_store(np.zeros((90, 90), np.uint8), target, ome_version=version, **asked)
        for name in "abcdefg":
            convert_to_store(mask, target / "labels" / name, **asked)
        before = tree(target)
        says = (
            r"label images.* \(labels/a, labels/b, .*, labels/g\): move them away, or write to another name"
        )
        with pytest.raises(OutputError, match=says):
            convert_to_store(mask, target, overwrite=True, **asked)
        with pytest.raises(OutputError, match="no store that bigimg wrote"):
            convert_to_store(mask, target / "labels", overwrite=True, **asked)
        assert tree(target) == before
        with pytest.raises(TargetExistsError, match=r"remove it or choose another name$"):
            convert_to_store(mask, target, **asked)  # no advice that would be refused
        convert_to_store(
            ~mask, target / "labels" / "a", overwrite=True, **asked
        )  # a label itself is replaced
        shutil.move(target / "labels", tmp_path / "kept")
        convert_to_store(mask, target, overwrite=True, **asked)
        assert (tmp_path / "kept" / "g").is_dir()

    def test_labels_that_came_meanwhile_are_kept(self, tmp_path, source, monkeypatch):
        target = tmp_path / "out.zarr"
        convert_to_store(source, target, **ASKED)
        group = zarr.open_group(target, mode="r+")

        def label(stage: str) -> None:
            if stage == "synced":
                group.create_group("labels/cells")

        monkeypatch.setattr("bigimg.conversion.commit.hook", label)
        with pytest.raises(OutputError, match=r"label images.*\(labels/cells\)"):
            convert_to_store(source, target, overwrite=True, **ASKED)
        assert (target / "labels" / "cells" / "zarr.json").exists()

    def test_refusing_looks_at_no_chunk(self, tmp_path, source, monkeypatch):
        """To say "or overwrite=True" took as long as there are files in the store."""
        store = tmp_path / "out.ome.zarr"
        convert_to_store(source, store, **ASKED)
        seen: list[str] = []
        monkeypatch.setattr(os, "walk", lambda path, **_: seen.append(str(path)) or ())
        with pytest.raises(TargetExistsError, match="or overwrite=True"):
            convert_to_store(source, store, **ASKED)
        assert not seen
        check_replaceable(store)
        assert seen

    def test_places_that_are_never_replaced(self, tmp_path, source, monkeypatch):
        store = tmp_path / "out.ome.zarr"
        convert_to_store(source, store, **ASKED)
        (tmp_path / "link").symlink_to(store)
        with pytest.raises(OutputError, match="link"):
            check_replaceable(tmp_path / "link")
        with pytest.raises(UsageError, match="holds the source"):
            convert_to_store(store / "0", store, overwrite=True, **ASKED)
        with pytest.raises(OutputError, match="no store that bigimg wrote"):
            check_replaceable(tmp_path)
        with pytest.raises(UsageError, match="never"):
            check_replaceable(Path("/"))
        monkeypatch.setenv("HOME", str(store))
        with pytest.raises(UsageError, match="never"):
            check_replaceable(store)
        monkeypatch.setenv("HOME", "/nowhere")
        monkeypatch.chdir(store / "0")
        with pytest.raises(UsageError, match="the folder you are in"):
            check_replaceable(store)

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_stores_of_others_are_never_replaced(self, tmp_path, source, zarr_format):
        target = tmp_path / "out.zarr"
        zarr.create_group(target, zarr_format=zarr_format).create_array("0", shape=(9,), dtype="u1")[:] = 1
        before = tree(target)
        with pytest.raises(TargetExistsError, match=r"remove it or choose another name$"):
            convert_to_store(source, target, **ASKED)
        with pytest.raises(OutputError, match=r"no store that bigimg wrote, .* remove it by hand"):
            convert_to_store(source, target, overwrite=True, **ASKED)
        assert tree(target) == before

    def test_a_store_whose_manifest_is_damaged_is_not_replaced(self, tmp_path, source):
        target = tmp_path / "out.ome.zarr"
        convert_to_store(source, target, **ASKED)
        (target / "bigimg" / "manifest" / "zarr.json").write_text("{}")
        with pytest.raises(OutputError, match=r"does not say what bigimg wrote .* remove the store by hand"):
            convert_to_store(source, target, overwrite=True, **ASKED)


def test_clean_lists_and_removes_what_is_ours_and_unlocked(tmp_path, source, monkeypatch):
    target = tmp_path / "out.ome.zarr"
    interrupted(source, target, monkeypatch, 5)
    (tmp_path / ".other.bigimg").mkdir()
    (tmp_path / ".other.bigimg" / "mine").write_text("x")
    listed = clean(tmp_path)
    assert [left.target for left in listed.found] == ["out.ome.zarr"]
    assert json.loads(json.dumps(listed.to_dict()))["found"][0]["size_bytes"] > 1000
    assert commit.staging_folder(target).is_dir()
    with commit.staged(target, {"x": 1}, resume=False):
        assert clean(tmp_path, remove=True).found == ()
    assert target.is_dir()
    shutil.rmtree(target)
    interrupted(source, target, monkeypatch, 5)
    clean(tmp_path, remove=True)
    assert sorted(os.listdir(tmp_path)) == [".other.bigimg"]


class TestKilledWhileTwoStoresChangePlaces:
    """Without ``renameat2`` there is a moment at which no store has the name."""

    @pytest.fixture
    def left(self, tmp_path, source, monkeypatch):
        target = tmp_path / "out.ome.zarr"
        convert_to_store(np.zeros((90, 90), np.uint8), target, **ASKED)
        before = tree(target)
        monkeypatch.setattr(os_calls, "found", os_calls.OsCalls())
        move = os.rename

        def once(old: Path, new: Path) -> None:
            move(old, new)
            if old == target:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", once)
            with pytest.raises(KeyboardInterrupt):
                convert_to_store(source, target, overwrite=True, **ASKED)
        assert not target.exists()
        return target, before

    def test_the_next_run_puts_the_old_one_back_and_goes_on(self, left, source, unbroken):
        target, before = left
        with pytest.raises(TargetExistsError, match="was killed while it replaced this store"):
            convert_to_store(source, target, **ASKED)
        assert tree(target) == before
        assert convert_to_store(source, target, overwrite=True, **ASKED).blocks_resumed > 10
        assert tree(target) == unbroken
        assert os.listdir(target.parent) == ["out.ome.zarr"]

    def test_so_does_clean(self, left):
        target, before = left
        clean(target.parent, remove=True)
        assert tree(target) == before
        assert os.listdir(target.parent) == ["out.ome.zarr"]
