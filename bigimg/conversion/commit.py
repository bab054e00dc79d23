"""How a store is written: in a staging folder beside its target, and renamed to the target when it is complete.

    mkdir  .NAME.bigimg            beside the target, on its volume
    lock   .NAME.bigimg            one that the death of the process frees
    write  owner                   who this is for: source, options, random id
    write  parts-…, then rename into store/…, and the journal: block after block, in any order
    write  metadata, root last
    remove parts-…                 no worker of this run can put an object into place any more
    sync                           everything, at once where the system can
    rename store -> NAME           refuses to replace; with ``overwrite`` the two change places
    sync   the parent
    remove .NAME.bigimg            and with it the store that was replaced

A store in one file is packed beside ``store`` first, and the file gets the name.

If the run is killed at any of these lines, there is either no store under the name (or the old one, complete) and a
staging folder to continue from, or the new store and a staging folder to remove. A run that finds a staging folder
continues from its journal if owner, source and options are the same. The drawing is in
``docs/design/0010-commit.md``; ``tests/conversion/test_commit.py`` kills a run at each of these steps.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bigimg.conversion.target import check_contents, check_file, check_replaceable
from bigimg.errors import (
    BigimgError,
    BudgetError,
    InputError,
    IntegrityError,
    Left,
    OutputError,
    ResumeError,
    TargetExistsError,
    UsageError,
)
from bigimg.omezarr.metadata import dumps
from bigimg.places.folder_target import begin_parts, remove_folder, revoke
from bigimg.places.staging import staging_folder
from bigimg.planning.memory import human_bytes
from bigimg.system import rename
from bigimg.system.locks import Lock, take
from bigimg.system.signals import undisturbed
from bigimg.system.sync import sync_folder, sync_volume
from bigimg.types import Json

FORMAT = 2
"""Version of the staging folder; a folder of another version is not touched."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk without room, or of a user without a share of it."""
OWNER, JOURNAL, STORE, SCRATCH, PACKED = "owner.json", "journal", "store", "scratch", "packed"

HOPELESS = (InputError, IntegrityError, UsageError, BudgetError)
"""Errors with which the same command would end again, so the staging folder is of no use."""

COMPLETE = "the store {target} is complete; bigimg clean removes what is beside it"
INCOMPLETE = "what was done is kept in {folder}; run the same command again to go on"


def _no_hook(step: str) -> None:
    """Do nothing; tests put a function here that ends the process at one of the steps."""


hook: Callable[[str], None] = _no_hook


@dataclass(frozen=True, slots=True)
class Staging:
    """A store that is being written."""

    target: Path
    folder: Path
    parts: Path
    """Where objects are made before they get their names; to remove it is to end the run for all its workers."""
    resumed: bool
    """Whether an earlier run left a journal to continue from."""
    one_file: bool = False
    """Whether the target is a store in one file."""

    @property
    def store(self) -> Path:
        """The folder that becomes the store."""
        return self.folder / STORE

    @property
    def made(self) -> Path:
        """What gets the name of the target: the store, or the file that it is packed into."""
        return self.folder / PACKED if self.one_file else self.store


