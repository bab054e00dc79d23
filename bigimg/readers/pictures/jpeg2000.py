"""JPEG 2000: precision, sign and tiles come from the codestream, and OpenJPEG decodes them, by imagecodecs.

imagecodecs decodes whole codestreams only. A tile of a codestream can be decoded alone: its parts, behind a main header
whose image is that tile, are a codestream of their own. So a picture in tiles is read by region.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

import numpy as np

from bigimg.errors import DAMAGED, InputError, damage, reading
from bigimg.geometry.region import pieces, shift
from bigimg.geometry.spec import Channel
from bigimg.reader import Access, Reader
from bigimg.readers.pictures.coded import LIBRARY_BYTES, Coded, CodedReader
from bigimg.readers.pictures.strips import CHANNELS, CMYK
from bigimg.types import Array, Json

MOST_BITS = 24
"""Bits of a sample that OpenJPEG decodes exactly; 25 came back wrong."""

SIZ, SOT, EOC = b"\xff\x51", b"\xff\x90", b"\xff\xd9"
COM, PPM = b"\xff\x64", b"\xff\x60"
OF_OTHER_TILES = (b"\xff\x55", b"\xff\x57")
"""Marker segments TLM and PLM: lengths of the parts of all tiles, which decoding does not need."""

COLOR_SPACES = {12: "CMYK", 14: "CIE L*a*b*", 18: "sYCC", 24: "e-sYCC"}
"""Numbers of colour spaces that are neither grey nor RGB."""


class Size(NamedTuple):
    """The SIZ marker segment: the image, and the tiles over it, on one grid."""

    right: int
    bottom: int
    left: int
    top: int
    tile_width: int
    tile_height: int
    tile_left: int
    tile_top: int
    components: int

    def tile(self, row: int, column: int) -> Size:
        """Return the size of the image that is one tile."""
        left = self.tile_left + column * self.tile_width
        top = self.tile_top + row * self.tile_height
        return self._replace(
            right=min(left + self.tile_width, self.right), bottom=min(top + self.tile_height, self.bottom),
            left=max(left, self.left), top=max(top, self.top), tile_left=left, tile_top=top,
        )  # fmt: skip

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows = -(-(self.bottom - self.tile_top) // self.tile_height)
        return rows, -(-(self.right - self.tile_left) // self.tile_width)


SIZE = struct.Struct(">8IH")


@dataclass(frozen=True, slots=True)
class Header:
    """The boxes of a JP2 and the main header of its codestream."""

    start: int
    """Byte of the file where the codestream begins."""
    size: Size
    depths: tuple[int, ...]
    """Of each component: its bits, negative where it is signed."""
    subsampled: bool
    """A component has fewer pixels than another."""
    main: tuple[tuple[bytes, bytes], ...]
    """Marker segments of the main header: marker, and what follows it."""
    parts: int
    """Byte of the file where the tile-parts begin."""
    boxes: dict[bytes, bytes]
    """Of the JP2 header."""

    @property
    def color_space(self) -> int:
        """The enumerated colour space; 0 where the file names none."""
        box = self.boxes.get(b"colr", b"")
        return int.from_bytes(box[3:7]) if box[:1] == b"\1" else 0

    @property
    def palette(self) -> tuple[int, ...]:
        """Bits of each column of the palette; empty where there is none."""
        box = self.boxes.get(b"pclr", b"")
        return tuple(_depth(bits) for bits in box[3 : 3 + box[2]]) if len(box) > 3 else ()

    @property
    def reordered(self) -> bool:
        """The channel definitions give the components another order."""
        box = self.boxes.get(b"cdef", b"")
        entries = struct.iter_unpack(">HHH", box[2 : 2 + (len(box) - 2) // 6 * 6])
        return any(kind == 0 and of not in (0, number + 1, 65535) for number, kind, of in entries)


def open_jpeg2000(path: str) -> Reader:
    """Return a reader of the JPEG 2000 at ``path``, with or without the boxes of a JP2.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, its header is damaged, or OpenJPEG does not give its components exactly.
    """
    header = read_jpeg2000_header(path)
    depths = header.palette or header.depths
    if len(set(depths)) == 1 and not header.subsampled and header.color_space not in (18, 24):
        if abs(depths[0]) > MOST_BITS:
            what = (
                f"is a JPEG 2000 of {abs(depths[0])} bits, and OpenJPEG decodes at most {MOST_BITS} exactly"
            )
            raise InputError(f"{path}: {what}; convert it first")
        return Jpeg2000Reader(path, header)
    if set(depths) == {8}:  # Pillow makes RGB of it
        from bigimg.readers.pictures.pillow import PictureReader

        return PictureReader(path)
    listed = ", ".join(f"{abs(bits)} bits{' signed' if bits < 0 else ''}" for bits in depths)
    how = " of subsampled components" if header.subsampled else ""
    space = f" in {COLOR_SPACES[header.color_space]}" if header.color_space in (18, 24) else ""
    what = f"is a JPEG 2000{how}{space} ({listed}), which bigimg does not read"
    raise InputError(f"{path}: {what}; convert it to TIFF first")


class Jpeg2000Reader(CodedReader):
    """A JPEG 2000 whose components are alike: by tile where it has several, else at once.

    Parameters
    ----------
    path : str
    header : Header
        Of that file.
    """

    def __init__(self, path: str, header: Header, *, reopen: Callable[[str], Reader] = open_jpeg2000) -> None:
        self._header = header
        size, depths = header.size, header.palette or header.depths
        super().__init__(
            path,
            Coded(
                "JPEG 2000", "jpeg2k", size.bottom - size.top, size.right - size.left, abs(depths[0]), depths[0] < 0,
                _channels(header, len(depths)), _meta(header), tuple(_notes(header)),
                dpi=_dpi(header),
            ),
            reopen,
        )  # fmt: skip
        self._tiles: tuple[tuple[tuple[int, int], ...], ...] = ()
        whole = header.palette or header.reordered or any(marker == PPM for marker, _ in header.main)
        if size.tiles == (1, 1) or whole:
            return
        self._tiles = tuple(map(tuple, read_parts(path, header)))
        tile = min(size.tile_height, self.coded.height), min(size.tile_width, self.coded.width)
        longest = max(sum(length for _, length in parts) for parts in self._tiles)
        why = f"JPEG 2000, tiles of {tile[0]} x {tile[1]}"
        table = 200 * sum(map(len, self._tiles))
        read = self._working(*tile) + 3 * longest
        self.access = Access("random", why, fixed_bytes=LIBRARY_BYTES + table, read_bytes=read)
        chunks = {"y": tile[0], "x": tile[1]}
        self.spec = replace(self.spec, chunks=tuple(chunks.get(a.name, a.size) for a in self.spec.axes))

    def indices(self) -> Reader | None:
        """Return a reader of the indices into the palette; None where there is none."""
        alike = len(self._header.depths) == 1 and not self._header.subsampled
        return open_indices(self.source) if self._header.palette and alike else None

    def _bytes(self) -> bytes:
        # Without its boxes where they change only colours: imagecodecs would apply an ICC profile.
        boxes = self._header.palette or self._header.reordered
        return super()._bytes()[0 if boxes else self._header.start :]

    def _pixels(self, rows: slice, columns: slice) -> Array:
        if not self._tiles:
            return super()._pixels(rows, columns)
        size, coded = self._header.size, self.coded
        out = np.empty((rows.stop - rows.start, columns.stop - columns.start, coded.samples), coded.dtype)
        # On the grid of the tiles, whose origin may lie outside the image.
        down, right = size.top - size.tile_top, size.left - size.tile_left
        wanted = (
            slice(rows.start + down, rows.stop + down),
            slice(columns.start + right, columns.stop + right),
        )
        for (row, column), (y, x) in pieces(wanted, (size.tile_height, size.tile_width)):
            tile = size.tile(row, column)
            top, left = tile.top - size.tile_top, tile.left - size.tile_left
            pixels = self._tile(row * size.tiles[1] + column, tile)
            target = shift((y, x), (wanted[0].start, wanted[1].start))
            out[target] = pixels[shift((y, x), (top, left))]
        return out

    def _tile(self, number: int, tile: Size) -> Array:
        """Return the pixels (y, x, c) of tile ``number``: of a codestream that has no other."""
        data = bytearray(b"\xff\x4f")
        for marker, body in self._header.main:
            if marker not in OF_OTHER_TILES:
                body = body[:2] + SIZE.pack(*tile) + body[2 + SIZE.size :] if marker == SIZ else body
                data += marker + struct.pack(">H", len(body) + 2) + body
        with open(self.source, "rb") as file:
            for start, length in self._tiles[number]:
                file.seek(start)
                part = bytearray(file.read(length))
                if len(part) < length:
                    raise damage(self.source, f"the JPEG 2000 ends within tile {number}")
                struct.pack_into(">HI", part, 4, 0, length)
                data += part
        data += EOC
        return self._decode(
            bytes(data), (tile.bottom - tile.top, tile.right - tile.left), f", tile {number},"
        )


def open_indices(path: str) -> Reader:
    """Return a reader of the indices into the palette of a JP2: of its codestream, without the boxes."""
    return Jpeg2000Reader(path, replace(read_jpeg2000_header(path), boxes={}), reopen=open_indices)


def read_jpeg2000_header(path: str) -> Header:
    """Return the header of the JPEG 2000 at ``path``.

    Raises
    ------
    InputError
        It is cut, or is none.
    """
    errors, what = (struct.error, IndexError, ValueError), "the JPEG 2000 header cannot be read"
    with reading(path, errors, DAMAGED, what=what), open(path, "rb") as file:
        boxes: dict[bytes, bytes] = {}
        start = _find_codestream(file, os.path.getsize(path), boxes) if file.read(2) != b"\xff\x4f" else 0
        file.seek(start + 2)
        main: list[tuple[bytes, bytes]] = []
        while (marker := file.read(2)) != SOT:
            if marker[:1] != b"\xff" or (not main and marker != SIZ):
                raise ValueError(f"{marker.hex()} at byte {file.tell() - len(marker)} is no marker")
            (length,) = struct.unpack(">H", file.read(2))
            body = file.read(length - 2)
            if len(body) != length - 2:
                raise ValueError("it ends within its main header")
            main.append((marker, body))
        parts = file.tell() - 2
        size = Size(*SIZE.unpack_from(main[0][1], 2))
        each = main[0][1][2 + SIZE.size :]
        if not 0 < len(each) == 3 * size.components:
            raise ValueError(f"it describes {len(each) // 3} of {size.components} components")
        if not _is_sane(size):
            raise ValueError(f"its image and tiles {tuple(size)} cannot be")
        steps = {each[i + 1 : i + 3] for i in range(0, len(each), 3)}
        depths = tuple(map(_depth, each[::3]))
        return Header(start, size, depths, steps != {b"\1\1"}, tuple(main), parts, boxes)


def read_parts(path: str, header: Header) -> list[list[tuple[int, int]]]:
    """Return the first byte and the length of each part of each tile.

    Raises
    ------
    InputError
        The file ends before the last part, or a tile has none.
    """
    rows, columns = header.size.tiles
    end, at = os.path.getsize(path), header.parts
    if rows * columns > (end - at) // 14:  # a part has a header of 14 bytes
        raise damage(path, f"the JPEG 2000 promises {rows * columns} tiles in a file of {end} bytes")
    parts: list[list[tuple[int, int]]] = [[] for _ in range(rows * columns)]
    with open(path, "rb") as file:
        while at + 12 <= end:
            file.seek(at)
            found = file.read(12)
            if found[:2] != SOT:
                break
            tile, length = struct.unpack_from(">HI", found, 4)
            length = length or end - at - 2  # 0: up to the end marker
            if tile >= len(parts) or length < 14 or at + length > end:
                raise damage(
                    path, f"the JPEG 2000 has a part of tile {tile} at byte {at} that does not fit the file"
                )
            parts[tile].append((at, length))
            at += length
    for number, each in enumerate(parts):
        if not each:
            raise damage(path, f"the JPEG 2000 ends before tile {number} of {len(parts)}")
    return parts


def _find_codestream(file: BinaryIO, end: int, boxes: dict[bytes, bytes]) -> int:
    """Return where the codestream begins; put what the header boxes hold into ``boxes``."""
    at, around = 0, list[int]()  # ends of the boxes around
    while at < end:
        file.seek(at)
        while around and at >= around[-1]:
            around.pop()
        length, kind = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            start = at + 16
        length = length or end - at
        if kind == b"jp2c":
            file.seek(start)
            if file.read(2) == b"\xff\x4f":
                return start
        if length < start - at:
            break
        if around and at + length > around[-1]:
            raise ValueError(f"its box {kind.decode('latin-1')!r} is longer than the one around it")
        if kind in (b"colr", b"pclr", b"cdef", b"resc"):
            boxes.setdefault(kind, file.read(min(length - (start - at), 1 << 16)))
        if kind in (b"jp2h", b"res "):  # what they hold are boxes
            around.append(at + length)
            at = start
        else:
            at += length
    raise ValueError("it holds no codestream")


def _is_sane(size: Size) -> bool:
    return (
        size.left < size.right and size.top < size.bottom and min(size.tile_width, size.tile_height) > 0
        and size.tile_left <= size.left < size.tile_left + size.tile_width
        and size.tile_top <= size.top < size.tile_top + size.tile_height
    )  # fmt: skip


def _depth(code: int) -> int:
    """Return the bits of a component, negative where it is signed."""
    bits = (code & 0x7F) + 1
    return -bits if code & 0x80 else bits


def _channels(header: Header, count: int) -> tuple[Channel, ...]:
    if header.color_space == 12 and count == 4:
        return CMYK
    if header.color_space == 14 and count == 3:
        return tuple(map(Channel, ("L", "a", "b")))
    return CHANNELS.get(count) or tuple(Channel(str(number)) for number in range(count)) if count > 1 else ()


def _meta(header: Header) -> dict[str, Json]:
    meta: dict[str, Json] = {
        "format": "JPEG2000", "palette": bool(header.palette),
        "icc_profile": header.boxes.get(b"colr", b"")[:1] == b"\2",
    }  # fmt: skip
    for marker, body in header.main:
        if marker == COM and body[:2] == b"\0\1":
            meta.setdefault("comment", body[2:].decode("latin-1"))
    return meta


def _dpi(header: Header) -> tuple[float, float] | None:
    """Return the pixels an inch along x and y at which the picture was captured."""
    if len(box := header.boxes.get(b"resc", b"")) < 10:
        return None
    down, down_by, right, right_by, down_power, right_power = struct.unpack(">4H2b", box[:10])
    if not down_by or not right_by:
        return None
    return right / right_by * 10.0**right_power * 0.0254, down / down_by * 10.0**down_power * 0.0254


def _notes(header: Header) -> Iterator[str]:
    if header.color_space == 14:
        yield "colours are CIE L*a*b*, as stored"
