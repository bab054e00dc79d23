"""A file behind a URL as a file in the cache: whole, checked, and fetched on from where a broken run ended.

What only this module knows is when bytes of two answers belong together: the server must name the same
version (a strong ``ETag``, or else ``Last-Modified``) and the byte that follows. In all other cases the file is
fetched from its start. A copy in the cache is used again only when the server says that it is still the same.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bigimg.errors import InputError, OutputError
from bigimg.places.address import file_name, redacted
from bigimg.places.cache import bound_downloads, entry_folder, entry_lock, make_private, versions, writing
from bigimg.places.http import Patience, TryAgain, ask
from bigimg.system.locks import Lock, locked, take
from bigimg.system.sync import sync_file

PIECE_BYTES = 1 << 20
"""Asked of a connection at once; it gives what it has."""

PROGRESS_BYTES = 1 << 20
"""After so many new bytes a broken connection counts as the first failure again."""

LEAST_RATE = 1000
"""Bytes a second; what comes slower for as long as a stall is one."""

RECORD = "version.json"
"""What is known of the bytes beside it; without it they are worth nothing."""

type Told = Callable[[int, int | None], None]
"""Is told the bytes that are there, and of how many; None when the server does not say."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a server says of the version of a file that it sends."""

    etag: str | None = None
    modified: str | None = None
    total: int | None = None
    """Bytes."""
    path: str | None = None
    """Of the finished copy, inside the folder of the download; None while it is unfinished."""

    def same(self, other: Version) -> bool:
        """Return whether bytes of both may be put together."""
        named = self.etag if self.etag and not self.etag.startswith("W/") else self.modified
        theirs = other.etag if other.etag and not other.etag.startswith("W/") else other.modified
        totals = self.total is None or other.total is None or self.total == other.total
        return named is not None and named == theirs and totals


@dataclass(frozen=True)
class Downloaded:
    """A finished copy; it stays in the cache at least as long as this object lives."""

    path: Path
    lock: Lock

    def doubt(self) -> None:
        """Have the file fetched anew next time: a server that named a wrong length would vouch for a cut one."""
        (self.path.parents[1] / RECORD).unlink(missing_ok=True)


def download(
    url: str,
    *,
    most_bytes: int,
    insecure: bool = False,
    patience: Patience | None = None,
    told: Told | None = None,
) -> Downloaded:
    """Return the file at ``url`` as a file in the cache.

    Parameters
    ----------
    url : str
        ``http`` or ``https``.
    most_bytes : int
        Larger files are refused before they are fetched.
    insecure : bool
        Take any certificate.
    patience : Patience, optional
    told : callable, optional
        Called now and then with the bytes that are there and of how many.

    Raises
    ------
    InputNotFoundError, InputError
        The server has no such file, refuses, is dead, or sends another number of bytes than it says.
    OutputError
        There is no room for it.
    """
    folder = entry_folder(url)
    while True:
        with writing(folder):
            make_private(folder.parent)
            with locked(entry_lock(folder), create=True):
                make_private(folder)
                found = _Download(url, folder, most_bytes, insecure, patience or Patience(), told).run()
                with suppress(BlockingIOError, FileNotFoundError):
                    lock = take(found, shared=True)
                    break
    bound_downloads(keep=folder)
    return Downloaded(found, lock)


