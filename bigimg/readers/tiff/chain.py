"""Checks that a TIFF file holds what it promises: the chain of its pages, their tags, and its descriptions.

If a chain of pages is cut, or a description promises more planes than there are, tifffile only logs it and gives a
shorter image. So this module reads the tables itself and does not depend on what is logged.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile

from bigimg.errors import PARTIAL, InputError, counted, damage
from bigimg.readers.tiff.axes import Layout
from bigimg.readers.tiff.meta import OWN_TAGS
from bigimg.system.files import read_at

MOST_TAGS = 4096
"""tifffile takes pages with more tags for damaged."""

PIXEL_TAGS = (OWN_TAGS - {330, 338}) | {278, 284, 317, 529, 530, 532}
"""Tags without which pixels cannot be read."""

SET = "put all files of a set into one folder"

SUBIFDS = 330
"""The tag that lists pages below a page, such as the levels of a pyramid."""

WIDTHS = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1)) | dict.fromkeys((16, 17, 18), 8)
"""Field type to the bytes of one value."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The pages of a TIFF, up to the first that is not there."""

    pages: int = 0
    """0 for dialects that only tifffile understands."""
    damage: InputError | None = None
    """What is wrong with the next one."""
    link: int = 0
    """Byte of the number that says where the next page is."""
    target: int = 0
    """What it says."""
    table: bytes = b""
    """The table of the last page."""
    order: str = "<"
    big: bool = False
    hidden: dict[int, bytes] = field(default_factory=dict)
    """Entries in place of those of tags that do not matter for the pixels and whose values are gone, by their byte."""
    lost: tuple[str, ...] = ()
    """The names of these tags."""

    @property
    def words(self) -> struct.Struct:
        """How offsets are stored."""
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    def entries(self) -> Iterator[tuple[int, tuple[int, int, int, bytes]]]:
        """Yield the tags of the last page: the byte of the table where the value is, and the entry."""
        entry = struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))
        first = 8 if self.big else 2
        for i, found in enumerate(entry.iter_unpack(self.table[first : -self.words.size])):
            yield first + (i + 1) * entry.size - self.words.size, found

    def number(self, kind: int, value: int) -> bytes:
        """Return a value of a tag of this field type; its largest where it is too small for the number."""
        width = WIDTHS[kind]
        return min(value, (1 << 8 * width) - 1).to_bytes(width, "little" if self.order == "<" else "big")


def check_chain(path: str) -> int:
    """Return the number of pages of a TIFF; 0 for dialects that only tifffile understands.

    Raises
    ------
    InputError
        A page lies beyond the end of the file, is cut, or stands in the chain twice; the values of a tag lie
        beyond the end, or a tag that says how the pixels are stored cannot be read.
    """
    return follow_chain(path).pages


def follow_chain(path: str, *, partial: bool = False) -> Chain:
    """Return the pages of a TIFF; with ``partial`` those before the first damaged one, if there are any.

    Raises
    ------
    InputError
        As :func:`check_chain`.
    """
    if path.lower().endswith(".ndpi"):  # offsets of 64 bits in a classic TIFF
        return Chain()
    with open(path, "rb", buffering=0) as file:
        header = read_at(file.fileno(), 16, 0)
        order = {b"II": "<", b"MM": ">"}.get(header[:2], "")
        big = header[2:4] in (b"+\0", b"\0+")
        if not order or not (big or header[2:4] in (b"*\0", b"\0*")) or len(header) < 16:
            return Chain()
        tables = _Tables(path, file.fileno(), order, big=big)
        offset = tables.word.unpack_from(header, 8 if big else 4)[0]
        seen: set[int] = set()
        last = link = 0
        while offset or not seen:
            page = f"page {len(seen)}"
            try:
                if offset in seen:
                    raise damage(path, f"{page} is one of those before it")
                found = tables.check(page, offset, lenient=partial)
            except InputError as error:
                if not seen and (partial or not tables.goes_without(page, offset)):
                    raise
                if not partial:
                    raise InputError(f"{error}, or {PARTIAL}") from None
                table = read_at(file.fileno(), link + tables.word.size - last, last)
                return Chain(
                    len(seen), error, link, offset, table, order, big, tables.hidden, (*tables.lost,)
                )
            seen.add(offset)
            try:
                for number, start in enumerate(found.below):
                    if start >= 8:  # tifffile skips the others too
                        tables.check(f"{page}, SubIFD {number}", start)
            except InputError as error:
                if not partial:
                    raise InputError(f"{error}, or {PARTIAL}") from None
                tables.hide(found.subifds, SUBIFDS)
            last, link, offset = offset, found.link, found.following
        return Chain(len(seen), order=order, big=big, hidden=tables.hidden, lost=(*tables.lost,))


class _Page(NamedTuple):
    """A table that is whole."""

    following: int
    """Byte of the next page."""
    link: int
    """Byte of the number that says so."""
    below: tuple[int, ...]
    """Bytes of the pages below it."""
    subifds: int
    """Byte of the code of the tag that lists them."""


