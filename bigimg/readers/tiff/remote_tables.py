"""The tables of a TIFF behind an address: all that is parsed of it before a pixel is read.

They are copied to their places in a file that is otherwise empty, which is then parsed like any other. What makes a
TIFF one that is parsed from other places too (some vendors' dialects) is not copied so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from bigimg.readers.tiff.chain import MOST_TAGS, SUBIFDS, WIDTHS

type Copy = Callable[[int, int], bytes]
"""Returns bytes from an offset on, of a length, and sees to it that they are in the file that is parsed."""

BELOW = frozenset({SUBIFDS, 34665, 34853})
"""Tags whose values are places of tables."""
DIALECTS = frozenset({33628, 33629, 33630, 33631, 34412, 51123, 65420, 65421, 34118, 34361})
"""Tags of MetaMorph, LSM, Micro-Manager, NDPI, SEM and MediaCy, which point to more than TIFF knows."""
MOST_TABLES = 100_000


def copy_tables(copy: Copy, size: int) -> bool:
    """Copy the header, all tables of pages and the values of their tags; return whether that is all that is parsed.

    Parameters
    ----------
    copy : callable
    size : int
        Bytes of the file.
    """
    header = copy(0, min(16, size))
    order = {b"II": "<", b"MM": ">"}.get(header[:2], "")
    big = header[2:4] in (b"+\0", b"\0+")
    if not order or len(header) < 16 or not (big or header[2:4] in (b"*\0", b"\0*")):
        return False
    word = struct.Struct(order + ("Q" if big else "I"))
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    places, seen = [word.unpack_from(header, 8 if big else 4)[0]], set[int]()
    width = 8 if big else 2  # of the number of tags
    while places:
        place = places.pop()
        if not place or place in seen:
            continue
        seen.add(place)
        if len(seen) > MOST_TABLES or place + width > size:
            return False
        tags = int.from_bytes(copy(place, width), "little" if order == "<" else "big")
        length = tags * entry.size
        if tags > MOST_TAGS or place + width + length + word.size > size:
            return False
        table = copy(place + width, length + word.size)
        for code, kind, n, value in entry.iter_unpack(table[:length]):
            if code in DIALECTS:
                return False
            each = WIDTHS.get(kind, 1)
            values = value[: each * n]
            if each * n > len(value):
                start = word.unpack(value)[0]
                if start + each * n > size:
                    return False
                values = copy(start, each * n)
            if code in BELOW and each in (4, 8):
                places += [at for (at,) in struct.iter_unpack(order + ("Q" if each == 8 else "I"), values)]
        places.append(word.unpack(table[length:])[0])
    return True
