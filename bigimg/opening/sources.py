"""Readers of images wherever they lie: URLs, members of zip files, folders, patterns, lists, bytes, file objects.

A source that is no local file is copied to one first; the copy lives as long as its reader.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from bigimg.errors import InputError, InputNotFoundError, MissingExtraError, UsageError, few
from bigimg.opening.local_copy import LocalCopyReader, naming
from bigimg.places.address import (
    BUCKETS,
    MEMBER,
    is_bucket,
    is_fetched,
    is_store_url,
    is_url,
    redacted,
    split_dataset,
    split_member,
)
from bigimg.planning.memory import as_bytes
from bigimg.reader import Reader
from bigimg.readers.registry import find_format, no_options, only_image, open_file
from bigimg.readers.sniffing import check_regular
from bigimg.types import Fetch, OnGap, Opening, Tilt
from bigimg.version import install_line

if TYPE_CHECKING:
    from bigimg.omezarr.tree import Tree
    from bigimg.places.download import Downloaded
    from bigimg.readers.plates.source import PlateSource

OF_PLACES = frozenset({"series", "part", "insecure", "max_download", "fetch"})
"""Options that readers do not take: they are for a place, or for any reader, or handed on by themselves."""
WORDS: dict[str, tuple[str, ...]] = {
    "on_gap": get_args(OnGap.__value__), "tilt": get_args(Tilt.__value__), "fetch": get_args(Fetch.__value__),
}  # fmt: skip
"""The values that an option may have."""
MOST_DOWNLOADED = 10_000_000_000
"""Bytes of a source that is fetched, unzipped or copied, unless the caller gives another limit."""


def is_place(source: object) -> bool:
    """Return whether ``source`` says where an image lies and is not itself one."""
    if isinstance(source, list | tuple):
        return all(isinstance(each, str | os.PathLike) for each in source)
    if isinstance(source, Reader):
        return False
    return isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(source, "read")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user asked for of a source, checked, and how the progress of a download is shown."""

    opening: Opening
    progress: object = None
    """None on a terminal, True also as lines in a pipe, all else never."""

    def __post_init__(self) -> None:
        for option, value in self.opening.items():
            if option not in Opening.__annotations__:
                known = ", ".join(Opening.__annotations__)
                raise TypeError(f"there is no option {option!r} of a source; there are {known}")
            if (words := WORDS.get(option)) is not None and value is not None and value not in words:
                raise UsageError(f"{option}={value!r}: give {', '.join(map(repr, words))}")

    @property
    def series(self) -> int | str | None:
        """Which image, where the source holds several."""
        return self.opening.get("series")

    @property
    def of_readers(self) -> dict[str, Any]:
        """The options, ``series`` aside, that readers take, as far as they are given."""
        given = {name: value for name, value in self.opening.items() if name not in OF_PLACES}
        return {name: value for name, value in given.items() if value is not None and value is not False}

    def refuse(self) -> None:
        """Refuse options of files for an array, which is open already."""
        no_options("array", self.of_readers)
        only_image("array", self.series)

    @property
    def most_bytes(self) -> int:
        """The largest size of a copy in bytes.

        Raises
        ------
        UsageError
            The text is no size.
        """
        given = self.opening.get("max_download")
        if given is None:
            given = os.environ.get("BIGIMG_MAX_DOWNLOAD") or MOST_DOWNLOADED
        try:
            return as_bytes(given)
        except UsageError:
            what = f"max_download {given!r} is not a size"
            raise UsageError(f"{what}: write a number with a unit, as in 20GB") from None

    def download(self, url: str, *, least_told: int | None = None) -> Downloaded:
        """Return the file at ``url`` in the cache; see :func:`bigimg.places.download.download`."""
        from bigimg.places.download import download
        from bigimg.places.progress import DownloadLine

        lines = self.progress is True
        line = DownloadLine(redacted(url), lines=lines) if lines or self.progress is None else None
        try:
            return download(
                url,
                most_bytes=self.most_bytes,
                insecure=self.opening.get("insecure", False),
                on_progress=line,
                least_told=least_told,
            )
        finally:
            if line is not None:
                line.wipe()