class _Tables:
    """The tables of tags in the open file ``descriptor``."""

    def __init__(self, path: str, descriptor: int, order: str, *, big: bool) -> None:
        self.path, self.descriptor, self.order = path, descriptor, order
        self.size = os.fstat(descriptor).st_size
        self.count, self.word = (struct.Struct(order + kind) for kind in ("QQ" if big else "HI"))
        self.entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        self.hidden: dict[int, bytes] = {}
        self.lost: dict[str, None] = {}

    def hide(self, place: int, code: int) -> None:
        """Note that the tag ``code``, whose entry is at the byte ``place``, is to be hidden from tifffile."""
        self.hidden[place] = self.entry.pack(65535, 1, 1, b"")
        self.lost[str(tifffile.TIFF.TAGS.get(code, code))] = None

    def goes_without(self, page: str, offset: int) -> bool:
        """Return whether the page at ``offset`` is damaged in tags alone that do not matter for its pixels."""
        try:
            self.check(page, offset, lenient=True)
        except InputError:
            return False
        return True

    def check(self, page: str, offset: int, *, lenient: bool = False) -> _Page:
        """Check the tags of the page at ``offset``; hide those with lost values that do not matter if ``lenient``."""
        content = read_at(self.descriptor, 512, offset) if offset < self.size else b""
        if len(content) < self.count.size:
            raise damage(self.path, f"{page} should begin at byte {offset} of a file of {self.size}")
        number = self.count.unpack_from(content)[0]
        if not 0 < number <= MOST_TAGS:
            raise damage(self.path, f"{page}, at byte {offset}, has {number} tags")
        end = self.count.size + number * self.entry.size
        length = end + self.word.size
        if len(content) < length:
            content = read_at(self.descriptor, length, offset)
        if len(content) < length:
            where = f"bytes {offset} to {offset + length} of a file of {self.size}"
            raise damage(self.path, f"{page} lists {number} tags in {where}")
        codes: set[int] = set()
        below: tuple[int, ...] = ()
        subifds = 0
        entries = self.entry.iter_unpack(content[self.count.size : end])
        for place, (code, kind, count, value) in enumerate(entries):
            codes.add(code)
            length, start = WIDTHS.get(kind, 0) * count, self.word.unpack(value)[0]
            wrong = ""
            if kind not in WIDTHS and code in OWN_TAGS:
                wrong = f"is of type {kind}, which TIFF does not have"
            elif length > self.word.size and not 8 <= start <= self.size - length:
                wrong = f"has {count} values in bytes {start} to {start + length} of a file of {self.size}"
                if lenient and code not in PIXEL_TAGS:
                    self.hide(offset + self.count.size + place * self.entry.size, code)
                    continue
            elif code == SUBIFDS and count > MOST_TAGS:
                wrong = f"lists {count} pages"
            elif code == SUBIFDS and (form := {4: "I", 8: "Q"}.get(WIDTHS.get(kind, 0))):
                data = read_at(self.descriptor, length, start) if length > self.word.size else value[:length]
                below = struct.unpack(f"{self.order}{count}{form}", data)
                subifds = offset + self.count.size + place * self.entry.size
            if wrong:
                raise damage(self.path, f"{page}, tag {tifffile.TIFF.TAGS.get(code, code)} {wrong}")
        if not ({256, 257} <= codes or 513 in codes):
            raise damage(self.path, f"{page}, at byte {offset}, does not say how large it is")
        return _Page(self.word.unpack_from(content, end)[0], offset + end, below, subifds)


