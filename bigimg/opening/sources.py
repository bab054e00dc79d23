"""Readers of images wherever they lie: URLs, members of zip files, folders, patterns, lists, bytes, file objects.

What only this module knows is which of these a source is, and that its copy lives as long as its reader.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bigimg.errors import InputError, InputNotFoundError, MissingExtraError, UsageError
from bigimg.opening.local_copy import PlacedReader, named
from bigimg.places.address import MEMBER, is_store_url, is_url, redacted, split_member
from bigimg.planning.memory import as_bytes
from bigimg.reader import Reader
from bigimg.readers.registry import find_format, open_file
from bigimg.version import install_line

if TYPE_CHECKING:
    from bigimg.omezarr.tree import Tree
    from bigimg.places.download import Downloaded

MOST_DOWNLOADED = 10_000_000_000
"""Bytes that are fetched, unzipped or copied without being asked for."""

type Series = int | str | None


def is_place(source: object) -> bool:
    """Return whether ``source`` says where an image lies, rather than being one."""
    if isinstance(source, list | tuple):
        return all(isinstance(each, str | os.PathLike) for each in source)
    if isinstance(source, Reader):
        return False
    return isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(source, "read")


def open_place(
    source: Any,
    *,
    series: Series = None,
    insecure: bool = False,
    max_download: int | str | None = None,
    progress: object = None,
) -> Reader:
    """Return a reader of the file or files at ``source``; stores are opened elsewhere.

    Parameters
    ----------
    source : path, URL, ``file.zip::member``, folder, pattern, list of paths, bytes or binary file object
    series : int or str, optional
        Which image, where there are several.
    insecure : bool
        Take any certificate of a server; warned of.
    max_download : int or str, optional
        The most to fetch, to unzip or to copy, in bytes or as ``20GB``; ``BIGIMG_MAX_DOWNLOAD``, or 10 GB.
    progress : bool or callable, optional
        How a download is told: None on a terminal, True also as lines in a pipe, all else not at all.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, OutputError, UsageError
        There is nothing, nothing that can be read, too much of it, or no room for a copy.
    """
    if isinstance(source, list | tuple):
        from bigimg.readers.folders.folder import open_files

        return open_files(source, series=series)
    if not isinstance(source, str | os.PathLike):
        return _spooled(source, series, most_bytes(max_download))
    name = os.fspath(source)
    if not os.path.lexists(name) and ((inside := split_member(name)) is not None or is_url(name)):
        return _fetched(name, inside, series, insecure, max_download, progress)
    if os.path.isdir(name) or (not os.path.lexists(name) and any(mark in name for mark in "*?[")):
        from bigimg.readers.folders.folder import open_folder

        return open_folder(name, series=series)
    if name.lower().endswith(".zip") and os.path.isfile(name):
        raise _unchosen(name)
    return _file(name, series)


def zipped_store(
    source: str | os.PathLike[str], *, insecure: bool, max_download: int | str | None, progress: object
) -> Tree | None:
    """Return the tree of a store inside a zip file, which is read in place; None for anything else.

    Raises
    ------
    InputError
        The zip file is none, or lies behind a URL and cannot be fetched.
    """
    name = os.fspath(source)
    if os.path.lexists(name):
        return None
    from bigimg.omezarr.tree import NAMED_ZIPS, zipped_tree  # a local file does without

    inside = split_member(name)
    if inside is not None and is_store_url(inside[1]):
        archive, prefix = inside[0], inside[1] + "/"
    elif is_url(name) and urlsplit(name).path.lower().endswith(NAMED_ZIPS):
        archive, prefix = name, ""
    else:
        return None
    if is_url(archive):
        found = _downloaded(archive, most_bytes(max_download), insecure, progress)
        return zipped_tree(found.path, prefix, shown=redacted(name), keep=found)
    if not os.path.isfile(archive):
        raise InputNotFoundError(f"{archive}: there is no such file; check the path")
    return zipped_tree(archive, prefix, shown=name)


def most_bytes(asked: int | str | None) -> int:
    """Return the limit of a copy in bytes.

    Raises
    ------
    UsageError
        The text is no size.
    """
    named_limit = asked if asked is not None else os.environ.get("BIGIMG_MAX_DOWNLOAD") or MOST_DOWNLOADED
    try:
        return as_bytes(named_limit)
    except UsageError:
        raise UsageError(
            f"max_download {named_limit!r} is not a size: write a number with a unit, as in 20GB"
        ) from None


def _file(path: str, series: Series) -> Reader:
    return open_file(path, series=series)


def _fetched(
    name: str,
    inside: tuple[str, str] | None,
    series: Series,
    insecure: bool,
    max_download: int | str | None,
    progress: object,
) -> Reader:
    """Return a reader of a URL, or of a member of a zip file that may lie behind one."""
    limit, shown = most_bytes(max_download), redacted(name)
    archive, member = inside or (name, None)
    keep: object = None
    doubt = None
    if is_url(archive):
        if is_store_url(archive):
            raise _no_store(shown)
        keep = found = _downloaded(archive, limit, insecure, progress)
        archive, doubt = str(found.path), found.doubt
    local = kept_as = archive
    if member is not None:
        from pathlib import Path

        from bigimg.places.unzip import unzip

        with named(archive, shown, doubt):
            copy = unzip(Path(archive), member, shown=redacted(name.rpartition(MEMBER)[0]), most_bytes=limit)
        keep = copy  # the archive has done its part
        local = str(copy.path)
    with named(local, shown, doubt):
        if os.path.isdir(local):
            from bigimg.readers.folders.folder import open_folder

            reader: Reader = open_folder(local, series=series)
            title = str(getattr(reader, "format", "folder"))
        else:
            reader, title = _file(local, series), find_format(local).title
    again = (_again, (name, series, insecure, limit))
    return PlacedReader(
        reader, source=shown, local=local, title=title, keep=keep, doubt=doubt, again=again, kept_as=kept_as
    )


def _no_store(shown: str) -> InputError:
    """Return why there is no store at an address that looks like one."""
    import importlib.util

    if importlib.util.find_spec("aiohttp") is None:
        return MissingExtraError(
            f"{shown}: a store behind a URL is read by aiohttp, which is not installed: {install_line('remote')}"
        )
    return InputError(f"{shown}: there is no zarr.json, .zgroup or .zarray; check the address")


def _downloaded(url: str, limit: int, insecure: bool, progress: object) -> Downloaded:
    """Return the file at ``url`` in the cache."""
    from bigimg.places.download import download
    from bigimg.places.progress import DownloadLine

    lines = progress is True
    line = None if progress is not None and not lines else DownloadLine(redacted(url), lines=lines)
    try:
        return download(url, most_bytes=limit, insecure=insecure, on_progress=line)
    finally:
        if line is not None:
            line.wipe()


def _again(name: str, series: Series, insecure: bool, limit: int) -> Reader:
    return open_place(name, series=series, insecure=insecure, max_download=limit, progress=False)


def _spooled(source: Any, series: Series, limit: int) -> Reader:
    """Return a reader of bytes or of a file object."""
    from bigimg.places.spool import spool

    copy = spool(source, most_bytes=limit)
    local = str(copy.path)
    with named(local, copy.shown):
        reader, title = _file(local, series), find_format(local).title
    return PlacedReader(reader, source=copy.shown, local=local, title=title, keep=copy)


def _unchosen(archive: str) -> InputError:
    """Return what to say of a zip file of which no member was named."""
    from pathlib import Path

    from bigimg.places.unzip import few, members

    names: Sequence[str] = members(Path(archive), shown=archive)
    return InputError(
        f"{archive}: is a zip archive; name one of its files or folders, as in "
        f"'{archive}{MEMBER}{names[0] if names else 'name'}' (it holds {few(names) or 'nothing'})"
    )