def split(options: Mapping[str, Any]) -> tuple[Opening, dict[str, Any]]:
    """Return those of ``options`` that are of a source, and the others."""
    opening: Any = {name: value for name, value in options.items() if name in Opening.__annotations__}
    return opening, {name: value for name, value in options.items() if name not in opening}


def open_place(source: Any, asked: Asked) -> Reader:
    """Return a reader of the file or files at ``source``; stores are opened elsewhere.

    Parameters
    ----------
    source : path, URL, ``file.zip::member``, folder, pattern, list of paths, bytes or binary file object
    asked : Asked

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, OutputError, UsageError
        There is no such source, it cannot be read, it is over the limit, or there is no space for a copy.
    """
    if isinstance(source, list | tuple):
        from bigimg.readers.folders.folder import open_files

        return open_files(source, series=asked.series, **asked.of_readers)
    if not isinstance(source, str | os.PathLike):
        from bigimg.places.spool import spool

        copy = spool(source, most_bytes=asked.most_bytes)
        return _opened_copy(str(copy.path), copy.shown, asked, copy)
    name = os.fspath(source)
    if not os.path.lexists(name) and ((inside := split_member(name)) is not None or is_fetched(name)):
        return _fetched(name, inside, asked)
    if (plate := plate_among(name, asked)) is not None:
        from bigimg.readers.plates.source import open_field

        return open_field(plate, asked.series)
    if os.path.isdir(name) or (not os.path.lexists(name) and any(mark in name for mark in "*?[{")):
        from bigimg.readers.folders.folder import open_folder

        return open_folder(name, series=asked.series, **asked.of_readers)
    if (within := split_dataset(name)) is not None:
        file, dataset = within
        if asked.series is not None:
            raise UsageError(f"{name}: names a dataset already; leave series={asked.series!r} out")
        return open_file(file, series=dataset, **asked.of_readers)
    if name.lower().endswith(".zip") and os.path.isfile(name):
        raise _unchosen(name)
    return open_file(name, series=asked.series, **asked.of_readers)


def plate_among(name: str, asked: Asked) -> PlateSource | None:
    """Return the plate that a pattern, a folder or an index of a microscope is, or a file of which a user says it."""
    named = os.path.isdir(name) or name.lower().endswith((".htd", ".xml")) or not os.path.lexists(name)
    if not (named or asked.opening.get("plate")):
        return None
    from bigimg.readers.plates.find import find_plate

    return find_plate(name, asked.of_readers)


def zipped_store(source: str | os.PathLike[str], asked: Asked) -> Tree | None:
    """Return the tree of a store in a zip file, which is read without unpacking; None for anything else.

    Raises
    ------
    InputError
        It is no zip file, or has a URL and cannot be fetched.
    """
    name = os.fspath(source)
    if os.path.lexists(name):
        return None
    from bigimg.omezarr.tree import NAMED_ZIPS, zipped_tree  # a local file does without

    inside = split_member(name)
    if inside is not None and is_store_url(inside[1]):
        archive, prefix = inside[0], inside[1] + "/"
    elif is_fetched(name) and urlsplit(name).path.lower().endswith(NAMED_ZIPS):
        archive, prefix = name, ""
    else:
        return None
    if is_fetched(archive):
        found = asked.download(archive)
        return zipped_tree(found.path, prefix, shown=redacted(name), keep=found)
    if not os.path.isfile(archive):
        raise InputNotFoundError(f"{archive}: there is no such file; check the path")
    return zipped_tree(archive, prefix, shown=name)


def _fetched(name: str, inside: tuple[str, str] | None, asked: Asked) -> Reader:
    """Return a reader of a URL, or of a member of a zip file, which may itself have a URL."""
    shown = redacted(name)
    archive, member = inside or (name, None)
    copy: object = None
    on_damage = None
    if is_fetched(archive):
        if is_store_url(archive):
            raise _no_store(shown)
        found = _here(archive, asked, alone=member is None)
        if isinstance(found, LocalCopyReader):
            return replace(found, reopen=partial(_fetched, name, inside, replace(asked, progress=False)))
        copy = found
        archive, on_damage = str(found.path), found.doubt
    path = archive
    if member is not None:
        from pathlib import Path

        from bigimg.places.unzip import unzip

        with naming(archive, shown, on_damage):
            check_regular(archive)
            of = redacted(name.rpartition(MEMBER)[0])
            copy = unpacked = unzip(Path(archive), member, shown=of, most_bytes=asked.most_bytes)
        path = str(unpacked.path)  # the archive is not needed any more
    again = replace(asked, progress=False)
    reopen = partial(_fetched, name, inside, again)
    return _opened_copy(path, shown, asked, copy, on_damage, reopen, archive)


