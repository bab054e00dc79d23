"""Objects behind a URL, by ranges of bytes: as few requests as possible, several at once where the protocol can."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import responses
from pathlib import Path
from typing import Any

from bigimg.errors import InputError, MissingExtraError, one_line
from bigimg.omezarr.documents import DOCUMENTS, MOST_BYTES, most_bytes
from bigimg.omezarr.objects import ANY, Listed, OpenObject
from bigimg.places.address import is_url, other_scheme, redacted
from bigimg.places.http import LATER, Patience
from bigimg.places.ranges import neighbours
from bigimg.version import install_line

TAIL_BYTES = 1 << 16
"""Bytes of the first request for an object: they hold the index of a shard, or a whole small object."""
PATIENCE = Patience()
AHEAD_BYTES = 4 << 20
"""Bytes of one request for several chunks; a single chunk may be larger."""
GAP_BYTES = 64 << 10
"""Smaller gaps between chunks are fetched with them. With larger ones the checksums of the chunks of a shard, four
bytes each, would bring the whole shard: 2.7 times the bytes of a plane, for half the requests."""


@dataclass(eq=False)
class Web:
    """Objects behind any URL that fsspec knows."""

    address: str = field(repr=False)
    """The full URL, which may hold a password or a token."""
    _small: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Cache of small objects, because opening reads the same documents several times."""

    def __reduce__(self) -> tuple[object, ...]:
        return Web, (self.address,)

    def shown(self, key: str) -> str:
        """Return the address of an object, to be shown."""
        return f"{redacted(self.address).rstrip('/')}/{key}".rstrip("/")

    @contextmanager
    def _request(self, key: str) -> Iterator[tuple[Any, str]]:
        """Give file system and path of an object, and turn errors of the request into our own."""
        from fsspec.core import url_to_fs

        shown = self.shown(key)
        try:
            fs, root = url_to_fs(self.address, **storage_options(self.address))
            yield fs, f"{root.rstrip('/')}/{key}".rstrip("/")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, KeyError):
            raise FileNotFoundError(key) from None
        except NotImplementedError:  # fsspec says that this server lists nothing; the caller goes on without
            raise
        except ImportError as error:
            # Other protocols are not in the extra.
            has_extra = (other_scheme(self.address) or "http") in ("http", "s3")
            way = f"; {install_line('remote')}" if has_extra else ""
            raise MissingExtraError(f"{shown}: {redacted(str(error))}{way}") from error
        except Exception as error:  # each protocol has its own kinds, and they share no root
            # A bucket that may be read and not listed answers 403, not 404, for documents that need not be there.
            if is_refusal(error) and self._small and key.rpartition("/")[2] in DOCUMENTS:
                raise FileNotFoundError(key) from None
            raise InputError(f"{shown}: cannot be fetched ({answer_of(error)}); check the address") from error

    def read(self, key: str) -> bytes:
        """Return one object; FileNotFoundError when there is none."""
        if key in self._small:
            return self._small[key]
        with self._request(key) as (fs, path):
            # Where no part is asked for, an answer of http is bounded as a document is.
            most = most_bytes(key)
            part = {} if is_url(self.address) and most == MOST_BYTES else {"start": 0, "end": most + 1}
            data: bytes = patiently(lambda: fs.cat_file(path, **part))
        if len(data) <= TAIL_BYTES:
            self._small[key] = data
        return data

    def exists(self, key: str) -> bool:
        """Return whether there is an object, by a request for it: not every server answers others."""
        try:
            self.read(key)
        except FileNotFoundError:
            return False
        return True

    def open(self, key: str) -> OpenObject:
        """Open one object."""
        return _Ranges(self, key)

    def listed(self, prefix: str) -> Mapping[str, Listed]:
        """Return what is directly under ``prefix``."""
        with self._request(prefix) as (fs, path):
            fs.invalidate_cache(path)  # what it remembers may be gone by now
            found = patiently(lambda: fs.ls(path, detail=True))
        return {
            Path(about["name"]).name: Listed(about.get("type") == "directory", about.get("size"))
            for about in found
        }

    def ending(self, key: str, length: int) -> bytes:
        """Return up to ``length`` bytes at the end of an object."""
        with self._request(key) as (fs, path):
            data: bytes = patiently(lambda: fs.cat_file(path, start=-length))
        return data[-length:]

    def fetch(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each (offset, length), all at once where the protocol can; fewer at the end."""
        starts = [start for start, _ in ranges]
        ends = [start + length for start, length in ranges]
        with self._request(key) as (fs, path):
            paths = [path] * len(ranges)
            return patiently(
                lambda: [_bytes_of(got) for got in fs.cat_ranges(paths, starts, ends, on_error="return")]
            )


def storage_options(address: str) -> dict[str, Any]:
    """Return what fsspec is told, so that answers are bounded in bytes and in time."""
    if not is_url(address):
        return {}
    from bigimg.places.answers import client_options

    return {"client_kwargs": client_options(PATIENCE.stall)}


def patiently[T](call: Callable[[], T]) -> T:
    """Return the result of a request, repeated as downloads are while the server is busy or the connection breaks."""
    wait, tries = PATIENCE.first_wait, PATIENCE.tries
    while True:
        tries -= 1
        try:
            return call()
        except Exception as error:
            broken = (
                isinstance(error, ConnectionError | TimeoutError) or "Disconnected" in type(error).__name__
            )
            if not tries or not (broken or getattr(error, "status", None) in LATER):
                raise
        time.sleep(wait)
        wait *= 2


def is_refusal(error: Exception) -> bool:
    """Return whether a server answered that this may not be read."""
    return isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403)


def answer_of(error: Exception) -> str:
    """Return what a server answered, or what went wrong before it did, without secrets of the address."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"the server answered {status} {responses.get(status, '')}".rstrip()
    if isinstance(error, TimeoutError) and not str(error) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # of fsspec, which leaves the text there
    if isinstance(error, TimeoutError | ValueError) and str(error):
        return redacted(one_line(error))
    return redacted(f"{type(error).__name__}: {one_line(error)}")


def _bytes_of(answer: Any) -> bytes:
    """Return the bytes of one answer, or raise the error that it is."""
    if not isinstance(answer, Exception):
        return bytes(answer)
    if getattr(answer, "status", None) == 416:  # the object ends before
        return b""
    raise answer


class _Ranges(OpenObject):
    """An object on the web."""

    far = True

    def __init__(self, web: Web, key: str) -> None:
        self.web = web
        self.key = key
        self.tail: tuple[int, bytes] = (0, b"")
        self.have: list[tuple[int, bytes]] = []
        self.pending: list[tuple[int, int]] = []

    def size(self, likely: int | None) -> int:
        """Return the length; if ``likely`` is right, one request fetches it and the end of the object."""
        if likely is None:
            self.tail = 0, self.web.read(self.key)
            return len(self.tail[1])
        start = max(0, likely - TAIL_BYTES)
        (data,) = self._fetched([(start, likely + 1 - start)])
        self.tail = start, data
        return start + len(data)

    def whole(self, most: int) -> bytes:
        (data,) = self._fetched([(0, most + 1)])
        if len(data) > most:
            raise InputError(f"{self}: has more than the {most} bytes that its array allows; restore it")
        return data

    def ending(self, length: int) -> bytes:
        return self.web.ending(self.key, length)

    def known_size(self) -> int:
        return ANY

    def __str__(self) -> str:
        return self.web.shown(self.key)

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.pending = list(ranges)

    def pread(self, length: int, offset: int) -> bytes:
        while True:
            for start, data in (self.tail, *self.have):
                if start <= offset and offset + length <= start + len(data):
                    return data[offset - start : offset - start + length]
            if not self._ahead(offset, length):
                return self._fetched([(offset, length)])[0]

    def _ahead(self, offset: int, length: int) -> bool:
        """Fetch the expected range that holds these bytes, and some after it; False if no expected range does."""
        holds = [
            i for i, (start, n) in enumerate(self.pending) if start <= offset and offset + length <= start + n
        ]
        if not holds:
            return False
        group: list[tuple[int, int]] = []
        total = 0
        for start, n in self.pending[holds[0] :]:
            before = group[-1][0] + group[-1][1] if group else start
            total += n + (start - before if 0 < start - before <= GAP_BYTES else 0)
            if group and total > AHEAD_BYTES:
                break
            group.append((start, n))
        self.pending = self.pending[holds[0] + len(group) :]
        self.have = []
        together = [(start, stop - start) for start, stop in neighbours(group, GAP_BYTES)]
        self.have = [
            (start, data) for (start, _), data in zip(together, self._fetched(together), strict=True)
        ]
        return True

    def _fetched(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of ``ranges``; servers that know no ranges send the whole object each time."""
        return [
            data if len(data) <= length else data[start : start + length]
            for (start, length), data in zip(ranges, self.web.fetch(self.key, ranges), strict=True)
        ]

    def close(self) -> None:
        self.have, self.pending, self.tail = [], [], (0, b"")
