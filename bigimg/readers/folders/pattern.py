"""Patterns of file names, as ``img_{c}_{t:03}_z{z:04}.tif``, and what the names that follow one say.

Only names are looked at; no file is opened. ``{t} {z} {y} {x}`` stand for numbers, ``{c} {well} {field}`` for numbers
or words. ``{t:03}`` is a number of at least three digits, so that ``{t:03}{z:02}`` can be told apart. ``*`` and ``?``
stand for what does not matter, and ``{{`` for a brace. A field may be the name of a folder. One that stands twice has
the same text in both places, as in ``{well}/{well}_z{z}.tif``.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bigimg.errors import InputNotFoundError, UsageError, counted
from bigimg.readers.folders.numbering import natural_key
from bigimg.types import Array, OnGap

AXES = "tczyx"
"""Fields that are axes; ``y`` and ``x`` are rows and columns of tiles that lie side by side."""
SERIES = ("well", "field")
"""Fields that tell images apart."""
NUMBERS = "tzyx"
"""Fields that are numbers always."""

type Value = int | str

_PART = re.compile(r"\{\{|\}\}|\{(?P<field>[^{}:]*)(?::(?P<width>[^{}]*))?\}|\*|\?|[{}]|[^{}*?]+")


@dataclass(frozen=True, slots=True)
class Table:
    """The files that follow a pattern, and the value of each field in their names."""

    names: tuple[str, ...]
    values: Mapping[str, tuple[Value, ...]]
    """The values of each field, once each, in natural order: numbers where all are numbers, else texts."""
    index: Array
    """Integers of shape (names, fields): which of its values each field has in each name."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields, in the order of the columns of ``index``."""
        return tuple(self.values)

    def select(self, field: str, value: Value) -> Table:
        """Return the files in which ``field`` has the ``value``, without this field.

        Examples
        --------
        >>> parse("f{field}_z{z}.tif").match(["f1_z1.tif", "f1_z2.tif", "f2_z1.tif"]).select("field", 1).names
        ('f1_z1.tif', 'f1_z2.tif')
        """
        number = self.values[field].index(value)
        rows = np.flatnonzero(self.index[:, self.fields.index(field)] == number)
        kept = [i for i, name in enumerate(self.fields) if name != field]
        values: dict[str, tuple[Value, ...]] = {}
        index = np.empty((len(rows), len(kept)), self.index.dtype)
        for to, column in enumerate(kept):
            name = self.fields[column]
            there, index[:, to] = np.unique(self.index[rows, column], return_inverse=True)
            values[name] = tuple(self.values[name][i] for i in there)
        return Table(tuple(self.names[i] for i in rows), values, index)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of file names; :func:`parse` makes it."""

    text: str
    fields: tuple[str, ...]
    """In the order in which they stand."""
    root: str
    """The folder in which all files lie; empty for the present one."""
    glob: str
    """What finds the files, and maybe others."""
    regex: re.Pattern[str]

    def match(self, names: Iterable[str]) -> Table:
        """Return those of ``names`` that follow the pattern, in natural order of their values.

        Parameters
        ----------
        names : iterable of str
            Written as the pattern is: with the folder if it has one.

        Examples
        --------
        >>> table = parse("img_{c}_{t:03}.tif").match(["img_GFP_000.tif", "img_DAPI_000.tif", "img_DAPI_001.tif"])
        >>> table.values, table.index.tolist()
        ({'c': ('DAPI', 'GFP'), 't': (0, 1)}, [[0, 0], [0, 1], [1, 0]])
        """
        found = [
            (name, match) for name in names if (match := self.regex.fullmatch(name.replace(os.sep, "/")))
        ]
        values: dict[str, tuple[Value, ...]] = {}
        index = np.empty((len(found), len(self.fields)), np.int64)
        for column, field in enumerate(self.fields):
            texts = [match[field] for _, match in found]
            keys: list[Value] = list(texts)
            if all(text.isdecimal() and text.isascii() for text in {*texts}):
                keys = [int(text) for text in texts]
            values[field] = tuple(sorted({*keys}, key=lambda key: natural_key(str(key))))
            number = {value: i for i, value in enumerate(values[field])}
            index[:, column] = [number[key] for key in keys]
        order = np.lexsort(index.T[::-1]) if self.fields else range(len(found))
        return Table(tuple(found[i][0] for i in order), values, index[order])


def is_pattern(name: str) -> bool:
    """Return whether ``name`` has a field of a pattern in braces.

    >>> is_pattern("run/img_{c}_{t:03}.tif"), is_pattern("{0A1B}.tif")
    (True, False)
    """
    fields = "|".join((*AXES, *SERIES))
    return re.search(rf"\{{(?:{fields})(?::[^{{}}]*)?\}}", name) is not None


def parse(text: str) -> Pattern:
    """Return the pattern that ``text`` writes.

    Raises
    ------
    UsageError
        A field is none of t c z y x well field, a width is no number, or a brace stands alone.

    Examples
    --------
    >>> parse("run/img_{c}_{t:03}_z{z:04}.tif").fields
    ('c', 't', 'z')
    """
    plain = text.replace(os.sep, "/")
    fields: list[str] = []
    regex = glob = ""
    for part in _PART.finditer(plain):
        field, word = part["field"], part[0]
        if field is not None:
            regex += f"(?P={field})" if field in fields else _group(text, field, part["width"])
            glob += "*"
            fields += [] if field in fields else [field]
        elif word in ("*", "?"):
            regex += "[^/]*" if word == "*" else "[^/]"
            glob += word
        elif word in ("{", "}"):
            raise UsageError(f"pattern {text!r}: a {word} stands alone; write {word}{word} for one in a name")
        else:
            word = word.replace("{{", "{").replace("}}", "}")
            regex += re.escape(word)
            glob += word.replace("[", "[[]")
    fixed = re.split(r"[{*?]", plain.replace("{{", "  "))[0]
    root = plain[: fixed.rfind("/") + 1].replace("}}", "}")
    return Pattern(text, tuple(fields), root, glob, re.compile(regex))


def _group(text: str, field: str, width: str | None) -> str:
    if field not in (*AXES, *SERIES):
        known = " ".join(f"{{{name}}}" for name in (*AXES, *SERIES))
        raise UsageError(
            f"pattern {text!r}: there is no field {{{field}}}; there are {known}, and * for the rest"
        )
    if width is None:
        return f"(?P<{field}>{'[0-9]+' if field in NUMBERS else '[^/]+?'})"
    if not re.fullmatch(r"0?[1-9][0-9]?d?", width):
        what = f"{{{field}:{width}}} has a width that is no number"
        raise UsageError(f"pattern {text!r}: {what}; write {{{field}:03}} for three digits or more")
    return f"(?P<{field}>[0-9]{{{int(width.rstrip('d'))},}}?)"


def files_that_follow(text: str, *, on_gap: OnGap | None = None) -> tuple[Table, int]:
    """Return the files on the disk that follow the pattern ``text``, and how many nearly do.

    Raises
    ------
    UsageError
        The pattern makes no sense, or ``on_gap`` is for DICOM series.
    InputNotFoundError
        No file follows it.
    """
    pattern = parse(text)
    if on_gap == "split":
        raise UsageError(f"{text}: on_gap='split' is for DICOM series; give on_gap='fill' or leave it out")
    found = [path for path in glob.glob(pattern.glob) if os.path.isfile(path)]
    table = pattern.match(found)
    if not table.names:
        near = f", and {counted(len(found), 'file')} nearly do ({min(found)})" if found else ""
        what = f"no file follows this pattern{near}"
        raise InputNotFoundError(f"{text}: {what}; check the folder, the fields and their widths")
    return table, len(found) - len(table.names)
