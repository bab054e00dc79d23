"""Transfer of an object of a bucket, or of all objects of a folder there, by several ranges at once.

The ranges are written in order, so that what is there is the beginning of the object and a later run goes on behind it.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bigimg.errors import InputError, InputNotFoundError
from bigimg.places.bucket_client import bucket_client, failure, split_bucket
from bigimg.places.http import TryAgain
from bigimg.places.pairs import companions, is_paired
from bigimg.places.ranges import AT_ONCE, PART_BYTES, Remote, memory_listing, remote_file, version_of
from bigimg.places.transfer import Transfer, Version

HEAD_BYTES = 1 << 20
"""Bytes of a header in which names of other files are searched."""
MOST_OBJECTS = 100_000
"""Objects of a folder that is fetched."""


class Member(NamedTuple):
    """An object in a folder of a bucket."""

    name: str
    """As seen from the folder."""
    version: Version


class BucketTransfer(Transfer):
    """An object, or all objects of a folder."""

    def request(self) -> Path:
        """Fetch what is missing, and return the finished copy: a file or a folder."""
        key = split_bucket(self.url)[2]
        if not self.url.endswith("/"):
            try:
                return self._of_file()
            except InputNotFoundError as error:
                members = self._members(key)
                if not members:
                    raise error
        else:
            members = self._members(key)
        return self._of_folder(members)

    def _of_file(self) -> Path:
        file = remote_file(self.url, insecure=self.insecure, patience=self.patience)
        version = file.version()
        total = version.total or 0
        others = self._companions(file, version) if is_paired(self.url) else []
        if (copy := self._copy_of(_of_all(others, version) if others else version)) is not None:
            return copy
        with open(self.part, "ab", buffering=0) as out:
            for data in parts(file, version, out.tell()):
                out.write(data)
                self._tell(out.tell(), total)
        base = self.url.rpartition("/")[0]
        pieces = {other.name: self._piece(base, other) for other in others}
        return self.finish(pieces)

    def _companions(self, file: Remote, version: Version) -> list[Member]:
        """Return the other objects of the same image, beside this one."""
        folder, _, own = split_bucket(self.url)[2].rpartition("/")
        there = {m.name: m for m in self._members(folder, deep=False) if m.name != own}
        return [
            there[name]
            for name in companions(
                own, there, lambda: file.part(0, min(version.total or 0, HEAD_BYTES), version)
            )
        ]

    def _piece(self, base: str, member: Member) -> Path:
        """Fetch an object into a file of its own and return that."""
        file = remote_file(f"{base}/{member.name}", insecure=self.insecure, patience=self.patience)
        path = self.folder / f"piece-{hashlib.sha256(member.name.encode()).hexdigest()[:16]}"
        with open(path, "wb") as out:
            for data in parts(file, member.version, 0):
                out.write(data)
        return path

    def _of_folder(self, members: list[Member]) -> Path:
        """Fetch each object that is not there yet; what is there is whole."""
        if not members:
            raise InputNotFoundError(
                f"{self.shown}: there is no such folder in the bucket; check the address"
            )
        total = sum(m.version.total or 0 for m in members)
        version = _of_all(members, Version(total=total))
        if (copy := self._copy_of(version)) is not None:
            return copy
        self.part.mkdir(exist_ok=True)
        missing = [m for m in members if not (self.part / m.name).exists()]
        client = self._client()
        base = self.url.rstrip("/")

        def fetch(member: Member) -> None:
            final = self.part / member.name
            final.parent.mkdir(parents=True, exist_ok=True)
            file = remote_file(f"{base}/{member.name}", client=client, patience=self.patience)
            partial = self.folder / f"piece-{hashlib.sha256(member.name.encode()).hexdigest()[:16]}"
            with open(partial, "wb") as out:
                for start in range(0, member.version.total or 0, PART_BYTES):
                    stop = min(start + PART_BYTES, member.version.total or 0)
                    out.write(file.part(start, stop, member.version))
            partial.replace(final)

        received = total - sum(m.version.total or 0 for m in missing)
        for member in ordered(fetch, missing, lambda m: m):
            received += member.version.total or 0
            self._tell(received, total)
        return self.finish()

    def _copy_of(self, version: Version) -> Path | None:
        """Return the finished copy of this version; where there is none, prepare to go on with it, or anew."""
        if not self.version.same(version):
            self.check_room(version.total or 0)
            self.forget()
            self.version = version
            self.save()
        elif self.version.path is not None:
            os.utime(self.folder)  # the time of the latest use
            return self.folder / self.version.path
        return None

    def _members(self, folder: str, *, deep: bool = True) -> list[Member]:
        """Return the objects below ``folder``, by name; none where the bucket may not be listed.

        Parameters
        ----------
        folder : str
        deep : bool
            Also those in its folders.
        """
        prefix = folder.rstrip("/") + "/" if folder else ""
        found: list[Member] = []
        try:
            for page in self._pages(prefix, deep=deep):
                found += [Member(about["path"].removeprefix(prefix), version_of(about)) for about in page]
                if len(found) > MOST_OBJECTS:
                    break
        except Exception as error:
            wrong = failure(error, self.url)
            if isinstance(wrong, TryAgain) or self.url.endswith("/"):
                raise wrong from None
            return []
        if len(found) > MOST_OBJECTS:
            raise InputError(f"{self.shown}: holds more than {MOST_OBJECTS} objects; name a folder below it")
        for member in found:
            pieces = member.name.split("/")
            if os.path.isabs(member.name) or "\\" in member.name or {"", ".", ".."} & set(pieces):
                raise InputError(
                    f"{self.shown}: holds {member.name!r:.100}, which no file can be called; rename it"
                )
        return sorted(member for member in found if member.version.total)

    def _client(self) -> Any:
        """Return the client of the bucket; None of fsspec's memory, which needs none."""
        if split_bucket(self.url)[0] == "memory":
            return None
        return bucket_client(self.url, insecure=self.insecure, stall=self.patience.stall)

    def _pages(self, prefix: str, *, deep: bool) -> Iterable[Any]:
        """Yield descriptions of the objects below ``prefix``, many at a time, as obstore lists them."""
        if (client := self._client()) is None:
            found = memory_listing(prefix)
            return [[about for about in found if deep or "/" not in about["path"].removeprefix(prefix)]]
        import obstore

        if not deep:
            return [obstore.list_with_delimiter(client, prefix or None)["objects"]]
        return obstore.list(client, prefix or None)  # type: ignore[no-any-return]

    def _tell(self, received: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(received, total)


def _of_all(members: list[Member], version: Version) -> Version:
    """Return ``version`` with a tag that is equal only if that of each of ``members``, and its own, is equal."""
    stated = [f"{member.name} {member.version.exact} {member.version.total}" for member in members]
    text = "\n".join((*stated, str(version.exact)))
    return Version(f'"{hashlib.sha256(text.encode()).hexdigest()}"', None, version.total)


def parts(file: Remote, version: Version, start: int) -> Iterator[bytes]:
    """Yield the bytes of ``file`` from ``start`` on, in order, several parts at once under way."""
    total = version.total or 0

    def part(first: int) -> bytes:
        return file.part(first, min(first + PART_BYTES, total), version)

    return ordered(part, range(start, total, PART_BYTES), None)


def ordered(
    work: Callable[[Any], Any], items: Iterable[Any], result: Callable[[Any], Any] | None
) -> Iterator[Any]:
    """Yield the result of ``work`` for each item in order, :data:`AT_ONCE` under way; or ``result`` of the item."""
    with _stopped(ThreadPoolExecutor(AT_ONCE)) as pool:
        waiting: deque[tuple[Any, Future[Any]]] = deque()
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > AT_ONCE:
                first, future = waiting.popleft()
                yield future.result() if result is None else (future.result(), result(first))[1]
        for first, future in waiting:
            yield future.result() if result is None else (future.result(), result(first))[1]


@contextmanager
def _stopped(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; what has not begun at the end never does."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