@contextmanager
def staged(
    target: Path, identity: Mapping[str, Json] | None, *, resume: bool = True, overwrite: bool = False,
    sync: bool = True, one_file: bool = False, labels: Collection[str] = (), parts: bool = False,
) -> Iterator[Staging]:  # fmt: skip
    """Give a locked staging folder for the length of a run, and rename its store to ``target`` at the end.

    If the run fails in a way that a later run can continue (interrupted, disk full, a worker died), the folder stays.
    If the source is damaged, or has no ``identity`` by which to recognise it, the folder is removed.

    Parameters
    ----------
    target : Path
    identity : mapping, optional
        What must be the same for a later run to continue: source, options, layout. None for a source that cannot be
        recognised, such as an array.
    resume : bool
        Continue from what an earlier run left.
    overwrite : bool
        Let the new store replace an existing one.
    sync : bool
        Sync everything to the disk before the store gets its name.
    one_file : bool
        The target is one file, which the run makes of its store, as ``made`` of the staging.
    labels : collection of str
        Label images in it, which a file that it replaces may hold too.
    parts : bool
        The store is made of images that are whole each: those that are there stay, also where another is damaged.

    Raises
    ------
    ResumeError
        An earlier run left a part of another source, or with other options.
    OutputError
        Another run is writing the same target, or the disk is full or cannot be written to.
    """
    folder = staging_folder(target)
    staging: Staging | None = None
    finished = False
    lock: Lock | None = None
    made: os.stat_result | None = None
    with explained(target):
        try:
            with undisturbed():  # a signal must not leave a staging folder that is half made
                lock = _locked(folder)
                if rename.finish_exchange(folder / STORE, target) and not overwrite:
                    raise TargetExistsError(
                        f"{target}: a run was killed while it replaced this store, which has its name again:",
                        ways=["choose another name", "overwrite=True"],
                    )
                staging = _entered(target, folder, identity, resume=resume, one_file=one_file)
            try:
                yield staging
            except BaseException:
                with undisturbed():
                    revoke(folder)
                raise
            finished, made = True, os.stat(staging.made)
            _commit(staging, overwrite=overwrite, sync=sync, labels=labels)
            discard(folder)
        except BaseException as error:
            hopeless = not parts and (identity is None or isinstance(error, HOPELESS))
            nothing = parts and staging is not None and not _holds_parts(staging.store)
            if staging is not None and not finished and (hopeless or nothing):
                discard(folder)
            elif made is not None and _is_there(target, made):
                _say_left(error, COMPLETE.format(target=target))
            elif staging is not None and folder.exists():
                _say_left(error, INCOMPLETE.format(folder=folder))
            raise
        finally:
            if lock is not None:
                lock.release()


def _holds_parts(store: Path) -> bool:
    """Return whether anything in an unfinished ``store`` is worth to be kept."""
    return any(files for _, _, files in os.walk(store))


def _say_left(error: BaseException, note: str) -> None:
    """Add ``note`` to the error, in place of what a label image in the staging folder left."""
    notes = getattr(error, "__notes__", [])
    notes[:] = [other for other in notes if not isinstance(other, Left)]
    error.add_note(Left(note))


def _is_there(target: Path, made: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(target), made)
    except OSError:
        return False


def _locked(folder: Path) -> Lock:
    """Return the lock on the staging folder, which is made if it does not exist."""
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            if folder.is_symlink() or not folder.is_dir():
                raise OutputError(f"{folder}: is in the way and not ours: move it away") from None
        hook("made")
        try:
            return take(folder)
        except FileNotFoundError:  # the run that held it has just finished and removed it
            continue
        except BlockingIOError:
            message = "another run is writing the same target: wait for it, or choose another name"
            raise OutputError(f"{folder}: {message}") from None


def _entered(
    target: Path, folder: Path, identity: Mapping[str, Json] | None, *, resume: bool, one_file: bool
) -> Staging:
    """Return the staging in a locked ``folder``: the one of an earlier run if it fits, else a new one."""
    owner = read_owner(folder)
    if owner is not None and resume and identity is not None and owner["identity"] is not None:
        earlier = owner["identity"]
        assert isinstance(earlier, dict)
        now = json.loads(dumps(identity))
        different = [
            f"other {n}" if n.split()[0].endswith("s") else f"another {n}"
            for n in now
            if earlier.get(n) != now[n]
        ]
        if different:
            raise ResumeError(
                f"{target}: an earlier run left {folder.name} with {' and '.join(different)}:",
                ways=[
                    "use the same source and options to go on",
                    "resume=False to start over",
                    "choose another name",
                ],
            )
        if (folder / JOURNAL).exists() and (folder / STORE).is_dir():
            (folder / PACKED).unlink(missing_ok=True)
            return Staging(target, folder, begin_parts(folder), resumed=True, one_file=one_file)
    _clear(folder)
    values: dict[str, Json] = {
        "bigimg": FORMAT, "id": secrets.token_hex(8), "target": target.name,
        "identity": None if identity is None else dict(identity),
    }  # fmt: skip
    new = folder / f"{OWNER}.new"
    new.write_bytes(dumps(values))
    os.replace(new, folder / OWNER)
    hook("owned")
    (folder / STORE).mkdir()
    (folder / JOURNAL).touch()
    parts = begin_parts(folder)
    sync_folder(folder.parent)
    hook("begun")
    return Staging(target, folder, parts, resumed=False, one_file=one_file)


