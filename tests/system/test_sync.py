"""Everything is synced that was written, and an error of it is never lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bigimg.system import files, os_calls, sync


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for name in ("a", "b/c", "b/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def failing(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.usefixtures("each_way")
def test_what_was_written_can_be_synced(written):
    sync.sync_volume(written)
    sync.sync_folder(written)
    sync.sync_file(written / "a")
    file = files.open_to_append(written / "a")
    sync.sync_data(file)
    sync.start_writing_back(file)
    os.close(file)
    assert (written / "a").read_text() == "a"


def test_without_syncfs_each_file_is_synced(written, monkeypatch):
    synced = []
    monkeypatch.setattr(os_calls, "found", os_calls.OsCalls(folder=os.O_DIRECTORY))
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    sync.sync_volume(written)
    assert sorted(synced) == sorted(map(str, (written, *written.rglob("*"))))


@pytest.mark.parametrize(
    "found",
    [os_calls.OsCalls(), os_calls.OsCalls(syncfs=failing, fdatasync=failing, folder=os.O_DIRECTORY)],
    ids=["portable", "system"],
)
def test_an_error_of_the_disk_is_raised(written, monkeypatch, found):
    monkeypatch.setattr(os_calls, "found", found)
    monkeypatch.setattr(os, "fsync", failing)
    for work in (sync.sync_volume, lambda path: sync.sync_file(path / "a"), lambda path: sync.sync_data(0)):
        with pytest.raises(OSError, match="Input/output error"):
            work(written)
    if found.folder is None:
        sync.sync_folder(written)  # nothing that could fail
    else:
        with pytest.raises(OSError, match="Input/output error"):
            sync.sync_folder(written)


def test_a_volume_that_cannot_sync_folders_is_no_error(written, monkeypatch):
    def cannot(file: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", cannot)
    sync.sync_folder(written)
