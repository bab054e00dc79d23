"""MetaImage and NRRD files, made line by line: what SimpleITK and pynrrd never write must be read too."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import numpy as np

from bigimg.types import Array

MET = {"i1": "CHAR", "u1": "UCHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "u4": "UINT", "i8": "LONG_LONG",
       "u8": "ULONG_LONG", "f4": "FLOAT", "f8": "DOUBLE"}  # fmt: skip
NRRD = {"i1": "signed char", "u1": "uint8", "i2": "short", "u2": "unsigned short", "i4": "int", "u4": "uint32_t",
        "i8": "int64", "u8": "unsigned long long", "f4": "float", "f8": "double"}  # fmt: skip


def metaimage(
    path: Path, array: Array, *, channels: int = 1, packed: bool = False, split: int = 0, more: str = "",
    skip: bytes = b"", header_size: int | None = None,
) -> Path:  # fmt: skip
    """Write ``array``, slowest axis first and channels last; ``split`` axes are numbered by files in a LIST."""
    sizes = array.shape[:-1] if channels > 1 else array.shape
    lines = [
        "ObjectType = Image",
        f"NDims = {len(sizes)}",
        "DimSize = " + " ".join(str(size) for size in reversed(sizes)),
        f"ElementType = MET_{MET[array.dtype.str[1:]]}",
        f"BinaryDataByteOrderMSB = {array.dtype.str[0] == '>'}",
    ]
    if channels > 1:
        lines.append(f"ElementNumberOfChannels = {channels}")
    if packed:
        lines.append("CompressedData = True")
    if header_size is not None:
        lines.append(f"HeaderSize = {header_size}")
    content = array.tobytes()
    content = skip + (zlib.compress(content) if packed else content)
    header = "\n".join([*lines, *more.splitlines(), "ElementDataFile = "])
    if split:
        parts = array.reshape(-1, *array.shape[split:])
        names = [f"{path.stem}{number:03}.raw" for number in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            path.with_name(name).write_bytes(skip + part.tobytes())
        path.write_text(header + "LIST\n" + "\n".join(names) + "\n")
    elif path.suffix == ".mha":
        path.write_bytes(header.encode() + b"LOCAL\n" + content)
    else:
        path.with_suffix(".raw").write_bytes(content)
        path.write_text(header + path.stem + ".raw\n")
    return path


def nrrd(
    path: Path, array: Array, *, encoding: str = "raw", kinds: str = "", more: str = "", skip: bytes = b"",
    name: str | None = None,
) -> Path:  # fmt: skip
    """Write ``array``, slowest axis first; a ``.nhdr`` has its pixels in another file."""
    lines = [
        "NRRD0004",
        "# made for a test",
        f"type: {NRRD[array.dtype.str[1:]]}",
        f"dimension: {array.ndim}",
        "sizes: " + " ".join(str(size) for size in reversed(array.shape)),
        f"encoding: {encoding}",
        f"endian: {'big' if array.dtype.str[0] == '>' else 'little'}",
        *([f"kinds: {kinds}"] if kinds else []),
        *more.splitlines(),
    ]
    plain = skip + array.tobytes()
    text = " ".join(map(str, array.ravel().tolist())).encode()
    pack = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "ascii": lambda _: text}
    content = pack[encoding](plain)
    if path.suffix == ".nhdr":
        beside = name or path.stem + ".dat"
        lines.append(f"data file: {beside}")
        path.with_name(beside).write_bytes(content)
        content = b""
    path.write_bytes("\n".join(lines).encode() + (b"\n\n" if content else b"\n") + content)
    return path


def lps(affine: Array) -> Array:
    """Return an affine in LPS as one in RAS."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