def check_promise(path: str, tif: Any, series: Any, pages: int) -> None:
    """Refuse a series that is shorter than the file's own descriptions promise.

    Parameters
    ----------
    tif : tifffile.TiffFile
    series : tifffile.TiffPageSeries
    pages : int
        Pages in the chain of the file; 0 if that is not known.

    Raises
    ------
    InputError
        The description of ImageJ, OME, Micro-Manager or tifffile promises more planes than there are, or
        fewer.
    """
    page, plane = series.keyframe, series.keyframe.size
    tag, values = promised(tif, series, pages)
    there = series.size
    if series.kind == "ome":  # images whose pages all lie in other files do not count
        own = (each for each in tif.series if any(_is_own(one, tif) for one in each.pages))
        there = sum(each.size for each in own)
    if values > there or values % plane:
        what = f"page 0, tag {tag} promises {-(-values // plane)} planes of {page.shape}"
        raise InputError(f"{path}: {what}, and {there // plane} are there; {remedy(tif)}")
    missing = any(each is None for each in series.pages)  # read_tables says which
    if series.kind == "imagej":  # one page may stand for all
        used = set(range(series.size // plane))
    elif series.kind == "ome" and not missing:
        used = {each.index for one in tif.series for each in one.pages if _is_own(each, tif)}
    else:
        return
    for number in range(pages):
        if number not in used and tif.pages[number].aspage().hash == page.hash:
            what = f"page 0, tag {tag} promises {series.size // plane} planes of {page.shape}"
            raise damage(path, f"{what}, and page {number} is one more", "the description is wrong")


def promised(tif: Any, series: Any, pages: int) -> tuple[str, int]:
    """Return the tag that says how large ``series`` is, and its number of values; 0 if no tag does."""
    page, tag = series.keyframe, "ImageDescription"
    if series.kind == "mmstack":
        summary = tif.micromanager_metadata["Summary"]
        axes = ("Channels", "Slices", "Frames")  # not Positions: a file may hold one of them
        sizes = [int(summary.get(axis, 1)) for axis in axes]
        if _stands_alone(tif):  # time points that were planned may never have been taken
            sizes[2] = min(sizes[2], dict(zip(series.axes, series.shape, strict=True)).get("T", 1))
        return "MicroManagerMetadata", page.size * math.prod(max(1, n) for n in sizes)
    if text := page.shaped_description:
        shape = json.loads(text)["shape"] if text[0] == "{" else [int(n) for n in text[7:-1].split(",") if n]
        return tag, math.prod(shape)
    if page.index != 0 and series.kind in ("generic", "uniform"):  # tifffile did not follow the description
        return tag, 0
    if series.kind in ("generic", "uniform", "ome") and (xml := tif.ome_metadata):
        root = ElementTree.fromstring(xml)
        images = [
            image for image in root.findall("{*}Image/{*}Pixels")
            if any(_is_here(data, root, tif) for data in image.findall("{*}TiffData"))
        ]  # fmt: skip
        sizes = [math.prod(int(image.attrib[f"Size{axis}"]) for axis in "XYZCT") for image in images]
        return tag, sum(sizes if series.kind == "ome" else sizes[:1])
    if series.kind in ("generic", "uniform", "imagej") and (fields := tif.imagej_metadata):
        names = ("channels", "slices", "frames", "images")
        channels, slices, frames, count = (int(fields.get(name, 1)) for name in names)
        planes = slices * frames
        if channels != page.samplesperpixel:  # otherwise its channels are the samples of a pixel
            planes *= channels
        whole = planes == pages > 1  # ImageJ then ignores the number of images too
        if not whole and count != planes * page.samplesperpixel:
            planes = max(planes, count)
        return tag, page.size * planes
    return "", 0


class Stopped(NamedTuple):
    """An acquisition that was stopped."""

    times: int
    """Whole time points."""
    note: str


def whole_times(tif: Any, series: Any, layout: Layout) -> Stopped | None:
    """Return the whole time points of an acquisition that was stopped; None if ``series`` is of none.

    Its metadata name more planes than there are, all before some time are there, and no other file has any.
    """
    if series.kind not in ("ome", "mmstack"):
        return None
    absent = [i for i, page in enumerate(series.pages) if page is None]
    times, channels, depth, *_ = layout.shape
    planned = max(times, _frames(tif)) if series.kind == "mmstack" else times
    if (not absent and planned == times) or not _stands_alone(tif):
        return None
    t, c, z = (layout.steps.get(name, 0) for name in "tcz")
    of_time = np.add.outer(np.arange(channels // layout.samples) * c, np.arange(depth) * z).reshape(-1)
    there = ~np.isin(layout.first + np.add.outer(np.arange(times) * t, of_time), absent)
    whole = there.all(axis=1)
    count = times if whole.all() else int(whole.argmin())
    if not count or whole[count:].any():
        return None
    if count == planned:  # planes of another position are missing
        return Stopped(count, "")
    note = f"the acquisition was stopped: {count} of {planned} time points are whole"
    if left := int(there[count:].sum()):
        note += f", and {counted(left, 'plane')} of the next; {PARTIAL}"
    return Stopped(count, note)


def _frames(tif: Any) -> int:
    """Return how many time points were planned in Micro-Manager."""
    return int((tif.micromanager_metadata or {}).get("Summary", {}).get("Frames", 1))


def remedy(tif: Any) -> str:
    """Return what can be done where planes are in no file."""
    way = "the file was cut or never finished: copy it again" if _stands_alone(tif) else SET
    return f"{way}, or {PARTIAL}"


def _stands_alone(tif: Any) -> bool:
    """Return whether no other file has pages of the images of an OME-TIFF, as far as its XML says."""
    if not (xml := tif.ome_metadata):
        return True
    root = ElementTree.fromstring(xml)
    return all(_is_here(data, root, tif) for data in root.iterfind("{*}Image/{*}Pixels/{*}TiffData"))


def _is_own(page: Any, tif: Any) -> bool:
    """Return whether ``page`` lies in the file itself; with a companion file tifffile opens that once more."""
    return page is not None and page.parent.filehandle.path == tif.filehandle.path


def _is_here(data: ElementTree.Element, root: ElementTree.Element, tif: Any) -> bool:
    """Return whether ``data`` is a TiffData of OME-XML whose pages are in the file itself."""
    uuid = data.find("{*}UUID")
    if uuid is None or uuid.text == root.get("UUID"):
        return True
    return uuid.get("FileName", "").lower() == str(tif.filename).lower()
