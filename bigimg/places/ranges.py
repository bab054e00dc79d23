"""Bytes of a file behind an address, by ranges: of buckets, web servers and fsspec's memory alike.

Each answer is checked to be of one version of the file, by its ETag (or its date) and its size.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from bigimg.errors import InputError, InputNotFoundError
from bigimg.places.address import is_bucket, redacted
from bigimg.places.bucket_client import bucket_client, failure, split_bucket
from bigimg.places.http import Patience, TryAgain
from bigimg.places.transfer import Version


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
    assert is_bucket(address)
    kind = MemoryFile if split_bucket(address)[0] == "memory" else BucketFile
    return kind(address, **options)
