"""The companion file of a set of OME-TIFFs: OME-XML beside them, which says how their planes make images."""

from __future__ import annotations

import os
from xml.etree import ElementTree

from bigimg.errors import InputError
from bigimg.readers.sniffing import is_ome_xml, read_head

MOST_BYTES = 256 << 20
"""Of a companion file; that of a screen with 10,000 images has 30 MB."""


def tiff_of(path: str) -> tuple[str, str | None]:
    """Return the TIFF to open for ``path`` and the OME-XML that describes it; None if the TIFF has its own.

    Raises
    ------
    InputError
        No file that the companion names lies beside it.
    """
    if not os.path.isfile(path) or not is_ome_xml(read_head(path), path.lower()):
        return path, None
    if (size := os.path.getsize(path)) > MOST_BYTES:
        raise InputError(
            f"{path}: is OME-XML of {size} bytes, and at most {MOST_BYTES} are read; open a TIFF of the set"
        )
    with open(path, encoding="utf-8-sig") as file:
        text = file.read()
    root, folder = ElementTree.fromstring(text), os.path.dirname(path)
    named = [uuid.get("FileName", "") for uuid in root.iterfind("{*}Image/{*}Pixels/{*}TiffData/{*}UUID")]
    for name in dict.fromkeys(named):
        if name and name == os.path.basename(name) and os.path.isfile(first := os.path.join(folder, name)):
            return first, text
    what = (
        f"names {len(set(named))} files, and none of them is beside it"
        if any(named)
        else "names no file with pixels"
    )
    raise InputError(f"{path}: the companion file {what}; put all files of the set into one folder")
