"""Names and colours of channels that vendors write beside the pixels."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

from bigimg.errors import InputError, UsageError
from bigimg.geometry.spec import Channel
from bigimg.readers.asked_axes import Pages, read_axes, read_pages, renamed
from bigimg.readers.tiff.axes import UNKNOWN, Stack
from bigimg.readers.values import color_of

PAGE_NAME = 285
"""The tag of the name of a page; programs of mass cytometry (IMC, MIBI) name a channel by it."""

MOST_NAMED = 1000
"""Pages of a series whose names are read; no instrument has so many channels."""

NUMBERED = re.compile(
    r"(?:page|slice|image|frame|plane|stack|series|layer|section|[tz])?[\s#_=:.-]*[\d./\s]*", re.I
)
"""Names of pages that only count them."""


def vendor_channels(tif: Any, series: Any, count: int) -> tuple[Channel, ...]:
    """Return names and colours of the ``count`` channels of ``series``; none if the file does not give them."""
    if series.kind == "qpi":
        found = [_of_qpi(page.aspage().description) for page in series.pages if page is not None]
    else:
        names = [str(name).strip() for name in series.coords.get("C", ())]
        colors = _colors(tif, series.kind)
        found = [Channel(name, colors[i] if i < len(colors) else None) for i, name in enumerate(names)]
    if len(found) != count:
        found = [Channel(name) for name in page_names(series)]
    return tuple(found) if len(found) == count and all(channel.name for channel in found) else ()


def page_names(series: Any) -> list[str]:
    """Return the names of the pages of ``series`` if they differ and say more than a number; else none."""
    if not 1 < len(series.pages) <= MOST_NAMED or any(page is None for page in series.pages):
        return []
    if PAGE_NAME not in series.keyframe.tags:
        return []
    names = [str(page.aspage().tags.valueof(PAGE_NAME, "")).strip("\0 ") for page in series.pages]
    useful = len(set(names)) == len(names) and not any(map(NUMBERED.fullmatch, names))
    return names if useful else []


def stack_of(series: Any) -> Stack:
    """Return the axes of ``series`` and of a page of it.

    If the series does not say what its pages are but names each of them, they are channels. If channels come last
    and each page is one row of them, a plane of uncompressed rows that follow one another is taken as one page.
    """
    axes, shape, page = str(series.axes), series.shape, series.keyframe
    unknown = [letter for letter in axes[:-2] if letter in "IQ"]
    if len(unknown) == 1 and "C" not in axes and page_names(series):
        axes = axes.replace(unknown[0], "C", 1)
    if (
        axes.endswith("YXC")
        and page.axes == "YX"
        and page.shape == shape[-2:]
        and series.dataoffset is not None
    ):
        return Stack(axes[:-1] + "S", shape, "YXS", shape[-3:])
    return Stack(axes, shape, page.axes, page.shape)


def as_asked(stack: Stack, source: str, axes: str | None, pages: Pages | None) -> Stack:
    """Return ``stack`` with the names that a user gives to axes of which the file does not say what they are.

    Raises
    ------
    InputError
        The file says something else, or the sizes do not fit.
    UsageError
        The names make no sense, or there is one page alone.
    """
    over = len(stack.axes) - len(stack.page_axes)
    if pages is not None:
        count = math.prod(stack.shape) // math.prod(stack.page_shape)
        told = [
            (letter.lower(), n) for letter, n in zip(stack.axes[:over], stack.shape, strict=False) if n > 1
        ]
        if count < 2:
            raise UsageError(f"{source}: pages={pages!r} is for several pages, and it has one; leave it out")
        asked = read_pages(pages, count, source)
        if any(name not in UNKNOWN.lower() for name, _ in told) and told != [
            each for each in asked if each[1] > 1
        ]:
            said = " ".join(f"{name} {n}" for name, n in told)
            what = f"says that its pages are {said}, and pages={pages!r} contradicts it"
            raise InputError(f"{source}: the file {what}; leave it out, or write the file again")
        letters = "".join(name.upper() for name, _ in asked)
        sizes = (*(n for _, n in asked), *stack.page_shape)
        stack, over = Stack(letters + stack.page_axes, sizes, stack.page_axes, stack.page_shape), len(letters)
    if axes is None:
        return stack
    at = [i for i, n in enumerate(stack.shape) if n > 1 or stack.axes[i] in "YX"]
    at = list(range(len(stack.shape))) if len(stack.shape) == len(read_axes(axes)) else at
    own = [stack.axes[i] for i in at]
    known = [None if letter in UNKNOWN else "c" if letter == "S" else letter.lower() for letter in own]
    names = renamed(axes, known, [stack.shape[i] for i in at], source)
    letters_of = dict(zip(at, names, strict=True))
    every = (
        letter if i not in letters_of or letter == "S" else letters_of[i].upper()
        for i, letter in enumerate(stack.axes)
    )
    return stack._replace(axes="".join(every))


def _of_qpi(description: str) -> Channel:
    """Return the channel that the XML of a PerkinElmer page describes; its colour is ``255,0,0``."""
    try:
        root = ElementTree.fromstring(description)
    except ElementTree.ParseError:
        return Channel("")
    name = root.findtext("Name") or root.findtext("Biomarker") or ""
    parts = (root.findtext("Color") or "").split(",")
    known = len(parts) == 3 and all(part.strip().isdecimal() and int(part) < 256 for part in parts)
    return Channel(name.strip(), color_of(map(int, parts)) if known else None)


def _colors(tif: Any, kind: str) -> list[str | None]:
    """Return the colours of channels that a Zeiss LSM or a Micro-Manager file gives."""
    if kind == "lsm":
        given = ((tif.lsm_metadata or {}).get("ChannelColors") or {}).get("Colors") or []
        return [color_of(int(part) & 255 for part in color[:3]) for color in given]
    if kind == "mmstack":
        given = ((tif.micromanager_metadata or {}).get("Summary") or {}).get("ChColors") or []
        return [f"{color & 0xFFFFFF:06X}" if isinstance(color, int) else None for color in given]
    return []
