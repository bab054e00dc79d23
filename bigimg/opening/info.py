"""``info``: what anything is that can be opened, a plate too, without reading a pixel."""

from __future__ import annotations

from typing import Unpack

from bigimg.opening.describe import Info, describe
from bigimg.opening.open import Source, opened
from bigimg.opening.plate_info import PlateInfo, source_info
from bigimg.opening.plates import Plate, plate_in
from bigimg.opening.sources import Asked
from bigimg.reader import as_part, parts_of
from bigimg.types import Opening


def info(source: Source, **opening: Unpack[Opening]) -> Info | PlateInfo:
    """Return what ``source`` is and how it can be read; neither pixels nor xarray are needed for it.

    The options are those of :func:`open`. Of a plate the wells are told, unless a field is chosen by ``series``.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError
        There is nothing, or nothing that can be read.
    """
    if (plate := plate_in(source, opening)) is not None:
        return plate.info if isinstance(plate, Plate) else source_info(plate)
    part, reader = opening.get("part"), opened(source, Asked(opening))
    if part is not None or not parts_of(reader):
        reader = as_part(reader, part)
    try:
        return describe(reader)
    finally:
        if reader is not source:
            reader.close()
