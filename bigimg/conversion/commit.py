"""How a store comes to be: staged beside its target, and under its final name only when it is whole.

    mkdir  .NAME.bigimg            beside the target, on its volume
    lock   .NAME.bigimg            one that the death of the process frees
    write  owner                   who this is for: source, options, random id
    write  store/… and journal     block after block, in any order
    write  metadata, root last
    sync                           everything, at once where the system can
    rename store -> NAME           refuses to replace; with ``overwrite`` the two change places
    sync   the parent
    remove .NAME.bigimg            and with it the store that was replaced

Whatever kills the run, at any of these lines, leaves either no store under the name (or the old one, whole)
and a staging folder to go on from, or the new store and a staging folder to clear away. A run that finds a
staging folder goes on from its journal when owner, source and options are the same. The drawing is in
``docs/design/0010-commit.md``; ``tests/conversion/test_commit.py`` kills a run at each of these steps.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bigimg.conversion.overwrite import check_contents, check_replaceable
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
from bigimg.places.staging import staging_folder
from bigimg.planning.memory import human_bytes
from bigimg.system import rename
from bigimg.system.locks import Lock, take
from bigimg.system.signals import undisturbed
from bigimg.system.sync import sync_folder, sync_volume
from bigimg.types import Json

FORMAT = 1
"""Of the staging folder; another one is not touched."""
OWNER, JOURNAL, STORE, SCRATCH = "owner.json", "journal", "store", "scratch"

HOPELESS = (InputError, IntegrityError, UsageError, BudgetError)
"""What the same command would end with again: there is nothing to go on for."""

type Step = Callable[[str], None]


def _no_hook(step: str) -> None:
    """Tests put a function here that ends the process at the step it is told."""


hook: Step = _no_hook


@dataclass(frozen=True, slots=True)
class Staging:
    """A store in the making."""

    target: Path
    folder: Path
    resumed: bool
    """Whether an earlier run left a journal to go on from."""

    @property
    def store(self) -> Path:
        """The folder that becomes the store."""
        return self.folder / STORE

    @property
    def journal(self) -> Path:
        """The record of finished blocks."""
        return self.folder / JOURNAL

    @property
    def scratch(self) -> Path:
        """Place for an uncompressed copy of the source."""
        return self.folder / SCRATCH


@contextmanager
def staged(
    target: Path, identity: Mapping[str, Json] | None, *, resume: bool = True, overwrite: bool = False,
    sync: bool = True,
) -> Iterator[Staging]:  # fmt: skip
    """Give a locked staging folder for the length of a run, and put its store in place at the end.

    When the run fails in a way that it can go on from (interrupted, disk full, a worker died) the folder
    stays; when the source is to blame, or has no ``identity`` to know it by again, it is removed.

    Parameters
    ----------
    target : Path
    identity : mapping, optional
        What must be the same for a later run to go on: source, options, layout. None for a source that
        cannot be known again, such as an array.
    resume : bool
        Go on from what an earlier run left.
    overwrite : bool
        Let the new store take the place of the one that is there.
    sync : bool
        Have everything on the disk before the store gets its name.

    Raises
    ------
    ResumeError
        What an earlier run left is of another source or of other options.
    OutputError
        Another run is at work on the same target, or the disk is full or cannot be written to.
    """
    folder = staging_folder(target)
    staging: Staging | None = None
    finished = False
    lock: Lock | None = None
    made: os.stat_result | None = None
    with explained(target):
        try:
            with undisturbed():  # a staging folder is begun, or it is not
                lock = _locked(folder)
                if rename.finish_exchange(folder / STORE, target) and not overwrite:
                    raise TargetExistsError(
                        f"{target}: a run was killed while it replaced this store, which has its name again: choose "
                        "another name, or overwrite=True"
                    )
                staging = _entered(target, folder, identity, resume=resume)
            yield staging
            finished, made = True, os.stat(staging.store)
            _commit(staging, overwrite=overwrite, sync=sync)
            discard(folder)
        except BaseException as error:
            if staging is not None and not finished and (identity is None or isinstance(error, HOPELESS)):
                discard(folder)
            elif made is not None and _is_there(target, made):
                left = (
                    f"the store {target} is whole, and has its name; bigimg clean removes what is beside it"
                )
                error.add_note(Left(left))
            elif staging is not None and folder.exists():
                left = f"what was done is kept in {folder}; run the same command again to go on"
                error.add_note(Left(left))
            raise
        finally:
            if lock is not None:
                lock.release()


def _is_there(target: Path, made: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(target), made)
    except OSError:
        return False


def _locked(folder: Path) -> Lock:
    """Return the lock on the staging folder, which is made when it is not there."""
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            if folder.is_symlink() or not folder.is_dir():
                raise OutputError(f"{folder}: is in the way and not ours: move it away") from None
        hook("made")
        try:
            return take(folder)
        except FileNotFoundError:  # its holder finished and removed it just now
            continue
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another run is writing the same target: wait for it, or choose another name"
            ) from None


def _entered(target: Path, folder: Path, identity: Mapping[str, Json] | None, *, resume: bool) -> Staging:
    """Return the staging in a locked ``folder``: a new one, or the earlier one when it fits."""
    owner = read_owner(folder)
    if owner is not None and resume and identity is not None and owner["identity"] is not None:
        earlier = owner["identity"]
        assert isinstance(earlier, dict)
        different = [name for name in identity if earlier.get(name) != json.loads(dumps(identity))[name]]
        if different:
            told = [f"{'other' if name.endswith('s') else 'another'} {name}" for name in different]
            raise ResumeError(
                f"{target}: an earlier run left {folder.name} with {' and '.join(told)}: "
                "give what it was given to go on, or resume=False to start over"
            )
        if (folder / JOURNAL).exists() and (folder / STORE).is_dir():
            return Staging(target, folder, resumed=True)
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
    sync_folder(folder.parent)
    hook("begun")
    return Staging(target, folder, resumed=False)


def read_owner(folder: Path) -> dict[str, Json] | None:
    """Return what the owner file of a staging folder says, or None when the folder is empty or just begun.

    Raises
    ------
    OutputError
        The folder is not ours, or of another version of bigimg.
    """
    try:
        owner = json.loads((folder / OWNER).read_bytes())
    except FileNotFoundError:
        if {entry.name for entry in os.scandir(folder)} - {f"{OWNER}.new"}:
            raise OutputError(
                f"{folder}: is in the way and not ours (no {OWNER} in it): move it away"
            ) from None
        return None
    except ValueError:
        owner = None
    if (
        not isinstance(owner, dict)
        or owner.get("bigimg") != FORMAT
        or not isinstance(owner.get("identity", ""), dict | None)
    ):
        raise OutputError(
            f"{folder}: was left by another version of bigimg: finish with that one, or remove it"
        )
    return owner


def _commit(staging: Staging, *, overwrite: bool, sync: bool) -> None:
    """Put the finished store under its name."""
    hook("written")
    if sync:
        sync_volume(staging.folder)
    hook("synced")
    if overwrite and os.path.lexists(staging.target):
        check_replaceable(staging.target)
        rename.exchange(staging.store, staging.target)
        try:
            check_contents(staging.store)  # once more, where nobody reaches it by its old name
        except BaseException:
            rename.exchange(staging.store, staging.target)
            check_replaceable(staging.target)  # names what came in between, where it is now
            raise
    else:
        try:
            rename.rename_without_replacing(staging.store, staging.target)
        except FileExistsError:
            raise TargetExistsError(
                f"{staging.target}: was made by somebody else meanwhile, and is left alone; "
                f"the finished store is {staging.store}"
            ) from None
    hook("renamed")
    sync_folder(staging.target.parent)
    hook("committed")


def discard(folder: Path) -> None:
    """Remove a staging folder of ours: its store first, the owner file last, so that a kill leaves it ours.

    A worker whose thread was just starting when a signal arrived is not waited for by anybody, and may still
    write a block: then it is tried again.
    """
    for patience in range(100, -1, -1):
        try:
            _clear(folder)
            (folder / OWNER).unlink(missing_ok=True)
            hook("cleared")
            folder.rmdir()
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT) or not patience:
                raise
            if not folder.exists():
                return
            time.sleep(0.05)


def _clear(folder: Path) -> None:
    for name in (JOURNAL, SCRATCH, f"{OWNER}.new"):
        (folder / name).unlink(missing_ok=True)
    if (folder / STORE).exists():
        shutil.rmtree(folder / STORE)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says of writing into an :class:`OutputError` with the place and the remedy."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BigimgError) or error.errno is None:
            raise
        remedy = "choose another folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free
            remedy = f"{human_bytes(free)} are free there: make room and run the same command again to go on"
        elif error.errno in (errno.EIO, errno.EFBIG):
            remedy = "look after the disk, then run the same command again to go on"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "choose a folder that you may write to"
        raise OutputError(f"{path}: cannot write ({error.strerror}); {remedy}") from error
