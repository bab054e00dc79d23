"""A reader of MRC and CCP4 maps: a header of 1024 bytes, an extended header that is skipped, and uncompressed numbers.

The axes of the file may be any permutation of x y z (MAPC, MAPR, MAPS). Lengths are in ångström. Bytes (mode 0) are
signed in the standard of 2014 and mostly unsigned in files of IMOD, which says it in flags of its own; so it says that
its origin has the other sign. Rows run from the bottom upwards in most programs, and are kept in the order of the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from bigimg.errors import InputError, damage
from bigimg.geometry.spec import RGB
from bigimg.readers.raw.compressed import read_bytes
from bigimg.readers.raw.cut import CutPixels, open_or_cut
from bigimg.readers.raw.plain import RawReader, Stored
from bigimg.readers.volumes.headers import Step, Volume, checked_shape
from bigimg.types import DType

type Header = Mapping[str, int | float]
type Order = Literal["<", ">"]

HEADER = np.dtype(
    [(name, "<i4") for name in ("nx", "ny", "nz", "mode", "nxstart", "nystart", "nzstart", "mx", "my", "mz")]
    + [(name, "<f4") for name in ("xlen", "ylen", "zlen", "alpha", "beta", "gamma")]
    + [(name, "<i4") for name in ("mapc", "mapr", "maps")]
    + [(name, "<f4") for name in ("dmin", "dmax", "dmean")]
    + [("ispg", "<i4"), ("nsymbt", "<i4"), ("extra1", "V8"), ("exttyp", "S4"), ("nversion", "<i4")]
    + [("extra2", "V40"), ("imod_stamp", "<i4"), ("imod_flags", "<i4"), ("extra3", "V36")]
    + [(name, "<f4") for name in ("xorg", "yorg", "zorg")]
    + [("map", "S4"), ("machst", "u1", 4), ("rms", "<f4"), ("nlabl", "<i4"), ("label", "S80", 10)]
)
"""Bytes of no use here have the names ``extra``."""

MODES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2", 16: "u1"}
"""Types of the pixels by mode; 16 is red, green and blue, which IMOD writes."""

NOT_READ = {3: "pairs of 16-bit integers (complex)", 101: "4-bit integers"}

IMOD = 1146047817
"""What stands in ``imod_stamp`` of a file of IMOD; then its flags mean something."""
SIGNED_BYTES, STANDARD_ORIGIN = 1, 4
"""Flags of IMOD."""
LAYOUT = {"nsymbt", "nlabl", "imod_stamp", "imod_flags"}


def open_mrc(source: str, *, allow_partial: bool = False) -> RawReader:
    """Return a reader of the MRC or CCP4 map at ``source``.

    Parameters
    ----------
    source : str
        Also compressed as a whole, as maps are published (``.map.gz``).
    allow_partial : bool
        Take planes behind the end of a file that was cut as holes; not of one that is compressed.

    Raises
    ------
    InputError
        The header makes no sense, the pixels are of a kind that is not read, or the file is too short.
    """
    head = read_bytes(source, HEADER.itemsize)
    if len(head) < HEADER.itemsize:
        raise damage(source, f"ends at byte {len(head)} of a header of {HEADER.itemsize}")
    notes: list[str] = []
    order = _byte_order(head, notes)
    fields = np.frombuffer(head, HEADER.newbyteorder(order))[0]
    header: Header = {name: fields[name].item() for name in HEADER.names or () if HEADER[name].kind in "if"}
    places = int(header["mapc"]), int(header["mapr"]), int(header["maps"])
    if places == (0, 0, 0):
        places = 1, 2, 3
        notes.append("the header names no axes: columns, rows and sections are assumed to be x, y and z")
    if sorted(places) != [1, 2, 3]:
        raise damage(source, f"its columns, rows and sections are the axes {places}, which are no x, y and z")
    columns = "".join("xyz"[place - 1] for place in places)
    stored = _stored(source, header, columns, _dtype(source, header, notes).newbyteorder(order), notes)
    if header["nsymbt"] < 0:
        raise damage(source, f"its extended header has {header['nsymbt']} bytes")
    intervals = {name: header[f"m{name}"] for name in "xyz"}
    lengths = {name: header[f"{name}len"] / n if n > 0 else math.nan for name, n in intervals.items()}
    steps: dict[str, Step] = {name: (length, "angstrom") for name, length in lengths.items()}
    start = HEADER.itemsize + int(header["nsymbt"])
    pixels, access = open_or_cut(source, start, stored, allow_partial=allow_partial)
    kept = {name: value for name, value in header.items() if name not in LAYOUT}
    labels = [text for label in fields["label"].tolist() if (text := label.decode("latin-1").strip())]
    volume = Volume(
        stored=stored, affine=None, steps=steps, starts=_starts(header, columns, steps, notes), family="mrc",
        channels=RGB if "c" in stored.dims else (), fields=kept | {"label": labels},
    )  # fmt: skip
    reader = volume.reader(source, pixels, access, notes)
    if isinstance(pixels, CutPixels):
        return replace(reader, spec=pixels.with_holes(reader.spec, stored))
    return reader


def _byte_order(head: bytes, notes: list[str]) -> Order:
    """Return ``<`` or ``>``: what the machine stamp says, unless the mode makes sense only in the other order."""
    orders: tuple[Order, Order] = "<", ">"
    said = dict(zip((0x44, 0x11), orders, strict=True)).get(head[212])
    fits = [order for order in orders if np.frombuffer(head, order + "i4", 1, 12)[0] in MODES | NOT_READ]
    found = said if said in fits or (said and not fits) else fits[0] if fits else "<"
    if said not in (None, found):
        notes.append("the machine stamp does not match the numbers of the header, whose byte order is taken")
    return found or "<"


def _dtype(source: str, header: Header, notes: list[str]) -> DType:
    """Return the type of the pixels."""
    mode = int(header["mode"])
    if mode not in MODES:
        what = f"its pixels are {NOT_READ.get(mode, 'of an unknown kind')} (mode {mode})"
        raise InputError(
            f"{source}: {what}, which are not read; save them as mode 2, as IMOD's newstack does"
        )
    if mode != 0:
        return np.dtype(MODES[mode])
    by_imod, beyond = header["imod_stamp"] == IMOD, 127 < header["dmax"] < 256 and header["dmin"] >= 0
    if beyond and not by_imod:
        notes.append(f"its bytes are taken as unsigned: the header says a maximum of {header['dmax']:g}")
    unsigned = not int(header["imod_flags"]) & SIGNED_BYTES if by_imod else beyond
    return np.dtype("u1" if unsigned else "i1")


def _stored(source: str, header: Header, columns: str, dtype: DType, notes: list[str]) -> Stored:
    """Return how the pixels lie: images of a stack along t, volumes of a stack along t, or one volume."""
    *_, sections = sizes = checked_shape(source, [int(header[name]) for name in ("nx", "ny", "nz")])
    dims, shape, space, each = columns[::-1], sizes[::-1], int(header["ispg"]), int(header["mz"])
    if space == 0 and columns == "xyz":
        if sections == 1:
            dims, shape = dims[1:], shape[1:]
        elif each == 1:
            dims = "t" + dims[1:]
            notes.append("it is a stack of images (ISPG 0), taken as the axis t")
    elif 401 <= space <= 630 and each != sections:
        if each < 1 or sections % each:
            raise damage(source, f"its {sections} sections do not make volumes of {each} (MZ)")
        dims, shape = "t" + dims, (sections // each, each, *shape[1:])
    return (
        Stored((*dims, "c"), (*shape, 3), dtype) if header["mode"] == 16 else Stored((*dims,), shape, dtype)
    )


def _starts(header: Header, columns: str, steps: Mapping[str, Step], notes: list[str]) -> dict[str, float]:
    """Return the coordinate of the first pixel: the origin where there is one, else the first column, row, section."""
    if any(header[name] not in (0, 90) for name in ("alpha", "beta", "gamma")):
        notes.append("the angles of its cell are not all 90 degrees; it is taken as rectangular")
    inverted = header["imod_stamp"] == IMOD and not int(header["imod_flags"]) & STANDARD_ORIGIN
    found = {name: header[f"{name}org"] * (-1 if inverted else 1) for name in "xyz"}
    if not any(found.values()):
        first = [header[name] for name in ("nxstart", "nystart", "nzstart")]
        found = {name: n * steps[name][0] for name, n in zip(columns, first, strict=True)}
    return {name: start + 0.0 for name, start in found.items() if math.isfinite(start)}
