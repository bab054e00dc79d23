"""Tags of a DICOM header: as JSON, as texts and as numbers."""

from __future__ import annotations

import datetime
import functools
import math
import re
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bigimg.types import Json

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement
    from pydicom.tag import BaseTag

MOST_VALUES = 1024
"""Longer lists (lookup tables, curves), and texts of 16 times as many characters, are left out."""

TEXTS = frozenset({"CS", "DA", "DS", "DT", "IS", "TM", "UI"})
"""Types with ASCII values, in any character set of the file."""

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}), ?([0-9A-Fa-f]{4})\)?")


class Tags(Mapping[str, Json]):
    """Fields by their names, and fields of DICOM also by their numbers: ``tags["0008,0070"]``."""

    def __init__(self, fields: Mapping[str, Json]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> Json:
        if name not in self._fields and (match := _TAG.fullmatch(name)):
            from pydicom.datadict import keyword_for_tag

            name = keyword_for_tag(int(match[1] + match[2], 16)) or f"{match[1]},{match[2]}".upper()
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return repr(dict(self._fields))


def fields_of(header: Dataset) -> dict[str, Json]:
    """Return the fields of a header by keyword, JSON-safe; those without a keyword by number."""
    syntax = transfer_syntax(header)
    return _fields(header) | ({"TransferSyntaxUID": syntax} if syntax else {})


def transfer_syntax(header: Dataset) -> str:
    """Return the UID of the transfer syntax; empty if the file names none."""
    meta: Dataset | None = getattr(header, "file_meta", None)
    return "" if meta is None else text(meta, "TransferSyntaxUID")


def _fields(dataset: Dataset) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for tag in sorted(dataset.keys()):
        if tag.element == 0 or 0x5000 <= tag.group < 0x7FE0 or tag == 0x52009230:
            continue  # lengths of groups, curves, overlays, and the groups of single frames
        try:
            element = dataset[tag]
            value = _json(element)
        except (ValueError, TypeError, NotImplementedError, KeyError, OverflowError, struct.error):
            continue  # the value does not have its type, and pydicom cannot read it
        if value is not None:
            found[element.keyword or f"{tag.group:04X},{tag.element:04X}"] = value
    return found


def _json(element: DataElement) -> Json:
    """Return a value as JSON has it; None if it is empty, too long, or bytes."""
    value = element.value
    if element.VR == "SQ":
        items: list[Json] = [_fields(item) for item in value[:MOST_VALUES]]
        return items or None
    if isinstance(value, bytes) or value is None or value == "":
        return None
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return _plain(value)
    if type(value).__name__ == "PersonName":
        return str(value) or None
    return [_plain(item) for item in value] if 0 < len(value) <= MOST_VALUES else None


def _plain(value: Any) -> Json:
    if isinstance(value, bool | str):
        return str(value) if len(str(value)) <= 16 * MOST_VALUES else None
    if isinstance(value, int):
        return int(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None


@functools.cache
def tag_of(keyword: str) -> BaseTag:
    """Return the tag number of a keyword."""
    from pydicom.tag import Tag

    return Tag(keyword)


@functools.cache
def _type_of(keyword: str) -> str:
    from pydicom.datadict import dictionary_VR

    return str(dictionary_VR(tag_of(keyword)))


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return the value of a field; None if there is none.

    Numbers and texts are decoded here from their bytes. pydicom would make an object for each, which for thousands of
    headers takes longer than the read of the files.
    """
    raw: Any = dataset.get_item(tag_of(keyword))
    if raw is None or not raw.is_raw:
        return None if raw is None else raw.value
    kind = raw.VR or _type_of(keyword)  # a file with implicit types has no VR
    if kind in TEXTS:
        text = raw.value.decode("latin-1").strip(" \0")
        return text.split("\\") if "\\" in text else text or None
    if kind == "US" and raw.length == 2:
        return int.from_bytes(raw.value, "little" if raw.is_little_endian else "big")
    return dataset[raw.tag].value


def text(dataset: Dataset, keyword: str) -> str:
    """Return a field as text; empty if there is none."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value)


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of a field as a finite number; None if there is none."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the values of a field as numbers; empty if there are none or they are not numbers."""
    value = value_of(dataset, keyword)
    if value is None or isinstance(value, bytes):
        return ()
    try:
        parts = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return found if all(map(math.isfinite, found)) else ()


def seconds(dataset: Dataset, keyword: str) -> float | None:
    """Return a time (``HHMMSS.FFFFFF``) or a date and time (``YYYYMMDDHHMMSS.FFFFFF``) in seconds."""
    pattern = r"(\d{8})?(\d\d)(\d\d)(\d\d(?:\.\d{1,6})?)(?:[+-]\d{4})?"
    match = re.fullmatch(pattern, text(dataset, keyword).strip())
    if match is None:
        return None
    start = _midnight(match[1]) if match[1] else 0
    return None if start is None else start + int(match[2]) * 3600 + int(match[3]) * 60 + float(match[4])


def moment(dataset: Dataset, date: str, time: str) -> float | None:
    """Return the time in the field ``time`` in seconds, counted from the same day as others where ``date`` is known."""
    found, start = seconds(dataset, time), _midnight(text(dataset, date).strip())
    return found if found is None or start is None else start + found


def _midnight(date: str) -> int | None:
    """Return the first second of a day ``YYYYMMDD``; None if there is no such day."""
    try:
        return datetime.date.fromisoformat(date).toordinal() * 86400 if re.fullmatch(r"\d{8}", date) else None
    except ValueError:
        return None