class _Download:
    """One file on its way: what is there already, and of which version."""

    def __init__(
        self, url: str, folder: Path, most_bytes: int, insecure: bool, patience: Patience, told: Told | None
    ) -> None:
        self.url, self.folder, self.most_bytes, self.insecure = url, folder, most_bytes, insecure
        self.shown, self.patience, self.told = redacted(url), patience, told
        self.part = folder / "part"
        self.version = self._load()

    def run(self) -> Path:
        """Return the finished copy, asking again where that may help."""
        failures, there = 0, self._there()
        while True:
            try:
                return self._once()
            except TryAgain as error:
                now = self._there()
                failures = 1 if now - there >= PROGRESS_BYTES else failures + 1
                there = now
                wait = self.patience.first_wait * 2 ** (failures - 1) if error.wait is None else error.wait
                if failures >= self.patience.tries or wait > self.patience.most_wait:
                    raise self._given_up(error, failures) from None
            time.sleep(wait)

    def _given_up(self, error: TryAgain, failures: int) -> InputError:
        asked = "" if error.wait is None else f" and asks to wait {error.wait:.0f} s"
        kept = (
            f"; {self._there()} bytes are kept, and the next run goes on from there" if self._there() else ""
        )
        return InputError(f"{self.shown}: {error}{asked} (tried {failures} times){kept}; try again later")

    def _once(self) -> Path:
        """Ask once, and take what comes."""
        there = self._there()
        headers = {}
        if self.version.path is not None:
            headers = _named(self.version, "If-None-Match", "If-Modified-Since")
        elif there and (same := _named(self.version, "If-Range", "If-Range")):
            headers = {"Range": f"bytes={there}-"} | same
        with ask(self.url, headers, insecure=self.insecure, stall=self.patience.stall) as answer:
            if answer.status == 304 and self.version.path is not None:
                os.utime(self.folder)  # the latest use, for whoever clears the cache
                return self.folder / self.version.path
            if answer.status in (304, 416):
                self._forget()
                raise TryAgain(f"the server answers {answer.status} to a question for what is missing")
            version = self._checked(answer)
            if answer.status == 206 and not (
                there and _start(answer) == there and self.version.same(version)
            ):
                self._forget()
                raise TryAgain("the file was changed while it was fetched")
            if answer.status == 200:
                self._begin(version)
            elif self.version.total is None and version.total is not None:
                # The first answer came in chunks and did not say how long the file is; this one does.
                self.version = replace(self.version, total=version.total)
                self._save()
            self._receive(answer)
        return self._finish()

    def _checked(self, answer: http.client.HTTPResponse) -> Version:
        """Return what the server says of the file, refusing what cannot be checked or kept."""
        coding = (answer.headers.get("Content-Encoding") or "identity").lower()
        # Some servers call a .nii.gz "encoded" and send it as it is; other codings would hide what the length is.
        if coding != "identity" and not (coding in ("gzip", "x-gzip") and file_name(self.url).endswith("gz")):
            raise InputError(
                f"{self.shown}: the server sends it encoded ({coding}) although it was asked not to; fetch it with "
                "another program"
            )
        if answer.status == 206:
            text = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
        else:
            text = answer.headers.get("Content-Length") or ""
        total = int(text) if text.isdecimal() else None
        if total is None and not answer.chunked:
            raise InputError(
                f"{self.shown}: the server does not say how long the file is, so a cut one would pass for whole; fetch "
                "it with another program"
            )
        self._fits(total or 0)
        return Version(answer.headers.get("ETag"), answer.headers.get("Last-Modified"), total)

    def _fits(self, total: int) -> None:
        if total > self.most_bytes:
            raise InputError(
                f"{self.shown}: has {total} bytes or more, allowed {self.most_bytes}; use "
                f"max_download='{-(-total // 10**6)}MB'"
            )
        room = shutil.disk_usage(self.folder).free + self._there()
        if total > room:
            raise OutputError(
                f"{self.folder}: the cache has room for {room} bytes, and {self.shown} has {total}; set BIGIMG_CACHE "
                "to a folder with more"
            )

    def _receive(self, answer: http.client.HTTPResponse) -> None:
        """Append the body to what is there."""
        total, shown = self.version.total, self._there()
        promised = None if answer.length is None else shown + answer.length
        since, window = time.monotonic(), 0
        with open(self.part, "ab", buffering=0) as file:
            while True:
                try:
                    piece = answer.read1(PIECE_BYTES)
                except TimeoutError:
                    raise TryAgain(f"the server stalls: no byte for {self.patience.stall:g} s") from None
                except (OSError, http.client.HTTPException) as error:
                    raise TryAgain(f"the connection broke ({type(error).__name__})") from None
                if not piece:
                    break
                file.write(piece)
                shown, window = shown + len(piece), window + len(piece)
                if total is None:
                    self._fits(shown)
                if self.told is not None:
                    self.told(shown, total)
                if time.monotonic() - since >= self.patience.stall:
                    if window < LEAST_RATE * self.patience.stall:
                        raise TryAgain(f"the server stalls: {window} bytes in {self.patience.stall:g} s")
                    since, window = time.monotonic(), 0
        if promised is not None and shown < promised:
            raise TryAgain(f"the body ends after {shown} of {total or promised} bytes")
        if total is not None and shown != total:
            if shown > total:
                self._forget()
            raise TryAgain(f"the body ends after {shown} of {total} bytes")

    def _begin(self, version: Version) -> None:
        """Start from nothing with ``version``."""
        self._forget()
        self.version = version
        self._save()

    def _finish(self) -> Path:
        """Give the whole file its name: a new one for each version, since the last may still be read."""
        sync_file(self.part)
        place = self.folder / f"{time.time_ns():x}"
        place.mkdir(mode=0o700)
        final = place / file_name(self.url)
        self.part.replace(final)
        self.version = Version(
            self.version.etag,
            self.version.modified,
            final.stat().st_size,
            str(final.relative_to(self.folder)),
        )
        self._save()
        self._clear(place)
        return final

    def _clear(self, keep: Path) -> None:
        """Remove earlier versions that nobody reads."""
        for old in versions(self.folder):
            if old.parent == keep:
                continue
            with suppress(BlockingIOError, FileNotFoundError):
                lock = take(old)
                shutil.rmtree(old.parent, ignore_errors=True)
                lock.release()

    def _there(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.version = Version()

    def _load(self) -> Version:
        """Return the version of what is there; without one, what is there is worth nothing."""
        try:
            version = Version(**json.loads((self.folder / RECORD).read_text(encoding="utf-8")))
            if version.path is None or (self.folder / version.path).stat().st_size == version.total:
                return version
        except (OSError, ValueError, TypeError):  # none yet, or one half written by a killed process
            pass
        self._forget()
        return self.version

    def _save(self) -> None:
        partial = self.folder / "version.new"
        partial.write_text(json.dumps(asdict(self.version)), encoding="utf-8")
        partial.replace(self.folder / RECORD)


def _named(version: Version, by_tag: str, by_date: str) -> dict[str, str]:
    """Return the header that names ``version``: a strong tag, else its date."""
    weak_will_do = by_tag != by_date
    if version.etag and (weak_will_do or not version.etag.startswith("W/")):
        return {by_tag: version.etag}
    return {by_date: version.modified} if version.modified else {}


def _start(answer: http.client.HTTPResponse) -> int | None:
    """Return the first byte that a partial answer holds."""
    text = (answer.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0].strip()
    return int(text) if text.isdecimal() else None
