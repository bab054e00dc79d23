"""Addresses: their parts, and a form to show that has no password, token or signature."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

MEMBER = "::"
"""Separates an archive from its member, as in fsspec."""
BUCKETS = ("s3", "az", "gs", "memory")
"""Schemes of buckets of Amazon, Azure, Google, and of those that work as theirs; ``memory`` of fsspec is for tests."""


def is_url(name: str) -> bool:
    """Return whether ``name`` is an http or https address.

    >>> is_url("https://a.org/b.png"), is_url("b.png"), is_url("s3://bucket/b.zarr")
    (True, False, False)
    """
    return re.match(r"https?://", name, re.IGNORECASE) is not None


def is_bucket(name: str) -> bool:
    """Return whether ``name`` is an address in a bucket, whose objects are read by ranges.

    >>> is_bucket("s3://bucket/b.tif"), is_bucket("memory://b.tif"), is_bucket("https://a.org/b.tif")
    (True, True, False)
    """
    return re.match(f"({'|'.join(BUCKETS)})://", name, re.IGNORECASE) is not None


def is_fetched(name: str) -> bool:
    """Return whether ``name`` is an address from which files are read: of a web server, or in a bucket.

    >>> is_fetched("s3://bucket/b.tif"), is_fetched("https://a.org/b.tif"), is_fetched("ftp://a.org/b.tif")
    (True, True, False)
    """
    return is_url(name) or is_bucket(name)


def other_scheme(name: str) -> str | None:
    """Return the scheme of an address that is neither http nor https; None for any other name.

    >>> other_scheme("s3://bucket/b.zarr"), other_scheme("https://a.org/b.png"), other_scheme("a.png")
    ('s3', None, None)
    """
    found = None if is_url(name) else re.match(r"([a-z][a-z0-9+.-]+)://", name, re.IGNORECASE)
    return found and found[1].lower()


def is_address(name: str) -> bool:
    """Return whether ``name`` is an address and no path; also where ``Path`` has made one slash of two.

    >>> is_address("s3://bucket/b.zarr"), is_address("s3:/bucket/b.zarr"), is_address("C:/b.zarr"), is_address("./a:/b")
    (True, True, False, False)
    """
    return re.match(r"([a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+:/", name, re.IGNORECASE) is not None


def is_store_url(name: str) -> bool:
    """Return whether an address leads to a zarr store or into one, by the endings of its parts."""
    return any(part.lower().endswith((".zarr", ".ozx")) for part in urlsplit(name).path.split("/"))


def split_member(name: str) -> tuple[str, str] | None:
    """Return archive and member of ``file.zip::path/in/it``; None for any other name.

    >>> split_member("a.zip::b/c.png"), split_member("https://a.org/get?x=1::c.png"), split_member("a::b")
    (('a.zip', 'b/c.png'), ('https://a.org/get?x=1', 'c.png'), None)
    >>> split_member("s3://bucket/a.zip::b/c.png")
    ('s3://bucket/a.zip', 'b/c.png')
    """
    archive, between, member = name.rpartition(MEMBER)
    local_zip = archive.lower().endswith(".zip") and not re.match(r"[a-z0-9+.-]+://", archive)
    if not between or not member.strip("/") or not (is_fetched(archive) or local_zip):
        return None
    return archive, member.strip("/")


def split_dataset(name: str) -> tuple[str, str] | None:
    """Return file and dataset of ``file.h5::/path/in/it``, where that file is there; None for any other name.

    >>> split_dataset("nowhere.h5::/data")
    """
    file, between, dataset = name.rpartition(MEMBER)
    if not between or not dataset.strip("/") or os.path.lexists(name) or not os.path.isfile(file):
        return None
    return file, "/" + dataset.strip("/")


def redacted(name: str) -> str:
    """Return an address without user, password, query and fragment, to be shown.

    A signed address has its key in the query, so no part of a query is shown.

    >>> redacted("https://me:secret@a.org/b.png?token=1"), redacted("what?.png")
    ('https://a.org/b.png?…', 'what?.png')
    """
    if "://" not in name:
        return name
    bare = re.sub(r"://[^/?#\s]*@", "://", name)
    return re.sub(r"[?#].*?(?=::|$)", "?…", bare, flags=re.DOTALL)


def file_name(url: str) -> str:
    """Return the last part of an address as a file name; its ending helps to recognise the format.

    >>> file_name("https://a.org/x/rat%20brain.nii.gz?raw=1"), file_name("https://a.org/"), file_name("memory://a.tif")
    ('rat_brain.nii.gz', 'download', 'a.tif')
    """
    path = url.partition("://")[2] if is_bucket(url) else unquote(urlsplit(url).path)
    last = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.+-]", "_", last).lstrip(".")[-100:] or "download"
