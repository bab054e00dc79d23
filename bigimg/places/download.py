"""Download of a URL into the cache: complete, checked, and continued after a broken run.

Bytes of two responses are put together only if the server names the same version (a strong ``ETag``, or else
``Last-Modified``) and the next byte. Otherwise the file is fetched from its start. A copy in the cache is used again
only if the server confirms that the file has not changed.
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
from bigimg.places.http import LEAST_RATE, Patience, TryAgain, ask, watched
from bigimg.system.locks import Lock, locked, take
from bigimg.system.sync import sync_file

PIECE_BYTES = 1 << 20
"""Bytes that are read from a connection at once, at most."""

PROGRESS_BYTES = 1 << 20
"""After so many new bytes the count of failures starts again."""

MOST_DIGITS = 18
"""Of a number of bytes."""

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


@dataclass(frozen=True)
class Downloaded:
    """A finished copy; it stays in the cache at least as long as this object exists."""

    path: Path
    lock: Lock

    def doubt(self) -> None:
        """Forget the version, so that the next call fetches the file again.

        If a server names a wrong length, it would confirm a truncated copy.
        """
        (self.path.parents[1] / RECORD).unlink(missing_ok=True)


def download(
    url: str,
    *,
    most_bytes: int,
    insecure: bool = False,
    patience: Patience | None = None,
    on_progress: OnProgress | None = None,
) -> Downloaded:
    """Return the file at ``url`` as a file in the cache.

    Parameters
    ----------
    url : str
        ``http`` or ``https``.
    most_bytes : int
        Larger files are refused before they are fetched.
    insecure : bool
        Accept any certificate.
    patience : Patience, optional
    on_progress : callable, optional
        Called now and then with the number of received bytes and that of all bytes.

    Raises
    ------
    InputNotFoundError, InputError
        The server has no such file, refuses, does not answer, or sends another number of bytes than it named.
    OutputError
        There is no room in the cache.
    """
    folder = entry_folder(url)
    while True:
        with writing(folder):
            make_private(folder.parent)
            with locked(entry_lock(folder), create=True):
                make_private(folder)
                waits = patience or Patience()
                found = _Download(url, folder, most_bytes, insecure, waits, on_progress).run()
                with suppress(BlockingIOError, FileNotFoundError):
                    lock = take(found, shared=True)
                    break
    bound_downloads(keep=folder)
    return Downloaded(found, lock)


class _Download:
    """A running download: the received bytes and their version."""

    def __init__(
        self, url: str, folder: Path, most_bytes: int, insecure: bool, patience: Patience,
        on_progress: OnProgress | None,
    ) -> None:  # fmt: skip
        self.url, self.folder, self.most_bytes, self.insecure = url, folder, most_bytes, insecure
        self.shown, self.patience, self.on_progress = redacted(url), patience, on_progress
        self.part = folder / "part"
        self.version = self._load()

    def run(self) -> Path:
        """Return the finished copy; repeat the request if that may help."""
        failures, before = 0, self._received()
        while True:
            try:
                return self._request()
            except TryAgain as error:
                now = self._received()
                failures = 1 if now - before >= PROGRESS_BYTES else failures + 1
                before = now
                wait = self.patience.first_wait * 2 ** (failures - 1) if error.wait is None else error.wait
                if failures >= self.patience.tries or wait > self.patience.most_wait:
                    asks = "" if error.wait is None else f" and asks to wait {error.wait:.0f} s"
                    kept = f"; {now} bytes are kept, and the next run continues from there" if now else ""
                    what = f"{error}{asks} (tried {failures} times){kept}"
                    raise InputError(f"{self.shown}: {what}; try again later") from None
            time.sleep(wait)

    def _request(self) -> Path:
        """Send one request for what is missing, and return the finished copy."""
        received, last = self._received(), self.version
        headers: dict[str, str | None] = {}
        if last.path is not None:
            headers = {"If-None-Match": last.etag, "If-Modified-Since": last.modified}
        elif received and last.exact:
            headers = {"Range": f"bytes={received}-", "If-Range": last.exact}
        sent = {name: value for name, value in headers.items() if value}
        with ask(self.url, sent, insecure=self.insecure, stall=self.patience.stall) as answer:
            if answer.status == 304 and self.version.path is not None:
                os.utime(self.folder)  # the time of the latest use
                return self.folder / self.version.path
            if answer.status in (304, 416):
                self._forget()
                raise TryAgain(f"the server answers {answer.status} to a request for the rest")
            version = self._checked(answer)
            continues = received and _start(answer) == received and self.version.same(version)
            if answer.status == 206 and not continues:
                self._forget()
                raise TryAgain("the file was changed while it was fetched")
            if answer.status == 200:
                self._forget()
                self.version = version
                self._save()
            elif self.version.total is None and version.total is not None:
                # The first response came in chunks, without the length of the file.
                self.version = replace(self.version, total=version.total)
                self._save()
            self._receive(answer)
        return self._finish()

    def _checked(self, answer: http.client.HTTPResponse) -> Version:
        """Return the version that the server names; raise if the file cannot be checked or stored."""
        coding = (answer.headers.get("Content-Encoding") or "identity").lower()
        # Some servers call a .nii.gz "encoded" and send it as it is. Other codings would hide the length.
        if coding != "identity" and not (coding in ("gzip", "x-gzip") and file_name(self.url).endswith("gz")):
            what = f"the server sends it encoded ({coding}), against the request"
            raise InputError(f"{self.shown}: {what}; fetch it with another program")
        if answer.status == 206:
            text = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
        else:
            text = answer.headers.get("Content-Length") or ""
        total = _number(text)
        if len(text) > MOST_DIGITS:
            raise InputError(f"{self.shown}: the server names a length of {len(text)} digits; check it")
        if total is None and not answer.chunked:
            what = "the server does not name the length of the file, so a truncated file cannot be noticed"
            raise InputError(f"{self.shown}: {what}; fetch it with another program")
        self._fits(total or 0)
        return Version(answer.headers.get("ETag"), answer.headers.get("Last-Modified"), total)

    def _fits(self, total: int) -> None:
        if total > self.most_bytes:
            what = f"has {total} bytes or more, allowed {self.most_bytes}"
            raise InputError(f"{self.shown}: {what};", ways=[f"use max_download='{-(-total // 10**6)}MB'"])
        room = shutil.disk_usage(self.folder).free + self._received()
        if total > room:
            what = f"the cache has room for {room} bytes, and {self.shown} has {total}"
            raise OutputError(f"{self.folder}: {what}; set BIGIMG_CACHE to a folder with more")

    def _receive(self, answer: http.client.HTTPResponse) -> None:
        """Append the body of the response to the received bytes."""
        total, received = self.version.total, self._received()
        promised = None if answer.length is None else received + answer.length
        stall = self.patience.stall
        with open(self.part, "ab", buffering=0) as file, watched(answer.cut, file.tell, stall) as slow:  # type: ignore[attr-defined]
            while True:
                try:
                    piece = answer.read1(PIECE_BYTES)
                except TimeoutError:
                    raise TryAgain(f"the server stalls: no byte for {stall:g} s") from None
                except (OSError, http.client.HTTPException) as error:
                    if slow.is_set():
                        break
                    raise TryAgain(f"the connection broke ({type(error).__name__})") from None
                if not piece:
                    break
                file.write(piece)
                received += len(piece)
                if total is None:
                    self._fits(received)
                if self.on_progress is not None:
                    self.on_progress(received, total)
        if slow.is_set():
            raise TryAgain(f"the server stalls: less than {LEAST_RATE} bytes a second for {stall:g} s")
        wanted = promised if total is None else total
        if wanted is not None and received != wanted:
            if received > wanted:
                self._forget()
            raise TryAgain(f"the body ends after {received} of {wanted} bytes")

    def _finish(self) -> Path:
        """Give the complete file a new name, because the last version may still be in use."""
        sync_file(self.part)
        folder = self.folder / f"{time.time_ns():x}"
        folder.mkdir(mode=0o700)
        final = folder / file_name(self.url)
        self.part.replace(final)
        path = str(final.relative_to(self.folder))
        self.version = replace(self.version, total=final.stat().st_size, path=path)
        self._save()
        self._clear(folder)
        return final

    def _clear(self, keep: Path) -> None:
        """Remove earlier versions that are not in use."""
        for old in versions(self.folder):
            with suppress(BlockingIOError, FileNotFoundError):
                if old.parent != keep:
                    lock = take(old)
                    shutil.rmtree(old.parent, ignore_errors=True)
                    lock.release()

    def _received(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.version = Version()

    def _load(self) -> Version:
        """Return the version of the received bytes; forget the bytes if there is none."""
        try:
            version = Version(**json.loads((self.folder / RECORD).read_text(encoding="utf-8")))
            if version.path is None or (self.folder / version.path).stat().st_size == version.total:
                return version
        except (OSError, ValueError, TypeError):  # there is none, or a killed process left half of it
            pass
        self._forget()
        return self.version

    def _save(self) -> None:
        partial = self.folder / "version.new"
        partial.write_text(json.dumps(asdict(self.version)), encoding="utf-8")
        partial.replace(self.folder / RECORD)


def _start(answer: http.client.HTTPResponse) -> int | None:
    """Return the position of the first byte of a partial response."""
    text = (answer.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0].strip()
    return _number(text)


def _number(text: str) -> int | None:
    """Return the number in a header, or None if there is none that could be one of bytes."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None
