"""The JSON documents and the keys of a hierarchy, bounded before anything is made of them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from bigimg.places.http import MOST_WHOLE

DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
MOST_BYTES = MOST_WHOLE
"""Length of a document, which a URL gives whole; as Python objects it may take twenty times as much."""
MOST_LISTED_BYTES = 256 << 20
"""Length of another object that is read as a whole, such as the part of a manifest that lists 16 million shards."""
MOST_NESTED = 64
"""Depth of a document; nobody's metadata are deeper than ten."""
MOST_KEY = 1000
"""Letters in a key."""


def most_bytes(key: str) -> int:
    """Return how long the object ``key`` may be that is read as a whole."""
    return MOST_BYTES if key.rpartition("/")[2] in DOCUMENTS else MOST_LISTED_BYTES


def document_of(data: bytes) -> dict[str, Any]:
    """Return the JSON object in ``data``.

    Raises
    ------
    ValueError
        There is none, or one that is too long or too deep for functions that walk through it.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has {len(data)} bytes, and {MOST_BYTES} are allowed")
    try:
        document = json.loads(data)
    except RecursionError:
        raise ValueError(f"it is nested more than {MOST_NESTED} deep") from None
    level = [document]
    for _ in range(MOST_NESTED):
        lists = [[*value.values()] if isinstance(value, dict) else value for value in level]
        level = [value for values in lists if isinstance(values, list) for value in values]
    if level:
        raise ValueError(f"it is nested more than {MOST_NESTED} deep")
    if not isinstance(document, dict):
        raise ValueError("it is no object")
    return document


def is_key(name: object) -> bool:
    r"""Return whether ``name`` is a key below where it is written, on every system and behind a URL.

    >>> [is_key(key) for key in ("0", "A/1", "", "../a", "a/%2e%2e/b", "/etc", "a\\b", "a\nb", 7)]
    [True, True, True, False, False, False, False, False, False]
    """
    if not isinstance(name, str) or len(name) > MOST_KEY or not name.isprintable():
        return False
    return (
        name[:1] != "/"
        and not any(mark in name for mark in "\\:")
        and ".." not in map(unquote, name.split("/"))
    )
