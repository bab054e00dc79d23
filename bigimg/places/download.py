"""Download of an address into the cache: complete, checked, and continued after a broken run.

Bytes of two responses are put together only if the server names the same version (a strong ``ETag``, or else
``Last-Modified``) and the next byte. Otherwise the file is fetched from its start. A copy in the cache is used again
only if the server confirms that the file has not changed.
"""

from __future__ import annotations

import http.client
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bigimg.errors import InputError
from bigimg.places.address import file_name, is_bucket
from bigimg.places.bucket_transfer import BucketTransfer
from bigimg.places.cache import bound_downloads, entry_folder, entry_lock, make_private, writing
from bigimg.places.http import LEAST_RATE, Patience, TryAgain, ask, watched
from bigimg.places.transfer import RECORD, OnProgress, Transfer, Version
from bigimg.system.locks import Lock, locked, take

PIECE_BYTES = 1 << 20
"""Bytes that are read from a connection at once, at most."""

MOST_DIGITS = 18
"""Of a number of bytes."""


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
    least_told: int | None = None,
) -> Downloaded:
    """Return the file at ``url`` as a file in the cache; a folder of a bucket as a folder there.

    Parameters
    ----------
    url : str
        ``http``, ``https``, or an address in a bucket.
    most_bytes : int
        Larger files are refused before they are fetched.
    insecure : bool
        Accept any certificate.
    patience : Patience, optional
    on_progress : callable, optional
        Called now and then with the number of received bytes and that of all bytes.
    least_told : int, optional
        Raise :class:`~bigimg.places.transfer.Large` before so many bytes are fetched, if none is here.

    Raises
    ------
    Large
        The file has ``least_told`` bytes or more.
    InputNotFoundError, InputError
        The server has no such file, refuses, does not answer, or sends another number of bytes than it named.
    OutputError
        There is no room in the cache.
    """
    folder = entry_folder(url)
    kind = BucketTransfer if is_bucket(url) else _WebTransfer
    while True:
        with writing(folder):
            make_private(folder.parent)
            with locked(entry_lock(folder), create=True):
                make_private(folder)
                waits = patience or Patience()
                found = kind(url, folder, most_bytes, insecure, waits, on_progress, least_told).run()
                with suppress(BlockingIOError, FileNotFoundError):
                    lock = take(found, shared=True)
                    break
    bound_downloads(keep=folder)
    return Downloaded(found, lock)


class _WebTransfer(Transfer):
    """A file of a web server, in one answer after the other."""

    def request(self) -> Path:
        """Send one request for what is missing, and return the finished copy."""
        received, last = self.received(), self.version
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
                self.forget()
                raise TryAgain(f"the server answers {answer.status} to a request for the rest")
            version = self._checked(answer)
            continues = received and _start(answer) == received and self.version.same(version)
            if answer.status == 206 and not continues:
                self.forget()
                raise TryAgain("the file was changed while it was fetched")
            if answer.status == 200:
                self.forget()
                self.version = version
                self.save()
            elif self.version.total is None and version.total is not None:
                # The first response came in chunks, without the length of the file.
                self.version = replace(self.version, total=version.total)
                self.save()
            self._receive(answer)
        return self.finish()

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
        self.check_room(total or 0)
        return Version(answer.headers.get("ETag"), answer.headers.get("Last-Modified"), total)

    def _receive(self, answer: http.client.HTTPResponse) -> None:
        """Append the body of the response to the received bytes."""
        total, received = self.version.total, self.received()
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
                    self.check_room(received)
                if self.on_progress is not None:
                    self.on_progress(received, total)
        if slow.is_set():
            raise TryAgain(f"the server stalls: less than {LEAST_RATE} bytes a second for {stall:g} s")
        wanted = promised if total is None else total
        if wanted is not None and received != wanted:
            if received > wanted:
                self.forget()
            raise TryAgain(f"the body ends after {received} of {wanted} bytes")


def _start(answer: http.client.HTTPResponse) -> int | None:
    """Return the position of the first byte of a partial response."""
    text = (answer.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0].strip()
    return _number(text)


def _number(text: str) -> int | None:
    """Return the number in a header, or None if there is none that could be one of bytes."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None
