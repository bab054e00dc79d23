"""Small ND2 files, written by hand: chunks with names, metadata in XML, and a table of chunks at the end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bigimg.types import Array

MAGIC = 0x0ABECEDA
TYPES = {bool: "bool", int: "lx_int32", float: "double", str: "CLxStringW"}
TIME, POSITIONS, Z, CUSTOM = 1, 2, 4, 7


def variant(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inside = "".join(variant(key, each) for key, each in value.items())
        return f'<{name} runtype="CLxListVariant">{inside}</{name}>'
    shown = str(value).lower() if isinstance(value, bool) else value
    return f'<{name} runtype="{TYPES[type(value)]}" value="{shown}"/>'


def loop(kind: int, count: int, names: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Return one loop of an experiment; that of positions has a point for each of ``names``."""
    points = {f"a{i}": {"dPosX": float(i), "dPosY": 0.0, "dPosName": name} for i, name in enumerate(names)}
    own: dict[int, dict[str, Any]] = {
        TIME: {"dStart": 0.0, "dPeriod": 2000.0, "dDuration": 0.0}, POSITIONS: {"Points": points},
        Z: {"dZStep": 0.5, "dZLow": 0.0, "dZHigh": 1.0},
    }  # fmt: skip
    return {"eType": kind, "uLoopPars": {"uiCount": count, **own.get(kind, {}), **more}}


def write_nd2(
    path: Path,
    frames: Array,
    loops: Sequence[dict[str, Any]] = (),
    *,
    names: Sequence[str] = ("DAPI", "GFP"),
    row: int = 0,
    packed: bool = False,
    without: Collection[int] = (),
    planes: int | None = None,
    attributes: dict[str, Any] | None = None,
) -> Path:
    """Write ``frames`` of shape (number, rows, columns, components), but for those ``without``.

    A row takes ``row`` bytes, or as many as it has; the components are of as many ``planes`` (channels).
    """
    count, height, width, components = frames.shape
    row, planes = row or frames[0, 0].nbytes, planes or components
    written: list[tuple[bytes, int, int]] = []
    with path.open("wb") as file:

        def put(name: bytes, data: bytes, room: int = 0) -> None:
            written.append((name, file.tell(), len(data)))
            room = room or len(name)
            file.write(struct.pack("<IIQ", MAGIC, room, len(data)) + name.ljust(room, b"\0") + data)
            file.write(b"\0" * (-file.tell() % 4096))

        put(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"))
        nested: dict[str, Any] = {}
        for each in reversed(loops):
            nested = {**each, **({"ppNextLevelEx": {"i0000000000": nested}} if nested else {})}
        probe = {"m_EmissionSpectrum": {"pPoint": {"Point0": {"dTValue": 1.0, "dWavelength": 525.0}}}}
        described = {
            f"a{i}": {
                "sDescription": names[i], "uiColor": 0xFF << 8 * i, "uiCompCount": components // planes,
                "pFluorescentProbe": probe,
            }
            for i in range(planes)
        }  # fmt: skip
        bits = 8 * frames.itemsize
        put(b"ImageAttributesLV!", xml({"SLxImageAttributes": {
            "uiWidth": width, "uiHeight": height, "uiWidthBytes": row, "uiComp": components, "uiBpcInMemory": bits,
            "uiBpcSignificant": bits, "uiSequenceCount": count, "eCompression": 0 if packed else 2,
            **(attributes or {})}}))  # fmt: skip
        meaning = {"uiCount": planes, "sPlaneNew": described}
        picture = {"bCalibrated": True, "dCalibration": 0.25, "sPicturePlanes": meaning}
        put(b"ImageMetadataSeqLV|0!", xml({"SLxPictureMetadata": picture}))
        if nested:
            put(b"ImageMetadataLV!", xml({"SLxExperiment": nested}))
        put(b"CustomData|AcqTimesCache!", struct.pack(f"<{count}d", *(1500.0 * i for i in range(count))))
        for number, frame in enumerate(frames):
            if number not in without:
                rows = b"".join(each.tobytes().ljust(row, b"\0") for each in frame)
                stored = struct.pack("<d", 0) + (zlib.compress(rows) if packed else rows)
                put(b"ImageDataSeq|%d!" % number, stored, 4072)
        place, end = file.tell(), b"ND2 CHUNK MAP SIGNATURE 0000001!"
        table = b"".join(name + struct.pack("<QQ", *where) for name, *where in written)
        name = b"ND2 FILEMAP SIGNATURE NAME 0001!"
        file.write(struct.pack("<IIQ", MAGIC, len(name), len(table) + 40) + name)
        file.write(table + end + struct.pack("<Q", place))
    return path


def xml(value: dict[str, Any]) -> bytes:
    return variant("variant", value).encode()
