"""Objects in a folder: whole or absent, and nothing is put into place once the right to do so is gone."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from bigimg.places.folder_target import FolderTarget, begin_parts, remove_folder, revoke


def begun(staging: Path) -> FolderTarget:
    (staging / "store" / "0").mkdir(parents=True, exist_ok=True)
    return FolderTarget(staging / "store", begin_parts(staging)).below("0")


def put(target: FolderTarget, key: str, data: bytes) -> None:
    with target.sink(key, len(data), len(data)) as file:
        file.append(data)


@pytest.mark.parametrize("durable", [False, True])
def test_an_object_is_there_whole(tmp_path: Path, durable: bool) -> None:
    target = pickle.loads(pickle.dumps(begun(tmp_path)))
    target = FolderTarget(target.folder, target.parts, durable)
    put(target, "c/0/1", b"pixels")
    put(target, "c/0/1", b"pixels")  # a task that was repeated
    assert (tmp_path / "store/0/c/0/1").read_bytes() == b"pixels"
    assert os.listdir(target.parts) == []


def test_an_object_that_fails_is_not_there(tmp_path: Path) -> None:
    target = begun(tmp_path)
    put(target, "c/0", b"old")
    with pytest.raises(ZeroDivisionError), target.sink("c/0", 9, 9):
        raise ZeroDivisionError
    assert (tmp_path / "store/0/c/0").read_bytes() == b"old"
    assert os.listdir(target.parts) == []


def test_a_writer_that_lost_its_right(tmp_path: Path) -> None:
    """Before it begins, while it writes, and while it puts the object into place."""
    old = begun(tmp_path)
    late = old.sink("c/0", 9, 9)
    late.__enter__().append(b"late")
    new = begun(tmp_path)
    with pytest.raises(FileNotFoundError):
        late.__exit__(None, None, None)
    with pytest.raises(FileNotFoundError):
        put(old, "c/1", b"later")
    put(new, "c/2", b"pixels")
    assert sorted(os.listdir(tmp_path / "store/0/c")) == ["2"]
    revoke(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["store"]


def test_no_folder_comes_back(tmp_path: Path) -> None:
    """The store has got its name, or is removed, and a writer of the run is still at work."""
    target = begun(tmp_path)
    (tmp_path / "store").rename(tmp_path / "whole")
    with pytest.raises(FileNotFoundError):
        put(target, "c/0", b"late")
    assert not (tmp_path / "store").exists()
    remove_folder(tmp_path / "whole")
    remove_folder(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
