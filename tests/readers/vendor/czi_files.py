"""Small CZI files, written by hand from the specification of the format: what no library here writes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import imagecodecs
import numpy as np

from bigimg.types import Array

PIXELS = {"Gray8": 0, "Gray16": 1, "Gray32Float": 2, "Bgr24": 3, "Bgr48": 4, "Bgra32": 9}
PLAIN, JPEG, LZW, JPEG_XR, ZSTD, ZSTD_HEADED = 0, 1, 2, 4, 5, 6
MASK = bytes.fromhex("67eae3cbfc5b2b49a16aece378031448")


@dataclass
class Tile:
    """Pixels of shape (y, x) or (y, x, samples) with red first, at ``y`` and ``x``."""

    pixels: Array
    y: int = 0
    x: int = 0
    index: Mapping[str, int] = field(default_factory=dict)
    kind: str = "Gray16"
    codec: int = PLAIN
    shown: tuple[int, int] | None = None
    pyramid: int = 0
    part: int = 0
    mask: Array | None = None


def write_czi(
    path: Path, tiles: Sequence[Tile], xml: str = "", times: Sequence[float] = (), *, ahead: bool = False
) -> list[int]:
    """Write ``tiles`` in this order, and when they were recorded; return the byte at which the pixels of each begin.

    The directory and the metadata lie behind the tiles, or ``ahead`` of them.
    """
    out = bytearray(_segment(b"ZISRAWFILE", bytes(512)))
    entries, starts, directory, metadata = [], [], 0, 0
    if ahead:
        directory = len(out)
        out += _directory([_entry(tile, 0) for tile in tiles])
        metadata = len(out) if xml else 0
        out += _metadata(xml)
    for tile in tiles:
        entry, data = _entry(tile, len(out)), coded(tile)
        attached = b"" if tile.mask is None else _mask(tile.mask)
        head = struct.pack("<iiq", 0, len(attached), len(data)) + entry
        head += bytes(max(0, 16 + 240 - len(head)))
        starts.append(len(out) + 32 + len(head))
        entries.append(entry)
        out += _segment(b"ZISRAWSUBBLOCK", head + data + attached)
    if ahead:
        out[directory : directory + len(_directory(entries))] = _directory(entries)
    else:
        directory = len(out)
        out += _directory(entries)
        metadata = len(out) if xml else 0
        out += _metadata(xml)
    guid, attachments = bytes(range(16)), 0
    if times:
        entry = struct.pack("<2s10xqi16s8s80s", b"A1", len(out), 0, guid, b"CZTIMS", b"TimeStamps")
        content = struct.pack(f"<ii{len(times)}d", 8 + 8 * len(times), len(times), *times)
        out += _segment(b"ZISRAWATTACH", struct.pack("<i12x", len(content)) + entry + bytes(112) + content)
        attachments = len(out)
        out += _segment(b"ZISRAWATTDIR", struct.pack("<i252x", 1) + entry)
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, guid, guid, 0, directory, metadata, 0, attachments)
    out[32 : 32 + len(header)] = header
    path.write_bytes(out)
    return starts


def metadata(image: str = "", *, scaling: Mapping[str, float] | None = None, more: str = "") -> str:
    """Return metadata with ``image`` in its element Image."""
    items = "".join(
        f'<Distance Id="{name}"><Value>{step}</Value></Distance>' for name, step in (scaling or {}).items()
    )
    return (
        f"<ImageDocument><Metadata><Information><Image>{image}</Image></Information>"
        f"<Scaling><Items>{items}</Items></Scaling>{more}</Metadata></ImageDocument>"
    )


def _directory(entries: Sequence[bytes]) -> bytes:
    return _segment(b"ZISRAWDIRECTORY", struct.pack("<i124x", len(entries)) + b"".join(entries))


def _metadata(xml: str) -> bytes:
    head = struct.pack("<ii248x", len(xml.encode()), 0)
    return _segment(b"ZISRAWMETADATA", head + xml.encode()) if xml else b""


def _segment(name: bytes, data: bytes) -> bytes:
    padded = data + bytes(-len(data) % 32)
    return struct.pack("<16sqq", name, len(padded), len(data)) + padded


def _entry(tile: Tile, at: int) -> bytes:
    rows, columns = tile.pixels.shape[:2]
    height, width = tile.shown or (rows, columns)
    stored = (rows, columns) if tile.shown else (0, 0)
    dims = [(b"X", tile.x, width, stored[1]), (b"Y", tile.y, height, stored[0])]
    dims += [(name.encode(), index, 1, 0) for name, index in tile.index.items()]
    head = struct.pack(
        "<2siqiiBB4si", b"DV", PIXELS[tile.kind], at, tile.part, tile.codec, tile.pyramid, 0, b"", len(dims)
    )
    return head + b"".join(struct.pack("<4siifi", name, a, n, 0.0, own) for name, a, n, own in dims)


def coded(tile: Tile) -> bytes:
    pixels = tile.pixels
    if tile.codec == JPEG:
        return bytes(imagecodecs.jpeg_encode(pixels, level=100))
    if tile.codec == JPEG_XR:
        return bytes(imagecodecs.jpegxr_encode(pixels, level=1.0))
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    plain = np.ascontiguousarray(pixels).tobytes()
    if tile.codec == LZW:
        return bytes(imagecodecs.lzw_encode(plain))
    if tile.codec == ZSTD:
        return bytes(imagecodecs.zstd_encode(plain))
    if tile.codec == ZSTD_HEADED:
        if pixels.dtype.itemsize != 2:
            return b"\1" + bytes(imagecodecs.zstd_encode(plain))
        apart = np.frombuffer(plain, np.uint8).reshape(-1, 2).T.tobytes()  # low bytes, then high ones
        return b"\3\1\1" + bytes(imagecodecs.zstd_encode(apart))
    return plain


def _mask(mask: Array) -> bytes:
    bits = np.packbits(mask, axis=1)
    return (
        bytes(16) + MASK + struct.pack("<4I", mask.shape[1], mask.shape[0], 0, bits.shape[1]) + bits.tobytes()
    )
