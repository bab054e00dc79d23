"""Sets of OME-TIFFs: their companion file (OME-XML beside them), and the names that the OME-XML has of files."""

from __future__ import annotations

import os
from xml.etree import ElementTree

from bigimg.errors import InputError
from bigimg.readers.beside import inside, path_beside
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


def check_names(path: str, xml: str | None) -> None:
    """Refuse OME-XML that names a file outside the folder of ``path``.

    Parameters
    ----------
    path : str
        A TIFF of the set.
    xml : str, optional
        Its OME-XML. tifffile opens each file that it names, wherever that is.

    Raises
    ------
    InputError
        A name leads to a file that is not in the folder or below it.
    """
    if not xml or "FileName" not in xml:
        return
    root, folder = ElementTree.fromstring(xml), os.path.dirname(path)
    found = (
        each for each in root.iter() if each.tag.endswith("UUID")
    )  # as tifffile does, wherever they stand
    named = {uuid.get("FileName", ""): None for uuid in found if uuid.text != root.get("UUID")}
    for name in named:
        if inside(name) is None and name and os.path.lexists(os.path.join(folder, name)):
            path_beside(path, name)
