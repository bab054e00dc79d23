"""What a user says of axes that a file does not name: ``axes="tzyx"``, ``pages="t=10,c=2"``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from bigimg.errors import InputError, UsageError
from bigimg.geometry.axes import ORDER

type Pages = str | Mapping[str, int]


def read_axes(axes: str) -> tuple[str, ...]:
    """Return the names in ``axes``.

    Raises
    ------
    UsageError
        They are not among t c z y x, once each, with y and x.

    Examples
    --------
    >>> read_axes("zcyx")
    ('z', 'c', 'y', 'x')
    """
    names = tuple(re.sub(r"[\s,]", "", axes))
    if not {"y", "x"} <= set(names) <= set(ORDER) or len(set(names)) < len(names):
        raise UsageError(
            f"axes={axes!r}: give names among t c z y x, once each, y and x among them, as 'tzyx'"
        )
    return names


def read_pages(pages: Pages, count: int, source: str) -> tuple[tuple[str, int], ...]:
    """Return the axes of ``count`` pages of ``source``, slowest first, and the size of each.

    Parameters
    ----------
    pages : str or mapping
        Names with sizes, of which one may be left out: ``c``, ``t=10,c=2``, ``t,c=2`` or ``{"t": 10, "c": 2}``.
    count : int
    source : str

    Raises
    ------
    UsageError
        That is no such text.
    InputError
        It does not come to ``count`` pages.

    Examples
    --------
    >>> read_pages("t,c=2", 20, "a.tif")
    (('t', 10), ('c', 2))
    """
    text = pages if isinstance(pages, str) else ",".join(f"{name}={size}" for name, size in pages.items())
    found = [re.fullmatch(r"\s*([tcz])\s*(?:=\s*([1-9]\d*)\s*)?", part) for part in text.split(",")]
    given = [(part[1], part[2]) for part in found if part is not None]
    names = [name for name, _ in given]
    open_sizes = [name for name, size in given if size is None]
    if len(given) < len(found) or len(set(names)) < len(names):
        raise UsageError(
            f"pages={text!r}: write axes among t c z with their sizes, slowest first, as t=10,c=2"
        )
    if len(open_sizes) > 1:
        what = f"{count} pages along {' and '.join(names)} need the size of each but one"
        raise UsageError(f"{source}: {what}, as in pages='{names[0]},{names[1]}=2'")
    known = math.prod(int(size) for _, size in given if size is not None)
    rest = count // known if open_sizes and count % known == 0 else 1
    if known * rest != count:
        said = " x ".join(f"{name} {size}" if size else name for name, size in given)
        raise InputError(
            f"{source}: has {count} pages, and pages='{text}' asks for {said}; correct the sizes"
        )
    return tuple((name, int(size or rest)) for name, size in given)


def renamed(axes: str, known: Sequence[str | None], sizes: Sequence[int], source: str) -> tuple[str, ...]:
    """Return the names in ``axes`` for the axes of a file.

    Parameters
    ----------
    axes : str
    known : sequence of (str or None)
        What the file says each axis is; None where it does not.
    sizes : sequence of int
    source : str

    Raises
    ------
    UsageError
        As :func:`read_axes`.
    InputError
        There are more or fewer axes, or the file says another name.
    """
    names = read_axes(axes)
    shown = " ".join(name or "?" for name in known)
    shape = " x ".join(map(str, sizes))
    has = f"its axes are {shown} = {shape}, and axes='{axes}' names {' '.join(names)}"
    if len(names) != len(known):
        more = "; say how many pages are along each axis by pages='t,c=2'" if None in known else ""
        raise InputError(f"{source}: {has}: give {len(known)} names{more}")
    if any(own not in (None, name) for own, name in zip(known, names, strict=True)):
        raise InputError(
            f"{source}: {has}, which contradicts the file; leave it out, or write the file again"
        )
    return names
