"""A transfer into the cache: what it received so far, of which version, and the finished copy.

Bytes of two answers are put together only if both are of the same version. What a broken run received stays for the
next one. A finished copy is used again only after its place confirmed that nothing has changed.
"""

from __future__ import annotations

import json
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bigimg.errors import InputError, OutputError
from bigimg.places.address import file_name, redacted
from bigimg.places.cache import versions
from bigimg.places.http import Patience, TryAgain
from bigimg.system.locks import take
from bigimg.system.sync import sync_file

PROGRESS_BYTES = 1 << 20
"""After so many new bytes the count of failures starts again."""

RECORD = "version.json"
"""File that describes the bytes beside it; without it they are not used."""

type OnProgress = Callable[[int, int | None], None]
"""Takes the number of received bytes and that of all bytes; the latter is None if the server does not name it."""


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a file that a server sends, and the copy of it."""

    etag: str | None = None
    modified: str | None = None
    total: int | None = None
    """Bytes."""
    path: str | None = None
    """Path of the finished copy in the folder of the download; None if it is unfinished."""

    @property
    def exact(self) -> str | None:
        """What is equal for the same bytes only: a strong tag, or else the date; None if the server names neither."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def same(self, other: Version) -> bool:
        """Return whether bytes of both versions may be put together."""
        totals = self.total is None or other.total is None or self.total == other.total
        return self.exact is not None and self.exact == other.exact and totals


class Large(Exception):
    """A file is as large as the caller wants to hear of; this error never leaves those who ask for a transfer."""


class Transfer(ABC):
    """A running transfer of ``url`` into ``folder``: the received bytes and their version."""

    def __init__(
        self, url: str, folder: Path, most_bytes: int, insecure: bool, patience: Patience,
        on_progress: OnProgress | None, least_told: int | None = None,
    ) -> None:  # fmt: skip
        self.least_told = least_told
        self.url, self.folder, self.most_bytes, self.insecure = url, folder, most_bytes, insecure
        self.shown, self.patience, self.on_progress = redacted(url), patience, on_progress
        self.part = folder / "part"
        self.version = self._load()

    @abstractmethod
    def request(self) -> Path:
        """Ask for what is missing, and return the finished copy; TryAgain if it may help to ask once more."""

    def run(self) -> Path:
        """Return the finished copy; repeat the request if that may help."""
        failures, before = 0, self.received()
        while True:
            try:
                return self.request()
            except TryAgain as error:
                now = self.received()
                failures = 1 if now - before >= PROGRESS_BYTES else failures + 1
                before = now
                wait = self.patience.first_wait * 2 ** (failures - 1) if error.wait is None else error.wait
                if failures >= self.patience.tries or wait > self.patience.most_wait:
                    asks = "" if error.wait is None else f" and asks to wait {error.wait:.0f} s"
                    kept = f"; {now} bytes are kept, and the next run continues from there" if now else ""
                    what = f"{error}{asks} (tried {failures} times){kept}"
                    raise InputError(f"{self.shown}: {what}; try again later") from None
            time.sleep(wait)

    def check_room(self, total: int) -> None:
        """Refuse more bytes than are allowed, or than there is room for; raise Large where that was asked for."""
        if self.least_told is not None and total >= self.least_told and not self.received():
            raise Large
        if total > self.most_bytes:
            what = f"has {total} bytes or more, allowed {self.most_bytes}"
            raise InputError(f"{self.shown}: {what};", ways=[f"use max_download='{-(-total // 10**6)}MB'"])
        room = shutil.disk_usage(self.folder).free + self.received()
        if total > room:
            what = f"the cache has room for {room} bytes, and {self.shown} has {total}"
            raise OutputError(f"{self.folder}: {what}; set BIGIMG_CACHE to a folder with more")

    def finish(self, beside: Mapping[str, Path] | None = None) -> Path:
        """Give the complete copy a new name, because the last version may still be in use.

        Parameters
        ----------
        beside : mapping of str to Path, optional
            Files that belong to it, by the names that they have beside it.
        """
        if self.part.is_file():
            sync_file(self.part)
        folder = self.folder / f"{time.time_ns():x}"
        folder.mkdir(mode=0o700)
        final = folder / file_name(self.url)
        for name, file in (beside or {}).items():
            file.replace(folder / name)
        self.part.replace(final)
        path = str(final.relative_to(self.folder))
        self.version = replace(self.version, total=_size(final), path=path)
        self.save()
        self._clear(folder)
        return final

    def received(self) -> int:
        """Return how many bytes are there."""
        return _size(self.part) if self.part.exists() else 0

    def forget(self) -> None:
        """Begin anew."""
        if self.part.is_dir():
            shutil.rmtree(self.part)
        self.part.unlink(missing_ok=True)
        self.version = Version()

    def save(self) -> None:
        """Note of which version the received bytes are."""
        partial = self.folder / "version.new"
        partial.write_text(json.dumps(asdict(self.version)), encoding="utf-8")
        partial.replace(self.folder / RECORD)

    def _clear(self, keep: Path) -> None:
        """Remove earlier versions that are not in use."""
        for old in versions(self.folder):
            with suppress(BlockingIOError, FileNotFoundError):
                if old.parent != keep:
                    lock = take(old)
                    shutil.rmtree(old.parent, ignore_errors=True)
                    lock.release()

    def _load(self) -> Version:
        """Return the version of the received bytes; forget the bytes if there is none."""
        try:
            version = Version(**json.loads((self.folder / RECORD).read_text(encoding="utf-8")))
            if version.path is None or _size(self.folder / version.path) == version.total:
                return version
        except (OSError, ValueError, TypeError):  # there is none, or a killed process left half of it
            pass
        self.forget()
        return self.version


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