def read_owner(folder: Path) -> dict[str, Json] | None:
    """Return the content of the owner file of a staging folder, or None when the folder is empty or just made.

    Raises
    ------
    OutputError
        The folder is not ours, or of another version of bigimg.
    """
    try:
        owner = json.loads((folder / OWNER).read_bytes())
    except FileNotFoundError:
        if set(os.listdir(folder)) - {f"{OWNER}.new"}:
            message = f"{folder}: is in the way and not ours (no {OWNER} in it): move it away"
            raise OutputError(message) from None
        return None
    except ValueError:
        owner = {}
    known = isinstance(owner, dict) and owner.get("bigimg") == FORMAT
    if not known or not isinstance(owner.get("identity", ""), dict | None):
        raise OutputError(f"{folder}: was left by another version of bigimg: use that one, or remove it")
    return dict(owner)


def _commit(staging: Staging, *, overwrite: bool, sync: bool, labels: Collection[str]) -> None:
    """Rename the finished store to its target."""
    revoke(staging.folder)  # a worker that was taken for dead may still write
    hook("written")
    if sync:
        sync_volume(staging.folder)
    hook("synced")
    if overwrite and staging.one_file and os.path.lexists(staging.target):
        check_file(staging.target, labels)
        os.replace(staging.made, staging.target)
    elif overwrite and os.path.lexists(staging.target):
        check_replaceable(staging.target)
        rename.exchange(staging.store, staging.target)
        try:
            check_contents(staging.store)  # again, now that no program reaches it by its old name
        except BaseException:
            rename.exchange(staging.store, staging.target)
            check_replaceable(staging.target)  # the same error, with the path that is valid now
            raise
    else:
        try:
            rename.rename_without_replacing(staging.made, staging.target)
        except FileExistsError:
            raise TargetExistsError(
                f"{staging.target}: was made by somebody else meanwhile, and is left alone; "
                f"the finished store is {staging.made}"
            ) from None
    hook("renamed")
    sync_folder(staging.target.parent)
    hook("committed")


def discard(folder: Path) -> None:
    """Remove a staging folder of ours: its store first, the owner file last, so that after a kill it is still ours."""
    _clear(folder)
    (folder / OWNER).unlink(missing_ok=True)
    hook("cleared")
    folder.rmdir()


def _clear(folder: Path) -> None:
    revoke(folder)
    for name in (JOURNAL, SCRATCH, PACKED, f"{OWNER}.new"):
        (folder / name).unlink(missing_ok=True)
    remove_folder(folder / STORE)


def is_full(error: BaseException) -> bool:
    """Return whether ``error`` of a run, or what it comes from, is that the disk is full."""
    return any(isinstance(each, OSError) and each.errno in FULL for each in (error, error.__cause__))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of the system about writing into an :class:`OutputError` with the path and what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BigimgError) or error.errno is None:
            raise
        remedy = "choose another folder"
        if error.errno in FULL:
            free = shutil.disk_usage(path.parent).free
            remedy = f"{human_bytes(free)} are free there: make room and run the same command again to go on"
        elif error.errno in (errno.EIO, errno.EFBIG):
            remedy = "look after the disk, then run the same command again to go on"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "choose a folder that you may write to"
        raise OutputError(f"{path}: cannot write ({error.strerror}); {remedy}") from error
