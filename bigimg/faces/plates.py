"""What counts as the source of a plate, and how each of its fields is opened."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from bigimg.omezarr.store import StoreReader
from bigimg.omezarr.tree import join
from bigimg.opening.open import open_source
from bigimg.opening.plate_info import plate_at
from bigimg.opening.plates import Plate
from bigimg.opening.sources import Asked
from bigimg.reader import Reader
from bigimg.readers.plates.find import find_plate
from bigimg.readers.plates.source import PlateSource, SourceField
from bigimg.readers.registry import no_options
from bigimg.types import Opening


def plate_source(source: Any, opening: Opening) -> PlateSource | None:
    """Return the plate that ``source`` is; None for anything that is one image.

    Parameters
    ----------
    source : path, pattern, Plate, PlateSource or dict
        A dict has wells, or wells and fields, as ``"B03"``, ``"B/03/0"`` or ``("B03", 0)``, and the image of each.
    opening : Opening
        How each field is opened.

    Raises
    ------
    InputError, UsageError
        It is a plate, and makes no sense.
    """
    if isinstance(source, PlateSource):
        return source
    if isinstance(source, dict):  # a Dataset, a group of HDF5 and others are mappings too
        return _of_dict(source, opening)
    if isinstance(source, Plate):
        return _of_store(source)
    asked = Asked(opening)
    if not isinstance(source, str | os.PathLike) or asked.series is not None:
        return None
    if (found := plate_at(source, asked)) is not None:
        no_options(os.fspath(source), asked.of_readers)
        return _of_store(Plate(found[0].path, found[1], found[0]))
    return find_plate(os.fspath(source), asked.of_readers)


def _of_dict(images: dict[Any, Any], opening: Opening) -> PlateSource:
    fields = []
    for key, image in images.items():
        parts = key if isinstance(key, tuple) else (key,)
        text = "/".join(map(str, parts))
        well, _, field = text.rpartition("/") if len(parts) > 1 or text.count("/") > 1 else (text, "", "0")
        fields.append(SourceField(well, field, partial(open_source, image, **opening)))
    return PlateSource("array", "", tuple(fields))


def _of_store(plate: Plate) -> PlateSource:
    fields = tuple(
        SourceField(
            well.name, each.path, partial(_field, plate, join(well.name, each.path)), each.acquisition
        )
        for well in plate
        for each in well.fields
    )
    runs = tuple((run.id, run.name) for run in plate.meta.acquisitions)
    return PlateSource(plate.source, plate.meta.name or "", fields, acquisitions=runs)


def _field(plate: Plate, path: str) -> Reader:
    return StoreReader(plate.alone(path))  # its source is its own folder
