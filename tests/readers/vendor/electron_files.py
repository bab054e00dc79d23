"""Small files of electron microscopes by hand, after the notes that others published: DM3, DM4, SER and EMD (Velox)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigimg.types import Array

DM_TYPES = {"u1": 6, "u2": 10, "u4": 11, "i1": 9, "i2": 1, "i4": 7, "f4": 2, "f8": 12}
"""DataType of an image of Digital Micrograph, by the type of its values."""
DM_VALUES = {"u1": 10, "u2": 4, "u4": 5, "i1": 9, "i2": 2, "i4": 3, "f4": 6, "f8": 7}
"""Numbers of types in the description of a value."""
SER_TYPES = {"u1": 1, "u2": 2, "u4": 3, "i1": 4, "i2": 5, "i4": 6, "f4": 7, "f8": 8}


def dm(path: Path, pixels: Array, *, version: int = 4, scale: float = 0.5, unit: str = "nm") -> Path:
    """Write a DM3 or DM4 with pixels of shape (y, x) or (z, y, x)."""
    size = ">q" if version == 4 else ">i"
    kind = pixels.dtype.str[1:]

    def value(name: str, info: Sequence[int], data: bytes) -> bytes:
        described = (
            b"%%%%" + struct.pack(size, len(info)) + b"".join(struct.pack(size, n) for n in info) + data
        )
        length = struct.pack(">q", len(described)) if version == 4 else b""
        return b"\x15" + struct.pack(">H", len(name)) + name.encode() + length + described

    def group(name: str, *entries: bytes) -> bytes:
        inside = b"\1\0" + struct.pack(size, len(entries)) + b"".join(entries)
        length = struct.pack(">q", len(inside)) if version == 4 else b""
        return b"\x14" + struct.pack(">H", len(name)) + name.encode() + length + inside

    def text(name: str, words: str) -> bytes:
        return value(name, [20, 4, len(words)], words.encode("utf-16-le"))

    along = [
        group(
            "",
            value("Origin", [6], struct.pack("<f", 0)),
            value("Scale", [6], struct.pack("<f", scale)),
            text("Units", unit),
        )
        for _ in pixels.shape
    ]
    image = group(
        "ImageData",
        group("Calibrations", group("Dimension", *along)),
        value("Data", [20, DM_VALUES[kind], pixels.size], pixels.tobytes()),
        value("DataType", [5], struct.pack("<I", DM_TYPES[kind])),
        group("Dimensions", *(value("", [5], struct.pack("<I", n)) for n in reversed(pixels.shape))),
        value("PixelDepth", [5], struct.pack("<I", pixels.dtype.itemsize)),
    )
    root = [group("ImageList", group("", image, text("Name", "Roe Jane")))]
    inside = b"\1\0" + struct.pack(size, len(root)) + b"".join(root)
    path.write_bytes(
        struct.pack(">i", version)
        + struct.pack(size, len(inside))
        + struct.pack(">i", 1)
        + inside
        + b"\0" * 8
    )
    return path


def ser(path: Path, pixels: Array, *, spacing: float = 5e-10) -> Path:
    """Write a SER with one element for each plane of ``pixels`` of shape (t, y, x)."""
    count, height, width = pixels.shape
    head = struct.pack("<3H4i", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, count, count)
    words = b"Number"
    axis = struct.pack("<iddii", count, 0, 1, 0, len(words)) + words + struct.pack("<i", 0)
    table = len(head) + 8 + len(axis)
    body, data, tags = b"", [], []
    for plane in pixels:
        data.append(table + 8 * count + len(body))
        body += struct.pack("<ddiddi", 0, spacing, 0, 0, spacing, 0)
        body += struct.pack("<hii", SER_TYPES[pixels.dtype.str[1:]], width, height) + plane.tobytes()
    for _ in pixels:
        tags.append(table + 8 * count + len(body))
        body += struct.pack("<HHi", 0x4152, 0, 1_600_000_000)
    path.write_bytes(
        head + struct.pack("<ii", table, 1) + axis + struct.pack(f"<{2 * count}i", *data, *tags) + body
    )
    return path


def emd(path: Path, pixels: Array, *, spacing: float = 2e-10) -> Path:
    """Write an EMD as Velox does, with pixels of shape (t, y, x)."""
    import h5py

    said: dict[str, Any] = {
        "BinaryResult": {
            "PixelSize": {"width": str(spacing), "height": str(spacing)},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
        },
        "Sample": {"SampleId": "Roe Jane"},
    }
    line = np.frombuffer(json.dumps(said).encode().ljust(4096, b"\0"), np.uint8)
    with h5py.File(path, "w") as file:
        file["Version"] = np.array([b'{"format":"Velox","version":"1.10"}'])
        group = file.create_group("Data/Image/0123456789abcdef0123456789abcdef")
        group.create_dataset("Data", data=np.moveaxis(pixels, 0, -1))
        group.create_dataset("Metadata", data=np.stack([line] * len(pixels), axis=-1))
    return path
