"""What counts as the source of a plate, and how each of its fields is opened."""

from __future__ import annotations

from functools import partial
from typing import Any

from bigimg.omezarr.store import StoreReader
from bigimg.omezarr.tree import join
from bigimg.opening.open import open_source
from bigimg.opening.plates import Plate, plate_in
from bigimg.reader import Reader
from bigimg.readers.plates.source import PlateSource, SourceField
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
    if isinstance(source, dict):  # a Dataset, a group of HDF5 and others are mappings too
        return _of_dict(source, opening)
    plate = plate_in(source, opening)
    return _of_store(plate) if isinstance(plate, Plate) else plate


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
