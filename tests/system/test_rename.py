"""Nothing is replaced by a rename, and two folders change places, also where a kill comes in between."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from bigimg.errors import OutputError
from bigimg.system import os_calls, rename

pytestmark = pytest.mark.usefixtures("each_way")


def folder(path: Path) -> Path:
    path.mkdir()
    (path / path.name).touch()
    return path


def test_a_folder_gets_a_free_name_and_no_other(tmp_path):
    a, b, empty = folder(tmp_path / "a"), folder(tmp_path / "b"), tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (b, empty, tmp_path / "file", tmp_path / "link"):
        with pytest.raises(FileExistsError):
            rename.rename_without_replacing(a, taken)
    assert (tmp_path / "file").read_text() == "mine"
    assert os.listdir(empty) == []
    rename.rename_without_replacing(a, tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["b", "c", "empty", "file", "link"]
    assert os.listdir(tmp_path / "c") == ["a"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_gets_a_free_name_and_no_other(tmp_path, monkeypatch, links):
    def without(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", without)
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("mine")
    with pytest.raises(FileExistsError):
        rename.rename_without_replacing(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine"
    rename.rename_without_replacing(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]


def test_two_folders_change_places(tmp_path):
    a, b = folder(tmp_path / "a"), folder(tmp_path / "b")
    rename.exchange(a, b)
    assert os.listdir(a) == ["b"]
    assert os.listdir(b) == ["a"]
    assert not rename.finish_exchange(a, b)
    shutil.rmtree(b)
    with pytest.raises(FileNotFoundError):
        rename.exchange(a, b)
    assert os.listdir(a) == ["b"]


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_kill_between_the_steps_of_an_exchange_loses_nothing(tmp_path, monkeypatch, killed_at):
    """Without ``renameat2`` there are three steps; a kill comes before one of them."""
    monkeypatch.setattr(os_calls, "found", os_calls.OsCalls())
    new, old = folder(tmp_path / "new"), folder(tmp_path / "old")
    steps, real = [], os.rename

    class Killed(BaseException):
        pass

    def step(source: Path, target: Path) -> None:
        steps.append(source)
        if len(steps) == killed_at:
            raise Killed
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", step)
        with pytest.raises(Killed):
            rename.exchange(new, old)
    assert rename.finish_exchange(new, old) == (killed_at > 1)
    named = {1: "old", 2: "old", 3: "new"}[killed_at]
    assert os.listdir(old) == [named]
    assert os.listdir(new) == [{"old": "new", "new": "old"}[named]]
    assert sorted(os.listdir(tmp_path)) == ["new", "old"]


def test_what_got_the_name_of_the_old_one_meanwhile_is_left_alone(tmp_path):
    new, old, aside = folder(tmp_path / "new"), folder(tmp_path / "old"), folder(tmp_path / "new.old")
    with pytest.raises(OutputError, match=r"made by somebody else.*new\.old: give it another name"):
        rename.finish_exchange(new, old)
    assert [os.listdir(each) for each in (new, old, aside)] == [["new"], ["old"], ["new.old"]]