def _here(address: str, asked: Asked, *, alone: bool) -> Downloaded | LocalCopyReader:
    """Return the file at ``address`` in the cache; or a reader of its ranges, where it is large or these are asked."""
    from bigimg.opening.by_ranges import LEAST_BYTES, by_ranges
    from bigimg.places.transfer import Large

    fetch = asked.opening.get("fetch")
    told = LEAST_BYTES if alone and fetch is None and not address.endswith("/") else None
    if fetch != "ranges" or not alone:
        try:
            return asked.download(address, least_told=told)
        except Large:
            pass
    return by_ranges(address, asked.opening, asked.of_readers) or asked.download(address)


def _opened_copy(path: str, shown: str, asked: Asked, copy: object, *more: Any) -> Reader:
    """Return a reader of the copy at ``path``; ``more`` are the other fields of a LocalCopyReader."""
    with naming(path, shown, *more[:1]):
        if os.path.isdir(path):
            reader: Reader = _opened_folder(path, asked)
            title = str(getattr(reader, "format", "folder"))
        else:
            reader = open_file(path, series=asked.series, **asked.of_readers)
            title = find_format(path).title
    return LocalCopyReader(reader, shown, path, title, copy, *more)


def _opened_folder(path: str, asked: Asked) -> Reader:
    """Return a reader of a folder that was inside a zip file."""
    from bigimg.readers.folders.folder import open_folder
    from bigimg.readers.plates.source import open_field

    if (plate := plate_among(path, asked)) is None:
        return open_folder(path, series=asked.series, **asked.of_readers)
    if asked.series is None:
        ways = ["choose one field, as by series='B03/0'", "unpack it for a plate of all"]
        raise InputError(f"{path}: a plate inside a zip file:", ways=ways)
    return open_field(plate, asked.series)


def may_be_store(source: str | os.PathLike[str]) -> bool:
    """Return whether a path or address may be a store; if not, it is a file."""
    name = os.fspath(source)
    check_regular(name)
    if os.path.isfile(name) and not name.lower().endswith((".zip", ".ozx")):
        return False  # the reader of stores need not be imported
    if is_url(name) or (is_bucket(name) and "." in name.rpartition("/")[2] and not os.path.lexists(name)):
        return is_store_url(name)
    return os.path.lexists(name) or split_member(name) is None


def no_file_there(shown: str, scheme: str) -> InputError:
    """Return the error for an address of a file that is neither a path nor on the web."""
    way = "give its path alone" if scheme == "file" else "download it first"
    return InputError(
        f"{shown}: of {scheme}:// stores alone are read, as ….zarr; files are read from paths, "
        f"http://, https://, {', '.join(f'{each}://' for each in BUCKETS)}: {way}"
    )


def _no_store(shown: str) -> InputError:
    """Return the error about an address that looks like a store but is none."""
    import importlib.util

    if importlib.util.find_spec("aiohttp") is None:
        what = "a store with a URL is read by aiohttp, which is not installed"
        return MissingExtraError(f"{shown}: {what}: {install_line('remote')}")
    return InputError(f"{shown}: there is no zarr.json, .zgroup or .zarray; check the address")


def _unchosen(archive: str) -> InputError:
    """Return the error about a zip file without the name of a member."""
    from pathlib import Path

    from bigimg.places.unzip import members

    names = members(Path(archive), shown=archive)
    return InputError(
        f"{archive}: is a zip archive; name one of its files or folders, as in "
        f"'{archive}{MEMBER}{names[0] if names else 'name'}' (it holds {few(names) or 'nothing'})"
    )
