"""Bytes of a file behind an address, by ranges: of buckets, web servers and fsspec's memory alike.

Each answer is checked to be of one version of the file, by its ETag (or its date) and its size.
"""

from __future__ import annotations

import re
import threading
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from typing import Any

from bigimg.errors import InputError, InputNotFoundError
from bigimg.places.address import is_bucket, redacted
from bigimg.places.bucket_client import bucket_client, failure, split_bucket
from bigimg.places.http import Patience, TryAgain, ask, watched
from bigimg.places.transfer import Version

PART_BYTES = 4 << 20
"""The most bytes of one request."""
AT_ONCE = 8
"""Requests of one read that are under way together."""
GAP_BYTES = 256 << 10
"""Smaller gaps between bytes that are wanted are fetched with them: another request costs more."""
AHEAD_BYTES = 16 << 20
"""Bytes that one read fetches and holds together."""
HELD_BYTES = AHEAD_BYTES + 2 * AT_ONCE * PART_BYTES // 4
"""Memory of one read: what it holds, and what arrives."""


class Remote(ABC):
    """A file behind an address; its methods may be called from several threads at once."""

    def __init__(self, address: str, *, insecure: bool = False, patience: Patience | None = None) -> None:
        self.address = address
        self.shown = redacted(address)
        self.insecure = insecure
        self.patience = patience or Patience()

    @abstractmethod
    def version(self) -> Version:
        """Return what the place says of the file now: ETag, date, bytes.

        Raises
        ------
        TryAgain, InputNotFoundError, InputError
            The place is busy; there is no such file; it may not be read.
        """

    @abstractmethod
    def part(self, start: int, stop: int, version: Version) -> bytes:
        """Return the bytes from ``start`` to ``stop`` of this version, by one request.

        Raises
        ------
        TryAgain, InputNotFoundError, InputError
            As :meth:`version`; also TryAgain where the file is of another version now.
        """

    def patiently[T](self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, repeated while the place is busy.

        Raises
        ------
        InputError
            It is busy for too long.
        """
        wait = self.patience.first_wait
        for tries in range(self.patience.tries, 0, -1):
            try:
                return call()
            except TryAgain as error:
                asked = wait if error.wait is None else error.wait
                if tries == 1 or asked > self.patience.most_wait:
                    what = f"{error} (tried {self.patience.tries + 1 - tries} times)"
                    raise InputError(f"{self.shown}: {what}; try again later") from None
            time.sleep(asked)
            wait *= 2
        raise AssertionError("the last try returns or raises")


class BucketFile(Remote):
    """An object of a bucket."""

    def __init__(self, address: str, *, client: Any = None, **options: Any) -> None:
        super().__init__(address, **options)
        self.key = split_bucket(address)[2]
        if not self.key:
            raise InputError(f"{self.shown}: is a whole bucket; name a file or a folder in it")
        stall = self.patience.stall
        self.client = client or bucket_client(address, insecure=self.insecure, stall=stall)

    def version(self) -> Version:
        """Return what the bucket says of the object."""
        import obstore

        try:  # an answer to HEAD would not say that it is the bucket that is not there
            return version_of(obstore.get(self.client, self.key, options={"range": (0, 1)}).meta)
        except Exception as error:
            if "status: 416" not in str(error):
                raise failure(error, self.address) from None
        try:  # the object is empty
            return version_of(obstore.head(self.client, self.key))
        except Exception as error:
            raise failure(error, self.address) from None

    def part(self, start: int, stop: int, version: Version) -> bytes:
        """Return the bytes from ``start`` to ``stop``."""
        import obstore

        options: dict[str, Any] = {"range": (start, stop)}
        if version.etag and version.exact == version.etag:
            options["if_match"] = version.etag
        try:
            answer = obstore.get(self.client, self.key, options=options)
            now, data = version_of(answer.meta), bytes(answer.bytes())
        except Exception as error:
            raise failure(error, self.address) from None
        if not now.same(version) and version.exact is not None:
            raise TryAgain("the file was changed while it was fetched")
        if len(data) != stop - start:
            raise TryAgain(f"the body ends after {len(data)} of {stop - start} bytes")
        return data


class MemoryFile(Remote):
    """A file of fsspec's memory, as tests use it."""

    def __init__(self, address: str, *, client: Any = None, **options: Any) -> None:
        super().__init__(address, **options)

    def _found(self) -> tuple[Any, str]:
        import fsspec

        memory, path = fsspec.filesystem("memory"), "/" + split_bucket(self.address)[2]
        if not memory.isfile(path):
            raise InputNotFoundError(f"{self.shown}: there is no such object in memory; check the address")
        return memory, path

    def version(self) -> Version:
        """Return date and bytes of the file."""
        memory, path = self._found()
        return Version(modified=memory.modified(path).isoformat(), total=memory.size(path))

    def part(self, start: int, stop: int, version: Version) -> bytes:
        """Return the bytes from ``start`` to ``stop``."""
        memory, path = self._found()
        if not self.version().same(version):
            raise TryAgain("the file was changed while it was fetched")
        return bytes(memory.cat_file(path, start, stop))


def memory_listing(prefix: str) -> list[dict[str, Any]]:
    """Return descriptions of the files of fsspec's memory below ``prefix``, as obstore gives them."""
    import fsspec

    memory = fsspec.filesystem("memory")
    return [
        {
            "path": path.lstrip("/"),
            "e_tag": None,
            "last_modified": memory.modified(path),
            "size": about["size"],
        }
        for path, about in memory.find("/" + prefix, detail=True).items()
    ]


def version_of(about: Any) -> Version:
    """Return the version that obstore's description of an object names."""
    return Version(about["e_tag"], about["last_modified"].isoformat(), about["size"])


def remote_file(address: str, **options: Any) -> Remote:
    """Return the file behind an address; nothing is asked yet.

    Parameters
    ----------
    address : str
    **options
        ``insecure`` and ``patience`` of :class:`Remote`, and ``client`` of the bucket, if there is one already.

    Raises
    ------
    MissingExtraError, InputError
        A package is missing, or the address is none.
    """
    if not is_bucket(address):
        return WebFile(address, **options)
    kind = MemoryFile if split_bucket(address)[0] == "memory" else BucketFile
    return kind(address, **options)


class Gathered:
    """Bytes of one version of a file, of which neighbours are fetched together and several at once.

    ``expect`` and ``pread`` may be called from many threads; what a thread announced is of that thread alone.
    """

    def __init__(self, file: Remote, version: Version) -> None:
        self.file, self.version = file, version
        self.size = version.total or 0
        self._of_thread = threading.local()

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Announce the (offset, length) of the next reads of this thread; what is held of the last ones is let go."""
        self._of_thread.spans = spans(ranges)
        self._of_thread.held = {}

    def expects(self, ranges: Sequence[tuple[int, int]]) -> bool:
        """Return whether this thread announced all of these (offset, length)."""
        return all(
            self._span(place) is not None for start, length in ranges for place in (start, start + length - 1)
        )

    def _span(self, offset: int) -> int | None:
        """Return the number of the announced span that holds the byte at ``offset``."""
        expected: list[tuple[int, int]] = getattr(self._of_thread, "spans", [])
        number = bisect_right(expected, offset, key=lambda span: span[0]) - 1
        return None if number < 0 or expected[number][1] <= offset else number

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to ``length`` bytes from ``offset`` on; fewer where the file ends.

        Raises
        ------
        InputError
            They cannot be had, or the file has changed.
        """
        stop, pieces = min(offset + length, self.size), []
        while offset < stop:
            start, data = self._holding(offset, stop)
            pieces.append(data[offset - start : stop - start])
            offset += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _holding(self, offset: int, stop: int) -> tuple[int, bytes]:
        """Return some bytes that hold the one at ``offset``, and where they begin."""
        if (number := self._span(offset)) is None:  # nobody announced it
            stop = min(stop, offset + PART_BYTES)
            return offset, self._fetched((offset, stop))
        expected: list[tuple[int, int]] = self._of_thread.spans
        held: dict[int, bytes] = self._of_thread.held
        if number not in held:
            window, total = [number], 0
            for following in range(number + 1, len(expected)):
                total += expected[following][1] - expected[following][0]
                if total > AHEAD_BYTES - PART_BYTES:
                    break
                window.append(following)
            held.clear()
            wanted = [expected[each] for each in window]
            if len(window) == 1:
                held[number] = self._fetched(wanted[0])
            else:
                with ThreadPoolExecutor(min(AT_ONCE, len(window))) as pool:
                    held.update(zip(window, pool.map(self._fetched, wanted), strict=True))
        return expected[number][0], held[number]

    def _fetched(self, span: tuple[int, int]) -> bytes:
        return self.file.patiently(lambda: self.file.part(*span, self.version))


def neighbours(ranges: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Return start and stop of what is fetched together for ``ranges`` of (offset, length), smaller gaps too.

    >>> neighbours([(300_000, 10), (0, 10), (100_000, 10), (600_000, 10)], 256_000)
    [(0, 300010), (600000, 600010)]
    """
    merged: list[tuple[int, int]] = []
    for start, length in sorted(ranges):
        first, last = merged[-1] if merged else (0, -1)
        if merged and start - last <= gap and start + length - first <= PART_BYTES:
            merged[-1] = first, max(last, start + length)
        elif length:
            merged.append((start, start + length))
    return merged


def spans(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return start and stop of each request for :func:`neighbours`, none too long."""
    return [
        (first, min(first + PART_BYTES, stop))
        for start, stop in neighbours(ranges, GAP_BYTES)
        for first in range(start, stop, PART_BYTES)
    ]


class NoRanges(Exception):
    """A web server that gives no parts of a file; this error never leaves those who ask for parts."""


class WebFile(Remote):
    """A file of a web server."""

    def version(self) -> Version:
        """Return what the server says of the file; NoRanges where it gives no parts, or names no version."""
        with self._asked({"Range": "bytes=0-0"}) as answer:
            total = total_of(answer)
            version = Version(answer.headers.get("ETag"), answer.headers.get("Last-Modified"), total)
            if answer.status != 206 or total is None or version.exact is None:
                raise NoRanges
            return version

    def part(self, start: int, stop: int, version: Version) -> bytes:
        """Return the bytes from ``start`` to ``stop``."""
        headers = {"Range": f"bytes={start}-{stop - 1}", "If-Range": version.exact or ""}
        with self._asked(headers) as answer:
            now = Version(answer.headers.get("ETag"), answer.headers.get("Last-Modified"), total_of(answer))
            if answer.status != 206 or not now.same(version):
                raise TryAgain("the file was changed while it was read")
            if not (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-{stop - 1}/"):
                raise TryAgain("the server sends another part than it was asked for")
            try:
                with watched(answer.cut, lambda: 0, 4 * self.patience.stall) as slow:  # type: ignore[attr-defined]
                    data = answer.read(stop - start)
            except (OSError, HTTPException) as error:
                raise TryAgain(f"the connection broke ({type(error).__name__})") from None
            if slow.is_set() or len(data) != stop - start:
                raise TryAgain(f"the body ends after {len(data)} of {stop - start} bytes")
            return data

    def _asked(self, headers: dict[str, str]) -> HTTPResponse:
        return ask(self.address, headers, insecure=self.insecure, stall=self.patience.stall)


def total_of(answer: HTTPResponse) -> int | None:
    """Return how many bytes the file has of which ``answer`` is a part."""
    text = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
